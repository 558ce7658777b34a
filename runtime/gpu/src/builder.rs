//! A shader and its parameters, written side by side: the text depends on the form of a step alone, sizes and places go
//! into parameters, so that steps of one form share one pipeline.

use mmh_lower::schedule::Arg;
use std::fmt::Write;

/// Threads of a workgroup.
pub(crate) const THREADS: usize = 64;

/// Words ahead of a step's own parameters: zero, gate, groups in a grid row, count.
const HEADER: usize = 4;

/// One dispatch.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// Without the prelude.
    pub(crate) source: String,
    /// From [`HEADER`] on; what stands before is filled in by the executor.
    pub(crate) params: Vec<u32>,
    /// Threads, or workgroups where the step works by groups.
    pub(crate) count: usize,
    /// Whether `count` counts workgroups.
    pub(crate) by_groups: bool,
}

impl Launch {
    pub(crate) fn groups(&self) -> usize {
        if self.by_groups {
            self.count
        } else {
            self.count.div_ceil(THREADS)
        }
    }
}

/// Collects text and parameters.
#[derive(Clone, Default)]
pub(crate) struct Builder {
    pub(crate) params: Vec<u32>,
    pub(crate) text: String,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            params: vec![0; HEADER],
            text: String::new(),
        }
    }

    /// A parameter; gives the expression that reads it.
    pub(crate) fn word(&mut self, value: u32) -> String {
        self.params.push(value);
        format!("par[{}u]", self.params.len() - 1)
    }

    /// A size or a place.
    pub(crate) fn size(&mut self, value: usize) -> String {
        self.word(value as u32)
    }

    /// A signed parameter.
    pub(crate) fn signed(&mut self, value: i64) -> String {
        self.word((value as i32).cast_unsigned());
        format!("par_i({}u)", self.params.len() - 1)
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Takes `flat` (a u32 expression) apart by loop sizes; gives the names of the places, outermost first.
    pub(crate) fn places(&mut self, flat: &str, prefix: &str, sizes: &[usize]) -> Vec<String> {
        let names: Vec<String> = (0..sizes.len()).map(|i| format!("{prefix}{i}")).collect();
        if sizes.len() == 1 {
            self.line(format!("let {prefix}0 = {flat};"));
            return names;
        }
        self.line(format!("var {prefix}rest = {flat};"));
        for (at, size) in sizes.iter().enumerate().rev() {
            if at == 0 {
                self.line(format!("let {prefix}0 = {prefix}rest;"));
            } else {
                let size = self.size(*size);
                self.line(format!(
                    "let {prefix}{at} = {prefix}rest % {size}; {prefix}rest = {prefix}rest / {size};"
                ));
            }
        }
        names
    }

    /// The word number `base + Σ place · stride`.
    pub(crate) fn address(&mut self, base: usize, places: &[String], strides: &[isize]) -> String {
        let mut out = self.size(base);
        for (place, stride) in places.iter().zip(strides) {
            let stride = self.word((*stride as i32).cast_unsigned());
            let _ = write!(out, " + {place} * {stride}");
        }
        out
    }

    /// One thread for each of `count`; the text so far is the inside, with `flat` as its number.
    pub(crate) fn by_threads(self, count: usize) -> Launch {
        let source = format!(
            "@compute @workgroup_size({THREADS})\n\
             fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) l: u32) {{\n\
             start();\n\
             let flat = (w.y * par[2] + w.x) * {THREADS}u + l;\n\
             if (flat >= par[3]) {{ return; }}\n{}}}\n",
            self.text
        );
        Launch {
            source,
            params: self.params,
            count,
            by_groups: false,
        }
    }
}

/// Words of memory of a schedule's buffers.
pub(crate) struct Words(pub(crate) Vec<usize>);

impl Words {
    /// First word of an operand.
    pub(crate) fn of(&self, arg: &Arg) -> usize {
        self.0[arg.buffer.index()] + arg.offset
    }
}
