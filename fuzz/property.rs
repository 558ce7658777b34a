//! What holds for any bytes taken as a recipe. The fuzz target looks for bytes that break it; the tests of `mmh-check`
//! replay the corpus that was found on the way.

use mmh_check::recipe::Purpose;
use mmh_check::{
    Checked, ColumnFact, DataFacts, DataFault, FactKind, SourceRequest, TextFault, World, check,
};
use mmh_diag::{Code, Diagnostic};
use mmh_ir::plan::SplitPlan;
use mmh_syntax::{Kind, Tree, format, parse, skeleton};

/// A batch this small shows what a graph is made of as well as a large one.
const BATCH: u64 = 4;

/// Panics where a promise is broken.
pub(crate) fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    reads(&text);
    formats(&text);
    checks(&text);
}

fn reads(text: &str) {
    let parsed = parse(text);
    assert_eq!(parsed.tree.text(), text, "a byte is lost");
    let broken = parsed
        .tree
        .nodes()
        .any(|id| parsed.tree.kind(id).is_error());
    assert!(
        !broken || !parsed.diagnostics.is_empty(),
        "broken, and not said"
    );
    let _ = parsed.file();
}

fn formats(text: &str) {
    let tree = parse(text).tree;
    let once = format(&tree);
    let again = parse(&once).tree;
    assert_eq!(skeleton(&tree), skeleton(&again), "formatting changed it");
    assert_eq!(comments(&tree), comments(&again), "a comment is lost");
    assert_eq!(format(&again), once, "formatting twice is not once");
}

fn comments(tree: &Tree) -> Vec<&str> {
    let comment = |id: &mmh_syntax::NodeId| matches!(tree.kind(*id), Kind::Comment | Kind::Doc);
    tree.tokens()
        .filter(comment)
        .map(|id| tree.text_of(id).trim_end())
        .collect()
}

fn checks(text: &str) {
    let checked = check(&Paper(text), "main.mmh", &[]);
    said_well(&checked);
    let failed = checked.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(checked.recipe.is_none(), failed, "refused without a reason");
    let Some(recipe) = checked.recipe else { return };
    for (number, train) in recipe.declarations.trainings.iter().enumerate() {
        if let Ok(forward) = recipe.forward(number, Purpose::Step, train.batch.min(BATCH)) {
            assert_eq!(forward.graph.verify().map_err(|e| e.to_string()), Ok(()));
        }
    }
}

/// Labels and fixes name text that is there, and fixes can be carried out.
fn said_well(checked: &Checked) {
    let text_at = |source: mmh_diag::SourceId, span: mmh_diag::Span| {
        let text = &checked.sources[source.0 as usize].text;
        assert!(
            text.get(span.start as usize..span.end as usize).is_some(),
            "a place that is none"
        );
    };
    for diagnostic in &checked.diagnostics {
        assert!(!diagnostic.message.is_empty());
        for label in &diagnostic.labels {
            text_at(label.source, label.span);
        }
        let Some(place) = diagnostic.primary() else {
            continue;
        };
        for edit in diagnostic.fixes.iter().flat_map(|fix| &fix.edits) {
            text_at(place.source, edit.span);
        }
    }
}

/// A recipe without a disk: data is what its kind of source most often is, and other files are not there.
struct Paper<'t>(&'t str);

impl World for Paper<'_> {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        match path {
            "main.mmh" => Ok(self.0.to_owned()),
            // A file that uses itself and the main one.
            "loop.mmh" => Ok(
                "mmh 1\nuse \"loop.mmh\" { a }\nuse \"main.mmh\" { a }\nlet a = b\nlet b = a\n"
                    .to_owned(),
            ),
            _ => Err(TextFault::NotFound("there is no such file".to_owned())),
        }
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        let rows = 1000;
        let fact = |name: &str, kind, missing| ColumnFact {
            name: name.to_owned(),
            kind,
            missing,
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut facts = DataFacts {
            rows,
            rows_per_file: vec![rows],
            files: vec!["0".repeat(64)],
            ..DataFacts::default()
        };
        match request {
            SourceRequest::Csv { file, .. } if file.path.contains("no") => {
                return Err(DataFault {
                    code: Code::DataMissingFile,
                    message: "there is no such file".to_owned(),
                    file: "no.csv".into(),
                    line: None,
                    row: None,
                    column: None,
                    help: String::new(),
                });
            }
            SourceRequest::Csv { .. } => {
                let digits = words(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
                let fields = (0..64).map(|n| format!("pixel_{}_{}", n / 8, n % 8));
                facts.columns = vec![
                    fact(
                        "digit",
                        FactKind::Number {
                            levels: Some(digits),
                        },
                        0,
                    ),
                    fact("bill_length_mm", FactKind::Number { levels: None }, 2),
                    fact(
                        "sex",
                        FactKind::Category {
                            levels: words(&["female", "male"]),
                        },
                        10,
                    ),
                    fact(
                        "species",
                        FactKind::Category {
                            levels: words(&["Adelie", "Chinstrap", "Gentoo"]),
                        },
                        0,
                    ),
                    fact(
                        "pixels",
                        FactKind::Vector {
                            dims: vec![8, 8],
                            fields: fields.collect(),
                        },
                        0,
                    ),
                ];
            }
            SourceRequest::Idx { images, .. } => {
                facts.rows = 7000;
                facts.rows_per_file = vec![1000; images.len()];
                facts.files = vec!["0".repeat(64); 2 * images.len()];
                facts.columns = vec![
                    fact("images", FactKind::Images { dims: vec![28, 28] }, 0),
                    fact("labels", FactKind::Labels { classes: 10 }, 0),
                ];
            }
            SourceRequest::Text { .. } => facts.vocabulary = ('a'..='z').collect(),
            SourceRequest::Bytes { window, .. } => {
                facts.columns = vec![
                    fact(
                        "bytes",
                        FactKind::Images {
                            dims: vec![*window],
                        },
                        0,
                    ),
                    fact(
                        "file",
                        FactKind::Category {
                            levels: words(&["a.txt", "b.bin"]),
                        },
                        0,
                    ),
                ];
            }
        }
        Ok(facts)
    }

    fn part_rows(
        &self,
        _: &SourceRequest,
        split: &SplitPlan,
        _: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        Ok(split.shares.map(|share| u64::from(share) / 1000))
    }
}
