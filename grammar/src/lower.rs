//! From the lossless tree to the owned [`ast`](crate::ast). Broken parts become `Missing`; nothing is reported here.

use crate::ast::*;
use crate::kind::Kind;
use crate::tree::{NodeId, Tree};
use mmh_diag::Span;

/// What the file says.
pub(crate) fn file(tree: &Tree) -> File {
    let edition = tree
        .part(Tree::ROOT, Kind::Edition)
        .map(|id| edition(tree, id));
    let mut items = Vec::new();
    let mut above = Vec::new();
    for id in tree.children(Tree::ROOT) {
        match tree.kind(*id) {
            Kind::Doc => above.push(*id),
            Kind::Whitespace if tree.text_of(*id).matches('\n').count() <= 1 => {}
            _ => {
                items.extend(item(tree, *id, doc(tree, &above)));
                above.clear();
            }
        }
    }
    File {
        edition,
        items,
        span: tree.span(Tree::ROOT),
    }
}

fn edition(tree: &Tree, id: NodeId) -> Edition {
    let number = tree
        .part(id, Kind::Number)
        .map_or(String::new(), |it| tree.text_of(it).to_string());
    Edition {
        number,
        span: tree.span(id),
    }
}

fn item(tree: &Tree, id: NodeId, doc: Option<String>) -> Option<Item> {
    match tree.kind(id) {
        Kind::Use => Some(Item::Use(use_item(tree, id))),
        Kind::Seed => Some(Item::Seed(Seed {
            value: seed_value(tree, id),
            span: tree.span(id),
        })),
        Kind::Let => let_decl(tree, id, doc).map(Item::Let),
        Kind::Block => block(tree, id, doc).map(Item::Block),
        Kind::Section => section(tree, id, doc).map(Item::Section),
        _ => None,
    }
}

fn use_item(tree: &Tree, id: NodeId) -> Use {
    let file = tree.part(id, Kind::String).map(|it| text(tree, it));
    let names = tree.part(id, Kind::Names).map_or_else(Vec::new, |list| {
        tree.parts(list)
            .filter(|it| tree.kind(*it) == Kind::Name)
            .map(|it| name(tree, it))
            .collect()
    });
    Use {
        file,
        names,
        span: tree.span(id),
    }
}

fn seed_value(tree: &Tree, id: NodeId) -> SeedValue {
    if let Some(number) = tree.part(id, Kind::Number) {
        let digits = number_text(tree, number);
        return match digits.strip_prefix("0x") {
            Some(hex) => SeedValue::Hex(hex.to_ascii_lowercase()),
            None => SeedValue::Integer(digits),
        };
    }
    let Some(string) = tree.part(id, Kind::String) else {
        return SeedValue::Missing;
    };
    let phrase = text(tree, string);
    let hex = phrase.value.len() == 64 && phrase.value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex {
        SeedValue::Hex(phrase.value.to_ascii_lowercase())
    } else {
        SeedValue::Phrase(phrase)
    }
}

fn let_decl(tree: &Tree, id: NodeId, doc: Option<String>) -> Option<Let> {
    Some(Let {
        name: own_name(tree, id)?,
        ty: after_colon(tree, id),
        value: after_equals(tree, id).unwrap_or_else(|| missing(tree, id)),
        key: key(tree, id),
        doc,
        span: tree.span(id),
    })
}

fn block(tree: &Tree, id: NodeId, doc: Option<String>) -> Option<Block> {
    let kind = match tree.part(id, Kind::Keyword).map(|word| tree.text_of(word)) {
        Some("model") => BlockKind::Model,
        Some("augment") => BlockKind::Augment,
        _ => BlockKind::Block,
    };
    let params = tree.part(id, Kind::Params).map_or_else(Vec::new, |list| {
        tree.parts(list)
            .filter(|it| tree.kind(*it) == Kind::Param)
            .filter_map(|it| param(tree, it))
            .collect()
    });
    let returns = tree
        .part(id, Kind::Returns)
        .map(|it| tree.parts(it).find_map(|at| ty(tree, at)));
    let end = Span::at(tree.span(id).end);
    Some(Block {
        kind,
        name: own_name(tree, id)?,
        params,
        returns: returns.map(|found| found.unwrap_or(Type::Missing(end))),
        body: tree.part(id, Kind::Body).map_or_else(
            || Body {
                locals: Vec::new(),
                result: Some(Expr::Missing(end)),
                span: end,
            },
            |at| body(tree, at),
        ),
        key: key(tree, id),
        doc,
        span: tree.span(id),
    })
}

