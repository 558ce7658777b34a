//! The text form of graphs and types, which reads back.
//!
//! ```text
//! %0: f32[batch = 2, class = 3] = input(column = 0)
//! %1: f32[batch = 2] = reduce(kind = sum, over = [class]) %0
//! ```

use crate::graph::{Graph, Node, Origin, ValueId};
use crate::op::Op;
use crate::shape::{Axis, DType, Dim, Shape, Type};
use serde_json::{Map, Value};
use std::fmt::Write;

/// The text form of a graph, a node a line.
pub fn write_graph(graph: &Graph) -> String {
    let mut out = String::new();
    for value in graph.values() {
        let node = graph.node(value);
        let _ = write!(out, "{value}: {} = {}", node.ty, write_op(&node.op));
        for (i, input) in node.inputs.iter().enumerate() {
            let _ = write!(out, "{}{input}", if i == 0 { " " } else { ", " });
        }
        out.push('\n');
    }
    out
}

/// Reads the text form of a graph and verifies it.
pub fn read_graph(text: &str) -> Result<Graph, String> {
    let mut graph = Graph::default();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
    {
        let node =
            read_node(line, graph.nodes.len()).map_err(|e| format!("line {}: {e}", number + 1))?;
        graph.nodes.push(node);
    }
    graph.verify().map_err(|e| e.to_string())?;
    Ok(graph)
}

fn read_node(line: &str, number: usize) -> Result<Node, String> {
    let mut reader = Reader { rest: line.trim() };
    reader.expect(&format!("%{number}:"))?;
    let ty = reader.ty()?;
    reader.expect("=")?;
    let op = reader.op()?;
    let mut inputs = Vec::new();
    while reader.eat("%") {
        inputs.push(ValueId(
            u32::try_from(reader.integer()?).map_err(|_| "value number out of range")?,
        ));
        reader.eat(",");
    }
    if reader.rest.is_empty() {
        Ok(Node {
            op,
            inputs,
            ty,
            origin: Origin::default(),
        })
    } else {
        Err(format!("unexpected `{}`", reader.rest))
    }
}

fn write_op(op: &Op) -> String {
    match serde_json::to_value(op) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(fields)) => fields
            .iter()
            .map(|(name, value)| format!("{name}{}", write_arguments(value)))
            .collect(),
        _ => String::new(),
    }
}

fn write_arguments(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let list: Vec<String> = fields
                .iter()
                .map(|(k, v)| format!("{k} = {}", write_value(v)))
                .collect();
            format!("({})", list.join(", "))
        }
        other => format!("({})", write_value(other)),
    }
}

fn write_value(value: &Value) -> String {
    match value {
        Value::String(s) if is_word(s) => s.clone(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(write_value).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(fields) => {
            format!(
                "{{{}}}",
                fields
                    .iter()
                    .map(|(k, v)| format!("{k} = {}", write_value(v)))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        other => other.to_string(),
    }
}

fn is_word(s: &str) -> bool {
    let mut chars = s.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(is_word_char)
        && !matches!(s, "true" | "false" | "null")
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '\'')
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let hit = self.rest.strip_prefix(token);
        self.rest = hit.unwrap_or(self.rest).trim_start();
        hit.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(format!(
                "expected `{token}` before `{}`",
                self.rest.chars().take(24).collect::<String>()
            ))
        }
    }

    fn word(&mut self) -> Result<&'a str, String> {
        self.rest = self.rest.trim_start();
        let end = self
            .rest
            .find(|c| !is_word_char(c))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.is_empty() {
            Err(format!(
                "expected a word before `{}`",
                rest.chars().take(24).collect::<String>()
            ))
        } else {
            Ok(word)
        }
    }

    fn integer(&mut self) -> Result<u64, String> {
        self.word()?
            .parse()
            .map_err(|_| "expected a number".to_string())
    }

    fn ty(&mut self) -> Result<Type, String> {
        let dtype = match self.word()? {
            "f32" => DType::F32,
            "i32" => DType::I32,
            "u8" => DType::U8,
            "bool" => DType::Bool,
            other => return Err(format!("no element type `{other}`")),
        };
        let mut dims = Vec::new();
        if self.eat("[") {
            while !self.eat("]") {
                let axis = Axis::new(self.word()?);
                self.expect("=")?;
                let size = usize::try_from(self.integer()?).map_err(|_| "size out of range")?;
                dims.push(Dim { axis, size });
                self.eat(",");
            }
        }
        Ok(Type::new(dtype, Shape(dims)))
    }

    fn op(&mut self) -> Result<Op, String> {
        let name = self.word()?.to_string();
        let value = if self.eat("(") {
            Value::Object(Map::from_iter([(name, self.arguments()?)]))
        } else {
            Value::String(name)
        };
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    fn arguments(&mut self) -> Result<Value, String> {
        let before = self.rest;
        let first = self.word();
        let keyed = first.is_ok() && self.rest.starts_with('=');
        self.rest = before;
        if keyed {
            return self.fields(")");
        }
        let value = self.value()?;
        self.expect(")")?;
        Ok(value)
    }

    fn fields(&mut self, close: &str) -> Result<Value, String> {
        let mut fields = Map::new();
        while !self.eat(close) {
            let key = self.word()?.to_string();
            self.expect("=")?;
            let value = self.value()?;
            fields.insert(key, value);
            self.eat(",");
        }
        Ok(Value::Object(fields))
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.eat("[") {
            let mut items = Vec::new();
            while !self.eat("]") {
                items.push(self.value()?);
                self.eat(",");
            }
            return Ok(Value::Array(items));
        }
        if self.eat("{") {
            return self.fields("}");
        }
        if self.rest.starts_with('"') {
            let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
            let value = stream
                .next()
                .ok_or("expected a string")?
                .map_err(|e| e.to_string())?;
            self.rest = self
                .rest
                .get(stream.byte_offset()..)
                .unwrap_or_default()
                .trim_start();
            return Ok(value);
        }
        self.scalar()
    }

    fn scalar(&mut self) -> Result<Value, String> {
        let word = self.word()?;
        Ok(match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => word
                .parse::<i64>()
                .map_or_else(|_| Value::String(word.to_string()), Value::from),
        })
    }
}

