//! Columns taken together as one vector, by the rule that `Source::numeric` states.

use std::collections::BTreeMap;

/// A family: the axes of its numbers, and for each place in row-major order the column's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) shape: Vec<u32>,
    pub(crate) members: Vec<usize>,
}

/// The family called `wanted`: `None` if there is none, an error message if it is not whole.
pub(crate) fn find(wanted: &str, names: &[String]) -> Option<Result<Family, String>> {
    let singular = wanted.strip_suffix('s').filter(|stem| !stem.is_empty());
    [Some(wanted), singular]
        .into_iter()
        .flatten()
        .find_map(|stem| gather(stem, names))
}

/// Every stem that starts a whole family of two or more columns, with its family, by stem.
pub(crate) fn all(names: &[String]) -> Vec<(String, Family)> {
    let stems: std::collections::BTreeSet<&str> =
        names.iter().filter_map(|name| stem_of(name)).collect();
    let whole = |stem: &str| {
        gather(stem, names)
            .and_then(Result::ok)
            .filter(|family| family.members.len() > 1)
    };
    // Bounded, so that a table of many thousand stems does not take quadratic time for a list of suggestions.
    stems
        .into_iter()
        .take(64)
        .filter_map(|stem| whole(stem).map(|family| (stem.to_owned(), family)))
        .collect()
}

fn stem_of(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '_');
    (stem.len() < name.len() && !stem.is_empty()).then_some(stem)
}

/// The numbers of `name` after `stem`; `None` if it is no member.
fn numbers(stem: &str, name: &str) -> Option<Vec<u32>> {
    let rest = name.strip_prefix(stem)?;
    let rest = rest.strip_prefix('_').unwrap_or(rest);
    let number = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse().ok())
            .flatten()
    };
    rest.split('_').map(number).collect()
}

fn gather(stem: &str, names: &[String]) -> Option<Result<Family, String>> {
    let mut found: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        let Some(numbers) = numbers(stem, name) else {
            continue;
        };
        if let Some(&first) = found.get(&numbers) {
            return Some(Err(format!(
                "`{}` and `{name}` have the same number",
                names[first]
            )));
        }
        found.insert(numbers, index);
    }
    (!found.is_empty()).then(|| whole(stem, found))
}

/// Checks that the members fill a box. A map by number lists them in row-major order.
fn whole(stem: &str, found: BTreeMap<Vec<u32>, usize>) -> Result<Family, String> {
    let rank = found.keys().map(Vec::len).max().unwrap_or(0);
    if found.keys().any(|numbers| numbers.len() != rank) {
        return Err(format!(
            "some columns named `{stem}` have one number, others {rank}"
        ));
    }
    let edge = |axis: usize, pick: fn(u32, u32) -> u32, from: u32| {
        found
            .keys()
            .filter_map(|numbers| numbers.get(axis))
            .fold(from, |edge, &number| pick(edge, number))
    };
    let low: Vec<u32> = (0..rank)
        .map(|axis| edge(axis, u32::min, u32::MAX))
        .collect();
    let high: Vec<u32> = (0..rank).map(|axis| edge(axis, u32::max, 0)).collect();
    if let Some(&start) = low.iter().find(|&&start| start > 1) {
        return Err(format!(
            "the columns named `{stem}` count from {start}, not from 0 or 1"
        ));
    }
    let shape: Vec<u32> = low
        .iter()
        .zip(&high)
        .map(|(&low, &high)| (high - low).saturating_add(1))
        .collect();
    let places = shape
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)));
    if places != Some(found.len() as u64) {
        return Err(format!(
            "`{stem}{}` is missing",
            first_gap(&low, &high, &found)
        ));
    }
    Ok(Family {
        shape,
        members: found.into_values().collect(),
    })
}

/// The first place of the box, in row-major order, that no column fills. At most one step more than there are columns.
fn first_gap(low: &[u32], high: &[u32], found: &BTreeMap<Vec<u32>, usize>) -> String {
    let mut place = low.to_vec();
    while found.contains_key(&place) {
        let Some(axis) = (0..place.len())
            .rev()
            .find(|&axis| place[axis] < high[axis])
        else {
            break;
        };
        place[axis] += 1;
        place[axis + 1..].copy_from_slice(&low[axis + 1..]);
    }
    place.iter().map(|number| format!("_{number}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        list.split(' ').map(str::to_owned).collect()
    }

    type Found = Option<Result<(Vec<u32>, Vec<usize>), String>>;

    fn family(wanted: &str, list: &str) -> Found {
        find(wanted, &names(list)).map(|found| found.map(|family| (family.shape, family.members)))
    }

    #[test]
    fn families_by_each_way_of_writing() {
        assert_eq!(
            family("pixels", "pixel0 pixel1 label"),
            Some(Ok((vec![2], vec![0, 1])))
        );
        assert_eq!(
            family("pixels", "pixels_1 pixels_2"),
            Some(Ok((vec![2], vec![0, 1])))
        );
        assert_eq!(
            family("p", "p_0_0 p_1_0 p_0_1 p_1_1"),
            Some(Ok((vec![2, 2], vec![0, 2, 1, 3])))
        );
        assert_eq!(
            family("x", "x_10 x_9 x_8 x_7 x_6 x_5 x_4 x_3 x_2 x_1")
                .unwrap()
                .unwrap()
                .1,
            [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
        );
        assert_eq!(family("x", "y x_ x_a x_1_ xs"), None);
        assert_eq!(family("s", "a_0 1"), None);
    }

    #[test]
    fn families_that_are_not_whole() {
        let message = |wanted, list| family(wanted, list).unwrap().unwrap_err();
        assert_eq!(message("p", "p_0_0 p_0_1 p_1_0"), "`p_1_1` is missing");
        assert_eq!(
            message("size", "size_2020 size_2021"),
            "the columns named `size` count from 2020, not from 0 or 1"
        );
        assert_eq!(
            message("p", "p_0 p_1_0"),
            "some columns named `p` have one number, others 2"
        );
        assert_eq!(
            message("p", "p_1 p_01"),
            "`p_1` and `p_01` have the same number"
        );
        assert_eq!(message("p", "p_0 p_4294967295"), "`p_1` is missing");
    }

    #[test]
    fn all_lists_whole_families_only() {
        let found = all(&names("x_0 x_1 y_0 z_5 z_6 label"));
        assert_eq!(
            found,
            [(
                "x".to_owned(),
                Family {
                    shape: vec![2],
                    members: vec![0, 1]
                }
            )]
        );
    }
}
