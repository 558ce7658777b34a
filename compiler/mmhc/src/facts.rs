//! What the checker wants to know of data files, taken from the files themselves.

use crate::world::Opened;
use mmh_check::{ColumnFact, DataFacts, FactKind, Wanted};
use mmh_data::{ColumnInfo, DataError, Kind, Missing, Source, check_pairs};
use mmh_ir::plan::{SplitKind, SplitPlan};
use mmh_runtime::split::{NEXT, part_sizes, text_rows, text_windows};
use std::collections::BTreeMap;

/// Different whole numbers in a column beyond which they are no classes.
const MOST_LEVELS: usize = 4096;

/// Rows, columns and vocabulary. The hashes of the files are left to the caller.
pub(crate) fn of(opened: &Opened) -> Result<DataFacts, DataError> {
    match opened {
        Opened::Csv(source) => table(source),
        Opened::Idx { images, labels } => pictures(images, labels),
        Opened::Text(source, window, stride) => text(source, *window, *stride),
        Opened::Bytes(source) => bytes(source),
    }
}

fn table(source: &Source) -> Result<DataFacts, DataError> {
    let infos = source.columns();
    let names: Vec<&str> = infos
        .iter()
        .filter(|info| info.shape.is_empty())
        .map(|info| info.name.as_str())
        .collect();
    let mut columns = Vec::new();
    for info in &infos {
        columns.extend(match info.shape.is_empty() {
            true => vec![single(source, info)?],
            false => family(info, &names),
        });
    }
    Ok(DataFacts {
        rows: source.rows() as u64,
        rows_per_file: vec![source.rows() as u64],
        columns,
        ..DataFacts::default()
    })
}

fn single(source: &Source, info: &ColumnInfo) -> Result<ColumnFact, DataError> {
    let levels = match info.kind {
        Kind::Number => None,
        Kind::Whole => levels(source, &info.name)?.filter(|levels| levels.len() <= MOST_LEVELS),
        Kind::Category | Kind::Character => levels(source, &info.name)?,
    };
    let kind = match (info.kind, levels) {
        (Kind::Category | Kind::Character, Some(levels)) => FactKind::Category { levels },
        // Words of a streamed source that are too many to be classes are no numbers either, as whoever takes them so is told.
        (_, levels) => FactKind::Number { levels },
    };
    Ok(ColumnFact {
        name: info.name.clone(),
        kind,
        missing: info.missing,
    })
}

/// The different words of a column; none where a streamed source has too many.
fn levels(source: &Source, name: &str) -> Result<Option<Vec<String>>, DataError> {
    let levels = source.levels(name, Missing::Allowed)?;
    Ok(levels.map(|levels| levels.into_iter().map(|(level, _)| level).collect()))
}

/// A family under its stem and under the stem's plural: `pixel` and `pixels`.
fn family(info: &ColumnInfo, names: &[&str]) -> Vec<ColumnFact> {
    let mut members: BTreeMap<Vec<u64>, &str> = BTreeMap::new();
    for name in names {
        if let Some(numbers) = numbers(&info.name, name) {
            members.insert(numbers, name);
        }
    }
    let plural = format!("{}s", info.name);
    let free = |name: &String| !names.contains(&name.as_str());
    [info.name.clone(), plural]
        .into_iter()
        .filter(free)
        .map(|name| ColumnFact {
            name,
            kind: FactKind::Vector {
                dims: info.shape.iter().map(|size| u64::from(*size)).collect(),
                fields: members.values().map(|name| (*name).to_owned()).collect(),
            },
            missing: info.missing,
        })
        .collect()
}

/// The numbers of a column after its family's stem.
fn numbers(stem: &str, name: &str) -> Option<Vec<u64>> {
    let rest = name.strip_prefix(stem)?;
    let rest = rest.strip_prefix('_').unwrap_or(rest);
    rest.split('_').map(|part| part.parse().ok()).collect()
}

