//! From the error nodes of a tree to diagnostics: one for each mistake, told from what the broken part stands in.

use crate::guard::Excess;
use crate::kind::Kind;
use crate::messages;
use crate::tree::{NodeId, Tree};
use mmh_diag::{Code, Diagnostic, SourceId, Span};

/// More than these are not told at once.
const MAX_MISTAKES: usize = 100;

/// A text beyond the limits.
pub(crate) fn excess(source: SourceId, excess: Excess) -> Diagnostic {
    Diagnostic::error(Code::LimitTooLarge, excess.message)
        .at(source, excess.span, "")
        .help(excess.help)
}

/// Every mistake in the tree, in the order of the text.
pub(crate) fn diagnostics(source: SourceId, tree: &Tree) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    found.extend(messages::edition(source, tree));
    let mut before: Option<NodeId> = None;
    for id in tree.nodes() {
        let kind = tree.kind(id);
        if kind.is_error() {
            let same = before.is_some_and(|last| same_mistake(tree, last, id));
            let said = kind == Kind::Junk && messages::in_foreign_line(tree, id);
            if !same && !said {
                found.push(error(source, tree, id));
            }
            before = Some(id);
        } else {
            found.extend(messages::misplaced(source, tree, id));
        }
        if found.len() >= MAX_MISTAKES {
            break;
        }
    }
    keep_one_limit(&mut found);
    found.sort_by_key(|diagnostic| diagnostic.primary().map_or(0, |label| label.span.start));
    found
}

fn error(source: SourceId, tree: &Tree, id: NodeId) -> Diagnostic {
    match tree.kind(id) {
        Kind::MissingClose => messages::unclosed(source, tree, id),
        Kind::Missing => messages::missing(source, tree, id),
        Kind::BadNumber => messages::bad_number(source, tree, id),
        Kind::BadString => messages::bad_string(source, tree, id),
        Kind::Nested => messages::nested(source, tree, id),
        Kind::TooDeep => {
            let text = "this expression has too many parts inside each other";
            Diagnostic::error(Code::LimitTooLarge, text)
                .at(source, Span::at(tree.span(id).start), "")
                .help("give parts of it names with `let`")
        }
        _ => messages::junk(source, tree, id),
    }
}

/// Errors that touch, or stand on one line with only blanks between, are one mistake; so are lines of junk in a row.
fn same_mistake(tree: &Tree, last: NodeId, next: NodeId) -> bool {
    if tree.kind(last) == Kind::Nested || tree.kind(next) == Kind::Nested {
        return false;
    }
    let (from, to) = (tree.span(last).end, tree.span(next).start);
    let between = Span::new(from, to.max(from)).text(tree.source());
    let junk = tree.kind(last) == Kind::Junk && tree.kind(next) == Kind::Junk;
    between.trim().is_empty() && (junk || !between.contains('\n'))
}

fn keep_one_limit(found: &mut Vec<Diagnostic>) {
    let mut seen = false;
    found.retain(|diagnostic| {
        let limit = diagnostic.code == Code::LimitTooLarge;
        let keep = !(limit && seen);
        seen |= limit;
        keep
    });
}
