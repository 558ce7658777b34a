//! What kind of work a contraction is: a convolution, its weight gradient, a one-hot sum, or a matrix product.

use crate::schedule::Spatial;
use mmh_ir::{Axis, Graph, Op, ValueId, Window};

/// The axes of a windowed picture, by role. Pairs are (name at the contraction, name in the picture).
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Picture {
    /// The picture itself.
    pub(crate) x: ValueId,
    /// Axes that no window touches and that are not contracted.
    pub(crate) batch: Vec<(Axis, Axis)>,
    /// The channel axis, if there is one.
    pub(crate) channel: Option<(Axis, Axis)>,
    /// Windowed axes of the picture: rows, columns. Rows are missing for one spatial axis.
    pub(crate) source: [Option<Axis>; 2],
    /// Names of window places.
    pub(crate) out: [Option<Axis>; 2],
    /// Names of taps.
    pub(crate) taps: [Option<Axis>; 2],
    /// Geometry.
    pub(crate) spatial: [Spatial; 2],
}

impl Picture {
    /// The order of the picture's axes that the kernels need.
    pub(crate) fn order(&self) -> Vec<Axis> {
        let spatial = self.source.iter().flatten().cloned();
        self.batch
            .iter()
            .map(|(_, x)| x.clone())
            .chain(spatial)
            .chain(self.channel.iter().map(|(_, x)| x.clone()))
            .collect()
    }

    /// The order of the weights' axes that the kernels need, with `last` behind.
    pub(crate) fn weight_order(&self, last: &[Axis]) -> Vec<Axis> {
        let taps = self.taps.iter().flatten().cloned();
        taps.chain(self.channel.iter().map(|(name, _)| name.clone()))
            .chain(last.iter().cloned())
            .collect()
    }

    /// The order of the result's (or its gradient's) axes, with `last` behind.
    pub(crate) fn result_order(&self, last: &[Axis]) -> Vec<Axis> {
        let spatial = self.out.iter().flatten().cloned();
        self.batch
            .iter()
            .map(|(name, _)| name.clone())
            .chain(spatial)
            .chain(last.iter().cloned())
            .collect()
    }
}

/// How a contraction is carried out.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Form {
    /// Windows of a picture times weights.
    Conv {
        picture: Picture,
        w: ValueId,
        n: Vec<Axis>,
    },
    /// Windows of a picture times the gradient of the result.
    ConvWeight {
        picture: Picture,
        g: ValueId,
        n: Vec<Axis>,
    },
    /// One-hot rows times values.
    Scatter {
        index: ValueId,
        g: ValueId,
        axis: Axis,
        over: Vec<Axis>,
        width: Vec<Axis>,
    },
    /// Anything else.
    Product {
        a: ValueId,
        b: ValueId,
        over: Vec<Axis>,
    },
}

impl Form {
    /// The values that are read.
    pub(crate) fn operands(&self) -> Vec<ValueId> {
        match self {
            Self::Conv { picture, w, .. } => vec![picture.x, *w],
            Self::ConvWeight { picture, g, .. } => vec![picture.x, *g],
            Self::Scatter { index, g, .. } => vec![*index, *g],
            Self::Product { a, b, .. } => vec![*a, *b],
        }
    }

    /// The order of the result's axes in memory, where it is not free.
    pub(crate) fn layout(&self) -> Option<Vec<Axis>> {
        match self {
            Self::Conv { picture, n, .. } => Some(picture.result_order(n)),
            Self::Scatter { axis, width, .. } => Some([std::slice::from_ref(axis), width].concat()),
            Self::ConvWeight { picture, n, .. } => Some(picture.weight_order(n)),
            Self::Product { .. } => None,
        }
    }

