//! What the checker asks of the outside: texts of files and facts about data. It does no IO itself.

use mmh_diag::Code;
use mmh_ir::plan::{SplitPlan, Within};
use std::collections::BTreeMap;

/// The one trait for IO. Paths start in the recipe's folder, whichever file writes them.
pub trait World {
    /// The text of a file that is used.
    fn read_text(&self, path: &str) -> Result<String, TextFault>;

    /// What there is to know about a data source.
    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault>;

    /// Rows of train, valid and test. `by` is the source's name of the column a stratified split follows.
    fn part_rows(
        &self,
        request: &SourceRequest,
        split: &SplitPlan,
        by: Option<&str>,
    ) -> Result<[u64; 3], DataFault>;

    /// What there is to know about a file of weights.
    fn weight_facts(&self, file: &FileRequest) -> Result<WeightFacts, DataFault> {
        Err(DataFault {
            code: Code::DataMissingFile,
            file: file.path.as_str().into(),
            message: "there are no weights here".to_owned(),
            line: None,
            row: None,
            column: None,
            help: String::new(),
        })
    }

    /// The first cell of a column that is not what is asked for, to be named in a message; nothing where it cannot be told.
    fn odd_cell(&self, _: &SourceRequest, _column: &str, _wanted: Wanted) -> Option<DataFault> {
        None
    }
}

/// What every cell of a column should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There.
    Present,
    /// A number, or missing.
    Number,
    /// A whole number, or missing.
    Whole,
    /// One of so many classes, or missing.
    Class(u32),
}

/// Why a text could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextFault {
    /// There is no such file, or it cannot be read; the reason in words.
    NotFound(String),
    /// The path leads out of the recipe's folder.
    Escape,
    /// It is not the file that was locked. The first digits of the hash it had, and of the one it has.
    Changed {
        /// Of the file that was locked.
        locked: String,
        /// Of the file that is there.
        found: String,
    },
}

/// One file of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRequest {
    /// Path as written.
    pub path: String,
    /// The blake3 the recipe pins, 64 hexadecimal digits.
    pub blake3: Option<String>,
    /// Where its content is.
    pub within: Within,
}

/// A data source as a recipe names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceRequest {
    /// A table of text.
    Csv {
        /// The file.
        file: FileRequest,
        /// Separator; found if not given.
        delimiter: Option<char>,
    },
    /// IDX files; the last pair is the test part where the split is `files`.
    Idx {
        /// Pictures.
        images: Vec<FileRequest>,
        /// Labels, as many.
        labels: Vec<FileRequest>,
    },
    /// A text cut into windows.
    Text {
        /// The file.
        file: FileRequest,
        /// Characters of a row.
        window: u64,
        /// Characters from one row's start to the next's.
        stride: u64,
    },
    /// Bytes cut into rows, each within one file of a pack.
    Bytes {
        /// The file.
        file: FileRequest,
        /// Bytes of a row.
        window: u64,
        /// Bytes from one row's start to the next's.
        stride: u64,
    },
}

/// What a file of weights holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightFacts {
    /// The blake3 of the file, 64 hexadecimal digits.
    pub blake3: String,
    /// Element type and sizes of each tensor, by name.
    pub tensors: BTreeMap<String, (String, Vec<usize>)>,
}

/// What a source holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataFacts {
    /// The blake3 of every file as stored, 64 hexadecimal digits: images before labels.
    pub files: Vec<String>,
    /// Rows in all.
    pub rows: u64,
    /// Rows of every pair of files, in order.
    pub rows_per_file: Vec<u64>,
    /// Columns, and vectors of columns, in the order of the file. An IDX source has `images` and `labels`; a text has none,
    /// its `characters` and `next` are known. Rows of bytes have `bytes` and `file`.
    pub columns: Vec<ColumnFact>,
    /// The distinct characters of a text, sorted.
    pub vocabulary: Vec<char>,
}

/// One column, or several that are taken together.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnFact {
    /// The name after `source.`.
    pub name: String,
    /// What it holds.
    pub kind: FactKind,
    /// Rows in which it is missing.
    pub missing: u64,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub enum FactKind {
    /// Numbers. Where they are few whole numbers, the distinct ones are also levels.
    Number {
        /// The distinct values in order, if all are whole and few.
        levels: Option<Vec<String>>,
    },
    /// Words, with the distinct ones in order.
    Category {
        /// The distinct words.
        levels: Vec<String>,
    },
    /// Several number columns: their sizes, and the header names in row-major order.
    Vector {
        /// Sizes, outermost first.
        dims: Vec<u64>,
        /// Header names.
        fields: Vec<String>,
    },
    /// Bytes of pictures, or of rows cut from files.
    Images {
        /// Rows and columns; the length of a row.
        dims: Vec<u64>,
    },
    /// Labels of an IDX source.
    Labels {
        /// One more than the largest.
        classes: u64,
    },
}

/// What is wrong with a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFault {
    /// One of the `data` family.
    pub code: Code,
    /// The file as the recipe writes it; empty where no file is at fault.
    pub file: Box<str>,
    /// Lower case, no full stop, without the place.
    pub message: String,
    /// Line from 1 in a file of text, if one is at fault.
    pub line: Option<u32>,
    /// Row from 1, if one is at fault; a header is not a row.
    pub row: Option<u64>,
    /// The column's name, if one is at fault.
    pub column: Option<String>,
    /// What to do; may be empty.
    pub help: String,
}

impl DataFault {
    /// File, line, row and column in one text; empty where nothing of it is known.
    pub fn place(&self) -> String {
        let mut place = Vec::new();
        place.extend(Some(self.file.to_string()).filter(|file| !file.is_empty()));
        place.extend(self.line.map(|line| format!("line {line}")));
        place.extend(self.row.map(|row| format!("row {row}")));
        place.extend(self.column.as_ref().map(|name| format!("column `{name}`")));
        place.join(", ")
    }

    /// The message with its place.
    pub fn sentence(&self) -> String {
        if self.row.is_none() && self.column.is_none() && self.line.is_none() {
            return match self.file.is_empty() {
                true => self.message.clone(),
                false => format!("`{}`: {}", self.file, self.message),
            };
        }
        format!("{} ({})", self.message, self.place())
    }
}
