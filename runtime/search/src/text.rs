//! A study as text, read back: who checks a journal has no recipe at hand.

use crate::space::{Domain, Point, Setting, Site, Space};
use crate::spec::{Direction, Method, Objective, Propose, Spec};
use crate::tpe::CANDIDATES;
use mmh_numerics::random::Seed;
use std::fmt::Write;

/// Settings of all trials of a text that is read, at most: such a text is not trusted.
const MOST_SETTINGS: usize = 10_000_000;
/// Rungs at most.
const MOST_RUNGS: usize = 100_000;

impl Spec {
    /// The spec that [`Spec::text`] wrote.
    ///
    /// Errors: it is not written so, or no search could be done by it.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let spec = read(text).ok_or("it does not say how a search is done")?;
        // Whatever reads in two ways would be another spec than the one that was written.
        match spec.text() == text {
            true => Ok(spec),
            false => Err("it is not written as a search writes it".to_owned()),
        }
    }
}

/// A point as it stands in a journal: a word for each site.
pub fn point_text(point: &Point) -> String {
    let mut text = String::new();
    for setting in point {
        let space = if text.is_empty() { "" } else { " " };
        let _ = match setting {
            None => write!(text, "{space}-"),
            Some(Setting::Choice(k)) => write!(text, "{space}c{k}"),
            Some(Setting::Whole(x)) => write!(text, "{space}w{x}"),
            Some(Setting::Real(x)) => write!(text, "{space}r{:016x}", x.to_bits()),
        };
    }
    text
}

fn read(text: &str) -> Option<Spec> {
    let mut lines = text.lines();
    let name = quoted(lines.next()?.strip_prefix("search ")?)?.0;
    let seed = seed(lines.next()?.strip_prefix("seed ")?)?;
    let mut sites = Vec::new();
    let mut line = lines.next()?;
    while let Some(rest) = line.strip_prefix("site ") {
        sites.push(site(rest, sites.len())?);
        line = lines.next()?;
    }
    let (directions, rungs) = line.rsplit_once(" rungs ")?;
    let objectives = objectives(directions)?;
    let rungs = rungs
        .parse()
        .ok()
        .filter(|n| (1..=MOST_RUNGS).contains(n))?;
    let method = method(lines.next()?)?;
    let propose = propose(lines.next()?)?;
    let (budget, lag) = lines.next()?.strip_prefix("budget ")?.split_once(" lag ")?;
    let most = MOST_SETTINGS / sites.len().max(1);
    let budget = budget.parse().ok().filter(|n| (1..=most).contains(n))?;
    Some(Spec {
        name,
        seed,
        space: Space { sites },
        objectives,
        rungs,
        method,
        propose,
        budget,
        lag: lag.parse().ok()?,
    })
}

/// A name in quotes at the front, and what follows it. Names of recipes hold nothing that is written otherwise in quotes.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (name, rest) = text.strip_prefix('"')?.split_once('"')?;
    Some((name.to_owned(), rest))
}

fn seed(digits: &str) -> Option<Seed> {
    let mut seed = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Seed(seed))
}

fn site(text: &str, number: usize) -> Option<Site> {
    let (name, rest) = quoted(text)?;
    let mut words = rest.split_whitespace();
    let domain = match words.next()? {
        "choice" => Domain::Choice(words.next()?.parse().ok().filter(|n| *n > 0)?),
        "uniform" => {
            let (low, high) = (real(words.next()?)?, real(words.next()?)?);
            (low <= high).then_some(Domain::Uniform { low, high })?
        }
        "log" => {
            let (low, high) = (real(words.next()?)?, real(words.next()?)?);
            (0.0 < low && low <= high).then_some(Domain::Log { low, high })?
        }
        "whole" => {
            let (low, high) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            (low <= high).then_some(Domain::Whole { low, high })?
        }
        _ => return None,
    };
    let when = match words.next() {
        None => None,
        Some("when") => {
            let parent = words.next()?.parse().ok().filter(|it| *it < number)?;
            Some((parent, words.next()?.parse().ok()?))
        }
        Some(_) => return None,
    };
    Some(Site { name, domain, when })
}

fn objectives(text: &str) -> Option<Vec<Objective>> {
    if let Some(direction) = direction(text) {
        return Some(vec![Objective::watch(direction)]);
    }
    let (mut rest, mut found) = (text, Vec::new());
    while !rest.is_empty() {
        let (word, behind) = rest.split_once(' ')?;
        let (name, behind) = quoted(behind)?;
        let direction = direction(word)?;
        found.push(Objective { name, direction });
        rest = behind.strip_prefix(' ').unwrap_or(behind);
    }
    (!found.is_empty()).then_some(found)
}

fn direction(word: &str) -> Option<Direction> {
    match word {
        "maximise" => Some(Direction::Maximise),
        "minimise" => Some(Direction::Minimise),
        _ => None,
    }
}

