//! One way to ask any format for a column.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::asked::packed_columns;
use crate::cells::{parse_f32, parse_i32, shortest_whole, sorted_levels, why_not_a_number};
use crate::column::{Column, Values};
use crate::error::{Code, DataError, nearest, shown};
use crate::family::{self, Family};
use crate::gather::{Words, number_words, parse_all, table_columns, table_words, why_not_whole};
use crate::idx::{Element, Idx, VALUES};
use crate::packed::{Form, Packed};
use crate::rows::{BYTES, Cut, FILE, Rows};
use crate::stored::{Limits, Stored};
use crate::table::{CsvOptions, Table};
use crate::text::{TEXT, Text};

/// The most classes a column may be given.
const MOST_CLASSES: u32 = 1 << 20;

/// What a column without a declared type looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Whole numbers that fit 32 bits.
    Whole,
    /// Finite numbers.
    Number,
    /// Words.
    Category,
    /// Characters of a text.
    Character,
}

/// Whether a column may have missing values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A missing value is `data::missing-value`.
    Refused,
    /// A missing value is marked in [`Column::missing`].
    Allowed,
}

/// What [`Source::columns`] tells of a column or a family of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// The name to ask for it by.
    pub name: String,
    /// The axes of one row; empty for one value a row.
    pub shape: Vec<u32>,
    /// The narrowest kind all its values are of; [`Kind::Whole`] if there are none.
    pub kind: Kind,
    /// How many values are missing.
    pub missing: u64,
}

/// An opened data file. Made by [`crate::Open`].
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) content: Content,
    hash: blake3::Hash,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Table(Table),
    Idx(Idx),
    Text(Text),
    Rows(Rows),
    /// Any of the first three, with its rows on the disk; and the file as it is shown.
    Packed(Arc<Packed>, String),
}

impl Source {
    pub(crate) fn table(stored: Stored, options: CsvOptions) -> Result<Source, DataError> {
        let hash = stored.hash;
        Ok(Source {
            content: Content::Table(Table::read(stored, options)?),
            hash,
        })
    }

    pub(crate) fn idx(stored: Stored) -> Result<Source, DataError> {
        let hash = stored.hash;
        Ok(Source {
            content: Content::Idx(Idx::read(stored)?),
            hash,
        })
    }

    pub(crate) fn text(stored: Stored) -> Result<Source, DataError> {
        let hash = stored.hash;
        Ok(Source {
            content: Content::Text(Text::read(stored)?),
            hash,
        })
    }

    pub(crate) fn packed(packed: Arc<Packed>, file: &str) -> Result<Source, DataError> {
        let hash = blake3::Hash::from_hex(&packed.about.source).map_err(|error| {
            let help = "begin again: its rows are packed again";
            DataError::new(Code::Cache, file, error.to_string(), help)
        })?;
        Ok(Source {
            content: Content::Packed(packed, file.to_owned()),
            hash,
        })
    }

    /// Rows of bytes out of `files` (name and content), which came out of one file with this `hash`, shown as `file`. The
    /// columns are `bytes` and `file`, the name of the file a row is from.
    ///
    /// Errors: `data::truncated` where no file has the bytes of a row, `limit::too-large`.
    pub fn rows_of_bytes(
        file: &str,
        files: Vec<(String, Vec<u8>)>,
        cut: Cut,
        hash: blake3::Hash,
        limits: &Limits,
    ) -> Result<Source, DataError> {
        Ok(Source {
            content: Content::Rows(Rows::read(file, files, cut, limits)?),
            hash,
        })
    }

    /// The file as it is shown in errors.
    pub fn file(&self) -> &str {
        match &self.content {
            Content::Table(table) => table.file(),
            Content::Idx(idx) => idx.file(),
            Content::Text(text) => text.file(),
            Content::Rows(rows) => rows.file(),
            Content::Packed(_, file) => file,
        }
    }

    /// The blake3 of the file's bytes as stored, before unpacking.
    pub fn file_hash(&self) -> blake3::Hash {
        self.hash
    }

    /// Rows: lines of a table, the first axis of an IDX file, characters of a text, rows of bytes.
    pub fn rows(&self) -> usize {
        match &self.content {
            Content::Table(table) => table.rows(),
            Content::Idx(idx) => idx.rows,
            Content::Text(text) => text.characters,
            Content::Rows(rows) => rows.rows,
            Content::Packed(packed, _) => packed.about.rows as usize,
        }
    }

