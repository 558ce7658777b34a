//! Which names from inside a pack may become file names.

use std::fmt;

use serde::Serialize;

/// What makes a name unfit to be created as a file below the target folder, on this system or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameFault {
    /// Nothing is left to call the file.
    Empty,
    /// More than 255 bytes.
    TooLong,
    /// `.` or `..`.
    Dots,
    /// Has `/`, `\` or `:`.
    Separator,
    /// Has a control character.
    Control,
    /// Ends in a dot or a space, which Windows drops.
    TrailingDotOrSpace,
    /// A device name on Windows, such as `NUL` or `com1.txt`.
    Reserved,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 255 bytes",
            Self::Dots => "is a folder's own or parent's name",
            Self::Separator => "has a path separator in it",
            Self::Control => "has a control character in it",
            Self::TrailingDotOrSpace => "ends in a dot or a space",
            Self::Reserved => "is a device name on Windows",
        })
    }
}

const RESERVED: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Says why `name` may not be created as a file, if it may not.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    let fault = if name.is_empty() {
        NameFault::Empty
    } else if name.len() > 255 {
        NameFault::TooLong
    } else if name == "." || name == ".." {
        NameFault::Dots
    } else if name.contains(is_separator) {
        NameFault::Separator
    } else if name.contains(char::is_control) {
        NameFault::Control
    } else if name.ends_with(['.', ' ']) {
        NameFault::TrailingDotOrSpace
    } else if is_reserved(name) {
        NameFault::Reserved
    } else {
        return Ok(());
    };
    Err(fault)
}

/// Rewrites an unfit name with `%XX` where it is unfit; a fit name stays as it is.
pub fn escape_name(name: &str) -> String {
    if check_name(name).is_ok() {
        return name.to_owned();
    }
    let mut escaped = String::with_capacity(name.len() + 8);
    let last = name.chars().count().saturating_sub(1);
    for (position, character) in name.chars().enumerate() {
        let at_fault = is_separator(character)
            || character.is_control()
            || character == '%'
            || (position == last && matches!(character, '.' | ' '))
            || (position == 0 && is_reserved(name));
        if at_fault {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn is_separator(character: char) -> bool {
    matches!(character, '/' | '\\' | ':')
}

fn is_reserved(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or(name)
        .trim_end_matches(' ')
        .to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            let mut characters = rest.chars();
            matches!(characters.next(), Some('0'..='9' | '¹' | '²' | '³'))
                && characters.next().is_none()
        })
    };
    RESERVED.contains(&stem.as_str()) || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfit_names_are_named_and_escape_to_fit_ones() {
        let cases = [
            ("", NameFault::Empty),
            ("..", NameFault::Dots),
            ("../evil", NameFault::Separator),
            ("a\\b", NameFault::Separator),
            ("c:evil", NameFault::Separator),
            ("a\0b", NameFault::Control),
            ("a\u{7f}", NameFault::Control),
            ("dot.", NameFault::TrailingDotOrSpace),
            ("nul", NameFault::Reserved),
            ("Com1.txt", NameFault::Reserved),
            ("NUL .txt", NameFault::Reserved),
        ];
        for (name, fault) in cases {
            assert_eq!(check_name(name), Err(fault), "{name:?}");
            if !name.is_empty() {
                let escaped = escape_name(name);
                let left = check_name(&escaped);
                assert!(left.is_ok(), "{name:?} became {escaped:?}: {left:?}");
            }
        }
        assert_eq!(check_name(&"x".repeat(256)), Err(NameFault::TooLong));
        for name in [
            "a..b",
            "sample.täxt",
            ".hidden",
            "com10",
            "null",
            "console.txt",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
            assert_eq!(escape_name(name), name);
        }
    }
}
