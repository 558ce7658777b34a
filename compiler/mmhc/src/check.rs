//! `mmhc check`: the whole static pass, nothing run.

use crate::args::{CheckArgs, Format};
use crate::findings::count;
use crate::front;
use crate::outcome::{Exit, Failure, Outcome};
use crate::{emit, mend, render, system};

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
            true => mend::mended(recipe),
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
