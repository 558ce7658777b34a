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
    data: &'a Dataset,
    seed: &'a Seed,
    programs: Vec<(&'a Program, Box<dyn Executable>)>,
    wanted: Vec<bool>,
    epoch: Option<u64>,
    order: Vec<u32>,
    order_hash: Option<(u64, Hash)>,
    feed: Feed,
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
            data,
            seed,
            programs,
            wanted,
            epoch: None,
            order: Vec::new(),
            order_hash: None,
            feed: Feed::default(),
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
        let hash = match self.epoch == Some(epoch) {
            true => order_hash(&self.order),
            false => order_hash(&epoch_order(self.plan, self.data, self.seed, epoch)),
        };
        self.order_hash = Some((epoch, hash));
        hash
    }

    /// Fills the feed for the next step; gives the number of rows and the optimisers' powers after it.
    fn prepare(&mut self, progress: &Progress) -> Result<(usize, Powers), RunFailure> {
        let plan = self.plan;
        let (epoch, inside) = (
            progress.step / plan.epoch_steps,
            progress.step % plan.epoch_steps,
        );
        if self.epoch != Some(epoch) {
            self.order = epoch_order(plan, self.data, self.seed, epoch);
            fill_feed(&mut self.feed, plan, self.data, self.seed, epoch);
            self.epoch = Some(epoch);
        }
        let batch = usize::try_from(plan.batch).unwrap_or(usize::MAX);
        let rows = self
            .order
            .chunks(batch)
            .nth(inside as usize)
            .unwrap_or_default();
        self.data
            .gather(rows, &self.wanted, &mut self.feed.columns)?;
        self.feed.rows.clear();
        self.feed
            .rows
            .extend(rows.iter().map(|row| row.cast_signed()));
        self.feed.step = (progress.step as u32).cast_signed();
        let mut powers = progress.powers.clone();
        powers.advance(&plan.groups);
        self.feed.scalars = step_scalars(
            &plan.scalars,
            &plan.groups,
            &plan.schedule,
            progress.step,
            &powers,
        )?;
        Ok((rows.len(), powers))
    }

    /// The program of the next step of `progress`, and what it is fed with.
    pub(crate) fn next(&mut self, progress: &Progress) -> Result<(&'a Program, &Feed), RunFailure> {
        let (rows, _) = self.prepare(progress)?;
        let mut programs = self.programs.iter();
        let (program, _) = programs
            .find(|(program, _)| program.batch == rows as u64)
            .ok_or_else(|| no_program(&self.plan.name, rows))?;
        Ok((program, &self.feed))
    }

    /// Does the next step of `progress` and gives the loss and the number of rows. On an error `progress` is as it was.
    pub fn run(
        &mut self,
        progress: &mut Progress,
        diagnose: Option<&dyn Diagnose>,
    ) -> Result<(Option<f32>, usize), RunFailure> {
        let (rows, powers) = self.prepare(progress)?;
        let plan = self.plan;
        let (program, loaded) = self
            .programs
            .iter_mut()
            .find(|(program, _)| program.batch == rows as u64)
            .ok_or_else(|| no_program(&plan.name, rows))?;
        let results = match loaded.run(&mut progress.state, &self.feed) {
            Ok(results) => results,
            Err(error) => return Err(failed(plan, program, progress, &self.feed, error, diagnose)),
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
