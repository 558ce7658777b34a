//! What is said about each kind of mistake, in the user's own names.

use crate::EDITION;
use crate::kind::Kind;
use crate::tree::{NodeId, Tree};
use mmh_diag::{Code, Diagnostic, Edit, SourceId, Span, line_elsewhere, suggest};

/// The words that start a declaration.
const KINDS: [&str; 12] = [
    "use", "seed", "let", "data", "augment", "block", "model", "train", "search", "evaluate",
    "export", "federate",
];

/// What other languages write, and what to write here.
const FOREIGN: [(&str, &str); 9] = [
    ("#", "a comment begins with `// `"),
    ("/*", "a comment begins with `// ` on each line"),
    (";", "no `;` is needed: a new line is enough"),
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("!", "write `not`"),
    ("'", "a string stands in double quotes"),
    ("**", "write `pow(x, 2)`, or multiply"),
    ("//", "put a space after `//` to make it a comment"),
];

/// The part before `id` in what it stands in.
fn before(tree: &Tree, id: NodeId) -> Option<NodeId> {
    tree.parent(id)
        .and_then(|parent| tree.parts(parent).take_while(|at| *at != id).last())
}

/// A text short enough to be quoted: at most 24 letters of its last line.
fn quoted(text: &str) -> String {
    let line = text.trim().lines().last().unwrap_or("").trim();
    let skip = line.chars().count().saturating_sub(24);
    let short: String = line.chars().skip(skip).collect();
    if skip == 0 {
        format!("`{short}`")
    } else {
        format!("`…{short}`")
    }
}

fn own_name(tree: &Tree, id: NodeId) -> String {
    tree.part(id, Kind::Name)
        .map_or(String::new(), |name| tree.text_of(name).to_string())
}

/// The edition is not said, or is not known.
pub(crate) fn edition(source: SourceId, tree: &Tree) -> Option<Diagnostic> {
    let Some(id) = tree.part(Tree::ROOT, Kind::Edition) else {
        let empty = tree.parts(Tree::ROOT).next().is_none();
        let message = if empty {
            "this file is empty"
        } else {
            "this file does not say its edition"
        };
        let first = tree
            .parts(Tree::ROOT)
            .next()
            .map_or(0, |at| tree.span(at).start);
        return Some(
            Diagnostic::error(Code::SyntaxEdition, message)
                .at(source, Span::at(first), "")
                .help(format!("begin with `mmh {EDITION}`"))
                .fix(
                    "add the edition",
                    Span::at(first),
                    format!("mmh {EDITION}\n\n"),
                ),
        );
    };
    let number = tree.part(id, Kind::Number)?;
    let written = tree.text_of(number);
    (written != EDITION).then(|| {
        Diagnostic::error(
            Code::SyntaxEdition,
            format!("edition {written} is not known"),
        )
        .at(source, tree.span(number), "")
        .help(format!("this compiler reads edition {EDITION}"))
    })
}

/// A bracket without its closer; several at one place are one mistake.
pub(crate) fn unclosed(source: SourceId, tree: &Tree, id: NodeId) -> Diagnostic {
    let at = tree.span(id).end;
    // Brackets that should end at one place stand inside each other.
    let open_here = |bracket: &NodeId| {
        let last = tree.children(*bracket).last();
        last.is_some_and(|end| tree.kind(*end) == Kind::MissingClose && tree.span(*end).end == at)
    };
    let inner_first: Vec<NodeId> = tree
        .ancestors(id)
        .filter(open_here)
        .filter_map(|it| opener(tree, it))
        .collect();
    let closers: String = inner_first
        .iter()
        .map(|it| closer(tree.text_of(*it)))
        .collect();
    let message = match inner_first.as_slice() {
        [one] => format!("this `{}` is never closed", tree.text_of(*one)),
        _ => format!("these {} brackets are never closed", inner_first.len()),
    };
    let mut diagnostic = Diagnostic::error(Code::SyntaxUnclosed, message);
    for it in &inner_first {
        diagnostic = diagnostic.at(source, tree.span(*it), "opened here");
    }
    diagnostic = diagnostic.and(source, Span::at(at), format!("`{closers}` belongs here"));
    let wrong = wrong_closer(tree, at);
    match wrong {
        Some((span, text)) => diagnostic
            .help(format!("write `{closers}` instead of `{text}`"))
            .fix(format!("replace by `{closers}`"), span, closers),
        None => diagnostic
            .help(format!("add `{closers}` after {}", last_text(tree, id)))
            .fix(format!("add `{closers}`"), Span::at(at), closers),
    }
}

