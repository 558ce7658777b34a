//! Wrong data and wrong numbers: said with file, row, column or step, and what to do; nothing is lost.

use crate::support::{Place, Ran, examples, skip};
use serde_json::Value;

/// Three heaps of points.
const RECIPE: &str = r#"mmh 1

seed 7

data points {
  source = csv("points.csv")
  x: f32[feature = 2] = source.x
  label: class[3] = source.heap
  split  = stratified(by = label, train = 60%, valid = 20%, test = 20%)
}

model net(x: f32[batch, feature = 2]) -> f32[batch, class = 3] {
  x |> linear(class = 3)
}

train fit {
  rows     = points.train |> shuffle |> batch(8)
  predict  = net(rows.x)
  loss     = cross_entropy(predict, rows.label)
  optimize = adamw(lr = 1e-1)
  length   = 4 epochs
}
"#;

/// The table of the recipe, a row a line.
fn table() -> Vec<String> {
    let row = |n: u32| format!("{}.5,{},{}", n % 3 * 10 + n % 7, n % 5, n % 3);
    [String::from("x_0,x_1,heap")]
        .into_iter()
        .chain((0..60).map(row))
        .collect()
}

fn lines(lines: &[String], end: &str) -> String {
    lines.iter().map(|line| format!("{line}{end}")).collect()
}

/// A place with the recipe and the table, a line of which is replaced.
fn with_line(number: usize, text: &str) -> Place {
    let place = Place::new();
    let mut table = table();
    table[number] = text.to_owned();
    place.write("points.mmh", RECIPE);
    place.write("points.csv", lines(&table, "\n"));
    place
}

fn hash(place: &Place) -> String {
    place.mmhc(&["run", "points.mmh"]).ends(0).out
}

/// The first finding of a run that fails.
#[track_caller]
fn fault(ran: &Ran, code: &str) -> String {
    let finding = &ran.json()["diagnostics"][0];
    assert_eq!(finding["code"], code, "{ran:?}");
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    assert!(!text("help").is_empty(), "{finding}: no help");
    format!("{}; {}", text("message"), text("help"))
}

/// Fails unless `run` refuses the recipe with this code and all these words.
#[track_caller]
fn refused(place: &Place, code: &str, words: &[&str]) {
    let ran = place.mmhc(&["run", "points.mmh", "--json"]).ends(1);
    let said = fault(&ran, code);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(
        !place.path("runs").exists(),
        "a folder was made for a run that cannot begin"
    );
}

#[test]
fn the_same_rows_in_another_dress_give_the_same_model() {
    let plain = with_line(0, "x_0,x_1,heap");
    let wanted = hash(&plain);
    let quoted: Vec<String> = table()
        .iter()
        .map(|line| format!("\"{}\"", line.replace(',', "\",\"")))
        .collect();
    let dresses = [
        lines(&table(), "\r\n"),
        format!("\u{feff}{}", lines(&table(), "\n")),
        format!("\u{feff}{}", lines(&quoted, "\r\n")),
        table().join("\n"),
    ];
    for dress in dresses {
        plain.write("points.csv", &dress);
        assert_eq!(hash(&plain), wanted, "{dress:?}");
    }
}

#[test]
fn a_file_that_is_missing_or_another() {
    let place = Place::new();
    place.write("points.mmh", RECIPE);
    place.write("point.csv", "");
    refused(
        &place,
        "data::missing-file",
        &["points.csv", "did you mean `point.csv`"],
    );
    place.write("points.csv", lines(&table(), "\n"));
    let pin = "0".repeat(64);
    let pinned = RECIPE.replace("points.csv\"", &format!("points.csv\", blake3 = \"{pin}\""));
    place.write("points.mmh", pinned);
    refused(
        &place,
        "data::wrong-hash",
        &["points.csv", &pin, "mmhc lock"],
    );
}

