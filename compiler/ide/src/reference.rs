//! All there is to know of the library and of a recipe, in order, as plain data: what `mmhc doc` writes down.

use crate::calls::{Callee, Takes, head, one_line};
use crate::files::SourceFile;
use crate::{Analysis, docs, files};
use mmh_check::editor;
use mmh_diag::{SourceId, Span};
use mmh_syntax::ast::{Block, Field, Item, Let, Section, SectionKind};

/// Some entries under one heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// The heading.
    pub title: String,
    /// A sentence below it; may be empty.
    pub about: String,
    /// What stands in it.
    pub entries: Vec<Entry>,
}

/// Something with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What it is: `block`, `primitive`, `train`, …
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// A line of the language.
    pub signature: String,
    /// What is said of it, without the paper.
    pub doc: String,
    /// Who described it first, and when; may be empty.
    pub paper: String,
    /// What was found out about it: types, counts; may be empty.
    pub notes: Vec<String>,
    /// What it takes or holds.
    pub rows: Vec<Row>,
    /// The file it is declared in; empty for what is built in.
    pub file: String,
    /// All of its text, for what the user wrote.
    pub source: String,
}

/// One setting, parameter or column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// Its type, as written; may be empty.
    pub ty: String,
    /// Its value or what it is if not given; may be empty.
    pub default: String,
    /// What is said of it.
    pub doc: String,
}

/// The language and its library.
pub fn library() -> Vec<Chapter> {
    let mut chapters = Vec::new();
    for (name, title, about) in FILES {
        let file = mmh_std::FILES.iter().find(|file| file.0 == name);
        let Some((name, text)) = file else { continue };
        let file = files::of(format!("std/{name}"), (*text).to_owned(), true);
        chapters.push(chapter(title, about, of_library(&file)));
    }
    chapters.push(chapter(
        "Primitives",
        "What the compiler itself knows. All else is written over these.",
        primitives(),
    ));
    for kind in SectionKind::ALL {
        let about = docs::section(kind);
        chapters.push(chapter(
            &format!("Section {}", kind.word()),
            about,
            of_kind(kind),
        ));
    }
    chapters.push(chapter(
        "Spaces",
        "What may stand behind `~`: the values a search may draw.",
        editor::spaces()
            .iter()
            .map(|space| of_choice("space", *space))
            .collect(),
    ));
    chapters.push(chapter(
        "Units",
        "A number that measures something says in what.",
        units(),
    ));
    chapters
}

const FILES: [(&str, &str, &str); 3] = [
    (
        "nn.mmh",
        "Layers",
        "Blocks of the standard library, written in the language itself.",
    ),
    (
        "aug.mmh",
        "Augmentations",
        "Random changes of a row, for training rows only.",
    ),
    (
        "loss.mmh",
        "Losses",
        "What training makes small, beside the primitives.",
    ),
];

fn chapter(title: &str, about: &str, entries: Vec<Entry>) -> Chapter {
    Chapter {
        title: title.to_owned(),
        about: about.to_owned(),
        entries,
    }
}

fn of_library(file: &SourceFile) -> Vec<Entry> {
    let blocks = file.ast.items.iter().filter_map(|item| match item {
        Item::Block(block) => Some(of_block(block, &file.text, &file.path)),
        _ => None,
    });
    blocks.collect()
}

fn of_block(block: &Block, text: &str, path: &str) -> Entry {
    let (doc, paper) = cited(block.doc.as_deref().unwrap_or(""));
    let rows = block.params.iter().map(|param| Row {
        name: param.name.text.clone(),
        ty: one_line(param.ty.span().text(text)),
        default: param
            .default
            .as_ref()
            .map_or(String::new(), |it| one_line(it.span().text(text))),
        doc: String::new(),
    });
    Entry {
        kind: block.kind.word().to_owned(),
        name: block.name.text.clone(),
        signature: head(block, text),
        doc,
        paper,
        rows: rows.collect(),
        file: path.to_owned(),
        source: block.span.text(text).to_owned(),
        ..Entry::default()
    }
}

