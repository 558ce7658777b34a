use std::borrow::Cow;

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
    let letters = letters_of(word);
    let mut best: Option<([usize; 2], &'a str)> = None;
    for candidate in candidates {
        // Lengths alone tell most candidates apart; thousands are asked about.
        let differs = candidate.len().abs_diff(word.len()) > allowed;
        let prefix = length >= 4 && same_start(&lower, candidate);
        if candidate.is_ascii() && word.is_ascii() && differs && !prefix {
            continue;
        }
        // A letter that is not there costs a slip.
        if !prefix && (letters & !letters_of(candidate)).count_ones() as usize > allowed {
            continue;
        }
        let known = match candidate
            .bytes()
            .any(|b| b.is_ascii_uppercase() || !b.is_ascii())
        {
            true => Cow::Owned(candidate.to_lowercase()),
            false => Cow::Borrowed(candidate),
        };
        let found @ [first, _] = distances(&lower, &known, allowed);
        if first <= allowed && best.is_none_or(|(least, _)| found < least) {
            best = Some((found, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The letters of a word, capitals being the same as small ones; all that is not ASCII is one letter.
fn letters_of(word: &str) -> u128 {
    let bit = |byte: u8| 1u128 << byte.to_ascii_lowercase().min(127);
    word.bytes().fold(0, |all, byte| all | bit(byte))
}

/// Whether one may be the beginning of the other.
fn same_start(lower: &str, candidate: &str) -> bool {
    let mut pairs = lower.bytes().zip(candidate.bytes());
    pairs.all(|(a, b)| a == b.to_ascii_lowercase())
}

/// The slips, and the letters that differ, which tell apart what has as many: a shared beginning of four letters or more
/// counts as one slip, `learn` for `learning_rate`.
fn distances(word: &str, candidate: &str, allowed: usize) -> [usize; 2] {
    let shorter = word.len().min(candidate.len());
    let prefix = shorter >= 4 && (candidate.starts_with(word) || word.starts_with(candidate));
    let most = if prefix { usize::MAX } else { allowed };
    let distance = distance_within(word, candidate, most);
    let slips = if prefix { distance.min(1) } else { distance };
    [slips, distance]
}

/// How many letters must be inserted, deleted, replaced or swapped with their neighbour (optimal string alignment).
pub fn edit_distance(a: &str, b: &str) -> usize {
    distance_within(a, b, usize::MAX)
}

/// The distance, or, if it is more than `most`, some number above that.
fn distance_within(a: &str, b: &str, most: usize) -> usize {
    let b: Vec<char> = b.chars().collect();
    let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
    let (mut before, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    let mut next = Vec::with_capacity(row.len());
    let mut last_a = None;
    for (i, letter) in a.chars().enumerate() {
        next.clear();
        next.push(i + 1);
        let mut least_of_row = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replace = get(&row, j) + usize::from(letter != *other);
            let mut least = replace.min(get(&row, j + 1) + 1).min(get(&next, j) + 1);
            let swapped = j > 0 && last_a == Some(*other) && b.get(j - 1) == Some(&letter);
            if swapped {
                least = least.min(get(&before, j - 1) + 1);
            }
            least_of_row = least_of_row.min(least);
            next.push(least);
        }
        // A swap reaches back one row further, at the cost of one.
        if least_of_row > most.saturating_add(1) {
            return least_of_row;
        }
        last_a = Some(letter);
        std::mem::swap(&mut before, &mut row);
        std::mem::swap(&mut row, &mut next);
    }
    row.last().copied().unwrap_or(0)
}
