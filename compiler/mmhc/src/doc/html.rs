//! The page: chapters beside each other with a list of all names and a box to search them. Every text is escaped; what
//! comes from a recipe is text and nothing else.

use mmh_check::editor::type_words;
use mmh_ide::{Chapter, Entry, Row};
use mmh_runtime::escape_html as escape;
use mmh_syntax::{Kind, NodeId, Tree};
use std::fmt::Write;

/// How every page begins, by which it is known again.
pub(super) const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<!-- written by mmhc doc -->\n";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page: the recipe's chapters first, then the library's.
pub(super) fn page(title: &str, own: &[Chapter], library: &[Chapter]) -> String {
    let mut page = String::from(HEAD);
    let title = escape(title);
    let _ = write!(
        page,
        "<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<nav aria-label=\"Contents\">\n\
         <a class=\"brand\" href=\"#top\">mmh</a>\n\
         <input id=\"search\" type=\"search\" placeholder=\"Search  ( / )\" aria-label=\"Search\" autocomplete=\"off\">\n"
    );
    for (number, chapter) in own.iter().chain(library).enumerate() {
        contents(&mut page, number, chapter);
    }
    let _ = write!(
        page,
        "</nav>\n<main id=\"top\">\n<h1>{title}</h1>\n<p class=\"lead\">{}</p>\n<p id=\"none\" hidden>Nothing is called so.</p>\n",
        match own.first().map(|chapter| chapter.about.as_str()) {
            Some(about) if !about.is_empty() => prose(about),
            _ => prose("Blocks, primitives, sections, settings and units of edition 1."),
        }
    );
    for (number, chapter) in own.iter().chain(library).enumerate() {
        let first = number == 0 && !own.is_empty();
        body(&mut page, number, chapter, first);
    }
    let _ = write!(
        page,
        "<footer>Written by mmhc {}. The page is whole: it loads nothing.</footer>\n</main>\n<script>\n{SCRIPT}</script>\n</body></html>\n",
        env!("CARGO_PKG_VERSION")
    );
    page
}

/// The anchor of an entry.
fn anchor(chapter: usize, entry: usize) -> String {
    format!("c{chapter}-{entry}")
}

fn contents(page: &mut String, number: usize, chapter: &Chapter) {
    let open = if number == 0 { " open" } else { "" };
    let _ = writeln!(
        page,
        "<details{open}><summary>{}</summary><ul>",
        escape(&chapter.title)
    );
    for (at, entry) in chapter.entries.iter().enumerate() {
        let _ = writeln!(
            page,
            "<li><a href=\"#{0}\" data-for=\"{0}\">{1}</a></li>",
            anchor(number, at),
            escape(&entry.name)
        );
    }
    page.push_str("</ul></details>\n");
}

fn body(page: &mut String, number: usize, chapter: &Chapter, first: bool) {
    let title = if first { "The recipe" } else { &chapter.title };
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", escape(title));
    // The recipe's own sentence stands at the head of the page.
    if !first && !chapter.about.is_empty() {
        let _ = writeln!(page, "<p class=\"about\">{}</p>", prose(&chapter.about));
    }
    for (at, entry) in chapter.entries.iter().enumerate() {
        card(page, &anchor(number, at), entry);
    }
    page.push_str("</section>\n");
}

fn card(page: &mut String, anchor: &str, entry: &Entry) {
    let words = format!(
        "{} {} {} {}",
        entry.name, entry.kind, entry.doc, entry.paper
    )
    .to_lowercase();
    let _ = writeln!(
        page,
        "<article id=\"{anchor}\" data-words=\"{}\">\n<h3><a href=\"#{anchor}\">{}</a><span class=\"kind\">{}</span></h3>",
        escape(&words),
        escape(&entry.name),
        escape(&entry.kind)
    );
    let _ = writeln!(
        page,
        "<pre class=\"signature\"><code>{}</code></pre>",
        coloured(&entry.signature)
    );
    if !entry.doc.is_empty() {
        let _ = writeln!(page, "<p>{}</p>", prose(&entry.doc));
    }
    if !entry.paper.is_empty() {
        let _ = writeln!(
            page,
            "<p class=\"paper\">Source: {}</p>",
            escape(&entry.paper)
        );
    }
    if !entry.notes.is_empty() {
        let notes = entry
            .notes
            .iter()
            .map(|note| format!("<li>{}</li>", escape(note)));
        let _ = writeln!(
            page,
            "<ul class=\"notes\">{}</ul>",
            notes.collect::<String>()
        );
    }
    table(page, &entry.rows);
    if !entry.source.is_empty() {
        let _ = writeln!(
            page,
            "<details class=\"source\"><summary>{}</summary><pre><code>{}</code></pre></details>",
            escape(&entry.file),
            coloured(&entry.source)
        );
    }
    page.push_str("</article>\n");
}

/// One of a row's texts.
type Part = fn(&Row) -> &str;