fn primitives() -> Vec<Entry> {
    let callees =
        mmh_check::primitive_signatures().filter_map(|(name, _, _)| Callee::primitive(name));
    let mut entries: Vec<Entry> = callees
        .map(|callee| of_callee("primitive", callee))
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn of_callee(kind: &str, callee: Callee) -> Entry {
    let (doc, paper) = cited(&callee.doc);
    let mut rows: Vec<Row> = callee.takes.iter().map(row).collect();
    if callee.open && kind == "primitive" {
        rows.push(Row {
            name: "…".to_owned(),
            doc: "Names of axes or columns may be given beside these.".to_owned(),
            ..Row::default()
        });
    }
    Entry {
        kind: kind.to_owned(),
        name: callee.name,
        signature: callee.signature,
        doc,
        paper,
        rows,
        ..Entry::default()
    }
}

fn row(takes: &Takes) -> Row {
    let (label, default) = match takes.label.split_once('=') {
        Some((label, default)) => (label.trim(), default.trim()),
        None => (takes.label.as_str(), ""),
    };
    Row {
        name: takes.name.clone(),
        ty: label
            .split_once(':')
            .map_or(String::new(), |(_, ty)| ty.trim().to_owned()),
        default: default.to_owned(),
        doc: takes.doc.clone(),
    }
}

fn of_choice(kind: &str, callable: editor::Callable) -> Entry {
    of_callee(kind, Callee::choice(callable))
}

/// The settings of a section, and what may be called in each.
fn of_kind(kind: SectionKind) -> Vec<Entry> {
    let word = kind.word();
    let rows = editor::section_settings(kind).iter().map(|setting| Row {
        name: (*setting).to_owned(),
        doc: docs::setting(word, setting).to_owned(),
        ..Row::default()
    });
    let mut entries = vec![Entry {
        kind: "section".to_owned(),
        name: word.to_owned(),
        signature: format!("{word} name {{ … }}"),
        doc: docs::section(kind).to_owned(),
        rows: rows.collect(),
        ..Entry::default()
    }];
    for setting in editor::section_settings(kind) {
        let choices = editor::setting_choices(kind, setting).iter();
        entries.extend(choices.map(|choice| Entry {
            kind: format!("{word} · {setting}"),
            ..of_choice("", *choice)
        }));
    }
    entries
}

fn units() -> Vec<Entry> {
    let entries = editor::units().map(|(unit, measures)| Entry {
        kind: "unit".to_owned(),
        name: unit.to_owned(),
        signature: match unit {
            "%" => "70%".to_owned(),
            unit => format!("2 {unit}"),
        },
        doc: format!("{measures}."),
        ..Entry::default()
    });
    entries.collect()
}

/// A doc comment and the paper it names in parentheses at its end: `… (Ba, Kiros & Hinton 2016).`
fn cited(doc: &str) -> (String, String) {
    let end = doc.trim_end().trim_end_matches('.');
    let Some((before, paper)) = end.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) else {
        return (doc.to_owned(), String::new());
    };
    let year = paper.get(paper.len().saturating_sub(4)..).unwrap_or("");
    match year.len() == 4 && year.bytes().all(|digit| digit.is_ascii_digit()) {
        true => (format!("{}.", before.trim_end()), paper.to_owned()),
        false => (doc.to_owned(), String::new()),
    }
}

impl Analysis {
    /// The recipe, file by file; the standard library is left out.
    pub fn chapters(&self) -> Vec<Chapter> {
        let own = self
            .files()
            .iter()
            .enumerate()
            .filter(|(_, file)| !file.library);
        own.map(|(id, file)| {
            let entries = file
                .ast
                .items
                .iter()
                .filter_map(|item| self.entry(id, file, item));
            chapter(&file.path, &above(file), entries.collect())
        })
        .collect()
    }

    fn entry(&self, id: usize, file: &SourceFile, item: &Item) -> Option<Entry> {
        let mut entry = match item {
            Item::Use(_) => return None,
            Item::Seed(seed) => Entry {
                kind: "seed".to_owned(),
                name: "seed".to_owned(),
                signature: one_line(seed.span.text(&file.text)),
                doc: docs::keyword("seed").to_owned(),
                file: file.path.clone(),
                ..Entry::default()
            },
            Item::Let(it) => of_let(it, file),
            Item::Block(block) => of_block(block, &file.text, &file.path),
            Item::Section(section) => self.of_section(id, section, file)?,
        };
        if let Some(name) = item.name() {
            entry.notes = self.found(id, name.span);
            // `let depth = 2` says that it is the number 2.
            entry
                .notes
                .retain(|note| match note.strip_prefix("the number ") {
                    Some(number) => !entry.signature.ends_with(&format!("= {number}")),
                    None => true,
                });
        }
        Some(entry)
    }

    /// What checking found out about a name.
    fn found(&self, id: usize, span: Span) -> Vec<String> {
        let source = SourceId(id as u32);
        let loc = mmh_check::Loc { source, span };
        let mut notes = Vec::new();
        notes.extend(
            self.notes()
                .types
                .get(&loc)
                .map(|ty| ty.trim_matches('`').to_owned()),
        );
        notes.extend(self.notes().flows.get(&loc).cloned());
        let data = self.notes().data.iter().find(|(at, _)| *at == loc);
        notes.extend(data.map(|(_, facts)| format!("{} rows", facts.rows)));
        notes
    }

