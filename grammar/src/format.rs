//! The formatter: blanks, indentation and the columns of `=`. Line breaks are the author's, up to one empty line.
//!
//! Declarations that hold a mistake are left as they are. The result is checked to parse to the same tree without
//! trivia; were it ever not so, the text would come back unchanged.

use crate::kind::Kind;
use crate::layout;
use crate::tree::{NodeId, Tree};
use std::collections::BTreeMap;

/// The text of the tree in its one layout. Formatting the result again changes nothing.
pub fn format(tree: &Tree) -> String {
    let mut printer = Printer::new(tree);
    for child in tree.children(Tree::ROOT) {
        printer.declaration(*child);
    }
    let mut out = printer.out;
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    let same = out == tree.source() || skeleton(&crate::parse(&out).tree) == skeleton(tree);
    if same { out } else { tree.source().to_string() }
}

/// What a tree says, without blanks: the kinds in order, with the text of the tokens.
pub fn skeleton(tree: &Tree) -> Vec<(Kind, &str)> {
    let says = |id: &NodeId| !tree.kind(*id).is_trivia();
    let text = |id: NodeId| {
        if tree.kind(id).is_token() {
            tree.text_of(id)
        } else {
            ""
        }
    };
    tree.nodes()
        .filter(says)
        .map(|id| (tree.kind(id), text(id)))
        .collect()
}

struct Printer<'tree> {
    tree: &'tree Tree,
    out: String,
    column: usize,
    /// The column where the current line starts.
    line: usize,
    /// For each open bracket, the column of the line it was opened on.
    open: Vec<usize>,
    /// Where each token was put.
    columns: BTreeMap<NodeId, usize>,
    /// Blanks to add before these `=`.
    pads: BTreeMap<NodeId, usize>,
    last: Option<NodeId>,
    newlines: usize,
    blanks: usize,
}

impl<'tree> Printer<'tree> {
    fn new(tree: &'tree Tree) -> Self {
        let pads = layout::pads(tree);
        let (columns, open) = (BTreeMap::new(), Vec::new());
        Self {
            tree,
            out: String::new(),
            column: 0,
            line: 0,
            open,
            columns,
            pads,
            last: None,
            newlines: 0,
            blanks: 0,
        }
    }

    fn declaration(&mut self, id: NodeId) {
        let kind = self.tree.kind(id);
        if kind == Kind::Whitespace {
            return self.space(id);
        }
        if !kind.is_trivia() && !self.out.is_empty() {
            self.newlines = self.newlines.max(1);
        }
        if kind.is_error() || layout::is_broken(self.tree, id) {
            self.separate(id, 0);
            self.write(self.tree.text_of(id));
            self.last = None;
            return;
        }
        layout::each_token(self.tree, id, &mut |token| self.token(token));
    }

    fn space(&mut self, id: NodeId) {
        let text = self.tree.text_of(id);
        self.newlines += text.matches('\n').count();
        self.blanks = text.chars().filter(|letter| *letter != '\u{feff}').count();
    }

    fn token(&mut self, id: NodeId) {
        let (kind, text) = (self.tree.kind(id), self.tree.text_of(id));
        match kind {
            Kind::Whitespace => return self.space(id),
            Kind::Comment | Kind::Doc => {
                self.separate(id, self.blanks.max(1));
                self.write(text.trim_end());
                self.last = None;
                return;
            }
            _ => {}
        }
        let gap = self
            .last
            .map_or(1, |last| layout::gap(self.tree, last, id, self.blanks));
        self.separate(id, gap + self.pads.get(&id).copied().unwrap_or(0));
        self.brackets(id, text);
        self.columns.insert(id, self.column);
        self.write(text);
        self.last = Some(id);
    }

    fn brackets(&mut self, id: NodeId, text: &str) {
        match (self.tree.kind(id), text) {
            (Kind::Mark, "(" | "[" | "{") => {
                let body = self
                    .tree
                    .parent(id)
                    .is_some_and(|at| self.tree.kind(at) == Kind::Body);
                self.open.push(if body { 0 } else { self.line });
            }
            (Kind::Mark, ")" | "]" | "}") => {
                self.open.pop();
            }
            _ => {}
        }
    }

    /// Ends the line where the author did, or leaves a gap.
    fn separate(&mut self, id: NodeId, gap: usize) {
        let newlines = std::mem::take(&mut self.newlines);
        self.blanks = 0;
        if self.out.is_empty() {
            return;
        }
        if newlines == 0 {
            self.write(&" ".repeat(gap));
            return;
        }
        let after_open = self
            .last
            .is_some_and(|last| matches!(self.tree.text_of(last), "{" | "(" | "["));
        let before_close =
            self.tree.kind(id) == Kind::Mark && matches!(self.tree.text_of(id), "}" | ")" | "]");
        let most = if after_open || before_close { 1 } else { 2 };
        self.out.push_str(&"\n".repeat(newlines.min(most)));
        self.column = 0;
        self.line = self.line_start(id);
        self.write(&" ".repeat(self.line));
    }

    fn line_start(&self, id: NodeId) -> usize {
        let inner = self.open.last().map_or(0, |column| column + 2);
        if self.tree.kind(id).is_trivia() {
            let next = layout::next_part(self.tree, id);
            return next
                .filter(|next| !layout::is_closer(self.tree, *next))
                .map_or(inner, |next| self.part_start(next));
        }
        self.part_start(id)
    }

    fn part_start(&self, id: NodeId) -> usize {
        let inner = self.open.last().map_or(0, |column| column + 2);
        if layout::is_closer(self.tree, id) {
            return inner.saturating_sub(2);
        }
        let column = |id: NodeId| self.columns.get(&id).copied();
        match layout::role(self.tree, id) {
            layout::Role::Element => inner,
            layout::Role::Continues => inner + 4,
            layout::Role::Operand { first, pipe } => pipe
                .and_then(column)
                .or(column(first).map(|start| start + 2))
                .unwrap_or(inner + 4),
        }
    }

    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        match text.rsplit_once('\n') {
            Some((_, tail)) => self.column = tail.chars().count(),
            None => self.column += text.chars().count(),
        }
    }
}
