//! `mmhc verify` of a search: every proposal and every decision done again from the results, and the results themselves
//! from the runs, or by training trials anew.

use super::trained::{best_of, number};
use crate::args::VerifyArgs;
use crate::audit::{self, Bench};
use crate::outcome::Failure;
use crate::progress::Progress;
use mmh_numerics::random::{Component, Key, Seed, Stream, shuffle};
use mmh_runtime::audit::{Again, Examined, ExaminedStudy, STUDY_JOURNAL};
use mmh_runtime::study::{Stored, StudyEvent};
use mmh_search::{Job, Point, Spec, Study, WATCH, point_text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a search was found to be.
pub(crate) struct Followed {
    trials: usize,
    results: u64,
    shown: u64,
}

/// Trials that were trained again.
pub(crate) struct Repeated {
    pub(crate) differ: Vec<String>,
    runs: u64,
    of: u64,
    steps: u64,
    /// What chose them, where not all were taken.
    seed: Option<u128>,
}

/// What a run is to come to: steps, and whether it diverges after them.
type Wanted = BTreeMap<String, (u64, bool)>;

/// Follows a search from its first line to its last, and names where it goes otherwise than results and spec have it.
pub(crate) fn follow(found: &mut ExaminedStudy, root: &Examined) -> Followed {
    let mut wrong = None;
    let study = match begun(found) {
        Ok(study) => Some(study),
        Err(what) => {
            wrong = what;
            None
        }
    };
    let mut followed = Followed {
        trials: 0,
        results: 0,
        shown: found.shown,
    };
    if let Some(study) = study {
        let mut follower = Follower::new(study, found);
        for line in &found.lines {
            if let Err(what) = follower.take(&line.entry, root) {
                wrong = Some(format!("line {}: {what}", line.n + 1));
                break;
            }
        }
        (followed.trials, followed.results) = (follower.study.trials().len(), follower.results);
    }
    if let Some(what) = wrong {
        found.add(STUDY_JOURNAL, what);
    }
    followed
}

/// The study that the first line begins; nothing to say where there is no such line, as that was said.
fn begun(found: &ExaminedStudy) -> Result<Study, Option<String>> {
    let Some(StudyEvent::Start { search, .. }) = found.lines.first().map(|line| &line.entry) else {
        return Err(None);
    };
    let spec = Spec::from_text(search);
    spec.and_then(Study::new)
        .map_err(|reason| Some(format!("line 1: the search cannot be read: {reason}")))
}

struct Follower {
    study: Study,
    /// By trial: proposals that were refused before, and whether the last was refused as well.
    refusals: BTreeMap<usize, (u64, bool)>,
    noted: usize,
    results: u64,
    /// The plan of each trial.
    plans: BTreeMap<usize, String>,
}

impl Follower {
    fn new(study: Study, found: &ExaminedStudy) -> Self {
        let refusals = found.lines.iter().filter_map(|line| match &line.entry {
            StudyEvent::Trial {
                trial,
                attempt,
                refused,
                ..
            } => Some((usize::try_from(*trial).ok()?, (*attempt, *refused))),
            _ => None,
        });
        Self {
            refusals: refusals.collect(),
            study,
            noted: 0,
            results: 0,
            plans: BTreeMap::new(),
        }
    }

    /// Proposes and decides all that is known by now.
    fn advance(&mut self) -> Vec<Job> {
        let refusals = &self.refusals;
        let (mut trial, mut attempt) = (self.study.trials().len(), 0);
        self.study.advance(&mut |_: &Point| {
            // The recipe's constraint is not at hand: what it refused stands in the journal.
            let (before, refused) = refusals.get(&trial).copied().unwrap_or_default();
            let holds = attempt >= before && !refused;
            match attempt >= before {
                true => (trial, attempt) = (trial + 1, 0),
                false => attempt += 1,
            }
            holds
        })
    }

    fn take(&mut self, event: &StudyEvent, root: &Examined) -> Result<(), String> {
        match event {
            StudyEvent::Start { .. } | StudyEvent::Resume | StudyEvent::Failed { .. } => Ok(()),
            StudyEvent::Trial { trial, point, .. } => self.proposed(*trial, point),
            StudyEvent::Result {
                trial,
                rung,
                plan_hash,
                outcome,
                others,
                curve,
                ..
            } => {
                let job = Job {
                    trial: usize::try_from(*trial).unwrap_or(usize::MAX),
                    rung: usize::try_from(*rung).unwrap_or(usize::MAX),
                };
                let known = self.plans.insert(job.trial, plan_hash.clone());
                if known.is_some_and(|known| known != *plan_hash) {
                    return Err(format!("trial {} has another plan than before", trial + 1));
                }
                self.result(job, outcome, others, curve)
            }
            StudyEvent::End {
                study_hash, best, ..
            } => self.end(study_hash, *best, root),
        }
    }

    fn proposed(&mut self, trial: u64, point: &str) -> Result<(), String> {
        self.advance();
        if trial != self.noted as u64 {
            return Err(format!(
                "it proposes trial {}, and trial {} is due",
                trial.saturating_add(1),
                self.noted + 1
            ));
        }
        let Some(own) = self.study.trials().get(self.noted) else {
            return Err(format!(
                "trial {} is proposed ahead of results that its proposal reads",
                trial + 1
            ));
        };
        if point_text(&own.point) != point {
            return Err(format!(
                "the settings of trial {} are not those that follow from the results before it",
                trial + 1
            ));
        }
        self.noted += 1;
        Ok(())
    }

    fn result(
        &mut self,
        job: Job,
        outcome: &Stored,
        others: &[String],
        curve: &[(u64, String)],
    ) -> Result<(), String> {
        let place = format!(
            "trial {}, rung {}",
            job.trial.saturating_add(1),
            job.rung.saturating_add(1)
        );
        if !self.advance().contains(&job) {
            return Err(format!(
                "{place}: by the results before it, this trial was not to be trained to there"
            ));
        }
        let outcome = super::conduct::read(outcome)
            .ok_or_else(|| format!("{place}: its figure is no number"))?;
        let is_watch = self
            .study
            .spec()
            .objectives
            .first()
            .is_some_and(|it| it.name == WATCH);
        if let mmh_search::Outcome::Value(value) = outcome
            && is_watch
        {
            let watched: Option<Vec<(u64, f64)>> = curve
                .iter()
                .map(|(step, bits)| Some((*step, number(bits)?)))
                .collect();
            let best = best_of(&watched.unwrap_or_default(), self.study.spec().direction());
            if best.to_bits() != value.to_bits() && !(best.is_nan() && value.is_nan()) {
                return Err(format!(
                    "{place}: its figure is {value}, the best that was watched is {best}"
                ));
            }
        }
        let others: Option<Vec<f64>> = others.iter().map(|bits| number(bits)).collect();
        let others = others.ok_or_else(|| format!("{place}: a figure is no number"))?;
        self.study.record_all(job, outcome, &others);
        self.results += 1;
        Ok(())
    }

    fn end(&mut self, study_hash: &str, best: u64, root: &Examined) -> Result<(), String> {
        self.advance();
        if !self.study.is_done() || self.noted < self.study.trials().len() {
            return Err("the search ends ahead of trials and results that were due".to_owned());
        }
        let own = self.study.best().map(|(trial, _)| trial as u64);
        if own != Some(best) {
            return Err(format!(
                "trial {} is called the best, and trial {} is",
                best.saturating_add(1),
                own.map_or("none".to_owned(), |own| (own + 1).to_string())
            ));
        }
        if self.study.hash() != study_hash {
            return Err("the hash of the study is not that of its trials and results".to_owned());
        }
        let plan = self.plans.get(&usize::try_from(best).unwrap_or(usize::MAX));
        match (plan, root.start()) {
            (Some(plan), Some(start)) if plan != start.plan_hash => Err(format!(
                "the run in the folder is not that of trial {}, the best",
                best + 1
            )),
            _ => Ok(()),
        }
    }
}

impl Followed {
    pub(crate) fn words(&self) -> String {
        format!(
            "  a search: {} proposals and every decision follow from {} results, of which {} are shown by their runs\n",
            self.trials, self.results, self.shown
        )
    }

    pub(crate) fn document(&self) -> Value {
        json!({ "trials": self.trials, "results": self.results, "shown": self.shown })
    }
}

/// The runs that results name, and how far each is to go.
fn wanted(found: &ExaminedStudy) -> Wanted {
    let mut wanted = Wanted::new();
    for line in &found.lines {
        let StudyEvent::Result {
            outcome,
            witness: Some(witness),
            ..
        } = &line.entry
        else {
            continue;
        };
        let entry = wanted.entry(witness.plan_hash.clone()).or_default();
        match outcome {
            Stored::Diverged(after) => *entry = (*after, true),
            Stored::Value(_) | Stored::Infeasible(_) => entry.0 = entry.0.max(witness.step),
        }
    }
    wanted
}

/// Trains trials again, all or a share of them chosen by `seed`, and compares every state and measurement.
pub(crate) fn repeat(
    args: &VerifyArgs,
    found: &ExaminedStudy,
    seed: Option<u128>,
) -> Result<Repeated, Failure> {
    let Some(StudyEvent::Start { run, .. }) = found.lines.first().map(|line| &line.entry) else {
        return Ok(Repeated {
            differ: Vec::new(),
            runs: 0,
            of: 0,
            steps: 0,
            seed,
        });
    };
    let wanted: Vec<(String, (u64, bool))> = wanted(found).into_iter().collect();
    let chosen = match (args.spot, seed) {
        (Some(share), Some(seed)) => chosen(wanted.len(), share, seed),
        _ => vec![true; wanted.len()],
    };
    let mut repeated = Repeated {
        differ: Vec::new(),
        runs: 0,
        of: wanted.len() as u64,
        steps: 0,
        seed,
    };
    for ((plan_hash, (steps, diverges)), _) in wanted.iter().zip(&chosen).filter(|(_, is)| **is) {
        let Some(trial) = found.trials.get(plan_hash) else {
            continue;
        };
        let bench = Bench::new(trial, &args.data, &args.device, args.json)?;
        let session = bench.session(args.json)?;
        let again = Again {
            found: trial,
            session: &session,
        };
        let mut progress = Progress::new();
        let reached = again.beginning(run, *steps, *diverges, &mut progress);
        progress.clear();
        let reached = reached.map_err(|failure| audit::failed(&failure, args.json))?;
        let name = trial
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let differ = reached.differ.iter();
        repeated
            .differ
            .extend(differ.map(|what| format!("study/trials/{name}: {what}")));
        repeated.runs += 1;
        repeated.steps += reached.steps;
    }
    Ok(repeated)
}

/// Which of so many runs are done again: a share, at least one.
fn chosen(runs: usize, share: f64, seed: u128) -> Vec<bool> {
    let mut chosen = vec![false; runs];
    let count = ((runs as f64 * share).ceil() as usize).max(1);
    let key = Key::derive(
        &Seed::from_integer(seed),
        &[Component::Text("audit.trials")],
    );
    let order = shuffle(u32::try_from(runs).unwrap_or(0), &Stream::new(key, 0));
    for at in order.iter().take(count) {
        if let Some(mark) = chosen.get_mut(*at as usize) {
            *mark = true;
        }
    }
    chosen
}

impl Repeated {
    pub(crate) fn words(&self) -> String {
        let chance = match self.of {
            0 => 100.0,
            of => 100.0 * self.runs as f64 / of as f64,
        };
        match self.seed {
            None => format!(
                "  all {} runs of trials were done again, {} steps: all came out the same\n",
                self.of, self.steps
            ),
            Some(seed) => format!(
                "  {} of {} runs of trials were done again, {} steps: all came out the same\n  had one trial been made up, it would have been found with {chance:.1} %; chosen by --seed {seed}\n",
                self.runs, self.of, self.steps
            ),
        }
    }

    pub(crate) fn document(&self) -> Value {
        json!({
            "runs": self.runs,
            "of": self.of,
            "steps": self.steps,
            "seed": self.seed.map(|seed| seed.to_string()),
            "detects_one_false_trial": self.runs as f64 / self.of.max(1) as f64,
            "differ": self.differ,
        })
    }
}
