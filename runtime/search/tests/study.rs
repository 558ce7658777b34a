//! One study, whatever the number of workers, the order in which they end, and the interruptions.

use mmh_numerics::random::{Key, Seed, Stream};
use mmh_search::{
    Direction, Domain, Job, Method, Objective, Outcome, Point, Propose, Setting, Site, Space, Spec,
    Status, Study,
};
use proptest::prelude::*;

fn space() -> Space {
    let site = |name: &str, domain, when| Site {
        name: name.into(),
        domain,
        when,
    };
    Space {
        sites: vec![
            site(
                "rate",
                Domain::Log {
                    low: 1e-4,
                    high: 1.0,
                },
                None,
            ),
            site("kind", Domain::Choice(3), None),
            site("width", Domain::Whole { low: 1, high: 9 }, None),
            site(
                "share",
                Domain::Uniform {
                    low: 0.0,
                    high: 0.5,
                },
                Some((1, 2)),
            ),
        ],
    }
}

fn spec(method: Method, propose: Propose, budget: usize, lag: usize, seed: u128) -> Spec {
    Spec {
        name: "tune".into(),
        seed: Seed::from_integer(seed),
        space: space(),
        objectives: vec![Objective::watch(if seed.is_multiple_of(2) {
            Direction::Maximise
        } else {
            Direction::Minimise
        })],
        rungs: if method == Method::Full { 1 } else { 3 },
        method,
        propose,
        budget,
        lag,
    }
}

/// What training a point to a rung gives: any function of the two does. Some diverge, some tie.
fn train(point: &Point, rung: usize) -> Outcome {
    let mut value = 0.0;
    for setting in point.iter().flatten() {
        value += match setting {
            Setting::Real(x) => *x,
            Setting::Whole(x) => 0.1 * *x as f64,
            Setting::Choice(k) => 0.3 * *k as f64,
        };
    }
    let cut = (value * 8.0 / (rung as f64 + 1.0)).round() / 8.0;
    match (value * 1000.0) as u64 % 17 {
        3 => Outcome::Diverged { step: rung as u64 },
        5 if rung == 0 => Outcome::Infeasible { bytes: 1 << 40 },
        7 => Outcome::Value(f64::NAN),
        _ => Outcome::Value(cut),
    }
}

/// The figures beside the first: numbers of the same settings.
fn others(spec: &Spec, point: &Point) -> Vec<f64> {
    let number = |setting: &Option<Setting>| match setting {
        Some(Setting::Real(x)) => *x,
        Some(Setting::Whole(x)) => *x as f64,
        Some(Setting::Choice(k)) => *k as f64,
        None => 0.0,
    };
    let figures = point.iter().map(number).skip(1);
    figures.take(spec.objectives.len() - 1).collect()
}

fn allowed(point: &Point) -> bool {
    !matches!(point.get(2), Some(Some(Setting::Whole(7))))
}

/// Carries a study out with `workers` that end in an order drawn from `order`; gives it with the results as they came.
fn run(spec: &Spec, workers: usize, order: u64) -> (Study, Vec<(Job, Outcome)>) {
    let mut study = Study::new(spec.clone()).expect("a study");
    let results = go_on(&mut study, workers, order);
    (study, results)
}

fn go_on(study: &mut Study, workers: usize, order: u64) -> Vec<(Job, Outcome)> {
    let draws = Stream::new(Key::derive(&Seed::from_integer(order.into()), &[]), 0);
    let (mut flying, mut results): (Vec<Job>, Vec<(Job, Outcome)>) = (Vec::new(), Vec::new());
    loop {
        for job in study.advance(&mut |point| allowed(point)) {
            if flying.len() < workers && !flying.contains(&job) {
                flying.push(job);
            }
        }
        if flying.is_empty() {
            break;
        }
        let ends = draws.double_word(results.len() as u64) as usize % flying.len();
        let job = flying.swap_remove(ends);
        let point = &study.trials()[job.trial].point;
        let (outcome, others) = (train(point, job.rung), others(study.spec(), point));
        results.push((job, outcome));
        study.record_all(job, outcome, &others);
    }
    assert!(study.is_done());
    results
}

fn methods() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::Full),
        Just(Method::Halving { keep: 1.0 / 3.0 }),
        Just(Method::Hyperband { keep: 0.5 }),
        Just(Method::Median { startup: 3 }),
        Just(Method::Patience { rungs: 1 }),
        Just(Method::Threshold { bound: 0.6 }),
    ]
}

