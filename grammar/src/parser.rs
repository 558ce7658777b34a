//! The reader: one walk over the text, by the rules of `mmh.pest`, whose names its functions bear.
//!
//! That grammar is the definition. It is written so that a bracket or a keyword once read never has to be taken back
//! (*commit*), hence a few looks ahead decide every alternative and nothing is read twice. The tests compare the trees of
//! this reader with those that pest makes of the grammar, node for node.

use crate::kind::Kind;
use crate::scan::Scan;
use crate::tree::{Builder, Tree};

/// How deep one expression may nest, operators included.
const MAX_HEIGHT: u32 = 512;
/// No node.
const NONE: u32 = u32::MAX;

/// The tree of a text that is known to be within the limits.
pub(crate) fn tree(source: &str) -> Tree {
    let mut parser = Parser {
        scan: Scan { text: source },
        nodes: Vec::with_capacity(source.len() / 4),
        end: 0,
        at: 0,
        loose: 0..0,
        prefixes: 0,
    };
    let root = parser.file();
    let mut builder = Builder::with_capacity(source.len(), parser.nodes.len());
    parser.emit(&mut builder, root);
    builder.finish()
}

/// A tree that holds the whole text as junk.
pub(crate) fn unread(source: &str) -> Tree {
    let mut builder = Builder::default();
    builder.open(Kind::File);
    if !source.is_empty() {
        builder.token(Kind::Junk, source);
    }
    builder.close();
    builder.finish()
}

/// A node before its place in the tree is known.
struct Draft {
    kind: Kind,
    start: u32,
    end: u32,
    height: u32,
    first: u32,
    last: u32,
    next: u32,
}

struct Parser<'s> {
    scan: Scan<'s>,
    nodes: Vec<Draft>,
    /// Behind the last token.
    end: usize,
    /// Behind the trivia that follow it.
    at: usize,
    /// Those trivia. They go into the node that holds the tokens on both sides of them.
    loose: std::ops::Range<u32>,
    /// Prefixes whose operands are being read.
    prefixes: u32,
}

type Id = u32;

