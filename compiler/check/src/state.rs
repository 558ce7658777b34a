//! Paths, and what has one: parameters, statistics, draws.

use crate::core::{Cx, Place};
use crate::poly::Poly;
use crate::value::{Dim, Eval, Loc, Made, Tensor};
use mmh_diag::Code;
use mmh_ir::plan::{Init, Role, StateDecl};
use mmh_ir::{Axis, DType, Input, Op, Type, ValueId};

impl<'p> Cx<'p> {
    /// The path of the next call of `callee` here.
    pub(crate) fn enter(&mut self, callee: &str, key: Option<&str>, loc: Loc) -> Eval<()> {
        let Some(place) = self.places.last_mut() else {
            return Ok(());
        };
        let pinned = place.pinned.take();
        let segment = match (key, pinned) {
            (Some(key), _) => key.to_string(),
            (None, Some(name)) => name,
            (None, None) => {
                let count = place.counts.entry(callee.to_string()).or_insert(0);
                *count += 1;
                format!("{callee}{count}")
            }
        };
        let fresh = place.taken.insert(segment.clone());
        let path = if place.path.is_empty() {
            segment.clone()
        } else {
            format!("{}.{segment}", place.path)
        };
        self.places.push(Place {
            path,
            ..Place::default()
        });
        if !fresh {
            self.places.pop();
            return self.fail(
                Code::NameDuplicate,
                loc,
                format!("two calls here are both called `{segment}`"),
                "give one another `@key`, or take it away",
            );
        }
        Ok(())
    }

    /// A path of its own, as a model or a section has.
    pub(crate) fn enter_root(&mut self, path: &str) {
        self.places.push(Place {
            path: path.to_string(),
            ..Place::default()
        });
    }

    pub(crate) fn leave(&mut self) {
        self.places.pop();
    }

    pub(crate) fn path(&self) -> String {
        self.places
            .last()
            .map(|p| p.path.clone())
            .unwrap_or_default()
    }

    /// A state slot by path; the same path is the same slot.
    pub(crate) fn state_slot(
        &mut self,
        path: &str,
        role: Role,
        init: Init,
        dims: Vec<Dim>,
    ) -> Eval<(Tensor, usize)> {
        let shape = self.shape(&dims)?;
        if let Some(&slot) = self.state_index.get(path) {
            self.used.insert(slot);
            let id = self.state_values.get(slot).copied().unwrap_or(ValueId(0));
            let known = self.state.get(slot).map(|s| s.ty.shape.clone());
            if known != Some(shape) && self.emit {
                let loc = self.here.last().copied().unwrap_or_default();
                return self.fail(
                    Code::ShapeMismatch,
                    loc,
                    format!("the parameter `{path}` is used with two shapes"),
                    "call the model with the same shapes everywhere",
                );
            }
            return Ok((
                Tensor {
                    id,
                    dtype: DType::F32,
                    dims,
                    classes: None,
                    made: Made::Plain,
                },
                slot,
            ));
        }
        self.vague |= shape.0.len() < dims.len();
        let slot = self.state.len();
        let value = self.push(Op::Input(Input::State(slot as u32)), &[], DType::F32, dims)?;
        self.state.push(StateDecl {
            path: path.to_string(),
            role,
            ty: Type::f32(shape),
            init,
        });
        self.used.insert(slot);
        self.state_values.push(value.id);
        self.state_index.insert(path.to_string(), slot);
        Ok((value, slot))
    }

    /// The parameters that were used.
    pub(crate) fn used_parameters(&self) -> impl Iterator<Item = &StateDecl> {
        let slots = self.used.iter().filter_map(|slot| self.state.get(*slot));
        slots.filter(|slot| slot.role == Role::Parameter)
    }

    /// The key of the random site that stands here.
    pub(crate) fn site_key(&mut self, path: &str) -> Eval<Tensor> {
        let dims = vec![Dim {
            axis: Axis::new("word"),
            size: Poly::number(8),
            loc: Loc::default(),
        }];
        if let Some(id) = self.site_values.get(path) {
            return Ok(Tensor {
                id: *id,
                dtype: DType::I32,
                dims,
                classes: None,
                made: Made::Plain,
            });
        }
        let number = self.sites.len() as u32;
        let key = self.push(Op::Input(Input::Key(number)), &[], DType::I32, dims)?;
        self.sites.push(path.to_string());
        self.site_values.insert(path.to_string(), key.id);
        Ok(key)
    }

    /// An input of the runtime, one node for all its uses.
    pub(crate) fn input(&mut self, input: Input, dtype: DType, dims: Vec<Dim>) -> Eval<Tensor> {
        // Columns and statistics are counted anew in every data set.
        let set = match input {
            Input::Column(_) | Input::Statistic(_) => self.reading.as_ref().map(|r| r.data),
            _ => None,
        };
        let name = format!("{set:?} {input:?}");
        if let Some(known) = self.inputs.get(&name) {
            return Ok(known.clone());
        }
        let value = self.push(Op::Input(input), &[], dtype, dims)?;
        self.inputs.insert(name, value.clone());
        Ok(value)
    }

    pub(crate) fn batch_dim(&self) -> Dim {
        Dim {
            axis: Axis::new("batch"),
            size: self.batch.clone(),
            loc: Loc::default(),
        }
    }
}
