//! What goes in comes out; what is damaged is found; what nothing needs goes, and nothing else.

mod common;

use common::*;
use mmh_store::{FolderRemote, Store, StoreFailure, pull, push};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_run_comes_out_as_it_went_in_and_is_there_once() {
    let place = Place::new();
    let head = place.add("first", None);
    let run = place.store.find(&head[..8]).unwrap();
    assert_eq!(
        run,
        place.store.find(&facts("first", None).model_hash).unwrap()
    );
    place.store.get(&run, &place.path("out")).unwrap();
    assert_eq!(tree(&place.path("out")), run_tree(&place.path("first")));
    place.store.view(&run, &place.path("view")).unwrap();
    assert_eq!(tree(&place.path("view")), run_tree(&place.path("first")));
    assert!(
        place.store.get(&run, &place.path("out")).is_err(),
        "it holds files"
    );

    // The same again changes nothing; another one shares what is the same.
    let again = place
        .store
        .add(
            &place.path("first"),
            facts("first", None),
            &Default::default(),
            &[],
        )
        .unwrap();
    assert_eq!((again.new_bytes, again.run), (0, run.reference.run));
    let before = place.store.check().unwrap().objects;
    place.add("second", Some("first"));
    assert_eq!(place.store.check().unwrap().objects, before + 4);
}

#[test]
fn data_is_kept_by_hash_and_another_file_is_refused() {
    let place = Place::new();
    write_run(&place.path("run"), "run", 10);
    std::fs::write(place.path("points"), "the points").unwrap();
    let facts = facts("run", None);
    let data = [(facts.data[0].clone(), place.path("points"))];
    let added = place
        .store
        .add(
            &place.path("run"),
            facts.clone(),
            &Default::default(),
            &data,
        )
        .unwrap();
    assert_eq!(added.data, 1);
    assert_eq!(place.store.size(&facts.data[0].blake3), Some(10));
    // What was kept stays when the run is added without it.
    let again = place
        .store
        .add(&place.path("run"), facts.clone(), &Default::default(), &[])
        .unwrap();
    assert_eq!((again.data, &again.run), (1, &added.run));
    std::fs::write(place.path("points"), "other points").unwrap();
    let other = place
        .store
        .add(&place.path("run"), facts, &Default::default(), &data)
        .unwrap_err();
    assert_eq!(other.code(), "store::damaged");
}

#[test]
fn names_are_found_or_said_to_be_none() {
    let place = Place::new();
    let (first, second) = (place.add("first", None), place.add("second", Some("first")));
    place.store.tag("best", &first, false).unwrap();
    assert_eq!(place.store.find("best").unwrap().head, first);
    assert_eq!(place.store.find("best").unwrap().tags, ["best"]);
    let taken = place.store.tag("best", &second, false).unwrap_err();
    assert!(taken.to_string().contains(&first), "{taken}");
    place.store.tag("best", &second, true).unwrap();
    assert_eq!(place.store.find("best").unwrap().head, second);
    for none in ["worst", "012345", "../x", "", &"f".repeat(64)] {
        let failure = place.store.find(none).unwrap_err();
        assert_eq!(failure.code(), "store::unknown", "{none}");
    }
    assert!(place.store.untag("best").unwrap() && !place.store.untag("best").unwrap());
    for wrong in ["a/b", "..", "abcdef"] {
        assert_eq!(
            place.store.tag(wrong, &first, false).unwrap_err().code(),
            "store::name"
        );
    }
}

#[test]
fn what_is_no_store_is_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("thesis")).unwrap();
    std::fs::write(place.path("thesis/chapter"), "one").unwrap();
    let refused = Store::open(&place.path("thesis")).map(drop).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("it is no store, and holds `chapter`"),
        "{refused}"
    );
    std::fs::write(place.path("store/format"), "mmh store 9\n").unwrap();
    let refused = Store::open(&place.path("store")).map(drop).unwrap_err();
    assert!(refused.to_string().contains("`mmh store 9`"), "{refused}");
}

#[test]
fn every_kind_of_damage_is_found_and_repaired_from_a_copy() {
    let place = Place::new();
    let head = place.add("first", None);
    place.store.tag("best", &head, false).unwrap();
    let run = place.store.find("best").unwrap();
    let model = run.manifest.files["model.safetensors"].blake3.clone();
    let content = std::fs::read(place.store.place(&model)).unwrap();
    let mut flipped = content.clone();
    flipped[50] ^= 1;
    for (damaged, words) in [
        (Some(flipped), "its content was changed"),
        (
            Some(content[..40].to_vec()),
            "it was cut short: 40 of 105 bytes are left",
        ),
        (Some(Vec::new()), "it was emptied"),
        (
            Some([&content[..], b"x"].concat()),
            "it has 106 bytes and should have 105",
        ),
        (None, "it is missing"),
    ] {
        match &damaged {
            Some(bytes) => damage(&place.store, &model, bytes),
            None => std::fs::remove_file(place.store.place(&model)).unwrap(),
        }
        let mut checked = place.store.check().unwrap();
        let [problem] = checked.problems.as_slice() else {
            panic!("{checked:?}");
        };
        assert!(problem.what.contains(words), "{problem:?}");
        let needed = format!("model.safetensors of run {head} (best)");
        assert_eq!(problem.needed_by, [needed]);
        // It is not handed out, and what needs it is not pushed.
        assert!(
            place
                .store
                .get(&run, &place.path(&format!("out {words}")))
                .is_err()
        );
        let there = FolderRemote(Store::open(&place.path("there")).unwrap());
        assert!(push(&place.store, &there, std::slice::from_ref(&run), false).is_err());
        let copy = place.path("first/model.safetensors");
        let mut find =
            |wanted: &str| Ok((wanted == model).then(|| (copy.clone(), "a copy".to_owned())));
        place.store.repair(&mut checked, &mut find).unwrap();
        assert_eq!(checked.left(), 0);
        assert_eq!(place.store.check().unwrap().problems, [], "{words}");
    }
    // Adding the run again also mends it.
    damage(&place.store, &model, b"rubbish");
    place.add("first", None);
    assert_eq!(place.store.check().unwrap().problems, []);
}