#[test]
fn a_column_that_is_not_there() {
    let place = with_line(0, "x_0,x_1,heap");
    place.write("points.mmh", RECIPE.replace("source.heap", "source.heep"));
    refused(
        &place,
        "data::unknown-column",
        &["heep", "did you mean `heap`"],
    );
    assert_eq!(findings(&place), 1, "a mistake is told once");
}

/// How many things `check` finds.
fn findings(place: &Place) -> usize {
    let check = ["check", "points.mmh", "--format", "json"];
    let found = place.mmhc(&check).json();
    found["diagnostics"].as_array().map_or(0, Vec::len)
}

/// The line of the recipe that the first finding of `check` points at.
fn pointed_at(place: &Place) -> String {
    let check = ["check", "points.mmh", "--format", "json"];
    let found = place.mmhc(&check).json();
    let line = found["diagnostics"][0]["labels"][0]["start"]["line"].as_u64();
    let recipe = String::from_utf8(place.read("points.mmh")).expect("UTF-8");
    let mut lines = recipe.lines();
    let line = line.and_then(|line| lines.nth(line as usize - 1));
    line.expect("a line of the recipe").trim().to_owned()
}

#[test]
fn cells_that_cannot_be_read() {
    // The line, the code, what is said beside file, line and row, and where the recipe is pointed at.
    let cases: [(&str, &str, &[&str], &str); 14] = [
        (
            "1.5,two,1",
            "data::not-a-number",
            &["`two`", "`x_1`", "write a number"],
            "x:",
        ),
        (
            "1.5,nan,1",
            "data::not-a-number",
            &["`nan`", "`x_1`", "leave the field empty"],
            "x:",
        ),
        (
            "0x1F,2,1",
            "data::not-a-number",
            &["`0x1F`", "`x_0`", "decimal"],
            "x:",
        ),
        (
            "1e99,2,1",
            "data::not-a-number",
            &["too large for f32", "`x_0`", "scale"],
            "x:",
        ),
        (
            "1.5,2,1.5",
            "data::not-a-number",
            &["`1.5`", "`heap`", "whole", "correct the cell"],
            "label:",
        ),
        (
            "1.5,2",
            "data::ragged-row",
            &["2 fields", "3 columns", "`heap`"],
            "source",
        ),
        (
            "1.5,2,1,0",
            "data::ragged-row",
            &["4 fields", "3 columns", "in quotes"],
            "source",
        ),
        (
            "",
            "data::ragged-row",
            &["the line is empty", "remove it"],
            "source",
        ),
        (
            "1.5,\"2,1",
            "data::format",
            &["quote", "never closed", "`x_1`", "add `\"`"],
            "source",
        ),
        (
            "1.5,\"2\"x,1",
            "data::format",
            &["after a closing quote", "`x_1`", "twice"],
            "source",
        ),
        (
            "1.5,,1",
            "data::missing-value",
            &["a value of `x`", "`x_1`", "impute"],
            "x:",
        ),
        (
            "1.5,2,",
            "data::missing-value",
            &["a value of `heap`", "`heap`", "optional"],
            "label:",
        ),
        (
            "1.5,2,3",
            "data::class-range",
            &["`3`", "3 classes 0 to 2", "class[4]", "`heap`"],
            "label:",
        ),
        (
            "1.5,2,cat",
            "data::class-range",
            &["4 categories", "`cat`", "`heap`", "correct"],
            "label:",
        ),
    ];
    for (line, code, words, pointed) in cases {
        let place = with_line(7, line);
        refused(&place, code, words);
        refused(&place, code, &["points.csv, line 8, row 7"]);
        assert_eq!(findings(&place), 1, "{line}");
        let at = pointed_at(&place);
        assert!(at.starts_with(pointed), "{line}: {at}");
    }
    let place = with_line(7, "1.5,2,-1");
    refused(
        &place,
        "data::class-range",
        &["`-1`", "points.csv, line 8, row 7, column `heap`"],
    );
}

