//! What the formatter asks the tree: which gaps, which columns, what begins a line.

use crate::kind::Kind;
use crate::tree::{NodeId, Tree};
use std::collections::BTreeMap;

/// What a token that begins a line is to the line before.
pub(crate) enum Role {
    /// It begins a declaration, a setting, an argument: something of its own.
    Element,
    /// It goes on with something that is no expression.
    Continues,
    /// It goes on with an expression that starts at `first`; `pipe` is the first `|>` of its chain.
    Operand { first: NodeId, pipe: Option<NodeId> },
}

/// Hands every token of a node on, in order.
pub(crate) fn each_token(tree: &Tree, id: NodeId, take: &mut impl FnMut(NodeId)) {
    if tree.kind(id).is_token() {
        return take(id);
    }
    for child in tree.children(id) {
        each_token(tree, *child, take);
    }
}

/// True if a mistake stands in it.
pub(crate) fn is_broken(tree: &Tree, id: NodeId) -> bool {
    tree.kind(id).is_error()
        || tree
            .children(id)
            .iter()
            .any(|child| is_broken(tree, *child))
}

/// True for `)`, `]` and `}`.
pub(crate) fn is_closer(tree: &Tree, id: NodeId) -> bool {
    tree.kind(id) == Kind::Mark && matches!(tree.text_of(id), ")" | "]" | "}")
}

/// The first token behind a piece of trivia that is none.
pub(crate) fn next_part(tree: &Tree, trivia: NodeId) -> Option<NodeId> {
    let mut at = trivia;
    loop {
        let parent = tree.parent(at)?;
        let children = tree.children(parent);
        // Ids grow in the order of the text.
        let behind = children.partition_point(|child| *child <= at);
        let mut behind = children.iter().skip(behind);
        if let Some(found) = behind.find(|child| !tree.kind(**child).is_trivia()) {
            return Some(first_token(tree, *found));
        }
        at = parent;
    }
}

fn first_token(tree: &Tree, id: NodeId) -> NodeId {
    let mut at = id;
    while let Some(first) = tree.parts(at).next() {
        at = first;
    }
    at
}

/// What a token that begins a line is to the line before.
pub(crate) fn role(tree: &Tree, token: NodeId) -> Role {
    let mut part = token;
    while let Some(parent) = tree.parent(part) {
        if holds_elements(tree.kind(parent)) {
            return Role::Element;
        }
        let before = tree.parts(parent).take_while(|child| *child != part).last();
        if before.is_some_and(|at| tree.kind(at) == Kind::Key) {
            return Role::Element;
        }
        if before.is_some() {
            return role_in(tree, parent);
        }
        part = parent;
    }
    Role::Element
}

fn holds_elements(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::File
            | Kind::Names
            | Kind::Params
            | Kind::Axes
            | Kind::Body
            | Kind::Fields
            | Kind::List
            | Kind::Group
            | Kind::Braced
            | Kind::Args
    )
}

fn role_in(tree: &Tree, parent: NodeId) -> Role {
    match tree.kind(parent) {
        Kind::Binary | Kind::Prefix | Kind::If => Role::Operand {
            first: first_token(tree, parent),
            pipe: first_pipe(tree, parent),
        },
        Kind::Section | Kind::SectionValue => Role::Element,
        _ => Role::Continues,
    }
}

/// The first `|>` of the chain that ends in `binary`.
fn first_pipe(tree: &Tree, binary: NodeId) -> Option<NodeId> {
    let mut found = None;
    let mut at = binary;
    while let Some(pipe) = own_pipe(tree, at) {
        found = Some(pipe);
        at = tree.parts(at).next()?;
    }
    found
}

fn own_pipe(tree: &Tree, id: NodeId) -> Option<NodeId> {
    (tree.kind(id) == Kind::Binary).then_some(())?;
    tree.part(id, Kind::Operator)
        .filter(|at| tree.text_of(*at) == "|>")
}

