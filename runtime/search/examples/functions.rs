//! Finds minima of standard functions, for `benches/search_optuna.py`: a line for each function, sampler and seed.
//!
//! `functions FUNCTION SAMPLER TRIALS SEEDS` prints the smallest value found with each seed; `functions time SAMPLER TRIALS
//! DIMENSIONS` prints the seconds that proposals alone take.

use mmh_numerics::double::{cos, exp, sqrt};
use mmh_numerics::random::Seed;
use mmh_search::{
    Direction, Domain, Method, Objective, Outcome, Point, Propose, Setting, Site, Space, Spec,
    Study,
};
use std::time::Instant;

const TAU: f64 = std::f64::consts::TAU;
const PI: f64 = std::f64::consts::PI;

/// A function of the unit cube's edges, scaled to its own range.
struct Function {
    ranges: Vec<(f64, f64)>,
    value: fn(&[f64]) -> f64,
}

fn function(name: &str) -> Function {
    let cube = |n: usize, low: f64, high: f64| vec![(low, high); n];
    match name {
        "branin" => Function {
            ranges: vec![(-5.0, 10.0), (0.0, 15.0)],
            value: branin,
        },
        "hartmann6" => Function {
            ranges: cube(6, 0.0, 1.0),
            value: hartmann,
        },
        "rosenbrock10" => Function {
            ranges: cube(10, -5.0, 10.0),
            value: rosenbrock,
        },
        "sphere5" => Function {
            ranges: cube(5, -5.0, 5.0),
            value: |x| shifted(x).iter().map(|x| x * x).sum(),
        },
        "ellipsoid5" => Function {
            ranges: cube(5, -5.0, 5.0),
            value: ellipsoid,
        },
        "rastrigin5" => Function {
            ranges: cube(5, -5.0, 5.0),
            value: rastrigin,
        },
        "ackley5" => Function {
            ranges: cube(5, -5.0, 5.0),
            value: ackley,
        },
        _ => Function {
            ranges: cube(name.parse().unwrap_or(2), 0.0, 1.0),
            value: |x| shifted(x).iter().map(|x| x * x).sum(),
        },
    }
}

/// Optima are not in the middle, where searches like to begin.
fn shifted(x: &[f64]) -> Vec<f64> {
    x.iter()
        .zip(1..)
        .map(|(x, i)| x - 0.37 * f64::from(i % 3) - 0.21)
        .collect()
}

fn branin(x: &[f64]) -> f64 {
    let (a, b) = (x[0], x[1]);
    let inner = b - 5.1 / (4.0 * PI * PI) * a * a + 5.0 / PI * a - 6.0;
    inner * inner + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * cos(a) + 10.0
}

fn hartmann(x: &[f64]) -> f64 {
    const ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let term = |i: usize| {
        let sum: f64 = (0..6)
            .map(|j| A[i][j] * (x[j] - P[i][j]) * (x[j] - P[i][j]))
            .sum();
        ALPHA[i] * exp(-sum)
    };
    -(0..4).map(term).sum::<f64>()
}

fn rosenbrock(x: &[f64]) -> f64 {
    x.windows(2)
        .map(|w| 100.0 * (w[1] - w[0] * w[0]) * (w[1] - w[0] * w[0]) + (1.0 - w[0]) * (1.0 - w[0]))
        .sum()
}

fn ellipsoid(x: &[f64]) -> f64 {
    let x = shifted(x);
    let mut factor = 1.0;
    let mut sum = 0.0;
    for x in x {
        sum += factor * x * x;
        factor *= 31.622_776_601_683_793;
    }
    sum
}

fn rastrigin(x: &[f64]) -> f64 {
    shifted(x)
        .iter()
        .map(|x| x * x - 10.0 * cos(TAU * x) + 10.0)
        .sum()
}

fn ackley(x: &[f64]) -> f64 {
    let x = shifted(x);
    let n = x.len() as f64;
    let squares: f64 = x.iter().map(|x| x * x).sum();
    let waves: f64 = x.iter().map(|x| cos(TAU * x)).sum();
    20.0 + std::f64::consts::E - 20.0 * exp(-0.2 * sqrt(squares / n)) - exp(waves / n)
}

fn spec(function: &Function, sampler: &str, trials: usize, seed: u128) -> Spec {
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
            sites: function.ranges.iter().enumerate().map(site).collect(),
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

fn search(function: &Function, spec: Spec) -> f64 {
    let mut study = Study::new(spec).expect("a study");
    let mut all = |_: &Point| true;
    loop {
        let jobs = study.advance(&mut all);
        if jobs.is_empty() {
            return study.best().expect("a best").1;
        }
        for job in jobs {
            let value = (function.value)(&numbers(&study.trials()[job.trial].point));
            study.record(job, Outcome::Value(value));
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    if word(0) == "time" {
        let function = function(word(3));
        let spec = spec(&function, word(1), word(2).parse().unwrap_or(1000), 1);
        let began = Instant::now();
        let best = search(&function, spec);
        println!("{:.6} {best:e}", began.elapsed().as_secs_f64());
        return;
    }
    let function = function(word(0));
    let trials = word(2).parse().unwrap_or(100);
    for seed in 0..word(3).parse().unwrap_or(30) {
        println!(
            "{:e}",
            search(&function, spec(&function, word(1), trials, seed))
        );
    }
}
