//! `mmhc check`: the whole static pass, nothing run.

use crate::args::{CheckArgs, Format};
use crate::findings::{Finding, Report, apply, count};
use crate::front::{self, Checked};
use crate::outcome::{Exit, Failure, Outcome};
use crate::{emit, render, system};
use mmh_diag::{Edit, SourceId};
use std::collections::BTreeMap;
use std::path::Path;

/// How often a mended recipe is checked again: a fix may bring another mistake to light.
const ROUNDS: usize = 8;

pub(crate) fn check(args: &CheckArgs) -> Outcome {
    if args
        .recipes
        .iter()
        .filter(|path| path.as_os_str() == "-")
        .count()
        > 1
    {
        return Err(Failure::Usage("`-` may be given once".to_owned()));
    }
    if args.fix
        && args.format != Format::Human
        && args.recipes.iter().any(|path| path.as_os_str() == "-")
    {
        let message = "`--fix` of stdin and `--format` both write to stdout; choose one";
        return Err(Failure::Usage(message.to_owned()));
    }
    let mut reports = Vec::new();
    for recipe in &args.recipes {
        let report = match args.fix {
            true => fixed(recipe),
            false => front::open(recipe, false).map(|world| front::check(world, &[]).report),
        };
        reports.push(match report {
            Ok(report) => report,
            Err(Failure::Found { report, .. }) => report,
            Err(other) => return Err(other),
        });
    }
    match args.format {
        Format::Human => system::tell(&render::human(&reports)),
        Format::Json => system::say(&format!("{:#}\n", emit::json(&reports))),
        Format::Sarif => system::say(&format!("{:#}\n", emit::sarif(&reports))),
    }
    match count(&reports).errors {
        0 => Ok(()),
        _ => Err(Failure::Said(Exit::Fault)),
    }
}

/// Mends what can be mended, and gives what is left.
fn fixed(recipe: &Path) -> Result<Report, Failure> {
    let mut world = front::open(recipe, false)?;
    let mut done = 0;
    for _ in 0..ROUNDS {
        let checked = front::check(world, &[]);
        let changes = changes(&checked.report);
        if changes.is_empty() {
            return Ok(finish(checked, done));
        }
        let mut given = None;
        for (id, (text, fixes)) in changes {
            done += fixes;
            match checked
                .report
                .source(id)
                .and_then(|file| file.path.as_deref())
            {
                Some(path) => {
                    let written = system::replace(path, &text);
                    written.map_err(|error| {
                        Failure::of(Finding::file(path, &error), false, Exit::Fault)
                    })?;
                }
                None => given = Some(text),
            }
        }
        world = match (recipe.as_os_str() == "-", given) {
            (true, given) => {
                crate::world::Disk::of(recipe, Some(given.unwrap_or(checked.texts.text)))
            }
            (false, _) => front::open(recipe, false)?,
        };
    }
    Ok(finish(front::check(world, &[]), done))
}

fn finish(checked: Checked, done: usize) -> Report {
    if checked.world.main == "<stdin>" {
        system::say(&checked.texts.text);
    }
    if done > 0 {
        system::tell(&format!(
            "{done} {}\n",
            if done == 1 {
                "fix applied"
            } else {
                "fixes applied"
            }
        ));
    }
    checked.report
}

/// The new text of every source that a fix changes, with the number of fixes. Of fixes that overlap the first is taken;
/// the standard library is never changed.
fn changes(report: &Report) -> BTreeMap<SourceId, (String, usize)> {
    let mut edits: BTreeMap<SourceId, (Vec<Edit>, usize)> = BTreeMap::new();
    for finding in &report.findings {
        let (Some(primary), Some(fix)) = (finding.primary(), finding.fixes.first()) else {
            continue;
        };
        let Some(file) = report.source(primary.source) else {
            continue;
        };
        if file.path.is_none() && primary.source != SourceId(0) {
            continue;
        }
        let (taken, fixes) = edits.entry(primary.source).or_default();
        let mut more = taken.clone();
        more.extend(
            fix.edits
                .iter()
                .filter(|edit| !taken.contains(edit))
                .cloned(),
        );
        if more.len() > taken.len() && apply(&file.text, &more).is_some() {
            *taken = more;
            *fixes += 1;
        }
    }
    let texts = edits.into_iter().filter_map(|(id, (edits, fixes))| {
        let file = report.source(id)?;
        let text = apply(&file.text, &edits)?;
        (text != file.text).then_some((id, (text, fixes)))
    });
    texts.collect()
}