fn param(tree: &Tree, id: NodeId) -> Option<Param> {
    let name = own_name(tree, id)?;
    let ty = after_colon(tree, id).unwrap_or(Type::Missing(Span::at(name.span.end)));
    Some(Param {
        name,
        ty,
        default: after_equals(tree, id),
        key: key(tree, id),
        span: tree.span(id),
    })
}

/// A broken body without a result has the result `Missing`, so no one complains a second time.
fn body(tree: &Tree, id: NodeId) -> Body {
    let (mut locals, mut result, mut broken) = (Vec::new(), None, false);
    for part in tree.parts(id) {
        match tree.kind(part) {
            Kind::Let | Kind::Bind => locals.extend(let_decl(tree, part, None)),
            Kind::Mark => {}
            Kind::Junk | Kind::MissingClose => broken = true,
            _ => result = Some(expr(tree, part)),
        }
    }
    if broken && result.is_none() {
        result = Some(missing(tree, id));
    }
    Body {
        locals,
        result,
        span: tree.span(id),
    }
}

fn section(tree: &Tree, id: NodeId, doc: Option<String>) -> Option<Section> {
    let word = tree.part(id, Kind::Keyword)?;
    let kind = SectionKind::ALL
        .into_iter()
        .find(|kind| kind.word() == tree.text_of(word))?;
    let fields = tree.part(id, Kind::Fields).map_or_else(Vec::new, |list| {
        tree.parts(list)
            .filter(|it| tree.kind(*it) == Kind::Field)
            .filter_map(|it| field(tree, it))
            .collect()
    });
    Some(Section {
        kind,
        kind_span: tree.span(word),
        name: own_name(tree, id),
        fields,
        key: key(tree, id),
        doc,
        span: tree.span(id),
    })
}

fn field(tree: &Tree, id: NodeId) -> Option<Field> {
    Some(Field {
        name: own_name(tree, id)?,
        ty: after_colon(tree, id),
        value: after_equals(tree, id).unwrap_or_else(|| missing(tree, id)),
        key: key(tree, id),
        span: tree.span(id),
    })
}

fn ty(tree: &Tree, id: NodeId) -> Option<Type> {
    let span = tree.span(id);
    match tree.kind(id) {
        Kind::LikeType => {
            let of = tree.part(id, Kind::Path).and_then(|at| path(tree, at));
            Some(of.map_or(Type::Missing(span), |of| Type::Like { of, span }))
        }
        Kind::NamedType => {
            let axes = tree.part(id, Kind::Axes).map(|list| {
                tree.parts(list)
                    .filter(|it| tree.kind(*it) == Kind::Axis)
                    .map(|it| axis(tree, it))
                    .collect()
            });
            Some(Type::Named {
                name: own_name(tree, id)?,
                axes,
                span,
            })
        }
        Kind::Missing => Some(Type::Missing(span)),
        _ => None,
    }
}

fn axis(tree: &Tree, id: NodeId) -> Axis {
    if let Some(name) = own_name(tree, id) {
        return Axis::Named {
            name,
            size: after_equals(tree, id),
        };
    }
    let value = tree
        .parts(id)
        .next()
        .map_or_else(|| missing(tree, id), |at| expr(tree, at));
    bare_axis(value)
}

/// An entry without `=`.
fn bare_axis(value: Expr) -> Axis {
    match value {
        Expr::Rest(span) => Axis::Rest(span),
        Expr::Path(path) => match path.single() {
            Some(name) => Axis::Named {
                name: name.clone(),
                size: None,
            },
            None => Axis::Size(Expr::Path(path)),
        },
        size => Axis::Size(size),
    }
}

fn expr(tree: &Tree, id: NodeId) -> Expr {
    let span = tree.span(id);
    match tree.kind(id) {
        Kind::Number => Expr::Number {
            text: number_text(tree, id),
            span,
        },
        Kind::Quantity => quantity(tree, id),
        Kind::String => Expr::Text(text(tree, id)),
        Kind::Path => path(tree, id).map_or(Expr::Missing(span), path_or_bool),
        Kind::Call => call(tree, id, None).map_or(Expr::Missing(span), Expr::Call),
        Kind::Keyed => keyed(tree, id),
        Kind::List => list(tree, id),
        Kind::Mark if tree.text_of(id) == "..." => Expr::Rest(span),
        Kind::Prefix => prefix(tree, id),
        Kind::Binary => binary(tree, id),
        Kind::If => if_chain(tree, id),
        Kind::Braced => values(tree, id)
            .next()
            .map_or(Expr::Missing(span), |at| expr(tree, at)),
        Kind::Group => {
            let inner = values(tree, id)
                .next()
                .map_or(Expr::Missing(span), |at| expr(tree, at));
            Expr::Group {
                inner: Box::new(inner),
                span,
            }
        }
        Kind::SectionValue => {
            section(tree, id, None).map_or(Expr::Missing(span), |it| Expr::Section(Box::new(it)))
        }
        _ => Expr::Missing(span),
    }
}

