//! `start = weights("runs/base/model.safetensors")`: first values of parameters out of another model.

use crate::call::Given;
use crate::core::Cx;
use crate::expr::Scope;
use crate::recipe::StartSpec;
use crate::section::{Choice, Settings};
use crate::value::{Eval, Loc, Reported};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::plan::{FilePlan, Role, StateDecl};

const STARTS: &[Choice] = &[("weights", &["path", "blake3", "on"])];

/// Parameters that are named at most.
const MOST_NAMED: usize = 3;

impl<'p> Cx<'p> {
    /// The weights that a training begins with. What its loss and prediction use must be there, with the same types and
    /// shapes.
    pub(crate) fn start(&mut self, settings: &Settings<'p>) -> Eval<Option<StartSpec>> {
        let Some(field) = settings.get("start") else {
            return Ok(None);
        };
        let loc = self.at(field.value.span());
        let scope = Scope::default();
        let (_, bound) = self.chosen(&field.value, STARTS, "start", &scope)?;
        let request = self.file_arg(&bound)?;
        let on = self.prefixes(&bound)?;
        let at = bound.get("path").map_or(loc, Given::loc);
        let Some(world) = self.world else {
            return Err(Reported);
        };
        let facts = match world.weight_facts(&request) {
            Ok(facts) => facts,
            Err(fault) => return self.data_fault(fault, at, bound.get("blake3").map(Given::loc)),
        };
        let start = StartSpec {
            file: FilePlan {
                path: request.path,
                blake3: facts.blake3,
                within: request.within,
            },
            on,
            tensors: facts.tensors,
            at: (loc.source, loc.span),
        };
        let used = self.used.iter().filter_map(|slot| self.state.get(*slot));
        let wanted: Vec<StateDecl> = used
            .filter(|slot| slot.role != Role::Optimiser && start.covers(&slot.path))
            .cloned()
            .collect();
        if self.vague || self.assumed {
            return Ok(Some(start));
        }
        self.missing(&start, &wanted, loc)?;
        self.misshapen(&start, &wanted, loc)?;
        Ok(Some(start))
    }

    fn missing(&mut self, start: &StartSpec, wanted: &[StateDecl], loc: Loc) -> Eval<()> {
        let missing: Vec<&str> = wanted
            .iter()
            .map(|slot| slot.path.as_str())
            .filter(|path| start.tensor(path).is_none())
            .collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let diagnostic = missing_of(start, &missing)
            .at(loc.source, loc.span, "")
            .help(match suggest(first, start.tensors.keys().map(String::as_str)) {
                Some(near) => format!(
                    "the file has `{near}`: give the call `@key` with that name, or let a part alone begin here: `on = net.body`"
                ),
                None => "let a part alone begin here: `on = net.body`; what is not in it begins with values of its own".to_owned(),
            });
        Err(self.report(diagnostic))
    }

    fn misshapen(&mut self, start: &StartSpec, wanted: &[StateDecl], loc: Loc) -> Eval<()> {
        let mut wrong = Vec::new();
        for slot in wanted {
            let Some(found) = start
                .tensor(&slot.path)
                .and_then(|name| start.tensors.get(name))
            else {
                continue;
            };
            if let Some(words) = differs(slot, found) {
                wrong.push(words);
            }
        }
        let Some(first) = wrong.first() else {
            return Ok(());
        };
        let more = match wrong.len() {
            1 => String::new(),
            count => format!(", and {} more differ", count - 1),
        };
        let help =
            "make the model as it was, or let the part that is alike begin here: `on = net.body`";
        self.fail(Code::WeightsShape, loc, format!("{first}{more}"), help)
    }
}

/// Says which parameters a file does not have.
pub(crate) fn missing_of(start: &StartSpec, missing: &[&str]) -> Diagnostic {
    let named: Vec<String> = missing
        .iter()
        .take(MOST_NAMED)
        .map(|path| format!("`{path}`"))
        .collect();
    let more = match missing.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "`{}` has no weights for {}{more}",
        start.file.path,
        named.join(", ")
    );
    Diagnostic::error(Code::WeightsMissing, message)
}

/// What a tensor has otherwise than the slot that is to begin with it.
fn differs(slot: &StateDecl, found: &(String, Vec<usize>)) -> Option<String> {
    let (dtype, sizes) = found;
    let own = slot.ty.dtype.name();
    if dtype != own {
        return Some(format!("`{}` is {own}, and {dtype} in the file", slot.path));
    }
    let shown = |sizes: &[usize]| {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        format!("[{}]", sizes.join(", "))
    };
    (slot.ty.shape.sizes() != *sizes).then(|| {
        format!(
            "`{}` is {}, and {} in the file",
            slot.path,
            slot.ty,
            shown(sizes)
        )
    })
}