/// A column taken alone, not beside others, is one of numbers by its type.
#[test]
fn a_word_in_a_column_taken_alone() {
    for taken in [
        "source.x_1",
        "source.x_1 / 2",
        "1 + source.x_1",
        "source.x_1 |> standardise",
        "source.x_1 |> impute(mean)",
        "log(source.x_1)",
    ] {
        let place = with_line(7, "1.5,two,1");
        let lines = RECIPE
            .lines()
            .map(|line| match line.trim().starts_with("x:") {
                true => format!("  x: f32[feature = 1] = {taken}\n"),
                false => format!("{line}\n"),
            });
        place.write(
            "points.mmh",
            lines
                .collect::<String>()
                .replace("feature = 2", "feature = 1"),
        );
        let words = ["`two`", "points.csv, line 8, row 7, column `x_1`"];
        refused(&place, "data::not-a-number", &words);
        assert_eq!(findings(&place), 1, "{taken}");
        assert!(pointed_at(&place).contains(taken), "{taken}");
    }
}

#[test]
fn the_first_of_several_missing_values_is_named() {
    let mut rows = table();
    rows[5] = "1.5,,1".into();
    rows[9] = ",,2".into();
    let place = with_line(0, "x_0,x_1,heap");
    place.write("points.csv", lines(&rows, "\n"));
    let words = [
        "3 values of `x`",
        "first: points.csv, line 6, row 5, column `x_1`",
    ];
    refused(&place, "data::missing-value", &words);
}

#[test]
fn files_that_are_empty_or_no_text() {
    let place = with_line(0, "x_0,x_1,heap");
    place.write("points.csv", "");
    refused(&place, "data::truncated", &["points.csv", "empty"]);
    place.write("points.csv", b"x_0,x_1,heap\n\xff,2,1\n");
    refused(&place, "data::format", &["points.csv", "UTF-8", "byte 14"]);
    place.write("points.csv", "x_0,x_1,heap\n");
    refused(&place, "data::empty-split", &["`points`", "`train`"]);
}

#[test]
fn a_part_without_rows() {
    let place = with_line(0, "x_0,x_1,heap");
    let watch = "  watch    = accuracy(predict, rows.label, on = points.valid)\n}";
    let tail = RECIPE
        .trim_end()
        .strip_suffix('}')
        .expect("the end of `train`");
    for split in [
        "stratified(by = label, train = 99.9%, valid = 0.1%)",
        "random(train = 99.9%, valid = 0.1%)",
    ] {
        let old = "stratified(by = label, train = 60%, valid = 20%, test = 20%)";
        place.write("points.mmh", format!("{tail}{watch}\n").replace(old, split));
        refused(&place, "data::empty-split", &["`valid`", "`points`"]);
    }
}

/// A gzip file whose content is stored as it is, in one block.
fn gzip(content: &[u8]) -> Vec<u8> {
    let size = u16::try_from(content.len()).expect("one block");
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    bytes.extend(size.to_le_bytes());
    bytes.extend((!size).to_le_bytes());
    bytes.extend(content);
    bytes.extend(crc32(content).to_le_bytes());
    bytes.extend(u32::from(size).to_le_bytes());
    bytes
}

/// The check sum of RFC 1952.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

#[test]
fn gzip_files_whole_cut_and_damaged() {
    let place = with_line(0, "x_0,x_1,heap");
    let wanted = hash(&place);
    let packed = gzip(lines(&table(), "\n").as_bytes());
    place.write("points.csv", &packed);
    assert_eq!(hash(&place), wanted);
    std::fs::remove_dir_all(place.path("runs")).expect("removed");
    for length in [0, 5, 12, packed.len() / 2, packed.len() - 1] {
        place.write("points.csv", &packed[..length]);
        refused(&place, "data::truncated", &["points.csv"]);
    }
    let mut damaged = packed.clone();
    damaged[40] ^= 1;
    place.write("points.csv", damaged);
    refused(
        &place,
        "data::format",
        &["points.csv", "gzip", "fetch the file again"],
    );
}

