//! A world over a folder, with texts of the test's own; facts come from the data crate.
#![allow(dead_code, reason = "shared by test binaries that each use a part")]

use mmh_check::{
    ColumnFact, DataFacts, DataFault, FactKind, FileRequest, SourceRequest, TextFault, World,
};
use mmh_data::{Column, CsvOptions, DataError, Kind, Missing, Open, Parts, Shares, Source, Values};
use mmh_diag::Code;
use mmh_ir::plan::{SplitKind, SplitPlan, Within};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files of `root`, some replaced by `texts`.
pub(crate) struct Folder {
    root: PathBuf,
    texts: BTreeMap<String, String>,
    facts: RefCell<BTreeMap<SourceRequest, DataFacts>>,
    rows: RefCell<Vec<(SourceRequest, SplitPlan, [u64; 3])>>,
}

impl Folder {
    /// The examples, with `main.mmh` being `text`.
    pub(crate) fn examples(text: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        Self {
            root,
            texts: BTreeMap::from([("main.mmh".to_string(), text.to_string())]),
            facts: RefCell::default(),
            rows: RefCell::default(),
        }
    }

    /// Replaces the text of the main file.
    pub(crate) fn rewrite(&mut self, text: &str) {
        self.texts.insert("main.mmh".into(), text.into());
    }

