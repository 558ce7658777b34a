//! Which values get memory, and in which order their axes lie in it.

use crate::contraction::{Form, classify};
use crate::expand::price;
use mmh_ir::plan::Program;
use mmh_ir::{Axis, Graph, MapOp, Node, Op, Shape, ValueId};

/// Decisions about every value of a graph.
pub(crate) struct Decisions {
    /// Values needed at all.
    pub(crate) live: Vec<bool>,
    /// Pointwise values that get memory of their own.
    pub(crate) buffered: Vec<bool>,
    /// Order of axes in memory (or of loops, for an inline value); axes without a preference are left out.
    pub(crate) layout: Vec<Vec<Axis>>,
    /// How contractions are carried out.
    pub(crate) forms: Vec<Option<Form>>,
    /// Rounded values that memory holds as bf16.
    pub(crate) narrow: Vec<bool>,
}

/// Above this price, an expression with several users is computed once.
const SHARED_PRICE: usize = 10;
/// More operands than this, and an expression gets memory.
const MOST_LOADS: usize = 8;
/// More operands of its own size than this, and an expression with several users gets memory: reading it back is
/// cheaper than reading them all again.
const SHARED_LOADS: usize = 2;

pub(crate) fn decide(program: &Program, narrow: bool) -> Decisions {
    let graph = &program.graph;
    let mut roots: Vec<ValueId> = program.updates.iter().map(|u| u.value).collect();
    roots.extend(
        program
            .results
            .iter()
            .chain(&program.guards)
            .map(|n| n.value),
    );
    let live = graph.live(&roots);
    let forms: Vec<Option<Form>> = graph
        .values()
        .map(|v| {
            if live[v.index()] {
                classify(graph, v)
            } else {
                None
            }
        })
        .collect();
    let live = live_through(graph, &roots, &forms);
    let mut decisions = Decisions {
        buffered: vec![false; live.len()],
        narrow: vec![false; live.len()],
        layout: Vec::new(),
        forms,
        live,
    };
    decisions.demand(graph, &roots);
    let wanted = wanted_layouts(graph, &decisions);
    decisions.lay_out(graph, &wanted);
    decisions.share(graph);
    if narrow {
        decisions.narrow = decisions.narrowed(graph, &roots);
    }
    decisions
}

/// Liveness where a convolution reads the picture itself, not its windows.
fn live_through(graph: &Graph, roots: &[ValueId], forms: &[Option<Form>]) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    roots.iter().for_each(|r| live[r.index()] = true);
    for value in graph.values().rev() {
        if live[value.index()] {
            operands(graph, forms, value)
                .into_iter()
                .for_each(|v| live[v.index()] = true);
        }
    }
    live
}

/// The values a node really reads.
pub(crate) fn operands(graph: &Graph, forms: &[Option<Form>], value: ValueId) -> Vec<ValueId> {
    match &forms[value.index()] {
        Some(form) => form.operands(),
        None => graph.node(value).inputs.clone(),
    }
}

/// Whether a node is computed wherever it is needed, if nothing demands memory for it.
pub(crate) fn is_pointwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Map(_) | Op::Constant(_) | Op::Integer(_) | Op::Position | Op::OneHot { .. }
    )
}

/// Whether a node rounds to bf16.
fn is_rounding(node: &Node) -> bool {
    matches!(node.op, Op::Map(MapOp::Bf16))
}

/// Whether a node's operand was fed, and lies in memory anyway.
fn is_read(graph: &Graph, node: &Node) -> bool {
    matches!(graph.node(node.inputs[0]).op, Op::Input(_))
}

/// Whether a node only shows another's elements.
pub(crate) fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Broadcast
            | Op::Rename { .. }
            | Op::Merge { .. }
            | Op::Split { .. }
            | Op::Slice { .. }
            | Op::Window(_)
    )
}

