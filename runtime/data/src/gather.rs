//! Walks the rows of a table and gathers a column's numbers or words.

use std::collections::BTreeMap;

use crate::cells::{parse_f32, parse_i32, why_not_a_number};
use crate::column::Bitmap;
use crate::error::{Code, DataError, shown};
use crate::family::{self, Family};
use crate::source::{ColumnInfo, Kind, Missing};
use crate::table::Table;

/// One word a row: the different words in order of first sight and each row's place among them.
pub(crate) struct Words {
    pub(crate) names: Vec<String>,
    pub(crate) ids: Vec<u32>,
    pub(crate) missing: Option<Bitmap>,
    pub(crate) column: usize,
}

pub(crate) fn why_not_whole(text: &str) -> (&'static str, String) {
    match parse_f32(text) {
        Some(_)
            if text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'+') =>
        {
            (
                "does not fit 32 bits",
                "take the column as a number".to_owned(),
            )
        }
        Some(_) => (
            "is not a whole number",
            "take the column as a number".to_owned(),
        ),
        None => why_not_a_number(text),
    }
}

/// Every field of the members, row after row; `T::default()` where missing.
pub(crate) fn parse_all<T: Copy + Default>(
    table: &Table,
    members: &[usize],
    missing: Missing,
    parse: impl Fn(&str) -> Option<T>,
    why: impl Fn(&str) -> (&'static str, String),
) -> Result<(Vec<T>, Option<Bitmap>), DataError> {
    let count = table.rows() * members.len();
    let mut values = Vec::with_capacity(count);
    let mut absent = None;
    for row in 0..table.rows() {
        for &column in members {
            let cell = table.cell(row, column);
            if cell.is_missing() {
                check_missing(table, row, column, missing)?;
                absent
                    .get_or_insert_with(|| Bitmap::new(count))
                    .set(values.len());
                values.push(T::default());
                continue;
            }
            let Some(value) = parse(&cell.text) else {
                let (what, help) = why(&cell.text);
                let message = format!("`{}` {what}", shown(&cell.text));
                return Err(table.error(Code::NotANumber, row, column, message, help));
            };
            values.push(value);
        }
    }
    Ok((values, absent))
}

fn check_missing(
    table: &Table,
    row: usize,
    column: usize,
    missing: Missing,
) -> Result<(), DataError> {
    match missing {
        Missing::Allowed => Ok(()),
        Missing::Refused => {
            let name = table.names.get(column).map_or("", String::as_str);
            let (message, help) = missing_value(name);
            Err(table.error(Code::MissingValue, row, column, message, help))
        }
    }
}

/// What is said of a missing value where none may be.
pub(crate) fn missing_value(column: &str) -> (String, String) {
    let message = format!("a value of `{}` is missing", shown(column));
    let help = "say what a missing value becomes, or leave such rows out";
    (message, help.to_owned())
}

/// Whole numbers below this are looked up by themselves.
pub(crate) const SMALL: usize = 1000;

/// The whole number below [`SMALL`] that a text is the one form of.
pub(crate) fn small_number(text: &str) -> Option<usize> {
    let digits = text.as_bytes();
    let short = matches!(
        digits,
        [b'0'] | [b'1'..=b'9'] | [b'1'..=b'9', _] | [b'1'..=b'9', _, _]
    );
    let number = |number: usize, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        Some(number * 10 + digit)
    };
    digits
        .iter()
        .filter(|_| short)
        .try_fold(0, number)
        .filter(|_| short)
}

pub(crate) fn table_words(
    table: &Table,
    column: usize,
    missing: Missing,
) -> Result<Words, DataError> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut small = [None; SMALL];
    let mut words = Words {
        names: Vec::new(),
        ids: Vec::with_capacity(table.rows()),
        missing: None,
        column,
    };
    for row in 0..table.rows() {
        let cell = table.cell(row, column);
        if cell.is_missing() {
            check_missing(table, row, column, missing)?;
            words
                .missing
                .get_or_insert_with(|| Bitmap::new(table.rows()))
                .set(row);
            words.ids.push(0);
            continue;
        }
        let known = small_number(&cell.text).and_then(|number| small.get_mut(number));
        if let Some(&id) = match &known {
            Some(known) => known.as_ref(),
            None => seen.get(cell.text.as_ref()),
        } {
            words.ids.push(id);
            continue;
        }
        let id = words.names.len() as u32;
        if let Some(known) = known {
            *known = Some(id);
            words.names.push(cell.text.into_owned());
            words.ids.push(id);
            continue;
        }
        words.names.push(cell.text.clone().into_owned());
        seen.insert(cell.text.into_owned(), id);
        words.ids.push(id);
    }
    Ok(words)
}

pub(crate) fn number_words(numbers: impl Iterator<Item = i32>) -> Words {
    let mut seen: BTreeMap<i32, u32> = BTreeMap::new();
    let mut words = Words {
        names: Vec::new(),
        ids: Vec::new(),
        missing: None,
        column: 0,
    };
    for number in numbers {
        let next = words.names.len() as u32;
        let id = *seen.entry(number).or_insert(next);
        if id == next {
            words.names.push(number.to_string());
        }
        words.ids.push(id);
    }
    words
}

pub(crate) fn table_columns(table: &Table) -> Vec<ColumnInfo> {
    let found = (0..table.names.len()).map(|column| table_column(table, column));
    with_families(&table.names, found.collect())
}

/// Columns, and behind them the families that they make.
pub(crate) fn with_families(names: &[String], mut found: Vec<ColumnInfo>) -> Vec<ColumnInfo> {
    for (name, Family { shape, members }) in family::all(names) {
        let members: Vec<&ColumnInfo> = members
            .iter()
            .filter_map(|&member| found.get(member))
            .collect();
        let kind = members
            .iter()
            .map(|info| info.kind)
            .max()
            .unwrap_or(Kind::Whole);
        let missing = members.iter().map(|info| info.missing).sum();
        found.push(ColumnInfo {
            name,
            shape,
            kind,
            missing,
        });
    }
    found
}

fn table_column(table: &Table, column: usize) -> ColumnInfo {
    let mut kind = Kind::Whole;
    let mut missing = 0;
    for row in 0..table.rows() {
        let cell = table.cell(row, column);
        if cell.is_missing() {
            missing += 1;
        } else if kind < Kind::Category && parse_i32(&cell.text).is_none() {
            kind = if parse_f32(&cell.text).is_some() {
                Kind::Number
            } else {
                Kind::Category
            };
        }
    }
    let name = table.names.get(column).cloned().unwrap_or_default();
    ColumnInfo {
        name,
        shape: Vec::new(),
        kind,
        missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_have_one_form() {
        for number in 0..SMALL {
            assert_eq!(small_number(&number.to_string()), Some(number));
        }
        for text in ["", "00", "07", "-1", "1000", "1a", "a1", "+1", "1.0"] {
            assert_eq!(small_number(text), None, "{text}");
        }
    }
}
