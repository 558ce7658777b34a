//! Declarations: `use`, `seed`, `let`, blocks and sections.

use super::{Id, Parser};
use crate::kind::Kind;

impl Parser<'_> {
    pub(super) fn file(&mut self) -> Id {
        let root = self.node(Kind::File);
        self.behind(0);
        if self.scan.keyword(self.at, "mmh") {
            self.part(root, |it| Some(it.edition()));
        }
        while !self.done() {
            if !self.part(root, Self::item) {
                let end = self.scan.file_junk(self.at);
                self.junk(root, end);
            }
        }
        let loose = std::mem::take(&mut self.loose);
        self.settle(root, loose);
        root
    }

    pub(super) fn edition(&mut self) -> Id {
        let id = self.node(Kind::Edition);
        self.token(id, Kind::Keyword, self.at + 3);
        match self.scan.number(self.at) {
            Some(end) => self.token(id, Kind::Number, end),
            None => self.missing(id),
        }
        id
    }

    pub(super) fn item(&mut self) -> Option<Id> {
        if let Some(end) = self.scan.use_word(self.at) {
            return Some(self.use_item(end));
        }
        if let Some(end) = self.scan.seed_word(self.at) {
            return Some(self.seed_item(end));
        }
        let start = self.keys_end();
        if self.scan.let_word(start).is_some() {
            return Some(self.let_decl());
        }
        if self.scan.block_word(start).is_some() {
            return Some(self.block_item());
        }
        let section = self.scan.section_word(start).is_some();
        section.then(|| self.section())
    }

    pub(super) fn use_item(&mut self, end: usize) -> Id {
        let id = self.node(Kind::Use);
        self.token(id, Kind::Keyword, end);
        if !self.string(id) {
            self.missing(id);
            self.part(id, |it| it.path());
        }
        self.part_or_missing(id, Self::names);
        id
    }

    /// A string, right or broken.
    pub(super) fn string(&mut self, parent: Id) -> bool {
        if let Some(end) = self.scan.string(self.at) {
            self.token(parent, Kind::String, end);
            return true;
        }
        let broken = self.scan.bad_string(self.at);
        if let Some(end) = broken {
            self.token(parent, Kind::BadString, end);
        }
        broken.is_some()
    }

    pub(super) fn names(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Names, b'{')?;
        loop {
            self.mark(id, ",");
            if !self.name(id) {
                break;
            }
        }
        self.close(id, b'{', b'}');
        Some(id)
    }

    /// A node whose first token is this bracket.
    pub(super) fn opens(&mut self, kind: Kind, open: u8) -> Option<Id> {
        if self.done() || self.byte() != open {
            return None;
        }
        let id = self.node(kind);
        self.token(id, Kind::Mark, self.at + 1);
        Some(id)
    }

    pub(super) fn seed_item(&mut self, end: usize) -> Id {
        let id = self.node(Kind::Seed);
        self.token(id, Kind::Keyword, end);
        if let Some(end) = self.scan.bad_number(self.at) {
            self.token(id, Kind::BadNumber, end);
        } else if let Some(end) = self.scan.number(self.at) {
            self.token(id, Kind::Number, end);
        } else if let Some(end) = self.scan.string(self.at) {
            self.token(id, Kind::String, end);
        } else {
            self.missing(id);
        }
        id
    }

    /// Where the keys that stand here end.
    pub(super) fn keys_end(&self) -> usize {
        let mut at = self.at;
        while self.scan.keyword(at, "@key") {
            at = self.scan.trivia(at + 4);
            if let Some(end) = self.scan.string(at) {
                at = self.scan.trivia(end);
            }
        }
        at
    }

    pub(super) fn keys(&mut self, parent: Id) {
        while self.part(parent, Self::key) {}
    }

    pub(super) fn key(&mut self) -> Option<Id> {
        if !self.scan.keyword(self.at, "@key") {
            return None;
        }
        let id = self.node(Kind::Key);
        self.token(id, Kind::Keyword, self.at + 4);
        match self.scan.string(self.at) {
            Some(end) => self.token(id, Kind::String, end),
            None => self.missing(id),
        }
        Some(id)
    }

    pub(super) fn let_decl(&mut self) -> Id {
        let id = self.node(Kind::Let);
        self.keys(id);
        self.token(id, Kind::Keyword, self.at + 3);
        self.name(id);
        if self.mark(id, ":") {
            self.part_or_missing(id, Self::ty);
        }
        self.value(id);
        id
    }

    /// `= expr`, where it belongs.
    pub(super) fn value(&mut self, parent: Id) {
        if self.eq(parent) {
            self.part_or_missing(parent, Self::expr);
        } else {
            self.missing(parent);
        }
    }

    pub(super) fn block_item(&mut self) -> Id {
        let id = self.node(Kind::Block);
        self.keys(id);
        let end = self.scan.block_word(self.at).unwrap_or(self.at);
        self.token(id, Kind::Keyword, end);
        self.name(id);
        self.part_or_missing(id, Self::params);
        self.part(id, Self::returns);
        self.part_or_missing(id, Self::body);
        id
    }

    pub(super) fn section(&mut self) -> Id {
        let id = self.node(Kind::Section);
        self.keys(id);
        let end = self.scan.section_word(self.at).unwrap_or(self.at);
        self.token(id, Kind::Keyword, end);
        self.name(id);
        self.part_or_missing(id, Self::fields);
        id
    }

    pub(super) fn params(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Params, b'(')?;
        self.list_of(id, Self::param);
        self.close(id, b'(', b')');
        Some(id)
    }

    pub(super) fn param(&mut self) -> Option<Id> {
        self.scan.name(self.keys_end())?;
        let id = self.node(Kind::Param);
        self.keys(id);
        self.name(id);
        if self.mark(id, ":") {
            self.part_or_missing(id, Self::ty);
        } else {
            self.missing(id);
        }
        if self.eq(id) {
            self.part_or_missing(id, Self::expr);
        }
        Some(id)
    }

    pub(super) fn returns(&mut self) -> Option<Id> {
        if !self.scan.has(self.at, "->") {
            return None;
        }
        let id = self.node(Kind::Returns);
        self.mark(id, "->");
        self.part_or_missing(id, Self::ty);
        Some(id)
    }

    pub(super) fn body(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Body, b'{')?;
        while self.part(id, Self::statement) || self.line_junk(id) {}
        self.closer(id, b'}');
        Some(id)
    }

    pub(super) fn line_junk(&mut self, parent: Id) -> bool {
        let junk = self.scan.line_junk(self.at);
        if let Some(end) = junk {
            self.junk(parent, end);
        }
        junk.is_some()
    }

    pub(super) fn statement(&mut self) -> Option<Id> {
        let start = self.keys_end();
        if self.scan.let_word(start).is_some() {
            return Some(self.let_decl());
        }
        let name = self.scan.name(start);
        if name.is_some_and(|end| self.is_bound(start, end)) {
            return Some(self.bound(Kind::Bind));
        }
        if self.scan.loose_item_start(self.at) {
            return None;
        }
        self.expr()
    }

    /// Whether a name is declared or given a value here.
    pub(super) fn is_bound(&self, start: usize, end: usize) -> bool {
        let next = self.scan.trivia(end);
        let given = self.scan.byte(next) == b':' || self.scan.is_eq(next);
        given && !self.scan.loose_item_start(start)
    }

    /// `name: type = expr`, with the type or without.
    pub(super) fn bound(&mut self, kind: Kind) -> Id {
        let id = self.node(kind);
        self.keys(id);
        let end = self.scan.ident(self.at).unwrap_or(self.at);
        self.token(id, Kind::Name, end);
        if self.mark(id, ":") {
            self.part_or_missing(id, Self::ty);
        }
        self.value(id);
        id
    }

    pub(super) fn fields(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Fields, b'{')?;
        while self.part(id, Self::setting) || self.line_junk(id) {}
        self.closer(id, b'}');
        Some(id)
    }

    pub(super) fn setting(&mut self) -> Option<Id> {
        let start = self.keys_end();
        let name = self.scan.ident(start);
        if name.is_some_and(|end| self.is_bound(start, end)) {
            return Some(self.bound(Kind::Field));
        }
        if self.scan.loose_item_start(self.at) {
            return None;
        }
        let end = self.scan.name(self.at)?;
        if self.scan.byte(self.scan.trivia(end)) != b'{' {
            return None;
        }
        let id = self.node(Kind::Nested);
        self.name(id);
        self.part(id, Self::fields);
        Some(id)
    }
}
