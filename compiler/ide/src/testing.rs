//! Recipes with marks, for tests: `/*cursor*/` is the cursor, `«…»` a wanted place.

use crate::Analysis;
use mmh_check::{ColumnFact, DataFacts, DataFault, FactKind, SourceRequest, TextFault, World};
use mmh_diag::{Code, Span};
use mmh_ir::plan::SplitPlan;
use std::collections::BTreeMap;

/// The example every question can be asked of.
pub(crate) const DIGITS: &str = include_str!("../../../examples/digits.mmh");

/// Texts by path, and a table `d.csv` or `data/digits.csv` with columns `pixels`, `digit` and `y`.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) texts: BTreeMap<String, String>,
}

impl World for Shelf {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        let missing = || TextFault::NotFound("there is no such file".into());
        self.texts.get(path).cloned().ok_or_else(missing)
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        match request {
            SourceRequest::Csv { file, .. } if file.path.ends_with(".csv") => Ok(table()),
            _ => Err(DataFault {
                code: Code::DataMissingFile,
                file: "".into(),
                message: "there is no such file".into(),
                line: None,
                row: None,
                column: None,
                help: String::new(),
            }),
        }
    }

    fn part_rows(
        &self,
        _: &SourceRequest,
        _: &SplitPlan,
        _: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        Ok([1257, 270, 270])
    }
}

fn table() -> DataFacts {
    let column = |name: &str, kind| ColumnFact {
        name: name.into(),
        kind,
        missing: 0,
    };
    let levels = |n: usize| Some((0..n).map(|i| i.to_string()).collect());
    DataFacts {
        files: vec!["0".repeat(64)],
        rows: 1797,
        rows_per_file: vec![1797],
        columns: vec![
            column(
                "pixels",
                FactKind::Vector {
                    dims: vec![8, 8],
                    fields: (0..64)
                        .map(|i| format!("pixel_{}_{}", i / 8, i % 8))
                        .collect(),
                },
            ),
            column("digit", FactKind::Number { levels: levels(10) }),
            column("Bill Length (mm)", FactKind::Number { levels: None }),
            column("y", FactKind::Number { levels: levels(2) }),
        ],
        vocabulary: vec![],
    }
}

/// The analysis of one text.
pub(crate) fn analyse(text: &str) -> Analysis {
    analyse_all(&[("main.mmh", text)])
}

/// The analysis of the first of some files.
pub(crate) fn analyse_all(files: &[(&str, &str)]) -> Analysis {
    let texts = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    Analysis::new(&Shelf { texts }, files[0].0)
}

/// The text without its marks, the cursor, and the places marked.
pub(crate) fn marked(text: &str) -> (String, u32, Vec<Span>) {
    let (mut out, mut cursor, mut open, mut places) = (String::new(), 0, 0, Vec::new());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("/*cursor*/") {
            (cursor, rest) = (out.len() as u32, after);
            continue;
        }
        match letter {
            '«' => open = out.len() as u32,
            '»' => places.push(Span::new(open, out.len() as u32)),
            other => out.push(other),
        }
        rest = &rest[letter.len_utf8()..];
    }
    (out, cursor, places)
}
