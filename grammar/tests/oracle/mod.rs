//! The tree as pest makes it of the grammar: the reader of `mmh-syntax` is held to it.

use mmh_syntax::{Kind, Tree};
use pest::Parser as _;
use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// How deep one expression may nest, operators included.
const MAX_HEIGHT: u32 = 512;

mod generated {
    #[derive(pest_derive::Parser)]
    #[grammar = "../src/mmh.pest"]
    pub(super) struct Grammar;
}
use generated::{Grammar, Rule};

/// Binding powers, loosest first; all but the prefixes group to the left.
///
/// `~` is loosest, because a setting reads `default ~ space` with a whole expression on both sides. `|>` comes next, so
/// a pipe takes the whole sum or product before it. `..` binds tighter than comparison and looser than arithmetic, so
/// `0 .. 2 * n` is a range.
static BINDING: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::tilde))
        .op(left(Rule::pipe))
        .op(left(Rule::kw_or))
        .op(left(Rule::kw_and))
        .op(Op::prefix(Rule::kw_not))
        .op(left(Rule::compare))
        .op(left(Rule::range))
        .op(left(Rule::plus) | left(Rule::minus))
        .op(left(Rule::times) | left(Rule::divide) | left(Rule::floor) | left(Rule::remainder))
        .op(Op::prefix(Rule::negate))
});

/// A node before its place in the arena is known.
struct Draft {
    kind: Kind,
    start: usize,
    end: usize,
    height: u32,
    children: Vec<Draft>,
}

impl Draft {
    fn new(kind: Kind, start: usize, end: usize, children: Vec<Self>) -> Self {
        let height = 1 + children.iter().map(|child| child.height).max().unwrap_or(0);
        Self {
            kind,
            start,
            end,
            height,
            children,
        }
    }

    fn over(kind: Kind, children: Vec<Self>) -> Self {
        let start = children.first().map_or(0, |child| child.start);
        let end = children.last().map_or(start, |child| child.end);
        Self::new(kind, start, end, children)
    }
}

/// The tree of a text that is known to be within the limits.
pub(crate) fn tree(source: &str) -> Tree {
    let pair = Grammar::parse(Rule::file, source)
        .ok()
        .and_then(|mut pairs| pairs.next());
    let Some(pair) = pair else {
        panic!("the grammar never fails");
    };
    let mut root = draft(pair);
    (root.start, root.end) = (0, source.len());
    settle(&mut root);
    let mut dump = Dump::default();
    emit(&mut dump, source, &root);
    Tree::read(&dump.text).expect("the text form of a tree")
}

/// The text form of a tree, being written.
#[derive(Default)]
struct Dump {
    text: String,
    depth: usize,
    offset: usize,
}

impl Dump {
    fn line(&mut self, kind: Kind) {
        let word = kind.word();
        let _ = write!(self.text, "{:indent$}{word}", "", indent = 2 * self.depth);
    }

    fn open(&mut self, kind: Kind) {
        self.line(kind);
        self.text.push('\n');
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
    }

    fn token(&mut self, kind: Kind, text: &str) {
        self.line(kind);
        let _ = writeln!(self.text, " {text:?}");
        self.offset += text.len();
    }

    fn offset(&self) -> usize {
        self.offset
    }
}

fn draft(pair: Pair<'_, Rule>) -> Draft {
    let (span, kind) = (pair.as_span(), kind(pair.as_rule(), pair.as_str()));
    if kind == Kind::Junk {
        return junk(pair.as_str(), span.start());
    }
    let mut children = if kind.is_token() {
        Vec::new()
    } else {
        drafts(pair.into_inner())
    };
    let bare = matches!(kind, Kind::Call | Kind::Quantity) && children.len() == 1;
    if let Some(only) = children.pop_if(|_| bare) {
        return only;
    }
    let mut node = Draft::new(kind, span.start(), span.end(), children);
    if kind == Kind::If {
        // A chain of `else if` is flat here and nests in the typed tree.
        node.height += node.children.len() as u32;
    }
    node
}