fn opener(tree: &Tree, parent: NodeId) -> Option<NodeId> {
    tree.part(parent, Kind::Mark)
}

fn closer(opener: &str) -> char {
    match opener {
        "(" => ')',
        "[" => ']',
        _ => '}',
    }
}

/// A closer of another sort right behind the place: `f(a]`.
fn wrong_closer(tree: &Tree, at: u32) -> Option<(Span, String)> {
    let rest = Span::new(at, tree.span(Tree::ROOT).end).text(tree.source());
    let token = tree
        .token_at(at)
        .filter(|it| tree.kind(*it) == Kind::Junk)?;
    let first = rest
        .chars()
        .next()
        .filter(|letter| ")]}".contains(*letter))?;
    let start = tree.span(token).start;
    Some((Span::new(start, start + 1), first.to_string()))
}

/// The text that stands before an empty node: the whole part if it is short, else its end.
fn last_text(tree: &Tree, id: NodeId) -> String {
    before(tree, id).map_or_else(|| "this".to_string(), |at| quoted(tree.text_of(at)))
}

/// A part that is not there.
pub(crate) fn missing(source: SourceId, tree: &Tree, id: NodeId) -> Diagnostic {
    let (message, help) = missing_text(tree, id);
    let code = match tree.parent(id).map(|parent| tree.kind(parent)) {
        Some(Kind::Edition) => Code::SyntaxEdition,
        _ => Code::SyntaxMissingValue,
    };
    let at = tree.span(id);
    let place = before(tree, id).map_or(at, |it| tree.span(it));
    let place = if place.len() > 40 {
        Span::new(place.end - 1, place.end)
    } else {
        place
    };
    Diagnostic::error(code, message)
        .at(source, place, "")
        .and(source, at, "here")
        .help(help)
}

