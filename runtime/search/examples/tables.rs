//! Searches a table of results that were computed ahead, for `benches/search_recipes.py`: what samplers find in it, and how
//! long searches by several workers would take.
//!
//! A table is a text: a line with the number of values of each setting, then a line for each point, the last setting changing
//! fastest: seconds and figure at each rung, in turn. Small figures are good.
//!
//! `tables quality FILE SAMPLER TRIALS SEEDS` prints the smallest figure found with each seed. `tables time FILE HOW WORKERS LAG
//! TRIALS SEEDS` prints, for each seed, the seconds that the search takes by a clock that counts trainings alone, the share
//! of that time in which workers work, and the smallest figure at the last rung.

use mmh_numerics::random::{Key, Seed, Stream};
use mmh_search::{
    Direction, Domain, Job, Method, Objective, Outcome, Point, Propose, Setting, Site, Space, Spec,
    Study,
};

struct Table {
    sizes: Vec<usize>,
    /// Seconds up to a rung and the figure there, by point and rung.
    rows: Vec<Vec<(f64, f64)>>,
}

impl Table {
    fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(path).expect("the table");
        let numbers = |line: &str| -> Vec<f64> {
            let words = line.split_whitespace();
            words.map(|word| word.parse().expect("a number")).collect()
        };
        let mut lines = text.lines();
        let sizes = numbers(lines.next().expect("sizes"));
        let row = |line: &str| numbers(line).chunks(2).map(|it| (it[0], it[1])).collect();
        let table = Self {
            sizes: sizes.iter().map(|size| *size as usize).collect(),
            rows: lines.map(row).collect(),
        };
        assert_eq!(table.rows.len(), table.sizes.iter().product::<usize>());
        table
    }

    fn row(&self, point: &Point) -> &[(f64, f64)] {
        let index = point
            .iter()
            .zip(&self.sizes)
            .fold(0, |index, (setting, size)| match setting {
                Some(Setting::Whole(x)) => index * size + *x as usize,
                _ => index * size,
            });
        &self.rows[index]
    }

    fn rungs(&self) -> usize {
        self.rows[0].len()
    }

    fn spec(&self, trials: usize, seed: u128) -> Spec {
        let site = |(i, size): (usize, &usize)| Site {
            name: i.to_string(),
            domain: Domain::Whole {
                low: 0,
                high: *size as i64 - 1,
            },
            when: None,
        };
        Spec {
            name: "table".into(),
            seed: Seed::from_integer(seed),
            space: Space {
                sites: self.sizes.iter().enumerate().map(site).collect(),
            },
            objectives: vec![Objective::watch(Direction::Minimise)],
            rungs: 1,
            method: Method::Full,
            propose: Propose::Random,
            budget: trials,
            lag: 0,
        }
    }
}

fn propose(name: &str, spec: &Spec) -> Propose {
    match name {
        "random" => Propose::Random,
        "sobol" => Propose::Sobol,
        "gp" => Propose::Gp { startup: 10 },
        "cmaes" => Propose::CmaEs {
            population: spec.default_population(),
        },
        "nsga2" => Propose::Nsga2 { population: 20 },
        _ => Propose::Tpe { startup: 10 },
    }
}

fn quality(table: &Table, sampler: &str, trials: usize, seed: u128) -> f64 {
    let mut spec = table.spec(trials, seed);
    spec.propose = propose(sampler, &spec);
    let mut study = Study::new(spec).expect("a study");
    loop {
        let jobs = study.advance(&mut |_| true);
        if jobs.is_empty() {
            return study.best().expect("a best").1;
        }
        for job in jobs {
            let row = table.row(&study.trials()[job.trial].point);
            let outcome = Outcome::Value(row[row.len() - 1].1);
            study.record(job, outcome);
        }
    }
}

/// Workers with the time at which each is free again.
struct Clock {
    busy: Vec<(f64, Job)>,
    workers: usize,
    now: f64,
    worked: f64,
}

impl Clock {
    fn new(workers: usize) -> Self {
        Self {
            busy: Vec::new(),
            workers,
            now: 0.0,
            worked: 0.0,
        }
    }

    fn is_full(&self) -> bool {
        self.busy.len() >= self.workers
    }

    fn start(&mut self, job: Job, seconds: f64) {
        self.busy.push((self.now + seconds, job));
        self.worked += seconds;
    }

    /// The next job that ends.
    fn next(&mut self) -> Option<Job> {
        let first =
            (0..self.busy.len()).min_by(|a, b| self.busy[*a].0.total_cmp(&self.busy[*b].0))?;
        let (time, job) = self.busy.swap_remove(first);
        self.now = time;
        Some(job)
    }

