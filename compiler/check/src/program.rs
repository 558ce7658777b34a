//! The files of a recipe, read and named: what every name of every file declares.

use crate::value::Loc;
use crate::world::{TextFault, World};
use mmh_diag::{Code, Diagnostic, SourceId, Span, suggest};
use mmh_syntax::ast::{
    Arg, Block, Body, Call, Expr, File, Item, Let, Section, SectionKind, SeedValue, Type,
};
use std::collections::BTreeMap;

/// One text the recipe is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// Path as written, or `std/nn.mmh` for the standard library.
    pub path: String,
    /// All of it, overrides applied.
    pub text: String,
    /// Whether it belongs to the standard library.
    pub library: bool,
}

/// A declaration and the file it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) source: SourceId,
    pub(crate) item: Item,
}

/// All declarations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) sources: Vec<SourceText>,
    pub(crate) declared: Vec<Declared>,
    names: BTreeMap<(SourceId, String), usize>,
    library: BTreeMap<String, usize>,
    /// Every expression's place, sorted: an origin is an index.
    pub(crate) places: Vec<Loc>,
}

struct Loader<'w> {
    world: &'w dyn World,
    program: Program,
    opened: BTreeMap<String, SourceId>,
    diagnostics: Vec<Diagnostic>,
}

const MOST_FILES: usize = 64;

/// Reads the main file with its overrides, all it uses, and the standard library.
pub(crate) fn load(
    world: &dyn World,
    main: &str,
    overrides: &[(String, String)],
) -> (Program, Vec<Diagnostic>) {
    let mut loader = Loader {
        world,
        program: Program::default(),
        opened: BTreeMap::new(),
        diagnostics: Vec::new(),
    };
    match world.read_text(main) {
        Ok(text) => {
            let (text, faults) = crate::overrides::apply(&text, overrides);
            loader.open(main, text);
            loader.diagnostics.extend(faults);
        }
        Err(fault) => {
            let id = loader.open(main, String::new());
            loader.diagnostics.clear();
            let reason = match fault {
                TextFault::NotFound(reason) => reason,
                TextFault::Escape => "it lies outside the recipe's folder".into(),
            };
            loader.diagnostics.push(
                Diagnostic::error(
                    Code::FileNotFound,
                    format!("`{main}` cannot be read: {reason}"),
                )
                .at(id, Span::at(0), ""),
            );
        }
    }
    for (name, text) in mmh_std::FILES {
        loader.open_library(name, text);
    }
    loader.program.collect_places();
    (loader.program, loader.diagnostics)
}

