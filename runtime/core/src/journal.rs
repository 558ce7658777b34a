//! The journal of a run: one JSON object a line, each holding the hash of the one before.
//!
//! A line is `{"n":…,"prev":"…","entry":{…},"hash":"…","wall":{…}}`. `hash` is 64 hex digits: BLAKE3's key derivation with
//! context `mmh journal 1` over the line's bytes ahead of `,"hash":`, so `n`, `prev` and `entry`. `prev` is the hash of the line
//! before, 64 zeros in the first. `wall` holds facts of the machine and the clock, outside the hash.

use crate::failure::RunFailure;
use crate::files::{Files, read_if_there};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A run began.
    Start {
        /// Edition of the run folder's format: [`EDITION`].
        edition: u32,
        /// Hash of the plan.
        plan_hash: String,
        /// Hash of the recipe.
        recipe_hash: String,
        /// Root seed, hex.
        seed: String,
        /// Hash of the data's content.
        data_hash: String,
        /// blake3 of the files the run was given, by name in the folder.
        files: BTreeMap<String, String>,
        /// The run in this folder that this one took the place of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
        /// The models that trainings begin with.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bases: Vec<Base>,
    },
    /// A training goes on from a checkpoint, or from its start where `step` is 0. What stands between here and that step was
    /// done again.
    Resume {
        /// Declared name.
        training: String,
        /// Steps done.
        step: u64,
        /// blake3 of the checkpoint; none at the start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<String>,
    },
    /// The first steps of a training were taken from another run, whose plan differs from this one's after them alone. The
    /// lines up to the next checkpoint are that run's.
    Taken {
        /// Declared name.
        training: String,
        /// Steps that were taken.
        step: u64,
        /// Hash of that run's plan.
        plan_hash: String,
        /// blake3 of its checkpoint.
        checkpoint: String,
    },
    /// The state of a training at a step that the plan decides: see [`crate::trail`]. Hashes are 64 hex digits.
    State {
        /// Declared name.
        training: String,
        /// Steps done.
        step: u64,
        /// Hash of the order of rows in the epoch at hand.
        order: String,
        /// Hash of the state.
        state: String,
        /// The chain of such hashes up to here.
        chain: String,
    },
    /// An epoch ended.
    Epoch {
        /// Declared name.
        training: String,
        /// Epoch, from 1.
        epoch: u64,
        /// Steps done.
        step: u64,
        /// Mean of the steps' losses, if there is a loss.
        loss: Option<f64>,
        /// Hash of the order in which it took the rows.
        order: String,
    },
    /// The watched metric was measured.
    Watch {
        /// Declared name.
        training: String,
        /// Steps done.
        step: u64,
        /// All metrics of the watch.
        metrics: Value,
        /// Whether it is the best so far.
        best: bool,
        /// Hash of the training's model then, if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// State was saved.
    Checkpoint {
        /// Declared name.
        training: String,
        /// Steps done.
        step: u64,
        /// blake3 of the checkpoint.
        checkpoint: String,
        /// Hash of the state in it, as in [`Event::State`].
        state: String,
    },
    /// A training stopped at a value that is not finite.
    NotFinite {
        /// Declared name.
        training: String,
        /// Steps done.
        step: u64,
        /// The guard.
        guard: String,
    },
    /// The run is over.
    End {
        /// Hash of the model.
        model_hash: String,
        /// Steps done in all trainings together.
        steps: u64,
        /// Steps each training was to do.
        wanted: Vec<u64>,
        /// Metrics by section, part and name.
        metrics: Value,
        /// The trail of each training.
        trails: Vec<TrailEnd>,
        /// blake3 of the files the run leaves, by name in the folder.
        files: BTreeMap<String, String>,
    },
}

/// The run that another one took the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Hash of the last line of its journal.
    pub head: String,
    /// Hash of its recipe.
    pub recipe_hash: String,
    /// Hash of its model; none if it did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_hash: Option<String>,
}

