//! The functions for one `f32`.

use crate::ops::Scalar;

macro_rules! scalars {
    ($($name:ident($($argument:ident),+) $doc:literal)+) => {$(
        #[doc = $doc]
        #[must_use]
        pub fn $name($($argument: f32),+) -> f32 {
            super::$name(&mut Scalar, $($argument),+)
        }
    )+};
}

scalars! {
    exp(x) "e to the `x`."
    exp2(x) "2 to the `x`."
    log(x) "The natural logarithm."
    log2(x) "The logarithm to base 2."
    tanh(x) "The hyperbolic tangent."
    sigmoid(x) "1 / (1 + e⁻ˣ)."
    silu(x) "`x · sigmoid(x)`."
    softplus(x) "log(1 + eˣ)."
    erf(x) "The error function."
    erfc(x) "The complementary error function."
    gelu(x) "`x · ½ · erfc(−x / √2)`."
    sin(x) "The sine of `x` radians."
    cos(x) "The cosine of `x` radians."
    pow(x, y) "`x` to the `y`."
    rsqrt(x) "`1 / √x`."
    bf16(x) "The bf16 nearest to `x`, ties to even, as an f32."
}