fn table(page: &mut String, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let any = |part: Part| rows.iter().any(|row| !part(row).is_empty());
    let columns: [(&str, Part); 3] = [
        ("Type", |row| &row.ty),
        ("Value or default", |row| &row.default),
        ("Meaning", |row| &row.doc),
    ];
    let columns: Vec<_> = columns.into_iter().filter(|(_, part)| any(*part)).collect();
    page.push_str("<table><thead><tr><th>Name</th>");
    for (title, _) in &columns {
        let _ = write!(page, "<th>{title}</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        let _ = write!(page, "<tr><td><code>{}</code></td>", escape(&row.name));
        for (title, part) in &columns {
            let text = part(row);
            let _ = match (*title, text) {
                (_, "") => write!(page, "<td></td>"),
                ("Meaning", text) => write!(page, "<td>{}</td>", prose(text)),
                (_, text) => write!(page, "<td><code>{}</code></td>", coloured(text)),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

/// Sentences, with what stands between backticks as code.
fn prose(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        let part = escape(part);
        let _ = match at % 2 {
            0 => write!(out, "{part}"),
            _ => write!(out, "<code>{part}</code>"),
        };
    }
    out
}

/// Code with a class around every word that has a colour. A part of a declaration is read inside a whole one.
fn coloured(code: &str) -> String {
    let whole = [
        "block", "model", "augment", "data", "train", "let", "seed", "@key",
    ];
    let begun = whole.iter().any(|word| code.starts_with(word));
    let ty = type_words()
        .iter()
        .any(|word| code.starts_with(&format!("{word}[")));
    let before = match (begun, ty) {
        (true, _) => "",
        (false, true) => "let it: ",
        (false, false) => "let it = ",
    };
    let text = format!("{before}{code}");
    let tree = mmh_syntax::parse(&text).tree;
    let mut out = String::new();
    for id in tree.tokens() {
        let span = tree.span(id);
        if (span.start as usize) < before.len() {
            continue;
        }
        let word = escape(tree.text_of(id));
        let _ = match class(&tree, id) {
            Some(class) => write!(out, "<span class=\"{class}\">{word}</span>"),
            None => write!(out, "{word}"),
        };
    }
    out
}

fn class(tree: &Tree, id: NodeId) -> Option<&'static str> {
    let text = tree.text_of(id);
    Some(match tree.kind(id) {
        Kind::Keyword => "k",
        Kind::Comment | Kind::Doc => "c",
        Kind::String | Kind::BadString => "s",
        Kind::Number | Kind::BadNumber => "n",
        Kind::Unit => "u",
        Kind::Operator => "o",
        Kind::Name if type_words().contains(&text) => "t",
        Kind::Name if matches!(text, "true" | "false") => "k",
        Kind::Name => {
            let end = tree.span(id).end as usize;
            let called = tree
                .source()
                .get(end..)
                .is_some_and(|rest| rest.starts_with('('));
            return called.then_some("f");
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_recipe_is_markup() {
        let bad = "</script><img src=x onerror='alert(1)'>\"&`<b>`";
        let entry = Entry {
            kind: bad.into(),
            name: bad.into(),
            signature: bad.into(),
            doc: bad.into(),
            paper: bad.into(),
            notes: vec![bad.into()],
            rows: vec![Row {
                name: bad.into(),
                ty: bad.into(),
                default: bad.into(),
                doc: bad.into(),
            }],
            file: bad.into(),
            source: format!("let a = \"{bad}\" // {bad}"),
        };
        let chapter = Chapter {
            title: bad.into(),
            about: bad.into(),
            entries: vec![entry],
        };
        let page = page(
            bad,
            std::slice::from_ref(&chapter),
            std::slice::from_ref(&chapter),
        );
        let script = page.matches("</script>").count();
        assert_eq!(
            (script, page.contains("<img"), page.contains("<b>")),
            (1, false, false)
        );
        assert!(!page.contains("='alert") && !page.contains("src=\""));
    }

    #[test]
    fn colours_take_nothing_away() {
        for code in [
            "conv(x: f32[batch, channel], kernel = 3) -> like x",
            "block f(x: f32[...]) -> like x",
            "70%",
            "data/a b < c",
            "train t {\n  length = 3 epochs // long\n}",
        ] {
            let html = coloured(code);
            let mut plain = String::new();
            let mut inside = false;
            for letter in html.chars() {
                match letter {
                    '<' => inside = true,
                    '>' if inside => inside = false,
                    letter if !inside => plain.push(letter),
                    _ => {}
                }
            }
            assert_eq!(plain, escape(code));
        }
        assert!(coloured("2 epochs").contains("<span class=\"u\">epochs</span>"));
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page("library", &[], &mmh_ide::library());
        for outside in ["http://", "https://", "@import", "url(", "<link", " src="] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.starts_with(HEAD) && page.contains("Ba, Kiros &amp; Hinton 2016"));
    }
}
