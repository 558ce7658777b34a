//! What editors and the documentation ask beside the diagnostics: the closed tables of settings, and notes on a text.

use crate::core::Cx;
use crate::data::DataSet;
use crate::later;
use crate::search;
use crate::section::Choice;
use crate::value::{Loc, Value};
use crate::world::DataFacts;
use crate::{metrics, optimise, primitives, source, space, train, types, value};
use mmh_ir::plan::{Part, Role};
use mmh_syntax::ast::{Block, BlockKind, SectionKind};
use std::collections::BTreeMap;

/// What is known of the places of a text, also where the recipe holds mistakes.
#[derive(Debug, Default)]
pub struct Notes {
    /// The type of what stands at a place; in a block, as its signature gives it.
    pub types: BTreeMap<Loc, String>,
    /// Behind a step of a flow its type, behind rows their number or the steps of an epoch, behind a length its steps,
    /// behind a model's name its number of parameters.
    pub flows: BTreeMap<Loc, String>,
    /// What every data section's source holds, with the place of the section's name.
    pub data: Vec<(Loc, DataFacts)>,
}

impl Notes {
    pub(crate) fn new(cx: &mut Cx<'_>, data: &[DataSet]) -> Self {
        Self {
            types: std::mem::take(&mut cx.types),
            flows: std::mem::take(&mut cx.flows),
            data: data.iter().map(|d| (d.span, d.facts.clone())).collect(),
        }
    }
}

/// A name that may be called in one place, and its settings in the order of places.
pub type Callable = (&'static str, &'static [&'static str]);

/// The settings of a section. A `data` section has its columns beside them.
pub fn section_settings(kind: SectionKind) -> &'static [&'static str] {
    match kind {
        SectionKind::Data => &["source", "split"],
        SectionKind::Train => train::TRAIN,
        SectionKind::Search => search::SEARCH,
        SectionKind::Evaluate => train::EVALUATE,
        SectionKind::Export => later::EXPORT,
        SectionKind::Federate => later::FEDERATE,
    }
}

/// What may be called as the value of a section's setting; nothing where any expression may stand.
pub fn setting_choices(kind: SectionKind, setting: &str) -> &'static [Callable] {
    let choices: &[Choice] = match (kind, setting) {
        (SectionKind::Data, "source") => source::SOURCES,
        (SectionKind::Data, "split") => source::SPLITS,
        (SectionKind::Train, "optimize") => optimise::OPTIMISERS,
        (SectionKind::Train, "schedule") => optimise::SCHEDULES,
        (SectionKind::Train, "precision") => train::PRECISIONS,
        (SectionKind::Train, "watch") | (SectionKind::Evaluate, "metrics") => metrics::METRICS,
        (SectionKind::Search, "method") => search::METHODS,
        (SectionKind::Search, "propose") => search::PROPOSALS,
        (SectionKind::Export, "to") => later::TARGETS,
        (SectionKind::Export, "verify") => later::VERIFY,
        (SectionKind::Federate, "combine") => later::COMBINE,
        (SectionKind::Federate, "privacy") => later::PRIVACY,
        (SectionKind::Federate, "watch") => metrics::METRICS,
        _ => &[],
    };
    choices
}

/// What may stand behind `~`.
pub fn spaces() -> &'static [Callable] {
    space::SPACES
}

/// The settings of a primitive in the order of places, the first being what flows in, and whether names of axes or columns
/// may be given beside them.
pub fn primitive_settings(name: &str) -> Option<(&'static [&'static str], bool)> {
    let primitive = primitives::TABLE.get(primitives::find(name)?)?;
    Some((primitive.params, primitive.extra))
}

/// The words of types.
pub fn type_words() -> &'static [&'static str] {
    types::WORDS
}

/// Every unit and what it measures, in words.
pub fn units() -> impl Iterator<Item = (&'static str, &'static str)> {
    value::UNITS
        .iter()
        .map(|(unit, kind, _)| (*unit, kind.measures()))
}

impl<'p> Cx<'p> {
    /// Notes what came out of a step.
    pub(crate) fn note_step(&mut self, step: Loc, value: &Value) {
        match value {
            Value::Tensor(tensor) => {
                self.flow(step, || tensor.text());
            }
            Value::Rows(rows) => {
                let part = rows.part.unwrap_or(Part::Train);
                let count = self.data.get(rows.data).map_or(0, |set| set.rows_in(part));
                let text = match rows.batch {
                    _ if count == 0 => return,
                    Some(size) if size > 0 => format!("{} steps per epoch", count.div_ceil(size)),
                    _ => format!("{count} rows"),
                };
                self.flow(step, || text);
            }
            _ => {}
        }
    }

    /// Notes a model's number of parameters where its signature alone gives their sizes.
    pub(crate) fn count_parameters(&mut self, block: &Block, before: usize) {
        if block.kind != BlockKind::Model || self.vague || self.assumed || self.open {
            return;
        }
        let parameters = self
            .state
            .iter()
            .skip(before)
            .filter(|s| s.role == Role::Parameter);
        let count: u128 = parameters
            .map(|s| {
                s.ty.shape
                    .0
                    .iter()
                    .map(|d| d.size as u128)
                    .product::<u128>()
            })
            .sum();
        let at = self.at(block.name.span);
        self.flow(at, || format!("{} parameters", grouped(count)));
    }
}

/// Digits in groups of three: `12,345`.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn every_choice_belongs_to_a_setting_of_its_section() {
        for kind in SectionKind::ALL {
            let mut choices = 0;
            for setting in section_settings(kind) {
                choices += setting_choices(kind, setting).len();
            }
            assert!(choices > 0, "{}", kind.word());
        }
    }
}
