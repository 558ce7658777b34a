//! Operators: on sizes, numbers, quantities and values with axes.

use crate::core::Cx;
use crate::expr::as_f64;
use crate::poly::Poly;
use crate::value::{Eval, Loc, Quantity, Tensor, UnitKind, Value};
use mmh_diag::{Code, Span};
use mmh_ir::{DType, MapOp};
use mmh_syntax::ast::{BinaryOp, UnaryOp};

impl<'p> Cx<'p> {
    pub(crate) fn unary(&mut self, op: UnaryOp, value: Value, loc: Loc) -> Eval<Value> {
        let value = self.read(value)?;
        Ok(match (op, value) {
            (_, Value::Unknown) => Value::Unknown,
            (UnaryOp::Negate, Value::Size(p)) => Value::Size(p.negate()),
            (UnaryOp::Negate, Value::Float(v)) => Value::Float(-v),
            (UnaryOp::Negate, Value::Quantity(q)) => Value::Quantity(Quantity {
                value: -q.value,
                ..q
            }),
            (UnaryOp::Negate, Value::Tensor(t)) if t.dtype == DType::F32 => {
                Value::Tensor(self.map(MapOp::Neg, &[&t])?)
            }
            (UnaryOp::Not, Value::Bool(b)) => Value::Bool(!b),
            (UnaryOp::Not, Value::Tensor(t)) if t.dtype == DType::Bool => {
                Value::Tensor(self.map(MapOp::Not, &[&t])?)
            }
            (op, other) => {
                return self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{}` cannot be applied to {}", op.word(), other.kind()),
                    "",
                );
            }
        })
    }

    pub(crate) fn binary(
        &mut self,
        op: BinaryOp,
        left: Value,
        right: Value,
        loc: Loc,
    ) -> Eval<Value> {
        let (left, right) = (self.read(left)?, self.read(right)?);
        match (left, right) {
            (Value::Unknown, Value::Tensor(b)) => {
                let a = self.lift(&Value::Unknown, Some(&b), loc)?;
                self.tensor_binary(op, &a, &b, loc)
            }
            (Value::Tensor(a), Value::Unknown) => {
                let b = self.lift(&Value::Unknown, Some(&a), loc)?;
                self.tensor_binary(op, &a, &b, loc)
            }
            (Value::Unknown, _) | (_, Value::Unknown) => Ok(Value::Unknown),
            (Value::Tensor(a), Value::Tensor(b)) => self.tensor_binary(op, &a, &b, loc),
            (
                Value::Tensor(a),
                b @ (Value::Size(_) | Value::Float(_) | Value::Bool(_) | Value::Quantity(_)),
            ) => {
                let b = self.lift(&b, Some(&a), loc)?;
                self.tensor_binary(op, &a, &b, loc)
            }
            (
                a @ (Value::Size(_) | Value::Float(_) | Value::Bool(_) | Value::Quantity(_)),
                Value::Tensor(b),
            ) => {
                let a = self.lift(&a, Some(&b), loc)?;
                self.tensor_binary(op, &a, &b, loc)
            }
            (Value::Size(a), Value::Size(b)) => self.size_binary(op, &a, &b, loc),
            (Value::Bool(a), Value::Bool(b)) => self.bool_binary(op, a, b, loc),
            (Value::Quantity(a), Value::Quantity(b)) => self.quantity_binary(op, &a, &b, loc),
            (Value::Quantity(a), b @ (Value::Size(_) | Value::Float(_)))
                if matches!(op, BinaryOp::Multiply | BinaryOp::Divide) =>
            {
                let b = as_f64(&b);
                let value = if op == BinaryOp::Multiply {
                    a.value * b
                } else {
                    a.value / b
                };
                Ok(Value::Quantity(Quantity { value, ..a }))
            }
            (a @ (Value::Size(_) | Value::Float(_)), Value::Quantity(b))
                if op == BinaryOp::Multiply =>
            {
                Ok(Value::Quantity(Quantity {
                    value: as_f64(&a) * b.value,
                    ..b
                }))
            }
            (a @ (Value::Size(_) | Value::Float(_)), b @ (Value::Size(_) | Value::Float(_))) => {
                self.float_binary(op, as_f64(&a), as_f64(&b), loc)
            }
            (Value::Text(a), Value::Text(b))
                if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) =>
            {
                Ok(Value::Bool((a == b) == (op == BinaryOp::Equal)))
            }
            (Value::Quantity(q), other) | (other, Value::Quantity(q))
                if matches!(other, Value::Size(_) | Value::Float(_)) =>
            {
                let text = self.text(loc);
                self.fail(
                    Code::UnitMixed,
                    loc,
                    format!("`{text}` computes {} with a plain number", q.kind.word()),
                    format!("give both a unit, such as {}", q.kind.word()),
                )
            }
            (a, b) => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`{}` cannot join {} and {}", op.word(), a.kind(), b.kind()),
                "",
            ),
        }
    }

    pub(crate) fn size_binary(
        &mut self,
        op: BinaryOp,
        a: &Poly,
        b: &Poly,
        loc: Loc,
    ) -> Eval<Value> {
        let zero = |cx: &mut Self| cx.fail(Code::ValueRange, loc, "a division by zero", "");
        let value = match op {
            BinaryOp::Add => Value::Size(a.add(b)),
            BinaryOp::Subtract => Value::Size(a.subtract(b)),
            BinaryOp::Multiply => Value::Size(a.multiply(b)),
            BinaryOp::Divide => match a.divide(b) {
                Some(q) => Value::Size(q),
                None => return zero(self),
            },
            BinaryOp::FloorDivide | BinaryOp::Remainder => match a.divide(b) {
                Some(q) => {
                    let floor = q.floor(&self.whole);
                    let value = if op == BinaryOp::FloorDivide {
                        floor
                    } else {
                        a.subtract(&floor.multiply(b))
                    };
                    Value::Size(value)
                }
                None => return zero(self),
            },
            BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Less
            | BinaryOp::LessEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterEqual => match a.subtract(b).constant() {
                Some(difference) => Value::Bool(compare(op, difference.over.cmp(&0))),
                None => Value::Unknown,
            },
            BinaryOp::And | BinaryOp::Or => {
                return self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{}` joins true and false, not numbers", op.word()),
                    "",
                );
            }
        };
        if let Value::Size(p) = &value
            && p.is_overflow()
        {
            return self.fail(
                Code::LimitTooLarge,
                loc,
                "this number is too large to compute with",
                "",
            );
        }
        Ok(value)
    }

