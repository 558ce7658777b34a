//! Contractions: the order of additions in every matrix product, convolution and attention score.

/// Elements in one unbroken chain of fused multiply-adds.
pub const K_BLOCK: usize = 256;

/// Elements in one group of blocks; the results of groups are added one level up.
pub const K_GROUP: usize = 65_536;

/// Contracts `n` pairs: the sum of `a · b` over ascending `k`, where `pair(k) = (a, b)`.
///
/// Each block of [`K_BLOCK`] is a chain of fma from +0; block results are added left to right within a group of [`K_GROUP`]
/// elements, group results left to right after that; +0 is added last, so that the result is never −0.
pub fn chain(n: usize, mut pair: impl FnMut(usize) -> (f32, f32)) -> f32 {
    chain_present(n, |k| Some(pair(k)))
}

/// [`chain`] where some elements are absent: they keep their place in the count of blocks and add nothing.
pub fn chain_present(n: usize, mut pair: impl FnMut(usize) -> Option<(f32, f32)>) -> f32 {
    let block = |from: usize, to: usize, pair: &mut dyn FnMut(usize) -> Option<(f32, f32)>| {
        let mut acc = 0.0_f32;
        for k in from..to {
            if let Some((a, b)) = pair(k) {
                acc = a.mul_add(b, acc);
            }
        }
        acc
    };
    let groups = (0..n).step_by(K_GROUP).map(|group| {
        let end = n.min(group + K_GROUP);
        let blocks = (group..end).step_by(K_BLOCK);
        left_to_right(blocks.map(|from| block(from, end.min(from + K_BLOCK), &mut pair)))
    });
    left_to_right(groups) + 0.0
}

/// `s = v0; s = s + v1; …`, and +0 of nothing.
fn left_to_right(values: impl Iterator<Item = f32>) -> f32 {
    values.reduce(|sum, value| sum + value).unwrap_or(0.0)
}