/// An IDX file of bytes.
fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let head = [0, 0, 8, u8::try_from(sizes.len()).expect("few axes")];
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    head.into_iter()
        .chain(sizes)
        .chain(bytes.iter().copied())
        .collect()
}

#[test]
fn idx_files_that_end_early_or_disagree() {
    let recipe = RECIPE
        .replace(
            "csv(\"points.csv\")",
            "idx(images = \"x.idx\", labels = \"y.idx\")",
        )
        .replace("source.x", "source.images")
        .replace("source.heap", "source.labels");
    let place = Place::new();
    place.write("points.mmh", recipe);
    let labels: Vec<u8> = (0..60).map(|row| row % 3).collect();
    let images = idx(&[60, 2], &labels.repeat(2));
    place.write("x.idx", &images);
    place.write("y.idx", idx(&[60], &labels));
    hash(&place);
    std::fs::remove_dir_all(place.path("runs")).expect("removed");
    for length in [0, 3, 9, images.len() - 1] {
        place.write("x.idx", &images[..length]);
        refused(&place, "data::truncated", &["x.idx"]);
    }
    place.write("x.idx", [&images[..], b"more"].concat());
    refused(&place, "data::format", &["x.idx"]);
    place.write("x.idx", &images);
    place.write("y.idx", idx(&[59], &labels[..59]));
    let words = [
        "59 labels",
        "`x.idx` has 60 pictures",
        "`y.idx`",
        "fetch both",
    ];
    refused(&place, "data::format", &words);
    let mut labels = labels;
    labels[41] = 7;
    place.write("y.idx", idx(&[60], &labels));
    let words = ["`7`", "y.idx, row 42, column `labels`", "class[8]"];
    refused(&place, "data::class-range", &words);
    place.write("y.idx", idx(&[60, 2], &labels.repeat(2)));
    refused(&place, "data::format", &["y.idx", "several values a row"]);
}

#[test]
fn a_number_that_is_not_finite_names_step_operation_and_line() {
    let place = Place::new();
    let recipe = examples().join("tabular.mmh");
    let text = std::fs::read_to_string(&recipe).expect("the recipe");
    let recipe = recipe.to_str().expect("UTF-8");
    let absurd = [
        "run",
        recipe,
        "--out",
        "out",
        "--json",
        "--set",
        "fit.optimize.lr=1e30",
    ];
    let ran = place.mmhc(&absurd).ends(1);
    let said = fault(&ran, "run::not-finite");
    for word in [
        "`loss`",
        "step 2 (epoch 1) of `fit`",
        "first in `contract`",
        "smaller `lr`",
    ] {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    let line = &ran.json()["diagnostics"][0]["labels"][0]["start"]["line"];
    let line = line
        .as_u64()
        .and_then(|line| text.lines().nth(line as usize - 1))
        .expect("a line of the recipe");
    assert!(line.contains("linear(hidden = hidden)"), "{line}");
    // Nothing that was saved is lost, and a run anew takes the place.
    assert!(place.path("out/journal").is_file() && !place.path("out/model.safetensors").exists());
    place
        .mmhc(&["run", recipe, "--out", "out", "--limit", "2 steps"])
        .ends(0);
}

/// A file system of a few blocks, in a name space of its own, needs no root where the system allows it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let place = with_line(0, "x_0,x_1,heap");
    let wanted = hash(&place);
    place.write("full/.keep", "");
    let mmhc = env!("CARGO_BIN_EXE_mmhc");
    let script = |kib: u32| {
        format!(
            "mount -t tmpfs -o size={kib}k none full && echo mounted && \
             {mmhc} run points.mmh --out full/run; echo ended $?; ls full/run/*.new; \
             mount -o remount,size=16m full && {mmhc} run points.mmh --out full/run --resume"
        )
    };
    let mut full = 0;
    for kib in [4, 8, 16, 24, 32, 40, 48, 56, 64, 96, 128] {
        let mut command = std::process::Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script(kib),
        ]);
        let ran = command.current_dir(place.path("")).output();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = ran
            .map(|ran| (text(&ran.stdout), text(&ran.stderr)))
            .unwrap_or_default();
        if !out.starts_with("mounted") {
            return skip(
                "a_full_disk_is_said_and_nothing_is_lost",
                "this system lets nobody but root mount",
            );
        }
        if out.contains("ended 1") {
            full += 1;
            assert!(
                err.contains("run::disk-full") && err.contains("--resume"),
                "{kib} KiB: {err}"
            );
            assert!(
                !out.contains(".new"),
                "{kib} KiB: a half-written file stays: {out}"
            );
        } else {
            assert!(out.contains("ended 0"), "{kib} KiB: {out}\n{err}");
        }
        assert!(out.ends_with(&wanted), "{kib} KiB: {out}\n{err}");
    }
    assert!(full > 3, "the disk was full {full} times");
}