fn drafts(pairs: Pairs<'_, Rule>) -> Vec<Draft> {
    let mut out = Vec::new();
    for pair in pairs {
        match pair.as_rule() {
            Rule::EOI => {}
            Rule::expr => expression(pair.into_inner(), &mut out),
            _ => out.push(draft(pair)),
        }
    }
    out
}

/// Junk gives the blanks at its end back.
fn junk(text: &str, start: usize) -> Draft {
    let end = start + text.trim_end().len();
    Draft::new(Kind::Junk, start, end, Vec::new())
}

/// Applies the binding powers to a flat run of operands and operators, then puts the trivia back where it stood.
fn expression(pairs: Pairs<'_, Rule>, out: &mut Vec<Draft>) {
    let (trivia, parts): (Vec<_>, Vec<_>) =
        pairs.partition(|pair| matches!(pair.as_rule(), Rule::WHITESPACE | Rule::COMMENT));
    let mut expr = BINDING
        .map_primary(draft)
        .map_prefix(|op, operand| Draft::over(Kind::Prefix, vec![draft(op), operand]))
        .map_infix(|lhs, op, rhs| Draft::over(Kind::Binary, vec![lhs, draft(op), rhs]))
        .parse(parts.into_iter());
    if expr.height > MAX_HEIGHT {
        let mut flat = Vec::new();
        flatten(expr, &mut flat);
        expr = Draft::over(Kind::TooDeep, flat);
    }
    let mut trivia = trivia.into_iter().map(draft).peekable();
    weave(&mut expr, &mut trivia);
    out.push(expr);
    out.extend(trivia);
}

/// The operands and operators of nested binary nodes, without recursion along the left.
fn flatten(expr: Draft, out: &mut Vec<Draft>) {
    let mut stack = vec![expr];
    while let Some(mut top) = stack.pop() {
        if matches!(top.kind, Kind::Binary | Kind::Prefix) {
            stack.extend(top.children.drain(..).rev());
        } else {
            out.push(top);
        }
    }
}

fn weave(node: &mut Draft, trivia: &mut std::iter::Peekable<impl Iterator<Item = Draft>>) {
    if !matches!(node.kind, Kind::Binary | Kind::Prefix | Kind::TooDeep) {
        return;
    }
    let children = std::mem::take(&mut node.children);
    for mut child in children {
        while let Some(before) = trivia.next_if(|next| next.start < child.start) {
            node.children.push(before);
        }
        weave(&mut child, trivia);
        node.children.push(child);
    }
}

/// Moves trivia out of the end of every node, so a node ends with its last token and a missing part stands right behind
/// what comes before it.
fn settle(node: &mut Draft) {
    let children = std::mem::take(&mut node.children);
    let mut settled: Vec<Draft> = Vec::with_capacity(children.len());
    for mut child in children {
        settle(&mut child);
        let loose = if child.kind.is_token() {
            Vec::new()
        } else {
            trailing(&mut child)
        };
        if is_absent(&child) {
            let at = settled
                .iter()
                .rposition(|before| !before.kind.is_trivia())
                .map_or(0, |at| at + 1);
            settled.insert(at, child);
        } else {
            settled.push(child);
        }
        settled.extend(loose);
    }
    node.children = settled;
}

fn is_absent(node: &Draft) -> bool {
    matches!(node.kind, Kind::Missing | Kind::MissingClose)
}

fn trailing(node: &mut Draft) -> Vec<Draft> {
    let keep = node
        .children
        .iter()
        .rposition(|child| !child.kind.is_trivia())
        .map_or(0, |at| at + 1);
    node.children.split_off(keep)
}

