//! Reductions: 64 strided lanes, a halving tree, and recursion over blocks of 4,096.

/// Lanes in a block.
pub const LANES: usize = 64;

/// Elements in a block; the results of more than one block are reduced again.
pub const BLOCK: usize = 4_096;

/// The sum of `n` elements, +0 where there are none.
pub fn sum(n: usize, element: impl FnMut(usize) -> f32) -> f32 {
    fold(n, element, |a, b| a + b).unwrap_or(0.0)
}

/// The sum of `n` elements in double precision, +0 where there are none.
pub fn sum_f64(n: usize, element: impl FnMut(usize) -> f64) -> f64 {
    fold(n, element, |a, b| a + b).unwrap_or(0.0)
}

/// The greatest of `n` elements by `a > b ? a : b`, plus +0; −∞ where there are none.
///
/// Without NaN the result does not depend on the order. With NaN it follows the lanes and the tree.
pub fn max(n: usize, element: impl FnMut(usize) -> f32) -> f32 {
    fold(n, element, crate::max).unwrap_or(f32::NEG_INFINITY) + 0.0
}

/// The least of `n` elements by `a < b ? a : b`, plus +0; +∞ where there are none.
pub fn min(n: usize, element: impl FnMut(usize) -> f32) -> f32 {
    fold(n, element, crate::min).unwrap_or(f32::INFINITY) + 0.0
}

/// The greatest of `n` elements in double precision, as [`max`].
pub fn max_f64(n: usize, element: impl FnMut(usize) -> f64) -> f64 {
    fold(n, element, |a, b| if a > b { a } else { b }).unwrap_or(f64::NEG_INFINITY) + 0.0
}

/// The least of `n` elements in double precision, as [`min`].
pub fn min_f64(n: usize, element: impl FnMut(usize) -> f64) -> f64 {
    fold(n, element, |a, b| if a < b { a } else { b }).unwrap_or(f64::INFINITY) + 0.0
}

/// The first index of the greatest element; `None` where there are none.
///
/// A later element replaces the chosen one only if it is greater, so a NaN is chosen only at index 0.
pub fn argmax(n: usize, element: impl FnMut(usize) -> f32) -> Option<usize> {
    first_best(n, element, |value, best| value > best)
}

/// The first index of the least element; `None` where there are none. NaN as in [`argmax`].
pub fn argmin(n: usize, element: impl FnMut(usize) -> f32) -> Option<usize> {
    first_best(n, element, |value, best| value < best)
}

fn first_best(
    n: usize,
    mut element: impl FnMut(usize) -> f32,
    better: impl Fn(f32, f32) -> bool,
) -> Option<usize> {
    let chosen = (0..n)
        .map(|i| (i, element(i)))
        .reduce(|best, next| if better(next.1, best.1) { next } else { best });
    chosen.map(|(i, _)| i)
}

/// Reduces `n` elements with `combine(earlier, later)` in the contract's order; `None` where there are none.
pub fn fold<T: Copy>(
    n: usize,
    mut element: impl FnMut(usize) -> T,
    mut combine: impl FnMut(T, T) -> T,
) -> Option<T> {
    if n <= BLOCK {
        return fold_block(0, n, &mut element, &mut combine);
    }
    let mut results = Vec::with_capacity(n.div_ceil(BLOCK));
    for from in (0..n).step_by(BLOCK) {
        results.extend(fold_block(
            from,
            n.min(from + BLOCK),
            &mut element,
            &mut combine,
        ));
    }
    fold_results(results, &mut combine)
}

fn fold_results<T: Copy>(mut results: Vec<T>, combine: &mut impl FnMut(T, T) -> T) -> Option<T> {
    while results.len() > BLOCK {
        let blocks = results.chunks(BLOCK);
        results = blocks
            .filter_map(|block| fold_block(0, block.len(), &mut |i| block[i], combine))
            .collect();
    }
    fold_block(0, results.len(), &mut |i| results[i], combine)
}

fn fold_block<T: Copy>(
    from: usize,
    to: usize,
    element: &mut impl FnMut(usize) -> T,
    combine: &mut impl FnMut(T, T) -> T,
) -> Option<T> {
    let mut lanes = Vec::with_capacity(LANES);
    for (offset, i) in (from..to).enumerate() {
        let value = element(i);
        match lanes.get_mut(offset % LANES) {
            Some(lane) => *lane = combine(*lane, value),
            None => lanes.push(value),
        }
    }
    for half in [32, 16, 8, 4, 2, 1] {
        for lane in half..lanes.len().min(2 * half) {
            lanes[lane - half] = combine(lanes[lane - half], lanes[lane]);
        }
        lanes.truncate(half);
    }
    lanes.first().copied()
}

/// Combines values as shards are combined: adjacent pairs, an odd last one carried, until one is left.
pub fn pair_tree<T>(values: Vec<T>, mut combine: impl FnMut(T, T) -> T) -> Option<T> {
    let mut level = values;
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut rest = level.into_iter();
        while let Some(left) = rest.next() {
            next.push(match rest.next() {
                Some(right) => combine(left, right),
                None => left,
            });
        }
        level = next;
    }
    level.pop()
}