    /// The orders in which operands would be read best.
    pub(crate) fn wishes(&self, graph: &Graph) -> Vec<(ValueId, Vec<Axis>)> {
        match self {
            Self::Conv { picture, .. } => vec![(picture.x, picture.order())],
            Self::ConvWeight { picture, g, n } => {
                vec![(picture.x, picture.order()), (*g, picture.result_order(n))]
            }
            Self::Scatter { g, over, width, .. } => vec![(*g, [over.as_slice(), width].concat())],
            Self::Product { a, b, over } if over.len() > 1 => [a, b]
                .into_iter()
                .map(|v| {
                    let rest: Vec<Axis> = graph
                        .shape(*v)
                        .axes()
                        .filter(|x| !over.contains(x))
                        .cloned()
                        .collect();
                    // Sums over leading axes already lie in order; only trailing ones ask for a place.
                    let leading = graph.shape(*v).axes().take(over.len()).eq(over.iter());
                    (
                        *v,
                        if leading {
                            graph.shape(*v).axes().cloned().collect()
                        } else {
                            [rest.as_slice(), over].concat()
                        },
                    )
                })
                .collect(),
            Self::Product { .. } => vec![],
        }
    }
}

/// The form of a contraction; `None` for any other node.
pub(crate) fn classify(graph: &Graph, value: ValueId) -> Option<Form> {
    let node = graph.node(value);
    let Op::Contract { over } = &node.op else {
        return None;
    };
    let (left, right) = (*node.inputs.first()?, *node.inputs.get(1)?);
    for (a, b) in [(left, right), (right, left)] {
        if let Some(form) = conv(graph, a, b, over).or_else(|| scatter(graph, a, b, over)) {
            return Some(form);
        }
    }
    Some(Form::Product {
        a: left,
        b: right,
        over: over.clone(),
    })
}

fn scatter(graph: &Graph, one_hot: ValueId, g: ValueId, over: &[Axis]) -> Option<Form> {
    let node = graph.node(one_hot);
    let Op::OneHot { axis } = &node.op else {
        return None;
    };
    let index = *node.inputs.first()?;
    let width: Vec<Axis> = graph
        .shape(g)
        .axes()
        .filter(|a| !over.contains(a))
        .cloned()
        .collect();
    let all =
        graph.shape(index).axes().eq(over.iter()) && !over.contains(axis) && !width.contains(axis);
    all.then(|| Form::Scatter {
        index,
        g,
        axis: axis.clone(),
        over: over.to_vec(),
        width,
    })
}

/// Where an axis of a windowed value comes from.
#[derive(Clone, PartialEq)]
enum Source {
    Plain(Axis),
    Out(usize),
    Tap(usize),
}

struct Windowed {
    base: ValueId,
    axes: Vec<(Axis, Source)>,
    windows: Vec<(Axis, Spatial)>,
}

fn conv(graph: &Graph, windowed: ValueId, other: ValueId, over: &[Axis]) -> Option<Form> {
    let w = describe(graph, windowed)?;
    if w.windows.is_empty() || w.windows.len() > 2 {
        return None;
    }
    let source = |axis: &Axis| {
        w.axes
            .iter()
            .find(|(a, _)| a == axis)
            .map(|(_, s)| s.clone())
    };
    let folded: Vec<Source> = over.iter().map(source).collect::<Option<_>>()?;
    let taps: Vec<usize> = folded
        .iter()
        .filter_map(|s| {
            if let Source::Tap(i) = s {
                Some(*i)
            } else {
                None
            }
        })
        .collect();
    let outs: Vec<usize> = folded
        .iter()
        .filter_map(|s| {
            if let Source::Out(i) = s {
                Some(*i)
            } else {
                None
            }
        })
        .collect();
    let plain: Vec<(Axis, Axis)> = over
        .iter()
        .zip(&folded)
        .filter_map(|(n, s)| {
            if let Source::Plain(a) = s {
                Some((n.clone(), a.clone()))
            } else {
                None
            }
        })
        .collect();
    let free: Vec<(Axis, Axis)> = w
        .axes
        .iter()
        .filter(|(a, _)| !over.contains(a))
        .filter_map(|(n, s)| {
            if let Source::Plain(a) = s {
                Some((n.clone(), a.clone()))
            } else {
                None
            }
        })
        .collect();
    let theirs: Vec<Axis> = graph
        .shape(other)
        .axes()
        .filter(|a| !over.contains(a))
        .cloned()
        .collect();
    if w.axes.iter().any(|(a, _)| theirs.contains(a)) || theirs.is_empty() {
        return None;
    }
    if taps.len() == w.windows.len() && plain.len() <= 1 && outs.is_empty() {
        let in_order = folded
            .iter()
            .take(taps.len())
            .all(|s| matches!(s, Source::Tap(_)));
        let picture = picture(&w, &taps, free, plain.into_iter().next());
        return in_order.then_some(Form::Conv {
            picture,
            w: other,
            n: theirs,
        });
    }
    if outs.len() == w.windows.len() && taps.is_empty() && free.len() <= 1 {
        let in_order = folded
            .iter()
            .rev()
            .take(outs.len())
            .all(|s| matches!(s, Source::Out(_)));
        let picture = picture(&w, &outs, plain, free.into_iter().next());
        return in_order.then_some(Form::ConvWeight {
            picture,
            g: other,
            n: theirs,
        });
    }
    None
}

