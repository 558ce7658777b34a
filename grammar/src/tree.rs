//! The lossless tree: an arena of nodes and tokens over the text, and its text form.

use crate::kind::Kind;
use mmh_diag::Span;
use std::fmt::Write as _;

/// A node or token of one [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: Kind,
    span: Span,
    parent: Option<NodeId>,
    /// Which of [`Tree::links`] are its children.
    children: (u32, u32),
}

/// Every byte of a file once, in tokens, under nodes. Mistakes are nodes like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    source: String,
    nodes: Vec<Node>,
    /// The children of every node, one node's behind another's.
    links: Vec<NodeId>,
}

impl Tree {
    /// The file.
    pub const ROOT: NodeId = NodeId(0);

    /// What it is.
    pub fn kind(&self, id: NodeId) -> Kind {
        self.nodes
            .get(id.0 as usize)
            .map_or(Kind::Missing, |node| node.kind)
    }

    /// The bytes it covers.
    pub fn span(&self, id: NodeId) -> Span {
        self.nodes
            .get(id.0 as usize)
            .map_or_else(Span::default, |node| node.span)
    }

    /// What it stands in; nothing for the file.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.nodes.get(id.0 as usize).and_then(|node| node.parent)
    }

    /// What it holds, in order, trivia included.
    pub fn children(&self, id: NodeId) -> &[NodeId] {
        let children = self.nodes.get(id.0 as usize).map(|node| node.children);
        children
            .and_then(|(from, to)| self.links.get(from as usize..to as usize))
            .unwrap_or(&[])
    }

    /// What it holds, in order, without trivia.
    pub fn parts(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.children(id)
            .iter()
            .copied()
            .filter(|child| !self.kind(*child).is_trivia())
    }

    /// The first part of this kind.
    pub fn part(&self, id: NodeId, kind: Kind) -> Option<NodeId> {
        self.parts(id).find(|child| self.kind(*child) == kind)
    }

    /// The source text it covers.
    pub fn text_of(&self, id: NodeId) -> &str {
        self.span(id).text(&self.source)
    }

    /// The whole text, put together from the tokens.
    pub fn text(&self) -> String {
        self.tokens().map(|token| self.text_of(token)).collect()
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every node and token, in the order of the text, parents before children.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.nodes.len()).map(|at| NodeId(at as u32))
    }

    /// Every token, in the order of the text.
    pub fn tokens(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes().filter(|id| self.kind(*id).is_token())
    }

    /// The token at a byte; at the seam of two, the one that starts there.
    pub fn token_at(&self, offset: u32) -> Option<NodeId> {
        let mut at = Self::ROOT;
        loop {
            let children = self.children(at);
            let next = children.partition_point(|child| self.span(*child).end <= offset);
            at = *children.get(next)?;
            if self.kind(at).is_token() {
                return Some(at);
            }
        }
    }

    /// The nodes that hold `id`, from the inside out, beginning with `id` itself.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(id), |at| self.parent(*at))
    }

    /// The text form: one line for each node, indented by its depth; tokens with their text.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        let mut depths = vec![0_usize; self.nodes.len()];
        for id in self.nodes() {
            let depth = self
                .parent(id)
                .and_then(|at| depths.get(at.0 as usize))
                .map_or(0, |depth| depth + 1);
            if let Some(slot) = depths.get_mut(id.0 as usize) {
                *slot = depth;
            }
            let kind = self.kind(id);
            let _ = write!(out, "{:indent$}{}", "", kind.word(), indent = 2 * depth);
            if kind.is_token() {
                let _ = write!(out, " {:?}", self.text_of(id));
            }
            out.push('\n');
        }
        out
    }

    /// Reads the text form back.
    ///
    /// # Errors
    /// The number of the line, from 1, that is not of that form.
    pub fn read(dump: &str) -> Result<Self, usize> {
        let mut builder = Builder::default();
        for (at, line) in dump.lines().enumerate() {
            read_line(&mut builder, line).ok_or(at + 1)?;
        }
        builder.close_to(0);
        if builder.nodes.is_empty() {
            return Err(1);
        }
        Ok(builder.finish())
    }
}

