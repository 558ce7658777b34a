//! What is said about each mistake, and that one mistake is said once.

use mmh_diag::{Diagnostic, Severity};
use mmh_syntax::parse;

/// Code, message and help of the only mistake in a recipe.
fn only(body: &str) -> (String, String, String) {
    let text = format!("mmh 1\n{body}");
    let found = parse(&text).diagnostics;
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    let one = &found[0];
    house_voice(one);
    (
        one.code.to_string(),
        one.message.clone(),
        one.help.clone().unwrap_or_default(),
    )
}

fn house_voice(diagnostic: &Diagnostic) {
    assert_eq!(diagnostic.severity, Severity::Error);
    let help = diagnostic.help.as_deref().unwrap_or("");
    for said in [diagnostic.message.as_str(), help] {
        assert!(
            !said.is_empty() && !said.ends_with('.') || said.ends_with(".."),
            "{said}"
        );
        assert!(
            !said.starts_with(|letter: char| letter.is_uppercase()),
            "{said}"
        );
        assert_eq!(said.matches('`').count() % 2, 0, "{said}");
    }
    assert!(diagnostic.labels.iter().any(|label| label.primary));
}

#[test]
fn messages() {
    let cases = [
        (
            "train t {\n  rows = a |> batch(48\n  loss = b\n}",
            "syntax::unclosed",
            "this `(` is never closed",
            "add `)` after `48`",
        ),
        (
            "let a = f([1, 2)",
            "syntax::unclosed",
            "this `[` is never closed",
            "add `]` after `2`",
        ),
        (
            "let a = f(1]\nlet b = 2",
            "syntax::unclosed",
            "this `(` is never closed",
            "write `)` instead of `]`",
        ),
        (
            "let a = f(g([1\nlet b = 2",
            "syntax::unclosed",
            "these 3 brackets are never closed",
            "add `]))` after `1`",
        ),
        (
            "data d {\n  a = 1\n\ntrain t {\n}",
            "syntax::unclosed",
            "this `{` is never closed",
            "add `}` after `a = 1`",
        ),
        (
            "modle net(x: int) -> int {\n  x\n}",
            "syntax::unexpected",
            "`modle` starts no declaration",
            "did you mean `model`?",
        ),
        (
            "train {\n  a = 1\n}",
            "syntax::unexpected",
            "`train` needs a name",
            "write `train name …`",
        ),
        (
            "wide = 3",
            "syntax::unexpected",
            "`wide` stands outside of every section",
            "write `let wide = …`, or move it into a section",
        ),
        (
            "let a = f(b c)",
            "syntax::unexpected",
            "a `,` is missing before `c`",
            "add `,` after `b`",
        ),
        (
            "let a = f(b))",
            "syntax::unexpected",
            "this `)` closes nothing",
            "remove it",
        ),
        (
            "data d {\n  a = 1 ; b = 2\n}",
            "syntax::unexpected",
            "`;` means nothing here",
            "no `;` is needed: a new line is enough",
        ),
        (
            "data d {\n  rows digits.train\n}",
            "syntax::unexpected",
            "`rows` is no setting like this",
            "write `rows = …`",
        ),
        (
            "data d {\n  a {\n    b = 1\n  }\n}",
            "syntax::unexpected",
            "`a` has braces and no `=`",
            "write `a = train { … }`, or `a = …`",
        ),
        (
            "data d {\n  lr =\n  b = 1\n}",
            "syntax::missing-value",
            "`lr` has no value",
            "write a value after `=`",
        ),
        (
            "let a = 1 +\nlet b = 2",
            "syntax::missing-value",
            "`+` has nothing on its right",
            "add a value after `+`, or remove it",
        ),
        (
            "data d {\n  a = b |>\n  c = 1\n}",
            "syntax::missing-value",
            "`|>` has nothing on its right",
            "add a value after `|>`, or remove it",
        ),
        (
            "let a = ()",
            "syntax::missing-value",
            "these parentheses are empty",
            "write a value between them",
        ),
        (
            "let a = (b = 4, c = 2)",
            "syntax::missing-value",
            "these parentheses do not begin with a value",
            "settings stand in the parentheses of a call, `split(hidden, head = 4)`; several values in brackets, `[a, b]`",
        ),
        (
            "let a = (b, c)",
            "syntax::unexpected",
            "`,` cannot follow here",
            "several values stand in brackets: `[a, b]`",
        ),
        (
            "let a = if b { 1 }",
            "syntax::missing-value",
            "this `if` has no `else`",
            "an `if` always has a value: add `else { … }`",
        ),
        (
            "block f(x) -> int {\n  x\n}",
            "syntax::missing-value",
            "`x` needs a type",
            "write `x: f32[batch, feature]` or `x: int`",
        ),
        (
            "block f {\n  1\n}",
            "syntax::missing-value",
            "`f` needs its inputs",
            "write them in parentheses: `f(x: f32[batch, feature])`",
        ),
        (
            "train t",
            "syntax::missing-value",
            "`t` has no settings",
            "add `{ … }` after `t`",
        ),
        (
            "let a = digits.\nlet b = 2",
            "syntax::missing-value",
            "a name is missing after `digits.`",
            "write a member's name",
        ),
        (
            "let a = .5",
            "syntax::bad-number",
            "`.5` is not a number",
            "write `0.5`",
        ),
        (
            "let a = 12.",
            "syntax::bad-number",
            "`12.` is not a number",
            "write `12.0`",
        ),
        (
            "let a = 1.2.3",
            "syntax::bad-number",
            "`1.2.3` is not a number",
            "numbers look like `12`, `1_000`, `0.5`, `3e-4` or `0x1f`",
        ),
        (
            "data d {\n  a = csv(\"x.csv)\n  b = 1\n}",
            "syntax::bad-string",
            "this string is never closed",
            "add `\"` after `x.csv`",
        ),
        (
            "let a = \"x\\y\"",
            "syntax::bad-string",
            "this `\\` begins no escape",
            "write `\\\\` for the stroke itself; the others are `\\\"`, `\\n` and `\\t`",
        ),
        (
            "block f(x: int) -> int {\n  y = x\n  y\n}",
            "syntax::unexpected",
            "`y` is named without `let`",
            "write `let y = …`",
        ),
        (
            "block f(x: int) -> int {\n  relu(x)\n  x\n}",
            "syntax::unexpected",
            "`relu(x)` goes nowhere",
            "only the last line of a body is its value: give this one a name with `let`, or flow on with `|>`",
        ),
        (
            "let a = height // 2",
            "syntax::unexpected",
            "`// 2` is read as a comment",
            "write `//2`, touching, to divide and round down",
        ),
        (
            "//comment\nlet a = 2",
            "syntax::unexpected",
            "`//` means nothing here",
            "put a space after `//` to make it a comment",
        ),
        (
            "use digits { a }",
            "syntax::missing-value",
            "`use` needs a file",
            "write its name in quotes: `use \"file.mmh\" { name }`",
        ),
        (
            "let a = @key \"b\" c",
            "syntax::unexpected",
            "`@key` stands before a call, and this is none",
            "put it before the call, or before the `let`, that is renamed",
        ),
    ];
    for (body, code, message, help) in cases {
        let said = only(body);
        assert_eq!(
            (said.0.as_str(), said.1.as_str(), said.2.as_str()),
            (code, message, help),
            "{body}"
        );
    }
}

