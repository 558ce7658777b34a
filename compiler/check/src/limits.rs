//! How much of one thing a recipe may hold, so that what is looked through one by one is short.

use crate::program::{Program, walk_item};
use mmh_diag::{Code, Diagnostic, SourceId, Span};
use mmh_syntax::ast::{Expr, Item, Type};

/// Axes of a type, or of a shape.
pub(crate) const MOST_AXES: usize = 64;

/// Parameters of a block.
const MOST_PARAMETERS: usize = 256;

/// Arguments of a call.
const MOST_ARGUMENTS: usize = 1024;

/// Settings and columns of a section.
const MOST_SETTINGS: usize = 4096;

/// The first thing of which there is too much.
pub(crate) fn exceeded(program: &Program) -> Option<Diagnostic> {
    let own = |d: &&crate::program::Declared| !program.is_library(d.source);
    let mut declared = program.declared.iter().filter(own);
    declared.find_map(|d| item(d.source, &d.item))
}

fn item(source: SourceId, item: &Item) -> Option<Diagnostic> {
    let mut found = None;
    let mut count = |span: Span, number: usize, most: usize, what: &str| {
        if number > most && found.is_none() {
            let message = format!("there are {number} {what} here");
            let diagnostic = Diagnostic::error(Code::LimitTooLarge, message).at(source, span, "");
            found = Some(diagnostic.help(format!("the most is {most}")));
        }
    };
    let mut axes = |ty: &Type| {
        if let Type::Named {
            axes: Some(axes), ..
        } = ty
        {
            count(ty.span(), axes.len(), MOST_AXES, "axes");
        }
    };
    match item {
        Item::Block(block) => {
            block.params.iter().for_each(|param| axes(&param.ty));
            block.returns.iter().for_each(&mut axes);
            let span = block.name.span;
            count(span, block.params.len(), MOST_PARAMETERS, "parameters");
        }
        Item::Section(section) => {
            section
                .fields
                .iter()
                .flat_map(|field| &field.ty)
                .for_each(axes);
            let span = section.kind_span;
            count(span, section.fields.len(), MOST_SETTINGS, "settings");
        }
        Item::Use(_) | Item::Seed(_) | Item::Let(_) => {}
    }
    walk_item(item, &mut |e| {
        if let Expr::Call(call) = e {
            count(
                call.callee.span,
                call.args.len(),
                MOST_ARGUMENTS,
                "arguments",
            );
        }
    });
    found
}
