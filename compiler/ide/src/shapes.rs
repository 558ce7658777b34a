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
