//! The typed tree: binding powers, and where each part goes.

use mmh_syntax::ast::*;
use mmh_syntax::parse;

fn file(text: &str) -> File {
    let parse = parse(&format!("mmh 1\n{text}"));
    assert_eq!(parse.diagnostics, [], "{text}");
    parse.file()
}

fn value(text: &str) -> Expr {
    match file(&format!("let it = {text}")).items.remove(0) {
        Item::Let(it) => it.value,
        other => panic!("{other:?}"),
    }
}

/// The expression with every pair of operands in parentheses.
fn grouped(expr: &Expr) -> String {
    let two =
        |op: &str, lhs: &Expr, rhs: &Expr| format!("({} {op} {})", grouped(lhs), grouped(rhs));
    match expr {
        Expr::Number { text, .. } => text.clone(),
        Expr::Quantity { number, unit, .. } => format!("{number}'{}", unit.text),
        Expr::Text(text) => format!("{:?}", text.value),
        Expr::Bool { value, .. } => value.to_string(),
        Expr::Path(path) => path.text(),
        Expr::Call(call) => {
            let args: Vec<String> = call
                .args
                .iter()
                .map(|arg| {
                    arg.name
                        .as_ref()
                        .map_or(String::new(), |name| format!("{}=", name.text))
                        + &grouped(&arg.value)
                })
                .collect();
            let key = call
                .key
                .as_ref()
                .map_or(String::new(), |key| format!("@{} ", key.name.value));
            format!("{key}{}({})", call.callee.text(), args.join(", "))
        }
        Expr::List { items, .. } => format!(
            "[{}]",
            items.iter().map(grouped).collect::<Vec<_>>().join(", ")
        ),
        Expr::Shape { axes, .. } => {
            let axis = |axis: &Axis| match axis {
                Axis::Rest(_) => "...".into(),
                Axis::Named { name, size } => {
                    let size = size.as_ref().map(|size| format!("={}", grouped(size)));
                    format!("{}{}", name.text, size.unwrap_or_default())
                }
                Axis::Size(size) => grouped(size),
            };
            format!(
                "shape[{}]",
                axes.iter().map(axis).collect::<Vec<_>>().join(", ")
            )
        }
        Expr::Rest(_) => "...".into(),
        Expr::Unary { op, operand, .. } => format!("({} {})", op.word(), grouped(operand)),
        Expr::Binary { op, lhs, rhs, .. } => two(op.word(), lhs, rhs),
        Expr::Pipe { lhs, rhs, .. } => two("|>", lhs, rhs),
        Expr::Choice { default, space, .. } => two("~", default, space),
        Expr::Range { lo, hi, .. } => two("..", lo, hi),
        Expr::If {
            condition,
            then,
            otherwise,
            ..
        } => {
            format!(
                "if {} then {} else {}",
                grouped(condition),
                grouped(then),
                grouped(otherwise)
            )
        }
        Expr::Section(section) => format!("{}{{{}}}", section.kind.word(), section.fields.len()),
        Expr::Group { inner, .. } => grouped(inner),
        Expr::Missing(_) => "?".into(),
    }
}

#[test]
fn binding_powers() {
    let cases = [
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("-a * b", "((- a) * b)"),
        ("a / b / c % d", "(((a / b) / c) % d)"),
        ("h //2 + k//(2)", "((h // 2) + (k // 2))"),
        ("3e-3 ~ log(3e-4 .. 3e-2)", "(3e-3 ~ log((3e-4 .. 3e-2)))"),
        ("24 ~ choice(16, 2 * n)", "(24 ~ choice(16, (2 * n)))"),
        (
            "a * r(n) |> f(else = -inf) |> g",
            "(((a * r(n)) |> f(else=(- inf))) |> g)",
        ),
        ("a |> f ~ b |> g", "((a |> f) ~ (b |> g))"),
        ("-12deg .. 12deg", "((- 12'deg) .. 12'deg)"),
        ("0 .. 2 * n + 1", "(0 .. ((2 * n) + 1))"),
        ("a or b and not c == d", "(a or (b and (not (c == d))))"),
        (
            "position(key) <= position(time) and x != y",
            "((position(key) <= position(time)) and (x != y))",
        ),
        ("(a + b) * c", "((a + b) * c)"),
        (
            "if a { b } else if c { d } else { e + 1 }",
            "if a then b else if c then d else (e + 1)",
        ),
        (
            "[1 / 1000, ..., 70%, 64 MiB, true]",
            "[(1 / 1000), ..., 70'%, 64'MiB, true]",
        ),
        ("train { a = 1 b = 2 }", "train{2}"),
        ("x |> @key \"old\" conv(3)", "(x |> @old conv(3))"),
        (
            "f(a, b = c.d.e, \"q\\\"\\n\")",
            "f(a, b=c.d.e, \"q\\\"\\n\")",
        ),
        ("1_000 * 0x1F", "(1000 * 0x1F)"),
        ("1..3", "(1 .. 3)"),
        ("2 px..3 px", "(2'px .. 3'px)"),
    ];
    for (text, expected) in cases {
        assert_eq!(grouped(&value(text)), expected, "{text}");
    }
}

