//! The files of a recipe, read and named: what every name of every file declares.

use crate::broken::Broken;
use crate::report::MOST_DIAGNOSTICS;
use crate::value::Loc;
use crate::world::{TextFault, World};
use mmh_diag::{Code, Diagnostic, SourceId, Span, suggest};
use mmh_syntax::ast::{
    Arg, Block, Body, Call, Expr, File, Item, Let, Name, Section, SectionKind, SeedValue, Type,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

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
    pub(crate) item: Arc<Item>,
}

/// All declarations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) sources: Vec<SourceText>,
    pub(crate) declared: Vec<Declared>,
    /// What every file declares or uses, by the file's number.
    names: Vec<BTreeMap<String, usize>>,
    /// Where the standard library's declarations begin, which come last.
    library: usize,
    /// Every expression's place, sorted: an origin is an index.
    pub(crate) places: Vec<Loc>,
    /// What could not be read, and what is uncertain with it.
    pub(crate) broken: Broken,
}

/// The standard library, which never changes while the program runs: read once.
struct Library {
    files: Vec<(SourceText, Vec<Arc<Item>>)>,
    /// The number of every declaration, counted through the files.
    names: BTreeMap<String, usize>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let (mut files, mut names, mut count) = (Vec::new(), BTreeMap::new(), 0);
    for (name, text) in mmh_std::FILES {
        let file = mmh_syntax::parse(text).file();
        for item in &file.items {
            if let Some(name) = item.name() {
                names.insert(name.text.clone(), count);
            }
            count += 1;
        }
        let source = SourceText {
            path: format!("std/{name}"),
            text: (*text).to_owned(),
            library: true,
        };
        files.push((source, file.items.into_iter().map(Arc::new).collect()));
    }
    Library { files, names }
});

struct Loader<'w> {
    world: &'w dyn World,
    program: Program,
    /// By path from the recipe's folder.
    opened: BTreeMap<String, SourceId>,
    /// The files that are being read, each with the place where it uses the next.
    reading: Vec<(SourceId, Span)>,
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
        reading: Vec::new(),
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
            let diagnostic = refused(main, fault).at(id, Span::at(0), "");
            loader.diagnostics.push(diagnostic);
        }
    }
    loader.open_library();
    loader.diagnostics.truncate(MOST_DIAGNOSTICS);
    loader.program.collect_places();
    (loader.program, loader.diagnostics)
}

