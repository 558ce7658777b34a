//! What may be written at the cursor.

use crate::calls::{CallAt, one_line, takes_axes, text_of};
use crate::files::SourceFile;
use crate::hover::kind_text;
use crate::names::{Place, SymbolKind, Target, find, item_at};
use crate::shapes::axes_of_shape;
use crate::{Analysis, MAIN, docs};
use mmh_check::editor;
use mmh_diag::Span;
use mmh_syntax::ast::{BlockKind, Expr, Item, Section, SectionKind};
use mmh_syntax::{Kind, NodeId};

/// What a completion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompletionKind {
    /// A setting of a call or a section.
    Setting,
    /// A primitive, a block, or one of a closed list.
    Function,
    /// A model.
    Model,
    /// A section.
    Section,
    /// A named value.
    Value,
    /// An axis.
    Axis,
    /// A column, a part of the rows, a member.
    Member,
    /// A unit.
    Unit,
    /// A type word.
    Type,
    /// A word of the language.
    Keyword,
}

/// One thing that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As the list shows it.
    pub label: String,
    /// What it is.
    pub kind: CompletionKind,
    /// A type, a value or a signature; may be empty.
    pub detail: String,
    /// Sentences; may be empty.
    pub doc: String,
    /// What is written in place of `replaces`.
    pub insert: String,
    /// The word that was begun.
    pub replaces: Span,
}

/// The cursor and what stands before it.
struct Cursor<'a> {
    file: &'a SourceFile,
    /// Where the word begins that the cursor is in or behind.
    start: u32,
    offset: u32,
    /// What stands before that word.
    before: &'a str,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a SourceFile, offset: u32) -> Option<Self> {
        let text = file.text.get(..offset as usize)?;
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let mut start = text.trim_end_matches(word).len();
        let begun = text.get(start..).unwrap_or("");
        start += begun.len() - begun.trim_start_matches(|l: char| l.is_ascii_digit()).len();
        let before = text.get(..start)?;
        Some(Self {
            file,
            start: start as u32,
            offset,
            before,
        })
    }

    /// Before the word, blanks of the line left away.
    fn behind(&self) -> &'a str {
        self.before.trim_end_matches([' ', '\t'])
    }

    fn line_begins(&self) -> bool {
        let behind = self.behind();
        behind.is_empty() || behind.ends_with(['\n', '{', '}'])
    }

    fn in_words(&self) -> bool {
        let tree = &self.file.tree;
        let token = self.offset.checked_sub(1).and_then(|at| tree.token_at(at));
        token.is_some_and(|id| {
            let (kind, end) = (tree.kind(id), tree.span(id).end);
            match kind {
                Kind::Comment | Kind::Doc | Kind::BadString => true,
                Kind::String => self.offset < end,
                _ => false,
            }
        })
    }

    /// The innermost brackets around the cursor.
    fn inside(&self) -> Option<NodeId> {
        let tree = &self.file.tree;
        let before = self.before.trim_end();
        let at = tree.token_at((before.len() as u32).checked_sub(1)?)?;
        tree.ancestors(at).find(|id| {
            let bracketed = matches!(
                tree.kind(*id),
                Kind::Args
                    | Kind::Fields
                    | Kind::Body
                    | Kind::Params
                    | Kind::List
                    | Kind::Axes
                    | Kind::Names
            );
            let closed = tree.text_of(*id).ends_with([')', ']', '}']);
            let span = tree.span(*id);
            bracketed && span.start < self.start && (!closed || self.offset < span.end)
        })
    }
}

impl Analysis {
    /// What may be written at a byte of the main file, the likeliest first.
    pub fn completions(&self, offset: u32) -> Vec<Completion> {
        let Some(cursor) = self.file(MAIN).and_then(|file| Cursor::new(file, offset)) else {
            return Vec::new();
        };
        if cursor.in_words() {
            return Vec::new();
        }
        let mut list = List {
            replaces: Span::new(cursor.start, offset),
            items: Vec::new(),
        };
        self.fill(&cursor, &mut list);
        list.items
    }

