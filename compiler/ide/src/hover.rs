//! What the editor shows of the word below the cursor, in Markdown.

use crate::calls::{Callee, head, of_param, one_line, text_of};
use crate::names::{Occurrence, Place, Symbol, SymbolKind, Target, item_at};
use crate::{Analysis, MAIN, docs};
use mmh_check::editor;
use mmh_check::{FactKind, Loc, column_name};
use mmh_diag::{SourceId, Span};
use mmh_syntax::Kind;
use mmh_syntax::ast::{Item, SectionKind};

/// What is to be said of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// The bytes.
    pub span: Span,
    /// Markdown: a line of the language, then sentences.
    pub markdown: String,
}

/// A line of the language and sentences below it.
fn card(code: &str, lines: &[&str]) -> String {
    let mut out = String::new();
    if !code.is_empty() {
        out = format!("```mmh\n{code}\n```");
    }
    for line in lines.iter().filter(|line| !line.is_empty()) {
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        out.push_str(line);
    }
    out
}

impl Analysis {
    /// What there is to say of the word at a byte.
    pub fn hover(&self, offset: u32) -> Option<Hover> {
        let found = self.names().at(MAIN, offset);
        let markdown = match found {
            Some(found) => self.of_name(found),
            None => None,
        };
        match (markdown, found) {
            (Some(markdown), Some(found)) => Some(Hover {
                span: found.place.span,
                markdown,
            }),
            _ => self.of_token(offset),
        }
    }

    fn of_name(&self, found: &Occurrence) -> Option<String> {
        let text = found.place.span.text(self.text());
        match &found.target {
            Target::Symbol(place) => self.of_symbol(*place, found.place),
            Target::Primitive(name) => {
                let callee = self.callee(name, found.place.span.start)?;
                Some(self.of_callee(&callee, found.place.span))
            }
            Target::Choice => {
                let callee = self.callee(text, found.place.span.start)?;
                Some(card(&callee.signature, &[&callee.doc, &takes(&callee)]))
            }
            Target::Setting(owner) => {
                let callee = self.callee(owner, found.place.span.start);
                let taken = callee.and_then(|c| c.takes.into_iter().find(|t| t.name == text));
                let label = taken.map_or_else(|| text.to_owned(), |taken| taken.label);
                Some(card(
                    &label,
                    &[
                        docs::setting(owner, text),
                        &format!("A setting of `{owner}`."),
                    ],
                ))
            }
            Target::Axis => {
                let size = self.axis_size(text);
                Some(card("", &[&format!("The axis `{text}`{size}.")]))
            }
            Target::SourceColumn => Some(self.of_column(text)),
            Target::Member => {
                let own = self
                    .type_at(found.place.span)
                    .map(|ty| format!("{text}: {ty}"));
                let doc = docs::member(text);
                let known = own.is_some() || !doc.is_empty();
                known.then(|| card(own.as_deref().unwrap_or(text), &[doc]))
            }
        }
    }

    /// A block or primitive where it is called, with what comes out there.
    fn of_callee(&self, callee: &Callee, span: Span) -> String {
        let gives = self
            .notes()
            .flows
            .iter()
            .find(|(loc, _)| loc.source == SourceId(0) && loc.span.start == span.start)
            .map(|(_, ty)| format!("Here it gives `{ty}`."));
        card(
            &callee.signature,
            &[&callee.doc, gives.as_deref().unwrap_or(""), &takes(callee)],
        )
    }

    fn of_symbol(&self, place: Place, at: Place) -> Option<String> {
        let symbol = self.names().symbols.get(&place)?;
        let own = item_at(self.files(), place);
        let text = text_of(self.files(), place.file);
        match (symbol.kind, own) {
            (SymbolKind::Block(_), Some(Item::Block(block))) => {
                let callee = Callee::block(block, text);
                if at == place {
                    let count = self
                        .flow_at(place.span)
                        .map(|count| format!("It has {count}."));
                    let doc = block.doc.as_deref().unwrap_or("");
                    return Some(card(
                        &head(block, text),
                        &[doc, count.as_deref().unwrap_or("")],
                    ));
                }
                Some(self.of_callee(&callee, at.span))
            }
            (SymbolKind::Let, Some(Item::Let(it))) => {
                let line = one_line(it.span.text(text));
                let ty = self.value_of(place);
                Some(card(&line, &[it.doc.as_deref().unwrap_or(""), &ty]))
            }
            (SymbolKind::Section(kind), Some(Item::Section(section))) => {
                let line = format!("{} {}", kind.word(), symbol.name);
                let doc = section.doc.as_deref().unwrap_or(docs::section(kind));
                Some(card(&line, &[doc, &self.rows_of(place)]))
            }
            (kind, _) => Some(self.of_inner(symbol, kind, place)),
        }
    }

