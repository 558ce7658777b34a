//! A second reading of graphs: f64, one coordinate at a time, written apart from the interpreter and the contract's functions.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(
    clippy::disallowed_methods,
    reason = "the platform's functions are independent of the contract's own"
)]

pub(crate) mod maker;

use mmh_ir::{Axis, Composite, Dim, Graph, Input, MapOp, Op, ReduceKind, Shape, ValueId, Window};

/// A value in f64, whatever its element type.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) shape: Shape,
    pub(crate) data: Vec<f64>,
}

/// Where an element lies.
type Place = Vec<(Axis, usize)>;

fn places(shape: &Shape) -> Vec<Place> {
    let mut all = vec![vec![]];
    for dim in &shape.0 {
        let longer = |place: &Place| {
            let steps = (0..dim.size).map(|i| {
                let mut place = place.clone();
                place.push((dim.axis.clone(), i));
                place
            });
            steps.collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

fn along(place: &Place, axis: &Axis) -> usize {
    place
        .iter()
        .find(|(a, _)| a == axis)
        .expect("the axis is there")
        .1
}

fn with(place: &Place, axis: &Axis, at: usize) -> Place {
    let mut place: Place = place.iter().filter(|(a, _)| a != axis).cloned().collect();
    place.push((axis.clone(), at));
    place
}

impl Value {
    /// The element at a place that may have more axes.
    fn at(&self, place: &Place) -> f64 {
        let number = self
            .shape
            .0
            .iter()
            .fold(0, |n, d| n * d.size + along(place, &d.axis));
        self.data[number]
    }

    fn make(shape: &Shape, element: impl FnMut(&Place) -> f64) -> Self {
        Self {
            shape: shape.clone(),
            data: places(shape).iter().map(element).collect(),
        }
    }
}

/// Values of all nodes; `input` gives the elements of inputs.
pub(crate) fn evaluate(graph: &Graph, input: &dyn Fn(Input) -> Vec<f64>) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    for node in &graph.nodes {
        let operands: Vec<&Value> = node.inputs.iter().map(|v| &values[v.index()]).collect();
        let value = operation(&node.op, &operands, &node.ty.shape, input);
        values.push(value);
    }
    values
}

fn operation(op: &Op, x: &[&Value], shape: &Shape, input: &dyn Fn(Input) -> Vec<f64>) -> Value {
    match op {
        Op::Input(kind) => Value {
            shape: shape.clone(),
            data: input(*kind),
        },
        Op::Constant(c) => Value::make(shape, |_| f64::from(c.0)),
        Op::Integer(c) => Value::make(shape, |_| f64::from(*c)),
        Op::Position => Value::make(shape, |p| p[0].1 as f64),
        Op::Random(_) | Op::Sample { .. } => panic!("not evaluated here"),
        Op::Map(op) => Value::make(shape, |p| {
            pointwise(*op, &x.iter().map(|v| v.at(p)).collect::<Vec<_>>())
        }),
        Op::Broadcast => Value::make(shape, |p| x[0].at(p)),
        Op::Rename { from, to } => Value::make(shape, |p| x[0].at(&with(p, from, along(p, to)))),
        Op::Merge { .. } | Op::Split { .. } => Value {
            shape: shape.clone(),
            data: x[0].data.clone(),
        },
        Op::Slice { axis, start, step } => Value::make(shape, |p| {
            x[0].at(&with(p, axis, start + step * along(p, axis)))
        }),
        Op::Pad { axis, before, step } => Value::make(shape, |p| {
            let n = x[0].shape.size(axis).expect("there");
            let hit = (0..n).find(|i| before + i * step == along(p, axis));
            hit.map_or(0.0, |i| x[0].at(&with(p, axis, i)))
        }),
        Op::Concat { axis } => Value::make(shape, |p| {
            let mut at = along(p, axis);
            for part in x {
                let n = part.shape.size(axis).expect("there");
                if at < n {
                    return part.at(&with(p, axis, at));
                }
                at -= n;
            }
            panic!("past the end")
        }),
        Op::Window(w) => Value::make(shape, |p| windowed(w, x[0], p)),
        Op::Reduce { kind, over } => Value::make(shape, |p| folded(*kind, over, x[0], p)),
        Op::Contract { over } => contracted(x[0], x[1], over, shape),
        Op::Gather { axis } => Value::make(shape, |p| x[0].at(&with(p, axis, x[1].at(p) as usize))),
        Op::OneHot { axis } => Value::make(shape, |p| {
            f64::from(u8::from(x[0].at(p) as usize == along(p, axis)))
        }),
        Op::Composite(c) => composite(c, x, shape),
    }
}

fn windowed(w: &Window, x: &Value, p: &Place) -> f64 {
    let at = along(p, &w.out) as i64 * w.stride + along(p, &w.tap) as i64 * w.dilation + w.offset;
    let n = x.shape.size(&w.axis).expect("there") as i64;
    if at % w.divide == 0 && (0..n).contains(&(at / w.divide)) {
        x.at(&with(p, &w.axis, (at / w.divide) as usize))
    } else {
        f64::from(w.fill.0)
    }
}

fn dims(shape: &Shape, over: &[Axis]) -> Shape {
    let dim = |a: &Axis| Dim {
        axis: a.clone(),
        size: shape.size(a).expect("there"),
    };
    Shape(over.iter().map(dim).collect())
}

fn folded(kind: ReduceKind, over: &[Axis], x: &Value, p: &Place) -> f64 {
    let inner = places(&dims(&x.shape, over)).into_iter();
    let elements: Vec<f64> = inner.map(|q| x.at(&[p.clone(), q].concat())).collect();
    let largest = elements.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match kind {
        ReduceKind::Sum => elements.iter().sum(),
        ReduceKind::Max => largest,
        ReduceKind::Min => elements.iter().copied().fold(f64::INFINITY, f64::min),
        ReduceKind::ArgMax => elements
            .iter()
            .position(|&e| e == largest)
            .expect("not empty") as f64,
    }
}

fn contracted(a: &Value, b: &Value, over: &[Axis], shape: &Shape) -> Value {
    let inner = places(&dims(&a.shape, over));
    Value::make(shape, |p| {
        let products = inner.iter().map(|q| {
            let at = [p.clone(), q.clone()].concat();
            a.at(&at) * b.at(&at)
        });
        products.sum()
    })
}

fn exponentials(x: &Value, over: &[Axis]) -> (Value, Value, Value) {
    let kept = x.shape.without(over);
    let m = Value::make(&kept, |p| folded(ReduceKind::Max, over, x, p));
    let e = Value::make(&x.shape, |p| (x.at(p) - m.at(p)).exp());
    let s = Value::make(&kept, |p| folded(ReduceKind::Sum, over, &e, p));
    (m, e, s)
}

fn composite(c: &Composite, x: &[&Value], shape: &Shape) -> Value {
    match c {
        Composite::Softmax { over } => {
            let (_, e, s) = exponentials(x[0], over);
            Value::make(shape, |p| e.at(p) / s.at(p))
        }
        Composite::LogSumExp { over } => {
            let (m, _, s) = exponentials(x[0], over);
            Value::make(shape, |p| m.at(p) + s.at(p).ln())
        }
        Composite::CrossEntropy { class } => {
            let (m, _, s) = exponentials(x[0], std::slice::from_ref(class));
            Value::make(shape, |p| {
                m.at(p) + s.at(p).ln() - x[0].at(&with(p, class, x[1].at(p) as usize))
            })
        }
        Composite::Normalise { epsilon, .. } => Value::make(shape, |p| {
            (x[0].at(p) - x[1].at(p)) / (x[2].at(p) + f64::from(epsilon.0)).sqrt()
        }),
        Composite::Attend {
            over,
            key,
            scale,
            causal,
            ..
        } => {
            let rows = x[0].shape.without(over).union(&x[1].shape.without(over));
            let raw = contracted(x[0], x[1], over, &rows);
            let scores = Value::make(&rows, |p| {
                let seen = causal
                    .as_ref()
                    .is_none_or(|query| along(p, key) <= along(p, query));
                if seen {
                    raw.at(p) * f64::from(scale.0)
                } else {
                    f64::NEG_INFINITY
                }
            });
            let over = std::slice::from_ref(key);
            let (_, e, s) = exponentials(&scores, over);
            let weighted = contracted(&e, x[2], over, shape);
            Value::make(shape, |p| weighted.at(p) / s.at(p))
        }
        Composite::StopGradient => x[0].clone(),
    }
}

/// The error function by its power series: good to 1e-12 for |x| ≤ 3.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..80 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn pointwise(op: MapOp, x: &[f64]) -> f64 {
    let (a, b, c) = (
        x[0],
        x.get(1).copied().unwrap_or(0.0),
        x.get(2).copied().unwrap_or(0.0),
    );
    let truth = |t: bool| f64::from(u8::from(t));
    match op {
        MapOp::Neg => -a,
        MapOp::Abs => a.abs(),
        MapOp::Sqrt => a.sqrt(),
        MapOp::Rsqrt => 1.0 / a.sqrt(),
        MapOp::Exp => a.exp(),
        MapOp::Log => a.ln(),
        MapOp::Tanh => a.tanh(),
        MapOp::Sigmoid => 1.0 / (1.0 + (-a).exp()),
        MapOp::Erf => erf(a),
        MapOp::Erfc => 1.0 - erf(a),
        MapOp::Gelu => a * 0.5 * (1.0 + erf(a / 2.0_f64.sqrt())),
        MapOp::Relu => a.max(0.0),
        MapOp::Sin => a.sin(),
        MapOp::Cos => a.cos(),
        MapOp::Floor => a.floor(),
        MapOp::Bf16 => a,
        MapOp::Not => truth(a == 0.0),
        MapOp::ToF32 => a,
        MapOp::ToI32 => a.trunc(),
        MapOp::Add => a + b,
        MapOp::Sub => a - b,
        MapOp::Mul => a * b,
        MapOp::Div => a / b,
        MapOp::Min => a.min(b),
        MapOp::Max => a.max(b),
        MapOp::Pow => a.powf(b),
        MapOp::Lt => truth(a < b),
        MapOp::Le => truth(a <= b),
        MapOp::Gt => truth(a > b),
        MapOp::Ge => truth(a >= b),
        MapOp::Eq => truth(a == b),
        MapOp::Ne => truth(a != b),
        MapOp::And => truth(a != 0.0 && b != 0.0),
        MapOp::Or => truth(a != 0.0 || b != 0.0),
        MapOp::Select => {
            if a == 0.0 {
                c
            } else {
                b
            }
        }
        MapOp::Fma => a * b + c,
    }
}

/// Numbers in (−1, 1) that look random, from a seed.
pub(crate) fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // A grid of 2^-20 keeps f32 and f64 inputs the same.
        ((state >> 43) as f64 - 1_048_576.0) / 1_048_576.0
    };
    (0..n).map(step).collect()
}

/// The state inputs of a graph, by slot.
pub(crate) fn state_inputs(graph: &Graph) -> Vec<ValueId> {
    let mut found: Vec<(u32, ValueId)> = Vec::new();
    for value in graph.values() {
        if let Op::Input(Input::State(n)) = graph.node(value).op
            && found.iter().all(|(m, _)| *m != n)
        {
            found.push((n, value));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, value)| value).collect()
}