/// Roles by the order in which windows stand in the contraction.
fn picture(
    w: &Windowed,
    order: &[usize],
    batch: Vec<(Axis, Axis)>,
    channel: Option<(Axis, Axis)>,
) -> Picture {
    let name = |want: Source| {
        w.axes
            .iter()
            .find(|(_, s)| *s == want)
            .map(|(a, _)| a.clone())
    };
    let mut source = [None, None];
    let mut out = [None, None];
    let mut taps = [None, None];
    let mut spatial = [Spatial::NONE; 2];
    let first = 2 - order.len();
    for (at, &i) in order.iter().enumerate() {
        source[first + at] = Some(w.windows[i].0.clone());
        out[first + at] = name(Source::Out(i));
        taps[first + at] = name(Source::Tap(i));
        spatial[first + at] = w.windows[i].1;
    }
    Picture {
        x: w.base,
        batch,
        channel,
        source,
        out,
        taps,
        spatial,
    }
}

fn describe(graph: &Graph, value: ValueId) -> Option<Windowed> {
    let node = graph.node(value);
    match &node.op {
        Op::Window(window) if window.fill.0.to_bits() == 0 => {
            let mut inner = describe(graph, *node.inputs.first()?)?;
            let at = inner.axes.iter().position(|(a, _)| *a == window.axis)?;
            let (_, Source::Plain(base)) = inner.axes.remove(at) else {
                return None;
            };
            let number = inner.windows.len();
            inner.windows.push((base, spatial(graph, value, window)?));
            inner.axes.push((window.out.clone(), Source::Out(number)));
            inner.axes.push((window.tap.clone(), Source::Tap(number)));
            Some(inner)
        }
        Op::Rename { from, to } => {
            let mut inner = describe(graph, *node.inputs.first()?)?;
            inner
                .axes
                .iter_mut()
                .filter(|(a, _)| a == from)
                .for_each(|(a, _)| *a = to.clone());
            Some(inner)
        }
        Op::Broadcast if graph.shape(node.inputs[0]).rank() == node.ty.shape.rank() => {
            describe(graph, node.inputs[0])
        }
        _ => Some(Windowed {
            base: value,
            axes: node
                .ty
                .shape
                .axes()
                .map(|a| (a.clone(), Source::Plain(a.clone())))
                .collect(),
            windows: vec![],
        }),
    }
}

/// Geometry of a window node.
pub(crate) fn spatial(graph: &Graph, value: ValueId, window: &Window) -> Option<Spatial> {
    let node = graph.node(value);
    Some(Spatial {
        source: graph.shape(*node.inputs.first()?).size(&window.axis)?,
        out: node.ty.shape.size(&window.out)?,
        taps: node.ty.shape.size(&window.tap)?,
        stride: window.stride,
        dilation: window.dilation,
        offset: window.offset,
        divide: window.divide,
    })
}