#[test]
fn damaged_references_are_named() {
    let place = Place::new();
    let head = place.add("first", None);
    place.store.tag("best", &head, false).unwrap();
    let root = place.store.root().to_path_buf();
    let problems = |words: &str| {
        let checked = place.store.check().unwrap();
        let found = checked
            .problems
            .iter()
            .any(|problem| problem.what.contains(words));
        assert!(found, "{words} in {checked:?}");
    };
    let reference = std::fs::read(root.join("refs/runs").join(&head)).unwrap();
    std::fs::write(root.join("refs/runs").join(&head), "{}").unwrap();
    problems("missing field");
    assert!(
        place.store.collect(Duration::ZERO, false).is_err(),
        "nobody can say what is needed"
    );
    std::fs::remove_file(root.join("refs/runs").join(&head)).unwrap();
    problems("its run");
    std::fs::write(root.join("refs/runs").join(digits("other")), &reference).unwrap();
    problems("it points to another run");
    std::fs::write(root.join("objects/stray"), "").unwrap();
    problems("no object has such a name");
    std::fs::write(root.join("refs/tags/best"), "nothing").unwrap();
    problems("expected");
}

#[test]
fn garbage_is_what_nothing_needs_and_is_old_enough() {
    let place = Place::new();
    let (first, second) = (place.add("first", None), place.add("second", Some("first")));
    let third = place.add("third", None);
    place.store.tag("best", &second, false).unwrap();
    for head in [&first, &second, &third] {
        place.store.remove(head).unwrap();
    }
    let hour = Duration::from_secs(3600);
    let young = place.store.collect(hour, false).unwrap();
    assert_eq!(
        (young.runs, young.objects, young.young),
        (1, 0, 4),
        "{young:?}"
    );
    let dry = place.store.collect(Duration::ZERO, true).unwrap();
    let wet = place.store.collect(Duration::ZERO, false).unwrap();
    assert_eq!(
        (dry.objects, wet.objects, wet.runs),
        (4, 4, 0),
        "{dry:?} {wet:?}"
    );
    // A tag keeps its run, and the runs it comes from.
    assert_eq!(place.store.heads().unwrap().len(), 2);
    assert_eq!(place.store.check().unwrap().problems, []);
    place
        .store
        .get(&place.store.find("best").unwrap(), &place.path("out"))
        .unwrap();
    place.store.untag("best").unwrap();
    place.store.collect(Duration::ZERO, false).unwrap();
    let empty = place.store.check().unwrap();
    assert_eq!((empty.objects, empty.runs), (0, 0));
}

#[test]
fn nothing_is_collected_while_somebody_writes() {
    let place = Place::new();
    let lease = place.store.lease().unwrap();
    let busy = place.store.collect(Duration::ZERO, false).unwrap_err();
    assert_eq!(busy.code(), "store::busy");
    drop(lease);
    place.store.collect(Duration::ZERO, false).unwrap();
}

#[test]
fn push_and_pull_carry_a_run_to_another_store() {
    let place = Place::new();
    let head = place.add("first", None);
    place.store.tag("best", &head, false).unwrap();
    let there = FolderRemote(Store::open(&place.path("there")).unwrap());
    let run = place.store.find("best").unwrap();
    let first = push(&place.store, &there, std::slice::from_ref(&run), false).unwrap();
    assert_eq!(
        (first.objects, first.there, first.tags.len()),
        (5, 0, 1),
        "{first:?}"
    );
    let again = push(&place.store, &there, std::slice::from_ref(&run), false).unwrap();
    assert_eq!((again.there, again.bytes), (5, 0));

    let other = Store::open(&place.path("other")).unwrap();
    // Who does not trust it has no run, and what came is garbage.
    let distrust = |_: &mmh_store::Kept| Err(StoreFailure::Busy { path: "no".into() });
    assert!(pull(&other, &there, "best", distrust).is_err());
    assert_eq!(other.heads().unwrap().len(), 0);
    let pulled = pull(&other, &there, "best", trusting).unwrap();
    assert_eq!(
        (pulled.bytes, pulled.without),
        (0, 1),
        "the objects were here: {pulled:?}"
    );
    assert_eq!(other.find("best").unwrap().head, head);
    other.get(&pulled.run, &place.path("out")).unwrap();
    assert_eq!(tree(&place.path("out")), run_tree(&place.path("first")));
    assert!(pull(&other, &there, "worst", trusting).is_err());
    pull(&other, &there, &head[..10], trusting).unwrap();

    // A tag there or here that names another run is not moved by itself.
    let second = place.add("second", None);
    place.store.tag("best", &second, true).unwrap();
    let run = place.store.find("best").unwrap();
    let refused = push(&place.store, &there, std::slice::from_ref(&run), false).unwrap_err();
    assert_eq!(refused.code(), "store::name");
    push(&place.store, &there, &[run], true).unwrap();
    assert_eq!(
        pull(&other, &there, "best", trusting).unwrap_err().code(),
        "store::name"
    );
}

