//! Recipes checked for every choice of a search: alone, and as far as shapes depend on them, together.

use crate::core::Cx;
use crate::expr::Scope;
use crate::recipe::Purpose;
use crate::space::{Site, alternatives, sites};
use crate::value::Value;
use mmh_diag::{Code, Diagnostic};
use mmh_syntax::ast::SectionKind;

/// Combinations that are tried.
const MOST_COMBINATIONS: usize = 256;

/// Steps that beginning anew costs.
const ATTEMPT: u64 = 400;

/// What came of one choice, or of several together.
enum Verdict {
    /// It holds; the number stands for all sizes on the way.
    Holds(u64),
    Breaks(Diagnostic),
    /// No search draws it: a `where` leaves it out, or there was no time to try.
    Excluded,
}

impl Verdict {
    fn cause(&self) -> Option<&Diagnostic> {
        match self {
            Self::Breaks(cause) => Some(cause),
            Self::Holds(_) | Self::Excluded => None,
        }
    }
}

/// A choice with the number of its alternatives.
type Listed<'s, 'p> = (&'s Site<'p>, usize);

/// A choice with one of its alternatives.
type Pick<'s, 'p> = (&'s Site<'p>, usize);

/// Re-elaborates every training for every choice; a failure names the variable and what breaks.
pub(crate) fn check_choices(cx: &mut Cx<'_>, trainings: &[usize]) {
    let program = cx.program;
    let found = sites(program);
    let discrete: Vec<Listed<'_, '_>> = found
        .iter()
        .filter_map(|s| alternatives(s.space).map(|n| (s, n)))
        .filter(|(_, n)| *n > 0)
        .collect();
    if discrete.is_empty() {
        return;
    }
    // One variable at a time names the culprit; combinations find what only several together break.
    let Verdict::Holds(usual) = attempt(cx, trainings, &[]) else {
        return;
    };
    let mut shaping: Vec<Listed<'_, '_>> = Vec::new();
    for (site, count) in &discrete {
        let verdicts: Vec<Verdict> = (0..*count)
            .map(|nth| attempt(cx, trainings, &[(site, nth)]))
            .collect();
        if cx.is_spent() {
            return unchecked(cx, site);
        }
        if verdicts.iter().any(|v| v.cause().is_some()) {
            counterexample(cx, site, &verdicts);
            return;
        }
        // What changes no size breaks none.
        let plain = |v: &Verdict| matches!(v, Verdict::Holds(sizes) if *sizes == usual);
        if !verdicts.iter().all(plain) {
            shaping.push((site, *count));
        }
    }
    if shaping.len() > 1 {
        together(cx, trainings, &shaping);
    }
}

/// Tries the choices that sizes depend on together: all combinations, or where these are too many, those of two.
fn together(cx: &mut Cx<'_>, trainings: &[usize], shaping: &[Listed<'_, '_>]) {
    let total = shaping
        .iter()
        .try_fold(1usize, |product, (_, n)| product.checked_mul(*n));
    let all = total.filter(|total| *total <= MOST_COMBINATIONS);
    let picks = match all {
        Some(total) => (0..total)
            .map(|number| nth_of_all(shaping, number))
            .collect(),
        None => pairs(shaping),
    };
    for picks in &picks {
        if cx.is_spent() {
            break;
        }
        if let Verdict::Breaks(cause) = attempt(cx, trainings, picks) {
            let (picks, cause) = fewest(cx, trainings, picks, cause);
            return combination(cx, &picks, &cause);
        }
    }
    if all.is_none() || cx.is_spent() {
        untried(cx, shaping);
    }
}

/// Those of the picks that break the model, the others at their defaults, and how: without any of them it holds.
fn fewest<'s, 'p>(
    cx: &mut Cx<'_>,
    trainings: &[usize],
    picks: &[Pick<'s, 'p>],
    mut cause: Diagnostic,
) -> (Vec<Pick<'s, 'p>>, Diagnostic) {
    let mut left = picks.to_vec();
    for pick in picks.iter().rev() {
        if left.len() == 1 || cx.is_spent() {
            break;
        }
        let fewer: Vec<Pick<'s, 'p>> = left
            .iter()
            .filter(|it| it.0.loc != pick.0.loc)
            .copied()
            .collect();
        if let Verdict::Breaks(other) = attempt(cx, trainings, &fewer) {
            (left, cause) = (fewer, other);
        }
    }
    (left, cause)
}

fn nth_of_all<'s, 'p>(shaping: &[Listed<'s, 'p>], mut number: usize) -> Vec<Pick<'s, 'p>> {
    let mut picks = Vec::new();
    for (site, count) in shaping {
        picks.push((*site, number % count));
        number /= count;
    }
    picks
}

fn pairs<'s, 'p>(shaping: &[Listed<'s, 'p>]) -> Vec<Vec<Pick<'s, 'p>>> {
    let mut picks = Vec::new();
    for (at, (first, count)) in shaping.iter().enumerate() {
        for (second, others) in shaping.iter().skip(at + 1) {
            for number in 0..count * others {
                picks.push(vec![(*first, number % count), (*second, number / count)]);
                if picks.len() >= MOST_COMBINATIONS {
                    return picks;
                }
            }
        }
    }
    picks
}