/// A model whose weights a training begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The training.
    pub training: String,
    /// The file as the recipe names it.
    pub path: String,
    /// blake3 of the file.
    pub blake3: String,
    /// Hash of the model; none where the file holds what no model here does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_hash: Option<String>,
    /// The run it is from, where that run's journal stood beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Parent>,
}

/// What the trail of a training comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailEnd {
    /// Declared name.
    pub training: String,
    /// Number of marks.
    pub marks: u64,
    /// The Merkle root over them, 64 hex digits.
    pub root: String,
}

/// A line as read back. A run's journal holds [`Event`]s, a study's those of [`crate::study`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line<E = Event> {
    /// Number, from 0.
    pub n: u64,
    /// Hash of the line before.
    pub prev: String,
    /// What happened.
    pub entry: E,
    /// Hash of this line.
    pub hash: String,
    /// Facts of machine and clock.
    pub wall: Value,
}

/// The edition of the run folder: what stands in it, and what its journal says. A folder of another edition is not gone on
/// with, nor verified: see [`edition_of`].
pub const EDITION: u32 = 1;

/// The edition that a journal's first line names, whatever else stands there: 0 where it is the start of a run or study and names
/// none, as before the first release.
pub fn edition_of(journal: &[u8]) -> Option<u32> {
    let first = journal.split(|byte| *byte == b'\n').next()?;
    let line: Value = serde_json::from_slice(first).ok()?;
    let start = line.get("entry")?.get("start")?;
    let edition = start.get("edition").map_or(Some(0), Value::as_u64);
    edition.map(|edition| u32::try_from(edition).unwrap_or(u32::MAX))
}

/// Refuses a journal of another edition.
pub(crate) fn check_edition(path: &Path, journal: &[u8]) -> Result<(), RunFailure> {
    match edition_of(journal) {
        Some(edition) if edition != EDITION => Err(RunFailure::Edition {
            path: path.to_path_buf(),
            edition,
        }),
        Some(_) | None => Ok(()),
    }
}

/// The `prev` of the first line.
pub const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Bytes of lines that wait to be written, at most.
const MOST_WAITING: usize = 1 << 16;
/// How long a line waits to be written, at most until the next one is added.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// A journal that is being written. Lines that need not last at once wait for others: a line of an epoch that is over in a
/// millisecond is to cost microseconds. What a kill takes with it, whoever goes on from the last checkpoint writes again.
pub struct Journal {
    files: Arc<dyn Files>,
    path: PathBuf,
    head: String,
    next: u64,
    waiting: Vec<u8>,
    written: Instant,
}

impl Drop for Journal {
    /// Writes what still waits. That it cannot be written was told already, or is no more than a kill does.
    fn drop(&mut self) {
        let _ = self.write(false);
    }
}

/// A journal to go on writing, and the lines that are in it.
pub type Opened<E> = (Journal, Vec<Line<E>>);

impl Journal {
    /// A new journal; the file must not be there.
    pub fn create(files: Arc<dyn Files>, path: &Path) -> Self {
        Self {
            files,
            path: path.to_path_buf(),
            head: FIRST.to_owned(),
            next: 0,
            waiting: Vec::new(),
            written: Instant::now(),
        }
    }

    /// Opens a journal to go on writing, cuts a torn last line off, and gives the lines. None if there is no file.
    pub fn open<E: DeserializeOwned>(
        files: Arc<dyn Files>,
        path: &Path,
    ) -> Result<Option<Opened<E>>, RunFailure> {
        let Some(bytes) = read_if_there(&*files, path)? else {
            return Ok(None);
        };
        check_edition(path, &bytes)?;
        let (lines, whole) = read(&bytes).map_err(|reason| damaged(path, reason))?;
        if whole < bytes.len() {
            files
                .truncate(path, whole as u64)
                .map_err(|error| RunFailure::io(path, &error))?;
        }
        let head = lines
            .last()
            .map_or(FIRST.to_owned(), |line| line.hash.clone());
        let journal = Self {
            files,
            path: path.to_path_buf(),
            head,
            next: lines.len() as u64,
            waiting: Vec::new(),
            written: Instant::now(),
        };
        Ok(Some((journal, lines)))
    }

