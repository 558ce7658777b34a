//! IDX, the format of the MNIST database (LeCun, Cortes & Burges): two zero bytes, a type, a rank, big-endian axes, data.

use mmh_numerics::convert;

use crate::column::{Column, Values};
use crate::error::{Code, DataError};
use crate::stored::{Stored, check_fields};

/// The name of an IDX file's one column.
pub(crate) const VALUES: &str = "values";

/// Bytes of the longest header: rank 8.
pub(crate) const LONGEST_HEADER: usize = 4 + 4 * 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Element {
    fn from_code(code: u8) -> Option<Element> {
        match code {
            0x08 => Some(Element::U8),
            0x09 => Some(Element::I8),
            0x0b => Some(Element::I16),
            0x0c => Some(Element::I32),
            0x0d => Some(Element::F32),
            0x0e => Some(Element::F64),
            _ => None,
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Element::U8 | Element::I8 => 1,
            Element::I16 => 2,
            Element::I32 | Element::F32 => 4,
            Element::F64 => 8,
        }
    }
}

/// A file whose header fits its size. The first axis is the rows.
#[derive(Clone, Debug)]
pub(crate) struct Idx {
    file: String,
    bytes: Vec<u8>,
    start: usize,
    pub(crate) element: Element,
    pub(crate) rows: usize,
    pub(crate) shape: Vec<u32>,
}

impl Idx {
    pub(crate) fn read(stored: Stored) -> Result<Idx, DataError> {
        let Stored {
            file,
            bytes,
            limits,
            ..
        } = stored;
        let (element, axes) = header(&file, &bytes)?;
        let start = 4 + 4 * axes.len();
        let data = bytes.len() - start;
        check_size(&file, element, &axes, data)?;
        if element != Element::U8 {
            check_fields(&file, "values", (data / element.bytes()) as u64, &limits)?;
        }
        let (rows, shape) = axes
            .split_first()
            .map_or((0, &axes[..]), |(&rows, shape)| (rows as usize, shape));
        let shape = shape.to_vec();
        Ok(Idx {
            file,
            bytes,
            start,
            element,
            rows,
            shape,
        })
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn error(&self, code: Code, row: usize, message: String, help: String) -> DataError {
        DataError::new(code, &self.file, message, help)
            .at_row(row as u64 + 1)
            .in_column(VALUES)
    }

    /// The whole file as one column; f64 is rounded to f32 once, bytes stay bytes.
    pub(crate) fn column(&self) -> Result<Column, DataError> {
        let data = self.bytes.get(self.start..).unwrap_or_default();
        let values = match self.element {
            Element::U8 => Values::U8(data.to_vec()),
            Element::I8 => Values::I32(data.iter().map(|&byte| i32::from(byte as i8)).collect()),
            Element::I16 => Values::I32(each(data, |bytes| i32::from(i16::from_be_bytes(bytes)))),
            Element::I32 => Values::I32(each(data, i32::from_be_bytes)),
            Element::F32 => Values::F32(each(data, f32::from_be_bytes)),
            Element::F64 => Values::F32(each(data, |bytes| {
                convert::f32_from_f64(f64::from_be_bytes(bytes))
            })),
        };
        if let Values::F32(numbers) = &values
            && let Some(place) = numbers.iter().position(|number| !number.is_finite())
        {
            let width: usize = self.shape.iter().map(|&size| size as usize).product();
            let message = "a value is not a finite number in f32".to_owned();
            let help = "replace nan and infinity before the file is written".to_owned();
            return Err(self.error(Code::NotANumber, place / width.max(1), message, help));
        }
        Ok(Column {
            name: VALUES.to_owned(),
            shape: self.shape.clone(),
            values,
            missing: None,
        })
    }
}

fn each<const N: usize, T>(data: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks()
        .0
        .iter()
        .map(|&bytes| decode(bytes))
        .collect()
}

pub(crate) fn header(file: &str, bytes: &[u8]) -> Result<(Element, Vec<u32>), DataError> {
    let short = || {
        let message = "the file ends inside its header".to_owned();
        DataError::new(Code::Truncated, file, message, "fetch the file again")
    };
    let wrong = |message: String| {
        DataError::new(
            Code::Format,
            file,
            message,
            "an IDX file starts with two zero bytes, a type and a rank",
        )
    };
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(short());
    };
    let [0, 0, code, rank] = *magic else {
        return Err(wrong("this is not an IDX file".to_owned()));
    };
    let element =
        Element::from_code(code).ok_or_else(|| wrong(format!("IDX has no type 0x{code:02x}")))?;
    if rank == 0 || rank > 8 {
        return Err(wrong(format!(
            "an IDX file of rank {rank} cannot be read, only of 1 to 8"
        )));
    }
    let axes = rest.get(..4 * usize::from(rank)).ok_or_else(short)?;
    Ok((element, each(axes, u32::from_be_bytes)))
}

pub(crate) fn check_size(
    file: &str,
    element: Element,
    axes: &[u32],
    found: usize,
) -> Result<(), DataError> {
    let shape = axes
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(" × ");
    if axes.iter().skip(1).any(|&size| size == 0) {
        let message = format!("the header says {shape}: an axis of a row is empty");
        return Err(DataError::new(
            Code::Format,
            file,
            message,
            "write the file again",
        ));
    }
    let sizes = axes.iter().map(|&size| u64::from(size));
    let wanted = sizes
        .into_iter()
        .try_fold(element.bytes() as u64, u64::checked_mul);
    let row: u64 = axes
        .iter()
        .skip(1)
        .fold(element.bytes() as u64, |bytes, &size| {
            bytes.saturating_mul(u64::from(size))
        });
    match wanted {
        Some(wanted) if wanted == found as u64 => Ok(()),
        Some(wanted) if wanted < found as u64 => {
            let message = format!(
                "{} bytes stand after the {shape} values of the header",
                found as u64 - wanted
            );
            Err(DataError::new(
                Code::Format,
                file,
                message,
                "fetch the file again, or mend its header",
            ))
        }
        _ => {
            let whole = found as u64 / row;
            let message =
                format!("the header says {shape} values, the file holds {whole} whole rows");
            Err(
                DataError::new(Code::Truncated, file, message, "fetch the file again")
                    .at_row(whole + 1),
            )
        }
    }
}
