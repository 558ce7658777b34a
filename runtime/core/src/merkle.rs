//! Merkle trees over BLAKE3: one hash for a list, and short proofs that an entry stands in it.
//!
//! The shape is that of RFC 6962, section 2.1: of `n > 1` entries the left part holds the largest power of two below `n`.
//! Leaves, nodes and roots are hashed under contexts of their own, so that none can be passed off as another, and the root
//! counts its leaves, so that no other number of leaves has it.

use blake3::{Hash, Hasher};
use std::cmp::Ordering;

pub(crate) const LEAF: &str = "mmh merkle leaf 1";
const NODE: &str = "mmh merkle node 1";
const ROOT: &str = "mmh merkle root 1";

/// The hash of an entry.
pub fn leaf(entry: &[u8]) -> Hash {
    Hasher::new_derive_key(LEAF).update(entry).finalize()
}

/// The root over leaves made by [`leaf`].
pub fn root(leaves: &[Hash]) -> Hash {
    counted(leaves.len() as u64, &top(leaves))
}

/// What proves that leaf `place` stands under the root: the hashes beside its way up, lowest first. None if there is no
/// such leaf.
pub fn proof(leaves: &[Hash], place: usize) -> Option<Vec<Hash>> {
    leaves.get(place)?;
    let mut beside = Vec::new();
    let (mut part, mut place) = (leaves, place);
    while part.len() > 1 {
        let (left, right) = part.split_at_checked(left_of(part.len()))?;
        match place.cmp(&left.len()) {
            Ordering::Less => {
                beside.push(top(right));
                part = left;
            }
            Ordering::Equal | Ordering::Greater => {
                beside.push(top(left));
                place -= left.len();
                part = right;
            }
        }
    }
    beside.reverse();
    Some(beside)
}

/// Whether `leaf` is number `place` of the `count` leaves under `root`.
pub fn proves(root: &Hash, count: u64, place: u64, leaf: &Hash, proof: &[Hash]) -> bool {
    let Some(sides) = sides(count, place).filter(|sides| sides.len() == proof.len()) else {
        return false;
    };
    let climb = |below: Hash, (is_left, beside): (&bool, &Hash)| match is_left {
        true => node(&below, beside),
        false => node(beside, &below),
    };
    let found = sides.iter().zip(proof).fold(*leaf, climb);
    counted(count, &found) == *root
}

/// For each node on the way up from a leaf, whether it is the left one of two.
fn sides(mut count: u64, mut place: u64) -> Option<Vec<bool>> {
    if place >= count {
        return None;
    }
    let mut sides = Vec::new();
    while count > 1 {
        let left = count.div_ceil(2).next_power_of_two();
        let is_left = place < left;
        sides.push(is_left);
        (count, place) = match is_left {
            true => (left, place),
            false => (count - left, place - left),
        };
    }
    sides.reverse();
    Some(sides)
}

/// The largest power of two below `count`, which is above 1.
fn left_of(count: usize) -> usize {
    count.div_ceil(2).next_power_of_two()
}

fn top(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::from_bytes([0; 32]),
        [only] => *only,
        many => {
            let (left, right) = many.split_at(left_of(many.len()));
            node(&top(left), &top(right))
        }
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Hasher::new_derive_key(NODE);
    hasher.update(left.as_bytes()).update(right.as_bytes());
    hasher.finalize()
}

fn counted(count: u64, top: &Hash) -> Hash {
    let mut hasher = Hasher::new_derive_key(ROOT);
    hasher.update(&count.to_le_bytes()).update(top.as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_le_bytes())).collect()
    }

    #[test]
    fn the_left_part_is_the_largest_power_of_two() {
        let expected = [
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 4),
            (8, 4),
            (9, 8),
            (16, 8),
            (17, 16),
        ];
        for (count, left) in expected {
            assert_eq!(left_of(count), left, "{count}");
        }
    }

    #[test]
    fn every_leaf_is_proved_and_nothing_else_is() {
        for count in 1..20_u32 {
            let leaves = leaves(count);
            let root = root(&leaves);
            let holds = |count: u32, place: u32, leaf: &Hash, beside: &[Hash]| {
                proves(&root, u64::from(count), u64::from(place), leaf, beside)
            };
            for place in 0..count {
                let beside = proof(&leaves, place as usize).unwrap();
                let mine = &leaves[place as usize];
                assert!(holds(count, place, mine, &beside));
                assert!(!holds(count + 1, place, mine, &beside));
                assert!(!holds(count, place, &leaf(b"other"), &beside));
                for other in (0..count).filter(|other| *other != place) {
                    assert!(
                        !holds(count, other, mine, &beside),
                        "{place} as {other} of {count}"
                    );
                }
                for at in 0..beside.len() {
                    let mut wrong = beside.clone();
                    wrong[at] = leaf(b"wrong");
                    assert!(!holds(count, place, mine, &wrong));
                }
            }
            assert_eq!(proof(&leaves, count as usize), None);
        }
    }

    #[test]
    fn a_node_is_no_leaf_and_the_count_is_part_of_the_root() {
        let four = leaves(4);
        let inner = [node(&four[0], &four[1]), node(&four[2], &four[3])];
        assert_ne!(root(&four), root(&inner));
        assert_ne!(root(&[]), root(&leaves(1)));
        assert_ne!(leaf(b"x"), blake3::hash(b"x"));
    }
}
