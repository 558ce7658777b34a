//! The file of vectors: JSON, a line each. The first line names the format; every further one is a [`Vector`].
//!
//! ```json
//! {"format": "mmh vectors 1", "edition": 1}
//! {"case": "neg", "graph": ["%0: f32[element = 2] = input(column = 0)", "%1: f32[element = 2] = map(neg) %0"],
//!  "operands": ["00000000 3f800000"], "results": [{"value": 1, "words": "80000000 bf800000"}]}
//! ```
//!
//! `operands[n]` are the elements of `input(column = n)` in logical order, each by its bits as 8 hexadecimal digits; bytes and truth
//! values take a word each. `rows` and `key` are there where a graph draws. A NaN is `7fc00000`. The operations are those of
//! docs/numerics.md.

use crate::{Case, Mismatch};
use mmh_ir::device::Device;
use mmh_ir::text::graph_text;
use mmh_ir::{Graph, ValueId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Write;

/// First word of every file.
pub const FORMAT: &str = "mmh vectors 1";
/// Elements of all operands and values of a case at most: what is read may come from anywhere.
const MOST_ELEMENTS: usize = 1 << 24;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    edition: u32,
}

/// A case with its right answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vector {
    /// What it tests.
    pub case: String,
    /// Its operations, a node a line.
    #[serde(with = "graph_text")]
    pub graph: Graph,
    /// Elements of column n.
    pub operands: Vec<Words>,
    /// Row numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<i32>,
    /// Words of key 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Words>,
    /// The right answers.
    pub results: Vec<Answer>,
}

/// The elements of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its number in the graph.
    pub value: ValueId,
    /// Its elements.
    pub words: Words,
}

/// Elements by their bits, written in hexadecimal with blanks between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<u32>);

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len() * 9);
        for (at, word) in self.0.iter().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            let _ = write!(text, "{blank}{word:08x}");
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let word = |word: &str| match word.len() {
            8 => u32::from_str_radix(word, 16).map_err(serde::de::Error::custom),
            _ => Err(serde::de::Error::custom(format!(
                "`{word}` is no word of 8 hexadecimal digits"
            ))),
        };
        let words: Result<Vec<u32>, D::Error> = text.split_whitespace().map(word).collect();
        words.map(Self)
    }
}

impl Vector {
    /// A case with what `reference` makes of it.
    ///
    /// # Errors
    /// The reference cannot do it.
    pub fn of(case: &Case, reference: &dyn Device) -> Result<Self, String> {
        let answers = case.answers(reference)?;
        let answer = |(value, words): (&ValueId, Vec<u32>)| Answer {
            value: *value,
            words: Words(words),
        };
        Ok(Self {
            case: case.name.clone(),
            graph: case.graph.clone(),
            operands: case.operands.iter().cloned().map(Words).collect(),
            rows: case.rows.clone(),
            key: case.key.map(|key| Words(key.to_vec())),
            results: case.results.iter().zip(answers).map(answer).collect(),
        })
    }

    fn case(&self) -> Result<Case, String> {
        let key = self
            .key
            .as_ref()
            .map(|key| <[u32; 8]>::try_from(key.0.as_slice()));
        Ok(Case {
            name: self.case.clone(),
            graph: self.graph.clone(),
            operands: self.operands.iter().map(|words| words.0.clone()).collect(),
            rows: self.rows.clone(),
            key: key
                .transpose()
                .map_err(|_| "a key has 8 words".to_owned())?,
            results: self.results.iter().map(|answer| answer.value).collect(),
        })
    }

    /// What is wrong with a vector that was read.
    fn fault(&self) -> Option<String> {
        let mut elements = 0_usize;
        for node in &self.graph.nodes {
            let sizes = node.ty.shape.sizes();
            let own = sizes
                .iter()
                .try_fold(1_usize, |all, size| all.checked_mul(*size));
            elements = elements.saturating_add(own.unwrap_or(usize::MAX));
        }
        if elements > MOST_ELEMENTS {
            return Some(format!(
                "it has {elements} elements, more than {MOST_ELEMENTS}"
            ));
        }
        if self.graph.has_composites() {
            return Some("it holds an operation that is no primitive".to_owned());
        }
        for answer in &self.results {
            let Some(node) = self.graph.nodes.get(answer.value.index()) else {
                return Some(format!("there is no value {}", answer.value));
            };
            let (wanted, found) = (node.ty.shape.elements(), answer.words.0.len());
            if wanted != found {
                return Some(format!(
                    "{} has {wanted} elements, and {found} are given",
                    answer.value
                ));
            }
        }
        None
    }

    /// Whether a device has the right answers: the first element that is another, if one is.
    ///
    /// # Errors
    /// The device failed, or cannot do it.
    pub fn check(&self, device: &dyn Device) -> Result<Option<Mismatch>, String> {
        let found = self.case()?.answers(device)?;
        for (answer, found) in self.results.iter().zip(&found) {
            let wanted = &answer.words.0;
            if let Some(element) = (0..wanted.len()).find(|&at| found.get(at) != wanted.get(at)) {
                let at = |words: &Words| match words.0.len() == wanted.len() {
                    true => words.0.get(element).copied(),
                    false => None,
                };
                let operands: Option<Vec<u32>> = self.operands.iter().map(at).collect();
                return Ok(Some(Mismatch {
                    value: answer.value,
                    element,
                    found: found.get(element).copied().unwrap_or_default(),
                    wanted: wanted.get(element).copied().unwrap_or_default(),
                    operands: operands.unwrap_or_default(),
                }));
            }
        }
        Ok(None)
    }
}

/// The text of a file.
pub fn write(vectors: &[Vector], edition: u32) -> String {
    let header = Header {
        format: FORMAT.to_owned(),
        edition,
    };
    let mut out = serde_json::to_string(&header).unwrap_or_default();
    out.push('\n');
    for vector in vectors {
        out.push_str(&serde_json::to_string(vector).unwrap_or_default());
        out.push('\n');
    }
    out
}

/// Reads a file's text.
///
/// # Errors
/// The line, and what is wrong with it.
pub fn read(text: &str, edition: u32) -> Result<Vec<Vector>, String> {
    let mut lines = text.lines().enumerate();
    let header = lines
        .next()
        .map(|(_, line)| serde_json::from_str::<Header>(line));
    match header {
        Some(Ok(header)) if header.format == FORMAT && header.edition == edition => {}
        Some(Ok(header)) if header.format == FORMAT => {
            return Err(format!(
                "it is of edition {}, this is edition {edition}",
                header.edition
            ));
        }
        _ => return Err(format!("its first line is not that of `{FORMAT}`")),
    }
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let place = |reason: String| format!("line {}: {reason}", number + 1);
            let vector: Vector =
                serde_json::from_str(line).map_err(|error| place(error.to_string()))?;
            match vector.fault() {
                Some(reason) => Err(place(reason)),
                None => Ok(vector),
            }
        })
        .collect()
}
