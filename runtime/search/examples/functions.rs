//! Searches whose trials are functions of numbers, for `benches/search_optuna.py`.
//!
//! `functions ask SAMPLER TRIALS SEED LOW,HIGH…` writes the numbers of each trial as a line and reads its value from a line;
//! `functions time SAMPLER TRIALS DIMENSIONS` prints the seconds that proposals take, of a sphere in the unit cube.

use mmh_numerics::random::Seed;
use mmh_search::{
    Direction, Domain, Method, Objective, Outcome, Point, Propose, Setting, Site, Space, Spec,
    Study,
};
use std::io::BufRead;
use std::time::Instant;

fn spec(ranges: &[(f64, f64)], sampler: &str, trials: usize, seed: u128) -> Spec {
    let site = |(i, (low, high)): (usize, &(f64, f64))| Site {
        name: i.to_string(),
        domain: Domain::Uniform {
            low: *low,
            high: *high,
        },
        when: None,
    };
    let mut spec = Spec {
        name: "function".into(),
        seed: Seed::from_integer(seed),
        space: Space {
            sites: ranges.iter().enumerate().map(site).collect(),
        },
        objectives: vec![Objective::watch(Direction::Minimise)],
        rungs: 1,
        method: Method::Full,
        propose: Propose::Random,
        budget: trials,
        lag: 0,
    };
    spec.propose = match sampler {
        "random" => Propose::Random,
        "sobol" => Propose::Sobol,
        "cmaes" => Propose::CmaEs {
            population: spec.default_population(),
        },
        "nsga2" => Propose::Nsga2 { population: 50 },
        "gp" => Propose::Gp { startup: 10 },
        _ => Propose::Tpe { startup: 10 },
    };
    spec
}

fn numbers(point: &Point) -> Vec<f64> {
    let number = |setting: &Option<Setting>| match setting {
        Some(Setting::Real(x)) => *x,
        _ => 0.0,
    };
    point.iter().map(number).collect()
}

/// Carries a search out with what `value` says of each trial, and gives the smallest value.
fn search(spec: Spec, value: &mut dyn FnMut(&[f64]) -> f64) -> f64 {
    let mut study = Study::new(spec).expect("a study");
    loop {
        let jobs = study.advance(&mut |_| true);
        if jobs.is_empty() {
            return study.best().expect("a best").1;
        }
        for job in jobs {
            let found = value(&numbers(&study.trials()[job.trial].point));
            study.record(job, Outcome::Value(found));
        }
    }
}

/// Writes a trial down and reads what it came to.
fn ask(point: &[f64]) -> f64 {
    let words: Vec<String> = point.iter().map(|x| format!("{x:e}")).collect();
    println!("{}", words.join(" "));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.expect("a line");
    line.trim().parse().expect("a value")
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let trials = word(2).parse().expect("a number of trials");
    if word(0) == "time" {
        let cube = vec![(0.0, 1.0); word(3).parse().expect("a number of dimensions")];
        let began = Instant::now();
        let best = search(spec(&cube, word(1), trials, 1), &mut |x| {
            x.iter().map(|x| (x - 0.3) * (x - 0.3)).sum()
        });
        println!("{:.6} {best:e}", began.elapsed().as_secs_f64());
        return;
    }
    let range = |word: &String| -> (f64, f64) {
        let (low, high) = word.split_once(',').expect("LOW,HIGH");
        (low.parse().expect("LOW"), high.parse().expect("HIGH"))
    };
    let ranges: Vec<(f64, f64)> = words.iter().skip(4).map(range).collect();
    let seed = word(3).parse().expect("a seed");
    search(spec(&ranges, word(1), trials, seed), &mut ask);
}