    /// Hash of the last line.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Makes all lines last.
    pub fn flush(&mut self) -> Result<(), RunFailure> {
        self.write(true)
    }

    /// Writes the lines that wait.
    pub fn write_out(&mut self) -> Result<(), RunFailure> {
        self.write(false)
    }

    fn write(&mut self, sync: bool) -> Result<(), RunFailure> {
        if self.waiting.is_empty() && !sync {
            return Ok(());
        }
        // Lines that failed are not tried again: a part of them may be there.
        let lines = std::mem::take(&mut self.waiting);
        self.written = Instant::now();
        self.files
            .append(&self.path, &lines, sync)
            .map_err(|error| RunFailure::io(&self.path, &error))
    }

    /// Adds a line. `wall` is what the clock and the machine say; `sync` makes it last before this returns, otherwise it may
    /// wait for the next.
    pub fn add(
        &mut self,
        event: &impl Serialize,
        wall: Value,
        sync: bool,
    ) -> Result<(), RunFailure> {
        let start = self.waiting.len();
        let hash = match self.put(event, &wall) {
            Ok(hash) => hash,
            Err(reason) => {
                self.waiting.truncate(start);
                return Err(damaged(&self.path, reason));
            }
        };
        let is_first = self.next == 0;
        let is_due = self.waiting.len() >= MOST_WAITING || self.written.elapsed() >= LONGEST_WAIT;
        if sync || is_first || is_due {
            self.write(sync)?;
        }
        if is_first && let Some(folder) = self.path.parent() {
            // A journal whose name is lost would be begun anew, and the checkpoints put aside.
            let synced = self.files.sync_folder(folder);
            synced.map_err(|error| RunFailure::io(&self.path, &error))?;
        }
        (self.head, self.next) = (hash, self.next + 1);
        Ok(())
    }
}

impl Journal {
    /// Puts a line behind those that wait, and gives its hash.
    fn put(&mut self, event: &impl Serialize, wall: &Value) -> Result<String, String> {
        let start = self.waiting.len();
        write!(
            self.waiting,
            r#"{{"n":{},"prev":"{}","entry":"#,
            self.next, self.head
        )
        .map_err(|error| error.to_string())?;
        serde_json::to_writer(&mut self.waiting, event).map_err(|error| error.to_string())?;
        let hash = line_hash(self.waiting.get(start..).unwrap_or_default());
        writeln!(self.waiting, r#","hash":"{hash}","wall":{wall}}}"#)
            .map_err(|error| error.to_string())?;
        Ok(hash)
    }
}

/// The lines of a journal and how many bytes they take. What a crash tore at its end is left out.
///
/// Errors: the number of the first line that does not continue the chain, and why.
pub fn read<E: DeserializeOwned>(bytes: &[u8]) -> Result<(Vec<Line<E>>, usize), String> {
    let (mut lines, mut at) = (Vec::<Line<E>>::new(), 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Ok((lines, at));
        };
        let text = rest.get(..end).unwrap_or_default();
        let prev = lines.last().map_or(FIRST, |line| line.hash.as_str());
        match read_line(text, lines.len() as u64, prev) {
            Ok(line) => lines.push(line),
            // A crash of the system may leave a last line of the right length with wrong bytes, and zeros where sectors of
            // lines that were not synced are missing. No line is written with a zero in it, and a checkpoint is only
            // gone on with if the line it was saved after is still there.
            Err(_)
                if text.contains(&0)
                    || end + 1 == rest.len() && serde_json::from_slice::<Value>(text).is_err() =>
            {
                return Ok((lines, at));
            }
            Err(reason) => return Err(format!("line {}: {reason}", lines.len() + 1)),
        }
        at += end + 1;
    }
    Ok((lines, at))
}

