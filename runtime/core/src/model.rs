//! The model: its hash, and its file.
//!
//! `model.safetensors` holds parameters and persistent state in path order, little-endian, every NaN the canonical one.
//! The hash is BLAKE3's key derivation with context `mmh model 1` over, for each tensor in the order of its path's UTF-8
//! bytes: the path's length as u64 and its bytes; the length of the element type's name as u64 and the name (`f32`); the
//! rank as u64 and each size as u64; the elements. All numbers are little-endian.

use crate::failure::RunFailure;
use mmh_ir::device::{State, Tensor};
use mmh_ir::plan::{Role, StateDecl};
use mmh_numerics::canonical_bits;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use std::ops::Range;

/// A tensor of a model, borrowed from a state.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Path, such as `net.conv1.weight`.
    pub path: String,
    /// The slot.
    pub slot: &'a StateDecl,
    /// Its elements.
    pub tensor: &'a Tensor,
}

/// Parameters and persistent state, in path order; `prefix` goes before each path.
pub fn entries<'a>(slots: &'a [StateDecl], state: &'a State, prefix: &str) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = slots
        .iter()
        .zip(&state.slots)
        .filter(|(slot, _)| in_model(slot.role))
        .map(|(slot, tensor)| Entry {
            path: format!("{prefix}{}", slot.path),
            slot,
            tensor,
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

/// Whether a slot of this role is part of the model.
pub(crate) fn in_model(role: Role) -> bool {
    match role {
        Role::Parameter | Role::Persistent => true,
        Role::Optimiser => false,
    }
}

/// `blake3:` and 64 hex digits over the entries, as the module says.
pub fn model_hash(entries: &[Entry<'_>]) -> String {
    let sizes: Vec<Vec<usize>> = entries
        .iter()
        .map(|entry| entry.slot.ty.shape.sizes())
        .collect();
    let parts = entries.iter().zip(&sizes);
    tensors_hash(parts.map(|(entry, sizes)| {
        let dtype = entry.slot.ty.dtype.name();
        (entry.path.as_str(), dtype, sizes.as_slice(), entry.tensor)
    }))
}

/// The same over path, element type, sizes and elements of each tensor.
pub(crate) fn tensors_hash<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a str, &'a [usize], &'a Tensor)>,
) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("mmh model 1");
    let mut bytes = Vec::new();
    for (path, dtype, sizes, tensor) in tensors {
        for text in [path, dtype] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&(sizes.len() as u64).to_le_bytes());
        for size in sizes {
            hasher.update(&(*size as u64).to_le_bytes());
        }
        bytes.clear();
        write_elements(tensor, &mut bytes);
        hasher.update(&bytes);
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

/// Adds the elements, little-endian, every NaN the canonical one.
pub(crate) fn write_elements(tensor: &Tensor, bytes: &mut Vec<u8>) {
    write_elements_of(tensor, 0..tensor.len(), bytes);
}

/// The same for a range of the elements; nothing for one that does not lie inside.
pub(crate) fn write_elements_of(tensor: &Tensor, range: Range<usize>, bytes: &mut Vec<u8>) {
    match tensor {
        Tensor::F32(values) => {
            let values = values.get(range).unwrap_or_default();
            write_words(values, bytes, |value| canonical_bits(value).to_le_bytes());
        }
        Tensor::I32(values) => {
            write_words(
                values.get(range).unwrap_or_default(),
                bytes,
                i32::to_le_bytes,
            );
        }
        Tensor::U8(values) | Tensor::Bool(values) => {
            bytes.extend_from_slice(values.get(range).unwrap_or_default());
        }
    }
}

/// In one pass over memory that is already there, which the compiler can vectorise.
fn write_words<T: Copy>(values: &[T], bytes: &mut Vec<u8>, word: impl Fn(T) -> [u8; 4]) {
    let start = bytes.len();
    bytes.resize(start + values.len() * 4, 0);
    let (places, _) = bytes
        .get_mut(start..)
        .unwrap_or_default()
        .as_chunks_mut::<4>();
    for (place, value) in places.iter_mut().zip(values) {
        *place = word(*value);
    }
}

/// Reads what [`write_elements`] wrote; `None` if the bytes are not as many as the type needs.
pub(crate) fn read_elements(slot: &StateDecl, bytes: &[u8]) -> Option<Tensor> {
    let dtype = slot.ty.dtype;
    if bytes.len() != slot.ty.shape.elements() * dtype.bytes() {
        return None;
    }
    let words = || bytes.as_chunks::<4>().0.iter();
    Some(match dtype {
        mmh_ir::DType::F32 => Tensor::F32(words().map(|word| f32::from_le_bytes(*word)).collect()),
        mmh_ir::DType::I32 => Tensor::I32(words().map(|word| i32::from_le_bytes(*word)).collect()),
        mmh_ir::DType::U8 => Tensor::U8(bytes.to_vec()),
        mmh_ir::DType::Bool => Tensor::Bool(bytes.to_vec()),
    })
}

/// The bytes of a safetensors file of the entries; metadata in the order given, so equal models give equal files.
pub fn to_safetensors(entries: &[Entry<'_>], metadata: &[(&str, &str)]) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    let metadata = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    header.insert("__metadata__".to_owned(), Value::Object(metadata));
    for entry in entries {
        let start = data.len();
        write_elements(entry.tensor, &mut data);
        let about = json!({
            "dtype": match entry.slot.ty.dtype {
                mmh_ir::DType::F32 => "F32",
                mmh_ir::DType::I32 => "I32",
                mmh_ir::DType::U8 => "U8",
                mmh_ir::DType::Bool => "BOOL",
            },
            "shape": entry.slot.ty.shape.sizes(),
            "data_offsets": [start, data.len()],
        });
        header.insert(entry.path.clone(), about);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

/// The state a safetensors file holds for these slots; slots outside the model are zeros. `prefix` stands before each path.
///
/// Errors: a malformed file, a tensor that is missing or has another type or shape.
pub fn from_safetensors(bytes: &[u8], slots: &[StateDecl], prefix: &str) -> Result<State, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let read = |slot: &StateDecl| -> Result<Tensor, String> {
        if !in_model(slot.role) {
            return Ok(Tensor::zeros(slot.ty.dtype, slot.ty.shape.elements()));
        }
        let name = format!("{prefix}{}", slot.path);
        let view = file
            .tensor(&name)
            .map_err(|_| format!("it has no tensor `{name}`"))?;
        let dtype = match slot.ty.dtype {
            mmh_ir::DType::F32 => Dtype::F32,
            mmh_ir::DType::I32 => Dtype::I32,
            mmh_ir::DType::U8 => Dtype::U8,
            mmh_ir::DType::Bool => Dtype::BOOL,
        };
        if view.dtype() != dtype || view.shape() != slot.ty.shape.sizes() {
            return Err(format!("`{name}` is not {}", slot.ty));
        }
        read_elements(slot, view.data()).ok_or_else(|| format!("`{name}` is cut short"))
    };
    let slots: Result<Vec<Tensor>, String> = slots.iter().map(read).collect();
    Ok(State { slots: slots? })
}

/// A state whose slots do not fit their declarations is refused before a device sees it.
pub(crate) fn check_state(slots: &[StateDecl], state: &State) -> Result<(), RunFailure> {
    let fits = slots.len() == state.slots.len()
        && slots.iter().zip(&state.slots).all(|(slot, tensor)| {
            slot.ty.dtype == tensor.dtype() && slot.ty.shape.elements() == tensor.len()
        });
    if fits {
        Ok(())
    } else {
        Err(RunFailure::Plan(
            "the state does not fit its declarations".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_ir::plan::Init;
    use mmh_ir::{Literal, Shape, Type};

    fn slot(path: &str, role: Role, n: usize) -> StateDecl {
        StateDecl {
            path: path.into(),
            role,
            ty: Type::f32(Shape::of(&[("n", n)])),
            init: Init::Constant(Literal(0.0)),
        }
    }

    fn example() -> (Vec<StateDecl>, State) {
        let slots = vec![
            slot("b", Role::Parameter, 2),
            slot("a", Role::Persistent, 1),
            slot("b.m", Role::Optimiser, 2),
        ];
        let tensors = vec![
            vec![1.0, f32::from_bits(0xffc0_1234)],
            vec![-0.0],
            vec![9.0, 9.0],
        ];
        (
            slots,
            State {
                slots: tensors.into_iter().map(Tensor::F32).collect(),
            },
        )
    }

    #[test]
    fn the_hash_is_as_documented() {
        let (slots, state) = example();
        let mut hasher = blake3::Hasher::new_derive_key("mmh model 1");
        let word = |n: u64| n.to_le_bytes();
        for part in [
            &word(1)[..],
            b"a",
            &word(3),
            b"f32",
            &word(1),
            &word(1),
            &[0, 0, 0, 0x80],
            &word(1),
            b"b",
            &word(3),
            b"f32",
            &word(1),
            &word(2),
            &[0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f],
        ] {
            hasher.update(part);
        }
        assert_eq!(
            model_hash(&entries(&slots, &state, "")),
            format!("blake3:{}", hasher.finalize().to_hex())
        );
    }

    #[test]
    fn a_file_reads_back() {
        let (slots, mut state) = example();
        let bytes = to_safetensors(&entries(&slots, &state, ""), &[("plan", "x")]);
        let read = from_safetensors(&bytes, &slots, "").unwrap();
        state.slots[2] = Tensor::F32(vec![0.0; 2]);
        assert_eq!(
            model_hash(&entries(&slots, &read, "")),
            model_hash(&entries(&slots, &state, ""))
        );
        assert_eq!(read.slots[2], state.slots[2]);
        assert_eq!(
            to_safetensors(&entries(&slots, &read, ""), &[("plan", "x")]),
            bytes
        );
        assert!(from_safetensors(&bytes[..bytes.len() - 1], &slots, "").is_err());
        let other = [slot("c", Role::Parameter, 2)];
        assert_eq!(
            from_safetensors(&bytes, &other, "").unwrap_err(),
            "it has no tensor `c`"
        );
        assert!(from_safetensors(&bytes, &[slot("b", Role::Parameter, 3)], "").is_err());
    }
}
