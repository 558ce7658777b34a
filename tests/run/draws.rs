//! Random numbers have addresses: neither threads, nor the steps before, nor other layers can change one.

use crate::support::{Place, examples};
use mmh_cpu::Cpu;
use mmh_interpret::Interpreter;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Named, Part, Program, StateDecl, Training};
use mmh_ir::{Plan, ValueId};
use mmh_numerics::random::Seed;
use mmh_runtime::init::initial_state;
use mmh_runtime::{Limit, Options, Session, Silent, load_data, probe, step};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The plan of a recipe, as `mmhc show plan` prints it.
fn plan(recipe: &str, set: &[&str]) -> Plan {
    let place = Place::new();
    place.write("recipe.mmh", recipe);
    for entry in std::fs::read_dir(examples().join("data"))
        .expect("the data")
        .flatten()
    {
        if entry.path().is_file() {
            place.write(
                &format!("data/{}", entry.file_name().display()),
                std::fs::read(entry.path()).expect("read"),
            );
        }
    }
    let set: Vec<&str> = set.iter().flat_map(|set| ["--set", *set]).collect();
    let shown = place
        .mmhc(&[&["show", "plan", "recipe.mmh"], &set[..]].concat())
        .ends(0);
    Plan::from_text(&shown.out).expect("the plan reads back")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(examples().join(name)).expect("the example")
}

/// First values of all state, by path.
fn first_values(plan: &Plan) -> BTreeMap<String, Tensor> {
    let seed = Seed::from_hex(&plan.seed).expect("a seed");
    let slots = &plan.trainings[0].state;
    let state = initial_state(slots, &seed, None).expect("first values");
    slots
        .iter()
        .map(|slot| slot.path.clone())
        .zip(state.slots)
        .collect()
}

/// Fails unless every value of `before` is in `after`, and `after` has more.
fn assert_only_added(before: &Plan, after: &Plan) {
    let (before, after) = (first_values(before), first_values(after));
    assert!(after.len() > before.len());
    let drawn = |tensor: &Tensor| {
        tensor
            .as_f32()
            .is_some_and(|it| it.iter().any(|x| *x != 0.0 && *x != 1.0))
    };
    assert!(before.values().filter(|tensor| drawn(tensor)).count() > 4);
    for (path, values) in &before {
        assert_eq!(after.get(path), Some(values), "{path}");
    }
}

#[test]
fn more_repetitions_leave_other_layers_as_they_are() {
    let recipe = example("digits.mmh");
    assert_only_added(&plan(&recipe, &[]), &plan(&recipe, &["depth=3"]));
}

#[test]
fn a_layer_at_the_end_leaves_those_before_it() {
    let recipe = example("digits.mmh");
    let more = recipe.replace(
        "|> mean(over = [height, width])",
        "|> conv(2 * wide, kernel = 3) |> mean(over = [height, width])",
    );
    assert_ne!(recipe, more);
    assert_only_added(&plan(&recipe, &[]), &plan(&more, &[]));
}

#[test]
fn a_layer_with_a_key_leaves_those_around_it() {
    let recipe = example("tabular.mmh");
    let layer = "    |> linear(hidden = hidden) |> gelu\n";
    let more = recipe.replacen(
        layer,
        &format!("{layer}    |> @key \"wedge\" linear(hidden = hidden)\n"),
        1,
    );
    let (before, after) = (plan(&recipe, &[]), plan(&more, &[]));
    assert!(first_values(&after).contains_key("net.wedge.weight"));
    assert_only_added(&before, &after);
}

/// Rows, global step and the watched value of one step.
type Step = (Vec<i32>, i32, Tensor);

/// A device that notes what it is fed, and one more value of the steps of whole batches.
struct Recorder {
    device: Cpu,
    watch: ValueId,
    step: Program,
    steps: Arc<Mutex<Vec<Step>>>,
}

struct Recorded {
    loaded: Box<dyn Executable>,
    steps: Option<Arc<Mutex<Vec<Step>>>>,
}