    fn of_section(&self, id: usize, section: &Section, file: &SourceFile) -> Option<Entry> {
        let name = section.name.as_ref()?;
        let word = section.kind.word();
        let rows = section
            .fields
            .iter()
            .map(|field| self.field(id, section.kind, field, file));
        Some(Entry {
            kind: word.to_owned(),
            name: name.text.clone(),
            signature: format!("{word} {}", name.text),
            doc: section
                .doc
                .clone()
                .unwrap_or_else(|| docs::section(section.kind).to_owned()),
            rows: rows.collect(),
            file: file.path.clone(),
            source: section.span.text(&file.text).to_owned(),
            ..Entry::default()
        })
    }

    fn field(&self, id: usize, kind: SectionKind, field: &Field, file: &SourceFile) -> Row {
        let written = field
            .ty
            .as_ref()
            .map(|ty| one_line(ty.span().text(&file.text)));
        let found = self.found(id, field.name.span);
        Row {
            name: field.name.text.clone(),
            ty: found
                .first()
                .cloned()
                .or(written.clone())
                .unwrap_or_default(),
            default: one_line(field.value.span().text(&file.text)),
            doc: match kind {
                SectionKind::Data if written.is_some() => String::new(),
                _ => docs::setting(kind.word(), &field.name.text).to_owned(),
            },
        }
    }
}

fn of_let(it: &Let, file: &SourceFile) -> Entry {
    Entry {
        kind: "let".to_owned(),
        name: it.name.text.clone(),
        signature: one_line(it.span.text(&file.text)),
        doc: it.doc.clone().unwrap_or_default(),
        file: file.path.clone(),
        ..Entry::default()
    }
}

/// The comment at the head of a file.
fn above(file: &SourceFile) -> String {
    let lines = file.text.lines().map_while(|line| line.strip_prefix("//"));
    let lines: Vec<&str> = lines
        .map(|line| line.trim_start_matches('/').trim())
        .collect();
    lines.join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DIGITS, analyse};

    #[test]
    fn everything_of_the_language_is_in_its_reference() {
        let chapters = library();
        let names: Vec<&str> = chapters
            .iter()
            .flat_map(|chapter| &chapter.entries)
            .map(|entry| entry.name.as_str())
            .collect();
        for (name, _, _) in mmh_check::primitive_signatures() {
            assert!(names.contains(&name), "{name}");
        }
        for (_, text) in mmh_std::FILES {
            for line in text.lines() {
                let block = ["block ", "augment ", "model "]
                    .iter()
                    .find_map(|word| line.strip_prefix(word));
                let Some((name, _)) = block.and_then(|rest| rest.split_once('(')) else {
                    continue;
                };
                assert!(names.contains(&name), "{name}");
            }
        }
        for entry in chapters.iter().flat_map(|chapter| &chapter.entries) {
            assert!(!entry.doc.is_empty(), "{} says nothing", entry.name);
        }
    }

    #[test]
    fn papers_are_told_from_remarks() {
        assert_eq!(
            cited("Normalises over `feature` (Ba, Kiros & Hinton 2016)."),
            (
                "Normalises over `feature`.".into(),
                "Ba, Kiros & Hinton 2016".into()
            )
        );
        let plain = "A text (in UTF-8).";
        assert_eq!(cited(plain), (plain.into(), String::new()));
    }

    #[test]
    fn a_recipe_is_told_with_its_types_and_counts() {
        let chapters = analyse(DIGITS).chapters();
        assert_eq!(chapters.len(), 1);
        assert_eq!(
            chapters[0].about,
            "Handwritten digits, from one seed to test accuracy."
        );
        let entry = |name: &str| {
            chapters[0]
                .entries
                .iter()
                .find(|entry| entry.name == name)
                .expect(name)
        };
        assert!(
            entry("net")
                .notes
                .iter()
                .any(|note| note.ends_with("parameters"))
        );
        assert!(entry("digits").notes.contains(&"1797 rows".to_owned()));
        let down = entry("down");
        assert_eq!(
            (down.rows[1].name.as_str(), down.rows[1].ty.as_str()),
            ("to", "int")
        );
        let label = entry("digits")
            .rows
            .iter()
            .find(|row| row.name == "label")
            .expect("a column");
        assert!(label.ty.starts_with("class[10"), "{}", label.ty);
    }
}
