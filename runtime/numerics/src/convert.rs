//! Storage formats and text: bf16 and f16 by integer code, decimal text rounded once.

use std::fmt;

/// The bf16 nearest to `x`, ties to even; NaN becomes 0x7fc0.
#[must_use]
pub fn bf16_from_f32(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return 0x7fc0;
    }
    let odd = bits >> 16 & 1;
    ((bits + 0x7fff + odd) >> 16) as u16
}

/// The number a bf16 stands for, exactly.
#[must_use]
pub fn f32_from_bf16(x: u16) -> f32 {
    crate::canonical(f32::from_bits(u32::from(x) << 16))
}

/// The f16 nearest to `x`, ties to even; too great becomes infinite, NaN becomes 0x7e00.
#[must_use]
pub fn f16_from_f32(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    let code = match magnitude {
        0x7f80_0001.. => return 0x7e00,
        // 65520 and more round to infinity.
        0x477f_f000.. => 0x7c00,
        // Normal results: rebias the exponent, then round away 13 bits.
        0x3880_0000.. => round_shift(magnitude - 0x3800_0000, 13),
        // Subnormal results count 2⁻²⁴; below 2⁻²⁵ (and a tie at it) they are zero.
        0x3300_0000.. => round_shift(
            magnitude & 0x007f_ffff | 0x0080_0000,
            126 - (magnitude >> 23),
        ),
        _ => 0,
    };
    sign | code as u16
}

/// `value / 2^count` to the nearest integer, ties to even.
fn round_shift(value: u32, count: u32) -> u32 {
    let odd = value >> count & 1;
    (value + (1 << (count - 1)) - 1 + odd) >> count
}

/// The number an f16 stands for, exactly.
#[must_use]
pub fn f32_from_f16(x: u16) -> f32 {
    let sign = u32::from(x & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(x >> 10 & 31), u32::from(x & 0x3ff));
    match exponent {
        0 => {
            let leading = 31 - (fraction | 1).leading_zeros();
            let normal = (103 + leading) << 23 | (fraction << (23 - leading) & 0x007f_ffff);
            f32::from_bits(sign | if fraction == 0 { 0 } else { normal })
        }
        31 if fraction != 0 => f32::from_bits(crate::NAN_BITS),
        31 => f32::from_bits(sign | 0x7f80_0000),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The f32 nearest to `x`, ties to even.
#[must_use]
pub fn f32_from_f64(x: f64) -> f32 {
    crate::canonical(x as f32)
}

/// Why a text is no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// There is nothing but blanks.
    Empty,
    /// It is not a decimal number: digits, a point, an exponent.
    Malformed,
    /// It is a number, but rounds to infinity.
    TooGreat,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NumberError::Empty => "a number is missing",
            NumberError::Malformed => "not a decimal number",
            NumberError::TooGreat => "too great for the format",
        })
    }
}

impl std::error::Error for NumberError {}

/// The f32 nearest to a decimal text, rounded once, ties to even; `nan`, `inf` and hexadecimal are refused.
///
/// # Errors
/// Says whether the text is empty, malformed or too great.
pub fn parse_f32(text: &str) -> Result<f32, NumberError> {
    let value: f32 = decimal(text)?.parse().map_err(|_| NumberError::Malformed)?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(NumberError::TooGreat)
    }
}

/// The f64 nearest to a decimal text, as [`parse_f32`].
///
/// # Errors
/// Says whether the text is empty, malformed or too great.
pub fn parse_f64(text: &str) -> Result<f64, NumberError> {
    let value: f64 = decimal(text)?.parse().map_err(|_| NumberError::Malformed)?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(NumberError::TooGreat)
    }
}

/// The text without blanks around it, if it has only the characters of a decimal number.
fn decimal(text: &str) -> Result<&str, NumberError> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if text.is_empty() {
        return Err(NumberError::Empty);
    }
    let allowed = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if text.bytes().all(allowed) {
        Ok(text)
    } else {
        Err(NumberError::Malformed)
    }
}