impl Loader<'_> {
    fn source(&mut self, path: &str, text: String) -> (SourceId, File) {
        let id = SourceId(self.program.sources.len() as u32);
        let parsed = mmh_syntax::parse_source(id, &text);
        let file = parsed.file();
        let items = (self.program.declared.len(), file.items.as_slice());
        let broken = &mut self.program.broken;
        broken.read((id, &text), items, &parsed.diagnostics);
        self.diagnostics.extend(parsed.diagnostics);
        self.program.sources.push(SourceText {
            path: path.into(),
            text,
            library: false,
        });
        self.program.names.push(BTreeMap::new());
        (id, file)
    }

    fn open_library(&mut self) {
        self.program.library = self.program.declared.len();
        for (source, items) in &LIBRARY.files {
            let id = SourceId(self.program.sources.len() as u32);
            self.program.sources.push(source.clone());
            let declared = items.iter().map(|item| Declared {
                source: id,
                item: item.clone(),
            });
            self.program.declared.extend(declared);
        }
    }

    fn open(&mut self, path: &str, text: String) -> SourceId {
        let (id, file) = self.source(path, text);
        self.opened.insert(plain(path), id);
        let mut uses = Vec::new();
        for item in file.items {
            if let Item::Use(it) = &item {
                uses.push(it.clone());
            }
            let name = item.name().cloned();
            let index = self.program.declared.len();
            let item = Arc::new(item);
            self.program.declared.push(Declared { source: id, item });
            let Some(name) = name else { continue };
            match self.program.own(id, &name.text) {
                Some(first) => self.duplicate(id, &name, [first, index]),
                None => self.program.declare(id, name.text, index),
            }
        }
        for it in uses {
            let span = it.file.as_ref().map_or(it.span, |file| file.span);
            self.reading.push((id, span));
            self.import(id, &it);
            self.reading.pop();
        }
        id
    }

    fn duplicate(&mut self, id: SourceId, name: &Name, [first, second]: [usize; 2]) {
        self.program.broken.doubt(first);
        if self.program.broken.is_torn(first) || self.program.broken.is_torn(second) {
            return;
        }
        let before = self.program.declared.get(first);
        let place = before.and_then(|d| Some((d.source, d.item.name()?.span)));
        let mut diagnostic = Diagnostic::error(
            Code::NameDuplicate,
            format!("`{}` is declared twice", name.text),
        )
        .at(id, name.span, "again here")
        .help("give one of them another name");
        if let Some((source, span)) = place {
            diagnostic = diagnostic.and(source, span, "first here");
        }
        self.diagnostics.push(diagnostic);
    }

    fn import(&mut self, id: SourceId, it: &mmh_syntax::ast::Use) {
        let Some(file) = &it.file else { return };
        let Some(from) = self.used(id, &file.value, file.span) else {
            for name in &it.names {
                self.program.broken.lose(id, &name.text);
            }
            return;
        };
        for name in &it.names {
            if is_private(&name.text) {
                self.private(id, &file.value, name, from);
                self.program.broken.lose(id, &name.text);
                continue;
            }
            let Some(index) = self.program.own(from, &name.text) else {
                self.program.broken.lose(id, &name.text);
                if self.program.broken.may_declare(from, &name.text) {
                    continue;
                }
                if self.diagnostics.len() >= MOST_DIAGNOSTICS {
                    continue;
                }
                let known = self.program.names_of(from);
                let known = known.filter(|known| !is_private(known));
                let near = suggest(&name.text, known).map(str::to_owned);
                let mut diagnostic = Diagnostic::error(
                    Code::NameUnknown,
                    format!("`{}` declares no `{}`", file.value, name.text),
                )
                .at(id, name.span, "");
                if let Some(near) = near {
                    diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
                }
                self.diagnostics.push(diagnostic);
                continue;
            };
            match self.program.own(id, &name.text) {
                Some(first) => self.duplicate(id, name, [first, index]),
                None => self.program.declare(id, name.text.clone(), index),
            }
        }
    }

    fn private(&mut self, id: SourceId, file: &str, name: &Name, from: SourceId) {
        let message = format!("`{}` belongs to `{file}` alone", name.text);
        let mut diagnostic = Diagnostic::error(Code::NamePrivate, message)
            .at(id, name.span, "used here")
            .help(format!(
                "a name that begins with `_` stays in its file: call it `{}` there",
                name.text.trim_start_matches('_')
            ));
        let index = self.program.own(from, &name.text);
        let declared = index.and_then(|index| self.program.declared.get(index));
        if let Some((source, span)) = declared.and_then(|d| Some((d.source, d.item.name()?.span))) {
            diagnostic = diagnostic.and(source, span, "declared here");
        }
        self.diagnostics.push(diagnostic);
    }

    fn used(&mut self, id: SourceId, written: &str, span: Span) -> Option<SourceId> {
        let path = self.program.beside(id, written);
        if let Some(known) = self.opened.get(&path).copied() {
            if let Some(start) = self.reading.iter().position(|open| open.0 == known) {
                self.circle(start);
                return None;
            }
            return Some(known);
        }
        if self.opened.len() >= MOST_FILES {
            let message = format!("a recipe uses at most {MOST_FILES} files");
            self.diagnostics
                .push(Diagnostic::error(Code::LimitTooLarge, message).at(id, span, ""));
            return None;
        }
        match self.world.read_text(&path) {
            Ok(text) => Some(self.open(&path, text)),
            Err(fault) => {
                let diagnostic = refused(written, fault).at(id, span, "");
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// The files being read, from this one on, use each other in a circle.
    fn circle(&mut self, start: usize) {
        let circle = self.reading.get(start..).unwrap_or_default();
        let path = |id: SourceId| {
            let source = self.program.sources.get(id.0 as usize);
            source.map_or(String::new(), |source| format!("`{}`", source.path))
        };
        let message = match circle {
            [(only, _)] => format!("{} uses itself", path(*only)),
            all => {
                let names: Vec<String> = all.iter().map(|(id, _)| path(*id)).collect();
                format!("files use each other in a circle: {}", names.join(", "))
            }
        };
        let mut diagnostic = Diagnostic::error(Code::FileCycle, message)
            .help("put what both need into a file that uses neither");
        for (at, (id, span)) in circle.iter().rev().enumerate() {
            diagnostic = match at {
                0 => diagnostic.at(*id, *span, "this closes the circle"),
                _ => diagnostic.and(*id, *span, "used here"),
            };
        }
        self.diagnostics.push(diagnostic);
    }
}

/// The name that paths have for a section: the one it had before it was renamed, if it says so.
pub(crate) fn old_name(section: &Section) -> Option<&str> {
    let name = section.name.as_ref().map(|name| name.text.as_str());
    let key = section.key.as_ref().map(|key| key.name.value.as_str());
    key.or(name)
}

/// Whether a name stays in its file.
fn is_private(name: &str) -> bool {
    name.starts_with('_')
}

/// Why a text cannot be used.
fn refused(path: &str, fault: TextFault) -> Diagnostic {
    match fault {
        TextFault::NotFound(reason) => Diagnostic::error(
            Code::FileNotFound,
            format!("`{path}` cannot be read: {reason}"),
        ),
        TextFault::Escape => Diagnostic::error(
            Code::FileEscape,
            format!("`{path}` lies outside the recipe's folder"),
        )
        .help("no path leads out of the folder of the recipe that is run: check the recipe that uses this file, from its own folder"),
        TextFault::Changed { locked, found } => Diagnostic::error(
            Code::FileChanged,
            format!(
                "`{path}` is not the file that was locked: its blake3 was {locked}… and is {found}…"
            ),
        )
        .help("if it was meant to change, run `mmhc lock`"),
    }
}

/// A path without `.` and with `a/..` taken out, so that one file has one name.
pub fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" if !parts.is_empty() => {}
            "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, ".." | "")) => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

impl Program {
    /// The declaration a name means in a file: its own, one it uses, or the standard library's.
    pub(crate) fn find(&self, source: SourceId, name: &str) -> Option<usize> {
        self.own(source, name)
            .or_else(|| Some(self.library + LIBRARY.names.get(name)?))
    }

    /// The declaration a name means among a file's own and those it uses.
    fn own(&self, source: SourceId, name: &str) -> Option<usize> {
        self.names.get(source.0 as usize)?.get(name).copied()
    }

    fn declare(&mut self, source: SourceId, name: String, index: usize) {
        if let Some(names) = self.names.get_mut(source.0 as usize) {
            names.insert(name, index);
        }
    }

    /// The names a file declares or uses.
    pub(crate) fn names_of(&self, source: SourceId) -> impl Iterator<Item = &str> {
        let names = self.names.get(source.0 as usize).into_iter();
        names.flat_map(|names| names.keys().map(String::as_str))
    }

    /// The names of the standard library.
    pub(crate) fn library_names(&self) -> impl Iterator<Item = &str> {
        LIBRARY.names.keys().map(String::as_str)
    }

    /// What a file writes as a path, as a path from the recipe's folder.
    pub(crate) fn beside(&self, id: SourceId, written: &str) -> String {
        let own = self.sources.get(id.0 as usize).map_or("", |s| &s.path);
        let absolute = written.starts_with(['/', '\\']) || written.contains(':');
        match own.rsplit_once('/') {
            Some((folder, _)) if !absolute => plain(&format!("{folder}/{written}")),
            _ => plain(written),
        }
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
            Some(declared) => match declared.item.as_ref() {
                Item::Block(block) => Some((block, declared.source)),
                _ => None,
            },
            None => None,
        }
    }

    pub(crate) fn let_at(&self, index: usize) -> Option<(&Let, SourceId)> {
        match self.declared.get(index) {
            Some(declared) => match declared.item.as_ref() {
                Item::Let(it) => Some((it, declared.source)),
                _ => None,
            },
            None => None,
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
            .filter_map(move |(i, d)| match d.item.as_ref() {
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

    /// The name that paths have for a training: the one it had before it was renamed, if it says so.
    pub(crate) fn training_path(&self, name: &str) -> &str {
        let own = self.sections(SectionKind::Train).find(|(_, section, _)| {
            let found = section.name.as_ref();
            found.is_some_and(|found| found.text == name)
        });
        own.and_then(|(_, section, _)| old_name(section))
            .unwrap_or("")
    }

    /// The seed of the main file.
    pub(crate) fn seed(&self) -> Option<(&SeedValue, Span)> {
        self.declared.iter().find_map(|d| match d.item.as_ref() {
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
        walk_axes(axes, visit);
    }
}

fn walk_axes<'a>(axes: &'a [mmh_syntax::ast::Axis], visit: &mut dyn FnMut(&'a Expr)) {
    for axis in axes {
        match axis {
            mmh_syntax::ast::Axis::Rest(_) | mmh_syntax::ast::Axis::Named { size: None, .. } => {}
            mmh_syntax::ast::Axis::Named {
                size: Some(size), ..
            }
            | mmh_syntax::ast::Axis::Size(size) => walk(size, visit),
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
        Expr::Shape { axes, .. } => walk_axes(axes, visit),
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
