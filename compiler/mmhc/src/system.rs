//! What belongs to the process: its output, files written whole, and what happens when this program itself is at fault.

use crate::outcome::Exit;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The largest recipe that is read, in bytes.
const RECIPE_BYTES: u64 = 16 << 20;

/// Writes a result to stdout. That nobody reads it any more is no mistake; where it cannot be written, as on a full disk, the
/// program ends with a message, as who asked would take a part for the whole.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tell(&format!(
                "error: the result could not be written to stdout: {error}\n  help: make room, or send it elsewhere; files of a run are whole, and `--resume` repeats its result\n"
            ));
            std::process::exit(i32::from(Exit::Fault.status()));
        }
        Ok(()) | Err(_) => {}
    }
}

/// Writes words for people to stderr.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether words for people may be coloured.
pub(crate) fn colour(terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether stderr is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether stdout is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns of the terminal behind stderr, if there is one.
pub(crate) fn width() -> Option<usize> {
    let (terminal_size::Width(width), _) = terminal_size::terminal_size_of(io::stderr())?;
    Some(usize::from(width).clamp(40, 160))
}

/// Reads a text that a person wrote, within limits.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    text(read_limited(fs::File::open(path)?)?)
}

/// Reads all of stdin, within limits.
pub(crate) fn read_stdin() -> io::Result<String> {
    text(read_stdin_bytes()?)
}

/// Reads all of stdin, within limits, whatever it is.
pub(crate) fn read_stdin_bytes() -> io::Result<Vec<u8>> {
    read_limited(io::stdin().lock())
}

/// The text that bytes are.
pub(crate) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))
}

/// The first bytes of a file, at most so many; none of what is no plain file, as reading would take them away.
pub(crate) fn head(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(most as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn read_limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(RECIPE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > RECIPE_BYTES {
        return Err(io::Error::other(
            "it is larger than 16 MiB, which no recipe is",
        ));
    }
    Ok(bytes)
}

/// Writes a file aside and gives it its name, so that it is never there in part. A link is followed; permissions are kept.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".new-{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = (|| {
        let mut file = fs::File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        if let Ok(about) = fs::metadata(&path) {
            file.set_permissions(about.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&aside, &path)
    })();
    written.inspect_err(|_| {
        let _ = fs::remove_file(&aside);
    })
}

/// The `.mmh` files of a folder, by name.
pub(crate) fn recipes_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let named = path.extension().is_some_and(|extension| extension == "mmh");
        if named && path.is_file() {
            found.push(
                path.strip_prefix(".")
                    .map_or(path.clone(), Path::to_path_buf),
            );
        }
    }
    found.sort_unstable();
    Ok(found)
}

static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// From now on a panic is kept quiet until [`report_panic`].
pub(crate) fn remember_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("an unknown reason");
        if message.starts_with("failed printing to std") {
            // Whoever read the output has gone; that is not a mistake to report.
            std::process::exit(0);
        }
        let place = info
            .location()
            .map_or(String::new(), |at| format!(" ({at})"));
        if let Ok(mut kept) = PANIC.lock() {
            kept.get_or_insert_with(|| format!("{message}{place}"));
        }
    }));
}

/// Says that this program is at fault.
pub(crate) fn report_panic() -> Exit {
    let kept = PANIC.lock().ok().and_then(|kept| kept.clone());
    let reason = kept.unwrap_or_else(|| "an unknown reason".to_owned());
    tell(&format!(
        "internal error: {reason}\n  this is a mistake in mmhc {}, not in your recipe; please report it together with the recipe\n",
        env!("CARGO_PKG_VERSION")
    ));
    Exit::Device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_of_this_program_is_kept_and_reported() {
        let before = std::panic::take_hook();
        remember_panics();
        let ended =
            std::panic::catch_unwind(|| std::hint::black_box(None::<u8>).expect("nothing is here"));
        std::panic::set_hook(before);
        assert!(ended.is_err());
        let kept = PANIC.lock().expect("not poisoned").clone();
        assert!(
            kept.is_some_and(|kept| kept.contains("nothing is here") && kept.contains("system.rs"))
        );
        assert_eq!(report_panic(), Exit::Device);
    }

    #[test]
    fn files_are_replaced_whole_and_nothing_is_left_beside_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.mmh");
        for text in ["one", "two"] {
            replace(&path, text).expect("written");
            assert_eq!(read_text(&path).expect("read"), text);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(replace(&folder.path().join("no/such/a.mmh"), "x").is_err());
        assert_eq!(recipes_in(folder.path()).expect("read"), [path]);
    }
}
