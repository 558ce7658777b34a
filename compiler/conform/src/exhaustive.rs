//! Functions of one f32 on every f32, device against reference.

use crate::pointwise::{ONE_ARGUMENT, word};
use crate::{Case, Mismatch};
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::{DType, Graph, Input, MapOp, Op, Origin, Shape, Type};
use std::sync::atomic::{AtomicU64, Ordering};

/// Inputs of one call.
const CHUNK: usize = 1 << 18;

/// A function by its name in graphs.
pub fn function(name: &str) -> Option<MapOp> {
    ONE_ARGUMENT.into_iter().find(|op| word(*op) == name)
}

/// Names of all functions.
pub fn names() -> Vec<String> {
    ONE_ARGUMENT.into_iter().map(word).collect()
}

fn case(op: MapOp) -> Case {
    let mut graph = Graph::default();
    let ty = Type::f32(Shape::of(&[("element", CHUNK)]));
    let x = graph.push(Op::Input(Input::Column(0)), vec![], ty, Origin(0));
    let y = graph.map(op, &[x], Origin(0));
    Case {
        name: word(op),
        graph,
        operands: vec![Vec::new()],
        rows: Vec::new(),
        key: None,
        results: vec![y],
    }
}

/// Inputs looked at, and the first that a device has otherwise.
pub type Swept = (u64, Option<Mismatch>);

/// Compares `devices` with `reference` on every `every`-th f32, on `threads` threads; gives what came of each device.
///
/// # Errors
/// A device failed.
pub fn sweep(
    op: MapOp,
    reference: &dyn Device,
    devices: &[&dyn Device],
    every: u32,
    threads: usize,
) -> Result<Vec<Swept>, String> {
    let every = u64::from(every.max(1));
    let inputs = (1_u64 << 32).div_ceil(every);
    let (chunks, next) = (inputs.div_ceil(CHUNK as u64), AtomicU64::new(0));
    let work = || -> Result<Vec<Option<Mismatch>>, String> {
        let mut first = Loaded::new(op, reference)?;
        let mut others = devices
            .iter()
            .map(|device| Loaded::new(op, *device))
            .collect::<Result<Vec<_>, _>>()?;
        let mut found = vec![None; devices.len()];
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= chunks {
                return Ok(found);
            }
            let input = |at: u64| ((chunk * CHUNK as u64 + at) * every) as u32;
            let words: Vec<u32> = (0..CHUNK as u64).map(input).collect();
            let wanted = first.run(&words)?;
            for (device, found) in others.iter_mut().zip(&mut found) {
                let got = device.run(&words)?;
                if found.is_none() {
                    *found = differs(&words, &got, &wanted, device.value);
                }
            }
        }
    };
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| {
            let stopped = |_| Err("a thread stopped".to_owned());
            worker.join().unwrap_or_else(stopped)
        });
        ended.collect::<Result<Vec<_>, String>>()
    })?;
    Ok((0..devices.len())
        .map(|n| {
            (
                inputs,
                parts.iter().find_map(|part| part.get(n).cloned().flatten()),
            )
        })
        .collect())
}

fn differs(
    inputs: &[u32],
    got: &[u32],
    wanted: &[u32],
    value: mmh_ir::ValueId,
) -> Option<Mismatch> {
    let at = (0..wanted.len()).find(|&at| got.get(at) != wanted.get(at))?;
    Some(Mismatch {
        value,
        element: at,
        found: got.get(at).copied().unwrap_or_default(),
        wanted: wanted.get(at).copied().unwrap_or_default(),
        operands: inputs.get(at).copied().into_iter().collect(),
    })
}

/// A function on a device.
struct Loaded {
    executable: Box<dyn Executable>,
    value: mmh_ir::ValueId,
}

impl Loaded {
    fn new(op: MapOp, device: &dyn Device) -> Result<Self, String> {
        let case = case(op);
        let executable = device
            .load(&case.program(), &[])
            .map_err(|e: RunError| e.to_string())?;
        Ok(Self {
            executable,
            value: case.results.first().copied().unwrap_or(mmh_ir::ValueId(0)),
        })
    }

    fn run(&mut self, words: &[u32]) -> Result<Vec<u32>, String> {
        let feed = Feed {
            columns: vec![crate::tensor(DType::F32, words)],
            ..Feed::default()
        };
        let results = self.executable.run(&mut State::default(), &feed);
        let results: Vec<Tensor> = results.map_err(|error| error.to_string())?;
        Ok(results.first().map(crate::words).unwrap_or_default())
    }
}
