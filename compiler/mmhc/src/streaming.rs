//! How much memory data may take, and where the rows of larger sources are kept. It changes no bit of a result.

use crate::system;
use mmh_data::Streaming;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Memory of a source where the system does not say how much it has.
const MEMORY: u64 = 2 << 30;

/// Bytes that packed rows may take on the disk.
const CACHE: u64 = 128 << 30;

/// What was asked for on the command line.
static ASKED: OnceLock<u64> = OnceLock::new();

/// Says how the process reads data. Where no folder can be named, nothing is streamed.
pub(crate) fn begin(memory: Option<u64>) {
    if let Some(memory) = memory {
        let _ = ASKED.set(memory);
    }
    let Some(folder) = folder() else { return };
    let amount = |name: &str| {
        let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
        let read = bytes(&text);
        if let Err(error) = &read {
            system::tell(&format!("warning: {name}: {error}\n"));
        }
        read.ok()
    };
    let memory = memory.or_else(|| amount("MMH_DATA_MEMORY"));
    Streaming {
        // It is named once for the life of the process.
        folder: Box::leak(folder.into_boxed_path()),
        memory: memory.unwrap_or_else(|| of_machine().unwrap_or(4 * MEMORY) / 4),
        cache: amount("MMH_DATA_CACHE_LIMIT").unwrap_or(CACHE),
        told: system::tell,
    }
    .use_in_process();
}

/// The memory that was asked for, for processes that this one starts.
pub(crate) fn asked() -> Option<u64> {
    ASKED.get().copied()
}

/// The folder of packed rows: `MMH_DATA_CACHE`, or `mmhc/data` where the system keeps what can be made again.
pub(crate) fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = || {
        set("XDG_CACHE_HOME")
            .or_else(|| set("LOCALAPPDATA"))
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
    };
    match set("MMH_DATA_CACHE") {
        Some(folder) => Some(folder.into()),
        None => cache().map(|cache| cache.join("mmhc").join("data")),
    }
}

/// An amount of memory: bytes, or a number and its unit.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let refuse = || "write bytes, or a number with its unit, such as `512MiB` or `2GiB`".to_owned();
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(refuse)?;
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(refuse()),
    };
    number.checked_mul(unit).ok_or_else(refuse)
}

/// The memory that this process may use, as far as the system tells: the least of what is there, what a container allows, and
/// the limit on addresses.
fn of_machine() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        let word = line.get(name.len()..)?.split_whitespace().next()?;
        word.parse::<u64>().ok()
    };
    let there = line(&read("/proc/meminfo"), "MemTotal:").map(|kib| kib << 10);
    let container = read("/sys/fs/cgroup/memory.max").trim().parse().ok();
    let addresses = line(&read("/proc/self/limits"), "Max address space");
    [there, container, addresses].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn amounts() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("2 GB"), Ok(2_000_000_000));
        assert_eq!((bytes("0"), bytes("17B")), (Ok(0), Ok(17)));
        for text in ["", "MiB", "1.5GiB", "-1", "3 apples", "99999999999TiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