/// A line on its own, and whether its content is what its hash says.
pub(crate) fn parse<E: DeserializeOwned>(text: &[u8]) -> Result<(Line<E>, bool), String> {
    const MARK: &[u8] = br#","hash":""#;
    let line: Line<E> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let cut = text
        .windows(MARK.len())
        .rposition(|window| window == MARK)
        .ok_or("it has no hash")?;
    let is_whole = line_hash(text.get(..cut).unwrap_or_default()) == line.hash;
    Ok((line, is_whole))
}

fn read_line<E: DeserializeOwned>(text: &[u8], n: u64, prev: &str) -> Result<Line<E>, String> {
    let (line, is_whole) = parse(text)?;
    if !is_whole {
        return Err("its content is not what its hash says".to_owned());
    }
    if line.prev != prev || line.n != n {
        return Err("it does not follow the line before".to_owned());
    }
    Ok(line)
}

fn line_hash(bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("mmh journal 1");
    hasher.update(bytes);
    hasher.finalize().to_hex().to_string()
}

fn damaged(path: &Path, reason: String) -> RunFailure {
    RunFailure::Damaged {
        path: path.to_path_buf(),
        reason,
    }
}

/// Seconds since 1970, for the unhashed part of a line.
pub(crate) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;
    use serde_json::json;

    fn written(folder: &Path) -> Vec<u8> {
        let path = folder.join("journal");
        let mut journal = Journal::create(Arc::new(Disk), &path);
        for step in 0..4 {
            let event = Event::Epoch {
                training: "a,\"hash\":\"b".into(),
                epoch: step,
                step,
                loss: Some(0.1),
                order: String::new(),
            };
            journal.add(&event, json!({"time": 1.5}), true).unwrap();
        }
        std::fs::read(path).unwrap()
    }

    #[test]
    fn the_chain_holds_and_shows_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(folder.path());
        let (lines, whole) = read::<Event>(&bytes).unwrap();
        assert_eq!((lines.len(), whole), (4, bytes.len()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let in_wall = |range: &[u8]| range.windows(8).any(|window| window == b",\"wall\":");
            let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            let start = bytes[..at]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |place| place + 1);
            if in_wall(&bytes[start..at]) {
                continue;
            }
            match read::<Event>(&changed) {
                Err(_) => {}
                Ok((found, _)) => {
                    assert!(line == 3 && found.len() == 3, "byte {at} may be changed")
                }
            }
        }
        let mut without: Vec<u8> = Vec::new();
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if number != 1 {
                without.extend_from_slice(line);
            }
        }
        assert_eq!(
            read::<Event>(&without).unwrap_err(),
            "line 2: it does not follow the line before"
        );
    }

    #[test]
    fn sectors_that_are_missing_end_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = written(folder.path());
        let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes[second + 9..second + 60].fill(0);
        let (lines, whole) = read::<Event>(&bytes).unwrap();
        assert_eq!((lines.len(), whole), (1, second));
    }

    #[test]
    fn other_editions_are_known_by_their_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert_eq!(edition_of(&written(folder.path())), None);
        for (entry, edition) in [
            (json!({ "start": { "edition": 1 } }), 1),
            (json!({ "start": { "edition": 7, "what": "ever" } }), 7),
            (json!({ "start": { "plan_hash": "" } }), 0),
            (json!({ "start": { "edition": 1_u64 << 40 } }), u32::MAX),
        ] {
            let text = format!("{}\n", json!({ "n": 0, "entry": entry }));
            assert_eq!(edition_of(text.as_bytes()), Some(edition), "{text}");
            assert_eq!(
                check_edition(&path, text.as_bytes()).is_err(),
                edition != EDITION
            );
        }
    }

    #[test]
    fn a_torn_last_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(folder.path());
        let path = folder.path().join("journal");
        let third = bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .nth(2)
            .unwrap()
            .0
            + 1;
        for end in (third..bytes.len()).step_by(7) {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let (journal, lines) = Journal::open::<Event>(Arc::new(Disk), &path)
                .unwrap()
                .unwrap();
            assert_eq!((lines.len(), journal.next), (3, 3));
            assert_eq!(std::fs::read(&path).unwrap().len(), third);
        }
    }
}
