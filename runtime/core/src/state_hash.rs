//! The hash of a training's whole state: parameters, persistent state and optimiser moments.
//!
//! Every slot is cut into blocks of at most 2¹⁸ elements; the hash is the [`merkle`] root over the blocks, slots in the
//! plan's order, so that threads share the work and a proof can single out one block of one slot. An entry is: the path's
//! length as u64 and its bytes; the length of the element type's name as u64 and the name; the rank as u64 and each size as
//! u64; the block's number as u64; its elements. All numbers are little-endian, every NaN is the canonical one.

use crate::merkle;
use crate::model::write_elements_of;
use blake3::{Hash, Hasher};
use mmh_ir::device::{State, Tensor};
use mmh_ir::plan::StateDecl;
use std::ops::Range;

/// Elements of a block.
pub const BLOCK: usize = 1 << 18;

/// Elements that are turned into bytes at a time: they stay in a near cache until they are hashed.
const CHUNK: usize = 1 << 14;

/// Blocks below which a thread of their own does not pay.
const BLOCKS_A_THREAD: usize = 2;

/// A block of a slot.
#[derive(Clone, Copy)]
struct Block<'a> {
    slot: &'a StateDecl,
    tensor: &'a Tensor,
    number: usize,
}

/// The hash of a state whose slots are `slots`.
pub fn state_hash(slots: &[StateDecl], state: &State) -> Hash {
    merkle::root(&block_hashes(slots, state))
}

/// The leaves of the state's hash: block by block, slots in order.
pub fn block_hashes(slots: &[StateDecl], state: &State) -> Vec<Hash> {
    let pairs = slots.iter().zip(&state.slots);
    let blocks: Vec<Block<'_>> = pairs
        .flat_map(|(slot, tensor)| {
            let count = tensor.len().div_ceil(BLOCK).max(1);
            (0..count).map(move |number| Block {
                slot,
                tensor,
                number,
            })
        })
        .collect();
    let elements: usize = state.slots.iter().map(Tensor::len).sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (elements / BLOCK / BLOCKS_A_THREAD).clamp(1, cores);
    if threads == 1 {
        return hash_all(&blocks);
    }
    let share = blocks.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let mut parts = blocks.chunks(share);
        let own = parts.next().unwrap_or_default();
        let workers: Vec<_> = parts
            .map(|part| (part, scope.spawn(move || hash_all(part))))
            .collect();
        let mut hashes = hash_all(own);
        for (part, worker) in workers {
            hashes.extend(worker.join().unwrap_or_else(|_| hash_all(part)));
        }
        hashes
    })
}

fn hash_all(blocks: &[Block<'_>]) -> Vec<Hash> {
    let mut buffer = Vec::with_capacity(CHUNK * 4);
    blocks
        .iter()
        .map(|block| hash_block(*block, &mut buffer))
        .collect()
}

fn hash_block(block: Block<'_>, buffer: &mut Vec<u8>) -> Hash {
    let mut hasher = Hasher::new_derive_key(merkle::LEAF);
    let ty = &block.slot.ty;
    for text in [block.slot.path.as_str(), ty.dtype.name()] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let sizes = ty.shape.sizes();
    hasher.update(&(sizes.len() as u64).to_le_bytes());
    for size in sizes {
        hasher.update(&(size as u64).to_le_bytes());
    }
    hasher.update(&(block.number as u64).to_le_bytes());
    let Range { start, end } = range(block);
    for from in (start..end).step_by(CHUNK) {
        buffer.clear();
        write_elements_of(block.tensor, from..(from + CHUNK).min(end), buffer);
        hasher.update(buffer);
    }
    hasher.finalize()
}

fn range(block: Block<'_>) -> Range<usize> {
    let start = block.number * BLOCK;
    start..(start + BLOCK).min(block.tensor.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_ir::plan::{Init, Role};
    use mmh_ir::{Literal, Shape, Type};

    fn slot(path: &str, n: usize) -> StateDecl {
        StateDecl {
            path: path.into(),
            role: Role::Parameter,
            ty: Type::f32(Shape::of(&[("n", n)])),
            init: Init::Constant(Literal(0.0)),
        }
    }

    fn of(sizes: &[usize]) -> (Vec<StateDecl>, State) {
        let slots = sizes
            .iter()
            .enumerate()
            .map(|(at, n)| slot(&format!("s{at}"), *n));
        let tensors = sizes
            .iter()
            .map(|n| Tensor::F32((0..*n).map(|i| i as f32 * 0.5).collect()));
        let state = State {
            slots: tensors.collect(),
        };
        (slots.collect(), state)
    }

    #[test]
    fn the_hash_is_as_documented() {
        let (slots, mut state) = of(&[2]);
        state.slots[0] = Tensor::F32(vec![1.0, f32::from_bits(0xffc0_1234)]);
        let mut entry = Vec::new();
        for part in [
            &2_u64.to_le_bytes()[..],
            b"s0",
            &3_u64.to_le_bytes(),
            b"f32",
            &1_u64.to_le_bytes(),
            &2_u64.to_le_bytes(),
            &0_u64.to_le_bytes(),
            &[0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f],
        ] {
            entry.extend_from_slice(part);
        }
        let wanted = merkle::root(&[merkle::leaf(&entry)]);
        assert_eq!(state_hash(&slots, &state), wanted);
    }

    #[test]
    fn threads_do_not_change_it_and_every_element_does() {
        let (slots, mut state) = of(&[3 * BLOCK + 5, 7, 2 * BLOCK, 0]);
        let whole = block_hashes(&slots, &state);
        assert_eq!(whole.len(), 4 + 1 + 2 + 1);
        let alone: Vec<Hash> = slots
            .iter()
            .zip(&state.slots)
            .flat_map(|(slot, tensor)| {
                let count = tensor.len().div_ceil(BLOCK).max(1);
                (0..count).map(move |number| {
                    let block = Block {
                        slot,
                        tensor,
                        number,
                    };
                    hash_block(block, &mut Vec::new())
                })
            })
            .collect();
        assert_eq!(whole, alone);
        for (slot, at, block) in [
            (0, 0, 0),
            (0, BLOCK, 1),
            (0, 3 * BLOCK + 4, 3),
            (1, 6, 4),
            (2, BLOCK, 6),
        ] {
            let Tensor::F32(values) = &mut state.slots[slot] else {
                unreachable!()
            };
            let before = std::mem::replace(&mut values[at], -0.25);
            let changed = block_hashes(&slots, &state);
            let differ: Vec<usize> = (0..8).filter(|n| changed[*n] != whole[*n]).collect();
            assert_eq!(differ, [block]);
            let Tensor::F32(values) = &mut state.slots[slot] else {
                unreachable!()
            };
            values[at] = before;
        }
    }
}