#[test]
fn comments_that_are_no_division_are_left_in_peace() {
    for line in [
        "let a = 30 // 600 steps",
        "let a = b // halves it",
        "// 2) do this",
        "let a = b(1) // 1. first, 2. second",
    ] {
        assert_eq!(parse(&format!("mmh 1\n{line}")).diagnostics, [], "{line}");
    }
}

#[test]
fn editions() {
    let said = |text: &str| {
        parse(text)
            .diagnostics
            .iter()
            .map(|it| it.message.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(said(""), ["this file is empty"]);
    assert_eq!(said("let a = 1"), ["this file does not say its edition"]);
    assert_eq!(said("mmh 2"), ["edition 2 is not known"]);
    assert_eq!(
        said("mmh\nlet a = 1"),
        ["`mmh` needs the number of an edition"]
    );
    assert_eq!(
        said("mmh 1\nmmh 1"),
        ["the edition stands first in a file, and once"]
    );
    assert!(said("// c\n\nmmh 1\n").is_empty());
}

#[test]
fn both_sides_are_labelled() {
    let text = "mmh 1\nlet a = f(48\nlet b = 2";
    let one = &parse(text).diagnostics[0];
    let shown: Vec<&str> = one
        .labels
        .iter()
        .map(|label| label.span.text(text))
        .collect();
    assert_eq!(shown, ["(", ""]);
    assert_eq!(
        one.labels[1].span.start as usize,
        text.find("48").unwrap() + 2
    );
    assert_eq!(one.labels[1].text, "`)` belongs here");
}

/// Every fix that is offered leads to a text without that mistake.
#[test]
fn fixes_mend() {
    for body in [
        "let a = f(48\nlet b = 2",
        "let a = f(1]",
        "let a = .5",
        "wide = 3",
        "let a = f(b c)",
        "let a = height // 2",
        "modle net(x: int) -> int {\n  x\n}",
        "data d {\n  a = csv(\"x.csv)\n  b = 1\n}",
        "let a = f(b))",
    ] {
        let text = format!("mmh 1\n{body}");
        let found = parse(&text).diagnostics;
        let fix = &found[0].fixes[0];
        let mut mended = text.clone();
        for edit in fix.edits.iter().rev() {
            mended.replace_range(edit.span.start as usize..edit.span.end as usize, &edit.text);
        }
        assert_eq!(parse(&mended).diagnostics, [], "{mended}");
    }
}

#[test]
fn the_pages_right_examples_are_read() {
    for code in mmh_diag::Code::ALL {
        let blocks: Vec<&str> = code
            .page()
            .split("```mmh\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        let with_edition = |text: &str| {
            if text.contains("mmh 1") {
                text.to_string()
            } else {
                format!("mmh 1\n{text}")
            }
        };
        // Other examples stand in a recipe, and are tested there.
        let [wrong, right, ..] = blocks[..] else {
            continue;
        };
        assert_eq!(parse(&with_edition(right)).diagnostics, [], "{code}");
        if code.family() == "syntax" && code.name() != "syntax::edition" {
            assert!(
                parse(&with_edition(wrong))
                    .diagnostics
                    .iter()
                    .any(|it| it.code == *code),
                "{code}"
            );
        }
    }
}