impl Loader<'_> {
    fn source(&mut self, path: &str, text: String, library: bool) -> (SourceId, File) {
        let id = SourceId(self.program.sources.len() as u32);
        let parsed = mmh_syntax::parse_source(id, &text);
        let file = parsed.file();
        self.diagnostics.extend(parsed.diagnostics);
        self.program.sources.push(SourceText {
            path: path.into(),
            text,
            library,
        });
        (id, file)
    }

    fn open_library(&mut self, name: &str, text: &str) {
        let (id, file) = self.source(&format!("std/{name}"), text.to_string(), true);
        for item in file.items {
            let name = item.name().map(|n| n.text.clone());
            let index = self.program.declared.len();
            self.program.declared.push(Declared { source: id, item });
            if let Some(name) = name {
                self.program.names.insert((id, name.clone()), index);
                self.program.library.insert(name, index);
            }
        }
    }

    fn open(&mut self, path: &str, text: String) -> SourceId {
        let (id, file) = self.source(path, text, false);
        self.opened.insert(path.to_string(), id);
        let mut uses = Vec::new();
        for item in file.items {
            if let Item::Use(it) = &item {
                uses.push(it.clone());
            }
            let name = item.name().cloned();
            let index = self.program.declared.len();
            self.program.declared.push(Declared { source: id, item });
            let Some(name) = name else { continue };
            if let Some(first) = self.program.names.get(&(id, name.text.clone())).copied() {
                self.duplicate(id, &name.text, name.span, first);
            } else {
                self.program.names.insert((id, name.text), index);
            }
        }
        for it in uses {
            self.import(id, &it);
        }
        id
    }

    fn duplicate(&mut self, id: SourceId, name: &str, span: Span, first: usize) {
        let before = self.program.declared.get(first);
        let place = before.and_then(|d| Some((d.source, d.item.name()?.span)));
        let mut diagnostic =
            Diagnostic::error(Code::NameDuplicate, format!("`{name}` is declared twice"))
                .at(id, span, "again here")
                .help("give one of them another name");
        if let Some((source, span)) = place {
            diagnostic = diagnostic.and(source, span, "first here");
        }
        self.diagnostics.push(diagnostic);
    }

    fn import(&mut self, id: SourceId, it: &mmh_syntax::ast::Use) {
        let Some(file) = &it.file else { return };
        let Some(from) = self.used(id, &file.value, file.span) else {
            return;
        };
        for name in &it.names {
            let Some(&index) = self.program.names.get(&(from, name.text.clone())) else {
                let known = self.program.names_of(from);
                let mut diagnostic = Diagnostic::error(
                    Code::NameUnknown,
                    format!("`{}` declares no `{}`", file.value, name.text),
                )
                .at(id, name.span, "");
                if let Some(near) = suggest(&name.text, known.iter().map(String::as_str)) {
                    diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
                }
                self.diagnostics.push(diagnostic);
                continue;
            };
            match self.program.names.get(&(id, name.text.clone())).copied() {
                Some(first) => self.duplicate(id, &name.text, name.span, first),
                None => {
                    self.program.names.insert((id, name.text.clone()), index);
                }
            }
        }
    }

    fn used(&mut self, id: SourceId, path: &str, span: Span) -> Option<SourceId> {
        if let Some(known) = self.opened.get(path) {
            return Some(*known);
        }
        if self.opened.len() >= MOST_FILES {
            let message = format!("a recipe uses at most {MOST_FILES} files");
            self.diagnostics
                .push(Diagnostic::error(Code::LimitTooLarge, message).at(id, span, ""));
            return None;
        }
        match self.world.read_text(path) {
            Ok(text) => Some(self.open(path, text)),
            Err(fault) => {
                let (code, message) = match fault {
                    TextFault::NotFound(reason) => (
                        Code::FileNotFound,
                        format!("`{path}` cannot be read: {reason}"),
                    ),
                    TextFault::Escape => (
                        Code::FileEscape,
                        format!("`{path}` lies outside the recipe's folder"),
                    ),
                };
                self.diagnostics
                    .push(Diagnostic::error(code, message).at(id, span, ""));
                None
            }
        }
    }
}

impl Program {
    /// The declaration a name means in a file: its own, one it uses, or the standard library's.
    pub(crate) fn find(&self, source: SourceId, name: &str) -> Option<usize> {
        self.names
            .get(&(source, name.to_string()))
            .or_else(|| self.library.get(name))
            .copied()
    }

    /// The names a file declares or uses.
    pub(crate) fn names_of(&self, source: SourceId) -> Vec<String> {
        self.names
            .keys()
            .filter(|(s, _)| *s == source)
            .map(|(_, n)| n.clone())
            .collect()
    }

    /// The names of the standard library.
    pub(crate) fn library_names(&self) -> impl Iterator<Item = &str> {
        self.library.keys().map(String::as_str)
    }

    pub(crate) fn is_library(&self, source: SourceId) -> bool {
        self.sources
            .get(source.0 as usize)
            .is_some_and(|s| s.library)
    }

    /// The text at a place.
    pub(crate) fn text(&self, loc: Loc) -> &str {
        self.sources
            .get(loc.source.0 as usize)
            .map_or("", |s| loc.span.text(&s.text))
    }

    pub(crate) fn block(&self, index: usize) -> Option<(&Block, SourceId)> {
        match self.declared.get(index) {
            Some(Declared {
                source,
                item: Item::Block(block),
            }) => Some((block, *source)),
            _ => None,
        }
    }

    pub(crate) fn let_at(&self, index: usize) -> Option<(&Let, SourceId)> {
        match self.declared.get(index) {
            Some(Declared {
                source,
                item: Item::Let(it),
            }) => Some((it, *source)),
            _ => None,
        }
    }

    /// The sections of a kind, in the order written. Data of used files counts, what they would run does not.
    pub(crate) fn sections(
        &self,
        kind: SectionKind,
    ) -> impl Iterator<Item = (usize, &Section, SourceId)> {
        self.declared
            .iter()
            .enumerate()
            .filter_map(move |(i, d)| match &d.item {
                Item::Section(s)
                    if s.kind == kind && (kind == SectionKind::Data || d.source == SourceId(0)) =>
                {
                    Some((i, s, d.source))
                }
                Item::Section(_) | Item::Use(_) | Item::Seed(_) | Item::Let(_) | Item::Block(_) => {
                    None
                }
            })
    }

