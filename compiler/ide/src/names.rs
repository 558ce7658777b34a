//! What every name of every text means: which place declares it, or which closed list it is of.

use crate::files::SourceFile;
use crate::scope::Walk;
use crate::{FileId, MAIN};
use mmh_check::plain_path;
use mmh_diag::Span;
use mmh_syntax::ast::{BlockKind, Item, SectionKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Some bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which file.
    pub file: FileId,
    /// Which bytes.
    pub span: Span,
}

/// What kind of thing a name declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SymbolKind {
    /// A value at the top of a file.
    Let,
    /// A block, model or augmentation.
    Block(BlockKind),
    /// A section.
    Section(SectionKind),
    /// A parameter of a block.
    Param,
    /// A value in a body.
    Local,
    /// A column of a data section.
    Column,
    /// A setting of a section, by which later ones name its value.
    Setting,
}

/// A declared name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) kind: SymbolKind,
    /// What it stands in: a block or a section, by the place of its name.
    pub(crate) owner: Option<Place>,
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The name at this place, in [`Names::symbols`].
    Symbol(Place),
    /// A primitive, by its name.
    Primitive(&'static str),
    /// A setting of a primitive, an optimiser or another closed list: who takes it.
    Setting(String),
    /// One of a closed list that is called in one place, such as `adamw`.
    Choice,
    /// The name of an axis.
    Axis,
    /// A column of the data file.
    SourceColumn,
    /// A word that the language gives a meaning here: `train` of a data set, `best` of a training.
    Member,
}

/// One name in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub(crate) place: Place,
    pub(crate) target: Target,
}

/// Every name of some files.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) symbols: BTreeMap<Place, Symbol>,
    /// By place.
    pub(crate) occurrences: Vec<Occurrence>,
    /// What a file's top level can say, library and imports included.
    pub(crate) tops: Vec<BTreeMap<String, Place>>,
}

impl Names {
    pub(crate) fn of(files: &[Arc<SourceFile>]) -> Self {
        let mut names = Self {
            tops: vec![BTreeMap::new(); files.len()],
            ..Self::default()
        };
        for (file, source) in files.iter().enumerate() {
            names.declare(file, source);
        }
        names.share(files);
        for (file, source) in files.iter().enumerate() {
            let mut walk = Walk::new(&mut names, files, file);
            walk.file(source);
        }
        names.occurrences.sort_by_key(|found| found.place);
        names.occurrences.dedup_by_key(|found| found.place);
        names
    }

    fn declare(&mut self, file: FileId, source: &SourceFile) {
        for item in &source.ast.items {
            let kind = match item {
                Item::Use(_) | Item::Seed(_) => continue,
                Item::Let(_) => SymbolKind::Let,
                Item::Block(block) => SymbolKind::Block(block.kind),
                Item::Section(section) => SymbolKind::Section(section.kind),
            };
            let Some(name) = item.name() else { continue };
            let place = self.symbol(file, &name.text, name.span, kind, None);
            if let Some(tops) = self.tops.get_mut(file) {
                tops.entry(name.text.clone()).or_insert(place);
            }
        }
    }

    /// Gives every file what it uses, and the library.
    fn share(&mut self, files: &[Arc<SourceFile>]) {
        let library: Vec<(String, Place)> = (files.iter().zip(&self.tops))
            .filter(|(file, _)| file.library)
            .flat_map(|(_, tops)| tops.clone())
            .collect();
        let own = self.tops.clone();
        for (id, file) in files.iter().enumerate() {
            let mut more = Vec::new();
            for item in &file.ast.items {
                let Item::Use(it) = item else { continue };
                let from = it
                    .file
                    .as_ref()
                    .and_then(|path| find(files, &beside(&file.path, &path.value)));
                let Some(tops) = from.and_then(|from| own.get(from)) else {
                    continue;
                };
                let known = it.names.iter().filter_map(|name| {
                    let place = tops.get(&name.text)?;
                    Some((name.text.clone(), *place))
                });
                more.extend(known);
            }
            more.extend(library.iter().cloned());
            if let Some(tops) = self.tops.get_mut(id) {
                for (name, place) in more {
                    tops.entry(name).or_insert(place);
                }
            }
        }
    }

    /// Declares a name and says that it stands there.
    pub(crate) fn symbol(
        &mut self,
        file: FileId,
        name: &str,
        span: Span,
        kind: SymbolKind,
        owner: Option<Place>,
    ) -> Place {
        let place = Place { file, span };
        let symbol = Symbol {
            name: name.to_owned(),
            kind,
            owner,
        };
        self.symbols.insert(place, symbol);
        self.occurs(place, Target::Symbol(place));
        place
    }

    pub(crate) fn occurs(&mut self, place: Place, target: Target) {
        if !place.span.is_empty() {
            self.occurrences.push(Occurrence { place, target });
        }
    }

    /// The name at a byte; at the seam of two, the one that starts there.
    pub(crate) fn at(&self, file: FileId, offset: u32) -> Option<&Occurrence> {
        let after = self
            .occurrences
            .partition_point(|found| (found.place.file, found.place.span.start) <= (file, offset));
        let found = self.occurrences.get(after.checked_sub(1)?)?;
        (found.place.file == file && found.place.span.touches(offset)).then_some(found)
    }

    /// Where the name of an occurrence is declared.
    pub(crate) fn declaration(&self, found: &Occurrence) -> Option<Place> {
        match &found.target {
            Target::Symbol(place) => Some(*place),
            Target::Axis => self.first_axis(found),
            Target::Primitive(_)
            | Target::Setting(_)
            | Target::Choice
            | Target::SourceColumn
            | Target::Member => None,
        }
    }

    /// An axis is not declared: it is where the file names it first.
    fn first_axis(&self, found: &Occurrence) -> Option<Place> {
        self.same(found).map(|other| other.place).next()
    }

    /// Every occurrence of the same name, in order.
    pub(crate) fn same<'a>(
        &'a self,
        found: &'a Occurrence,
    ) -> Box<dyn Iterator<Item = &'a Occurrence> + 'a> {
        let all = self.occurrences.iter();
        match &found.target {
            Target::Symbol(_) | Target::Primitive(_) => {
                Box::new(all.filter(move |other| other.target == found.target))
            }
            Target::Axis
            | Target::Setting(_)
            | Target::Choice
            | Target::SourceColumn
            | Target::Member => Box::new(std::iter::once(found)),
        }
    }

    /// The symbol a name means.
    pub(crate) fn symbol_of(&self, found: &Occurrence) -> Option<(Place, &Symbol)> {
        match found.target {
            Target::Symbol(place) => self.symbols.get(&place).map(|symbol| (place, symbol)),
            _ => None,
        }
    }
}

/// What the file at `own` writes as a path, as a path from the recipe's folder.
pub(crate) fn beside(own: &str, written: &str) -> String {
    match own.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{written}"),
        None => written.to_owned(),
    }
}

/// The file at a path from the recipe's folder.
pub(crate) fn find(files: &[Arc<SourceFile>], path: &str) -> Option<FileId> {
    let wanted = plain_path(path);
    files
        .iter()
        .position(|file| !file.library && plain_path(&file.path) == wanted)
        .filter(|id| *id != MAIN || files.len() > 1)
}

/// The declaration whose name stands at a place.
pub(crate) fn item_at(files: &[Arc<SourceFile>], place: Place) -> Option<&Item> {
    let file = files.get(place.file)?;
    let mut items = file.ast.items.iter();
    items.find(|item| item.name().is_some_and(|name| name.span == place.span))
}