/// Text between two children that no rule named becomes junk, so nothing is ever lost.
fn emit(builder: &mut Dump, source: &str, node: &Draft) {
    let text = |from: usize, to: usize| source.get(from..to).unwrap_or("");
    if !is_absent(node) && builder.offset() < node.start {
        let gap = text(builder.offset(), node.start);
        let kind = if gap.trim().is_empty() {
            Kind::Whitespace
        } else {
            Kind::Junk
        };
        builder.token(kind, gap);
    }
    if node.kind.is_token() {
        builder.token(node.kind, text(node.start, node.end));
        return;
    }
    builder.open(node.kind);
    for child in &node.children {
        emit(builder, source, child);
    }
    if node.kind == Kind::File && builder.offset() < source.len() {
        let rest = text(builder.offset(), source.len());
        let kind = if rest.trim().is_empty() {
            Kind::Whitespace
        } else {
            Kind::Junk
        };
        builder.token(kind, rest);
    }
    builder.close();
}

fn kind(rule: Rule, text: &str) -> Kind {
    node_kind(rule).unwrap_or_else(|| token_kind(rule, text))
}

fn node_kind(rule: Rule) -> Option<Kind> {
    Some(match rule {
        Rule::file => Kind::File,
        Rule::edition => Kind::Edition,
        Rule::use_item => Kind::Use,
        Rule::names => Kind::Names,
        Rule::seed_item => Kind::Seed,
        Rule::let_decl => Kind::Let,
        Rule::block_item => Kind::Block,
        Rule::section => Kind::Section,
        Rule::key => Kind::Key,
        Rule::params => Kind::Params,
        Rule::param => Kind::Param,
        Rule::returns => Kind::Returns,
        Rule::body => Kind::Body,
        Rule::bind => Kind::Bind,
        Rule::fields => Kind::Fields,
        Rule::field => Kind::Field,
        Rule::nested => Kind::Nested,
        Rule::like_ty => Kind::LikeType,
        Rule::named_ty => Kind::NamedType,
        Rule::axes => Kind::Axes,
        Rule::axis | Rule::sized => Kind::Axis,
        Rule::quantity => Kind::Quantity,
        Rule::list => Kind::List,
        Rule::group => Kind::Group,
        Rule::if_expr => Kind::If,
        Rule::braced => Kind::Braced,
        Rule::section_value => Kind::SectionValue,
        Rule::keyed => Kind::Keyed,
        Rule::call => Kind::Call,
        Rule::args => Kind::Args,
        Rule::arg => Kind::Arg,
        Rule::path | Rule::like_path => Kind::Path,
        _ => return None,
    })
}

fn token_kind(rule: Rule, text: &str) -> Kind {
    match rule {
        Rule::WHITESPACE | Rule::blanks => Kind::Whitespace,
        Rule::COMMENT if text.starts_with("///") && !text.starts_with("////") => Kind::Doc,
        Rule::COMMENT => Kind::Comment,
        Rule::name | Rule::field_name | Rule::member => Kind::Name,
        Rule::unit | Rule::percent => Kind::Unit,
        Rule::number => Kind::Number,
        Rule::bad_number => Kind::BadNumber,
        Rule::string => Kind::String,
        Rule::bad_string => Kind::BadString,
        Rule::missing => Kind::Missing,
        Rule::missing_close => Kind::MissingClose,
        Rule::lparen
        | Rule::rparen
        | Rule::lbracket
        | Rule::rbracket
        | Rule::lbrace
        | Rule::rbrace => Kind::Mark,
        Rule::comma | Rule::colon | Rule::eq | Rule::dot | Rule::arrow | Rule::rest => Kind::Mark,
        Rule::negate
        | Rule::pipe
        | Rule::tilde
        | Rule::range
        | Rule::plus
        | Rule::minus
        | Rule::times => Kind::Operator,
        Rule::floor | Rule::divide | Rule::remainder | Rule::compare => Kind::Operator,
        Rule::kw_not | Rule::kw_and | Rule::kw_or => Kind::Operator,
        Rule::junk | Rule::junk_line | Rule::paren_junk | Rule::bracket_junk | Rule::brace_junk => {
            Kind::Junk
        }
        _ => Kind::Keyword,
    }
}