fn missing_text(tree: &Tree, id: NodeId) -> (String, String) {
    let Some(parent) = tree.parent(id) else {
        return ("something is missing".into(), "complete the line".into());
    };
    let last = before(tree, id);
    let after = last.map_or("", |at| tree.text_of(at));
    let name = own_name(tree, parent);
    match tree.kind(parent) {
        Kind::Edition => (
            "`mmh` needs the number of an edition".into(),
            format!("write `mmh {EDITION}`"),
        ),
        Kind::Use if after == "use" => (
            "`use` needs a file".into(),
            "write its name in quotes: `use \"file.mmh\" { name }`".into(),
        ),
        Kind::Use => (
            "`use` needs the names to take".into(),
            format!("add `{{ name }}` after `{after}`"),
        ),
        Kind::Block if after == name => (
            format!("`{name}` needs its inputs"),
            format!("write them in parentheses: `{name}(x: f32[batch, feature])`"),
        ),
        Kind::Block => (
            format!("`{name}` has no body"),
            "add `{ … }` with what it does".into(),
        ),
        Kind::Section if goes_on_with_colon(tree, id) => (
            format!("`{name}` has no settings"),
            "write `{` instead of `:`, and `}` behind the last setting".into(),
        ),
        Kind::Section => (
            format!("`{name}` has no settings"),
            format!("add `{{ … }}` after `{name}`"),
        ),
        Kind::Key => (
            "`@key` needs the old name".into(),
            "write it in quotes: `@key \"old name\"`".into(),
        ),
        Kind::Keyed => (
            "`@key` stands before a call, and none follows".into(),
            "put it right before the call".into(),
        ),
        Kind::Param if after == name => (
            format!("`{name}` needs a type"),
            format!("write `{name}: f32[batch, feature]` or `{name}: int`"),
        ),
        Kind::Returns => (
            "a type is missing after `->`".into(),
            "write a type, such as `like x`".into(),
        ),
        Kind::LikeType => (
            "`like` needs a name".into(),
            "write `like x` with the name of an input".into(),
        ),
        Kind::Binary if after == "*" && text_behind(tree, id).starts_with('*') => (
            "`**` means nothing here".into(),
            "write `pow(x, 2)`, or multiply".into(),
        ),
        Kind::Binary | Kind::Prefix | Kind::TooDeep => (
            format!("`{after}` has nothing on its right"),
            format!("add a value after `{after}`, or remove it"),
        ),
        Kind::Group if text_behind(tree, id).starts_with(char::is_alphanumeric) => (
            "these parentheses do not begin with a value".into(),
            "settings stand in the parentheses of a call, `split(hidden, head = 4)`; several values in brackets, `[a, b]`".into(),
        ),
        Kind::Group => (
            "these parentheses are empty".into(),
            "write a value between them".into(),
        ),
        Kind::Braced => (
            "these braces are empty".into(),
            "write a value between them".into(),
        ),
        Kind::Path => (
            format!("a name is missing after `{}`", tree.text_of(parent).trim()),
            "write a member's name".into(),
        ),
        Kind::If => missing_in_if(after),
        Kind::Field if after == ":" => (
            format!("`{name}` has no type"),
            format!("a setting is written `{name} = …`; a `:` gives a column of `data` its type"),
        ),
        _ if after == ":" => (
            format!("`{name}` has no type"),
            "write a type after `:`".into(),
        ),
        _ if after == "=" => (
            format!("`{name}` has no value"),
            "write a value after `=`".into(),
        ),
        _ => (
            format!("`{name}` has no value"),
            format!("add `= …` after {}", quoted(after)),
        ),
    }
}

/// Whether a `:` stands where a `{` is missing.
fn goes_on_with_colon(tree: &Tree, id: NodeId) -> bool {
    text_behind(tree, id).starts_with(':')
}

fn text_behind(tree: &Tree, id: NodeId) -> &str {
    let rest = Span::new(tree.span(id).end, tree.span(Tree::ROOT).end);
    rest.text(tree.source()).trim_start()
}

fn missing_in_if(after: &str) -> (String, String) {
    match after {
        "if" => (
            "`if` needs a condition".into(),
            "write it after `if`; equality is `==`".into(),
        ),
        "else" => (
            "`else` needs a value in braces".into(),
            "write `else { … }`".into(),
        ),
        _ if after.starts_with('{') => (
            "this `if` has no `else`".into(),
            "an `if` always has a value: add `else { … }`".into(),
        ),
        _ => (
            "`if` needs a value in braces".into(),
            format!("add `{{ … }}` after {}", quoted(after)),
        ),
    }
}

/// Text that could not be read.
pub(crate) fn junk(source: SourceId, tree: &Tree, id: NodeId) -> Diagnostic {
    let (text, span) = (tree.text_of(id), tree.span(id));
    let word = first_word(text);
    let place = Span::new(span.start, span.start + word.len() as u32);
    let say =
        |message: String| Diagnostic::error(Code::SyntaxUnexpected, message).at(source, place, "");
    if let Some((sign, help)) = FOREIGN.iter().find(|(sign, _)| text.starts_with(sign)) {
        return say(format!("`{sign}` means nothing here")).help(*help);
    }
    let parent = tree.parent(id).map_or(Kind::File, |it| tree.kind(it));
    match parent {
        _ if word.starts_with([')', ']', '}']) => say(format!("this `{word}` closes nothing"))
            .help("remove it")
            .fix("remove it", place, ""),
        Kind::File => declaration(say, word, text, place),
        Kind::Args | Kind::Params | Kind::List | Kind::Axes => between(source, tree, id, word),
        Kind::Group if word == "," => {
            say("`,` cannot follow here".into()).help("several values stand in brackets: `[a, b]`")
        }
        Kind::Group | Kind::Braced => say(format!("`{word}` cannot follow here"))
            .help("one value fits; an operator or `|>` may be missing before it"),
        Kind::Fields => setting(say, text, word),
        _ => say(format!("`{word}` cannot be read here"))
            .help("begin a line with `let name =`, or with a value"),
    }
}