    /// Parameters, locals, columns and settings: what stands in something.
    fn of_inner(&self, symbol: &Symbol, kind: SymbolKind, place: Place) -> String {
        let owner = symbol.owner.and_then(|owner| item_at(self.files(), owner));
        let text = text_of(self.files(), place.file);
        let ty = self.type_at_place(place);
        let typed = |fallback: &str| match &ty {
            Some(ty) if ty.starts_with('`') => format!("{}: {}", symbol.name, ty.trim_matches('`')),
            Some(ty) => format!("{} = {ty}", symbol.name),
            None => fallback.to_owned(),
        };
        match (kind, owner) {
            (SymbolKind::Param, Some(Item::Block(block))) => {
                let param = block.params.iter().find(|p| p.name.span == place.span);
                let param = param.map(|param| of_param(param, text));
                let (label, doc) = param.map_or_else(Default::default, |p| (p.label, p.doc));
                let of = format!("A parameter of `{}`: {doc}.", block.name.text);
                card(&label, &[&of])
            }
            (SymbolKind::Local, Some(Item::Block(block))) => {
                let mut locals = block.body.locals.iter();
                let local = locals.find(|local| local.name.span == place.span);
                let doc = local.and_then(|local| local.doc.as_deref()).unwrap_or("");
                card(&typed(&symbol.name), &[doc])
            }
            (_, Some(Item::Section(section))) => {
                let mut fields = section.fields.iter();
                let field = fields.find(|field| field.name.span == place.span);
                let line = field.map_or("", |field| field.span.text(text));
                let doc = match kind {
                    SymbolKind::Column => "A column of the data.",
                    _ => docs::setting(section.kind.word(), &symbol.name),
                };
                let ty = typed("");
                card(&one_line(line), &[doc, &quoted(&ty)])
            }
            _ => card(
                &typed(&symbol.name),
                &[docs::setting("train", &symbol.name)],
            ),
        }
    }

    /// The type that the checker found at the bytes of the main file.
    fn type_at(&self, span: Span) -> Option<String> {
        self.type_at_place(Place { file: MAIN, span })
    }

    pub(crate) fn type_at_place(&self, place: Place) -> Option<String> {
        let source = SourceId(u32::try_from(place.file).ok()?);
        let loc = Loc {
            source,
            span: place.span,
        };
        self.notes().types.get(&loc).cloned()
    }

    fn flow_at(&self, span: Span) -> Option<&String> {
        self.notes().flows.get(&Loc {
            source: SourceId(0),
            span,
        })
    }

    fn value_of(&self, place: Place) -> String {
        let found = self.type_at_place(place);
        found.map_or_else(String::new, |value| format!("It is {value}."))
    }

    fn rows_of(&self, place: Place) -> String {
        let facts = self
            .notes()
            .data
            .iter()
            .find(|(loc, _)| (loc.source.0 as usize, loc.span) == (place.file, place.span));
        match facts {
            Some((_, facts)) if facts.rows > 0 => format!("The source has {} rows.", facts.rows),
            _ => String::new(),
        }
    }

    fn axis_size(&self, axis: &str) -> String {
        let wanted = format!("{axis} = ");
        let mut sizes: Vec<&str> = Vec::new();
        for (loc, ty) in &self.notes().flows {
            if loc.source == SourceId(0)
                && let Some((_, rest)) = ty.split_once(wanted.as_str())
                && let Some(size) = rest.split([',', ']']).next()
                && !sizes.contains(&size)
            {
                sizes.push(size);
            }
        }
        match sizes.as_slice() {
            [] => String::new(),
            [one] => format!(", of size {one}"),
            many => format!(", of sizes {}", many.join(", ")),
        }
    }

    fn of_column(&self, name: &str) -> String {
        let mut columns = self
            .notes()
            .data
            .iter()
            .flat_map(|(_, facts)| &facts.columns);
        let Some(column) = columns.find(|column| column_name(&column.name) == name) else {
            return card("", &[&format!("The column `{name}` of the source.")]);
        };
        let missing = match column.missing {
            0 => String::new(),
            rows => format!("Missing in {rows} rows."),
        };
        card(
            "",
            &[
                &format!(
                    "The column `{name}` of the source: {}.",
                    kind_text(&column.kind)
                ),
                &missing,
            ],
        )
    }

