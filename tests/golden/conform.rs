//! `mmhc conform`: every device here has the bits of every vector, and one wrong bit in a file is found.

use crate::CACHE;
use crate::support::Place;
use mmh_cpu::isa::{Isa, admit};
use serde_json::Value;
use std::process::Stdio;

/// What `mmhc` ends with, its result as JSON, and what it said beside.
fn conform(place: &Place, words: &[&str]) -> (i32, Value, String) {
    let mut all = vec!["conform", "--json"];
    all.extend(words);
    let mut command = place.command(&all);
    command.env("XDG_CACHE_HOME", CACHE.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().expect("mmhc starts");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().expect("it ended"), json, err)
}

#[test]
fn every_device_has_the_bits_of_every_vector() {
    let (status, json, err) = conform(&Place::new(), &[]);
    assert_eq!(status, 0, "{json:#}\n{err}");
    assert_eq!(json["same"], true);
    let devices = json["devices"].as_array().expect("devices");
    let names: Vec<&str> = devices
        .iter()
        .filter_map(|it| it["device"].as_str())
        .collect();
    for isa in Isa::ALL.into_iter().filter(|isa| admit(*isa).is_ok()) {
        assert!(names.contains(&format!("cpu {isa}").as_str()), "{names:?}");
    }
    for device in devices {
        assert!(device["cases"].as_u64().expect("cases") > 150, "{device}");
    }
    let demanded = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|v| v == "1");
    let has_gpu = names.iter().any(|name| name.starts_with("gpu "));
    assert!(
        has_gpu || !demanded || cfg!(not(feature = "gpu")),
        "{names:?}"
    );
}

#[test]
fn functions_of_one_argument_on_some_of_all_numbers() {
    let words = ["--exhaustive", "--every", "4093", "--device", "cpu"];
    let (status, json, err) = conform(&Place::new(), &words);
    assert_eq!(status, 0, "{json:#}\n{err}");
    for device in json["devices"].as_array().expect("devices") {
        assert!(
            device["inputs"].as_u64().expect("inputs") > 15_000_000,
            "{device}"
        );
    }
}

#[test]
fn a_file_of_vectors_is_checked_to_the_bit() {
    let place = Place::new();
    let (status, json, err) = conform(&place, &["--write", "vectors"]);
    assert_eq!(status, 0, "{err}");
    assert!(json["vectors"].as_u64().expect("vectors") > 150, "{json}");
    let narrow = ["--check", "vectors", "--device", "interpret"];
    assert_eq!(conform(&place, &narrow).0, 0);
    // The last bit of the last answer.
    let text = String::from_utf8(place.read("vectors")).expect("text");
    let end = text.rfind("\"}]}").expect("the end");
    let mut bytes = text.into_bytes();
    bytes[end - 1] = if bytes[end - 1] == b'0' { b'1' } else { b'0' };
    place.write("changed", &bytes);
    let (status, json, err) = conform(&place, &["--check", "changed", "--device", "interpret"]);
    assert_eq!((status, &json["same"]), (3, &Value::Bool(false)), "{err}");
    let said = json["devices"][0]["differences"].to_string();
    assert!(
        said.contains("causal attention, gradient") && said.contains(", not 0x"),
        "{said}"
    );
    for (file, content) in [
        ("empty", ""),
        ("other", "{\"format\":\"x\",\"edition\":1}\n"),
        ("cut", &String::from_utf8_lossy(&bytes[..9_000])),
    ] {
        place.write(file, content);
        let (status, _, err) = conform(&place, &["--check", file]);
        assert_eq!(status, 1, "{file}: {err}");
        assert!(err.contains("no file of vectors"), "{err}");
    }
    let words = ["--exhaustive", "--function", "sinh"];
    assert_eq!(conform(&place, &words).0, 2);
    assert_eq!(conform(&place, &["--device", "abacus"]).0, 2);
}