fn read_line(builder: &mut Builder, line: &str) -> Option<()> {
    let words = line.trim_start_matches(' ');
    let indent = line.len() - words.len();
    let (word, text) = words
        .split_once(' ')
        .map_or((words, None), |(word, text)| (word, Some(text)));
    let kind = Kind::find(word)?;
    let depth = indent / 2;
    let root = builder.nodes.is_empty();
    if !indent.is_multiple_of(2)
        || depth > builder.open.len()
        || root != (depth == 0)
        || kind.is_token() != text.is_some()
    {
        return None;
    }
    builder.close_to(depth);
    match text {
        Some(quoted) => builder.token(kind, &unquote(quoted)?),
        None => builder.open(kind),
    }
    Some(())
}

/// Undoes Rust's `{:?}` of a string.
fn unquote(quoted: &str) -> Option<String> {
    let mut letters = quoted.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut out = String::new();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'u' => {
                let digits: String = letters
                    .by_ref()
                    .take_while(|letter| *letter != '}')
                    .collect();
                let code = u32::from_str_radix(digits.strip_prefix('{')?, 16).ok()?;
                char::from_u32(code)?
            }
            other @ ('\\' | '"' | '\'') => other,
            _ => return None,
        });
    }
    Some(out)
}

/// Puts a tree together in the order of the text.
#[derive(Default)]
pub(crate) struct Builder {
    source: String,
    nodes: Vec<Node>,
    open: Vec<NodeId>,
}

impl Builder {
    /// With room for a text of so many bytes and for so many nodes.
    pub(crate) fn with_capacity(bytes: usize, nodes: usize) -> Self {
        Self {
            source: String::with_capacity(bytes),
            nodes: Vec::with_capacity(nodes),
            open: Vec::new(),
        }
    }

    fn push(&mut self, kind: Kind) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        let parent = self.open.last().copied();
        let span = Span::at(self.source.len() as u32);
        self.nodes.push(Node {
            kind,
            span,
            parent,
            children: (0, 0),
        });
        id
    }

    /// Begins a node; what follows stands in it until it is closed.
    pub(crate) fn open(&mut self, kind: Kind) {
        let id = self.push(kind);
        self.open.push(id);
    }

    /// Ends the node begun last.
    pub(crate) fn close(&mut self) {
        let end = self.source.len() as u32;
        if let Some(node) = self
            .open
            .pop()
            .and_then(|id| self.nodes.get_mut(id.0 as usize))
        {
            node.span.end = end;
        }
    }

    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            self.close();
        }
    }

    /// Adds a token to the node begun last.
    pub(crate) fn token(&mut self, kind: Kind, text: &str) {
        let id = self.push(kind);
        self.source.push_str(text);
        let end = self.source.len() as u32;
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.span.end = end;
        }
    }

    /// The tree.
    pub(crate) fn finish(mut self) -> Tree {
        let links = self.link();
        Tree {
            source: self.source,
            nodes: self.nodes,
            links,
        }
    }

    /// Gives every node its children, which stand in the order of the text as the nodes do.
    fn link(&mut self) -> Vec<NodeId> {
        let parents: Vec<Option<NodeId>> = self.nodes.iter().map(|node| node.parent).collect();
        for parent in parents.iter().flatten() {
            if let Some(node) = self.nodes.get_mut(parent.0 as usize) {
                node.children.1 += 1;
            }
        }
        let mut count = 0;
        for node in &mut self.nodes {
            let length = node.children.1;
            node.children = (count, count);
            count += length;
        }
        let mut links = vec![Tree::ROOT; count as usize];
        for (id, parent) in parents.iter().enumerate() {
            let node = parent.and_then(|at| self.nodes.get_mut(at.0 as usize));
            let Some(node) = node else { continue };
            if let Some(link) = links.get_mut(node.children.1 as usize) {
                *link = NodeId(id as u32);
            }
            node.children.1 += 1;
        }
        links
    }
}
