//! IDX files and texts of any length into packed files.

use std::io::Write;

use super::BLOCK;
use super::about::{Element, Form, Spot, Word};
use super::blocks::Blocks;
use super::cache::Aside;
use crate::error::{Code, DataError};
use crate::idx;
use crate::table::valid;
use mmh_numerics::convert;

/// Form, rows, and bytes of a row.
type Passed = (Form, u64, u64);

/// Reads an IDX file to its end, and writes its elements.
pub(crate) fn pack_idx(
    blocks: &mut Blocks,
    file: &str,
    out: &mut Aside,
) -> Result<Passed, DataError> {
    let mut buffer = Vec::new();
    while buffer.len() < idx::LONGEST_HEADER && blocks.next(&mut buffer)? {}
    let (stored, axes) = idx::header(file, &buffer)?;
    let start = 4 + 4 * axes.len();
    let (rows, shape) = axes
        .split_first()
        .map_or((0, &axes[..]), |(rows, shape)| (*rows, shape));
    let width = shape
        .iter()
        .try_fold(1u64, |width, &size| width.checked_mul(u64::from(size)));
    let width = width.unwrap_or(u64::MAX);
    let element = match stored {
        idx::Element::U8 => Element::U8,
        idx::Element::I8 | idx::Element::I16 | idx::Element::I32 => Element::I32,
        idx::Element::F32 | idx::Element::F64 => Element::F32,
    };
    let mut found = (buffer.len() - start) as u64;
    buffer.drain(..start);
    let (mut odd, mut written, mut values) = (None, Vec::new(), 0);
    loop {
        let whole = buffer.len() - buffer.len() % stored.bytes();
        let data = buffer.get(..whole).unwrap_or_default();
        if let Some(place) = convert_all(stored, data, &mut written) {
            odd.get_or_insert((values + place) / width.max(1));
        }
        values += (whole / stored.bytes()) as u64;
        out.write_all(&written)
            .map_err(|error| out.failed(&error))?;
        written.clear();
        buffer.drain(..whole);
        let before = buffer.len();
        if !blocks.next(&mut buffer)? {
            break;
        }
        found += (buffer.len() - before) as u64;
    }
    idx::check_size(file, stored, &axes, found as usize)?;
    let bytes = if element == Element::U8 { 1 } else { 4 };
    let shape = shape.to_vec();
    let form = Form::Idx {
        element,
        shape,
        odd,
    };
    Ok((form, u64::from(rows), width * bytes))
}

/// Writes elements as they are kept; the place of the first that is not finite.
fn convert_all(stored: idx::Element, data: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    let mut odd = None;
    let mut number = |place: usize, value: f32, out: &mut Vec<u8>| {
        if !value.is_finite() {
            odd.get_or_insert(place as u64);
        }
        out.extend_from_slice(&value.to_le_bytes());
    };
    match stored {
        idx::Element::U8 => out.extend_from_slice(data),
        idx::Element::I8 => {
            let whole = data.iter().map(|&byte| i32::from(byte as i8));
            whole.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        idx::Element::I16 => {
            let whole = data
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| i32::from(i16::from_be_bytes(bytes)));
            whole.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        idx::Element::I32 => {
            let whole = data
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| i32::from_be_bytes(bytes));
            whole.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        idx::Element::F32 => {
            let floats = data
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f32::from_be_bytes(bytes));
            floats
                .enumerate()
                .for_each(|(place, value)| number(place, value, out));
        }
        idx::Element::F64 => {
            let floats = data
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f64::from_be_bytes(bytes));
            let floats = floats.map(convert::f32_from_f64);
            floats
                .enumerate()
                .for_each(|(place, value)| number(place, value, out));
        }
    }
    odd
}

/// The most different characters of a text that is streamed.
const MOST_CHARACTERS: usize = 1 << 16;

/// Reads a text to its end, and writes the number of each character.
pub(crate) fn pack_text(
    blocks: &mut Blocks,
    file: &str,
    out: &mut Aside,
) -> Result<Passed, DataError> {
    let mut numbers: Vec<u32> = vec![u32::MAX; char::MAX as usize + 1];
    let mut names: Vec<Word> = Vec::new();
    let (mut buffer, mut written) = (Vec::new(), Vec::with_capacity(2 * BLOCK));
    let (mut row, mut line, mut bytes, mut first) = (0u64, 1u64, 0u64, true);
    loop {
        let ends = !blocks.next(&mut buffer)?;
        let text = valid(file, &buffer, ends, line - 1, bytes)?;
        let used = text.len();
        let text = match first && text.starts_with('\u{feff}') {
            true => text.get('\u{feff}'.len_utf8()..).unwrap_or_default(),
            false => text,
        };
        first &= used == 0;
        for character in text.chars() {
            let Some(number) = numbers.get_mut(character as usize) else {
                continue;
            };
            if *number == u32::MAX {
                if names.len() == MOST_CHARACTERS {
                    return Err(too_many(file));
                }
                *number = names.len() as u32;
                names.push(Word {
                    text: character.to_string(),
                    at: Spot { row, line },
                    count: 0,
                });
            }
            if let Some(name) = names.get_mut(*number as usize) {
                name.count += 1;
            }
            written.extend_from_slice(&(*number as u16).to_le_bytes());
            row += 1;
            line += u64::from(character == '\n');
        }
        out.write_all(&written)
            .map_err(|error| out.failed(&error))?;
        written.clear();
        bytes += used as u64;
        buffer.drain(..used);
        if ends {
            return Ok((Form::Text { names }, row, 2));
        }
    }
}

fn too_many(file: &str) -> DataError {
    let message = format!("the text has more than {MOST_CHARACTERS} different characters");
    let help = "is it a text? hold it in memory with `--data-memory`";
    DataError::new(Code::TooLarge, file, message, help)
}
