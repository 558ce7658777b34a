//! The outline of a file.

use crate::{Analysis, MAIN, SymbolKind};
use mmh_diag::Span;
use mmh_syntax::ast::{Block, Item, Name, Section, SectionKind};

/// One entry of the outline, and those inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// What it is called.
    pub name: String,
    /// What it is, in a word or a type.
    pub detail: String,
    /// What kind of thing.
    pub kind: SymbolKind,
    /// All of it.
    pub span: Span,
    /// Its name.
    pub name_span: Span,
    /// What stands in it.
    pub children: Vec<Outline>,
}

impl Analysis {
    /// The declarations of the main file in order.
    pub fn outline(&self) -> Vec<Outline> {
        let Some(file) = self.file(MAIN) else {
            return Vec::new();
        };
        let items = file.ast.items.iter();
        items.filter_map(|item| of_item(item, &file.text)).collect()
    }
}

fn leaf(name: &Name, detail: &str, kind: SymbolKind, span: Span) -> Outline {
    Outline {
        name: name.text.clone(),
        detail: crate::calls::one_line(detail),
        kind,
        span,
        name_span: name.span,
        children: Vec::new(),
    }
}

fn of_item(item: &Item, text: &str) -> Option<Outline> {
    match item {
        Item::Use(_) | Item::Seed(_) => None,
        Item::Let(it) => Some(leaf(
            &it.name,
            it.value.span().text(text),
            SymbolKind::Let,
            it.span,
        )),
        Item::Block(block) => Some(of_block(block, text)),
        Item::Section(section) => of_section(section, text),
    }
}

fn of_block(block: &Block, text: &str) -> Outline {
    let kind = SymbolKind::Block(block.kind);
    let mut out = leaf(&block.name, block.kind.word(), kind, block.span);
    let params = block.params.iter();
    out.children.extend(params.map(|param| {
        leaf(
            &param.name,
            param.ty.span().text(text),
            SymbolKind::Param,
            param.span,
        )
    }));
    let locals = block.body.locals.iter();
    out.children
        .extend(locals.map(|local| leaf(&local.name, "", SymbolKind::Local, local.span)));
    out
}

fn of_section(section: &Section, text: &str) -> Option<Outline> {
    let name = section.name.as_ref()?;
    let kind = SymbolKind::Section(section.kind);
    let mut out = leaf(name, section.kind.word(), kind, section.span);
    out.children.extend(section.fields.iter().map(|field| {
        let (kind, detail) = match &field.ty {
            Some(ty) if section.kind == SectionKind::Data => (SymbolKind::Column, ty.span()),
            _ => (SymbolKind::Setting, field.value.span()),
        };
        leaf(&field.name, detail.text(text), kind, field.span)
    }));
    Some(out)
}

#[cfg(test)]
mod tests {
    use crate::testing::{DIGITS, analyse};

    #[test]
    fn the_outline_holds_every_declaration() {
        let outline = analyse(DIGITS).outline();
        let names: Vec<&str> = outline.iter().map(|entry| entry.name.as_str()).collect();
        let wanted = [
            "depth", "wide", "digits", "gentle", "residual", "down", "net", "fit", "final",
        ];
        assert_eq!(names, wanted);
        let columns: Vec<&str> = outline[2]
            .children
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(columns, ["source", "image", "label", "split"]);
        for entry in &outline {
            assert_eq!(entry.name_span.text(DIGITS), entry.name);
            assert!(
                entry.span.start <= entry.name_span.start && entry.name_span.end <= entry.span.end
            );
        }
    }

    #[test]
    fn a_broken_text_keeps_its_outline() {
        let broken = DIGITS.replace("|> dropout(0.1", "|> dropout((0.1 ~ ~");
        let names = |text: &str| {
            let outline = analyse(text).outline();
            outline
                .into_iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&broken), names(DIGITS));
    }
}
