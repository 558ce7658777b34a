//! Types and expressions.

use super::{Id, MAX_HEIGHT, NONE, Parser};
use crate::kind::Kind;

/// Types.
impl Parser<'_> {
    pub(super) fn ty(&mut self) -> Option<Id> {
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

    pub(super) fn like_path(&mut self) -> Option<Id> {
        if self.scan.item_start(self.at) || self.scan.declares(self.at) {
            return None;
        }
        self.dotted()
    }

    pub(super) fn axes(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Axes, b'[')?;
        self.list_of(id, |it| it.named_or_expr(Kind::Axis, it.scan.name(it.at)));
        self.close(id, b'[', b']');
        Some(id)
    }

    /// What a list holds: `name = expr`, or `expr`.
    pub(super) fn entry(&mut self) -> Option<Id> {
        let name = self.scan.name(self.at);
        match name.filter(|end| self.scan.is_eq(self.scan.trivia(*end))) {
            Some(_) => self.named_or_expr(Kind::Axis, name),
            None => self.expr(),
        }
    }

    /// `name = expr`, or `expr`; `name` is where a name that stands here ends.
    pub(super) fn named_or_expr(&mut self, kind: Kind, name: Option<usize>) -> Option<Id> {
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
    pub(super) fn expr(&mut self) -> Option<Id> {
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
    pub(super) fn leaves(&self, id: Id) -> Vec<Id> {
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
    pub(super) fn operations(&mut self, mut left: Id, least: u32) -> Id {
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
    pub(super) fn right(&mut self, parent: Id, least: u32) {
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

    pub(super) fn operand(&mut self) -> Option<Id> {
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
    pub(super) fn infix(&self) -> Option<(u32, usize)> {
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

    pub(super) fn primary(&mut self) -> Option<Id> {
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
                self.list_of(id, Self::entry);
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
    pub(super) fn leaf(&mut self, kind: Kind, end: usize) -> Id {
        let id = self.draft(kind, self.at, end);
        self.behind(end);
        id
    }

    pub(super) fn rest(&mut self) -> Option<Id> {
        let found = self.scan.has(self.at, "...");
        found.then(|| self.leaf(Kind::Mark, self.at + 3))
    }

    /// A number, perhaps with its unit.
    pub(super) fn number(&mut self) -> Option<Id> {
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
    pub(super) fn call(&mut self) -> Option<Id> {
        let path = self.path()?;
        if !self.touches() || self.byte() != b'(' {
            return Some(path);
        }
        let id = self.node(Kind::Call);
        self.append(id, path);
        self.part(id, Self::args);
        Some(id)
    }

    pub(super) fn args(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Args, b'(')?;
        self.list_of(id, |it| it.named_or_expr(Kind::Arg, it.scan.ident(it.at)));
        self.close(id, b'(', b')');
        Some(id)
    }

    pub(super) fn path(&mut self) -> Option<Id> {
        let (scan, at) = (self.scan, self.at);
        scan.name(at)?;
        let other = scan.field_start(at) || scan.item_start(at) || scan.section_start(at).is_some();
        if other { None } else { self.dotted() }
    }

    /// `name.name`, nothing between them.
    pub(super) fn dotted(&mut self) -> Option<Id> {
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

    pub(super) fn if_expr(&mut self) -> Option<Id> {
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

    pub(super) fn braced(&mut self) -> Option<Id> {
        let id = self.opens(Kind::Braced, b'{')?;
        self.part_or_missing(id, Self::expr);
        self.close(id, b'{', b'}');
        Some(id)
    }

    pub(super) fn section_value(&mut self) -> Option<Id> {
        let end = self.scan.section_start(self.at)?;
        let id = self.node(Kind::SectionValue);
        self.token(id, Kind::Keyword, end);
        self.part(id, Self::fields);
        Some(id)
    }

    pub(super) fn keyed(&mut self) -> Option<Id> {
        if !self.scan.keyword(self.at, "@key") {
            return None;
        }
        let id = self.node(Kind::Keyed);
        self.keys(id);
        self.part_or_missing(id, Self::call);
        Some(id)
    }
}
