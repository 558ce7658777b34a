//! From a recipe's text to what it means: names, types, shapes, units, effects.
//!
//! What flows in: the path of a recipe and a [`World`] that reads texts and knows data. What flows out: a [`Checked`] with
//! diagnostics and, if none is an error, a [`Recipe`], whose [`Recipe::forward`] builds the graph of one purpose at one
//! batch size. Read [`check`] first: it is the order of the passes.
//!
//! The checker is an abstract evaluator (`core`, `expr`, `call`, `types`, `primitives`): blocks are unfolded where they are
//! called, sizes are polynomials, and the same walk that finds mistakes makes the nodes of a graph.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod arguments;
mod broken;
mod call;
mod choices;
mod columns;
mod core;
mod data;
pub mod editor;
mod expr;
mod forward;
mod generic;
mod kinds;
mod later;
mod legacy;
mod makes;
mod metrics;
mod operators;
mod optimise;
mod overrides;
mod poly;
mod primitives;
mod program;
pub mod recipe;
mod search;
mod section;
mod source;
mod space;
mod state;
mod train;
mod types;
mod unfold;
mod value;
mod world;

pub use choices::{Alternative, Place, chosen_texts, setting_text};
pub use columns::column_name;
pub use program::{SourceText, plain as plain_path};
pub use recipe::Recipe;
pub use value::Loc;
pub use world::{
    ColumnFact, DataFacts, DataFault, FactKind, FileRequest, SourceRequest, TextFault, Wanted,
    World,
};

use crate::core::Cx;
use mmh_diag::{Code, Diagnostic, SourceId, Span};
use mmh_numerics::random::Seed;
use mmh_syntax::ast::{SectionKind, SeedValue};
use recipe::Declarations;

/// Every primitive call: its name, its signature, and one sentence about it. Editors and the docs read it.
pub fn primitive_signatures() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    primitives::TABLE
        .iter()
        .map(|p| (p.name, p.signature, p.doc))
}

/// What came of checking.
#[derive(Debug)]
pub struct Checked {
    /// The recipe, if nothing is wrong with it.
    pub recipe: Option<Recipe>,
    /// Everything found, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that diagnostics point into; a [`SourceId`] is an index.
    pub sources: Vec<SourceText>,
    /// What editors show beside the text, as far as it is known.
    pub notes: editor::Notes,
}

/// Checks the recipe at `main`, its values replaced by `overrides` (`("fit.length", "2 epochs")`).
pub fn check(world: &dyn World, main: &str, overrides: &[(String, String)]) -> Checked {
    check_choices(world, main, overrides, true)
}

/// Checks a recipe whose every choice was found to hold its shapes before, as for the trials of a search.
pub fn check_trial(world: &dyn World, main: &str) -> Checked {
    check_choices(world, main, &[], false)
}