fn first_word(text: &str) -> &str {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words = text.find(|letter| !is_word(letter)).unwrap_or(text.len());
    let first = text.chars().next().map_or(0, char::len_utf8);
    text.get(..words.max(first)).unwrap_or(text)
}

fn declaration(
    say: impl Fn(String) -> Diagnostic,
    word: &str,
    text: &str,
    place: Span,
) -> Diagnostic {
    if word == "mmh" {
        return say("the edition stands first in a file, and once".into()).help("remove this line");
    }
    if word == "seed" {
        let rest = text.get(word.len()..).unwrap_or("").trim_start();
        let value = rest.strip_prefix(['=', ':']).map(str::trim_start);
        let value = value.and_then(|value| value.lines().next()).map(str::trim);
        let help = match value.filter(|value| !value.is_empty()) {
            Some(value) => format!("write `seed {value}`: nothing stands between"),
            None => "write `seed 20260101`, or a phrase in quotes".to_owned(),
        };
        return say("this seed cannot be read".into()).help(help);
    }
    if KINDS.contains(&word) {
        return say(format!("`{word}` needs a name")).help(format!("write `{word} name …`"));
    }
    let after = text.get(word.len()..).unwrap_or("").trim_start();
    if after.starts_with('=') && !after.starts_with("==") {
        return say(format!("`{word}` stands outside of every section"))
            .help(format!("write `let {word} = …`, or move it into a section"))
            .fix("make it a `let`", Span::at(place.start), "let ");
    }
    let diagnostic = say(format!("`{word}` starts no declaration"));
    if let Some(entry) = line_elsewhere(word) {
        let diagnostic = diagnostic.help(entry.help);
        return match entry.here {
            Some(here) => diagnostic.fix(format!("write `{here}`"), place, here),
            None => diagnostic,
        };
    }
    match suggest(word, KINDS) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")).fix(
            format!("write `{near}`"),
            place,
            near,
        ),
        None => diagnostic.help(format!("a file holds: {}", KINDS.join(", "))),
    }
}

fn between(source: SourceId, tree: &Tree, id: NodeId, word: &str) -> Diagnostic {
    let span = tree.span(id);
    let place = Span::new(span.start, span.start + word.len() as u32);
    let last = before(tree, id).filter(|at| tree.kind(*at) != Kind::Mark);
    match last {
        Some(last) => {
            let end = Span::at(tree.span(last).end);
            Diagnostic::error(
                Code::SyntaxUnexpected,
                format!("a `,` is missing before `{word}`"),
            )
            .at(source, place, "")
            .and(source, end, "`,` belongs here")
            .help(format!("add `,` after {}", quoted(tree.text_of(last))))
            .fix("add `,`", end, ",")
        }
        None => Diagnostic::error(
            Code::SyntaxUnexpected,
            format!("`{word}` cannot be read here"),
        )
        .at(source, place, "")
        .help("write values, or `name = value`, with `,` between them"),
    }
}

fn setting(say: impl Fn(String) -> Diagnostic, text: &str, word: &str) -> Diagnostic {
    let named = word.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let rest = text.get(word.len()..).unwrap_or("").trim();
    match (named, rest.is_empty()) {
        (true, true) => {
            say(format!("`{word}` has no value")).help(format!("write `{word} = …`, or remove it"))
        }
        (true, false) if word == "let" => {
            say("a section has settings, and `let` stands outside of it".into())
                .help("move it above the section")
        }
        (true, false) => {
            let foreign = line_elsewhere(word).map(|entry| entry.help.to_owned());
            say(format!("`{word}` is no setting like this"))
                .help(foreign.unwrap_or_else(|| format!("write `{word} = …`")))
        }
        (false, _) => say(format!("`{word}` cannot be read here"))
            .help("write settings, one `name = value` a line"),
    }
}

