// IEEE 754 binary32 in integers: round to nearest even, subnormals kept, every NaN 0x7fc00000.
// A 64-bit number is (high, low).
fn soft_product(a: u32, b: u32) -> vec2<u32> {
  let a1 = a >> 16u; let a0 = a & 0xffffu; let b1 = b >> 16u; let b0 = b & 0xffffu;
  let low = a0 * b0; let middle = a1 * b0 + (low >> 16u); let other = a0 * b1 + (middle & 0xffffu);
  return vec2<u32>(a1 * b1 + (middle >> 16u) + (other >> 16u), (other << 16u) | (low & 0xffffu));
}
fn soft_left(v: vec2<u32>, by: u32) -> vec2<u32> {
  if (by == 0u) { return v; }
  if (by >= 32u) { return vec2<u32>(v.y << (by - 32u), 0u); }
  return vec2<u32>((v.x << by) | (v.y >> (32u - by)), v.y << by);
}
// Shifted right; the last bit tells whether anything was lost.
fn soft_right(v: vec2<u32>, by: u32) -> vec2<u32> {
  if (by == 0u) { return v; }
  if (by >= 64u) { return vec2<u32>(0u, select(0u, 1u, (v.x | v.y) != 0u)); }
  if (by >= 32u) {
    let rest = by - 32u;
    var lost = v.y; var kept = v.x;
    if (rest > 0u) { lost = lost | (v.x << (32u - rest)); kept = v.x >> rest; }
    return vec2<u32>(0u, kept | select(0u, 1u, lost != 0u));
  }
  let lost = v.y << (32u - by);
  return vec2<u32>(v.x >> by, ((v.y >> by) | (v.x << (32u - by))) | select(0u, 1u, lost != 0u));
}
fn soft_zeros(v: vec2<u32>) -> u32 {
  if (v.x != 0u) { return countLeadingZeros(v.x); }
  return 32u + countLeadingZeros(v.y);
}
// Rounds sign · v · 2^(exponent − 62), where bit 62 of v is its first.
fn soft_round(sign: u32, exponent: i32, value: vec2<u32>) -> u32 {
  var v = value; var e = exponent + 127;
  if (e >= 255) { return (sign << 31u) | 0x7f800000u; }
  if (e <= 0) { v = soft_right(v, u32(min(1 - e, 64))); e = 0; }
  var m = v.x >> 7u;
  let rest = ((v.x & 0x7fu) << 1u) | select(0u, 1u, v.y != 0u);
  if (rest > 0x80u || (rest == 0x80u && (m & 1u) == 1u)) { m = m + 1u; }
  if (e == 0) { return (sign << 31u) | m; }
  return (sign << 31u) | ((u32(e) << 23u) + (m - 0x800000u));
}
// Significand with bit 23 set, and biased exponent plus 64; of a finite number that is not zero.
fn soft_parts(x: u32) -> vec2<u32> {
  let e = (x >> 23u) & 255u; let m = x & 0x7fffffu;
  if (e == 0u) { let by = countLeadingZeros(m) - 8u; return vec2<u32>(m << by, 65u - by); }
  return vec2<u32>(m | 0x800000u, e + 64u);
}
fn soft_fma(a: u32, b: u32, c: u32) -> u32 {
  let sp = (a ^ b) >> 31u; let sc = c >> 31u;
  let aa = a & 0x7fffffffu; let ab = b & 0x7fffffffu; let ac = c & 0x7fffffffu;
  if (aa >= 0x7f800000u || ab >= 0x7f800000u || ac >= 0x7f800000u) {
    if (aa > 0x7f800000u || ab > 0x7f800000u || ac > 0x7f800000u) { return 0x7fc00000u; }
    if (aa == 0x7f800000u || ab == 0x7f800000u) {
      if (aa == 0u || ab == 0u || (ac == 0x7f800000u && sc != sp)) { return 0x7fc00000u; }
      return (sp << 31u) | 0x7f800000u;
    }
    return c;
  }
  if (aa == 0u || ab == 0u) {
    if (ac == 0u) { return select(0u, 0x80000000u, sp == 1u && sc == 1u); }
    return c;
  }
  let na = soft_parts(a); let nb = soft_parts(b);
  var p = soft_product(na.x, nb.x);
  let shift = soft_zeros(p);
  p = soft_left(p, shift - 1u);
  let pe = i32(na.y) + i32(nb.y) - 382 + 17 - i32(shift);
  if (ac == 0u) { return soft_round(sp, pe, p); }
  let nc = soft_parts(c);
  let q = vec2<u32>(nc.x << 7u, 0u); let qe = i32(nc.y) - 191;
  var large = p; var e = pe; var small = q; var by = pe - qe; var sign = sp; var other = sc;
  if (by < 0 || (by == 0 && (q.x > p.x || (q.x == p.x && q.y > p.y)))) {
    large = q; e = qe; small = p; by = -by; sign = sc; other = sp;
  }
  small = soft_right(small, u32(min(by, 64)));
  if (sign == other) {
    let low = large.y + small.y;
    let high = large.x + small.x + select(0u, 1u, low < large.y);
    if ((high & 0x80000000u) != 0u) { return soft_round(sign, e + 1, soft_right(vec2<u32>(high, low), 1u)); }
    return soft_round(sign, e, vec2<u32>(high, low));
  }
  let low = large.y - small.y;
  let high = large.x - small.x - select(0u, 1u, large.y < small.y);
  if ((high | low) == 0u) { return 0u; }
  let zeros = soft_zeros(vec2<u32>(high, low));
  return soft_round(sign, e - i32(zeros) + 1, soft_left(vec2<u32>(high, low), zeros - 1u));
}
fn soft_div(a: u32, b: u32) -> u32 {
  let sign = (a ^ b) >> 31u;
  let aa = a & 0x7fffffffu; let ab = b & 0x7fffffffu;
  if (aa > 0x7f800000u || ab > 0x7f800000u) { return 0x7fc00000u; }
  if ((aa == 0u && ab == 0u) || (aa == 0x7f800000u && ab == 0x7f800000u)) { return 0x7fc00000u; }
  if (aa == 0x7f800000u || ab == 0u) { return (sign << 31u) | 0x7f800000u; }
  if (aa == 0u || ab == 0x7f800000u) { return sign << 31u; }
  let na = soft_parts(a); let nb = soft_parts(b);
  var rest = na.x; var e = i32(na.y) - i32(nb.y);
  if (rest < nb.x) { rest = rest << 1u; e = e - 1; }
  // 30 digits of a quotient in [1, 2), the first at bit 29.
  var q = 0u;
  for (var i = 0u; i < 30u; i = i + 1u) {
    q = q << 1u;
    if (rest >= nb.x) { rest = rest - nb.x; q = q | 1u; }
    rest = rest << 1u;
  }
  return soft_round(sign, e, vec2<u32>(q << 1u, select(0u, 1u, rest != 0u)));
}
fn soft_sqrt(a: u32) -> u32 {
  if ((a & 0x7fffffffu) == 0u) { return a; }
  if ((a & 0x7fffffffu) > 0x7f800000u || (a >> 31u) == 1u) { return 0x7fc00000u; }
  if (a == 0x7f800000u) { return a; }
  let n = soft_parts(a);
  // a = m · 2^(e − 23) with e even, so m in [2^23, 2^25); its root digit by digit, 28 of them from 2^0.
  var e = i32(n.y) - 191; var m = n.x;
  if ((e & 1) != 0) { m = m << 1u; e = e - 1; }
  var digits = soft_left(vec2<u32>(0u, m), 39u);
  var rest = 0u; var root = 0u;
  for (var i = 0u; i < 28u; i = i + 1u) {
    rest = (rest << 2u) | (digits.x >> 30u);
    digits = soft_left(digits, 2u);
    let trial = (root << 2u) | 1u;
    root = root << 1u;
    if (rest >= trial) { rest = rest - trial; root = root | 1u; }
  }
  return soft_round(0u, e / 2, vec2<u32>(root << 3u, select(0u, 1u, rest != 0u)));
}
fn soft_of_int(i: i32) -> u32 {
  if (i == 0) { return 0u; }
  let sign = bitcast<u32>(i) >> 31u;
  let size = select(bitcast<u32>(i), 0u - bitcast<u32>(i), sign == 1u);
  let zeros = countLeadingZeros(size);
  return soft_round(sign, 31 - i32(zeros), soft_right(vec2<u32>(size << zeros, 0u), 1u));
}
// Orders all numbers but NaN; both zeros are 0.
fn soft_order(x: u32) -> i32 {
  let size = bitcast<i32>(x & 0x7fffffffu);
  return select(size, -size, (x >> 31u) == 1u);
}