impl Parser<'_> {
    fn draft(&mut self, kind: Kind, start: usize, end: usize) -> Id {
        let id = self.nodes.len() as u32;
        self.nodes.push(Draft {
            kind,
            start: start as u32,
            end: end as u32,
            height: 1,
            first: NONE,
            last: NONE,
            next: NONE,
        });
        id
    }

    fn node(&mut self, kind: Kind) -> Id {
        self.draft(kind, self.at, self.at)
    }

    fn height(&self, id: Id) -> u32 {
        self.nodes.get(id as usize).map_or(1, |node| node.height)
    }

    fn append(&mut self, parent: Id, child: Id) {
        let height = self.height(child) + 1;
        let Some(node) = self.nodes.get_mut(parent as usize) else {
            return;
        };
        node.height = node.height.max(height);
        let last = std::mem::replace(&mut node.last, child);
        if last == NONE {
            node.first = child;
        } else if let Some(last) = self.nodes.get_mut(last as usize) {
            last.next = child;
        }
    }

    /// Puts trivia into a node.
    fn settle(&mut self, parent: Id, loose: std::ops::Range<u32>) {
        for id in loose {
            self.append(parent, id);
        }
    }

    /// Reads the trivia behind a token.
    fn skip(&mut self) {
        loop {
            let space = self.scan.space(self.at);
            if space > self.at {
                self.draft(Kind::Whitespace, self.at, space);
                self.at = space;
            }
            let Some(end) = self.scan.comment(self.at) else {
                break;
            };
            let text = self.scan.slice(self.at, end);
            let doc = text.starts_with("///") && !text.starts_with("////");
            self.draft(if doc { Kind::Doc } else { Kind::Comment }, self.at, end);
            self.at = end;
        }
        self.loose.end = self.nodes.len() as u32;
    }

    /// Reads a token up to `end`.
    fn token(&mut self, parent: Id, kind: Kind, end: usize) {
        let loose = std::mem::take(&mut self.loose);
        self.settle(parent, loose);
        let id = self.draft(kind, self.at, end);
        self.append(parent, id);
        self.behind(end);
    }

    fn behind(&mut self, end: usize) {
        (self.end, self.at) = (end, end);
        let next = self.nodes.len() as u32;
        self.loose = next..next;
        self.skip();
    }

    /// Reads what cannot be read; the blanks at its end are trivia.
    fn junk(&mut self, parent: Id, end: usize) {
        let text = self.scan.slice(self.at, end);
        let kept = self.at + text.trim_end().len();
        let loose = std::mem::take(&mut self.loose);
        self.settle(parent, loose);
        let id = self.draft(Kind::Junk, self.at, kept);
        self.append(parent, id);
        let next = self.nodes.len() as u32;
        self.loose = next..next;
        if kept < end {
            self.draft(Kind::Whitespace, kept, end);
        }
        (self.end, self.at) = (kept, end);
        self.skip();
    }

    /// Says that something is missing right behind the last token.
    fn missing(&mut self, parent: Id) {
        self.absent(parent, Kind::Missing);
    }

    fn absent(&mut self, parent: Id, kind: Kind) {
        let id = self.draft(kind, self.end, self.end);
        self.append(parent, id);
    }

    /// Appends what a rule reads, with the trivia before it; false if the rule reads nothing.
    fn part(&mut self, parent: Id, rule: impl FnOnce(&mut Self) -> Option<Id>) -> bool {
        let loose = std::mem::take(&mut self.loose);
        match rule(self) {
            Some(child) => {
                self.settle(parent, loose);
                self.append(parent, child);
                true
            }
            None => {
                self.loose = loose;
                false
            }
        }
    }

    fn part_or_missing(&mut self, parent: Id, rule: impl FnOnce(&mut Self) -> Option<Id>) {
        if !self.part(parent, rule) {
            self.missing(parent);
        }
    }

    fn byte(&self) -> u8 {
        self.scan.byte(self.at)
    }

    fn done(&self) -> bool {
        self.at >= self.scan.text.len()
    }

    /// Whether the next token touches the last.
    fn touches(&self) -> bool {
        self.at == self.end
    }

    fn mark(&mut self, parent: Id, mark: &str) -> bool {
        let found = self.scan.has(self.at, mark);
        if found {
            self.token(parent, Kind::Mark, self.at + mark.len());
        }
        found
    }

    fn eq(&mut self, parent: Id) -> bool {
        let found = self.scan.is_eq(self.at);
        if found {
            self.token(parent, Kind::Mark, self.at + 1);
        }
        found
    }

    fn name(&mut self, parent: Id) -> bool {
        let found = self.scan.name(self.at);
        if let Some(end) = found {
            self.token(parent, Kind::Name, end);
        }
        found.is_some()
    }

    /// Reads what closes a bracket, and what cannot be read before it.
    fn close(&mut self, parent: Id, open: u8, close: u8) {
        if let Some(end) = self.scan.bracket_junk(self.at, open, close) {
            self.junk(parent, end);
        }
        self.closer(parent, close);
    }

    fn closer(&mut self, parent: Id, close: u8) {
        if self.byte() == close && !self.done() {
            self.token(parent, Kind::Mark, self.at + 1);
        } else {
            self.absent(parent, Kind::MissingClose);
        }
    }

    /// `rule, rule,` up to where it reads nothing.
    fn list_of(&mut self, parent: Id, rule: impl Fn(&mut Self) -> Option<Id>) {
        while self.part(parent, &rule) && self.mark(parent, ",") {}
    }
}