    fn fill(&self, cursor: &Cursor<'_>, list: &mut List) {
        let behind = cursor.behind();
        if behind.ends_with('.') && !behind.ends_with("..") {
            return self.members(behind.len() as u32 - 1, list);
        }
        if ends_with_number(behind) {
            for (unit, measures) in editor::units() {
                list.add(unit, CompletionKind::Unit, measures, "");
            }
            return;
        }
        if behind.ends_with("|>") {
            return self.steps(list);
        }
        if behind.ends_with('~') {
            return list.choices(editor::spaces());
        }
        if behind.ends_with("->") || behind.ends_with(':') {
            list.keyword("like");
            for word in editor::type_words() {
                list.add(word, CompletionKind::Type, "", "");
            }
            return;
        }
        match cursor.inside() {
            Some(id) => self.within(cursor, id, list),
            None if cursor.line_begins() => top_level(list),
            None => self.values(cursor.offset, list),
        }
    }

    fn within(&self, cursor: &Cursor<'_>, id: NodeId, list: &mut List) {
        let tree = &cursor.file.tree;
        match tree.kind(id) {
            Kind::Args => self.arguments(cursor, list),
            Kind::Fields => self.fields(cursor, id, list),
            Kind::Axes => {
                self.axes(list);
                self.shapes(cursor.offset, list);
            }
            Kind::Names => self.used_names(cursor, id, list),
            Kind::Params => {}
            Kind::List => {
                let call = self.call_at(cursor.offset);
                let axes = call.is_some_and(|call| wants_axes(&call));
                if axes {
                    self.axes(list);
                    return self.shapes(cursor.offset, list);
                }
                list.choices(&self.choices_at(cursor.start));
                self.values(cursor.offset, list);
            }
            _ => {
                if cursor.line_begins() {
                    list.keyword("let");
                }
                self.values(cursor.offset, list);
            }
        }
    }

    fn arguments(&self, cursor: &Cursor<'_>, list: &mut List) {
        let Some(call) = self.call_at(cursor.offset) else {
            return self.values(cursor.offset, list);
        };
        let behind = cursor.before.trim_end();
        if !behind.ends_with(['(', ',']) {
            if wants_axes(&call) {
                self.axes(list);
            }
            return self.values(cursor.offset, list);
        }
        let first = usize::from(call.piped);
        let open = call.callee.takes.iter().skip(first);
        for taken in open.filter(|taken| !call.given.contains(&taken.name)) {
            list.setting(&taken.name, &taken.label, &taken.doc);
        }
        if call.callee.open && call.callee.name == "map" {
            for column in self.own_columns() {
                list.setting(&column, "a column of the rows", "");
            }
        } else if call.callee.open {
            for axis in self.axis_names() {
                list.item(
                    &axis,
                    CompletionKind::Axis,
                    "an axis",
                    "",
                    format!("{axis} = "),
                );
            }
        }
        self.values(cursor.offset, list);
    }

    fn fields(&self, cursor: &Cursor<'_>, id: NodeId, list: &mut List) {
        let Some(kind) = crate::calls::section_of(cursor.file, id) else {
            return;
        };
        if !cursor.line_begins() {
            list.choices(&self.choices_at(cursor.start));
            return self.values(cursor.offset, list);
        }
        let tree = &cursor.file.tree;
        let given: Vec<&str> = tree
            .parts(id)
            .filter(|field| !tree.span(*field).touches(cursor.offset))
            .filter_map(|field| tree.part(field, Kind::Name))
            .map(|name| tree.text_of(name))
            .collect();
        for name in editor::section_settings(kind) {
            if !given.contains(name) {
                list.setting(name, "", docs::setting(kind.word(), name));
            }
        }
    }

    fn used_names(&self, cursor: &Cursor<'_>, id: NodeId, list: &mut List) {
        let tree = &cursor.file.tree;
        let path = tree.parent(id).and_then(|it| tree.part(it, Kind::String));
        let path = path.map(|path| tree.text_of(path).trim_matches('"'));
        let Some(file) = path.and_then(|path| find(self.files(), path)) else {
            return;
        };
        for item in self.file(file).map_or(&[][..], |file| &file.ast.items) {
            if let Some(name) = item.name()
                && !name.text.starts_with('_')
            {
                let place = Place {
                    file,
                    span: name.span,
                };
                self.symbol_item(place, list);
            }
        }
    }