impl Decisions {
    fn demand(&mut self, graph: &Graph, roots: &[ValueId]) {
        for &root in roots {
            self.demand_value(graph, root);
        }
        for value in graph.values() {
            if !self.live[value.index()] {
                continue;
            }
            let node = graph.node(value);
            let needs = match &node.op {
                Op::Contract { .. } | Op::Gather { .. } | Op::Sample { .. } | Op::Random(_) => true,
                Op::Merge { .. } | Op::Split { .. } | Op::Slice { .. } | Op::Window(_) => true,
                Op::Reduce { kind, .. } => *kind == mmh_ir::ReduceKind::ArgMax,
                Op::Input(_)
                | Op::Constant(_)
                | Op::Integer(_)
                | Op::Position
                | Op::Map(_)
                | Op::Broadcast
                | Op::Rename { .. } => false,
                Op::Pad { .. } | Op::Concat { .. } | Op::OneHot { .. } | Op::Composite(_) => false,
            };
            if needs {
                operands(graph, &self.forms, value)
                    .into_iter()
                    .for_each(|v| self.demand_value(graph, v));
            }
        }
    }

    /// Marks the pointwise value under `value`'s views as needing memory.
    fn demand_value(&mut self, graph: &Graph, value: ValueId) {
        let node = graph.node(value);
        if is_pointwise(&node.op) {
            self.buffered[value.index()] = true;
        } else if is_view(&node.op) {
            self.demand_value(graph, node.inputs[0]);
        }
    }

    /// Gives memory to expressions that would otherwise be computed too often.
    fn share(&mut self, graph: &Graph) {
        let mut users = vec![0usize; graph.nodes.len()];
        let mut widest = vec![0usize; graph.nodes.len()];
        for value in graph.values().filter(|v| self.live[v.index()]) {
            let elements = match &graph.node(value).op {
                Op::Map(_) | Op::Broadcast | Op::OneHot { .. } => graph.shape(value).elements(),
                _ => 0,
            };
            for operand in operands(graph, &self.forms, value) {
                users[operand.index()] += 1;
                widest[operand.index()] = widest[operand.index()].max(elements);
            }
        }
        let mut cost = vec![0usize; graph.nodes.len()];
        let mut loads: Vec<Vec<ValueId>> = vec![Vec::new(); graph.nodes.len()];
        for value in graph.values() {
            let i = value.index();
            if !self.live[i] {
                continue;
            }
            let node = graph.node(value);
            let inline =
                is_pointwise(&node.op) || matches!(node.op, Op::Broadcast | Op::Rename { .. });
            if !inline || self.buffered[i] {
                loads[i] = vec![value];
                continue;
            }
            let own = if let Op::Map(op) = &node.op {
                price(*op)
            } else {
                0
            };
            cost[i] = own + node.inputs.iter().map(|v| cost[v.index()]).sum::<usize>();
            let mut from: Vec<ValueId> = node
                .inputs
                .iter()
                .flat_map(|v| loads[v.index()].clone())
                .collect();
            from.sort_unstable();
            from.dedup();
            loads[i] = from;
            let repeated = widest[i] > graph.shape(value).elements() && cost[i] >= 2;
            let own_size =
                |v: &&ValueId| graph.shape(**v).elements() >= graph.shape(value).elements();
            let full = loads[i].iter().filter(own_size).count();
            let shared = users[i] > 1 && (cost[i] > SHARED_PRICE || full > SHARED_LOADS);
            // What several read is kept in two bytes a number, not in the four of the sum that was rounded.
            let kept = users[i] > 1 && is_rounding(node) && !is_read(graph, node);
            let costly = repeated || shared || kept || loads[i].len() > MOST_LOADS;
            if matches!(node.op, Op::Map(_)) && costly {
                self.buffered[i] = true;
                cost[i] = 0;
                loads[i] = vec![value];
            }
        }
    }

