//! From the text of one field to a number.

use mmh_numerics::convert;

/// A number as the numerics contract reads text: rounded once to f32; no nan, inf, hex, and none that overflows.
pub(crate) fn parse_f32(text: &str) -> Option<f32> {
    short_f32(text.as_bytes()).or_else(|| convert::parse_f32(text).ok())
}

/// Powers of ten that are exact in f64.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// [`convert::parse_f32`] of most numbers in tables: digits and perhaps a point, and nothing where that does not settle it.
fn short_f32(text: &[u8]) -> Option<f32> {
    let found = leading_f32(text)?;
    (found.length == text.len()).then_some(found.value)
}

/// A number that a text starts with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leading {
    pub(crate) value: f32,
    /// Bytes of the text.
    pub(crate) length: usize,
    /// Whether it is a whole number of 32 bits.
    pub(crate) is_whole: bool,
}

/// The number that a text starts with, up to what is neither digit nor point; nothing where this does not settle it.
///
/// The digits are a whole number below 2⁵³ and the power of ten is exact, so their quotient in f64 is the number rounded once.
/// That lies on the side of every border between two f32 where the number itself lies, unless it is the border: rounding
/// it to f32 then gives what rounding the number would (Clinger, "How to read floating point numbers accurately", 1990).
#[inline]
pub(crate) fn leading_f32(text: &[u8]) -> Option<Leading> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let rest = text.get(start..)?;
    let (mut whole, mut length) = (0_u64, 0);
    let mut digits_from = |whole: &mut u64, from: usize| {
        length = from;
        while let Some(digit) = rest.get(length).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            *whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        length - from
    };
    let ahead = digits_from(&mut whole, 0);
    let (has_point, mut behind) = (rest.get(ahead) == Some(&b'.'), 0);
    if has_point {
        behind = digits_from(&mut whole, ahead + 1);
    }
    // More digits might not fit 64 bits.
    if ahead + behind == 0 || ahead + behind > 18 || whole > 1 << 53 {
        return None;
    }
    let value = whole as f64 / POWERS.get(behind)?;
    // The bits that f32 has not: a border is where the first of them alone is set.
    let is_border = value.to_bits() & 0x1fff_ffff == 0x1000_0000;
    let is_normal = value == 0.0 || value >= f64::from(f32::MIN_POSITIVE);
    let signed = if negative { -value } else { value };
    (is_normal && !is_border).then_some(Leading {
        value: signed as f32,
        length: start + length,
        is_whole: !has_point && whole <= i32::MAX as u64,
    })
}

/// A whole number in decimal digits; `None` for anything else and for what does not fit 32 bits.
pub(crate) fn parse_i32(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// What to say about a field that should be a number: the message's end and the help.
pub(crate) fn why_not_a_number(text: &str) -> (&'static str, String) {
    let lower = text.to_lowercase();
    let unsigned = lower.trim_start_matches(['+', '-']);
    if matches!(unsigned, "nan" | "inf" | "infinity") {
        return (
            "is not a finite number",
            "leave the field empty where a value is missing".to_owned(),
        );
    }
    if unsigned.starts_with("0x") {
        return ("is hexadecimal", "write decimal digits".to_owned());
    }
    let with_point = text.replace(',', ".");
    if with_point != text && parse_f32(&with_point).is_some() {
        return ("has a decimal comma", format!("write `{with_point}`"));
    }
    if text.parse::<f32>().is_ok() {
        return ("is too large for f32", "scale the column down".to_owned());
    }
    (
        "is not a number",
        "write a number, or take the column as a category".to_owned(),
    )
}

/// Sorts and removes doubles: as numbers if every name is a whole number in its shortest form, else by UTF-8 bytes.
pub(crate) fn sorted_levels(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    let numbers: Option<Vec<i64>> = names.iter().map(|name| shortest_whole(name)).collect();
    if let Some(mut numbers) = numbers {
        numbers.sort_unstable();
        return numbers.iter().map(i64::to_string).collect();
    }
    names
}

/// The whole number a text is the shortest form of: `7`, not `07`, `+7` or `7.0`.
pub(crate) fn shortest_whole(text: &str) -> Option<i64> {
    text.parse::<i64>()
        .ok()
        .filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rounded_once() {
        // Through f64 this would be rounded twice, to 16777216.
        assert_eq!(parse_f32("16777217.0000000001"), Some(16_777_218.0));
        assert_eq!(parse_f32("1e-45").map(f32::to_bits), Some(1));
        assert_eq!(parse_f32("-0").map(f32::to_bits), Some(0x8000_0000));
        assert_eq!(parse_f32(".5"), Some(0.5));
        assert_eq!(parse_f32("3.4028235e38"), Some(f32::MAX));
    }

    #[test]
    fn the_short_way_is_the_long_way() {
        let same = |text: &str| {
            let long = convert::parse_f32(text).ok();
            let short = short_f32(text.as_bytes());
            assert!(
                short.is_none() || short.map(f32::to_bits) == long.map(f32::to_bits),
                "{text}"
            );
            short.is_some()
        };
        let mut taken = 0;
        let mut state = 1_u64;
        for round in 0..200_000_u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let digits = (state >> 20) % 10_u64.pow(1 + (round % 17) as u32);
            let mut text = format!("{digits:03}");
            text.insert((state % (text.len() as u64 + 1)) as usize, '.');
            if state & 1 << 40 != 0 {
                text.insert(0, '-');
            }
            taken += u32::from(same(&text));
        }
        assert!(taken > 150_000, "{taken}");
        // Borders between two f32, and just beside them.
        for odd in (16_777_217_u64..16_777_417).step_by(2) {
            for scale in 0..4 {
                let border = odd * 5_u64.pow(scale);
                for (near, power) in [(border, 0), (border * 10 - 1, 1), (border * 10 + 1, 1)] {
                    let digits = format!("{near:020}");
                    let (head, tail) = digits.split_at(20 - (scale as usize + power));
                    same(&format!("{}.{tail}", head.trim_start_matches('0')));
                }
            }
        }
        for text in [
            "", "-", ".", "-.", "1e5", "+1", "1..2", "1.2.3", " 1", "nan",
        ] {
            assert!(!same(text), "{text}");
        }
        assert_eq!(short_f32(b"-0").map(f32::to_bits), Some(0x8000_0000));
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "nan",
            "NaN",
            "inf",
            "-infinity",
            "0x10",
            "1e39",
            "",
            "1 2",
            "1_000",
            "１",
            "--1",
            "e5",
        ] {
            assert_eq!(parse_f32(text), None, "{text}");
        }
        for text in ["1.0", "2147483648", "", "a", "1e2"] {
            assert_eq!(parse_i32(text), None, "{text}");
        }
    }

    #[test]
    fn the_reason_fits_the_slip() {
        assert_eq!(
            why_not_a_number("12,5"),
            ("has a decimal comma", "write `12.5`".to_owned())
        );
        assert_eq!(why_not_a_number("-Inf").0, "is not a finite number");
        assert_eq!(why_not_a_number("0xff").0, "is hexadecimal");
        assert_eq!(why_not_a_number("1e39").0, "is too large for f32");
        assert_eq!(why_not_a_number("tall").0, "is not a number");
    }

    #[test]
    fn levels_sort_as_numbers_only_if_all_are() {
        let sorted =
            |names: &[&str]| sorted_levels(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(sorted(&["10", "9", "-1", "9"]), ["-1", "9", "10"]);
        assert_eq!(sorted(&["10", "9", "b"]), ["10", "9", "b"]);
        assert_eq!(sorted(&["10", "09"]), ["09", "10"]);
    }
}