/// Serialises a [`Graph`] as a list of lines.
pub mod graph_text {
    use crate::graph::Graph;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text form.
    pub fn serialize<S: Serializer>(graph: &Graph, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(super::write_graph(graph).lines())
    }

    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Graph, D::Error> {
        let lines = Vec::<String>::deserialize(deserializer)?;
        super::read_graph(&lines.join("\n")).map_err(serde::de::Error::custom)
    }
}

/// Serialises a [`Type`] as its text.
pub mod type_text {
    use crate::shape::Type;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text form.
    pub fn serialize<S: Serializer>(ty: &Type, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(ty)
    }

    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Type, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::read_type(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads the text form of a type.
pub fn read_type(text: &str) -> Result<Type, String> {
    let mut reader = Reader { rest: text.trim() };
    let ty = reader.ty()?;
    if reader.rest.is_empty() {
        Ok(ty)
    } else {
        Err(format!("unexpected `{}`", reader.rest))
    }
}

impl serde::Serialize for ValueId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ValueId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(ValueId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Composite, Input, Literal, MapOp, RandomKind, ReduceKind, Window};

    #[test]
    fn every_op_reads_back() {
        let axis = || Axis::new("a");
        let ops = vec![
            Op::Input(Input::Column(3)),
            Op::Input(Input::Rows),
            Op::Constant(Literal(f32::NEG_INFINITY)),
            Op::Constant(Literal(-1.5e-9)),
            Op::Constant(Literal(-0.0)),
            Op::Integer(-7),
            Op::Position,
            Op::Random(RandomKind::Uniform),
            Op::Random(RandomKind::Below(9)),
            Op::Map(MapOp::Fma),
            Op::Broadcast,
            Op::Rename {
                from: axis(),
                to: Axis::new("b'"),
            },
            Op::Merge {
                axes: vec![axis()],
                into: axis(),
            },
            Op::Split {
                axis: axis(),
                into: vec![axis(), Axis::new("c.d")],
            },
            Op::Slice {
                axis: axis(),
                start: 1,
                step: 2,
            },
            Op::Pad {
                axis: axis(),
                before: 1,
                step: 1,
            },
            Op::Concat { axis: axis() },
            Op::Window(Window {
                axis: axis(),
                out: axis(),
                tap: Axis::new("true"),
                stride: 1,
                dilation: -1,
                offset: -2,
                divide: 1,
                fill: Literal(0.0),
            }),
            Op::Reduce {
                kind: ReduceKind::ArgMax,
                over: vec![axis()],
            },
            Op::Contract { over: vec![axis()] },
            Op::Gather { axis: axis() },
            Op::OneHot { axis: axis() },
            Op::Sample {
                row: axis(),
                column: axis(),
            },
            Op::Composite(Composite::Attend {
                over: vec![axis()],
                key: axis(),
                scale: Literal(0.25),
                causal: Some(axis()),
                narrow: true,
            }),
            Op::Composite(Composite::StopGradient),
        ];
        for op in ops {
            let text = write_op(&op);
            let mut reader = Reader { rest: &text };
            assert_eq!(reader.op().as_ref(), Ok(&op), "{text}");
            assert!(reader.rest.is_empty(), "{text}");
        }
    }

    #[test]
    fn graphs_read_back_and_broken_ones_are_refused() {
        let mut graph = Graph::default();
        let ty = Type::f32(Shape::of(&[("batch", 2), ("class", 3)]));
        let x = graph.push(Op::Input(Input::Column(0)), vec![], ty, Origin(4));
        let s = graph.reduce(ReduceKind::Sum, &[Axis::new("class")], x, Origin(4));
        graph.map(MapOp::Div, &[x, s], Origin(4));
        let text = write_graph(&graph);
        let back = read_graph(&text).expect("reads back");
        assert_eq!(write_graph(&back), text);
        assert!(read_graph(&text.replace("%0, %1", "%0, %9")).is_err());
        assert!(read_graph(&text.replace("[class]", "[color]")).is_err());
    }
}