    /// Every column in file order, then every family of columns by name. Reads the whole table.
    pub fn columns(&self) -> Vec<ColumnInfo> {
        match &self.content {
            Content::Packed(packed, _) => packed_columns(packed),
            Content::Table(table) => table_columns(table),
            Content::Text(_) => vec![info(TEXT, &[], Kind::Character)],
            Content::Rows(rows) => vec![
                info(BYTES, &rows.shape(), Kind::Whole),
                info(FILE, &[], Kind::Category),
            ],
            Content::Idx(idx) => match idx.element {
                Element::U8 | Element::I8 | Element::I16 | Element::I32 => {
                    vec![info(VALUES, &idx.shape, Kind::Whole)]
                }
                Element::F32 | Element::F64 => vec![info(VALUES, &idx.shape, Kind::Number)],
            },
        }
    }

    /// Numbers: `F32` from a table, `U8`, `I32` or `F32` from an IDX file, whose one column is called `values`.
    ///
    /// A name that no column has means a family, which gives a vector a row: all columns called that name, or that name
    /// without a last `s`, followed by one or more numbers set off by `_` (the first `_` may be left out). So `pixels` takes
    /// `pixel_0_0 … pixel_7_7` as 8 × 8, and `x` takes `x1 … x9`. Each number counts from 0 or from 1, none may be left out;
    /// the order is that of the numbers, whatever the order in the file.
    ///
    /// Errors: `data::unknown-column`, `data::not-a-number`, `data::missing-value`; `data::format` for a text.
    pub fn numeric(&self, name: &str, missing: Missing) -> Result<Column, DataError> {
        match &self.content {
            Content::Table(table) => {
                let (shape, members) = self.find(&table.names, name)?;
                let (values, missing) =
                    parse_all(table, &members, missing, parse_f32, why_not_a_number)?;
                Ok(Column {
                    name: name.to_owned(),
                    shape,
                    values: Values::F32(values),
                    missing,
                })
            }
            Content::Idx(idx) => {
                self.only(name, VALUES)?;
                idx.column()
            }
            Content::Text(_) => Err(self.no_numbers(name)),
            Content::Packed(..) => self.stream_numbers(name, missing)?.collect(),
            Content::Rows(rows) => match name {
                BYTES => Ok(rows.column()),
                FILE => Err(self.misuse(name, "holds names, not numbers", "take it as a category")),
                _ => Err(self.unknown(name)),
            },
        }
    }

    /// Whole numbers of 32 bits, as `I32`; bytes of an IDX file stay `U8`.
    ///
    /// Errors as [`Source::numeric`]; a number with a fraction is `data::not-a-number`.
    pub fn integer(&self, name: &str, missing: Missing) -> Result<Column, DataError> {
        if let Content::Packed(packed, file) = &self.content
            && !packed.fields().is_empty()
        {
            let (_, members) = self.find(&packed.names(), name)?;
            packed.check_numbers(file, &members, missing)?;
            packed.check_whole(file, &members)?;
            return Err(self.misuse(name, "is kept as numbers", "take it as a number"));
        }
        if let Content::Table(table) = &self.content {
            let (shape, members) = self.find(&table.names, name)?;
            let (values, missing) = parse_all(table, &members, missing, parse_i32, why_not_whole)?;
            return Ok(Column {
                name: name.to_owned(),
                shape,
                values: Values::I32(values),
                missing,
            });
        }
        let column = self.numeric(name, missing)?;
        match column.values {
            Values::U8(_) | Values::I32(_) | Values::Class { .. } => Ok(column),
            Values::F32(_) => {
                Err(self.misuse(name, "holds numbers with fractions", "take it as a number"))
            }
        }
    }

    /// Categories, the levels being the different words of the column, sorted as [`Values::Class`] says.
    ///
    /// Errors: `data::unknown-column`, `data::missing-value`; `data::format` for a vector or for fractions.
    pub fn category(&self, name: &str, missing: Missing) -> Result<Column, DataError> {
        let words = self.words(name, missing)?;
        let levels = sorted_levels(words.names.clone());
        self.classes(name, words, levels)
    }

    /// Categories by a given list of levels, such as a trained model's.
    ///
    /// Errors as [`Source::category`]; a word that is no level is `data::class-range`.
    pub fn category_of(
        &self,
        name: &str,
        levels: &[String],
        missing: Missing,
    ) -> Result<Column, DataError> {
        let words = self.words(name, missing)?;
        self.classes(name, words, levels.to_vec())
    }

    /// Labels of `count` classes: whole numbers 0..count are their own index, other words must be `count` different ones.
    ///
    /// Errors as [`Source::category`]; a label outside, or another count of words, is `data::class-range`.
    pub fn class(&self, name: &str, count: u32, missing: Missing) -> Result<Column, DataError> {
        if count > MOST_CLASSES {
            let message = format!("{count} classes are more than {MOST_CLASSES}");
            return Err(
                DataError::new(Code::TooLarge, self.file(), message, "use fewer classes")
                    .in_column(name),
            );
        }
        let words = self.words(name, missing)?;
        if words
            .names
            .iter()
            .all(|word| shortest_whole(word).is_some())
        {
            return self.classes(
                name,
                words,
                (0..count).map(|class| class.to_string()).collect(),
            );
        }
        let levels = sorted_levels(words.names.clone());
        if levels.len() == count as usize {
            return self.classes(name, words, levels);
        }
        Err(self.other_count(name, &words, count))
    }