    /// The roundings that every reader takes from memory as bf16. Handed out, looked at, looked up, sampled, scattered and searched
    /// for the largest are words alone.
    fn narrowed(&self, graph: &Graph, roots: &[ValueId]) -> Vec<bool> {
        let mut wide = vec![false; graph.nodes.len()];
        let mut mark = |mut value: ValueId| {
            while is_view(&graph.node(value).op) {
                value = graph.node(value).inputs[0];
            }
            wide[value.index()] = true;
        };
        roots.iter().for_each(|&root| mark(root));
        for value in graph.values().filter(|v| self.live[v.index()]) {
            let node = graph.node(value);
            let words = match (&node.op, &self.forms[value.index()]) {
                (_, Some(Form::Scatter { .. })) => true,
                (Op::Gather { .. } | Op::Sample { .. } | Op::Window(_), _) => true,
                (Op::Reduce { kind, .. }, _) => *kind == mmh_ir::ReduceKind::ArgMax,
                _ => false,
            };
            if words {
                operands(graph, &self.forms, value)
                    .into_iter()
                    .for_each(&mut mark);
            }
        }
        let narrow = |v: ValueId| is_rounding(graph.node(v)) && !wide[v.index()];
        graph.values().map(narrow).collect()
    }

    fn lay_out(&mut self, graph: &Graph, wanted: &[Option<Vec<Axis>>]) {
        for value in graph.values() {
            let layout = match &wanted[value.index()] {
                Some(order) => order.clone(),
                None => self.natural(graph, value),
            };
            self.layout.push(layout);
        }
    }

    fn natural(&self, graph: &Graph, value: ValueId) -> Vec<Axis> {
        let node = graph.node(value);
        let shape = &node.ty.shape;
        let logical = || shape.axes().cloned().collect::<Vec<_>>();
        let of = |v: ValueId| self.layout[v.index()].clone();
        if let Some(form) = &self.forms[value.index()]
            && let Some(order) = form.layout()
        {
            return order;
        }
        match &node.op {
            Op::Map(_) | Op::Broadcast => {
                let covered = |v: &ValueId| {
                    self.layout[v.index()]
                        .iter()
                        .filter_map(|a| graph.shape(*v).size(a))
                        .product::<usize>()
                };
                let best = node.inputs.iter().rev().max_by_key(|v| covered(v));
                best.map_or_else(Vec::new, |v| of(*v))
            }
            Op::Reduce { over, .. } => of(node.inputs[0])
                .into_iter()
                .filter(|a| !over.contains(a))
                .collect(),
            Op::Rename { from, to } => of(node.inputs[0])
                .into_iter()
                .map(|a| if &a == from { to.clone() } else { a })
                .collect(),
            Op::Slice { .. } | Op::Pad { .. } | Op::Concat { .. } => of(node.inputs[0]),
            Op::Split { axis, into } => of(node.inputs[0])
                .into_iter()
                .flat_map(|a| if &a == axis { into.clone() } else { vec![a] })
                .collect(),
            Op::OneHot { axis } => of(node.inputs[0])
                .into_iter()
                .chain([axis.clone()])
                .collect(),
            // Places and taps nest where the windowed axis lay.
            Op::Window(w) => of(node.inputs[0])
                .into_iter()
                .flat_map(|a| {
                    if a == w.axis {
                        vec![w.out.clone(), w.tap.clone()]
                    } else {
                        vec![a]
                    }
                })
                .collect(),
            Op::Merge { axes, into } => {
                merged_order(&of(node.inputs[0]), axes, into).unwrap_or_else(logical)
            }
            Op::Gather { .. } | Op::Random(_) | Op::Sample { .. } | Op::Input(_) => logical(),
            Op::Constant(_)
            | Op::Integer(_)
            | Op::Position
            | Op::Contract { .. }
            | Op::Composite(_) => logical(),
        }
    }
}

/// `order` after `axes` were flattened, if they lie side by side.
fn merged_order(order: &[Axis], axes: &[Axis], into: &Axis) -> Option<Vec<Axis>> {
    let first = order.iter().position(|a| Some(a) == axes.first())?;
    let adjacent = order
        .get(first..first + axes.len())
        .is_some_and(|run| run == axes);
    adjacent.then(|| {
        [
            &order[..first],
            std::slice::from_ref(into),
            &order[first + axes.len()..],
        ]
        .concat()
    })
}

