//! `mmhc fmt`: recipes in the one layout.

use crate::args::FmtArgs;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use std::path::{Path, PathBuf};

pub(crate) fn fmt(args: &FmtArgs) -> Outcome {
    if args.recipes.iter().any(|path| path.as_os_str() == "-") {
        return match args.recipes.len() {
            1 => stdin(args.check),
            _ => Err(Failure::Usage("`-` stands alone".to_owned())),
        };
    }
    let mut ended = Ok(());
    for path in recipes(&args.recipes)? {
        match file(&path, args.check) {
            Ok(true) => {}
            Ok(false) => ended = Err(Failure::Said(Exit::Fault)),
            Err(error) => {
                Failure::of(Finding::file(&path, &error), false, Exit::Fault).report();
                ended = Err(Failure::Said(Exit::Fault));
            }
        }
    }
    ended
}

/// The recipes that were named, or all in this folder.
pub(crate) fn recipes(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let here = Path::new(".");
    let found = system::recipes_in(here);
    let found =
        found.map_err(|error| Failure::of(Finding::file(here, &error), false, Exit::Fault))?;
    match found.is_empty() {
        true => Err(Failure::Usage(
            "this folder has no recipe; name one".to_owned(),
        )),
        false => Ok(found),
    }
}

fn stdin(check: bool) -> Outcome {
    let text = system::read_stdin();
    let text = text.map_err(|error| {
        Failure::of(
            Finding::file(Path::new("<stdin>"), &error),
            false,
            Exit::Fault,
        )
    })?;
    let formatted = mmh_syntax::format(&mmh_syntax::parse(&text).tree);
    if !check {
        system::say(&formatted);
        return Ok(());
    }
    match formatted == text {
        true => Ok(()),
        false => {
            system::tell("<stdin> is not in the one layout\n");
            Err(Failure::Said(Exit::Fault))
        }
    }
}

/// Formats a file; false if it only had to be looked at and is not in the one layout.
fn file(path: &Path, check: bool) -> std::io::Result<bool> {
    let text = system::read_text(path)?;
    let formatted = mmh_syntax::format(&mmh_syntax::parse(&text).tree);
    if formatted == text {
        return Ok(true);
    }
    if check {
        system::tell(&format!("{} is not in the one layout\n", path.display()));
        return Ok(false);
    }
    system::replace(path, &formatted)?;
    system::tell(&format!("formatted {}\n", path.display()));
    Ok(true)
}
