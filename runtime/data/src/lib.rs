//! Reads untrusted data files into typed columns; names file, row and column of what is wrong.
//!
//! In flows a path (or bytes), a format, perhaps the blake3 the recipe pins, and limits. Out flow [`Column`]s of one row
//! per example, [`Parts`] (which rows train, validate and test), statistics, and [`data_hash`], a function of the decoded
//! content alone. Nothing here knows recipes, and the same bytes always give the same columns on any machine.
//!
//! Read [`Open`] first, then [`Source`], then [`Parts`]. A wrong file is a [`DataError`], never a panic.
//!
//! | module | holds |
//! |---|---|
//! | `stored` | opening, limits, the hash of the file, gzip |
//! | `table` | text with separators |
//! | `family` | columns taken together as one vector |
//! | `cells`, `gather` | fields as numbers or words, row after row |
//! | `idx`, `pairs` | MNIST's binary format; whether pictures and labels belong together |
//! | `text` | a text as a sequence of characters |
//! | `rows` | bytes cut into rows |
//! | `source` | the one way to ask any of them for a column |
//! | `split`, `stats`, `content` | what is done with columns |
//! | `streaming`, `packed` | what is too large for memory, and where its rows are kept instead |
//! | `asked`, `streamed`, `records`, `streamed_stats` | columns of such sources, their rows by place, and their statistics |

#![forbid(unsafe_code)]

mod asked;
mod cells;
mod column;
mod content;
mod error;
mod family;
mod gather;
mod idx;
mod packed;
mod pairs;
mod records;
mod rows;
mod scanner;
mod source;
mod split;
mod stats;
mod stored;
mod streamed;
mod streamed_stats;
mod streaming;
mod table;
mod text;

pub use column::{Bitmap, Column, Values};
pub use content::{AnyColumn, data_hash, data_hash_of};
pub use error::{Code, DataError};
pub use packed::cache::collect as collect_packed;
pub use pairs::check_pairs;
pub use records::Records;
pub use rows::Cut;
pub use source::{ColumnInfo, Kind, Missing, Source};
pub use split::{Parts, Shares, fold, sizes};
pub use stats::{Moments, median, moments, moments_of_all, most_frequent};
pub use stored::{Limits, Open};
pub use streamed::{Elements, Streamed};
pub use streamed_stats::{class_counts, lower_medians, streamed_moments};
pub use streaming::Streaming;
pub use table::{CsvOptions, Delimiter};
