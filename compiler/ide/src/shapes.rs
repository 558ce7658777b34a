//! Which names are those of shapes: a name alone in a bracket then stands for its axes.

use crate::files::SourceFile;
use crate::names::{Names, Place, SymbolKind, item_at};
use mmh_syntax::ast::{Axis, Expr, Item, Type};
use std::sync::Arc;

/// The axes that the declaration at a place names, if what it declares is a shape.
pub(crate) fn axes_of_shape(
    names: &Names,
    files: &[Arc<SourceFile>],
    place: Place,
) -> Option<Vec<String>> {
    let symbol = names.symbols.get(&place)?;
    let owner = symbol.owner.and_then(|owner| item_at(files, owner));
    let (ty, value) = match (symbol.kind, owner, item_at(files, place)) {
        (SymbolKind::Param, Some(Item::Block(block)), _) => {
            let mut params = block.params.iter();
            (Some(&params.find(|p| p.name.span == place.span)?.ty), None)
        }
        (SymbolKind::Local, Some(Item::Block(block)), _) => {
            let mut locals = block.body.locals.iter();
            let local = locals.find(|local| local.name.span == place.span)?;
            (local.ty.as_ref(), Some(&local.value))
        }
        (_, _, Some(Item::Let(it))) => (it.ty.as_ref(), Some(&it.value)),
        _ => return None,
    };
    let written = match value.map(Expr::ungrouped) {
        Some(Expr::Shape { axes, .. }) => Some(names_of(axes)),
        _ => None,
    };
    match ty {
        Some(Type::Named { name, axes, .. }) if name.text == "shape" => {
            let declared = axes.as_deref().map(names_of);
            Some(declared.or(written).unwrap_or_default())
        }
        Some(_) => None,
        None => written,
    }
}

fn names_of(axes: &[Axis]) -> Vec<String> {
    let named = axes.iter().filter_map(|axis| match axis {
        Axis::Named { name, .. } => Some(name.text.clone()),
        Axis::Rest(_) | Axis::Size(_) => None,
    });
    named.collect()
}

/// Whether a type is of shapes.
pub(crate) fn is_shape_type(ty: &Type) -> bool {
    matches!(ty, Type::Named { name, .. } if name.text == "shape")
}

#[cfg(test)]
mod tests {
    use crate::rename::Project;
    use crate::testing::{analyse, marked};

    const TEXT: &str = "mmh 1

let picture = [channel = 1, height = 8]

/// A table of a shape.
block head(x: f32[batch, feature], target: shape[row, column] = [row = 4, column = 4]) -> f32[batch, target] {
  let scale: f32[target] = param(target, init = ones)
  (x |> linear(shape = target, from = feature)) * scale
}

block use_it(x: f32[batch, feature]) -> f32[batch, row = 2, column = 3] {
  x |> head(target = [row = 2, column = 3])
}
";

    fn with(from: &str, to: &str) -> (String, u32) {
        assert!(TEXT.contains(from), "{from}");
        let (text, at, _) = marked(&TEXT.replacen(from, to, 1));
        (text, at)
    }

    #[test]
    fn a_shape_is_renamed_wherever_it_stands_for_its_axes() {
        let (text, at) = with("param(target", "param(tar/*cursor*/get");
        let changes = analyse(&text).rename(at, "wanted", &Project::default());
        let changes = changes.expect("a change");
        assert_eq!(changes[0].edits.len(), TEXT.matches("target").count());
        let (text, at) = with("let picture", "let pic/*cursor*/ture");
        let text = text.replace("batch, feature], target", "batch, picture], target");
        let changes = analyse(&text).rename(at, "image", &Project::default());
        assert_eq!(changes.expect("a change")[0].edits.len(), 2);
    }

    #[test]
    fn hover_shows_the_declaration_and_the_shape() {
        let (text, at) = with("f32[target] =", "f32[tar/*cursor*/get] =");
        let card = analyse(&text).hover(at).expect("a card").markdown;
        assert!(
            card.contains("target: shape[row, column] = [row = 4, column = 4]"),
            "{card}"
        );
        let (text, at) = with("let picture", "let pic/*cursor*/ture");
        let card = analyse(&text).hover(at).expect("a card").markdown;
        assert!(
            card.contains("let picture = [channel = 1, height = 8]"),
            "{card}"
        );
        let (text, at) = with("target: shape[row", "target: sha/*cursor*/pe[row");
        let card = analyse(&text).hover(at).expect("a card").markdown;
        assert!(card.contains("axes with their sizes"), "{card}");
        let (text, at) = with("[row = 2, column = 3])", "[ro/*cursor*/w = 2, column = 3])");
        let card = analyse(&text).hover(at).expect("a card").markdown;
        assert!(card.contains("The axis `row`"), "{card}");
    }

    #[test]
    fn a_shape_is_found_from_where_it_is_used() {
        let (text, at) = with("linear(shape = target", "linear(shape = tar/*cursor*/get");
        let found = analyse(&text).definition(at).expect("a place");
        let parameter = text.find("target: shape").expect("the parameter");
        assert_eq!(found.span.start as usize, parameter);
    }

    #[test]
    fn shapes_and_axes_are_offered() {
        let labels = |from: &str, to: &str| {
            let (text, at) = with(from, to);
            let found = analyse(&text).completions(at);
            found.into_iter().map(|item| item.label).collect::<Vec<_>>()
        };
        let found = labels("f32[target] =", "f32[/*cursor*/] =");
        assert!(
            found.contains(&"target".into()) && found.contains(&"picture".into()),
            "{found:?}"
        );
        let found = labels(
            "head(target = [row = 2, column = 3])",
            "head(target = [/*cursor*/])",
        );
        assert!(
            found.contains(&"row".into()) && found.contains(&"picture".into()),
            "{found:?}"
        );
        let found = labels(
            "from = feature)) * scale",
            "from = feature)) * target./*cursor*/",
        );
        assert_eq!(found, ["row", "column", "elements"]);
        let found = labels("target: shape[row, column] =", "target: /*cursor*/ =");
        assert!(found.contains(&"shape".into()), "{found:?}");
    }

    #[test]
    fn the_signature_shows_the_shape() {
        let (text, at) = with("head(target = [row = 2, column = 3])", "head(/*cursor*/)");
        let found = analyse(&text).signature(at).expect("a signature");
        assert!(
            found
                .label
                .contains("target: shape[row, column] = [row = 4, column = 4]")
        );
        assert_eq!(found.active, Some(1));
    }
}