/// `order` with the axes of `shape` it lacks: each goes behind the one before it in logical order.
pub(crate) fn complete(order: &[Axis], shape: &Shape) -> Vec<Axis> {
    let mut order: Vec<Axis> = order.iter().filter(|a| shape.has(a)).cloned().collect();
    let mut before: Option<Axis> = None;
    for axis in shape.axes() {
        if !order.contains(axis) {
            let at = before
                .as_ref()
                .and_then(|b| order.iter().position(|a| a == b))
                .map_or(0, |at| at + 1);
            order.insert(at, axis.clone());
        }
        before = Some(axis.clone());
    }
    order
}

/// Orders that contractions would like their operands in, where the operand is free to choose.
fn wanted_layouts(graph: &Graph, decisions: &Decisions) -> Vec<Option<Vec<Axis>>> {
    let mut wanted: Vec<Option<Vec<Axis>>> = vec![None; graph.nodes.len()];
    for value in graph.values().filter(|v| decisions.live[v.index()]) {
        let Some(form) = &decisions.forms[value.index()] else {
            continue;
        };
        for (operand, order) in form.wishes(graph) {
            want(graph, &mut wanted, operand, order);
        }
    }
    for value in graph.values().filter(|v| decisions.live[v.index()]) {
        if wanted[value.index()].is_none()
            && let Some(order) = matrices_together(graph, decisions, value)
        {
            wanted[value.index()] = Some(order);
        }
    }
    wanted
}

/// The order in which each matrix of a batch of products lies in one piece, if products by the same batch read it again:
/// the scores of attention, which would lie head by head in every row otherwise.
fn matrices_together(graph: &Graph, decisions: &Decisions, value: ValueId) -> Option<Vec<Axis>> {
    let Some(Form::Product { a, b, .. }) = &decisions.forms[value.index()] else {
        return None;
    };
    let shape = graph.shape(value);
    let real = |x: &&Axis| shape.size(x).is_some_and(|s| s > 1);
    let (batch, rest): (Vec<Axis>, Vec<Axis>) = shape
        .axes()
        .cloned()
        .partition(|x| graph.shape(*a).has(x) && graph.shape(*b).has(x));
    let again = batch.iter().any(|x| real(&x))
        && rest.iter().filter(real).count() > 1
        && is_read_by_batch(graph, decisions, value, &batch);
    again.then(|| [batch, rest].concat())
}

/// Whether a product over more than one of `value`'s batch axes reads it, through pointwise operations.
fn is_read_by_batch(graph: &Graph, decisions: &Decisions, value: ValueId, batch: &[Axis]) -> bool {
    let mut from_it = vec![false; graph.nodes.len()];
    from_it[value.index()] = true;
    for reader in graph.values().skip(value.index() + 1) {
        let node = graph.node(reader);
        if !decisions.live[reader.index()] || !node.inputs.iter().any(|v| from_it[v.index()]) {
            continue;
        }
        match (&node.op, &decisions.forms[reader.index()]) {
            (Op::Map(_), _) if graph.shape(reader) == graph.shape(value) => {
                from_it[reader.index()] = true;
            }
            (_, Some(Form::Product { a, b, .. })) => {
                let shared = |x: &Axis| graph.shape(*a).has(x) && graph.shape(*b).has(x);
                if batch
                    .iter()
                    .all(|x| shared(x) && graph.shape(reader).has(x))
                {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// Passes a wish down through renamings to a value that can choose.
fn want(graph: &Graph, wanted: &mut [Option<Vec<Axis>>], value: ValueId, order: Vec<Axis>) {
    let node = graph.node(value);
    match &node.op {
        Op::Map(_) | Op::Contract { .. } if wanted[value.index()].is_none() => {
            wanted[value.index()] = Some(order)
        }
        Op::Rename { from, to } => {
            let order = order
                .into_iter()
                .map(|a| if &a == to { from.clone() } else { a })
                .collect();
            want(graph, wanted, node.inputs[0], order);
        }
        _ => {}
    }
}