/// A number in no known form.
pub(crate) fn bad_number(source: SourceId, tree: &Tree, id: NodeId) -> Diagnostic {
    let (text, span) = (tree.text_of(id), tree.span(id));
    let better = if text.starts_with('.') {
        Some(format!("0{text}"))
    } else {
        text.strip_suffix('.').map(|whole| format!("{whole}.0"))
    };
    let diagnostic = Diagnostic::error(Code::SyntaxBadNumber, format!("`{text}` is not a number"))
        .at(source, span, "");
    match better {
        Some(better) => diagnostic.help(format!("write `{better}`")).fix(
            format!("write `{better}`"),
            span,
            better,
        ),
        None => diagnostic.help("numbers look like `12`, `1_000`, `0.5`, `3e-4` or `0x1f`"),
    }
}

/// A string without its end, or with an escape that means nothing.
pub(crate) fn bad_string(source: SourceId, tree: &Tree, id: NodeId) -> Diagnostic {
    let (text, span) = (tree.text_of(id), tree.span(id));
    let open = Span::new(span.start, span.start + 1);
    if let Some(at) = bad_escape(text) {
        let place = Span::new(span.start + at as u32, span.start + at as u32 + 1);
        return Diagnostic::error(Code::SyntaxBadString, "this `\\` begins no escape")
            .at(source, place, "")
            .help("write `\\\\` for the stroke itself; the others are `\\\"`, `\\n` and `\\t`");
    }
    let end = span.start + text.trim_end_matches([')', ']', '}', ' ', ',']).len() as u32;
    Diagnostic::error(Code::SyntaxBadString, "this string is never closed")
        .at(source, open, "opened here")
        .and(source, Span::at(end), "`\"` belongs here")
        .help(format!(
            "add `\"` after {}",
            quoted(Span::new(span.start + 1, end).text(tree.source()))
        ))
        .fix_all(
            "add `\"`",
            vec![Edit {
                span: Span::at(end),
                text: "\"".into(),
            }],
        )
}

fn bad_escape(text: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            match letters.next() {
                Some((_, '"' | '\\' | 'n' | 't')) => {}
                _ => return Some(at),
            }
        }
    }
    None
}

/// `name { … }` in a section.
pub(crate) fn nested(source: SourceId, tree: &Tree, id: NodeId) -> Diagnostic {
    let name = own_name(tree, id);
    let place = tree
        .part(id, Kind::Name)
        .map_or(tree.span(id), |at| tree.span(at));
    Diagnostic::error(
        Code::SyntaxUnexpected,
        format!("`{name}` has braces and no `=`"),
    )
    .at(source, place, "")
    .help(format!("write `{name} = train {{ … }}`, or `{name} = …`"))
}

