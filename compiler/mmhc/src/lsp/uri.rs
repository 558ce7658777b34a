//! File addresses: `file:///a%20b.mmh` and `/a b.mmh`.

use std::path::{Component, Path, PathBuf};

/// The path of an address. One that names no file, such as `untitled:1`, stays as it is.
pub(super) fn path_of(uri: &str) -> PathBuf {
    let Some(rest) = uri.strip_prefix("file://") else {
        return PathBuf::from(uri);
    };
    // The host is empty or this one.
    let path = rest.find('/').map_or("", |at| rest.get(at..).unwrap_or(""));
    let decoded = decode(path);
    let drive = decoded.as_bytes();
    let windows = drive.len() > 2 && drive.get(2) == Some(&b':') && cfg!(windows);
    match windows {
        true => PathBuf::from(decoded.trim_start_matches('/')),
        false => plain(Path::new(&decoded)),
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The address of a path.
pub(super) fn of_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if !path.is_absolute() {
        return text.into_owned();
    }
    let mut out = String::from("file://");
    let slashed = text.replace('\\', "/");
    if !slashed.starts_with('/') {
        out.push('/');
    }
    for byte in slashed.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A path without `.` and with `a/..` taken out, links not followed.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_the_same_thing() {
        for (uri, path) in [
            ("file:///a/b.mmh", "/a/b.mmh"),
            ("file:///a%20%C3%A4/b%25.mmh", "/a ä/b%.mmh"),
        ] {
            assert_eq!(path_of(uri), Path::new(path));
            assert_eq!(of_path(Path::new(path)), uri);
        }
        assert_eq!(
            path_of("file://localhost/a/../b%zz.mmh"),
            Path::new("/b%zz.mmh")
        );
        assert_eq!(
            of_path(&path_of("untitled:Untitled-1")),
            "untitled:Untitled-1"
        );
    }
}
