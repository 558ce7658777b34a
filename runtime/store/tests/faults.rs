//! A store over files that fail: killed, full, or without power, at every operation and at random ones.

mod common;
#[path = "../../core/tests/common/fault.rs"]
mod fault;

use common::*;
use fault::{Faulty, Power};
use mmh_store::{FolderRemote, Store, StoreFailure, pull, push};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Adds three runs, tags one, drops one and collects. Gives the heads that were there for certain.
fn work(store: &Store, runs: &Path, certain: &mut Vec<String>) -> Result<(), StoreFailure> {
    for name in ["one", "two", "three"] {
        let added = store.add(
            &runs.join(name),
            facts(name, None),
            &Default::default(),
            &[],
        )?;
        certain.push(added.head);
    }
    store.tag("best", &certain[0], true)?;
    let dropped = certain.remove(1);
    store.remove(&dropped)?;
    store.collect(Duration::ZERO, false)?;
    Ok(())
}

/// File operations of all that.
fn operations(folder: &Path, runs: &Path) -> i64 {
    let counting = Faulty::killed_after(1 << 40);
    let store = Store::open_with(counting.clone(), &folder.join("count")).unwrap();
    work(&store, runs, &mut Vec::new()).unwrap();
    (1 << 40) - counting.left.load(Ordering::Relaxed)
}

fn runs(folder: &Path) {
    for name in ["one", "two", "three"] {
        write_run(&folder.join(name), name, 3000);
    }
}

/// What must hold whatever happened: everything that has a name is whole, what was certain is there, and work goes on.
fn check(root: &Path, runs: &Path, certain: &[String], what: &str) {
    // Without syncing, which takes most of the time.
    let store = Store::open_with(Faulty::killed_after(i64::MAX), root)
        .unwrap_or_else(|failure| panic!("{what}: {failure}"));
    let checked = store.check().unwrap();
    assert_eq!(checked.problems, [], "{what}");
    for head in certain {
        let run = store.run(head).unwrap();
        assert!(run.is_some(), "{what}: {head} was added and is gone");
    }
    let mut again = Vec::new();
    work(&store, runs, &mut again).unwrap_or_else(|failure| panic!("{what}: {failure}"));
    let checked = store.check().unwrap();
    assert_eq!((checked.problems.len(), checked.unneeded), (0, 0), "{what}");
    assert_eq!(store.find("best").unwrap().head, again[0]);
}

#[test]
fn killed_or_full_at_every_operation() {
    let folder = tempfile::tempdir().unwrap();
    let sources = folder.path().join("runs");
    runs(&sources);
    let all = operations(folder.path(), &sources);
    assert!(all > 80, "{all} operations");
    for is_full in [false, true] {
        let mut failed = 0;
        for at in (i64::from(is_full)..all).step_by(2) {
            let root = folder.path().join(format!("full {is_full} {at}"));
            let files = match is_full {
                true => Faulty::full_after(at),
                false => Faulty::killed_after(at),
            };
            let mut certain = Vec::new();
            let ended = Store::open_with(files, &root)
                .and_then(|store| work(&store, &sources, &mut certain));
            if let Err(failure) = ended {
                failed += 1;
                assert_eq!(failure.code(), "store::file", "{failure}");
            }
            check(
                &root,
                &sources,
                &certain,
                &format!("at {at}, full {is_full}"),
            );
        }
        assert!(failed > 20, "full {is_full}: {failed}");
    }
}

#[test]
fn without_power_at_two_hundred_random_moments() {
    let folder = tempfile::tempdir().unwrap();
    let sources = folder.path().join("runs");
    runs(&sources);
    let all = operations(folder.path(), &sources) as u64;
    let mut lost = 0;
    for seed in 0..220 {
        let root = folder.path().join(format!("power {seed}"));
        let power = Power::new(&root, seed, seed * 7919 % all);
        let mut certain = Vec::new();
        let ended = Store::open_with(power.clone(), &root)
            .and_then(|store| work(&store, &sources, &mut certain));
        lost += u64::from(ended.is_err());
        power.cut();
        check(&root, &sources, &certain, &format!("power cut {seed}"));
    }
    assert!(lost > 150, "{lost}");
}

#[test]
fn a_pull_is_cut_without_power_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let sources = folder.path().join("runs");
    runs(&sources);
    let there = Store::open(&folder.path().join("there")).unwrap();
    let mut certain = Vec::new();
    work(&there, &sources, &mut certain).unwrap();
    let remote = FolderRemote(there);
    for seed in 0..60 {
        let root = folder.path().join(format!("pull {seed}"));
        let power = Power::new(&root, seed, seed);
        let ended = Store::open_with(power.clone(), &root)
            .and_then(|store| pull(&store, &remote, "best", trusting));
        power.cut();
        let store = Store::open_with(Faulty::killed_after(i64::MAX), &root).unwrap();
        assert_eq!(store.check().unwrap().problems, [], "{seed}");
        if ended.is_ok() {
            assert!(store.find("best").is_ok(), "{seed}");
        }
        pull(&store, &remote, "best", trusting).unwrap();
        assert_eq!(store.check().unwrap().problems, []);
        let run = store.find("best").unwrap();
        push(&store, &remote, &[run], false).unwrap();
    }
}