    fn of_token(&self, offset: u32) -> Option<Hover> {
        let tree = &self.file(MAIN)?.tree;
        let at = tree.token_at(offset)?;
        let (text, span) = (tree.text_of(at), tree.span(at));
        let markdown = match tree.kind(at) {
            Kind::Keyword => card(text, &[docs::keyword(text)]),
            Kind::Unit => {
                let measures = editor::units().find(|unit| unit.0 == text)?.1;
                let outer = tree.parent(at).map_or(span, |id| tree.span(id));
                let flow = self.flow_at(outer).map(|steps| format!("Here {steps}."));
                card(
                    "",
                    &[
                        &format!("`{text}`: {measures}."),
                        flow.as_deref().unwrap_or(""),
                    ],
                )
            }
            Kind::Name if mmh_check::editor::type_words().contains(&text) => card(
                "",
                &[&format!("The type `{text}`: {}", docs::type_word(text))],
            ),
            Kind::Name => {
                let section = crate::calls::section_of(self.file(MAIN)?, at)?;
                let doc = docs::setting(section.word(), text);
                let known = section == SectionKind::Data && !doc.is_empty();
                known.then(|| card(text, &[doc]))?
            }
            _ => return None,
        };
        Some(Hover { span, markdown })
    }
}

fn quoted(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("`{text}`"),
    }
}

fn takes(callee: &Callee) -> String {
    let lines: Vec<String> = callee
        .takes
        .iter()
        .filter(|taken| !taken.doc.is_empty())
        .map(|taken| format!("- `{}`: {}", taken.name, taken.doc))
        .collect();
    lines.join("\n")
}

/// What a column of a file holds, in words.
pub(crate) fn kind_text(kind: &FactKind) -> String {
    let sizes = |dims: &[u64]| {
        let words: Vec<String> = dims.iter().map(u64::to_string).collect();
        words.join(" × ")
    };
    match kind {
        FactKind::Number {
            levels: Some(levels),
        } => format!("numbers, {} different", levels.len()),
        FactKind::Number { levels: None } => "numbers".to_owned(),
        FactKind::Category { levels } => format!("words, {} different", levels.len()),
        FactKind::Vector { dims, .. } => format!("{} numbers", sizes(dims)),
        FactKind::Images { dims } => format!("pictures of {}", sizes(dims)),
        FactKind::Labels { classes } => format!("{classes} classes"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{DIGITS, analyse, marked};

    fn hover(text: &str, before: &str) -> String {
        let analysis = analyse(text);
        let at = text.find(before).expect(before) as u32;
        analysis.hover(at).expect(before).markdown
    }

    #[test]
    fn a_call_shows_its_signature_its_result_and_its_settings() {
        let said = hover(DIGITS, "conv(wide");
        assert!(
            said.contains("conv(x: f32[batch, channel, height, width]"),
            "{said}"
        );
        assert!(said.contains("channel = 24"), "{said}");
        assert!(said.contains("- `kernel`: "), "{said}");
    }

    #[test]
    fn everything_in_a_recipe_has_something_to_say() {
        for (at, says) in [
            (
                "residual)",
                "block residual(x: f32[batch, channel, height, width]) -> like x",
            ),
            ("net(image", " parameters."),
            ("digits {", "1797 rows"),
            ("depth, residual", "let depth = 2"),
            ("lr = 3e-3", "The learning rate"),
            ("adamw(", "Loshchilov"),
            ("epochs\n  watch", "passes over the training rows"),
            ("y = x", "f32[batch, channel, height, width]"),
            ("pixels", "8 × 8 numbers"),
            ("train |>", "rows to train on"),
            ("label)\n  optimize", "class[10]"),
            ("height, width])\n    |> dropout", "The axis `height`"),
            ("seed 2026", "every draw"),
            ("stratified", "same share"),
        ] {
            let said = hover(DIGITS, at);
            assert!(said.contains(says), "{at}: {said}");
        }
    }

    #[test]
    fn doc_comments_and_defaults_are_shown() {
        let (text, at, _) = marked(
            "mmh 1\n/// Twice, or more.\nblock grow(x: f32[batch], by: float = 2.0) -> like x {\n  x * by\n}\nblock b(x: f32[batch]) -> like x {\n  x |> /*cursor*/grow(by = 3.0)\n}\n",
        );
        let said = analyse(&text).hover(at).expect("a hover").markdown;
        assert!(
            said.contains("Twice, or more.") && said.contains("default `2.0`"),
            "{said}"
        );
    }

    #[test]
    fn mistakes_elsewhere_take_nothing_away() {
        let text = DIGITS.replace("adamw(lr", "adamw(learning_rate");
        assert!(hover(&text, "conv(wide").contains("channel = 24"));
    }
}