    /// Another number of words than of classes. The row is that of the word that comes up last, most likely the stranger.
    fn other_count(&self, name: &str, words: &Words, count: u32) -> DataError {
        let found = words.names.len();
        let last = found.saturating_sub(1);
        let is_there = |row: usize| {
            !words
                .missing
                .as_ref()
                .is_some_and(|missing| missing.get(row))
        };
        let mut rows = words.ids.iter().enumerate();
        let row = rows.find(|&(row, &id)| id as usize == last && is_there(row));
        let row = row.map(|(row, _)| row);
        let word = words.names.get(last).map_or("", String::as_str);
        let mut message = format!("`{name}` has {found} categories, {count} classes are asked for");
        let near = nearest(word, words.names.iter().map(String::as_str).take(last));
        let help = match near {
            Some(near) if found > count as usize => {
                message.push_str(&format!(
                    "; `{}` comes up last, close to `{}`",
                    shown(word),
                    shown(near)
                ));
                format!("write `class[{found}]`, or correct `{}`", shown(word))
            }
            _ if found > count as usize => {
                message.push_str(&format!("; `{}` comes up last", shown(word)));
                format!("write `class[{found}]`, or correct `{}`", shown(word))
            }
            _ => format!("write `class[{found}]`"),
        };
        self.at(
            Code::ClassRange,
            row.unwrap_or(0),
            words.column,
            message,
            help,
        )
    }

    /// An error in a row; `column` counts in tables alone.
    fn at(
        &self,
        code: Code,
        row: usize,
        column: usize,
        message: String,
        help: String,
    ) -> DataError {
        match &self.content {
            Content::Table(table) => table.error(code, row, column, message, help),
            Content::Idx(idx) => idx.error(code, row, message, help),
            Content::Text(text) => text.error(code, row, message, help),
            Content::Rows(rows) => rows.error(code, row, message, help),
            Content::Packed(packed, file) => {
                let error = DataError::new(code, file, message, help).at_row(row as u64 + 1);
                packed.place(error, row as u64, column)
            }
        }
    }

    /// Turns words into indices of `levels`.
    fn classes(&self, name: &str, words: Words, levels: Vec<String>) -> Result<Column, DataError> {
        let index: BTreeMap<&str, u32> = levels.iter().map(String::as_str).zip(0..).collect();
        let places: Vec<Option<u32>> = words
            .names
            .iter()
            .map(|word| index.get(word.as_str()).copied())
            .collect();
        let mut ids = Vec::with_capacity(words.ids.len());
        for (row, &word) in words.ids.iter().enumerate() {
            if words
                .missing
                .as_ref()
                .is_some_and(|missing| missing.get(row))
            {
                ids.push(0);
                continue;
            }
            match places.get(word as usize).copied().flatten() {
                Some(id) => ids.push(id),
                None => return Err(self.outside(&words, row, &levels)),
            }
        }
        Ok(Column {
            name: name.to_owned(),
            shape: Vec::new(),
            values: Values::Class { levels, ids },
            missing: words.missing,
        })
    }

    fn outside(&self, words: &Words, row: usize, levels: &[String]) -> DataError {
        let word = words.ids.get(row).map_or(0, |&id| id as usize);
        self.strange(&words.names, word, row, words.column, levels)
    }

    /// A word that is none of the levels, first met in a row.
    pub(crate) fn strange(
        &self,
        names: &[String],
        word: usize,
        row: usize,
        column: usize,
        levels: &[String],
    ) -> DataError {
        let word = names.get(word).map_or("", String::as_str);
        let numbered = levels
            .iter()
            .zip(0u32..)
            .all(|(level, number)| *level == number.to_string());
        let message = match levels {
            [first, .., last] if numbered => {
                let count = levels.len();
                format!(
                    "the label `{}` is none of the {count} classes {first} to {last}",
                    shown(word)
                )
            }
            _ => format!(
                "`{}` is none of the {} categories",
                shown(word),
                levels.len()
            ),
        };
        let from_one =
            numbered && names.iter().all(|word| word != "0") && word == levels.len().to_string();
        let help = match nearest(word, levels.iter().map(String::as_str)) {
            _ if from_one => "labels count from 0, these seem to count from 1".to_owned(),
            Some(level) if !numbered => format!("did you mean `{}`?", shown(level)),
            _ if numbered => format!(
                "classes count from 0: check the label, or the count of {} classes",
                levels.len()
            ),
            _ => "check the word, or train with it".to_owned(),
        };
        self.at(Code::ClassRange, row, column, message, help)
    }

