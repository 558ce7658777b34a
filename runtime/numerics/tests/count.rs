//! A reading of the definitions that counts: hot functions stay as small as `docs/numerics.md` says.

use mmh_numerics::functions;
use mmh_numerics::ops::Ops;

/// Counts operations and notes constants.
#[derive(Default)]
struct Count {
    operations: usize,
    constants: Vec<f32>,
}

macro_rules! count {
    ($($name:ident($($argument:ident: $type:ident),*) -> $result:ident;)+) => {$(
        fn $name(&mut self $(, $argument: $type)*) -> $result {
            let _ = ($($argument,)*);
            self.operations += 1;
            $result::default()
        }
    )+};
}

type F = f32;
type I = i32;
type B = bool;

impl Ops for Count {
    type F = F;
    type I = I;
    type B = B;

    fn f32(&mut self, value: f32) -> F {
        self.constants.push(value);
        value
    }
    fn i32(&mut self, value: i32) -> I {
        value
    }
    count! {
        add(a: F, b: F) -> F; sub(a: F, b: F) -> F; mul(a: F, b: F) -> F; div(a: F, b: F) -> F;
        fma(a: F, b: F, c: F) -> F; neg(a: F) -> F; abs(a: F) -> F; sqrt(a: F) -> F;
        min(a: F, b: F) -> F; max(a: F, b: F) -> F;
        lt(a: F, b: F) -> B; le(a: F, b: F) -> B; eq(a: F, b: F) -> B; ne(a: F, b: F) -> B;
        select(p: B, a: F, b: F) -> F; select_i(p: B, a: I, b: I) -> I;
        and_b(a: B, b: B) -> B; or_b(a: B, b: B) -> B; not_b(a: B) -> B;
        iadd(a: I, b: I) -> I; isub(a: I, b: I) -> I; imul(a: I, b: I) -> I;
        iand(a: I, b: I) -> I; ior(a: I, b: I) -> I; ixor(a: I, b: I) -> I;
        shl(a: I, n: u32) -> I; shr(a: I, n: u32) -> I; sar(a: I, n: u32) -> I;
        ilt(a: I, b: I) -> B; ieq(a: I, b: I) -> B; iult(a: I, b: I) -> B;
        to_int(a: F) -> I; to_float(a: I) -> F;
    }
    // Reinterpretation costs nothing in a register.
    fn bits(&mut self, _: F) -> I {
        0
    }
    fn from_bits(&mut self, _: I) -> F {
        0.0
    }
}

type Function = fn(&mut Count, F) -> F;

const TABLE: [(&str, Function, usize); 16] = [
    ("exp", functions::exp, 18),
    ("exp2", functions::exp2, 17),
    ("log", functions::log, 30),
    ("log2", functions::log2, 32),
    ("tanh", functions::tanh, 16),
    ("sigmoid", functions::sigmoid, 24),
    ("silu", functions::silu, 25),
    ("softplus", functions::softplus, 37),
    ("erf", functions::erf, 38),
    ("erfc", functions::erfc, 42),
    ("gelu", functions::gelu, 42),
    ("sin", functions::sin, 23),
    ("cos", functions::cos, 24),
    ("rsqrt", functions::rsqrt, 2),
    ("pow", |o, x| functions::pow(o, x, x), 116),
    (
        "sin_cos_turn",
        |o, x| functions::sin_cos_turn(o, x as i32).0,
        28,
    ),
];

fn read(function: Function) -> Count {
    let mut count = Count::default();
    function(&mut count, 0.0);
    count
}

#[test]
fn operations_per_function() {
    let found = TABLE.map(|(name, function, _)| (name, read(function).operations));
    assert_eq!(found, TABLE.map(|(name, _, wanted)| (name, wanted)));
}

#[test]
fn the_page_has_every_constant() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/numerics.md");
    let page = std::fs::read_to_string(path).expect("the contract stands in docs");
    for (name, function, _) in TABLE {
        let constants = read(function).constants;
        let plain = |c: &f32| !c.is_finite() || c.fract() == 0.0 || c.abs() == 0.5;
        for constant in constants.into_iter().filter(|c| !plain(c)) {
            let bits = format!("0x{:08x}", constant.to_bits());
            assert!(page.contains(&bits), "{name}: {constant:e} ({bits})");
        }
    }
}
