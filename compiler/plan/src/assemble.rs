//! From declarations to the plan: which programs there are, at which batch sizes, over which state.

use crate::autodiff::NotDifferentiable;
use crate::precision::narrow;
use crate::step::{Model, StepPlan, evaluation_program, step_program};
use mmh_check::Recipe;
use mmh_check::recipe::{Declarations, Evaluate, Forward, Purpose, StartSpec, Train, WatchSpec};
use mmh_diag::{Code, Diagnostic};
use mmh_ir::Origin;
use mmh_ir::plan::{
    Evaluation, Init, Plan, Precision, Program, Role, StateDecl, StepScalar, Training, Watch,
};
use std::fmt::Write;

/// Edition of the numerics contract that these graphs are written in.
const EDITION: u32 = 1;

/// Rows an evaluation program takes at most.
const EVALUATION_ROWS: u64 = 256;

/// What a plan is made from: a checked recipe, or declarations with hand-made graphs.
pub trait Source {
    /// The typed declarations.
    fn declarations(&self) -> &Declarations;

    /// The graph of one purpose of training number `training`, at `batch` rows.
    ///
    /// # Errors
    /// What is wrong with the recipe at this batch size.
    fn forward(
        &self,
        training: usize,
        purpose: Purpose,
        batch: u64,
    ) -> Result<Forward, Vec<Diagnostic>>;

    /// The diagnostic that shows the place of a node's origin, if known.
    fn at(&self, diagnostic: Diagnostic, origin: Origin) -> Diagnostic {
        let _ = origin;
        diagnostic
    }
}

impl Source for Recipe {
    fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    fn forward(
        &self,
        training: usize,
        purpose: Purpose,
        batch: u64,
    ) -> Result<Forward, Vec<Diagnostic>> {
        Recipe::forward(self, training, purpose, batch)
    }

    fn at(&self, diagnostic: Diagnostic, origin: Origin) -> Diagnostic {
        match self.origin_span(origin) {
            Some((source, span)) => diagnostic.at(source, span, "here"),
            None => diagnostic,
        }
    }
}

