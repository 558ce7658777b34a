//! Recipes of several files: paths, what is private, circles, and what is told of them.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

mod common;

use mmh_check::{
    Checked, DataFacts, DataFault, SourceRequest, TextFault, World, check, column_name, plain_path,
};
use mmh_ir::plan::SplitPlan;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Texts by path; data is asked for and is not there.
#[derive(Default)]
struct Shelf {
    texts: BTreeMap<&'static str, &'static str>,
    asked: RefCell<Vec<String>>,
}

impl World for Shelf {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        if path.starts_with("..") || path.starts_with('/') {
            return Err(TextFault::Escape);
        }
        let text = self.texts.get(path).map(|text| (*text).to_owned());
        text.ok_or_else(|| TextFault::NotFound("there is no such file".into()))
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        if let SourceRequest::Csv { file, .. } = request {
            self.asked.borrow_mut().push(file.path.clone());
        }
        Err(DataFault {
            code: mmh_diag::Code::DataMissingFile,
            file: String::new().into(),
            message: "there is no such file".into(),
            line: None,
            row: None,
            column: None,
            help: String::new(),
        })
    }

    fn part_rows(
        &self,
        _: &SourceRequest,
        _: &SplitPlan,
        _: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        Ok([8, 0, 0])
    }
}

fn checked(texts: &[(&'static str, &'static str)]) -> (Checked, Shelf) {
    let shelf = Shelf {
        texts: texts.iter().copied().collect(),
        ..Shelf::default()
    };
    (check(&shelf, texts[0].0, &[]), shelf)
}

fn said(texts: &[(&'static str, &'static str)]) -> Vec<String> {
    common::shown(&checked(texts).0)
}

#[test]
fn paths_start_where_they_are_written() {
    let (found, shelf) = checked(&[
        (
            "main.mmh",
            "mmh 1\nuse \"parts/net.mmh\" { wide, points }\nlet w = wide\n",
        ),
        (
            "parts/net.mmh",
            "mmh 1\nuse \"sizes.mmh\" { wide }\nuse \"../shared.mmh\" { more }\ndata points {\n  source = csv(\"../data/a.csv\")\n}\n",
        ),
        (
            "parts/sizes.mmh",
            "mmh 1\nuse \"./../shared.mmh\" { more }\nlet wide = more\n",
        ),
        ("shared.mmh", "mmh 1\nlet more = 3\n"),
    ]);
    assert_eq!(
        common::shown(&found),
        ["5: data::missing-file: there is no such file"]
    );
    // A file that several use is read once.
    let own: Vec<&str> = found
        .sources
        .iter()
        .filter(|s| !s.library)
        .map(|s| s.path.as_str())
        .collect();
    assert_eq!(
        own,
        ["main.mmh", "parts/net.mmh", "parts/sizes.mmh", "shared.mmh"]
    );
    assert_eq!(*shelf.asked.borrow(), ["data/a.csv"]);
}

#[test]
fn no_path_leads_out() {
    for path in ["../a.mmh", "parts/../../a.mmh", "/etc/a.mmh"] {
        let main: &'static str =
            Box::leak(format!("mmh 1\nuse \"{path}\" {{ a }}\n").into_boxed_str());
        assert_eq!(
            said(&[("main.mmh", main)]),
            [format!(
                "2: file::escape: `{path}` lies outside the recipe's folder / no path leads out of the folder \
                 of the recipe that is run: check the recipe that uses this file, from its own folder"
            )]
        );
    }
    assert_eq!(plain_path("a/./b//../c.mmh"), "a/c.mmh");
    assert_eq!(plain_path("../../a"), "../../a");
    assert_eq!(plain_path("/a/../b"), "/b");
}

#[test]
fn private_names_stay() {
    let parts = "mmh 1\nlet _own = 2\nlet open = _own\n";
    assert_eq!(
        said(&[
            (
                "main.mmh",
                "mmh 1\nuse \"p.mmh\" { open, _own }\nlet a = open\n"
            ),
            ("p.mmh", parts)
        ]),
        [
            "2: name::private: `_own` belongs to `p.mmh` alone / a name that begins with `_` stays in its file: call it `own` there"
        ]
    );
    // Nor are they proposed.
    assert_eq!(
        said(&[
            ("main.mmh", "mmh 1\nuse \"p.mmh\" { own }\n"),
            ("p.mmh", parts)
        ]),
        ["2: name::unknown: `p.mmh` declares no `own`"]
    );
}

#[test]
fn circles_are_told_once_with_every_file() {
    let found = checked(&[
        ("a.mmh", "mmh 1\nuse \"b.mmh\" { y }\nlet x = 1\n"),
        ("b.mmh", "mmh 1\nuse \"c.mmh\" { z }\nlet y = z\n"),
        ("c.mmh", "mmh 1\nuse \"a.mmh\" { x }\nlet z = x\n"),
    ])
    .0;
    assert_eq!(
        common::shown(&found),
        [
            "2: file::cycle: files use each other in a circle: `a.mmh`, `b.mmh`, `c.mmh` / put what both need into a file that uses neither"
        ]
    );
    assert_eq!(found.diagnostics[0].labels.len(), 3);
    let alone = said(&[("a.mmh", "mmh 1\nuse \"./a.mmh\" { x }\nlet x = 1\n")]);
    assert_eq!(
        alone,
        ["2: file::cycle: `a.mmh` uses itself / put what both need into a file that uses neither"]
    );
    // Two ways to one file are no circle.
    let diamond = said(&[
        (
            "a.mmh",
            "mmh 1\nuse \"b.mmh\" { y }\nuse \"c.mmh\" { z }\nlet x = y + z\n",
        ),
        ("b.mmh", "mmh 1\nuse \"d.mmh\" { w }\nlet y = w\n"),
        ("c.mmh", "mmh 1\nuse \"d.mmh\" { w }\nlet z = w\n"),
        ("d.mmh", "mmh 1\nlet w = 1\n"),
    ]);
    assert!(diamond.is_empty(), "{diamond:?}");
}

#[test]
fn headers_become_names() {
    for (header, name) in [
        ("x", "x"),
        ("Bill Length (mm)", "Bill_Length_mm"),
        ("2007", "_2007"),
        ("a--b", "a_b"),
        ("größe", "gr_e"),
        ("trailing_", "trailing_"),
        ("???", "column"),
        ("", "column"),
    ] {
        assert_eq!(column_name(header), name, "{header:?}");
    }
}
