//! From a recipe's text to what it means: names, types, shapes, units, effects.
//!
//! What flows in: the path of a recipe and a [`World`] that reads texts and knows data. What flows out: a [`Checked`] with
//! diagnostics and, if none is an error, a [`Recipe`], whose [`Recipe::forward`] builds the graph of one purpose at one
//! batch size. Read [`check`] first: it is the order of the passes.
//!
//! The checker is an abstract evaluator (`core`, `expr`, `call`, `types`, `primitives`): blocks are unfolded where they are
//! called, sizes are polynomials, and the same walk that finds mistakes makes the nodes of a graph.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod again;
mod arguments;
mod broken;
mod call;
mod choices;
mod columns;
mod core;
mod data;
pub mod editor;
mod expr;
mod figures;
mod forward;
mod generic;
mod kinds;
mod known;
mod later;
mod legacy;
mod limits;
mod makes;
mod metrics;
mod operators;
mod optimise;
mod overrides;
mod poly;
mod primitives;
mod program;
pub mod recipe;
mod report;
mod search;
mod section;
mod shapes;
mod source;
mod space;
mod start;
mod state;
mod together;
mod train;
mod types;
mod unfold;
mod value;
mod world;

pub use again::{Earlier, check_again, check_first};
pub use choices::{Alternative, Place, chosen_texts, setting_text};
pub use columns::column_name;
pub use program::{SourceText, plain as plain_path};
pub use recipe::Recipe;
pub use value::Loc;
pub use world::{
    ColumnFact, DataFacts, DataFault, FactKind, FileRequest, SourceRequest, TextFault, Wanted,
    WeightFacts, World,
};

use crate::core::Cx;
use mmh_diag::{Code, Diagnostic, SourceId, Span};
use mmh_numerics::random::Seed;
use mmh_syntax::ast::{SectionKind, SeedValue};
use recipe::Declarations;
use std::collections::BTreeMap;

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
    let (program, found) = program::load(world, main, overrides);
    elaborate(world, program, found, &Way::Whole { every_choice }).0
}

/// How much is to be found out.
enum Way {
    /// All there is; whether each choice of a space is tried is said beside.
    Whole { every_choice: bool },
    /// The mistakes in reach of an edit, and nothing for editors.
    Again(again::Reach),
}

impl Way {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. })
    }

    /// Whether a declaration is looked at.
    fn reaches(&self, declared: usize) -> bool {
        match self {
            Self::Whole { .. } => true,
            Self::Again(reach) => reach.has(declared),
        }
    }
}

/// Finds out what a program means. The number is that of the steps it took.
fn elaborate(
    world: &dyn World,
    program: program::Program,
    mut diagnostics: Vec<Diagnostic>,
    way: &Way,
) -> (Checked, u64) {
    let sources = program.sources.clone();
    diagnostics.extend(limits::exceeded(&program));
    let unread = |d: &Diagnostic| d.code == Code::LimitTooLarge && d.is_error();
    if diagnostics.iter().any(unread) {
        let checked = Checked {
            recipe: None,
            diagnostics,
            sources,
            notes: editor::Notes::default(),
        };
        return (checked, 0);
    }
    let whole = !diagnostics.iter().any(Diagnostic::is_error);
    let mut cx = Cx::new(&program, vec![]);
    cx.hovers = way.is_whole().then(BTreeMap::new);
    let found = sections(&mut cx, world, way, whole);
    diagnostics.append(&mut cx.diagnostics);
    diagnostics.sort_by_key(|d| d.primary().map(|l| (l.source, l.span.start)));
    keep_one_limit(&mut diagnostics);
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    let data = std::mem::take(&mut cx.data);
    let hovers = cx.hovers.take().unwrap_or_default().into_iter();
    let notes = match way.is_whole() {
        true => editor::Notes::new(&mut cx, &data),
        false => editor::Notes::default(),
    };
    let spent = cx.spent;
    drop(cx);
    let recipe = match failed || !way.is_whole() {
        true => None,
        false => found.recipe(
            program,
            data,
            hovers.map(|(loc, known)| (loc, known.text)).collect(),
        ),
    };
    let checked = Checked {
        recipe,
        diagnostics,
        sources,
        notes,
    };
    (checked, spent)
}

/// What the sections of a recipe came to, each with the number of its declaration.
struct Sections {
    seed: Option<[u8; 32]>,
    trained: Vec<(usize, recipe::Train)>,
    evaluated: Vec<(usize, recipe::Evaluate)>,
    search: Option<recipe::Search>,
    not_yet: Vec<recipe::NotYet>,
}

/// Checks all declarations that are in reach; choices are tried where the text could be read whole.
fn sections<'p>(cx: &mut Cx<'p>, world: &'p dyn World, way: &Way, whole: bool) -> Sections {
    let program = cx.program;
    let seed = seed(cx);
    source::load(cx, world);
    cx.check_blocks(way);
    let (mut trained, mut trainings) = (Vec::new(), Vec::new());
    for declared in section_list(program, SectionKind::Train) {
        if !way.reaches(declared) {
            trainings.push(declared);
        } else if let Ok(train) = cx.check_train(declared) {
            trainings.push(declared);
            trained.push((declared, train));
        }
    }
    let evaluated = section_list(program, SectionKind::Evaluate).into_iter();
    let evaluated = evaluated.filter(|declared| way.reaches(*declared));
    let evaluated = evaluated.filter_map(|declared| {
        let evaluation = cx.check_evaluate(declared, &trainings).ok()?;
        Some((declared, evaluation))
    });
    let evaluated = evaluated.collect();
    let mut not_yet = cx.check_later(way);
    let known: Vec<(usize, &recipe::Train)> =
        trained.iter().map(|(d, train)| (*d, train)).collect();
    let search = cx.check_searches(seed, &known, &mut not_yet);
    cx.check_lets(way);
    for site in space::sites(program) {
        let _ = cx.check_space(&site);
    }
    let every_choice = match way {
        Way::Whole { every_choice } => *every_choice,
        Way::Again(reach) => {
            trainings.retain(|declared| reach.every_choice || reach.has(*declared));
            true
        }
    };
    if every_choice && whole && !cx.diagnostics.iter().any(Diagnostic::is_error) {
        together::check_choices(cx, &trainings);
    }
    Sections {
        seed,
        trained,
        evaluated,
        search,
        not_yet,
    }
}

impl Sections {
    /// The recipe, if nothing that it needs is missing.
    fn recipe(
        self,
        program: program::Program,
        data: Vec<data::DataSet>,
        hovers: BTreeMap<Loc, String>,
    ) -> Option<Recipe> {
        let (trainings, trained) = self.trained.into_iter().unzip();
        let (evaluations, evaluated) = self.evaluated.into_iter().unzip();
        let declarations = Declarations {
            recipe_hash: hash(&program),
            seed: self.seed?,
            data: data
                .iter()
                .map(data::DataSet::plan)
                .collect::<Option<_>>()?,
            trainings: trained,
            evaluations: evaluated,
            search: self.search,
            not_yet: self.not_yet,
        };
        Some(Recipe {
            declarations,
            program,
            data,
            trainings,
            evaluations,
            hovers,
        })
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