impl Device for Recorder {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn isa(&self) -> &str {
        self.device.isa()
    }

    fn threads(&self) -> usize {
        self.device.threads()
    }

    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        let mine = *program == self.step;
        let mut program = program.clone();
        if mine {
            program.results.push(Named {
                name: "watched".to_owned(),
                value: self.watch,
            });
        }
        let loaded = self.device.load(&program, state)?;
        Ok(Box::new(Recorded {
            loaded,
            steps: mine.then(|| Arc::clone(&self.steps)),
        }))
    }
}

impl Executable for Recorded {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let mut results = self.loaded.run(state, feed)?;
        if let Some(steps) = &self.steps {
            let watched = results.pop().expect("the watched value");
            steps
                .lock()
                .expect("no panic")
                .push((feed.rows.clone(), feed.step, watched));
        }
        Ok(results)
    }
}

/// The picture behind the augmentation: the last value of its shape that no trained state reaches.
fn augmented(training: &Training, see: impl Fn(ValueId) -> bool) -> ValueId {
    let graph = &training.programs[0].graph;
    let sizes = [training.batch as usize, 1, 8, 8];
    let ids = (0..graph.nodes.len() as u32).rev().map(ValueId);
    let mut pictures = ids.filter(|id| graph.shape(*id).sizes() == sizes);
    pictures.find(|id| see(*id)).expect("an augmented picture")
}

#[test]
fn an_epochs_augmentation_of_a_row_can_be_asked_for_alone_and_threads_do_not_order_batches() {
    let plan = plan(&example("digits.mmh"), &["wide=8", "depth=1"]);
    let training = &plan.trainings[0];
    let seed = Seed::from_hex(&plan.seed).expect("a seed");
    let data = load_data(&plan, &examples()).expect("the data");
    let ask = |device: &dyn Device, value, epoch, row| {
        probe::value_of_rows(training, &data[0], &seed, device, value, epoch, &[row])
    };
    let watch = augmented(training, |value| ask(&Interpreter, value, 0, 0).is_ok());
    let record = |threads: usize| {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let device = Recorder {
            device: Cpu::new(threads, None),
            watch,
            step: training.programs[0].clone(),
            steps,
        };
        let options = Options {
            limit: Some(Limit::Epochs(4)),
            ..Options::default()
        };
        Session::new(&plan, &examples(), &device, options)
            .and_then(|it| it.run(&mut Silent))
            .expect("it runs");
        std::mem::take(&mut *device.steps.lock().expect("no panic"))
    };
    let steps = record(2);
    for threads in [1, 5] {
        assert!(
            record(threads) == steps,
            "{threads} threads: other rows, or another augmentation"
        );
    }

    // Epochs count from 0. A row at the end of an epoch may be in a smaller batch, which is not noted.
    let epoch = 3;
    let of_epoch = steps
        .iter()
        .filter(|(_, step, _)| *step as u64 / training.epoch_steps == epoch);
    let noted: BTreeMap<u32, &[f32]> = of_epoch
        .flat_map(|(rows, _, pictures)| {
            let pictures = pictures.as_f32().expect("numbers").chunks(64);
            rows.iter().map(|row| row.cast_unsigned()).zip(pictures)
        })
        .collect();
    let (row, picture) = noted
        .range(417..)
        .next()
        .expect("a row of the training part");
    for device in [&Interpreter as &dyn Device, &Cpu::new(1, None)] {
        let alone = ask(device, watch, epoch, *row).expect("the picture");
        assert_eq!(
            alone.as_f32(),
            Some(*picture),
            "row {row} on {}",
            device.name()
        );
        assert_ne!(
            ask(device, watch, epoch - 1, *row).expect("the picture"),
            alone
        );
    }
    let order = step::epoch_order(training, &data[0], &seed, epoch);
    assert_eq!(order.len(), data[0].rows(Part::Train).len());
}