/// Items.
impl Parser<'_> {
    fn file(&mut self) -> Id {
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

    fn edition(&mut self) -> Id {
        let id = self.node(Kind::Edition);
        self.token(id, Kind::Keyword, self.at + 3);
        match self.scan.number(self.at) {
            Some(end) => self.token(id, Kind::Number, end),
            None => self.missing(id),
        }
        id
    }

    fn item(&mut self) -> Option<Id> {
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

    fn use_item(&mut self, end: usize) -> Id {
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
    fn string(&mut self, parent: Id) -> bool {
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

    fn names(&mut self) -> Option<Id> {
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
    fn opens(&mut self, kind: Kind, open: u8) -> Option<Id> {
        if self.done() || self.byte() != open {
            return None;
        }
        let id = self.node(kind);
        self.token(id, Kind::Mark, self.at + 1);
        Some(id)
    }

    fn seed_item(&mut self, end: usize) -> Id {
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
    fn keys_end(&self) -> usize {
        let mut at = self.at;
        while self.scan.keyword(at, "@key") {
            at = self.scan.trivia(at + 4);
            if let Some(end) = self.scan.string(at) {
                at = self.scan.trivia(end);
            }
        }
        at
    }

    fn keys(&mut self, parent: Id) {
        while self.part(parent, Self::key) {}
    }

    fn key(&mut self) -> Option<Id> {
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

    fn let_decl(&mut self) -> Id {
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
    fn value(&mut self, parent: Id) {
        if self.eq(parent) {
            self.part_or_missing(parent, Self::expr);
        } else {
            self.missing(parent);
        }
    }

    fn block_item(&mut self) -> Id {
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

    fn section(&mut self) -> Id {
        let id = self.node(Kind::Section);
        self.keys(id);
        let end = self.scan.section_word(self.at).unwrap_or(self.at);
        self.token(id, Kind::Keyword, end);
        self.name(id);
        self.part_or_missing(id, Self::fields);
        id
    }

    fn params(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Params, b'(')?;
        self.list_of(id, Self::param);
        self.close(id, b'(', b')');
        Some(id)
    }

    fn param(&mut self) -> Option<Id> {
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

    fn returns(&mut self) -> Option<Id> {
        if !self.scan.has(self.at, "->") {
            return None;
        }
        let id = self.node(Kind::Returns);
        self.mark(id, "->");
        self.part_or_missing(id, Self::ty);
        Some(id)
    }

    fn body(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Body, b'{')?;
        while self.part(id, Self::statement) || self.line_junk(id) {}
        self.closer(id, b'}');
        Some(id)
    }

    fn line_junk(&mut self, parent: Id) -> bool {
        let junk = self.scan.line_junk(self.at);
        if let Some(end) = junk {
            self.junk(parent, end);
        }
        junk.is_some()
    }

    fn statement(&mut self) -> Option<Id> {
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
    fn is_bound(&self, start: usize, end: usize) -> bool {
        let next = self.scan.trivia(end);
        let given = self.scan.byte(next) == b':' || self.scan.is_eq(next);
        given && !self.scan.loose_item_start(start)
    }

    /// `name: type = expr`, with the type or without.
    fn bound(&mut self, kind: Kind) -> Id {
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

    fn fields(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Fields, b'{')?;
        while self.part(id, Self::setting) || self.line_junk(id) {}
        self.closer(id, b'}');
        Some(id)
    }

    fn setting(&mut self) -> Option<Id> {
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

/// Types.
impl Parser<'_> {
    fn ty(&mut self) -> Option<Id> {
        if self.scan.keyword(self.at, "like") {
            let id = self.node(Kind::LikeType);
            self.token(id, Kind::Keyword, self.at + 4);
            self.part_or_missing(id, Self::like_path);
            return Some(id);
        }
        let other = self.scan.loose_item_start(self.at) || self.scan.loosely_declares(self.at);
        if other || self.scan.name(self.at).is_none() {
            return None;
        }
        let id = self.node(Kind::NamedType);
        self.name(id);
        self.part(id, Self::axes);
        Some(id)
    }

    fn like_path(&mut self) -> Option<Id> {
        if self.scan.item_start(self.at) || self.scan.declares(self.at) {
            return None;
        }
        self.dotted()
    }

    fn axes(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Axes, b'[')?;
        self.list_of(id, |it| it.named_or_expr(Kind::Axis, it.scan.name(it.at)));
        self.close(id, b'[', b']');
        Some(id)
    }

    /// `name = expr`, or `expr`; `name` is where a name that stands here ends.
    fn named_or_expr(&mut self, kind: Kind, name: Option<usize>) -> Option<Id> {
        let end = name.filter(|end| self.scan.is_eq(self.scan.trivia(*end)));
        let id = self.node(kind);
        if let Some(end) = end {
            self.token(id, Kind::Name, end);
            self.eq(id);
            self.part_or_missing(id, Self::expr);
            return Some(id);
        }
        self.part(id, Self::expr).then_some(id)
    }
}

/// How tightly an operator binds, loosest first; 0 binds nothing. All but the prefixes group to the left.
///
/// `~` is loosest, because a setting reads `default ~ space` with a whole expression on both sides. `|>` comes next, so
/// a pipe takes the whole sum or product before it. `..` binds tighter than comparison and looser than arithmetic, so
/// `0 .. 2 * n` is a range.
mod binding {
    pub(super) const TILDE: u32 = 1;
    pub(super) const PIPE: u32 = 2;
    pub(super) const OR: u32 = 3;
    pub(super) const AND: u32 = 4;
    pub(super) const NOT: u32 = 5;
    pub(super) const COMPARE: u32 = 6;
    pub(super) const RANGE: u32 = 7;
    pub(super) const SUM: u32 = 8;
    pub(super) const PRODUCT: u32 = 9;
    pub(super) const NEGATE: u32 = 10;
}

/// Expressions.
impl Parser<'_> {
    fn expr(&mut self) -> Option<Id> {
        let left = self.operand()?;
        let id = self.operations(left, 0);
        if self.height(id) <= MAX_HEIGHT {
            return Some(id);
        }
        let flat = self.node(Kind::TooDeep);
        for part in self.leaves(id) {
            if let Some(node) = self.nodes.get_mut(part as usize) {
                node.next = NONE;
            }
            self.append(flat, part);
        }
        Some(flat)
    }

    /// The operands and operators of nested operations, with the trivia between them.
    fn leaves(&self, id: Id) -> Vec<Id> {
        let (mut out, mut stack) = (Vec::new(), vec![id]);
        while let Some(top) = stack.pop() {
            let inner = self
                .nodes
                .get(top as usize)
                .filter(|node| matches!(node.kind, Kind::Binary | Kind::Prefix));
            match inner {
                Some(node) => {
                    let from = stack.len();
                    let mut child = node.first;
                    while let Some(node) = self.nodes.get(child as usize) {
                        stack.push(child);
                        child = node.next;
                    }
                    if let Some(pushed) = stack.get_mut(from..) {
                        pushed.reverse();
                    }
                }
                None => out.push(top),
            }
        }
        out
    }

    /// An operand with all operators behind it that bind tighter than `least`.
    fn operations(&mut self, mut left: Id, least: u32) -> Id {
        while let Some((power, length)) = self.infix().filter(|(power, _)| *power > least) {
            let id = self.draft(Kind::Binary, self.at, self.at);
            self.append(id, left);
            self.token(id, Kind::Operator, self.at + length);
            self.right(id, power);
            left = id;
        }
        left
    }

    /// What stands to the right of an operator. Where nothing does, a tighter operator may still follow.
    fn right(&mut self, parent: Id, least: u32) {
        let loose = std::mem::take(&mut self.loose);
        let left = match self.operand() {
            Some(left) => left,
            None if self.infix().is_some_and(|(power, _)| power > least) => {
                self.draft(Kind::Missing, self.at, self.at)
            }
            None => {
                self.loose = loose;
                return self.missing(parent);
            }
        };
        self.settle(parent, loose);
        let whole = self.operations(left, least);
        self.append(parent, whole);
    }

    fn operand(&mut self) -> Option<Id> {
        let (power, length) = match self.byte() {
            b'-' if self.scan.byte(self.at + 1) != b'>' => (binding::NEGATE, 1),
            b'n' if self.scan.soft_keyword(self.at, "not") => (binding::NOT, 3),
            _ => return self.primary(),
        };
        // `not` takes in tighter operators, so that `1 + not 1 + not …` nests although nothing stays open for the guard.
        // Such a chain is higher than what is kept: its rest is left to the recovery, and its beginning is flattened.
        if self.prefixes > MAX_HEIGHT {
            let id = self.node(Kind::TooDeep);
            self.token(id, Kind::Operator, self.at + length);
            return Some(id);
        }
        let id = self.node(Kind::Prefix);
        self.token(id, Kind::Operator, self.at + length);
        self.prefixes += 1;
        self.right(id, power - 1);
        self.prefixes -= 1;
        Some(id)
    }

    /// The operator that stands here: how tightly it binds, and its length.
    fn infix(&self) -> Option<(u32, usize)> {
        let (scan, at) = (self.scan, self.at);
        let next = scan.byte(at + 1);
        Some(match (scan.byte(at), next) {
            (b'~', _) => (binding::TILDE, 1),
            (b'|', b'>') => (binding::PIPE, 2),
            (b'.', b'.') if scan.byte(at + 2) != b'.' => (binding::RANGE, 2),
            (b'+', _) => (binding::SUM, 1),
            (b'-', _) if next != b'>' => (binding::SUM, 1),
            (b'*' | b'%', _) => (binding::PRODUCT, 1),
            // Two that do not divide are a comment, which was skipped.
            (b'/', b'/') => (binding::PRODUCT, 2),
            (b'/', _) => (binding::PRODUCT, 1),
            (b'<' | b'>' | b'=' | b'!', b'=') => (binding::COMPARE, 2),
            (b'<' | b'>', _) => (binding::COMPARE, 1),
            (b'a', _) if scan.soft_keyword(at, "and") => (binding::AND, 3),
            (b'o', _) if scan.soft_keyword(at, "or") => (binding::OR, 2),
            _ => return None,
        })
    }

    fn primary(&mut self) -> Option<Id> {
        match self.byte() {
            b'0'..=b'9' => self.number(),
            b'.' => self.number().or_else(|| self.rest()),
            b'"' => {
                let right = self.scan.string(self.at);
                let kind = if right.is_some() {
                    Kind::String
                } else {
                    Kind::BadString
                };
                let end = right.or_else(|| self.scan.bad_string(self.at))?;
                Some(self.leaf(kind, end))
            }
            b'[' => {
                let id = self.opens(Kind::List, b'[')?;
                self.list_of(id, Self::expr);
                self.close(id, b'[', b']');
                Some(id)
            }
            b'(' => {
                let id = self.opens(Kind::Group, b'(')?;
                self.part_or_missing(id, Self::expr);
                self.close(id, b'(', b')');
                Some(id)
            }
            b'@' => self.keyed(),
            _ => self
                .call()
                .or_else(|| self.if_expr())
                .or_else(|| self.section_value()),
        }
    }

    /// A token that stands on its own.
    fn leaf(&mut self, kind: Kind, end: usize) -> Id {
        let id = self.draft(kind, self.at, end);
        self.behind(end);
        id
    }

    fn rest(&mut self) -> Option<Id> {
        let found = self.scan.has(self.at, "...");
        found.then(|| self.leaf(Kind::Mark, self.at + 3))
    }

    /// A number, perhaps with its unit.
    fn number(&mut self) -> Option<Id> {
        if let Some(end) = self.scan.bad_number(self.at) {
            return Some(self.leaf(Kind::BadNumber, end));
        }
        let end = self.scan.number(self.at)?;
        let unit = match self.scan.byte(end) {
            b'%' => Some(end + 1),
            _ => self.scan.unit(self.scan.blanks(end)),
        };
        let Some(unit) = unit else {
            return Some(self.leaf(Kind::Number, end));
        };
        let id = self.node(Kind::Quantity);
        self.token(id, Kind::Number, end);
        self.token(id, Kind::Unit, unit);
        Some(id)
    }

    /// A path, called if a parenthesis touches it.
    fn call(&mut self) -> Option<Id> {
        let path = self.path()?;
        if !self.touches() || self.byte() != b'(' {
            return Some(path);
        }
        let id = self.node(Kind::Call);
        self.append(id, path);
        self.part(id, Self::args);
        Some(id)
    }

    fn args(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Args, b'(')?;
        self.list_of(id, |it| it.named_or_expr(Kind::Arg, it.scan.ident(it.at)));
        self.close(id, b'(', b')');
        Some(id)
    }

    fn path(&mut self) -> Option<Id> {
        let (scan, at) = (self.scan, self.at);
        scan.name(at)?;
        let other = scan.field_start(at) || scan.item_start(at) || scan.section_start(at).is_some();
        if other { None } else { self.dotted() }
    }

    /// `name.name`, nothing between them.
    fn dotted(&mut self) -> Option<Id> {
        self.scan.name(self.at)?;
        let id = self.node(Kind::Path);
        self.name(id);
        while self.touches() && self.scan.is_dot(self.at) {
            self.token(id, Kind::Mark, self.at + 1);
            match self.scan.ident(self.at).filter(|_| self.touches()) {
                Some(end) => self.token(id, Kind::Name, end),
                None => self.missing(id),
            }
        }
        Some(id)
    }

    fn if_expr(&mut self) -> Option<Id> {
        if !self.scan.soft_keyword(self.at, "if") {
            return None;
        }
        let id = self.node(Kind::If);
        self.token(id, Kind::Keyword, self.at + 2);
        let mut branches = 1;
        loop {
            self.part_or_missing(id, Self::expr);
            self.part_or_missing(id, Self::braced);
            if !self.scan.soft_keyword(self.at, "else") {
                self.missing(id);
                break;
            }
            self.token(id, Kind::Keyword, self.at + 4);
            if !self.scan.soft_keyword(self.at, "if") {
                self.part_or_missing(id, Self::braced);
                break;
            }
            self.token(id, Kind::Keyword, self.at + 2);
            branches += 1;
        }
        if let Some(node) = self.nodes.get_mut(id as usize) {
            // A chain of `else if` is flat here and nests in the typed tree.
            node.height += branches;
        }
        Some(id)
    }

    fn braced(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Braced, b'{')?;
        self.part_or_missing(id, Self::expr);
        self.close(id, b'{', b'}');
        Some(id)
    }

    fn section_value(&mut self) -> Option<Id> {
        let end = self.scan.section_start(self.at)?;
        let id = self.node(Kind::SectionValue);
        self.token(id, Kind::Keyword, end);
        self.part(id, Self::fields);
        Some(id)
    }

    fn keyed(&mut self) -> Option<Id> {
        if !self.scan.keyword(self.at, "@key") {
            return None;
        }
        let id = self.node(Kind::Keyed);
        self.keys(id);
        self.part_or_missing(id, Self::call);
        Some(id)
    }
}

impl Parser<'_> {
    /// Writes the drafts in the order of the text.
    fn emit(&self, builder: &mut Builder, root: Id) {
        let mut at = root;
        // The nodes that are open, each with what follows it.
        let mut open: Vec<u32> = Vec::new();
        loop {
            match self.nodes.get(at as usize) {
                Some(node) if node.kind.is_token() => {
                    let text = self.scan.slice(node.start as usize, node.end as usize);
                    builder.token(node.kind, text);
                    at = node.next;
                }
                Some(node) => {
                    builder.open(node.kind);
                    open.push(node.next);
                    at = node.first;
                }
                None => {
                    let Some(next) = open.pop() else { return };
                    builder.close();
                    at = next;
                }
            }
        }
    }
}
