/// The candidate nearest to `word`, if one is near enough to be a slip: at most a third of its letters differ (two for
/// short words, none for single letters), or one is the other's beginning. Ties go to the first candidate.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let allowed = match length {
        0 | 1 => 0,
        2..=3 => 1,
        4..=6 => 2,
        _ => length / 3,
    };
    let lower = word.to_lowercase();
    let mut best: Option<([usize; 2], &'a str)> = None;
    for candidate in candidates {
        // Lengths alone tell most candidates apart; thousands are asked about.
        let differs = candidate.len().abs_diff(word.len()) > allowed;
        let prefix = length >= 4 && same_start(&lower, candidate);
        if candidate.is_ascii() && word.is_ascii() && differs && !prefix {
            continue;
        }
        let found @ [first, _] = distances(&lower, &candidate.to_lowercase());
        if first <= allowed && best.is_none_or(|(least, _)| found < least) {
            best = Some((found, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Whether one may be the beginning of the other.
fn same_start(lower: &str, candidate: &str) -> bool {
    let mut pairs = lower.bytes().zip(candidate.bytes());
    pairs.all(|(a, b)| a == b.to_ascii_lowercase())
}

/// The slips, and the letters that differ, which tell apart what has as many: a shared beginning of four letters or more
/// counts as one slip, `learn` for `learning_rate`.
fn distances(word: &str, candidate: &str) -> [usize; 2] {
    let distance = edit_distance(word, candidate);
    let shorter = word.len().min(candidate.len());
    let prefix = shorter >= 4 && (candidate.starts_with(word) || word.starts_with(candidate));
    let slips = if prefix { distance.min(1) } else { distance };
    [slips, distance]
}

/// How many letters must be inserted, deleted, replaced or swapped with their neighbour (optimal string alignment).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (i, letter) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let replace = get(&row, j) + usize::from(letter != *other);
            let mut least = replace.min(get(&row, j + 1) + 1).min(get(&next, j) + 1);
            let swapped = j > 0 && last_a == Some(*other) && b.get(j - 1) == Some(&letter);
            if swapped {
                least = least.min(get(&before, j - 1) + 1);
            }
            next.push(least);
        }
        last_a = Some(letter);
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}
