// a · b + c in f64: the product is exact, the sum is rounded to odd, so that the last rounding is the only one.
fn fd(x: f64) -> f64 { return bitcast<f64>(bitcast<u64>(x) ^ u64(z)); }
fn fma_(a: f32, b: f32, c: f32) -> f32 {
  let p = fd(f64(a) * f64(b)); let q = f64(hidden(c));
  let s = fd(p + q); let t = fd(s - p);
  let rest = fd(fd(p - fd(s - t)) + fd(q - t));
  var u = bitcast<u64>(s);
  if (rest == 0.0lf || (u & 0x7ff0000000000000lu) == 0x7ff0000000000000lu) { return fx(f32(s)); }
  if ((u & 1lu) == 0lu) {
    let up = (rest > 0.0lf) == (s > 0.0lf);
    u = select(u - 1lu, u + 1lu, up);
  }
  return fx(f32(bitcast<f64>(u)));
}
