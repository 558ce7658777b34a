//! What fuzzing found worth keeping, replayed: see `fuzz/`.

#[path = "../../../fuzz/property.rs"]
mod property;

use std::path::Path;

#[test]
fn the_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/front");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(
        files.len() > 100,
        "{} files: the corpus is lost",
        files.len()
    );
    let check = move || {
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let held = std::panic::catch_unwind(|| property::holds(&bytes));
            assert!(held.is_ok(), "{}", file.display());
        }
    };
    // Deep texts are walked by recursion; the compiler has a stack of this size too.
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    thread.spawn(check).unwrap().join().unwrap();
}