#[test]
fn what_a_remote_made_up_is_refused() {
    let place = Place::new();
    let head = place.add("first", None);
    place.store.tag("best", &head, false).unwrap();
    let run = place.store.find("best").unwrap();
    let there = FolderRemote(Store::open(&place.path("there")).unwrap());
    push(&place.store, &there, std::slice::from_ref(&run), false).unwrap();
    let model = &run.manifest.files["model.safetensors"].blake3;
    let mut bytes = std::fs::read(there.0.place(model)).unwrap();
    bytes[3] ^= 4;
    damage(&there.0, model, &bytes);
    let other = Store::open(&place.path("other")).unwrap();
    let refused = pull(&other, &there, "best", trusting).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("what came is not what its name says"),
        "{refused}"
    );
    assert!(other.size(model).is_none() && other.heads().unwrap().is_empty());
    // A manifest that leads out of the folder.
    let text = std::fs::read_to_string(there.0.place(&run.reference.run)).unwrap();
    let text = text.replace("\"plan\":", "\"../plan\":");
    let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
    let path = there.0.place(&hash);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    let reference = std::fs::read_to_string(place.path("there/refs/runs").join(&head)).unwrap();
    std::fs::write(
        place.path("there/refs/runs").join(&head),
        reference.replace(&run.reference.run, &hash),
    )
    .unwrap();
    let refused = pull(&other, &there, "best", trusting).unwrap_err();
    assert!(
        refused.to_string().contains("outside the folder"),
        "{refused}"
    );
}

const CHILD: &str = "MMH_STORE_TEST_FOLDER";

/// What the processes of the next test do; nothing where it is not asked for.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    let me = std::env::var("MMH_STORE_TEST_NAME").unwrap();
    let store = Store::open(&folder.join("store")).unwrap();
    for turn in 0.. {
        // Half of what they write is the same for all.
        let name = format!(
            "run {}",
            if turn % 2 == 0 {
                turn.to_string()
            } else {
                format!("{me} {turn}")
            }
        );
        let run = folder.join(&me).join(turn.to_string());
        write_run(&run, &name, 300_000);
        let added = store
            .add(&run, facts(&name, None), &Default::default(), &[])
            .unwrap();
        store
            .tag(&format!("tag-{turn}-{me}"), &added.head, true)
            .unwrap();
        std::fs::write(folder.join(format!("done {me} {turn}")), &added.head).unwrap();
        if turn % 3 == 2 {
            match store.collect(Duration::ZERO, false) {
                Ok(_) | Err(StoreFailure::Busy { .. }) => {}
                Err(failure) => panic!("{failure}"),
            }
        }
    }
}

/// Four processes add, tag and collect in one store and are killed at some moment, again and again.
#[test]
fn many_processes_are_killed_and_nothing_that_was_added_is_lost() {
    let place = Place::new();
    let mut names = 0;
    for round in 0..6_u64 {
        let mut children: Vec<_> = (0..4)
            .map(|_| {
                names += 1;
                Command::new(std::env::current_exe().unwrap())
                    .args(["child", "--exact"])
                    .env(CHILD, place.path(""))
                    .env("MMH_STORE_TEST_NAME", format!("p{names}"))
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150 + round * 37));
        for child in &mut children {
            assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
            child.kill().unwrap();
        }
        for child in children {
            let said = child.wait_with_output().unwrap().stderr;
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(!said.contains("panicked"), "{said}");
        }
        let checked = place.store.check().unwrap();
        assert_eq!(checked.problems, [], "round {round}");
    }
    place.store.collect(Duration::ZERO, false).unwrap();
    let mut kept = 0;
    for entry in std::fs::read_dir(place.path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("done ") {
            let head = std::fs::read_to_string(place.path(&name)).unwrap();
            // The note may be torn by the kill; the run is not.
            if head.len() == 64 {
                assert!(place.store.run(&head).unwrap().is_some(), "{name}");
                kept += 1;
            }
        }
    }
    assert!(kept >= 20, "only {kept} runs were added");
    assert_eq!(place.store.check().unwrap().problems, []);
    let left = std::fs::read_dir(place.store.root().join("incoming"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "what the killed left is collected");
}
