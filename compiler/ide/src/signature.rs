//! What the call being written takes, and which setting the cursor is at.

use crate::Analysis;
use crate::calls::{CallAt, Takes};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As a signature writes it.
    pub label: String,
    /// What it says; may be empty.
    pub doc: String,
}

/// What a call takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The whole, on one line; every parameter's label is part of it.
    pub label: String,
    /// What the called thing does; may be empty.
    pub doc: String,
    /// The settings in order.
    pub parameters: Vec<Parameter>,
    /// The one the cursor is at.
    pub active: Option<usize>,
}

impl Analysis {
    /// What the call around a byte of the main file takes.
    pub fn signature(&self, offset: u32) -> Option<Signature> {
        let call = self.call_at(offset)?;
        let takes = &call.callee.takes;
        let labels: Vec<&str> = takes.iter().map(|taken| taken.label.as_str()).collect();
        let label = format!("{}({})", call.callee.name, labels.join(", "));
        let parameter = |taken: &Takes| Parameter {
            label: taken.label.clone(),
            doc: taken.doc.clone(),
        };
        Some(Signature {
            label,
            doc: call.callee.doc.clone(),
            parameters: takes.iter().map(parameter).collect(),
            active: active(&call),
        })
    }
}

fn active(call: &CallAt) -> Option<usize> {
    let takes = &call.callee.takes;
    if let Some(name) = &call.named {
        return takes.iter().position(|taken| taken.name == *name);
    }
    let free = takes.iter().enumerate().skip(usize::from(call.piped));
    let mut free = free.filter(|(_, taken)| !call.given.contains(&taken.name));
    free.nth(call.before).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use crate::testing::{analyse, marked};

    fn active(text: &str) -> (String, Option<String>) {
        let (text, at, _) = marked(text);
        let found = analyse(&text).signature(at).expect("a signature");
        let label = found.active.map(|at| found.parameters[at].label.clone());
        (found.label, label)
    }

    #[test]
    fn the_setting_at_the_cursor_is_active() {
        let block = |body: &str| {
            format!(
                "mmh 1\nblock b(x: f32[batch, channel, height, width]) -> like x {{\n  {body}\n}}\n"
            )
        };
        let (label, at) = active(&block("x |> conv(/*cursor*/)"));
        assert!(
            label.starts_with("conv(x: f32[batch, channel, height, width], to: int"),
            "{label}"
        );
        assert_eq!(at.as_deref(), Some("to: int"));
        let (_, at) = active(&block("x |> conv(8, stride = /*cursor*/2)"));
        assert_eq!(at.as_deref(), Some("stride = 1"));
        let (_, at) = active(&block("conv(x, /*cursor*/"));
        assert_eq!(at.as_deref(), Some("to: int"));
        let (_, at) = active("mmh 1\ntrain t {\n  optimize = sgd(lr = 1, /*cursor*/\n}\n");
        assert_eq!(at.as_deref(), Some("momentum"));
    }

    #[test]
    fn there_is_none_outside() {
        let (text, at, _) = marked("mmh 1\nlet a = relu(1)/*cursor*/\n");
        assert_eq!(analyse(&text).signature(at), None);
    }
}
