//! Searches standard functions of several figures, for `benches/search_fronts.py`.
//!
//! `fronts FUNCTION SAMPLER TRIALS SEEDS` prints, for each seed, the figures of the trials that no other one beats: numbers of
//! a trial set apart by commas, trials by spaces.

use mmh_numerics::double::{cos, sin, sqrt};
use mmh_numerics::random::Seed;
use mmh_search::{
    Direction, Domain, Method, Objective, Outcome, Propose, Setting, Site, Space, Spec, Study,
};

/// Figures of a point of the unit cube; all are made small.
type Figures = fn(&[f64]) -> Vec<f64>;

/// Name, dimensions, figures, and the function.
const FUNCTIONS: [(&str, usize, usize, Figures); 4] = [
    ("zdt1", 30, 2, |x| zdt(x, |f, g| 1.0 - sqrt(f / g))),
    ("zdt2", 30, 2, |x| zdt(x, |f, g| 1.0 - f / g * (f / g))),
    ("zdt3", 30, 2, |x| {
        zdt(x, |f, g| {
            1.0 - sqrt(f / g) - f / g * sin(10.0 * std::f64::consts::PI * f)
        })
    }),
    ("dtlz2", 12, 3, dtlz2),
];

/// Zitzler, Deb & Thiele 2000.
fn zdt(x: &[f64], shape: fn(f64, f64) -> f64) -> Vec<f64> {
    let rest: f64 = x[1..].iter().sum();
    let g = 1.0 + 9.0 * rest / (x.len() - 1) as f64;
    vec![x[0], g * shape(x[0], g)]
}

/// Deb, Thiele, Laumanns & Zitzler 2002, with three figures.
fn dtlz2(x: &[f64]) -> Vec<f64> {
    let g: f64 = x[2..].iter().map(|x| (x - 0.5) * (x - 0.5)).sum();
    let [a, b] = [x[0], x[1]].map(|x| x * std::f64::consts::FRAC_PI_2);
    let r = 1.0 + g;
    vec![r * cos(a) * cos(b), r * cos(a) * sin(b), r * sin(a)]
}

fn spec(dimensions: usize, figures: usize, sampler: &str, trials: usize, seed: u128) -> Spec {
    let domain = Domain::Uniform {
        low: 0.0,
        high: 1.0,
    };
    let site = |i: usize| Site {
        name: i.to_string(),
        domain,
        when: None,
    };
    let objective = |i: usize| Objective {
        name: i.to_string(),
        direction: Direction::Minimise,
    };
    Spec {
        name: "function".into(),
        seed: Seed::from_integer(seed),
        space: Space {
            sites: (0..dimensions).map(site).collect(),
        },
        objectives: (0..figures).map(objective).collect(),
        rungs: 1,
        method: Method::Full,
        propose: match sampler {
            "random" => Propose::Random,
            "sobol" => Propose::Sobol,
            _ => Propose::Nsga2 { population: 50 },
        },
        budget: trials,
        lag: 0,
    }
}

fn search(spec: Spec, figures: Figures) -> Vec<Vec<f64>> {
    let mut study = Study::new(spec).expect("a study");
    loop {
        let jobs = study.advance(&mut |_| true);
        if jobs.is_empty() {
            let front = study.front().into_iter();
            return front.filter_map(|trial| study.figures(trial)).collect();
        }
        for job in jobs {
            let point = study.trials()[job.trial].point.iter().flatten();
            let numbers: Vec<f64> = point
                .map(|setting| match setting {
                    Setting::Real(x) => *x,
                    Setting::Whole(_) | Setting::Choice(_) => 0.0,
                })
                .collect();
            let all = figures(&numbers);
            study.record_all(job, Outcome::Value(all[0]), &all[1..]);
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let found = FUNCTIONS.iter().find(|(name, ..)| *name == word(0));
    let (_, dimensions, count, figures) = found.expect("the name of a function");
    let trials = word(2).parse().unwrap_or(1000);
    for seed in 0..word(3).parse().unwrap_or(30) {
        let front = search(spec(*dimensions, *count, word(1), trials, seed), *figures);
        let trial = |it: &Vec<f64>| {
            let numbers: Vec<String> = it.iter().map(|x| format!("{x:e}")).collect();
            numbers.join(",")
        };
        println!("{}", front.iter().map(trial).collect::<Vec<_>>().join(" "));
    }
}