/// The blanks between two tokens on one line; `written` is how many the author put there.
pub(crate) fn gap(tree: &Tree, last: NodeId, next: NodeId, written: usize) -> usize {
    let parent = |id: NodeId| tree.parent(id).map_or(Kind::File, |at| tree.kind(at));
    let (before, after) = (tree.text_of(last), tree.text_of(next));
    let (mark_before, mark_after) = (tree.kind(last) == Kind::Mark, tree.kind(next) == Kind::Mark);
    let tight = (mark_before && matches!(before, "(" | "[" | "."))
        || (mark_after && matches!(after, ")" | "]" | "," | "." | ":"))
        || (mark_after && after == "(" && matches!(parent(next), Kind::Args | Kind::Params))
        || (mark_after && after == "[" && parent(next) == Kind::Axes)
        || (mark_before && before == "{" && mark_after && after == "}")
        || (parent(last) == Kind::Prefix && before == "-")
        || (parent(next) == Kind::Binary && after == "//")
        || (parent(last) == Kind::Binary && before == "//");
    match (tight, tree.kind(next)) {
        (true, _) => 0,
        (false, Kind::Unit) => written.min(1),
        _ => 1,
    }
}

/// The blanks to add before each `=` so that those of a run of lines stand in one column.
///
/// A run is broken by an empty line, a comment line, and by two declarations on one line. Typed lines are left out and
/// break nothing. Settings of a section make one run; neighbouring `let` lines do if their names differ by at most two
/// letters, so `let q` is not pushed away by `let weight`.
pub(crate) fn pads(tree: &Tree) -> BTreeMap<NodeId, usize> {
    let mut pads = BTreeMap::new();
    for id in tree.nodes() {
        if matches!(tree.kind(id), Kind::File | Kind::Fields | Kind::Body) {
            align(tree, id, &mut pads);
        }
    }
    pads
}

fn align(tree: &Tree, id: NodeId, pads: &mut BTreeMap<NodeId, usize>) {
    let mut run: Vec<(NodeId, usize)> = Vec::new();
    let mut newlines = 0;
    for child in tree.children(id) {
        match tree.kind(*child) {
            Kind::Whitespace => newlines += tree.text_of(*child).matches('\n').count(),
            Kind::Comment | Kind::Doc if newlines > 0 => {
                finish(&mut run, pads);
                newlines = 0;
            }
            Kind::Comment | Kind::Doc => {}
            _ => {
                if id == Tree::ROOT {
                    // Declarations are put on lines of their own.
                    newlines = newlines.max(1);
                }
                if newlines != 1 {
                    finish(&mut run, pads);
                }
                if newlines > 0 {
                    extend(tree, *child, &mut run, pads);
                }
                newlines = 0;
            }
        }
    }
    finish(&mut run, pads);
}

fn extend(
    tree: &Tree,
    id: NodeId,
    run: &mut Vec<(NodeId, usize)>,
    pads: &mut BTreeMap<NodeId, usize>,
) {
    let is_mark =
        |at: &NodeId, text: &str| tree.kind(*at) == Kind::Mark && tree.text_of(*at) == text;
    let typed = tree.parts(id).any(|at| is_mark(&at, ":"));
    let (equals, name) = (
        tree.parts(id).find(|at| is_mark(at, "=")),
        tree.part(id, Kind::Name),
    );
    let keyed = tree.part(id, Kind::Key).is_some();
    let (Kind::Field | Kind::Let, false, false, Some(equals), Some(name)) =
        (tree.kind(id), typed, keyed, equals, name)
    else {
        if !typed || keyed {
            finish(run, pads);
        }
        return;
    };
    let width = tree.text_of(name).len();
    let apart = run.last().is_some_and(|(_, last)| last.abs_diff(width) > 2);
    if apart && tree.kind(id) == Kind::Let {
        finish(run, pads);
    }
    run.push((equals, width));
}

fn finish(run: &mut Vec<(NodeId, usize)>, pads: &mut BTreeMap<NodeId, usize>) {
    let widest = run.iter().map(|(_, width)| *width).max().unwrap_or(0);
    pads.extend(
        run.drain(..)
            .map(|(equals, width)| (equals, widest - width)),
    );
}
