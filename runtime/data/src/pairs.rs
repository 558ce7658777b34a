//! Whether files of pictures and of labels belong together.

use crate::column::Values;
use crate::error::{Code, DataError};
use crate::source::{Missing, Source};
use crate::streamed::Elements;

/// Checks that the files of pictures hold bytes and rows of one shape, that the files of labels hold one whole number a row,
/// and that the files of each pair have as many rows.
///
/// Errors: `data::format`, about the file that differs, with the other one's name in the message.
pub fn check_pairs(images: &[Source], labels: &[Source]) -> Result<(), DataError> {
    let first = match images.first() {
        Some(source) => Some((source, pictures(source)?)),
        None => None,
    };
    for source in images.iter().skip(1) {
        let shape = pictures(source)?;
        if let Some((known, wanted)) = first.as_ref().filter(|(_, wanted)| *wanted != shape) {
            let (has, wanted) = (in_words(&shape), in_words(wanted));
            let message = format!(
                "its pictures are {has}, those of `{}` are {wanted}",
                known.file()
            );
            let help = "name files of one size of picture";
            return Err(DataError::new(Code::Format, source.file(), message, help));
        }
    }
    for (images, labels) in images.iter().zip(labels) {
        // Refuses what is no label, by row where there is one.
        labels.category("values", Missing::Refused)?;
        let (pictures, named) = (images.rows(), labels.rows());
        if pictures != named {
            let message = format!(
                "it has {named} labels, and `{}` has {pictures} pictures",
                images.file()
            );
            let help = "a picture has one label: fetch both files again, or name the file that belongs to it";
            return Err(DataError::new(Code::Format, labels.file(), message, help));
        }
    }
    Ok(())
}

/// The shape of a picture.
fn pictures(source: &Source) -> Result<Vec<u32>, DataError> {
    let (shape, values) = match source.is_streamed() {
        true => {
            let streamed = source.stream_numbers("values", Missing::Refused)?;
            let values = match streamed.no_elements() {
                Elements::U8(_) => Values::U8(Vec::new()),
                Elements::I32(_) => Values::I32(Vec::new()),
                Elements::F32(_) => Values::F32(Vec::new()),
            };
            (streamed.shape, values)
        }
        false => {
            let column = source.numeric("values", Missing::Refused)?;
            (column.shape, column.values)
        }
    };
    let what = match values {
        Values::U8(_) if shape.is_empty() => "one number a row, as labels have",
        Values::U8(_) => return Ok(shape),
        Values::I32(_) => "whole numbers that are no bytes",
        Values::F32(_) | Values::Class { .. } => "numbers with fractions",
    };
    let message = format!("it holds {what}; pictures are unsigned bytes with axes");
    let help =
        "write the pictures as IDX of type 0x08, and check that images and labels are not swapped";
    Err(DataError::new(Code::Format, source.file(), message, help))
}

fn in_words(shape: &[u32]) -> String {
    let sizes: Vec<String> = shape.iter().map(u32::to_string).collect();
    sizes.join(" × ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Open;

    fn idx(file: &str, kind: u8, axes: &[u32]) -> Source {
        let width = if kind == 0x0d { 4 } else { 1 };
        let count = axes.iter().product::<u32>() as usize * width;
        let mut bytes = vec![0, 0, kind, axes.len() as u8];
        bytes.extend(axes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(std::iter::repeat_n(0, count));
        Open::bytes(file, &bytes).idx().expect("an IDX file")
    }

    #[track_caller]
    fn refused(images: &[Source], labels: &[Source], file: &str, words: &[&str]) {
        let error = check_pairs(images, labels).expect_err("they differ");
        assert_eq!(
            (error.code, &*error.file),
            ("data::format", file),
            "{error}"
        );
        for word in words {
            assert!(
                error.message.contains(word) && !error.help.is_empty(),
                "{error}"
            );
        }
    }

    #[test]
    fn files_that_do_not_belong_together() {
        let pictures = |file, rows| idx(file, 8, &[rows, 2, 2]);
        let labels = |file, rows| idx(file, 8, &[rows]);
        let good = [pictures("a", 5), pictures("b", 3)];
        assert_eq!(
            check_pairs(&good, &[labels("c", 5), labels("d", 3)]),
            Ok(())
        );
        let short = [labels("c", 5), labels("d", 2)];
        refused(&good, &short, "d", &["2 labels", "`b`", "3 pictures"]);
        let wide = [pictures("a", 5), idx("b", 8, &[5, 2, 3])];
        refused(
            &wide,
            &[labels("c", 5), labels("d", 5)],
            "b",
            &["2 × 3", "`a`", "2 × 2"],
        );
        refused(
            &[labels("c", 5)],
            &[labels("d", 5)],
            "c",
            &["as labels have"],
        );
        refused(
            &[idx("f", 0x0d, &[5, 2])],
            &[labels("d", 5)],
            "f",
            &["fractions"],
        );
        refused(
            &[pictures("a", 5)],
            &[pictures("b", 5)],
            "b",
            &["several values"],
        );
    }
}
