//! One step: which rows, which keys, which scalars, then the device.

use crate::checkpoint::Progress;
use crate::data::{Dataset, columns_read};
use crate::evaluate::no_program;
use crate::failure::{NotFinite, RunFailure};
use crate::init::epoch_key;
use crate::observe::Diagnose;
use crate::schedule::{Powers, step_scalars};
use crate::trail::order_hash;
use blake3::Hash;
use mmh_ir::device::{Device, Executable, Feed, RunError};
use mmh_ir::plan::{Program, Training};
use mmh_numerics::random::{Seed, Stream, shuffle};

/// Runs the steps of a training.
pub struct Stepper<'a> {
    plan: &'a Training,
    programs: Vec<(&'a Program, Box<dyn Executable>)>,
    /// The program that keeps the state, where one does.
    keeper: Option<usize>,
    feeder: Feeder<'a>,
    order_hash: Option<(u64, Hash)>,
    feed: Fed,
    /// The step to come whose feed is `spare`, prepared while the device was at work.
    ahead: Option<Prepared>,
    spare: Fed,
}

/// A feed, and the epoch whose keys it holds.
#[derive(Default)]
struct Fed {
    feed: Feed,
    epoch: Option<u64>,
}

/// A step that is ready to be done.
#[derive(Clone)]
struct Prepared {
    step: u64,
    rows: usize,
    /// The optimisers' powers after it.
    powers: Powers,
}

/// Fills feeds.
struct Feeder<'a> {
    plan: &'a Training,
    data: &'a Dataset,
    seed: &'a Seed,
    wanted: Vec<bool>,
    epoch: Option<u64>,
    order: Vec<u32>,
}

impl Feeder<'_> {
    /// Has the rows of a step of this epoch read ahead, where they are on the disk.
    fn expect(&self, step: u64) {
        if self.data.is_streamed() && self.epoch == Some(step / self.plan.epoch_steps) {
            self.data
                .expect(self.rows_of(step % self.plan.epoch_steps), &self.wanted);
        }
    }

    /// The rows of a step inside the epoch at hand.
    fn rows_of(&self, inside: u64) -> &[u32] {
        let batch = usize::try_from(self.plan.batch).unwrap_or(usize::MAX);
        let mut batches = self.order.chunks(batch);
        batches.nth(inside as usize).unwrap_or_default()
    }

    /// Fills the feed for the step after `step` steps, ahead of which the optimisers' powers are `before`.
    fn fill(&mut self, step: u64, before: &Powers, fed: &mut Fed) -> Result<Prepared, RunFailure> {
        let plan = self.plan;
        let (epoch, inside) = (step / plan.epoch_steps, step % plan.epoch_steps);
        if self.epoch != Some(epoch) {
            self.order = epoch_order(plan, self.data, self.seed, epoch);
            self.epoch = Some(epoch);
        }
        let feed = &mut fed.feed;
        if fed.epoch != Some(epoch) {
            fill_feed(feed, plan, self.data, self.seed, epoch);
            fed.epoch = Some(epoch);
        }
        let rows = self.rows_of(inside);
        self.data.gather(rows, &self.wanted, &mut feed.columns)?;
        feed.rows.clear();
        feed.rows.extend(rows.iter().map(|row| row.cast_signed()));
        feed.step = (step as u32).cast_signed();
        let mut powers = before.clone();
        powers.advance(&plan.groups);
        feed.scalars = step_scalars(&plan.scalars, &plan.groups, &plan.schedule, step, &powers)?;
        Ok(Prepared {
            step,
            rows: rows.len(),
            powers,
        })
    }
}

/// The order in which an epoch takes the rows of the training part.
pub fn epoch_order(plan: &Training, data: &Dataset, seed: &Seed, epoch: u64) -> Vec<u32> {
    let rows = data.rows(plan.part);
    let Some(site) = &plan.shuffle else {
        return rows.to_vec();
    };
    let stream = Stream::new(epoch_key(seed, site, epoch), 0);
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    shuffle(count, &stream)
        .iter()
        .filter_map(|&place| rows.get(place as usize).copied())
        .collect()
}