    fn open(
        &self,
        file: &FileRequest,
        how: impl FnOnce(Open<'_>) -> Result<Source, DataError>,
    ) -> Result<Source, DataFault> {
        let path = self.root.join(&file.path);
        if file.within != Within::Plain {
            return Ok(packed(&path, file, how));
        }
        how(Open::path(&path)
            .shown_as(&file.path)
            .pinned(file.blake3.as_deref()))
        .map_err(fault)
    }

    fn read(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        match request {
            SourceRequest::Csv { file, .. } => {
                let source = self.open(file, |o| o.csv(CsvOptions::default()))?;
                let columns = source.columns().into_iter().map(|info| {
                    let dims: Vec<u64> = info.shape.iter().map(|n| u64::from(*n)).collect();
                    let levels = || match source
                        .category(&info.name, Missing::Allowed)
                        .map(|c| c.values)
                    {
                        Ok(Values::Class { levels, .. }) => Some(levels),
                        _ => None,
                    };
                    let kind = if !dims.is_empty() {
                        FactKind::Vector {
                            fields: fields(&info.name, &dims),
                            dims,
                        }
                    } else {
                        match info.kind {
                            Kind::Whole => FactKind::Number { levels: levels() },
                            Kind::Number => FactKind::Number { levels: None },
                            Kind::Category | Kind::Character => FactKind::Category {
                                levels: levels().unwrap_or_default(),
                            },
                        }
                    };
                    ColumnFact {
                        name: info.name,
                        kind,
                        missing: info.missing,
                    }
                });
                Ok(DataFacts {
                    rows: source.rows() as u64,
                    rows_per_file: vec![source.rows() as u64],
                    columns: columns.collect(),
                    files: vec![source.file_hash().to_hex().to_string()],
                    vocabulary: vec![],
                })
            }
            SourceRequest::Text {
                file,
                window,
                stride,
            } => {
                let source = self.open(file, |o| o.text())?;
                let text = std::fs::read_to_string(self.root.join(&file.path)).unwrap();
                let vocabulary: std::collections::BTreeSet<char> = text.chars().collect();
                let rows = (source.rows() as u64 - window - 1) / stride + 1;
                Ok(DataFacts {
                    rows,
                    rows_per_file: vec![rows],
                    columns: vec![],
                    files: vec![source.file_hash().to_hex().to_string()],
                    vocabulary: vocabulary.into_iter().collect(),
                })
            }
            // No file is opened: a stand-in.
            SourceRequest::Bytes { window, .. } => Ok(DataFacts {
                rows: 100,
                rows_per_file: vec![100],
                columns: vec![
                    ColumnFact {
                        name: "bytes".into(),
                        kind: FactKind::Images {
                            dims: vec![*window],
                        },
                        missing: 0,
                    },
                    ColumnFact {
                        name: "file".into(),
                        kind: FactKind::Category {
                            levels: vec!["a.txt".into(), "b.bin".into()],
                        },
                        missing: 0,
                    },
                ],
                files: vec!["0".repeat(64)],
                vocabulary: vec![],
            }),
            // MNIST is not in the repository: its known shape stands in.
            SourceRequest::Idx { images, .. } => Ok(DataFacts {
                rows: 70_000,
                rows_per_file: vec![60_000, 10_000],
                columns: vec![
                    ColumnFact {
                        name: "images".into(),
                        kind: FactKind::Images { dims: vec![28, 28] },
                        missing: 0,
                    },
                    ColumnFact {
                        name: "labels".into(),
                        kind: FactKind::Labels { classes: 10 },
                        missing: 0,
                    },
                ],
                files: vec!["0".repeat(64); 2 * images.len()],
                vocabulary: vec![],
            }),
        }
    }
}

/// The only file of a pack, which is there and whole.
fn packed(
    path: &Path,
    file: &FileRequest,
    how: impl FnOnce(Open<'_>) -> Result<Source, DataError>,
) -> Source {
    let limits = mmh_legacy::Limits::default();
    let contents = mmh_legacy::read_members(path, file.blake3.as_deref(), limits).unwrap();
    let bytes = &contents.members[0].bytes;
    how(Open::bytes(&file.path, bytes).taken_from(contents.container)).unwrap()
}

fn fields(family: &str, dims: &[u64]) -> Vec<String> {
    let count: u64 = dims.iter().product();
    (0..count)
        .map(|i| {
            let (stem, last) = (family.trim_end_matches('s'), dims[dims.len() - 1]);
            match dims.len() {
                1 => format!("{stem}_{i}"),
                _ => format!("{stem}_{}_{}", i / last, i % last),
            }
        })
        .collect()
}

fn fault(error: DataError) -> DataFault {
    DataFault {
        code: Code::find(error.code).unwrap_or(Code::DataFormat),
        file: error.file,
        message: error.message,
        line: error.line,
        row: error.row,
        column: error.column.map(String::from),
        help: error.help,
    }
}

impl World for Folder {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        if path.contains("..") {
            return Err(TextFault::Escape);
        }
        match self.texts.get(path) {
            Some(text) => Ok(text.clone()),
            None => std::fs::read_to_string(self.root.join(path))
                .map_err(|e| TextFault::NotFound(e.to_string())),
        }
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        if let Some(known) = self.facts.borrow().get(request) {
            return Ok(known.clone());
        }
        let facts = self.read(request)?;
        self.facts
            .borrow_mut()
            .insert(request.clone(), facts.clone());
        Ok(facts)
    }

    fn part_rows(
        &self,
        request: &SourceRequest,
        split: &SplitPlan,
        by: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        let known = |it: &&(SourceRequest, SplitPlan, _)| it.0 == *request && it.1 == *split;
        if let Some(it) = self.rows.borrow().iter().find(known) {
            return Ok(it.2);
        }
        let rows = self.dealt(request, split, by)?;
        let mut known = self.rows.borrow_mut();
        known.push((request.clone(), split.clone(), rows));
        Ok(rows)
    }
}

impl Folder {
    fn dealt(
        &self,
        request: &SourceRequest,
        split: &SplitPlan,
        by: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        let facts = self.data_facts(request)?;
        let [train, valid, test] = split.shares.map(u64::from);
        let shares = Shares { train, valid, test };
        let order: Vec<u32> = (0..facts.rows as u32).collect();
        let parts = match &split.kind {
            SplitKind::Files => {
                let dealt = mmh_data::sizes(facts.rows_per_file[0], &[train, valid]);
                return Ok([dealt[0], dealt[1], facts.rows_per_file[1]]);
            }
            SplitKind::Random => Parts::random(&order, shares),
            SplitKind::Sequential => Parts::sequential(facts.rows as u32, shares),
            SplitKind::Stratified { .. } => {
                let SourceRequest::Csv { file, .. } = request else {
                    return Ok([facts.rows, 0, 0]);
                };
                let source = self.open(file, |o| o.csv(CsvOptions::default()))?;
                let column: Column = source
                    .category(by.unwrap_or_default(), Missing::Refused)
                    .map_err(fault)?;
                Parts::stratified(&column, &order, shares)
            }
        };
        parts
            .map(|p| {
                [
                    p.train.len() as u64,
                    p.valid.len() as u64,
                    p.test.len() as u64,
                ]
            })
            .map_err(fault)
    }
}

/// `code line: message / help` of every diagnostic.
pub(crate) fn shown(checked: &mmh_check::Checked) -> Vec<String> {
    checked
        .diagnostics
        .iter()
        .map(|d| {
            let place = d.primary().map_or("?".to_string(), |l| {
                let text = &checked.sources[l.source.0 as usize].text;
                let line = text[..(l.span.start as usize).min(text.len())]
                    .matches('\n')
                    .count()
                    + 1;
                line.to_string()
            });
            let help = d.help.as_ref().map_or(String::new(), |h| format!(" / {h}"));
            format!("{place}: {}: {}{help}", d.code, d.message)
        })
        .collect()
}
