//! `--set path=value`: a recipe with some of its values replaced, or settings added that a section may have, as text, so that
//! every place in a message is right.

use mmh_diag::{Code, Diagnostic, SourceId, Span, suggest};
use mmh_syntax::ast::{Expr, File, Item};

/// The text with every override in its place, and what could not be placed.
pub(crate) fn apply(text: &str, overrides: &[(String, String)]) -> (String, Vec<Diagnostic>) {
    let mut text = text.to_string();
    let mut faults = Vec::new();
    for (path, value) in overrides {
        let file = mmh_syntax::parse(&text).file();
        match place(&file, path) {
            Ok(span) => {
                let (start, end) = (span.start as usize, span.end as usize);
                if text.get(start..end).is_some() {
                    text.replace_range(start..end, value);
                }
            }
            Err(near) => match absent(&file, path, &text) {
                Some((at, name)) => text.insert_str(at, &format!("\n  {name} = {value}\n")),
                None => faults.push(unknown(path, near)),
            },
        }
    }
    (text, faults)
}

fn unknown(path: &str, near: Option<String>) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::NameUnknown,
        format!("`--set {path}` names nothing in the recipe"),
    )
    .at(SourceId(0), Span::at(0), "");
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic
            .help("name a `let`, or a setting as `section.setting` or `section.setting.argument`"),
    }
}

/// The place of a setting that a section may have and does not: the end of the section, and the setting's name.
fn absent<'n>(file: &File, path: &'n str, text: &str) -> Option<(usize, &'n str)> {
    let (head, name) = path.split_once('.')?;
    let named = |item: &&Item| item.name().is_some_and(|n| n.text == head);
    let Item::Section(section) = file.items.iter().find(named)? else {
        return None;
    };
    let settings = crate::editor::section_settings(section.kind);
    let end = (section.span.end as usize).checked_sub(1)?;
    let is_new = section.fields.iter().all(|field| field.name.text != name);
    let closed = text.get(end..=end) == Some("}");
    (is_new && closed && settings.contains(&name)).then_some((end, name))
}

/// The place of the value a dotted path means.
fn place(file: &File, path: &str) -> Result<Span, Option<String>> {
    let mut names = path.split('.');
    let head = names.next().unwrap_or_default();
    let rest: Vec<&str> = names.collect();
    if head == "seed" && rest.is_empty() {
        for item in &file.items {
            if let Item::Seed(seed) = item {
                return Ok(Span::new(seed.span.start + 4, seed.span.end))
                    .map(|s| Span::new(s.start.min(s.end), s.end))
                    .map(after_space);
            }
        }
        return Err(None);
    }
    let Some(item) = file
        .items
        .iter()
        .find(|i| i.name().is_some_and(|n| n.text == head))
    else {
        let names: Vec<&str> = file
            .items
            .iter()
            .filter_map(|i| i.name())
            .map(|n| n.text.as_str())
            .collect();
        return Err(suggest(head, names).map(str::to_string));
    };
    match (item, rest.split_first()) {
        (Item::Let(it), None) => Ok(it.value.span()),
        (Item::Let(it), Some(_)) => inside(&it.value, &rest),
        (Item::Section(section), Some((field, deeper))) => {
            let Some(found) = section.fields.iter().find(|f| f.name.text == *field) else {
                let names = section.fields.iter().map(|f| f.name.text.as_str());
                return Err(suggest(field, names).map(|near| format!("{head}.{near}")));
            };
            if deeper.is_empty() {
                Ok(found.value.span())
            } else {
                inside(&found.value, deeper)
            }
        }
        _ => Err(None),
    }
}

// The seed's own value has no span; what follows the word does.
fn after_space(span: Span) -> Span {
    Span::new((span.start + 1).min(span.end), span.end)
}

fn inside(expr: &Expr, names: &[&str]) -> Result<Span, Option<String>> {
    let mut known = Vec::new();
    let mut found = None;
    crate::program::walk(expr, &mut |e| {
        if let Expr::Call(call) = e {
            for arg in &call.args {
                if let Some(name) = &arg.name {
                    known.push(name.text.clone());
                    if found.is_none() && names.first() == Some(&name.text.as_str()) {
                        found = Some(&arg.value);
                    }
                }
            }
        }
    });
    match (found, names) {
        (Some(value), [_]) => Ok(value.span()),
        (Some(value), [_, deeper @ ..]) => inside(value, deeper),
        _ => Err(names
            .first()
            .and_then(|n| suggest(n, known.iter().map(String::as_str)))
            .map(str::to_string)),
    }
}