fn method(line: &str) -> Option<Method> {
    let (word, value) = line.split_once(' ').unwrap_or((line, ""));
    let share = || real(value).filter(|keep| (0.01..1.0).contains(keep));
    Some(match word {
        "full" => Method::Full,
        "halving" => Method::Halving { keep: share()? },
        "hyperband" => Method::Hyperband { keep: share()? },
        "median" => Method::Median {
            startup: value.parse().ok()?,
        },
        "patience" => Method::Patience {
            rungs: value.parse().ok()?,
        },
        "threshold" => Method::Threshold {
            bound: real(value)?,
        },
        _ => return None,
    })
}

fn propose(line: &str) -> Option<Propose> {
    let (word, value) = line.split_once(' ').unwrap_or((line, ""));
    let number = || value.parse::<usize>().ok();
    Some(match word {
        "random" => Propose::Random,
        "sobol" => Propose::Sobol,
        "grid" => Propose::Grid { points: number()? },
        "tpe" => {
            let (startup, candidates) = value.split_once(" of ")?;
            // Other candidates are another method.
            (candidates == CANDIDATES.to_string()).then_some(())?;
            Propose::Tpe {
                startup: startup.parse().ok()?,
            }
        }
        "gp" => Propose::Gp { startup: number()? },
        "cmaes" => Propose::CmaEs {
            population: number().filter(|n| *n > 1)?,
        },
        "nsga2" => Propose::Nsga2 {
            population: number().filter(|n| *n > 1)?,
        },
        _ => return None,
    })
}

/// A number that is written as the hex digits of its bits, and is finite.
fn real(digits: &str) -> Option<f64> {
    let bits = u64::from_str_radix(digits, 16).ok()?;
    Some(f64::from_bits(bits)).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(propose: Propose, method: Method, objectives: Vec<Objective>) -> Spec {
        let site = |name: &str, domain, when| Site {
            name: name.to_owned(),
            domain,
            when,
        };
        Spec {
            name: "tune".to_owned(),
            seed: Seed::from_integer(7),
            space: Space {
                sites: vec![
                    site("wide", Domain::Choice(3), None),
                    site(
                        "fit.optimize.lr",
                        Domain::Log {
                            low: 1e-4,
                            high: 0.5,
                        },
                        Some((0, 2)),
                    ),
                    site(
                        "rate",
                        Domain::Uniform {
                            low: -0.1,
                            high: 0.4,
                        },
                        None,
                    ),
                    site("deep", Domain::Whole { low: -1, high: 4 }, None),
                ],
            },
            objectives,
            rungs: 3,
            method,
            propose,
            budget: 12,
            lag: 3,
        }
    }

    #[test]
    fn every_spec_reads_back() {
        let watch = || vec![Objective::watch(Direction::Minimise)];
        let several = vec![
            Objective::watch(Direction::Maximise),
            Objective {
                name: "final.accuracy".to_owned(),
                direction: Direction::Maximise,
            },
        ];
        for (propose, method, objectives) in [
            (Propose::Random, Method::Full, watch()),
            (Propose::Sobol, Method::Halving { keep: 1.0 / 3.0 }, watch()),
            (
                Propose::Tpe { startup: 4 },
                Method::Hyperband { keep: 0.5 },
                watch(),
            ),
            (
                Propose::Gp { startup: 4 },
                Method::Median { startup: 2 },
                watch(),
            ),
            (
                Propose::CmaEs { population: 6 },
                Method::Patience { rungs: 2 },
                watch(),
            ),
            (Propose::Nsga2 { population: 6 }, Method::Full, several),
            (
                Propose::Grid { points: 5 },
                Method::Threshold { bound: -0.5 },
                watch(),
            ),
        ] {
            let wanted = spec(propose, method, objectives);
            assert_eq!(Spec::from_text(&wanted.text()), Ok(wanted));
        }
    }

    #[test]
    fn what_is_torn_or_changed_does_not_read() {
        let text = spec(Propose::Random, Method::Full, vec![]).text();
        assert!(Spec::from_text(&text).is_err(), "it follows no figure");
        let wanted = spec(
            Propose::Tpe { startup: 4 },
            Method::Hyperband { keep: 0.5 },
            vec![Objective::watch(Direction::Minimise)],
        );
        let text = wanted.text();
        for at in 0..text.len() {
            assert!(Spec::from_text(&text[..at]).is_err(), "cut at {at}");
            // Another letter gives another spec or none, never the same and never a panic.
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let other = Spec::from_text(&String::from_utf8(bytes).unwrap());
            assert_ne!(other, Ok(wanted.clone()), "byte {at}");
        }
        for (from, to) in [
            ("budget 12", "budget 99999999999"),
            ("choice 3", "choice 0"),
        ] {
            assert!(Spec::from_text(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