#[test]
fn findings_of_check_and_run_are_the_same() {
    let place = with_line(4, "1.5,2");
    let run = place.mmhc(&["run", "points.mmh", "--json"]).ends(1).json();
    let check = place
        .mmhc(&["check", "points.mmh", "--format", "json"])
        .ends(1)
        .json();
    assert_eq!(run["diagnostics"], check["diagnostics"]);
    assert_eq!(run["diagnostics"].as_array().map(Vec::len), Some(1));
    assert!(matches!(
        run["diagnostics"][0]["labels"][0]["start"]["line"],
        Value::Number(_)
    ));
}

/// A limit on the size of files stands in for a disk that is full, and needs no rights. The files of the run are written whole
/// or not at all; with the limit gone, `--resume` ends with the same model.
#[cfg(unix)]
#[test]
fn a_limit_on_file_sizes_is_said_and_nothing_is_lost() {
    let place = with_line(0, "x_0,x_1,heap");
    let wanted = hash(&place);
    std::fs::remove_dir_all(place.path("runs")).expect("removed");
    let mmhc = env!("CARGO_BIN_EXE_mmhc");
    let script = format!("trap '' XFSZ; ulimit -f 1; {mmhc} run points.mmh --json");
    let ran = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(place.path(""))
        .output();
    let Ok(ran) = ran else {
        return skip(
            "a_limit_on_file_sizes_is_said_and_nothing_is_lost",
            "there is no bash",
        );
    };
    let json: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(ran.status.code(), Some(1), "{json}");
    assert_eq!(json["diagnostics"][0]["code"], "run::disk-full", "{json}");
    let whole = [
        "journal",
        "mmh.lock",
        "plan",
        "recipe.mmh",
        "checkpoints",
        ".lock",
    ];
    for entry in std::fs::read_dir(place.path("runs/points"))
        .expect("the folder")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(whole.contains(&name.as_str()), "`{name}` is there in part");
    }
    let resumed = place.mmhc(&["run", "points.mmh", "--resume"]).ends(0);
    assert_eq!(resumed.out, wanted);
}

/// Who reads a result that could not be written must not take its absence for success.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_said() {
    let place = with_line(0, "x_0,x_1,heap");
    let mmhc = env!("CARGO_BIN_EXE_mmhc");
    let full = std::fs::File::create("/dev/full").expect("/dev/full");
    let ran = std::process::Command::new(mmhc)
        .args(["run", "points.mmh"])
        .current_dir(place.path(""))
        .stdout(full)
        .output()
        .expect("mmhc runs");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("could not be written to stdout"), "{said}");
    assert!(place.path("runs/points/model.safetensors").is_file());
}