fn proposals() -> impl Strategy<Value = Propose> {
    prop_oneof![
        Just(Propose::Random),
        Just(Propose::Sobol),
        Just(Propose::Grid { points: 2 }),
        Just(Propose::Tpe { startup: 4 }),
        Just(Propose::CmaEs { population: 5 }),
        Just(Propose::Nsga2 { population: 6 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn workers_and_order_change_nothing(
        method in methods(), propose in proposals(), lag in 0usize..5, seed in 0u128..4, order in any::<u64>(),
    ) {
        let spec = spec(method, propose, 40, lag, seed);
        let (one, results) = run(&spec, 1, 0);
        for workers in [2, 4] {
            let (many, other) = run(&spec, workers, order);
            prop_assert_eq!(one.account(), many.account());
            prop_assert_eq!(results.len(), other.len());
            prop_assert_eq!(one.hash(), many.hash());
        }
    }

    #[test]
    fn stopped_and_gone_on_with_at_each_event_it_is_the_same(
        method in methods(), propose in proposals(), lag in 0usize..5, order in any::<u64>(),
    ) {
        let spec = spec(method, propose, 30, lag, 3);
        let (whole, results) = run(&spec, 3, order);
        for stop in 0..results.len() {
            let mut study = Study::new(spec.clone()).expect("a study");
            for (job, outcome) in &results[..stop] {
                study.advance(&mut |point| allowed(point));
                study.record(*job, *outcome);
            }
            if stop % 7 == 0 {
                go_on(&mut study, 2, order ^ 1);
                prop_assert_eq!(study.account(), whole.account());
            } else {
                // What is needed next is what came next, whatever else is needed.
                let next = study.advance(&mut |point| allowed(point));
                prop_assert!(next.contains(&results[stop].0));
            }
        }
    }
}

/// A proposal of a Gaussian process costs much, so it has few.
#[test]
fn workers_change_no_gaussian_process() {
    for lag in [0, 3] {
        let spec = spec(Method::Full, Propose::Gp { startup: 10 }, 16, lag, 1);
        let (one, _) = run(&spec, 1, 0);
        let (many, results) = run(&spec, 4, 7);
        assert_eq!(one.account(), many.account());
        let mut study = Study::new(spec).expect("a study");
        for (job, outcome) in &results[..13] {
            study.advance(&mut |point| allowed(point));
            study.record(*job, *outcome);
        }
        go_on(&mut study, 2, 3);
        assert_eq!(study.account(), one.account());
    }
}

/// A search of three figures, bred by NSGA-II.
fn several(lag: usize, seed: u128) -> Spec {
    let mut spec = spec(
        Method::Full,
        Propose::Nsga2 { population: 8 },
        60,
        lag,
        seed,
    );
    for (name, direction) in [
        ("size", Direction::Minimise),
        ("speed", Direction::Maximise),
    ] {
        let name = name.to_owned();
        spec.objectives.push(Objective { name, direction });
    }
    spec
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn several_figures_and_any_workers_give_one_front(seed in 0u128..4, order in any::<u64>(), lag in 0usize..5) {
        let spec = several(lag, seed);
        let (one, _) = run(&spec, 1, 0);
        let (many, _) = run(&spec, 4, order);
        prop_assert_eq!(one.account(), many.account());
        let front = one.front();
        let (best, _) = one.best().expect("a best");
        prop_assert!(front.contains(&best) && front.is_sorted());
        // By definition: a trial is in the front if none is as good in all figures and better in one.
        let losses = |trial: usize| -> Option<Vec<f64>> {
            let figures = one.figures(trial)?;
            let each = figures.iter().zip(&one.spec().objectives);
            let losses: Vec<f64> = each.map(|(x, of)| if of.direction == Direction::Maximise { -x } else { *x }).collect();
            losses.iter().all(|loss| !loss.is_nan()).then_some(losses)
        };
        for trial in 0..one.total() {
            let beats = |other: usize| losses(other).zip(losses(trial)).is_some_and(|(a, b)| {
                a != b && a.iter().zip(&b).all(|(a, b)| a <= b)
            });
            let wanted = losses(trial).is_some() && !(0..one.total()).any(beats);
            prop_assert_eq!(front.contains(&trial), wanted, "trial {}", trial);
        }
    }
}

#[test]
fn several_figures_have_no_rungs_and_each_counts_in_the_hash() {
    let mut rungs = several(0, 1);
    rungs.rungs = 3;
    assert!(
        Study::new(rungs)
            .expect_err("rungs")
            .contains("at their end")
    );
    let hash = |figure: f64| {
        let mut spec = several(0, 1);
        spec.budget = 1;
        let mut study = Study::new(spec).expect("a study");
        let jobs = study.advance(&mut |_| true);
        study.record_all(jobs[0], Outcome::Value(1.0), &[figure, 2.0]);
        study.advance(&mut |_| true);
        assert!(study.is_done() && study.front() == [0]);
        assert_eq!(study.figures(0), Some(vec![1.0, figure, 2.0]));
        study.hash()
    };
    assert_ne!(hash(1.0), hash(1.5));
}

#[test]
fn halving_keeps_the_best_share_and_the_first_of_equals() {
    let spec = spec(
        Method::Halving { keep: 1.0 / 3.0 },
        Propose::Random,
        9,
        0,
        1,
    );
    let mut study = Study::new(spec).expect("a study");
    let mut all = |_: &Point| true;
    assert_eq!(study.advance(&mut all).len(), 9);
    for trial in 0..9 {
        let value = if trial % 2 == 0 { 1.0 } else { 2.0 };
        study.record(Job { trial, rung: 0 }, Outcome::Value(value));
    }
    let next: Vec<usize> = study
        .advance(&mut all)
        .iter()
        .map(|job| job.trial)
        .collect();
    assert_eq!(next, [0, 2, 4]);
    for trial in next {
        study.record(
            Job { trial, rung: 1 },
            Outcome::Value(if trial == 2 { f64::NAN } else { 5.0 }),
        );
    }
    assert_eq!(study.advance(&mut all), [Job { trial: 0, rung: 2 }]);
    study.record(Job { trial: 0, rung: 2 }, Outcome::Value(7.0));
    assert_eq!(study.advance(&mut all), []);
    assert!(study.is_done());
    assert_eq!(study.best(), Some((0, 7.0)));
    assert_eq!(study.status(0), Status::Finished);
    assert_eq!(study.status(1), Status::Stopped);
}

#[test]
fn the_lag_bounds_what_runs_at_once() {
    for (lag, most) in [(0, 1), (3, 4)] {
        let spec = spec(Method::Full, Propose::Tpe { startup: 2 }, 20, lag, 1);
        let mut study = Study::new(spec).expect("a study");
        let mut all = |_: &Point| true;
        study.advance(&mut all);
        for trial in 0..10 {
            study.record(Job { trial, rung: 0 }, Outcome::Value(1.0));
            study.advance(&mut all);
        }
        assert_eq!(study.advance(&mut all).len(), most, "lag {lag}");
    }
}

#[test]
fn a_grid_beyond_the_budget_is_refused() {
    let spec = spec(Method::Full, Propose::Grid { points: 3 }, 10, 0, 1);
    assert!(
        Study::new(spec)
            .expect_err("too many")
            .contains("the budget is 10 trials")
    );
}

#[test]
fn nothing_but_divergence_is_no_best() {
    let mut study = Study::new(spec(Method::Full, Propose::Random, 3, 0, 1)).expect("a study");
    let mut all = |_: &Point| true;
    for job in study.advance(&mut all) {
        study.record(job, Outcome::Diverged { step: 1 });
    }
    study.advance(&mut all);
    assert!(study.is_done() && study.best().is_none());
}

#[test]
fn a_process_proposes_no_settings_twice() {
    let mut spec = spec(Method::Full, Propose::Gp { startup: 5 }, 17, 3, 2);
    let site = |name: &str, domain| Site {
        name: name.into(),
        domain,
        when: None,
    };
    spec.space.sites = vec![
        site("width", Domain::Whole { low: 1, high: 5 }),
        site("kind", Domain::Choice(4)),
    ];
    let mut study = Study::new(spec).expect("a study");
    loop {
        let jobs = study.advance(&mut |_| true);
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            let outcome = train(&study.trials()[job.trial].point, job.rung);
            study.record(job, outcome);
        }
    }
    let points: Vec<&Point> = study.trials().iter().map(|it| &it.point).collect();
    for (trial, point) in points.iter().enumerate().skip(5) {
        assert!(!points[..trial].contains(point), "trial {trial}: {point:?}");
    }
}