/// The plan of a recipe.
///
/// # Errors
/// Every mistake that only shows when graphs are built and differentiated.
pub fn plan(source: &impl Source) -> Result<Plan, Vec<Diagnostic>> {
    let declarations = source.declarations();
    let mut trainings = Vec::new();
    let mut evaluations = Vec::new();
    let mut mistakes = Vec::new();
    for number in 0..declarations.trainings.len() {
        match training(source, number) {
            Ok((training, own)) => {
                trainings.push(training);
                evaluations.extend(own);
            }
            Err(more) => mistakes.extend(more),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    evaluations.sort_by_key(|(number, _)| *number);
    Ok(Plan {
        edition: EDITION,
        seed: hex(&declarations.seed),
        recipe_hash: declarations.recipe_hash.clone(),
        data: declarations.data.clone(),
        trainings,
        evaluations: evaluations.into_iter().map(|(_, e)| e).collect(),
    })
}

/// The batch sizes of one pass over `rows`: the full batch, then the rest.
pub(crate) fn batches(rows: u64, batch: u64) -> Vec<u64> {
    let (full, rest) = (
        rows.checked_div(batch).unwrap_or(0),
        rows.checked_rem(batch).unwrap_or(0),
    );
    let full = (full > 0).then_some(batch);
    full.into_iter().chain((rest > 0).then_some(rest)).collect()
}

/// Graphs of one purpose with their batch sizes.
type Graphs = Vec<(u64, Forward)>;

fn graphs(
    source: &impl Source,
    training: usize,
    purpose: Purpose,
    batches: &[u64],
) -> Result<Graphs, Vec<Diagnostic>> {
    let precision = source.declarations().trainings.get(training);
    let precision = precision.map_or(Precision::F32, |train| train.precision);
    let each = batches.iter().map(|&batch| {
        let mut forward = source.forward(training, purpose, batch)?;
        if precision == Precision::Bf16 {
            narrow(&mut forward);
        }
        Ok((batch, forward))
    });
    each.collect()
}

type Numbered = Vec<(usize, Evaluation)>;

/// A training and the evaluations of its model, with their numbers.
fn training(source: &impl Source, number: usize) -> Result<(Training, Numbered), Vec<Diagnostic>> {
    let declarations = source.declarations();
    let Some(train) = declarations.trainings.get(number) else {
        return Err(vec![]);
    };
    let steps = graphs(
        source,
        number,
        Purpose::Step,
        &batches(train.rows, train.batch),
    )?;
    let predicts = graphs(source, number, Purpose::Predict, &[1, EVALUATION_ROWS])?;
    let watched = train.watch.as_ref();
    let watched =
        watched.map(|w| graphs(source, number, Purpose::Watch, &evaluation_batches(w.rows)));
    let watched = watched.transpose()?;
    let mut evaluated = Vec::new();
    for (n, evaluate) in declarations
        .evaluations
        .iter()
        .enumerate()
        .filter(|(_, e)| e.training == number)
    {
        let forwards = graphs(
            source,
            number,
            Purpose::Evaluate(n),
            &evaluation_batches(evaluate.rows),
        )?;
        evaluated.push((n, evaluate, forwards));
    }

    let mut model = Model::default();
    let read = predicts.iter().chain(watched.iter().flatten());
    let all = steps
        .iter()
        .chain(read)
        .chain(evaluated.iter().flat_map(|(_, _, f)| f));
    for (_, forward) in all {
        model.add(forward);
    }
    let mut scalars: Vec<StepScalar> = Vec::new();
    let how = StepPlan {
        optimisers: &train.optimisers,
        clip: train.clip,
    };
    if let Some(start) = &train.start {
        start_from(start, &mut model.state)?;
    }
    let mut programs = Vec::new();
    for (batch, forward) in &steps {
        let name = format!("{} step of {batch}", train.name);
        let program = step_program(&name, *batch, forward, &mut model, &mut scalars, how);
        programs.push(program.map_err(|e| vec![no_gradient(source, train, &e)])?);
    }
    let read = |what: &str, graphs: &Graphs| {
        read_programs(&format!("{} {what}", train.name), graphs, &model)
    };
    let watch = train.watch.as_ref().zip(watched);
    let watch = watch.map(|(spec, graphs)| watch_of(train, spec, read("watch", &graphs), &graphs));
    let evaluations = evaluated.iter().map(|(n, evaluate, graphs)| {
        let programs = read_programs(&evaluate.name, graphs, &model);
        (*n, evaluation_of(train, evaluate, programs, graphs))
    });
    let evaluations = evaluations.collect();
    let predict = read("predict", &predicts);
    Ok((
        Training {
            name: train.name.clone(),
            data: train.data,
            part: train.part,
            batch: train.batch,
            shuffle: train.shuffle.clone(),
            epoch_steps: train.epoch_steps,
            steps: train.steps,
            groups: train.optimisers.iter().map(|o| o.group.clone()).collect(),
            scalars,
            schedule: train.schedule.clone(),
            programs,
            watch,
            checkpoint: train.checkpoint,
            start: train.start.as_ref().map(|start| start.file.clone()),
            precision: train.precision,
            predict,
            state: model.state,
            sites: model.sites,
        },
        evaluations,
    ))
}

/// Lets what a file of weights is there for begin with it. The checker has seen to what the loss uses; what predictions and
/// measurements use besides is seen to here.
fn start_from(start: &StartSpec, state: &mut [StateDecl]) -> Result<(), Vec<Diagnostic>> {
    let mut missing = Vec::new();
    for slot in state
        .iter_mut()
        .filter(|slot| slot.role != Role::Optimiser && start.covers(&slot.path))
    {
        let sizes = slot.ty.shape.sizes();
        let fits = |name: &&str| {
            let found = start.tensors.get(*name);
            found.is_some_and(|(dtype, found)| dtype == slot.ty.dtype.name() && *found == sizes)
        };
        match start.tensor(&slot.path).filter(fits) {
            Some(tensor) => {
                slot.init = Init::Stored {
                    tensor: tensor.to_owned(),
                };
            }
            None => missing.push(format!("`{}`", slot.path)),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`{}` has no weights of this shape for {}",
        start.file.path,
        missing.join(", ")
    );
    let (source, span) = start.at;
    let help = "let a part alone begin here: `on = net.body`";
    Err(vec![
        Diagnostic::error(Code::WeightsMissing, message)
            .at(source, span, "")
            .help(help),
    ])
}

fn evaluation_batches(rows: u64) -> Vec<u64> {
    batches(rows, rows.clamp(1, EVALUATION_ROWS))
}

fn read_programs(name: &str, graphs: &Graphs, model: &Model) -> Vec<Program> {
    let programs = graphs.iter().map(|(batch, forward)| {
        let name = format!("{name} of {batch}");
        evaluation_program(&name, *batch, forward, model)
    });
    programs.collect()
}

fn watch_of(train: &Train, spec: &WatchSpec, programs: Vec<Program>, graphs: &Graphs) -> Watch {
    Watch {
        evaluation: Evaluation {
            name: train.name.clone(),
            training: train.name.clone(),
            best: false,
            data: spec.data,
            part: spec.part,
            batch: spec.rows.clamp(1, EVALUATION_ROWS),
            programs,
            metrics: metrics(graphs),
        },
        maximise: spec.maximise,
        every: spec.every,
        patience: spec.patience,
    }
}

fn evaluation_of(
    train: &Train,
    evaluate: &Evaluate,
    programs: Vec<Program>,
    graphs: &Graphs,
) -> Evaluation {
    Evaluation {
        name: evaluate.name.clone(),
        training: train.name.clone(),
        best: evaluate.best,
        data: evaluate.data,
        part: evaluate.part,
        batch: evaluate.rows.clamp(1, EVALUATION_ROWS),
        programs,
        metrics: metrics(graphs),
    }
}

fn metrics(graphs: &Graphs) -> Vec<mmh_ir::plan::Metric> {
    graphs
        .first()
        .map(|(_, forward)| forward.metrics.clone())
        .unwrap_or_default()
}

fn no_gradient(source: &impl Source, train: &Train, error: &NotDifferentiable) -> Diagnostic {
    let message = format!(
        "the loss of `{}` cannot be trained: {}",
        train.name, error.reason
    );
    let help = "every value between a parameter and the loss needs a gradient";
    source.at(
        Diagnostic::error(Code::LossNoGradient, message).help(help),
        error.origin,
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