    pub(crate) fn float_binary(&mut self, op: BinaryOp, a: f64, b: f64, loc: Loc) -> Eval<Value> {
        Ok(match op {
            BinaryOp::Add => Value::Float(a + b),
            BinaryOp::Subtract => Value::Float(a - b),
            BinaryOp::Multiply => Value::Float(a * b),
            BinaryOp::Divide => Value::Float(a / b),
            BinaryOp::FloorDivide => Value::Float((a / b).floor()),
            BinaryOp::Remainder => Value::Float(a - b * (a / b).floor()),
            BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Less
            | BinaryOp::LessEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterEqual => Value::Bool(
                a.partial_cmp(&b)
                    .is_some_and(|ordering| compare(op, ordering)),
            ),
            BinaryOp::And | BinaryOp::Or => {
                return self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{}` joins true and false, not numbers", op.word()),
                    "",
                );
            }
        })
    }

    pub(crate) fn bool_binary(&mut self, op: BinaryOp, a: bool, b: bool, loc: Loc) -> Eval<Value> {
        Ok(Value::Bool(match op {
            BinaryOp::And => a && b,
            BinaryOp::Or => a || b,
            BinaryOp::Equal => a == b,
            BinaryOp::NotEqual => a != b,
            _ => {
                return self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{}` joins numbers, not true and false", op.word()),
                    "",
                );
            }
        }))
    }

    pub(crate) fn quantity_binary(
        &mut self,
        op: BinaryOp,
        a: &Quantity,
        b: &Quantity,
        loc: Loc,
    ) -> Eval<Value> {
        if a.kind != b.kind {
            let text = self.text(loc);
            let hint = match (a.kind, b.kind) {
                (UnitKind::Epochs, UnitKind::Steps) | (UnitKind::Steps, UnitKind::Epochs) => {
                    "write both in epochs or both in steps"
                }
                _ => "give both the same unit",
            };
            return self.fail(
                Code::UnitMixed,
                loc,
                format!("`{text}` mixes {} and {}", a.kind.word(), b.kind.word()),
                hint,
            );
        }
        match op {
            BinaryOp::Add => Ok(Value::Quantity(Quantity {
                value: a.value + b.value,
                kind: a.kind,
            })),
            BinaryOp::Subtract => Ok(Value::Quantity(Quantity {
                value: a.value - b.value,
                kind: a.kind,
            })),
            BinaryOp::Multiply => self.fail(
                Code::UnitWrong,
                loc,
                format!("{0} times {0} is no unit", a.kind.word()),
                "leave one unit away",
            ),
            BinaryOp::Divide
            | BinaryOp::FloorDivide
            | BinaryOp::Remainder
            | BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Less
            | BinaryOp::LessEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterEqual
            | BinaryOp::And
            | BinaryOp::Or => self.float_binary(op, a.value, b.value, loc),
        }
    }

    pub(crate) fn tensor_binary(
        &mut self,
        op: BinaryOp,
        a: &Tensor,
        b: &Tensor,
        loc: Loc,
    ) -> Eval<Value> {
        let op = match op {
            BinaryOp::Add => MapOp::Add,
            BinaryOp::Subtract => MapOp::Sub,
            BinaryOp::Multiply => MapOp::Mul,
            BinaryOp::Divide => MapOp::Div,
            BinaryOp::Equal => MapOp::Eq,
            BinaryOp::NotEqual => MapOp::Ne,
            BinaryOp::Less => MapOp::Lt,
            BinaryOp::LessEqual => MapOp::Le,
            BinaryOp::Greater => MapOp::Gt,
            BinaryOp::GreaterEqual => MapOp::Ge,
            BinaryOp::And => MapOp::And,
            BinaryOp::Or => MapOp::Or,
            BinaryOp::FloorDivide | BinaryOp::Remainder => {
                return self.fail(
                    Code::TypeDtype,
                    loc,
                    format!(
                        "`{}` is for sizes, not for the elements of a value",
                        op.word()
                    ),
                    "write `floor(a / b)`",
                );
            }
        };
        let boolean = matches!(op, MapOp::And | MapOp::Or);
        let fits = a.dtype == b.dtype
            && (boolean == (a.dtype == DType::Bool) || op.is_comparison())
            && !(op == MapOp::Div && a.dtype != DType::F32);
        // Nobody reckons with the numbers of words.
        if !fits || !(boolean || op.is_comparison()) {
            self.no_words(a, loc)?;
            self.no_words(b, loc)?;
        }
        if !fits {
            let text = self.text(loc);
            let help = if a.dtype == b.dtype {
                ""
            } else {
                "turn one side with `float(…)`"
            };
            return self.fail(
                Code::TypeDtype,
                loc,
                format!("`{text}` joins {} and {}", a.dtype.name(), b.dtype.name()),
                help,
            );
        }
        Ok(Value::Tensor(self.map(op, &[a, b])?))
    }

    /// A compile-time number as a value of the graph, of the element type of `like`.
    pub(crate) fn lift(&mut self, value: &Value, like: Option<&Tensor>, loc: Loc) -> Eval<Tensor> {
        let dtype = like.map_or(DType::F32, |t| t.dtype);
        match (value, dtype) {
            (Value::Tensor(t), _) => Ok(t.clone()),
            (Value::Size(p), DType::I32) => {
                let n = p.integer().unwrap_or(0);
                match i32::try_from(n) {
                    Ok(n) => self.integer(n),
                    Err(_) => self.fail(
                        Code::ValueRange,
                        loc,
                        format!("{n} does not fit 32 bits"),
                        "",
                    ),
                }
            }
            (Value::Size(p), _) => self.size_constant(p),
            (Value::Float(v), _) => self.constant(*v),
            (Value::Quantity(q), _) => self.constant(q.value),
            (Value::Bool(b), _) => {
                let (one, zero) = (self.integer(i32::from(*b))?, self.integer(0)?);
                self.map(MapOp::Ne, &[&one, &zero])
            }
            (Value::Unknown, DType::I32) => self.integer(0),
            (Value::Unknown, _) => self.constant(0.0),
            (other, _) => self.fail(
                Code::TypeMismatch,
                loc,
                format!("a value with axes is needed here, not {}", other.kind()),
                "",
            ),
        }
    }

    /// A diagnostic at a span of the current source.
    pub(crate) fn fail_at<T>(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Eval<T> {
        let loc = self.at(span);
        self.fail(code, loc, message, help)
    }
}

fn compare(op: BinaryOp, ordering: std::cmp::Ordering) -> bool {
    match op {
        BinaryOp::Equal => ordering.is_eq(),
        BinaryOp::NotEqual => ordering.is_ne(),
        BinaryOp::Less => ordering.is_lt(),
        BinaryOp::LessEqual => ordering.is_le(),
        BinaryOp::Greater => ordering.is_gt(),
        BinaryOp::GreaterEqual => ordering.is_ge(),
        BinaryOp::Add
        | BinaryOp::Subtract
        | BinaryOp::Multiply
        | BinaryOp::Divide
        | BinaryOp::FloorDivide
        | BinaryOp::Remainder
        | BinaryOp::And
        | BinaryOp::Or => false,
    }
}
