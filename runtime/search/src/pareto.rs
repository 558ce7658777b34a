//! Several figures at once: which trials no other one beats, and which of these stands between all ends.
//!
//! Losses are lists of equal length, one number a figure, small is good. A trial without figures has infinite ones.

/// Whether `a` is as good as `b` in every figure and better in one.
pub(crate) fn dominates(a: &[f64], b: &[f64]) -> bool {
    let mut better = false;
    for (a, b) in a.iter().zip(b) {
        if a > b {
            return false;
        }
        better |= a < b;
    }
    better
}

/// Sorts indices into fronts: the first is dominated by none, each other one by the fronts before it alone (Deb et al. 2002).
/// Within a front indices ascend.
pub(crate) fn fronts(losses: &[&[f64]]) -> Vec<Vec<usize>> {
    let mut beaten_by = vec![0usize; losses.len()];
    let mut beats: Vec<Vec<usize>> = vec![Vec::new(); losses.len()];
    for (i, a) in losses.iter().enumerate() {
        for (j, b) in losses.iter().enumerate() {
            if dominates(a, b) {
                beats[i].push(j);
                beaten_by[j] += 1;
            }
        }
    }
    let mut fronts = Vec::new();
    let mut front: Vec<usize> = (0..losses.len()).filter(|i| beaten_by[*i] == 0).collect();
    while !front.is_empty() {
        let mut next = Vec::new();
        for i in &front {
            for j in &beats[*i] {
                beaten_by[*j] -= 1;
                if beaten_by[*j] == 0 {
                    next.push(*j);
                }
            }
        }
        next.sort_unstable();
        fronts.push(std::mem::replace(&mut front, next));
    }
    fronts
}

/// How far each member of a front is from its neighbours: the sum over figures of the gap between the one before and the one
/// after it, as a share of the front's range. The ends of a figure are infinitely far.
pub(crate) fn crowding(losses: &[&[f64]], front: &[usize]) -> Vec<f64> {
    let mut distances = vec![0.0; front.len()];
    let figures = losses.first().map_or(0, |it| it.len());
    for column in (0..figures).map(|figure| move |row: &[f64]| row[figure]) {
        let at = |place: usize| column(losses[front[place]]);
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|a, b| at(*a).total_cmp(&at(*b)).then(front[*a].cmp(&front[*b])));
        let (Some(first), Some(last)) = (order.first().copied(), order.last().copied()) else {
            continue;
        };
        let range = at(last) - at(first);
        for three in order.windows(3) {
            if range > 0.0 && range < f64::INFINITY {
                distances[three[1]] += (at(three[2]) - at(three[0])) / range;
            }
        }
        distances[first] = f64::INFINITY;
        distances[last] = f64::INFINITY;
    }
    distances
}

/// The `most` members of a front that are the least crowded, in ascending order. They are left out one by one, as each one
/// that goes leaves its neighbours more room (Kukkonen & Deb 2006); of equals the one with the highest number goes first.
pub(crate) fn thinned(losses: &[&[f64]], front: &[usize], most: usize) -> Vec<usize> {
    let mut left = front.to_vec();
    while left.len() > most {
        let distances = crowding(losses, &left);
        let mut worst = 0;
        for (place, distance) in distances.iter().enumerate() {
            if *distance <= distances[worst] {
                worst = place;
            }
        }
        left.remove(worst);
    }
    left
}

/// The member of a front that is closest to its ideal corner, each figure as a share of the front's range; of equals the
/// first.
pub(crate) fn knee(losses: &[&[f64]], front: &[usize]) -> Option<usize> {
    let figures = losses.first().map_or(0, |it| it.len());
    let ends = |figure: usize| {
        let each = front.iter().map(|i| losses[*i][figure]);
        each.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        })
    };
    let ends: Vec<(f64, f64)> = (0..figures).map(ends).collect();
    let distance = |i: usize| -> f64 {
        let shares = losses[i].iter().zip(&ends).map(|(x, (low, high))| {
            let range = high - low;
            if range > 0.0 { (x - low) / range } else { 0.0 }
        });
        shares.map(|share| share * share).sum()
    };
    let mut best: Option<(f64, usize)> = None;
    for i in front {
        let distance = distance(*i);
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, *i));
        }
    }
    best.map(|(_, i)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(points: &[[f64; 2]]) -> Vec<&[f64]> {
        points.iter().map(<[f64; 2]>::as_slice).collect()
    }

    #[test]
    fn fronts_are_peeled_off() {
        let inf = f64::INFINITY;
        let points = [
            [1.0, 4.0],
            [2.0, 2.0],
            [4.0, 1.0],
            [3.0, 3.0],
            [2.0, 2.0],
            [inf, inf],
        ];
        let losses = rows(&points);
        assert_eq!(fronts(&losses), [vec![0, 1, 2, 4], vec![3], vec![5]]);
        assert_eq!(knee(&losses, &[0, 1, 2, 4]), Some(1));
        assert!(dominates(&[1.0, 1.0], &[1.0, 2.0]) && !dominates(&[1.0, 1.0], &[1.0, 1.0]));
    }

    #[test]
    fn ends_are_kept_and_the_crowded_go_first() {
        let points = [[0.0, 10.0], [1.0, 8.9], [1.1, 8.8], [5.0, 4.0], [10.0, 0.0]];
        let losses = rows(&points);
        let all = [0, 1, 2, 3, 4];
        let distances = crowding(&losses, &all);
        assert!(distances[0].is_infinite() && distances[4].is_infinite());
        assert_eq!(thinned(&losses, &all, 4), [0, 2, 3, 4]);
        assert_eq!(thinned(&losses, &all, 2), [0, 4]);
        // One point, or points that are the same, have a knee as well.
        assert_eq!(knee(&losses, &[3]), Some(3));
    }
}