/// Says that the choices have more combinations than were tried.
fn untried(cx: &mut Cx<'_>, shaping: &[Listed<'_, '_>]) {
    let Some(((first, _), others)) = shaping.split_first() else {
        return;
    };
    let message = format!(
        "{} choices change sizes, and not all of their combinations were tried",
        shaping.len()
    );
    let mut diagnostic = Diagnostic::note(Code::LimitTooLarge, message)
        .at(first.space_loc.source, first.space_loc.span, "")
        .help("each was tried alone, and some of them by two; a combination that breaks the model is found when it is drawn");
    for (site, _) in others.iter().take(3) {
        diagnostic = diagnostic.and(site.space_loc.source, site.space_loc.span, "and this");
    }
    cx.report(diagnostic);
}

/// Says that there are more choices than can be tried here.
fn unchecked(cx: &mut Cx<'_>, site: &Site<'_>) {
    let message = format!(
        "from `{}` on, the choices are too many to be tried one by one",
        site.name
    );
    let diagnostic = Diagnostic::warning(Code::LimitTooLarge, message)
        .at(site.space_loc.source, site.space_loc.span, "")
        .help("a choice that breaks the model is found when it is drawn; fewer choices are checked before");
    cx.report(diagnostic);
}

fn attempt(cx: &mut Cx<'_>, trainings: &[usize], picks: &[Pick<'_, '_>]) -> Verdict {
    let mut inner = Cx::new(cx.program, std::mem::take(&mut cx.data));
    inner.spent = cx.spent + ATTEMPT;
    inner.choices = picks.iter().map(|(site, nth)| (site.loc, *nth)).collect();
    inner.sizes = Some(0);
    let excluded = is_excluded(&mut inner);
    if !excluded {
        for training in trainings {
            let _ = inner.purpose(*training, None, Purpose::Step);
        }
    }
    cx.data = std::mem::take(&mut inner.data);
    cx.spent = inner.spent;
    if excluded || cx.is_spent() {
        return Verdict::Excluded;
    }
    match inner.diagnostics.into_iter().find(Diagnostic::is_error) {
        Some(cause) => Verdict::Breaks(cause),
        None => Verdict::Holds(inner.sizes.unwrap_or(0)),
    }
}

/// Whether the `where` of every search leaves the choices out.
fn is_excluded(cx: &mut Cx<'_>) -> bool {
    let program = cx.program;
    let mut searches = 0;
    for (_, section, source) in program.sections(SectionKind::Search) {
        searches += 1;
        cx.source = source;
        let condition = section.fields.iter().find(|f| f.name.text == "where");
        let holds = condition.map(|field| cx.expr(&field.value, &Scope::default()));
        if !matches!(holds, Some(Ok(Value::Bool(false)))) {
            return false;
        }
    }
    searches > 0
}

fn shown(cx: &Cx<'_>, site: &Site<'_>, nth: usize) -> String {
    match crate::space::alternative(site.space, nth) {
        Some(crate::space::Alternative::Written(expr)) => cx.text(crate::value::Loc {
            source: site.loc.source,
            span: expr.span(),
        }),
        Some(crate::space::Alternative::Number(n)) => n.to_string(),
        Some(crate::space::Alternative::Truth(truth)) => truth.to_string(),
        None => String::new(),
    }
}

fn counterexample(cx: &mut Cx<'_>, site: &Site<'_>, verdicts: &[Verdict]) {
    let causes = || verdicts.iter().filter_map(Verdict::cause);
    let broken = causes().count();
    let marks: Vec<String> = verdicts
        .iter()
        .enumerate()
        .map(|(nth, v)| {
            format!(
                "{} {}",
                shown(cx, site, nth),
                match v {
                    Verdict::Holds(_) => "✓",
                    Verdict::Breaks(_) => "✗",
                    Verdict::Excluded => "–",
                }
            )
        })
        .collect();
    let verb = if broken == 1 { "breaks" } else { "break" };
    let count = if broken == 1 {
        "one".to_string()
    } else {
        broken.to_string()
    };
    let message = format!(
        "{count} of {} choices of `{}` {verb} the model: {}",
        verdicts.len(),
        site.name,
        marks.join(" ")
    );
    let mut diagnostic = Diagnostic::error(Code::SearchShapeCounterexample, message).at(
        site.space_loc.source,
        site.space_loc.span,
        "",
    );
    if let Some(cause) = causes().next() {
        if let Some(label) = cause.primary() {
            diagnostic = diagnostic.and(label.source, label.span, cause.message.clone());
        }
        diagnostic = diagnostic.help(format!("leave out what breaks: {}", cause.message));
    }
    cx.report(diagnostic);
}

fn combination(cx: &mut Cx<'_>, picks: &[(&Site<'_>, usize)], cause: &Diagnostic) {
    let values: Vec<String> = picks
        .iter()
        .map(|(site, nth)| format!("{} = {}", site.name, shown(cx, site, *nth)))
        .collect();
    let message = format!(
        "these choices together break the model: {} ✗",
        values.join(", ")
    );
    let mut diagnostic = Diagnostic::error(Code::SearchShapeCounterexample, message).help(format!(
        "leave one of them out, or keep them apart by `where`: {}",
        cause.message
    ));
    for (i, (site, _)) in picks.iter().enumerate() {
        diagnostic = if i == 0 {
            diagnostic.at(site.space_loc.source, site.space_loc.span, "")
        } else {
            diagnostic.and(
                site.space_loc.source,
                site.space_loc.span,
                "together with this",
            )
        };
    }
    cx.report(diagnostic);
}
