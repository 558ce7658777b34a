//! Storage formats and text.

use mmh_numerics::convert::{
    NumberError, bf16_from_f32, f16_from_f32, f32_from_bf16, f32_from_f16, f32_from_f64, parse_f32,
    parse_f64,
};

/// Every code of a format by value, so that the nearest can be found by search.
fn nearest(x: f32, codes: &[(f64, u16)]) -> u16 {
    let x = f64::from(x);
    let at = codes.partition_point(|&(value, _)| value < x);
    let candidates = codes[at.saturating_sub(1)..codes.len().min(at + 1)].iter();
    let best = candidates.min_by(|a, b| {
        let (da, db) = ((a.0 - x).abs(), (b.0 - x).abs());
        da.total_cmp(&db).then((a.1 & 1).cmp(&(b.1 & 1)))
    });
    best.expect("a candidate").1
}

fn positive_codes(decode: fn(u16) -> f32, infinity: u16, beyond: f64) -> Vec<(f64, u16)> {
    let mut codes: Vec<_> = (0..infinity)
        .map(|code| (f64::from(decode(code)), code))
        .collect();
    codes.push((beyond, infinity));
    codes
}

#[test]
fn rounding_is_narrowing_and_widening() {
    for bits in (0..=u32::MAX).step_by(4_093).chain([
        0x7f7f_7fff,
        0x7f7f_8000,
        0x7f7f_ffff,
        0x7f80_0000,
        0xff80_0000,
        0x7f80_0001,
        0xffff_ffff,
        0x7fff_8000,
        0x0000_8000,
        0x0000_8001,
        0x0001_8000,
        0x8000_0000,
    ]) {
        let x = f32::from_bits(bits);
        let wanted = f32_from_bf16(bf16_from_f32(x)).to_bits();
        let found = mmh_numerics::functions::scalar::bf16(x).to_bits();
        assert_eq!(found, wanted, "{bits:#010x}");
    }
}

#[test]
fn narrowing_takes_the_nearest_code() {
    let bf16 = positive_codes(f32_from_bf16, 0x7f80, 2.0_f64.powi_exact(128));
    let f16 = positive_codes(f32_from_f16, 0x7c00, 65_536.0);
    for bits in (0..0x7f80_0000_u32)
        .step_by(4_093)
        .chain((0x3300_0000..0x4780_0000).step_by(4_096))
    {
        for bits in [bits, bits | 0x800, bits | 0x1000, bits | 0x8000] {
            let x = f32::from_bits(bits.min(0x7f7f_ffff));
            assert_eq!(bf16_from_f32(x), nearest(x, &bf16), "bf16 of {x:e}");
            let wanted = if x >= 65_536.0 {
                0x7c00
            } else {
                nearest(x, &f16)
            };
            assert_eq!(f16_from_f32(x), wanted, "f16 of {x:e}");
            assert_eq!(f16_from_f32(-x), wanted | 0x8000);
            assert_eq!(bf16_from_f32(-x), bf16_from_f32(x) | 0x8000);
        }
    }
}

/// An exact power of two.
trait PowerOfTwo {
    fn powi_exact(self, n: u32) -> f64;
}

impl PowerOfTwo for f64 {
    fn powi_exact(self, n: u32) -> f64 {
        (0..n).fold(1.0, |power, _| power * self)
    }
}

#[test]
fn every_code_survives_the_way_through_f32() {
    for code in 0..=u16::MAX {
        let (b, h) = (f32_from_bf16(code), f32_from_f16(code));
        assert_eq!(bf16_from_f32(b), if b.is_nan() { 0x7fc0 } else { code });
        assert_eq!(f16_from_f32(h), if h.is_nan() { 0x7e00 } else { code });
    }
    assert_eq!(f32_from_f16(0x0001), 1.0 / 16_777_216.0);
    assert_eq!(f32_from_f16(0x3c00), 1.0);
    assert_eq!(f32_from_f16(0xfbff), -65_504.0);
    assert_eq!(f16_from_f32(f32::INFINITY), 0x7c00);
    assert_eq!(bf16_from_f32(f32::MAX), 0x7f80);
}

#[test]
fn text_is_rounded_once() {
    // Half-way between two f32 in decimal, and just above: by way of f64 the second would be wrong.
    assert_eq!(
        parse_f32("1.000000059604644775390625").map(f32::to_bits),
        Ok(0x3f80_0000)
    );
    assert_eq!(
        parse_f32("1.00000005960464477539062500001").map(f32::to_bits),
        Ok(0x3f80_0001)
    );
    assert_eq!(parse_f32(" -1.5e-3\r\n"), Ok(-0.0015));
    assert_eq!(parse_f32("1e-60"), Ok(0.0));
    assert_eq!(parse_f64("0.1"), Ok(0.1));
}

#[test]
fn text_that_is_no_number_is_refused() {
    for text in [
        "nan",
        "NaN",
        "inf",
        "-infinity",
        "0x1p3",
        "1_000",
        "1,5",
        "--1",
        "1e",
        "e5",
        ".",
        "+",
        "1 2",
    ] {
        assert_eq!(parse_f32(text), Err(NumberError::Malformed), "{text}");
        assert_eq!(parse_f64(text), Err(NumberError::Malformed), "{text}");
    }
    assert_eq!(parse_f32(" "), Err(NumberError::Empty));
    assert_eq!(parse_f32("1e39"), Err(NumberError::TooGreat));
    assert_eq!(parse_f64("-1e400"), Err(NumberError::TooGreat));
}

#[test]
fn a_double_is_rounded_once() {
    assert_eq!(f32_from_f64(0.1).to_bits(), 0x3dcc_cccd);
    assert_eq!(f32_from_f64(1e300), f32::INFINITY);
    assert_eq!(f32_from_f64(-f64::NAN).to_bits(), 0x7fc0_0000);
}
