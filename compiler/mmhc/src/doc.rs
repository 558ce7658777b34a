//! `mmhc doc`: the language, its library and a recipe as one page that needs nothing else, not even a network.

mod html;

use crate::args::DocArgs;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::{front, system};
use mmh_diag::Code;
use mmh_ide::Analysis;
use std::path::{Path, PathBuf};

pub(crate) fn doc(args: &DocArgs) -> Outcome {
    let (title, own) = match &args.recipe {
        None => ("The library of mmh".to_owned(), Vec::new()),
        Some(recipe) => {
            let checked = front::check(front::open(recipe, false)?, &[]);
            checked.recipe(false)?;
            let world = &checked.world;
            let analysis = Analysis::new(world, &world.main);
            (world.main.clone(), analysis.chapters())
        }
    };
    let page = html::page(&title, &own, &mmh_ide::library());
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| beside(args.recipe.as_deref()));
    if out.as_os_str() == "-" {
        system::say(&page);
        return Ok(());
    }
    let refused = |error| Failure::of(Finding::file(&out, &error), false, Exit::Fault);
    if !may_replace(&out).map_err(refused)? {
        let message = format!(
            "`{}` is there already, and `mmhc doc` did not write it",
            out.display()
        );
        let finding = Finding::error(
            Code::FileExists,
            message,
            "choose another name with `--out`",
        );
        return Err(Failure::of(finding, false, Exit::Fault));
    }
    system::replace(&out, &page).map_err(refused)?;
    system::say(&format!("{}\n", out.display()));
    Ok(())
}

/// `digits.html` in this folder for `examples/digits.mmh`.
fn beside(recipe: Option<&Path>) -> PathBuf {
    let stem = recipe.and_then(Path::file_stem).filter(|stem| *stem != "-");
    stem.map_or(PathBuf::from("mmh.html"), |stem| {
        Path::new(stem).with_extension("html")
    })
}

/// Whether nothing is there, or a page of an earlier time.
fn may_replace(out: &Path) -> std::io::Result<bool> {
    match system::head(out, html::HEAD.len()) {
        Ok(head) => Ok(head == html::HEAD.as_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