    fn words(&self, name: &str, missing: Missing) -> Result<Words, DataError> {
        match &self.content {
            Content::Packed(packed, _) => self.packed_words(packed, name, missing),
            Content::Table(table) => match self.find(&table.names, name)? {
                (shape, members) if shape.is_empty() => {
                    table_words(table, members.first().copied().unwrap_or(0), missing)
                }
                _ => Err(self.misuse(name, "is several columns", "a class needs one column")),
            },
            Content::Text(text) => {
                self.only(name, TEXT)?;
                let (names, ids) = text.interned();
                Ok(Words {
                    names,
                    ids,
                    missing: None,
                    column: 0,
                })
            }
            Content::Rows(rows) => match name {
                FILE => Ok(rows.words()),
                BYTES => Err(self.misuse(
                    name,
                    "holds several values a row",
                    "a class needs one value a row",
                )),
                _ => Err(self.unknown(name)),
            },
            Content::Idx(idx) => {
                self.only(name, VALUES)?;
                if !idx.shape.is_empty() {
                    return Err(self.misuse(
                        name,
                        "holds several values a row",
                        "a class needs one value a row",
                    ));
                }
                match idx.column()?.values {
                    Values::U8(values) => Ok(number_words(values.into_iter().map(i32::from))),
                    Values::I32(values) => Ok(number_words(values.into_iter())),
                    Values::F32(_) | Values::Class { .. } => Err(self.misuse(
                        name,
                        "holds numbers with fractions",
                        "take it as a number",
                    )),
                }
            }
        }
    }

    /// The shape and members of a column or family; an exact name comes first.
    pub(crate) fn find(
        &self,
        names: &[String],
        name: &str,
    ) -> Result<(Vec<u32>, Vec<usize>), DataError> {
        if let Some(index) = names.iter().position(|known| known == name) {
            return Ok((Vec::new(), vec![index]));
        }
        match family::find(name, names) {
            Some(Ok(Family { shape, members })) => Ok((shape, members)),
            Some(Err(why)) => {
                let message = format!("`{name}` cannot be taken together: {why}");
                let help = "a family of columns counts from 0 or 1 and leaves none out";
                Err(DataError::new(Code::UnknownColumn, self.file(), message, help).in_column(name))
            }
            None => Err(self.unknown(name)),
        }
    }

    pub(crate) fn only(&self, name: &str, known: &str) -> Result<(), DataError> {
        if name == known {
            Ok(())
        } else {
            Err(self.unknown(name))
        }
    }

    pub(crate) fn unknown(&self, name: &str) -> DataError {
        let all = |names: &[String]| {
            let families = family::all(names).into_iter().map(|(stem, _)| stem);
            families.chain(names.iter().cloned()).collect()
        };
        let names: Vec<String> = match &self.content {
            Content::Table(table) => all(&table.names),
            Content::Packed(packed, _) => match &packed.about.form {
                Form::Table { .. } => all(&packed.names()),
                Form::Idx { .. } => vec![VALUES.to_owned()],
                Form::Text { .. } => vec![TEXT.to_owned()],
            },
            Content::Idx(_) => vec![VALUES.to_owned()],
            Content::Text(_) => vec![TEXT.to_owned()],
            Content::Rows(_) => vec![BYTES.to_owned(), FILE.to_owned()],
        };
        let help = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{}`?", shown(near)),
            None => {
                let some: Vec<String> = names
                    .iter()
                    .filter(|name| !name.is_empty())
                    .take(8)
                    .map(|name| shown(name))
                    .collect();
                let more = if names.len() > 8 { " …" } else { "" };
                format!("it has: {}{more}", some.join(", "))
            }
        };
        DataError::new(
            Code::UnknownColumn,
            self.file(),
            format!("there is no column `{}`", shown(name)),
            help,
        )
        .in_column(name)
    }

    /// Characters where numbers are asked for.
    pub(crate) fn no_numbers(&self, name: &str) -> DataError {
        let help = "take it as a category";
        self.only(name, TEXT)
            .err()
            .unwrap_or_else(|| self.misuse(name, "holds characters, not numbers", help))
    }

    pub(crate) fn misuse(&self, name: &str, what: &str, help: &str) -> DataError {
        DataError::new(Code::Format, self.file(), format!("`{name}` {what}"), help).in_column(name)
    }
}

/// A column that nothing is missing in.
pub(crate) fn info(name: &str, shape: &[u32], kind: Kind) -> ColumnInfo {
    ColumnInfo {
        name: name.to_owned(),
        shape: shape.to_vec(),
        kind,
        missing: 0,
    }
}
