//! The reader: one walk over the text, by the rules of `mmh.pest`, whose names its functions bear.
//!
//! That grammar is the definition. It is written so that a bracket or a keyword once read never has to be taken back
//! (*commit*), hence a few looks ahead decide every alternative and nothing is read twice. The tests compare the trees of
//! this reader with those that pest makes of the grammar, node for node.

mod expressions;
mod items;

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