    /// What may follow a `|>`.
    fn steps(&self, list: &mut List) {
        for place in self.tops() {
            let kind = self.names().symbols.get(&place).map(|symbol| symbol.kind);
            if matches!(kind, Some(SymbolKind::Block(_))) {
                self.symbol_item(place, list);
            }
        }
        primitives(list);
    }

    /// What an expression may begin with, nearest scope first.
    fn values(&self, offset: u32, list: &mut List) {
        let item = self.item_around(offset);
        match item {
            Some(Item::Block(block)) => {
                for local in block.body.locals.iter().rev() {
                    if local.span.end <= offset {
                        list.add(
                            &local.name.text,
                            CompletionKind::Value,
                            &self.type_of(local.name.span),
                            "",
                        );
                    }
                }
                for param in &block.params {
                    let ty = one_line(param.ty.span().text(self.text()));
                    list.add(&param.name.text, CompletionKind::Value, &ty, "");
                }
                for axis in self.axis_names() {
                    list.add(&axis, CompletionKind::Axis, "its size", "");
                }
            }
            Some(Item::Section(section)) => self.section_values(section, offset, list),
            Some(Item::Let(_) | Item::Use(_) | Item::Seed(_)) | None => {}
        }
        for place in self.tops() {
            self.symbol_item(place, list);
        }
        primitives(list);
        for word in ["true", "false", "if", "not"] {
            list.keyword(word);
        }
    }

    fn section_values(&self, section: &Section, offset: u32, list: &mut List) {
        for field in &section.fields {
            let seen = match section.kind {
                SectionKind::Data => field.ty.is_some() || field.name.text == "source",
                _ => field.span.end <= offset,
            };
            if seen && !field.span.touches(offset) {
                list.add(
                    &field.name.text,
                    CompletionKind::Value,
                    &self.type_of(field.name.span),
                    "",
                );
            }
        }
    }

    fn axes(&self, list: &mut List) {
        for axis in self.axis_names() {
            list.add(&axis, CompletionKind::Axis, "an axis", "");
        }
    }

    /// Names that stand for the axes of a shape.
    fn shapes(&self, offset: u32, list: &mut List) {
        let tops = self.names().tops.get(MAIN);
        let mut places: Vec<Place> = tops
            .into_iter()
            .flat_map(|tops| tops.values().copied())
            .collect();
        let around = self
            .item_around(offset)
            .and_then(Item::name)
            .map(|name| Place {
                file: MAIN,
                span: name.span,
            });
        let inside = self.names().symbols.iter();
        let inside = inside.filter(|(_, symbol)| around.is_some() && symbol.owner == around);
        places.extend(inside.map(|(place, _)| *place));
        for place in places {
            if axes_of_shape(self.names(), self.files(), place).is_some()
                && let Some(symbol) = self.names().symbols.get(&place)
            {
                list.add(
                    &symbol.name,
                    CompletionKind::Value,
                    "the axes of a shape",
                    "",
                );
            }
        }
    }