fn pictures(images: &[Source], labels: &[Source]) -> Result<DataFacts, DataError> {
    check_pairs(images, labels)?;
    let mut columns = Vec::new();
    let mut classes = 0;
    for source in labels {
        let column = source.integer("values", Missing::Refused)?;
        let largest = (0..column.rows())
            .filter_map(|row| column.number(row))
            .fold(-1.0, f64::max);
        classes = classes.max((largest + 1.0) as u64);
    }
    let dims = images
        .first()
        .and_then(|source| source.columns().into_iter().next());
    if let Some(info) = dims {
        columns.push(ColumnFact {
            name: "images".into(),
            kind: FactKind::Images {
                dims: info.shape.iter().map(|size| u64::from(*size)).collect(),
            },
            missing: 0,
        });
    }
    columns.push(ColumnFact {
        name: "labels".into(),
        kind: FactKind::Labels { classes },
        missing: 0,
    });
    let rows_per_file: Vec<u64> = images.iter().map(|source| source.rows() as u64).collect();
    Ok(DataFacts {
        rows: rows_per_file.iter().sum(),
        rows_per_file,
        columns,
        ..DataFacts::default()
    })
}

fn bytes(source: &Source) -> Result<DataFacts, DataError> {
    let rows = source.rows() as u64;
    let fact = |info: &ColumnInfo| {
        let kind = match info.shape.is_empty() {
            true => FactKind::Category {
                levels: levels(source, &info.name)?.unwrap_or_default(),
            },
            false => FactKind::Images {
                dims: info.shape.iter().map(|size| u64::from(*size)).collect(),
            },
        };
        Ok(ColumnFact {
            name: info.name.clone(),
            kind,
            missing: info.missing,
        })
    };
    let columns: Result<Vec<ColumnFact>, DataError> = source.columns().iter().map(fact).collect();
    Ok(DataFacts {
        rows,
        rows_per_file: vec![rows],
        columns: columns?,
        ..DataFacts::default()
    })
}

fn text(source: &Source, window: u64, stride: u64) -> Result<DataFacts, DataError> {
    let mut vocabulary: Vec<char> = levels(source, "text")?
        .unwrap_or_default()
        .iter()
        .filter_map(|level| level.chars().next())
        .collect();
    vocabulary.sort_unstable();
    let rows = text_windows(source.rows() as u64, window, stride, NEXT);
    Ok(DataFacts {
        rows,
        rows_per_file: vec![rows],
        vocabulary,
        ..DataFacts::default()
    })
}

/// The first cell of a column that is not what is wanted. In a pair of files the column is `images` or `labels`.
pub(crate) fn odd_cell(opened: &Opened, column: &str, wanted: Wanted) -> Option<DataError> {
    let (sources, name) = match opened {
        Opened::Csv(source) | Opened::Bytes(source) | Opened::Text(source, _, _) => {
            (std::slice::from_ref(source), column)
        }
        Opened::Idx { images, .. } if column == "images" => (&images[..], "values"),
        Opened::Idx { labels, .. } => (&labels[..], "values"),
    };
    let mut error = sources
        .iter()
        .find_map(|source| odd_in(source, name, wanted))?;
    if error.column.is_some() && name != column {
        error.column = Some(column.into());
    }
    Some(error)
}

fn odd_in(source: &Source, name: &str, wanted: Wanted) -> Option<DataError> {
    let missing = |error: &DataError| error.code == mmh_data::Code::MissingValue.name();
    // What is streamed is asked without reading its rows.
    let numeric = |allowed| match source.is_streamed() {
        true => source.stream_numbers(name, allowed).err(),
        false => source.numeric(name, allowed).err(),
    };
    match wanted {
        Wanted::Number => numeric(Missing::Allowed),
        Wanted::Whole => source.integer(name, Missing::Allowed).err().filter(|_| {
            let levels = source.levels(name, Missing::Allowed);
            !source.is_streamed() || !matches!(levels, Ok(None))
        }),
        Wanted::Class(count) => source.class(name, count, Missing::Allowed).err(),
        // Words for a column alone, numbers for several that are taken together.
        Wanted::Present => source
            .levels(name, Missing::Refused)
            .err()
            .filter(missing)
            .or_else(|| numeric(Missing::Refused).filter(missing)),
    }
}

/// Rows of train, valid and test, as the runtime will deal them.
pub(crate) fn part_rows(
    opened: &Opened,
    split: &SplitPlan,
    by: Option<&str>,
) -> Result<[u64; 3], DataError> {
    if let (Opened::Text(source, window, stride), SplitKind::Sequential) = (opened, &split.kind) {
        let rows = text_rows(source.rows() as u64, *window, *stride, NEXT, split.shares);
        return Ok(rows.map(|rows| rows.end - rows.start));
    }
    let classes = match &split.kind {
        SplitKind::Stratified { by: declared } => class_rows(opened, by.unwrap_or(declared))
            .map_err(|mut error| {
                if error.code == mmh_data::Code::MissingValue.name() {
                    error.help =
                        "go by a column without missing values, or by chance: `random(…)`".into();
                }
                error
            })?,
        SplitKind::Random | SplitKind::Sequential | SplitKind::Files => Vec::new(),
    };
    let files = rows_per_file(opened);
    let last = files.last().copied().unwrap_or(0);
    Ok(part_sizes(split, files.iter().sum(), &classes, last))
}