/// A shape if an entry has a size, else a list.
fn list(tree: &Tree, id: NodeId) -> Expr {
    let span = tree.span(id);
    let sized = |at: NodeId| tree.kind(at) == Kind::Axis;
    if values(tree, id).any(sized) {
        let axes = values(tree, id).map(|at| match sized(at) {
            true => axis(tree, at),
            false => bare_axis(expr(tree, at)),
        });
        return Expr::Shape {
            axes: axes.collect(),
            span,
        };
    }
    Expr::List {
        items: values(tree, id).map(|at| expr(tree, at)).collect(),
        span,
    }
}

/// The expressions a node holds, without its marks and without what could not be read.
fn values(tree: &Tree, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    tree.parts(id).filter(|at| match tree.kind(*at) {
        Kind::Mark => tree.text_of(*at) == "...",
        Kind::Junk | Kind::MissingClose | Kind::Keyword | Kind::Operator => false,
        _ => true,
    })
}

fn path_or_bool(path: Path) -> Expr {
    match path.single().map(|name| (name.text.as_str(), name.span)) {
        Some(("true", span)) => Expr::Bool { value: true, span },
        Some(("false", span)) => Expr::Bool { value: false, span },
        _ => Expr::Path(path),
    }
}

fn quantity(tree: &Tree, id: NodeId) -> Expr {
    let span = tree.span(id);
    let (number, unit) = (tree.part(id, Kind::Number), tree.part(id, Kind::Unit));
    match (number, unit) {
        (Some(number), Some(unit)) => Expr::Quantity {
            number: number_text(tree, number),
            unit: name(tree, unit),
            span,
        },
        _ => Expr::Missing(span),
    }
}

fn call(tree: &Tree, id: NodeId, key: Option<Key>) -> Option<Call> {
    let callee = tree.part(id, Kind::Path).and_then(|at| path(tree, at))?;
    let list = tree.part(id, Kind::Args)?;
    let args = tree
        .parts(list)
        .filter(|it| tree.kind(*it) == Kind::Arg)
        .map(|it| arg(tree, it))
        .collect();
    let whole = tree.span(id);
    let span = key.as_ref().map_or(whole, |key| key.span.to(whole));
    Some(Call {
        callee,
        args,
        key,
        args_span: tree.span(list),
        span,
    })
}

fn arg(tree: &Tree, id: NodeId) -> Arg {
    let name = own_name(tree, id);
    let value = match name {
        Some(_) => after_equals(tree, id),
        None => tree.parts(id).next().map(|at| expr(tree, at)),
    };
    Arg {
        name,
        value: value.unwrap_or_else(|| missing(tree, id)),
        span: tree.span(id),
    }
}

fn keyed(tree: &Tree, id: NodeId) -> Expr {
    let found = tree
        .part(id, Kind::Call)
        .and_then(|at| call(tree, at, key(tree, id)));
    let plain = || {
        tree.part(id, Kind::Path)
            .map_or_else(|| missing(tree, id), |at| expr(tree, at))
    };
    found.map_or_else(plain, Expr::Call)
}

fn prefix(tree: &Tree, id: NodeId) -> Expr {
    let mut parts = tree.parts(id);
    let (Some(sign), Some(operand)) = (parts.next(), parts.next()) else {
        return missing(tree, id);
    };
    let op = if tree.text_of(sign) == "-" {
        UnaryOp::Negate
    } else {
        UnaryOp::Not
    };
    Expr::Unary {
        op,
        op_span: tree.span(sign),
        operand: Box::new(expr(tree, operand)),
        span: tree.span(id),
    }
}

fn binary(tree: &Tree, id: NodeId) -> Expr {
    let (span, mut parts) = (tree.span(id), tree.parts(id));
    let (Some(lhs), Some(sign), Some(rhs)) = (parts.next(), parts.next(), parts.next()) else {
        return missing(tree, id);
    };
    let op_span = tree.span(sign);
    let (lhs, rhs) = (Box::new(expr(tree, lhs)), Box::new(expr(tree, rhs)));
    match operator(tree.text_of(sign)) {
        Some(op) => Expr::Binary {
            op,
            op_span,
            lhs,
            rhs,
            span,
        },
        None => match tree.text_of(sign) {
            "|>" => Expr::Pipe {
                lhs,
                rhs,
                op_span,
                span,
            },
            "~" => Expr::Choice {
                default: lhs,
                space: rhs,
                op_span,
                span,
            },
            _ => Expr::Range {
                lo: lhs,
                hi: rhs,
                op_span,
                span,
            },
        },
    }
}