#[test]
fn a_new_line_is_no_call() {
    let file = file("block f(x: int) -> int {\n  let y = x\n  (y)\n}");
    let Item::Block(block) = &file.items[0] else {
        panic!()
    };
    assert_eq!(block.body.locals.len(), 1);
    assert!(matches!(block.body.result, Some(Expr::Group { .. })));
}

#[test]
fn blocks() {
    let text = "/// First.\n/// Second.\n@key \"old\"\nblock g(x: f32[..., feature], n: int = 2 + 1, f: block)\n -> f32[batch, height = h / 2] {\n let y: like x = f(x)\n z: class[10] = y\n z\n}";
    let file = file(text);
    let Item::Block(block) = &file.items[0] else {
        panic!()
    };
    assert_eq!(
        (block.kind, block.name.text.as_str(), block.doc.as_deref()),
        (BlockKind::Block, "g", Some("First.\nSecond."))
    );
    assert_eq!(
        block.key.as_ref().map(|key| key.name.value.as_str()),
        Some("old")
    );
    assert_eq!(block.params.len(), 3);
    let Type::Named {
        axes: Some(axes), ..
    } = &block.params[0].ty
    else {
        panic!()
    };
    assert!(matches!(
        axes.as_slice(),
        [Axis::Rest(_), Axis::Named { size: None, .. }]
    ));
    assert_eq!(
        block.params[1].default.as_ref().map(grouped).as_deref(),
        Some("(2 + 1)")
    );
    assert!(
        matches!(&block.params[2].ty, Type::Named { name, axes: None, .. } if name.text == "block")
    );
    let Some(Type::Named {
        axes: Some(axes), ..
    }) = &block.returns
    else {
        panic!()
    };
    assert!(matches!(&axes[1], Axis::Named { size: Some(size), .. } if grouped(size) == "(h / 2)"));
    assert!(matches!(block.body.locals[0].ty, Some(Type::Like { .. })));
    let Some(Type::Named {
        axes: Some(axes), ..
    }) = &block.body.locals[1].ty
    else {
        panic!()
    };
    assert!(matches!(&axes[0], Axis::Size(size) if grouped(size) == "10"));
    assert_eq!(
        block.body.result.as_ref().map(grouped).as_deref(),
        Some("z")
    );
}

#[test]
fn seeds() {
    let seed = |text: &str| match file(text).items.remove(0) {
        Item::Seed(seed) => seed.value,
        other => panic!("{other:?}"),
    };
    let hex = "0123456789ABCDEF".repeat(4);
    assert_eq!(seed("seed 20_26"), SeedValue::Integer("2026".into()));
    assert_eq!(
        seed(&format!("seed \"{hex}\"")),
        SeedValue::Hex(hex.to_lowercase())
    );
    assert_eq!(
        seed(&format!("seed 0x{hex}")),
        SeedValue::Hex(hex.to_lowercase())
    );
    assert!(
        matches!(seed("seed \"a phrase\""), SeedValue::Phrase(text) if text.value == "a phrase")
    );
}

#[test]
fn keywords_are_settings_where_no_name_follows() {
    let file = file(
        "train fit {\n model = a.b\n data = 2\n else = 3\n @key \"o\" label: class[10] = rows.label\n seed = 4\n}\nuse \"x.mmh\" { a, b c }",
    );
    let Item::Section(section) = &file.items[0] else {
        panic!()
    };
    let names: Vec<&str> = section
        .fields
        .iter()
        .map(|field| field.name.text.as_str())
        .collect();
    assert_eq!(names, ["model", "data", "else", "label", "seed"]);
    assert!(section.fields[3].key.is_some() && section.fields[3].ty.is_some());
    let Item::Use(taken) = &file.items[1] else {
        panic!()
    };
    assert_eq!(taken.names.len(), 3);
}

#[test]
fn what_stands_around_a_mistake_is_read() {
    let parse = parse("mmh 1\ndata d {\n  a = f(1\n  b = 2\n  c = \n  e = 4\n}\n$$$\nlet x = 3\n");
    assert_eq!(parse.diagnostics.len(), 3);
    let file = parse.file();
    let Item::Section(section) = &file.items[0] else {
        panic!()
    };
    let values: Vec<String> = section
        .fields
        .iter()
        .map(|field| grouped(&field.value))
        .collect();
    assert_eq!(values, ["f(1)", "2", "?", "4"]);
    assert_eq!(file.items.len(), 2);
}

#[test]
fn names_have_their_spans() {
    let text = "mmh 1\nlet wide = digits.train";
    let Item::Let(it) = parse(text).file().items.remove(0) else {
        panic!()
    };
    assert_eq!(
        (it.name.span.text(text), it.span.text(text)),
        ("wide", "let wide = digits.train")
    );
    let Expr::Path(path) = it.value else { panic!() };
    let names: Vec<&str> = path.names.iter().map(|name| name.span.text(text)).collect();
    assert_eq!(names, ["digits", "train"]);
}