/// What a program is fed with in an epoch and step, for these rows. Columns the mask leaves out are empty.
pub(crate) fn fill_feed(feed: &mut Feed, plan: &Training, data: &Dataset, seed: &Seed, epoch: u64) {
    feed.keys = plan
        .sites
        .iter()
        .map(|site| epoch_key(seed, site, epoch).0)
        .collect();
    if feed.statistics.len() != data.statistics.len() {
        feed.statistics.clone_from(&data.statistics);
    }
}

impl<'a> Stepper<'a> {
    /// Loads the training's programs.
    ///
    /// Errors: the device fails; the plan's numbers do not fit the data.
    pub fn new(
        plan: &'a Training,
        data: &'a Dataset,
        seed: &'a Seed,
        device: &dyn Device,
    ) -> Result<Self, RunFailure> {
        let rows = data.rows(plan.part).len() as u64;
        if plan.batch == 0 || rows == 0 || rows.div_ceil(plan.batch) != plan.epoch_steps {
            return Err(RunFailure::Plan(format!(
                "an epoch of `{}` is planned to have {} steps, but {rows} rows come in batches of {}",
                plan.name, plan.epoch_steps, plan.batch
            )));
        }
        let mut wanted = vec![false; data.width()];
        let mut programs = Vec::new();
        for program in &plan.programs {
            let loaded = device
                .load(program, &plan.state)
                .map_err(|error| RunFailure::device(error, &plan.name))?;
            for (wanted, read) in wanted.iter_mut().zip(columns_read(program, data.width())) {
                *wanted |= read;
            }
            programs.push((program, loaded));
        }
        Ok(Self {
            plan,
            programs,
            keeper: None,
            feeder: Feeder {
                plan,
                data,
                seed,
                wanted,
                epoch: None,
                order: Vec::new(),
            },
            order_hash: None,
            feed: Fed::default(),
            ahead: None,
            spare: Fed::default(),
        })
    }

    /// The hash of the order of rows in the epoch of step `step`, counted from 1; zeros for 0.
    pub(crate) fn order_hash(&mut self, step: u64) -> Hash {
        let Some(last) = step.checked_sub(1) else {
            return Hash::from_bytes([0; 32]);
        };
        let epoch = last / self.plan.epoch_steps.max(1);
        if let Some((known, hash)) = self.order_hash
            && known == epoch
        {
            return hash;
        }
        let feeder = &self.feeder;
        let hash = match feeder.epoch == Some(epoch) {
            true => order_hash(&feeder.order),
            false => order_hash(&epoch_order(self.plan, feeder.data, feeder.seed, epoch)),
        };
        self.order_hash = Some((epoch, hash));
        hash
    }

    /// Fills the feed for the next step.
    fn prepare(&mut self, progress: &Progress) -> Result<Prepared, RunFailure> {
        if let Some(ahead) = self.ahead.take()
            && ahead.step == progress.step
        {
            std::mem::swap(&mut self.feed, &mut self.spare);
            return Ok(ahead);
        }
        self.feeder
            .fill(progress.step, &progress.powers, &mut self.feed)
    }

    /// The place of the program for so many rows.
    fn program_for(&self, rows: usize) -> Result<usize, RunFailure> {
        self.programs
            .iter()
            .position(|(program, _)| program.batch == rows as u64)
            .ok_or_else(|| no_program(&self.plan.name, rows))
    }

    /// The program of the next step of `progress`, and what it is fed with.
    pub(crate) fn next(&mut self, progress: &Progress) -> Result<(&'a Program, &Feed), RunFailure> {
        let rows = self.prepare(progress)?.rows;
        let place = self.program_for(rows)?;
        let (program, _) = self
            .programs
            .get(place)
            .ok_or_else(|| no_program(&self.plan.name, rows))?;
        Ok((program, &self.feed.feed))
    }

