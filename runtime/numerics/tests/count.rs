//! A reading of the definitions that counts: hot functions stay as small as `docs/numerics.md` says.

use mmh_numerics::functions;
use mmh_numerics::ops::Ops;

/// Counts operations; constants are free.
#[derive(Default)]
struct Count(usize);

macro_rules! count {
    ($($name:ident($($argument:ident: $type:ident),*) -> $result:ident;)+) => {$(
        fn $name(&mut self $(, $argument: $type)*) -> $result {
            let _ = ($($argument,)*);
            self.0 += 1;
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

#[test]
fn operations_per_function() {
    let table: [(&str, Function, usize); 15] = [
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
    ];
    let found: Vec<_> = table
        .iter()
        .map(|&(name, function, _)| {
            let mut count = Count::default();
            function(&mut count, 0.0);
            (name, count.0)
        })
        .collect();
    assert_eq!(found, table.map(|(name, _, wanted)| (name, wanted)));
}