    /// Every axis that the main file names, `batch` first.
    fn axis_names(&self) -> Vec<String> {
        let mut names = vec!["batch".to_owned()];
        for found in &self.names().occurrences {
            let name = found.place.span.text(self.text());
            if found.place.file == MAIN
                && found.target == Target::Axis
                && !names.iter().any(|n| n == name)
            {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// The members of what stands before the dot at `dot`.
    fn members(&self, dot: u32, list: &mut List) {
        let Some(found) = self.names().at(MAIN, dot.saturating_sub(1)) else {
            return;
        };
        let word = found.place.span.text(self.text());
        let symbol = self.names().symbol_of(found);
        match symbol.map(|(place, symbol)| (place, symbol.kind)) {
            Some((place, SymbolKind::Section(SectionKind::Data))) => {
                for part in ["train", "valid", "test"] {
                    list.add(part, CompletionKind::Member, "rows", docs::member(part));
                }
                self.columns_of(place, list);
            }
            Some((_, SymbolKind::Section(SectionKind::Train | SectionKind::Search))) => {
                for member in ["best", "last", "watch"] {
                    list.add(member, CompletionKind::Member, "", docs::member(member));
                }
            }
            Some((_, SymbolKind::Column)) => {
                list.add(
                    "classes",
                    CompletionKind::Member,
                    "",
                    docs::member("classes"),
                );
            }
            Some((place, _)) if axes_of_shape(self.names(), self.files(), place).is_some() => {
                let axes = axes_of_shape(self.names(), self.files(), place);
                for axis in axes.into_iter().flatten() {
                    list.add(&axis, CompletionKind::Member, "its size", "");
                }
                let doc = docs::member("elements");
                list.add("elements", CompletionKind::Member, "", doc);
            }
            _ if word == "source" => self.source_columns(found.place.span.start, list),
            _ if word == "rows" || word == "client" => {
                if let Some(data) = self.data_around(dot) {
                    self.columns_of(data, list);
                }
            }
            _ if found.target == Target::Member => self.models(list),
            _ => {}
        }
    }

    fn models(&self, list: &mut List) {
        for place in self.tops() {
            let kind = self.names().symbols.get(&place).map(|symbol| symbol.kind);
            if kind == Some(SymbolKind::Block(BlockKind::Model)) {
                self.symbol_item(place, list);
            }
        }
    }

    fn columns_of(&self, data: Place, list: &mut List) {
        let Some(Item::Section(section)) = item_at(self.files(), data) else {
            return;
        };
        let text = text_of(self.files(), data.file);
        for field in &section.fields {
            if let Some(ty) = &field.ty {
                let ty = one_line(ty.span().text(text));
                list.add(&field.name.text, CompletionKind::Member, &ty, "");
            }
        }
    }

    /// Columns of the data file of the section around a byte.
    fn source_columns(&self, offset: u32, list: &mut List) {
        let Some(Item::Section(section)) = self.item_around(offset) else {
            return;
        };
        let name = section.name.as_ref().map(|name| name.span);
        let own = self
            .notes()
            .data
            .iter()
            .find(|(loc, _)| loc.source.0 as usize == MAIN && Some(loc.span) == name);
        for column in own.map_or(&[][..], |(_, facts)| &facts.columns) {
            let missing = match column.missing {
                0 => String::new(),
                rows => format!("Missing in {rows} rows."),
            };
            list.add(
                &mmh_check::column_name(&column.name),
                CompletionKind::Member,
                &kind_text(&column.kind),
                &missing,
            );
        }
    }

    /// The columns of every data section in reach.
    fn own_columns(&self) -> Vec<String> {
        let columns = self.names().symbols.iter().filter(|(place, symbol)| {
            symbol.kind == SymbolKind::Column && self.file(place.file).is_some_and(|f| !f.library)
        });
        columns.map(|(_, symbol)| symbol.name.clone()).collect()
    }

    /// The data section whose rows the section around a byte reads.
    fn data_around(&self, offset: u32) -> Option<Place> {
        let Some(Item::Section(section)) = self.item_around(offset) else {
            return None;
        };
        let rows = section.fields.iter().find(|f| f.name.text == "rows")?;
        let mut expr = rows.value.ungrouped();
        while let Expr::Pipe { lhs, .. } = expr {
            expr = lhs.ungrouped();
        }
        let Expr::Path(path) = expr else { return None };
        let head = path.names.first()?;
        self.names().tops.get(MAIN)?.get(&head.text).copied()
    }

    fn item_around(&self, offset: u32) -> Option<&Item> {
        let items = &self.file(MAIN)?.ast.items;
        items.iter().find(|item| item.span().touches(offset))
    }

    /// The top-level names in reach: the file's own first, then the library's.
    fn tops(&self) -> Vec<Place> {
        let tops = self.names().tops.get(MAIN);
        let mut places: Vec<Place> = tops
            .into_iter()
            .flat_map(|tops| tops.values().copied())
            .collect();
        places.sort_unstable();
        places
    }

    fn type_of(&self, span: Span) -> String {
        let found = self.type_at_place(Place { file: MAIN, span });
        found.map_or_else(String::new, |ty| ty.trim_matches('`').to_owned())
    }

    fn symbol_item(&self, place: Place, list: &mut List) {
        let Some(symbol) = self.names().symbols.get(&place) else {
            return;
        };
        let name = symbol.name.as_str();
        let text = text_of(self.files(), place.file);
        match item_at(self.files(), place) {
            Some(Item::Block(block)) => {
                let kind = match block.kind {
                    BlockKind::Model => CompletionKind::Model,
                    BlockKind::Block | BlockKind::Augment => CompletionKind::Function,
                };
                let doc = block.doc.as_deref().unwrap_or("");
                list.add(name, kind, &crate::calls::head(block, text), doc);
            }
            Some(Item::Let(it)) => {
                let value = one_line(it.value.span().text(text));
                list.add(
                    name,
                    CompletionKind::Value,
                    &value,
                    it.doc.as_deref().unwrap_or(""),
                );
            }
            Some(Item::Section(section)) => {
                list.add(
                    name,
                    CompletionKind::Section,
                    section.kind.word(),
                    docs::section(section.kind),
                );
            }
            Some(Item::Use(_) | Item::Seed(_)) | None => {}
        }
    }
}

/// Whether the setting at the cursor takes names of axes.
fn wants_axes(call: &CallAt) -> bool {
    let name = &call.callee.name;
    call.named
        .as_ref()
        .is_some_and(|named| takes_axes(name, named) || declares_axes(call, named))
}

/// Whether a setting of a block is of names of axes, or of a shape.
fn declares_axes(call: &CallAt, setting: &str) -> bool {
    let mut takes = call.callee.takes.iter();
    let label = takes
        .find(|taken| taken.name == setting)
        .map(|taken| &taken.label);
    let ty = label
        .and_then(|label| label.split_once(':'))
        .map_or("", |(_, ty)| ty.trim_start());
    let word = ty
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .next();
    matches!(word, Some("axis" | "axes" | "shape"))
}

fn ends_with_number(text: &str) -> bool {
    let word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    let number = text.get(text.trim_end_matches(word).len()..).unwrap_or("");
    number.starts_with(|letter: char| letter.is_ascii_digit()) && !number.ends_with('.')
}

fn top_level(list: &mut List) {
    for word in ["let", "block", "model", "augment", "use", "seed"] {
        list.keyword(word);
    }
    for kind in SectionKind::ALL {
        list.keyword(kind.word());
    }
}

fn primitives(list: &mut List) {
    for (name, signature, doc) in mmh_check::primitive_signatures() {
        list.add(name, CompletionKind::Function, signature, doc);
    }
}

struct List {
    replaces: Span,
    items: Vec<Completion>,
}

impl List {
    fn item(&mut self, label: &str, kind: CompletionKind, detail: &str, doc: &str, insert: String) {
        if self
            .items
            .iter()
            .any(|item| item.label == label && item.kind == kind)
        {
            return;
        }
        self.items.push(Completion {
            label: label.to_owned(),
            kind,
            detail: detail.to_owned(),
            doc: doc.to_owned(),
            insert,
            replaces: self.replaces,
        });
    }

    fn add(&mut self, label: &str, kind: CompletionKind, detail: &str, doc: &str) {
        self.item(label, kind, detail, doc, label.to_owned());
    }

    fn keyword(&mut self, word: &str) {
        self.add(word, CompletionKind::Keyword, "", docs::keyword(word));
    }

    fn setting(&mut self, name: &str, detail: &str, doc: &str) {
        self.item(
            name,
            CompletionKind::Setting,
            detail,
            doc,
            format!("{name} = "),
        );
    }

    fn choices(&mut self, choices: &[editor::Callable]) {
        for (name, settings) in choices {
            let detail = format!("{name}({})", settings.join(", "));
            self.add(name, CompletionKind::Function, &detail, docs::choice(name));
        }
    }
}

#[cfg(test)]
mod tests;
