//! The order of additions, against the text of `docs/numerics.md` written out a second time.

use mmh_numerics::{contract, reduce};

/// Values whose sum shows its order: signs and sizes differ.
fn value(i: usize) -> f32 {
    let hash = (i as u32).wrapping_mul(2_654_435_761) >> 7;
    (f32::from_bits(0x3f80_0000 | (hash & 0x007f_ffff)) - 1.5) * [1.0, 1e3, 1e-3, 7.0][i % 4]
}

/// §3 in other words: present lanes as options, halves met by index.
fn sum_by_options(values: &[f32]) -> f32 {
    if values.len() > 4096 {
        let results: Vec<f32> = values.chunks(4096).map(sum_by_options).collect();
        return sum_by_options(&results);
    }
    let mut lanes = [None::<f32>; 64];
    for (i, &v) in values.iter().enumerate() {
        lanes[i % 64] = Some(lanes[i % 64].map_or(v, |lane| lane + v));
    }
    for half in [32, 16, 8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] = match (lanes[l], lanes[l + half]) {
                (Some(a), Some(b)) => Some(a + b),
                (a, None) => a,
                (None, b) => b,
            };
        }
    }
    lanes[0].unwrap_or(0.0)
}

const SIZES: [usize; 18] = [
    0, 1, 2, 3, 5, 31, 33, 63, 64, 65, 100, 127, 129, 4095, 4096, 4097, 12_345, 70_000,
];

#[test]
fn sums_follow_lanes_tree_and_blocks() {
    for n in SIZES {
        let values: Vec<f32> = (0..n).map(value).collect();
        assert_eq!(
            reduce::sum(n, |i| values[i]).to_bits(),
            sum_by_options(&values).to_bits(),
            "n = {n}"
        );
    }
}

#[test]
fn recursion_has_a_third_level() {
    let n = 4096 * 4096 + 3;
    let element = |i: usize| ((i % 3) as f32 - 1.0) + if i == n - 1 { 5.0 } else { 0.0 };
    let blocks: Vec<f32> = (0..n.div_ceil(4096))
        .map(|b| reduce::sum(4096.min(n - b * 4096), |i| element(b * 4096 + i)))
        .collect();
    let upper: Vec<f32> = blocks.chunks(4096).map(sum_by_options).collect();
    assert_eq!(reduce::sum(n, element), sum_by_options(&upper));
}

#[test]
fn a_lane_starts_from_its_first_element() {
    assert_eq!(reduce::sum(1, |_| -0.0).to_bits(), (-0.0_f32).to_bits());
    assert_eq!(reduce::sum(0, |_| 1.0).to_bits(), 0);
    assert_eq!(reduce::sum_f64(0, |_| 1.0).to_bits(), 0);
}

#[test]
fn double_sums_take_the_same_order() {
    for n in SIZES {
        let exact = |i: usize| f64::from(value(i)) * 1e300;
        let mut seen = Vec::new();
        let found = reduce::fold(
            n,
            |i| i,
            |a, b| {
                seen.push((a, b));
                a
            },
        );
        assert_eq!(found, (n > 0).then_some(0));
        assert_eq!(seen.len(), n.saturating_sub(1));
        let mut partial: Vec<f64> = (0..n).map(exact).collect();
        for (a, b) in seen {
            partial[a] += partial[b];
        }
        assert_eq!(
            reduce::sum_f64(n, exact),
            partial.first().copied().unwrap_or(0.0),
            "n = {n}"
        );
    }
}

#[test]
fn extremes_and_their_first_index() {
    for n in SIZES.into_iter().filter(|&n| n > 0) {
        let values: Vec<f32> = (0..n).map(|i| (value(i) * 8.0).trunc()).collect();
        let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        assert_eq!(
            reduce::max(n, |i| values[i]).to_bits(),
            (greatest + 0.0).to_bits()
        );
        assert_eq!(
            reduce::min(n, |i| values[i]).to_bits(),
            (least + 0.0).to_bits()
        );
        assert_eq!(
            reduce::argmax(n, |i| values[i]),
            values.iter().position(|&v| v == greatest)
        );
        assert_eq!(
            reduce::argmin(n, |i| values[i]),
            values.iter().position(|&v| v == least)
        );
    }
    assert_eq!(reduce::max(0, |_| 0.0), f32::NEG_INFINITY);
    assert_eq!(reduce::min(0, |_| 0.0), f32::INFINITY);
    assert_eq!(reduce::argmax(0, |_| 0.0), None);
    assert_eq!(reduce::max(1, |_| -0.0).to_bits(), 0);
}

#[test]
fn nan_in_extremes_follows_the_text() {
    let nan = f32::NAN;
    let max = |values: &[f32]| reduce::max(values.len(), |i| values[i]);
    assert_eq!(max(&[nan, 1.0]), 1.0);
    assert!(max(&[1.0, nan]).is_nan());
    // The tree meets 0 with 2 before 1 with 3: (1, NaN) gives NaN, (2, 3) gives 3, and NaN > 3 is false.
    assert_eq!(max(&[1.0, 2.0, nan, 3.0]), 3.0);
    assert_eq!(reduce::argmax(3, |i| [nan, 1.0, 2.0][i]), Some(0));
    assert_eq!(reduce::argmax(3, |i| [1.0, nan, 2.0][i]), Some(2));
}

#[test]
fn shards_meet_in_adjacent_pairs() {
    let names = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
    assert_eq!(
        reduce::pair_tree(names, |a, b| format!("({a}{b})")),
        Some("(((ab)(cd))e)".into())
    );
    assert_eq!(reduce::pair_tree(Vec::<u8>::new(), |a, _| a), None);
}

#[test]
fn contractions_are_chains_in_blocks_in_groups() {
    for n in [0, 1, 255, 256, 257, 1000, 65_536, 65_537, 140_001] {
        let (a, b) = (|k: usize| value(k), |k: usize| value(3 * k + 1));
        let mut groups = Vec::new();
        for group in (0..n).collect::<Vec<_>>().chunks(65_536) {
            let mut blocks = group
                .chunks(256)
                .map(|block| block.iter().fold(0.0, |acc, &k| a(k).mul_add(b(k), acc)));
            let first: f32 = blocks.next().expect("a block");
            groups.push(blocks.fold(first, |s, block| s + block));
        }
        let mut groups = groups.into_iter();
        let first = groups.next().unwrap_or(0.0);
        let wanted = groups.fold(first, |s, group| s + group) + 0.0;
        assert_eq!(
            contract::chain(n, |k| (a(k), b(k))).to_bits(),
            wanted.to_bits(),
            "n = {n}"
        );
    }
}

#[test]
fn absent_elements_change_nothing_on_finite_operands() {
    let n = 3_000;
    let here = |k: usize| !(256..768).contains(&k) && !k.is_multiple_of(3);
    let run = contract::chain(n, |k| (if here(k) { value(k) } else { 0.0 }, -value(k + 7)));
    let skipped = contract::chain_present(n, |k| here(k).then(|| (value(k), -value(k + 7))));
    assert_eq!(run.to_bits(), skipped.to_bits());
    assert_eq!(contract::chain(1, |_| (-0.0, 1.0)).to_bits(), 0);
    assert_eq!(contract::chain_present(5, |_| None).to_bits(), 0);
}
