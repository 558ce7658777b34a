//! From the text of one field to a number.

use mmh_numerics::convert;

/// A number as the numerics contract reads text: rounded once to f32; no nan, inf, hex, and none that overflows.
pub(crate) fn parse_f32(text: &str) -> Option<f32> {
    convert::parse_f32(text).ok()
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
