//! `mmhc legacy`: packs of MMH-RS V1.
//!
//! In flow the verb's arguments, out flow a result on stdout, in words or as one JSON document, and the exit code; the
//! work is done by [`mmh_legacy`]. Read [`run`] first.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mmh_legacy::replay::{self, Recorded, ReplaySeed, RowShape};
use mmh_legacy::{
    Error, Inspection, Limits, Manifest, PackForm, UnpackOptions, Unpacked, Verified,
};
use serde_json::{Value, json};

/// The largest report that is read, in bytes.
const REPORT_BYTES: u64 = 1 << 20;

/// Read, verify, unpack and import packs of MMH-RS V1.
#[derive(Args, Clone, Debug)]
pub struct LegacyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Clone, Debug)]
enum Verb {
    /// Say what a pack is, from its header alone.
    Inspect {
        /// The pack.
        file: PathBuf,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Decode a pack to its end, and say what that proves.
    Verify {
        /// The pack.
        file: PathBuf,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Write a pack's files into a folder.
    Unpack {
        /// The pack.
        file: PathBuf,
        /// The folder to write into; it is made if it is not there.
        #[arg(long, value_name = "DIR", default_value = ".")]
        to: PathBuf,
        /// Write a benchmark's archive as the `.tar` it is, and open nothing in it.
        #[arg(long)]
        keep_tar: bool,
        /// Write files with unsafe names under escaped names (`%XX`).
        #[arg(long)]
        escape_names: bool,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Write a data manifest with the full BLAKE3 hashes of a pack and of what is in it.
    Import {
        /// The pack.
        file: PathBuf,
        /// The manifest to write; `FILE.manifest.json` unless said otherwise.
        #[arg(long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Regenerate the data set of V1's benchmark and check the hash that was recorded for it.
    Replay(Replay),
}

/// What a pack may cost.
#[derive(Args, Clone, Copy, Debug)]
struct Bounds {
    /// The most that is decoded, such as `64GiB`.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    max_output: u64,
    /// The largest zstd window, as a power of two in bytes.
    #[arg(long, value_name = "LOG", default_value_t = 23, value_parser = clap::value_parser!(u32).range(10..=31))]
    window_log: u32,
}

impl Bounds {
    fn limits(self) -> Limits {
        Limits {
            max_output: self.max_output,
            window_log: self.window_log,
            ..Limits::default()
        }
    }
}

#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["seed", "report"]))]
struct Replay {
    /// The replay seed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The size of the data set: V1 made `50MiB` or whole GiB.
    #[arg(long, value_name = "SIZE", default_value = "50MiB", value_parser = size, conflicts_with = "report")]
    size: u64,
    /// A `report.json` that V1 wrote.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the data set's files into this folder, which must not be there yet.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Write a table for a byte classifier: `class`, `byte_0`, `byte_1`, …
    #[arg(long, value_name = "CSV")]
    rows: Option<PathBuf>,
    /// The most that is generated, such as `64GiB`.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    max_output: u64,
}

/// Does it and prints the result; returns the exit code, 0 or 1.
pub fn run(args: &LegacyArgs, json: bool) -> u8 {
    match outcome(&args.verb) {
        Ok(outcome) if json => println!("{}", outcome.json),
        Ok(outcome) => println!("{}", outcome.text),
        Err(error) => {
            report_error(&error, json);
            return 1;
        }
    }
    0
}

fn report_error(error: &Error, json: bool) {
    if json {
        println!("{}", error.to_json());
        return;
    }
    eprintln!("{}: {error}", error.code());
    if let Some(help) = error.help() {
        eprintln!("  help: {help}");
    }
}

/// A result in both forms.
struct Outcome {
    json: Value,
    text: String,
}

fn outcome(verb: &Verb) -> Result<Outcome, Error> {
    match verb {
        Verb::Inspect { file, bounds } => {
            let inspection = mmh_legacy::inspect(file, bounds.limits())?;
            Ok(Outcome {
                json: json!(inspection),
                text: describe(&inspection),
            })
        }
        Verb::Verify { file, bounds } => {
            let verified = mmh_legacy::verify(file, bounds.limits())?;
            Ok(Outcome {
                json: json!(verified),
                text: verdict(&verified),
            })
        }
        Verb::Unpack {
            file,
            to,
            keep_tar,
            escape_names,
            bounds,
        } => {
            let options = UnpackOptions {
                limits: bounds.limits(),
                keep_tar: *keep_tar,
                escape_names: *escape_names,
            };
            let unpacked = mmh_legacy::unpack(file, to, options)?;
            Ok(Outcome {
                json: json!(unpacked),
                text: list(&unpacked),
            })
        }
        Verb::Import {
            file,
            manifest,
            bounds,
        } => {
            let (path, manifest) = mmh_legacy::import(file, manifest.as_deref(), bounds.limits())?;
            Ok(Outcome {
                json: json!({ "path": path, "manifest": manifest }),
                text: imported(file, &path, &manifest),
            })
        }
        Verb::Replay(replay) => replayed(replay),
    }
}

fn describe(inspection: &Inspection) -> String {
    let head = format!("{}, {} bytes", inspection.kind, inspection.container_bytes);
    let archive_line = |archive: bool| match archive {
        true => "\nholds the tar archive of a benchmark run",
        false => "",
    };
    match &inspection.form {
        PackForm::Bare { archive, .. } => format!(
            "{head}\nno name, size or hash is stored; nothing tells this from any other zstd file{}",
            archive_line(*archive)
        ),
        PackForm::Tagged {
            header,
            extension_fault,
            archive,
            ..
        } => {
            let fault =
                extension_fault.map_or_else(String::new, |fault| format!(", which {fault}"));
            format!(
                "{head}\nwritten by V{}\ncontent id {}\nextension `{}`{fault}{}",
                header.release.number(),
                header.content_id,
                header.extension.escape_debug(),
                archive_line(*archive)
            )
        }
        PackForm::Directory {
            header,
            tiny_files,
            tiny_bytes,
            records,
        } => {
            let mut text = format!(
                "{head}\npacked at {}\n{} files, {} bytes",
                header.packed_at, header.files, header.total_bytes
            );
            for record in records {
                let fault = record
                    .fault
                    .map_or_else(String::new, |fault| format!("  (the name {fault})"));
                text.push_str(&format!(
                    "\n  {:>12}  {}{fault}",
                    record.bytes,
                    record.name.escape_debug()
                ));
            }
            if *tiny_files > 0 {
                text.push_str(&format!(
                    "\n  {tiny_bytes:>12}  {tiny_files} tiny files, run together; their names and boundaries were never stored"
                ));
            }
            text
        }
    }
}

fn verdict(verified: &Verified) -> String {
    let archive = verified.archive.map_or_else(String::new, |archive| {
        format!(
            "\nthe archive inside holds {} files, {} bytes",
            archive.members, archive.bytes
        )
    });
    format!(
        "{}\n{} bytes decode to {}\nproof: {}{archive}",
        verified.kind, verified.container_bytes, verified.payload_bytes, verified.statement
    )
}

fn list(unpacked: &Unpacked) -> String {
    let mut text = String::new();
    for file in &unpacked.files {
        let tiny = file.tiny_files.map_or_else(String::new, |files| {
            format!(
                "  ({files} tiny files, run together; their names and boundaries were never stored)"
            )
        });
        text.push_str(&format!(
            "{:>12}  {}{tiny}\n",
            file.bytes,
            file.path.display()
        ));
    }
    text.push_str("proof: ");
    text.push_str(unpacked.proof.statement());
    text
}

fn imported(file: &Path, path: &Path, manifest: &Manifest) -> String {
    format!(
        "wrote {}\n{} bytes decode to {}, {}\nproof: {}\nread it with: source = legacy(\"{}\", blake3 = \"{}\")",
        path.display(),
        manifest.container.bytes,
        manifest.payload.bytes,
        manifest.payload.blake3,
        manifest.proof.statement(),
        file.display(),
        manifest.container.blake3.trim_start_matches("blake3:")
    )
}

fn replayed(arguments: &Replay) -> Result<Outcome, Error> {
    let (seed, recorded, origin) = wanted(arguments)?;
    if seed.total_bytes > arguments.max_output {
        return Err(Error::OutputTooLarge {
            limit: arguments.max_output,
        });
    }
    let replayed = replay::replay(seed);
    if let Some(recorded) = &recorded {
        replayed.check(recorded)?;
    }
    let verdict = match &recorded {
        Some(_) => format!("this is what {origin} recorded"),
        None => {
            "no published report recorded this seed and size, so there is nothing to compare with"
                .to_owned()
        }
    };
    let mut text = format!(
        "seed {}: {} files, {} bytes\ninput_hash {}\n{verdict}",
        replayed.replay_seed, replayed.total_files, replayed.total_size_bytes, replayed.input_hash
    );
    let mut json = json!(replayed);
    json["recorded"] = json!(recorded);
    json["matches"] = recorded.map_or(Value::Null, |_| Value::Bool(true));
    if let Some(to) = &arguments.to {
        let folder = replay::write_files(seed, to)?;
        text.push_str(&format!("\nwrote the files into {}", folder.display()));
        json["to"] = json!(folder);
    }
    if let Some(to) = &arguments.rows {
        let rows = replay::write_rows(seed, RowShape::default(), to)?;
        text.push_str(&format!("\nwrote {rows} rows to {}", to.display()));
        json["rows"] = json!({ "path": to, "count": rows });
    }
    Ok(Outcome { json, text })
}

/// What to regenerate, what was recorded for it, and who recorded it.
fn wanted(arguments: &Replay) -> Result<(ReplaySeed, Option<Recorded>, String), Error> {
    let Some(path) = &arguments.report else {
        // The group asks for one of the two, so without a report there is a seed.
        let seed = ReplaySeed {
            seed: arguments.seed.unwrap_or_default(),
            total_bytes: arguments.size,
        };
        return Ok((
            seed,
            replay::published_for(seed),
            "a published report".to_owned(),
        ));
    };
    let failed = |source| Error::Io {
        path: Some(path.clone()),
        source,
    };
    let mut text = Vec::new();
    fs::File::open(path)
        .map_err(failed)?
        .take(REPORT_BYTES)
        .read_to_end(&mut text)
        .map_err(failed)?;
    let recorded = replay::parse_report(&text)?;
    Ok((
        recorded.seed(),
        Some(recorded),
        format!("`{}`", path.display()),
    ))
}

/// `50MiB`, `4 GiB`, `4096B`: a whole number and its unit.
fn size(text: &str) -> Result<u64, String> {
    let refuse = || {
        format!("`{text}` is no size; write a whole number with a unit, such as `50MiB` or `4GiB`")
    };
    let unit_start = text
        .find(|character: char| !character.is_ascii_digit())
        .ok_or_else(refuse)?;
    let (number, unit) = text.split_at(unit_start);
    let shift = match unit.trim_start() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(refuse()),
    };
    let number: u64 = number.parse().map_err(|_| refuse())?;
    number.checked_mul(1 << shift).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        legacy: LegacyArgs,
    }

    fn parse(arguments: &[&str]) -> Result<LegacyArgs, clap::Error> {
        Command::try_parse_from([&["legacy"], arguments].concat()).map(|command| command.legacy)
    }

    #[test]
    fn sizes_need_units() {
        assert_eq!(size("50MiB"), Ok(50 << 20));
        assert_eq!(size("2 GiB"), Ok(2 << 30));
        assert_eq!(size("0B"), Ok(0));
        for text in ["", "50", "MiB", "-1MiB", "1.5GiB", "1GB", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn replay_takes_a_seed_or_a_report() {
        assert!(parse(&["replay", "--seed", "18446744073709551615", "--size", "1GiB"]).is_ok());
        assert!(parse(&["replay", "--report", "report.json"]).is_ok());
        for wrong in [
            &["replay"][..],
            &["replay", "--seed", "1", "--report", "report.json"],
            &["replay", "--report", "report.json", "--size", "1GiB"],
            &["replay", "--seed", "-1"],
            &["unpack"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_replayed_seed_is_checked_against_the_published_report() {
        let arguments = parse(&["replay", "--seed", "12345"]).expect("complete");
        let outcome = outcome(&arguments.verb).expect("the recorded data set");
        assert_eq!(outcome.json["matches"], true);
        assert_eq!(outcome.json["total_files"], 97);
        let arguments = parse(&["replay", "--seed", "1", "--size", "1MiB"]).expect("complete");
        let outcome = super::outcome(&arguments.verb).expect("a data set");
        assert_eq!(outcome.json["matches"], Value::Null);
    }

    #[test]
    fn a_pack_goes_through_every_verb() {
        let folder = tempfile::tempdir().expect("a folder");
        let pack = folder.path().join("empty.mmh");
        let empty = "MMH-RS V1.2.0\nDETERMINISTIC_ID: file_e3b0c44298fc1c14\nFILE_EXTENSION: dat\n";
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 1, 0, 0];
        fs::write(&pack, [empty.as_bytes(), &frame].concat()).expect("a pack");
        let (pack, to) = (pack.to_str().expect("UTF-8"), folder.path().join("out"));
        let to = to.to_str().expect("UTF-8");
        for verb in [
            &["inspect", pack][..],
            &["verify", pack],
            &["unpack", pack, "--to", to],
            &["import", pack],
        ] {
            let arguments = parse(verb).expect("complete");
            assert!(
                outcome(&arguments.verb).is_ok_and(|outcome| !outcome.text.is_empty()),
                "{verb:?}"
            );
        }
        assert!(folder.path().join("out/empty.dat").exists());
        let again = parse(&["unpack", pack, "--to", to]).expect("complete");
        assert_eq!(run(&again, true), 1);
    }
}