    /// The seed of the main file.
    pub(crate) fn seed(&self) -> Option<(&SeedValue, Span)> {
        self.declared.iter().find_map(|d| match &d.item {
            Item::Seed(seed) if d.source == SourceId(0) => Some((&seed.value, seed.span)),
            _ => None,
        })
    }

    fn collect_places(&mut self) {
        let mut places = Vec::new();
        for declared in &self.declared {
            if !self.is_library(declared.source) {
                let mut add = |e: &Expr| {
                    places.push(Loc {
                        source: declared.source,
                        span: e.span(),
                    })
                };
                walk_item(&declared.item, &mut add);
            }
        }
        places.sort_unstable();
        places.dedup();
        self.places = places;
    }

    /// The number of a place, for [`mmh_ir::Origin`]: 0 is none.
    pub(crate) fn origin(&self, loc: Loc) -> u32 {
        self.places.binary_search(&loc).map_or(0, |i| i as u32 + 1)
    }
}

/// Calls `visit` for every expression of a declaration.
pub(crate) fn walk_item<'a>(item: &'a Item, visit: &mut dyn FnMut(&'a Expr)) {
    match item {
        Item::Use(_) | Item::Seed(_) => {}
        Item::Let(it) => walk_let(it, visit),
        Item::Block(block) => {
            for param in &block.params {
                walk_type(&param.ty, visit);
                if let Some(default) = &param.default {
                    walk(default, visit);
                }
            }
            if let Some(ty) = &block.returns {
                walk_type(ty, visit);
            }
            walk_body(&block.body, visit);
        }
        Item::Section(section) => walk_section(section, visit),
    }
}

fn walk_let<'a>(it: &'a Let, visit: &mut dyn FnMut(&'a Expr)) {
    if let Some(ty) = &it.ty {
        walk_type(ty, visit);
    }
    walk(&it.value, visit);
}

fn walk_body<'a>(body: &'a Body, visit: &mut dyn FnMut(&'a Expr)) {
    for local in &body.locals {
        walk_let(local, visit);
    }
    if let Some(result) = &body.result {
        walk(result, visit);
    }
}

fn walk_section<'a>(section: &'a Section, visit: &mut dyn FnMut(&'a Expr)) {
    for field in &section.fields {
        if let Some(ty) = &field.ty {
            walk_type(ty, visit);
        }
        walk(&field.value, visit);
    }
}

fn walk_type<'a>(ty: &'a Type, visit: &mut dyn FnMut(&'a Expr)) {
    if let Type::Named {
        axes: Some(axes), ..
    } = ty
    {
        for axis in axes {
            match axis {
                mmh_syntax::ast::Axis::Rest(_) => {}
                mmh_syntax::ast::Axis::Named { size, .. } => {
                    if let Some(size) = size {
                        walk(size, visit);
                    }
                }
                mmh_syntax::ast::Axis::Size(size) => walk(size, visit),
            }
        }
    }
}

/// Calls `visit` for an expression and all inside it, outermost first.
pub(crate) fn walk<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    visit(expr);
    match expr {
        Expr::Number { .. }
        | Expr::Quantity { .. }
        | Expr::Text(_)
        | Expr::Bool { .. }
        | Expr::Path(_)
        | Expr::Rest(_)
        | Expr::Missing(_) => {}
        Expr::Call(call) => walk_args(call, visit),
        Expr::List { items, .. } => items.iter().for_each(|item| walk(item, visit)),
        Expr::Unary { operand: inner, .. } | Expr::Group { inner, .. } => walk(inner, visit),
        Expr::Binary { lhs: a, rhs: b, .. }
        | Expr::Pipe { lhs: a, rhs: b, .. }
        | Expr::Choice {
            default: a,
            space: b,
            ..
        }
        | Expr::Range { lo: a, hi: b, .. } => {
            walk(a, visit);
            walk(b, visit);
        }
        Expr::If {
            condition,
            then,
            otherwise,
            ..
        } => {
            walk(condition, visit);
            walk(then, visit);
            walk(otherwise, visit);
        }
        Expr::Section(section) => walk_section(section, visit),
    }
}

fn walk_args<'a>(call: &'a Call, visit: &mut dyn FnMut(&'a Expr)) {
    for Arg { value, .. } in &call.args {
        walk(value, visit);
    }
}
