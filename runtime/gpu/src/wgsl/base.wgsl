// What every shader begins with. Memory is words; a float is handled by its bits wherever it is moved.
@group(0) @binding(0) var<storage, read_write> mem: array<u32>;
@group(0) @binding(1) var<storage, read> par: array<u32>;

// Zeros, but no compiler knows: an exclusive or with one keeps an optimiser from seeing through, where expressions are hidden. Two with the same zero
// would cancel each other, so results, operands and numbers made of bits have one each.
var<private> z: u32;
var<private> z_operand: u32;
var<private> z_bits: u32;
// Whether results may be written: false once a guard has found a number that is not finite.
var<private> open: bool;

fn start() {
  z = par[0]; z_operand = par[1] >> 1u; z_bits = par[1] >> 2u;
  open = par[1] == 0u || mem[0] == 0u;
}
fn par_i(at: u32) -> i32 { return bitcast<i32>(par[at]); }
fn bits_of(x: f32) -> u32 { return bitcast<u32>(x); }
fn is_nan(x: f32) -> bool { return (bits_of(x) & 0x7fffffffu) > 0x7f800000u; }
fn choose(which: bool, a: f32, b: f32) -> f32 { return bitcast<f32>(select(bits_of(b), bits_of(a), which)); }
fn neg_(x: f32) -> f32 { return bitcast<f32>(bits_of(x) ^ 0x80000000u); }
fn abs_(x: f32) -> f32 { return bitcast<f32>(bits_of(x) & 0x7fffffffu); }
fn load_f(at: u32) -> f32 { return bitcast<f32>(mem[at]); }
fn put(at: u32, value: u32) { if (open) { mem[at] = value; } }
fn put_f(at: u32, value: f32) { put(at, bits_of(value)); }
