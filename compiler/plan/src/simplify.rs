//! Passes that change no bit: what nothing needs goes, what stands twice stands once, what broadcasts by name is not spread.

use mmh_ir::plan::Program;
use mmh_ir::{Graph, Node, Op, Shape, Type, ValueId};
use std::collections::HashMap;

/// Simplifies a program's graph; what it names is renumbered.
pub fn simplify(program: &mut Program) {
    let shared = rebuild(&program.graph, |_| true, true);
    rename(program, &shared.1);
    program.graph = shared.0;
    let live = program.graph.live(&roots(program));
    let is_live = |value: ValueId| live.get(value.index()).copied().unwrap_or(true);
    let kept = rebuild(&program.graph, is_live, false);
    rename(program, &kept.1);
    program.graph = kept.0;
}

fn roots(program: &Program) -> Vec<ValueId> {
    let named = program
        .results
        .iter()
        .chain(&program.guards)
        .map(|n| n.value);
    named
        .chain(program.updates.iter().map(|u| u.value))
        .collect()
}

fn rename(program: &mut Program, values: &[ValueId]) {
    let new = |value: &mut ValueId| *value = values.get(value.index()).copied().unwrap_or(*value);
    for named in program.results.iter_mut().chain(&mut program.guards) {
        new(&mut named.value);
    }
    for update in &mut program.updates {
        new(&mut update.value);
    }
}

/// The graph of the nodes to keep, and where each value went; with `share`, equal nodes become one.
fn rebuild(graph: &Graph, keep: impl Fn(ValueId) -> bool, share: bool) -> (Graph, Vec<ValueId>) {
    let mut result = Graph::default();
    let mut values: Vec<ValueId> = Vec::with_capacity(graph.nodes.len());
    let mut known: HashMap<(Op, Vec<ValueId>, Type), ValueId> = HashMap::new();
    for value in graph.values() {
        if !keep(value) {
            values.push(value);
            continue;
        }
        let node = graph.node(value);
        let inputs = node.inputs.iter();
        let inputs: Vec<ValueId> = inputs
            .map(|v| values.get(v.index()).copied().unwrap_or(*v))
            .collect();
        let inputs = if share {
            unspread(&result, node, inputs)
        } else {
            inputs
        };
        let same = (node.op.clone(), inputs.clone(), node.ty.clone());
        let found = if share {
            known.get(&same).copied()
        } else {
            None
        };
        let new = found
            .or_else(|| whole(&result, node, &inputs))
            .unwrap_or_else(|| result.push(node.op.clone(), inputs, node.ty.clone(), node.origin));
        known.insert(same, new);
        values.push(new);
    }
    (result, values)
}

/// The operand itself, where a node changes nothing.
fn whole(graph: &Graph, node: &Node, inputs: &[ValueId]) -> Option<ValueId> {
    let &[operand] = inputs else { return None };
    let same = graph.ty(operand) == &node.ty;
    match &node.op {
        Op::Broadcast | Op::Rename { .. } => same.then_some(operand),
        Op::Slice {
            start: 0, step: 1, ..
        }
        | Op::Pad {
            before: 0, step: 1, ..
        } => same.then_some(operand),
        _ => None,
    }
}

/// Operands of a pointwise node without broadcasts: it broadcasts by name itself, as long as every axis still comes from one.
fn unspread(graph: &Graph, node: &Node, inputs: Vec<ValueId>) -> Vec<ValueId> {
    if !matches!(node.op, Op::Map(_)) {
        return inputs;
    }
    let mut result = inputs.clone();
    for place in 0..inputs.len() {
        let Some(current) = result.get(place).copied() else {
            continue;
        };
        let source = match &graph.node(current).op {
            Op::Broadcast => graph.node(current).inputs.first().copied(),
            _ => None,
        };
        let Some(source) = source else { continue };
        let mut candidate = result.clone();
        if let Some(slot) = candidate.get_mut(place) {
            *slot = source;
        }
        let shapes: Vec<&Shape> = candidate.iter().map(|&v| graph.shape(v)).collect();
        let covered = node
            .ty
            .shape
            .axes()
            .all(|axis| shapes.iter().any(|s| s.has(axis)));
        if covered {
            result = candidate;
        }
    }
    result
}