fn check_choices(
    world: &dyn World,
    main: &str,
    overrides: &[(String, String)],
    every_choice: bool,
) -> Checked {
    let (program, mut diagnostics) = program::load(world, main, overrides);
    let sources = program.sources.clone();
    let unread = |d: &Diagnostic| d.code == Code::LimitTooLarge && d.is_error();
    if diagnostics.iter().any(unread) {
        return Checked {
            recipe: None,
            diagnostics,
            sources,
            notes: editor::Notes::default(),
        };
    }
    let whole = !diagnostics.iter().any(Diagnostic::is_error);
    let mut cx = Cx::new(&program, vec![]);
    cx.hovers = Some(std::collections::BTreeMap::new());
    let seed = seed(&mut cx);
    source::load(&mut cx, world);
    cx.check_blocks();
    let trained: Vec<_> = section_list(&program, SectionKind::Train)
        .into_iter()
        .map(|declared| (declared, cx.check_train(declared)))
        .collect();
    let trainings: Vec<usize> = trained
        .iter()
        .filter(|(_, t)| t.is_ok())
        .map(|(d, _)| *d)
        .collect();
    let evaluated: Vec<_> = section_list(&program, SectionKind::Evaluate)
        .into_iter()
        .map(|declared| (declared, cx.check_evaluate(declared, &trainings)))
        .collect();
    let mut not_yet = cx.check_later();
    let trains: Vec<(usize, &recipe::Train)> = trained
        .iter()
        .filter_map(|(declared, train)| train.as_ref().ok().map(|train| (*declared, train)))
        .collect();
    let search = cx.check_searches(seed, &trains, &mut not_yet);
    cx.check_lets();
    for site in space::sites(&program) {
        let _ = cx.check_space(&site);
    }
    if every_choice && whole && !cx.diagnostics.iter().any(Diagnostic::is_error) {
        generic::check_choices(&mut cx, &trainings);
    }
    diagnostics.append(&mut cx.diagnostics);
    diagnostics.sort_by_key(|d| d.primary().map(|l| (l.source, l.span.start)));
    keep_one_limit(&mut diagnostics);
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    let (data, hovers) = (
        std::mem::take(&mut cx.data),
        cx.hovers.take().unwrap_or_default().into_iter(),
    );
    let notes = editor::Notes::new(&mut cx, &data);
    drop(cx);
    let plans: Option<Vec<_>> = data.iter().map(data::DataSet::plan).collect();
    let recipe = match (failed, seed, plans) {
        (false, Some(seed), Some(plans)) => {
            let declarations = Declarations {
                recipe_hash: hash(&program),
                seed,
                data: plans,
                trainings: trained.into_iter().filter_map(|(_, t)| t.ok()).collect(),
                evaluations: evaluated
                    .iter()
                    .filter_map(|(_, e)| e.as_ref().ok())
                    .cloned()
                    .collect(),
                search,
                not_yet,
            };
            let evaluations = evaluated
                .into_iter()
                .filter(|(_, e)| e.is_ok())
                .map(|(d, _)| d)
                .collect();
            Some(Recipe {
                declarations,
                program,
                data,
                trainings,
                evaluations,
                hovers: hovers.map(|(loc, known)| (loc, known.text)).collect(),
            })
        }
        _ => None,
    };
    Checked {
        recipe,
        diagnostics,
        sources,
        notes,
    }
}

/// One limit that is exceeded is enough to know; the others mostly follow from it.
fn keep_one_limit(found: &mut Vec<Diagnostic>) {
    let mut seen = false;
    found.retain(|diagnostic| {
        let limit = diagnostic.code == Code::LimitTooLarge && diagnostic.is_error();
        let keep = !(limit && seen);
        seen |= limit;
        keep
    });
}

fn section_list(program: &program::Program, kind: SectionKind) -> Vec<usize> {
    program
        .sections(kind)
        .map(|(declared, _, _)| declared)
        .collect()
}

fn seed(cx: &mut Cx<'_>) -> Option<[u8; 32]> {
    let Some((value, span)) = cx.program.seed() else {
        let trains = cx.program.sections(SectionKind::Train).next().is_some();
        if trains && !cx.program.broken.is_adrift() {
            let at = Span::at(0);
            let _: value::Eval<()> = cx.fail_at(
                Code::SeedMissing,
                at,
                "the recipe has no seed",
                "add a line `seed 7`; `mmhc seed` draws one",
            );
            return None;
        }
        return Some([0; 32]);
    };
    let loc = Loc {
        source: SourceId(0),
        span,
    };
    let found = match value {
        SeedValue::Integer(digits) => digits.parse::<u128>().ok().map(Seed::from_integer),
        SeedValue::Phrase(text) => Some(Seed::from_phrase(&text.value)),
        SeedValue::Hex(digits) => Seed::from_hex(digits).ok(),
        SeedValue::Missing => return None,
    };
    if found.is_none() {
        let _: value::Eval<()> = cx.fail(
            Code::SeedInvalid,
            loc,
            "this is no seed",
            "write an integer of up to 38 digits, a phrase in quotes, or 64 hexadecimal digits",
        );
    }
    found.map(|seed| seed.0)
}

fn hash(program: &program::Program) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("mmh recipe 1");
    for source in program.sources.iter().filter(|s| !s.library) {
        for part in [&source.path, &source.text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}