/// What can be read but stands in the wrong place.
pub(crate) fn misplaced(source: SourceId, tree: &Tree, id: NodeId) -> Vec<Diagnostic> {
    match tree.kind(id) {
        Kind::Bind => bare_bind(source, tree, id).into_iter().collect(),
        Kind::Keyed => key_without_call(source, tree, id).into_iter().collect(),
        Kind::Comment => division_as_comment(source, tree, id).into_iter().collect(),
        Kind::Body => {
            let parts: Vec<NodeId> = tree.parts(id).collect();
            let pairs = parts.iter().zip(parts.iter().skip(1));
            let mut said = 0;
            pairs
                .filter(|(value, _)| {
                    // What follows a word of another language on its line is part of it.
                    let span = tree.span(**value);
                    let part = span.start < said;
                    if line_elsewhere(tree.text_of(**value)).is_some() {
                        let rest = Span::new(span.end, tree.span(Tree::ROOT).end);
                        let line = rest.text(tree.source()).lines().next().unwrap_or("");
                        said = span.end + line.len() as u32;
                    }
                    !part
                })
                .filter_map(|(value, next)| lost_value(source, tree, *value, *next))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Whether junk in a body stands on a line that a word of another language begins: that has been said.
pub(crate) fn in_foreign_line(tree: &Tree, id: NodeId) -> bool {
    let body = tree.parent(id).filter(|at| tree.kind(*at) == Kind::Body);
    let Some(body) = body else { return false };
    let start = tree.span(id).start;
    let mut before = tree.parts(body).filter(|part| {
        let end = tree.span(*part).end;
        end <= start && !Span::new(end, start).text(tree.source()).contains('\n')
    });
    before.any(|part| line_elsewhere(tree.text_of(part)).is_some())
}

fn key_without_call(source: SourceId, tree: &Tree, id: NodeId) -> Option<Diagnostic> {
    tree.part(id, Kind::Path)?;
    let key = tree.part(id, Kind::Key)?;
    let text = "`@key` stands before a call, and this is none";
    let help = "put it before the call, or before the `let`, that is renamed";
    Some(
        Diagnostic::error(Code::SyntaxUnexpected, text)
            .at(source, tree.span(key), "")
            .help(help),
    )
}

/// `y = …` in a body, which needs `let`.
fn bare_bind(source: SourceId, tree: &Tree, id: NodeId) -> Option<Diagnostic> {
    let typed = tree
        .parts(id)
        .any(|at| tree.kind(at) == Kind::Mark && tree.text_of(at) == ":");
    let name = tree.part(id, Kind::Name)?;
    let word = tree.text_of(name);
    (!typed).then(|| {
        Diagnostic::error(
            Code::SyntaxUnexpected,
            format!("`{word}` is named without `let`"),
        )
        .at(source, tree.span(name), "")
        .help(format!("write `let {word} = …`"))
        .fix("add `let`", Span::at(tree.span(name).start), "let ")
    })
}

/// A value in a body with more behind it: only the last is the result.
fn lost_value(source: SourceId, tree: &Tree, value: NodeId, next: NodeId) -> Option<Diagnostic> {
    let is_value = !matches!(tree.kind(value), Kind::Let | Kind::Bind | Kind::Mark)
        && !tree.kind(value).is_error();
    let ends = matches!(
        tree.kind(next),
        Kind::Mark | Kind::MissingClose | Kind::Junk
    );
    let between = Span::new(tree.span(value).end, tree.span(next).start).text(tree.source());
    let foreign = line_elsewhere(tree.text_of(value));
    let help = if let Some(entry) = foreign {
        entry.help
    } else if between.contains('\n') {
        "only the last line of a body is its value: give this one a name with `let`, or flow on with `|>`"
    } else {
        "an operator or `|>` may be missing behind it"
    };
    (is_value && !ends).then(|| {
        let text = format!("{} goes nowhere", quoted(tree.text_of(value)));
        Diagnostic::error(Code::SyntaxUnexpected, text)
            .at(source, tree.span(value), "")
            .and(source, tree.span(next), "the body goes on here")
            .help(help)
    })
}

/// `height // 2`: read as a comment, meant as a division.
fn division_as_comment(source: SourceId, tree: &Tree, id: NodeId) -> Option<Diagnostic> {
    let span = tree.span(id);
    let line = tree
        .source()
        .get(..span.start as usize)?
        .rsplit('\n')
        .next()
        .unwrap_or("")
        .trim_end();
    let operand =
        line.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ')');
    let text = tree.text_of(id).strip_prefix("//")?.trim();
    let divisor = first_word(text);
    let after = text.get(divisor.len()..)?.trim_start();
    let number = divisor.starts_with(|letter: char| letter.is_ascii_digit());
    let ends = after.is_empty()
        || after.starts_with([',', ')', ']', '+', '-', '*'])
        || after.starts_with("|>");
    let closes =
        after.starts_with([')', ']']) && divisor.starts_with(|letter: char| letter.is_alphabetic());
    (operand && (number && ends || closes)).then(|| {
        let gap = Span::new(span.start, span.end - text.len() as u32);
        Diagnostic::error(
            Code::SyntaxUnexpected,
            format!("`// {divisor}` is read as a comment"),
        )
        .at(
            source,
            Span::new(span.start, gap.end + divisor.len() as u32),
            "",
        )
        .help(format!(
            "write `//{divisor}`, touching, to divide and round down"
        ))
        .fix("divide", gap, "//")
    })
}