fn operator(sign: &str) -> Option<BinaryOp> {
    BinaryOp::ALL.into_iter().find(|op| op.word() == sign)
}

/// `if a { x } else if b { y } else { z }` is flat in the tree and nests to the right here.
fn if_chain(tree: &Tree, id: NodeId) -> Expr {
    let mut branches: Vec<(NodeId, NodeId)> = Vec::new();
    let (mut condition, mut last) = (None, None);
    for part in tree.parts(id).filter(|at| tree.kind(*at) != Kind::Keyword) {
        match (condition, is_else(tree, id, part)) {
            (None, true) => last = Some(part),
            (None, false) => condition = Some(part),
            (Some(asked), _) => {
                branches.push((asked, part));
                condition = None;
            }
        }
    }
    let span = tree.span(id);
    let mut chain = last.map_or(Expr::Missing(Span::at(span.end)), |at| expr(tree, at));
    for (asked, then) in branches.into_iter().rev() {
        let (condition, then) = (Box::new(expr(tree, asked)), Box::new(expr(tree, then)));
        let span = Span::new(condition.span().start.min(span.end), span.end);
        chain = Expr::If {
            condition,
            then,
            otherwise: Box::new(chain),
            span,
        };
    }
    if let Expr::If { span: whole, .. } = &mut chain {
        *whole = span;
    }
    chain
}

/// True for the part right behind an `else`, and for the empty one at the end where no `else` stands.
fn is_else(tree: &Tree, id: NodeId, part: NodeId) -> bool {
    let mut before = None;
    for at in tree.parts(id) {
        if at == part {
            return match before {
                Some(word) if tree.kind(word) == Kind::Keyword => tree.text_of(word) == "else",
                _ => true,
            };
        }
        before = Some(at);
    }
    false
}

fn after_colon(tree: &Tree, id: NodeId) -> Option<Type> {
    tree.parts(id)
        .find_map(|at| ty(tree, at).filter(|_| follows(tree, id, at, ":")))
}

fn after_equals(tree: &Tree, id: NodeId) -> Option<Expr> {
    tree.parts(id)
        .find(|at| follows(tree, id, *at, "="))
        .map(|at| expr(tree, at))
}

/// True if the part right before `part` is `mark`.
fn follows(tree: &Tree, id: NodeId, part: NodeId, mark: &str) -> bool {
    let before = tree.parts(id).take_while(|at| *at != part).last();
    before.is_some_and(|at| tree.kind(at) == Kind::Mark && tree.text_of(at) == mark)
}

fn path(tree: &Tree, id: NodeId) -> Option<Path> {
    let names: Vec<Name> = tree
        .parts(id)
        .filter(|at| tree.kind(*at) == Kind::Name)
        .map(|at| name(tree, at))
        .collect();
    let span = names.first()?.span.to(names.last()?.span);
    Some(Path { names, span })
}

fn own_name(tree: &Tree, id: NodeId) -> Option<Name> {
    tree.part(id, Kind::Name).map(|at| name(tree, at))
}

fn name(tree: &Tree, id: NodeId) -> Name {
    Name {
        text: tree.text_of(id).to_string(),
        span: tree.span(id),
    }
}

fn number_text(tree: &Tree, id: NodeId) -> String {
    tree.text_of(id)
        .chars()
        .filter(|letter| *letter != '_')
        .collect()
}

fn key(tree: &Tree, id: NodeId) -> Option<Key> {
    let at = tree.part(id, Kind::Key)?;
    let string = tree.part(at, Kind::String)?;
    Some(Key {
        name: text(tree, string),
        span: tree.span(at),
    })
}

fn text(tree: &Tree, id: NodeId) -> Text {
    let raw = tree.text_of(id);
    let inner = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(raw);
    let (mut value, mut escaped) = (String::with_capacity(inner.len()), false);
    for letter in inner.chars() {
        match (escaped, letter) {
            (false, '\\') => {}
            (true, 'n') => value.push('\n'),
            (true, 't') => value.push('\t'),
            _ => value.push(letter),
        }
        escaped = !escaped && letter == '\\';
    }
    Text {
        value,
        span: tree.span(id),
    }
}

/// The text of the `///` lines right above an item; a blank line cuts it off.
fn doc(tree: &Tree, lines: &[NodeId]) -> Option<String> {
    let clean = |line: &NodeId| {
        tree.text_of(*line)
            .trim_start_matches('/')
            .trim()
            .to_string()
    };
    (!lines.is_empty()).then(|| lines.iter().map(clean).collect::<Vec<_>>().join("\n"))
}

fn missing(tree: &Tree, id: NodeId) -> Expr {
    Expr::Missing(Span::at(tree.span(id).end))
}