fn rows_per_file(opened: &Opened) -> Vec<u64> {
    match opened {
        Opened::Csv(source) | Opened::Bytes(source) => vec![source.rows() as u64],
        Opened::Idx { images, .. } => images.iter().map(|source| source.rows() as u64).collect(),
        Opened::Text(source, window, stride) => {
            vec![text_windows(source.rows() as u64, *window, *stride, NEXT)]
        }
    }
}

/// Rows of every class of a column.
fn class_rows(opened: &Opened, column: &str) -> Result<Vec<u64>, DataError> {
    let (sources, name) = match opened {
        Opened::Csv(source) | Opened::Bytes(source) => (std::slice::from_ref(source), column),
        Opened::Idx { labels, .. } => (labels.as_slice(), "values"),
        Opened::Text(source, _, _) => (std::slice::from_ref(source), "text"),
    };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for source in sources {
        let levels = match source.levels(name, Missing::Refused)? {
            Some(levels) => levels,
            // Too many to be kept: asking for them says so.
            None => return source.category(name, Missing::Refused).map(|_| Vec::new()),
        };
        for (level, rows) in levels {
            *counts.entry(level).or_default() += rows;
        }
    }
    Ok(counts.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_data::{CsvOptions, Open};

    fn csv(text: &str) -> Opened {
        let open = Open::bytes("t.csv", text.as_bytes());
        Opened::Csv(open.csv(CsvOptions::default()).expect("a table"))
    }

    #[test]
    fn families_are_named_in_both_numbers() {
        let facts = of(&csv(
            "p_0_0,p_0_1,p_1_0,p_1_1,y,w,z\n1,2,3,4,0,a,1.5\n5,6,7,8,1,,2\n",
        ))
        .expect("facts");
        let find = |name: &str| facts.columns.iter().find(|column| column.name == name);
        let wanted = FactKind::Vector {
            dims: vec![2, 2],
            fields: ["p_0_0", "p_0_1", "p_1_0", "p_1_1"]
                .map(String::from)
                .to_vec(),
        };
        for name in ["p", "ps"] {
            assert_eq!(find(name).map(|column| &column.kind), Some(&wanted));
        }
        let levels = Some(vec!["0".to_owned(), "1".to_owned()]);
        assert_eq!(
            find("y").map(|column| &column.kind),
            Some(&FactKind::Number { levels })
        );
        assert_eq!(
            find("z").map(|column| &column.kind),
            Some(&FactKind::Number { levels: None })
        );
        assert_eq!(
            find("w").map(|column| (column.missing, &column.kind)),
            Some((
                1,
                &FactKind::Category {
                    levels: vec!["a".into()]
                }
            ))
        );
    }

    #[test]
    fn parts_are_as_large_as_the_runtime_makes_them() {
        let text: String = std::iter::once("y\n".to_owned())
            .chain((0..10).map(|row| format!("{}\n", row % 3)))
            .collect();
        let split = |kind, shares| SplitPlan {
            kind,
            shares,
            site: "s".into(),
        };
        let shares = [500_000, 250_000, 250_000];
        let rows = part_rows(&csv(&text), &split(SplitKind::Random, shares), None).expect("rows");
        assert_eq!(rows.iter().sum::<u64>(), 10);
        let stratified = SplitKind::Stratified { by: "label".into() };
        let rows = part_rows(&csv(&text), &split(stratified, shares), Some("y")).expect("rows");
        assert_eq!(rows, [4, 3, 3]);
        let text = Opened::Text(
            Open::bytes("t", b"abcabcabcabc").text().expect("a text"),
            3,
            1,
        );
        let rows = part_rows(
            &text,
            &split(SplitKind::Sequential, [1_000_000, 0, 0]),
            None,
        )
        .expect("rows");
        assert_eq!((rows, of(&text).expect("facts").rows), ([9, 0, 0], 9));
    }
}