    /// Does the next step of `progress` and gives the loss and the number of rows. On an error `progress` is as it was.
    pub fn run(
        &mut self,
        progress: &mut Progress,
        diagnose: Option<&dyn Diagnose>,
    ) -> Result<(Option<f32>, usize), RunFailure> {
        let done = self.advance(progress, diagnose)?;
        self.settle(progress)?;
        Ok(done)
    }

    /// [`Stepper::run`], but the state may stay on the device until [`Stepper::settle`].
    // A function of its own, so that the guard on speed can count its instructions (`benches/tests/instructions.rs`).
    #[inline(never)]
    pub(crate) fn advance(
        &mut self,
        progress: &mut Progress,
        diagnose: Option<&dyn Diagnose>,
    ) -> Result<(Option<f32>, usize), RunFailure> {
        let Prepared { rows, powers, .. } = self.prepare(progress)?;
        let (plan, place) = (self.plan, self.program_for(rows)?);
        if self.keeper.is_some_and(|keeper| keeper != place) {
            self.settle(progress)?;
        }
        let (feeder, spare, ahead) = (&mut self.feeder, &mut self.spare, &mut self.ahead);
        let next = progress.step + 1;
        // A step of another epoch, and what went wrong, is left to when it comes.
        let is_near = next < plan.steps && !next.is_multiple_of(plan.epoch_steps);
        if is_near {
            feeder.expect(next);
        }
        let mut meanwhile = || {
            if is_near {
                *ahead = feeder.fill(next, &powers, spare).ok();
            }
        };
        let (program, loaded) = self
            .programs
            .get_mut(place)
            .ok_or_else(|| no_program(&plan.name, rows))?;
        self.keeper = Some(place);
        let results = match loaded.advance(&mut progress.state, &self.feed.feed, &mut meanwhile) {
            Ok(results) => results,
            Err(error) => {
                let program = *program;
                // Whoever looks for the cause looks at the state ahead of the step.
                self.settle(progress)?;
                return Err(failed(
                    plan,
                    program,
                    progress,
                    &self.feed.feed,
                    error,
                    diagnose,
                ));
            }
        };
        let loss = program
            .results
            .iter()
            .position(|result| result.name == "loss");
        let loss = loss.and_then(|loss| results.get(loss)?.as_f32()?.first().copied());
        progress.powers = powers;
        progress.step += 1;
        Ok((loss, rows))
    }

    /// Brings the state home, if a device has kept it.
    pub(crate) fn settle(&mut self, progress: &mut Progress) -> Result<(), RunFailure> {
        let Some(keeper) = self.keeper.take() else {
            return Ok(());
        };
        match self.programs.get_mut(keeper) {
            Some((_, loaded)) => loaded.settle(&mut progress.state).map_err(|error| {
                let place = format!("`{}`, step {}", self.plan.name, progress.step);
                RunFailure::device(error, &place)
            }),
            None => Ok(()),
        }
    }
}

fn failed(
    plan: &Training,
    program: &Program,
    progress: &Progress,
    feed: &Feed,
    error: RunError,
    diagnose: Option<&dyn Diagnose>,
) -> RunFailure {
    let RunError::NotFinite { guard } = error else {
        return RunFailure::device(
            error,
            &format!("`{}`, step {}", plan.name, progress.step + 1),
        );
    };
    let guard = program
        .guards
        .get(guard)
        .map_or_else(|| format!("guard {guard}"), |guard| guard.name.clone());
    RunFailure::NotFinite(Box::new(NotFinite {
        training: plan.name.clone(),
        step: progress.step,
        epoch: progress.step / plan.epoch_steps.max(1),
        guard,
        culprit: diagnose
            .and_then(|diagnose| diagnose.locate(program, &plan.state, &progress.state, feed)),
    }))
}