    fn told(&self, best: f64) -> String {
        let share = self.worked / (self.now * self.workers as f64).max(1e-12);
        format!("{:e} {share:e} {best:e}", self.now)
    }
}

/// Seconds from the rung before.
fn seconds(row: &[(f64, f64)], rung: usize, from: Option<usize>) -> f64 {
    row[rung].0 - from.map_or(0.0, |from| row[from].0)
}

/// A search as it is done here.
fn ours(table: &Table, how: &str, workers: usize, lag: usize, trials: usize, seed: u128) -> String {
    let (method, sampler) = how.split_once('+').unwrap_or((how, "random"));
    let mut spec = table.spec(trials, seed);
    spec.propose = propose(sampler, &spec);
    spec.lag = lag;
    spec.rungs = table.rungs();
    spec.method = match method {
        "halving" => Method::Halving { keep: 1.0 / 3.0 },
        "hyperband" => Method::Hyperband { keep: 1.0 / 3.0 },
        "median" => Method::Median { startup: 5 },
        _ => Method::Full,
    };
    if spec.method == Method::Full {
        spec.rungs = 1;
    }
    let whole = spec.rungs == 1;
    let at = |rung: usize| if whole { table.rungs() - 1 } else { rung };
    let mut study = Study::new(spec).expect("a study");
    let mut clock = Clock::new(workers);
    loop {
        for job in study.advance(&mut |_| true) {
            if clock.is_full() || clock.busy.iter().any(|(_, other)| *other == job) {
                continue;
            }
            let trial = &study.trials()[job.trial];
            let before = trial.results[..job.rung].iter().rposition(Option::is_some);
            let row = table.row(&trial.point);
            clock.start(job, seconds(row, at(job.rung), before.map(at)));
        }
        let Some(job) = clock.next() else { break };
        let value = table.row(&study.trials()[job.trial].point)[at(job.rung)].1;
        study.record(job, Outcome::Value(value));
    }
    clock.told(study.best().expect("a best").1)
}

/// Asynchronous successive halving (Li et al. 2020) with random proposals: a free worker promotes a trial that is among the best
/// third of those that ended at its rung, of the highest rung that has one; else it begins a new trial.
fn asha(table: &Table, workers: usize, trials: usize, seed: u128) -> String {
    let draws = Stream::new(Key::derive(&Seed::from_integer(seed), &[]), 0);
    let mut drawn = 0;
    let mut points: Vec<Point> = Vec::new();
    let mut ended: Vec<Vec<(f64, usize)>> = vec![Vec::new(); table.rungs()];
    let mut promoted: Vec<Vec<usize>> = vec![Vec::new(); table.rungs()];
    let mut clock = Clock::new(workers);
    loop {
        while !clock.is_full() {
            let promotable = (0..table.rungs() - 1).rev().find_map(|rung| {
                let mut there = ended[rung].clone();
                there.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let best = there.iter().take(there.len() / 3);
                let mut free = best.filter(|(_, trial)| !promoted[rung].contains(trial));
                free.next().map(|(_, trial)| (rung, *trial))
            });
            if let Some((rung, trial)) = promotable {
                promoted[rung].push(trial);
                let row = table.row(&points[trial]);
                let job = Job {
                    trial,
                    rung: rung + 1,
                };
                clock.start(job, seconds(row, rung + 1, Some(rung)));
            } else if points.len() < trials {
                let mut draw = |size: &usize| {
                    drawn += 1;
                    Some(Setting::Whole(
                        (draws.double_word(drawn) % *size as u64) as i64,
                    ))
                };
                let point: Point = table.sizes.iter().map(&mut draw).collect();
                let job = Job {
                    trial: points.len(),
                    rung: 0,
                };
                clock.start(job, seconds(table.row(&point), 0, None));
                points.push(point);
            } else {
                break;
            }
        }
        let Some(job) = clock.next() else { break };
        let value = table.row(&points[job.trial])[job.rung].1;
        ended[job.rung].push((value, job.trial));
    }
    let last = ended.iter().rev().find(|there| !there.is_empty());
    let best = last.into_iter().flatten().map(|(value, _)| *value);
    clock.told(best.fold(f64::INFINITY, f64::min))
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let number = |i: usize, or: usize| word(i).parse().unwrap_or(or);
    let table = Table::read(word(1));
    match word(0) {
        "quality" => {
            for seed in 0..number(4, 30) as u128 {
                println!("{:e}", quality(&table, word(2), number(3, 50), seed));
            }
        }
        _ => {
            let (workers, lag, trials) = (number(3, 1), number(4, 3), number(5, 100));
            for seed in 0..number(6, 30) as u128 {
                let told = match word(2) {
                    "asha" => asha(&table, workers, trials, seed),
                    how => ours(&table, how, workers, lag, trials, seed),
                };
                println!("{told}");
            }
        }
    }
}
