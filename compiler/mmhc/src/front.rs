//! From a recipe on the disk to a plan: the checker and the planner, with their findings gathered.

use crate::findings::{Finding, Report, SourceFile};
use crate::outcome::{Exit, Failure};
use crate::system;
use crate::world::Disk;
use mmh_check::{Recipe, SourceText};
use mmh_ir::Plan;
use mmh_runtime::RecipeText;
use std::path::Path;

/// A recipe that was checked.
pub(crate) struct Checked {
    /// The recipe, if nothing is wrong with it.
    pub(crate) recipe: Option<Recipe>,
    /// What was found.
    pub(crate) report: Report,
    /// What was read on the way.
    pub(crate) world: Disk,
    /// The texts, the recipe first.
    pub(crate) texts: RecipeText,
}

/// Opens a recipe; `-` is stdin.
pub(crate) fn open(recipe: &Path, json: bool) -> Result<Disk, Failure> {
    if recipe.as_os_str() == "-" {
        let text = system::read_stdin();
        let text = text.map_err(|error| {
            Failure::of(
                Finding::file(Path::new("<stdin>"), &error),
                json,
                Exit::Fault,
            )
        })?;
        return Ok(Disk::of(recipe, Some(text)));
    }
    // Found out here, so that the message has the path as it was given.
    match std::fs::File::open(recipe) {
        Ok(_) => Ok(Disk::of(recipe, None)),
        Err(error) => Err(Failure::of(
            Finding::file(recipe, &error),
            json,
            Exit::Fault,
        )),
    }
}

/// Checks a recipe with some of its values replaced.
pub(crate) fn check(world: Disk, overrides: &[(String, String)]) -> Checked {
    let checked = mmh_check::check(&world, &world.main, overrides);
    let sources = checked
        .sources
        .iter()
        .map(|source| source_file(source, &world))
        .collect();
    let findings = checked.diagnostics.into_iter().map(Finding::from).collect();
    let mut own = checked.sources.into_iter().filter(|source| !source.library);
    let texts = RecipeText {
        text: own.next().map_or(String::new(), |main| main.text),
        used: own.map(|source| (source.path, source.text)).collect(),
    };
    Checked {
        recipe: checked.recipe,
        report: Report { sources, findings },
        world,
        texts,
    }
}

fn source_file(source: &SourceText, world: &Disk) -> SourceFile {
    let path = world.folder.join(&source.path);
    let inner = source.library || source.path == "<stdin>";
    SourceFile {
        name: match inner {
            true => source.path.clone(),
            false => path.display().to_string(),
        },
        path: (!inner).then_some(path),
        text: source.text.clone(),
    }
}

impl Checked {
    /// The recipe, or its findings as a failure. Warnings are shown at once.
    pub(crate) fn recipe(&self, json: bool) -> Result<&Recipe, Failure> {
        match &self.recipe {
            Some(recipe) if !self.report.has_errors() => {
                if !self.report.findings.is_empty() {
                    system::tell(&crate::render::human(std::slice::from_ref(&self.report)));
                }
                Ok(recipe)
            }
            _ => Err(self.failure(Vec::new(), json)),
        }
    }

    /// The plan of the recipe.
    pub(crate) fn plan(&self, json: bool) -> Result<Plan, Failure> {
        let recipe = self.recipe(json)?;
        mmh_plan::plan(recipe)
            .map_err(|found| self.failure(found.into_iter().map(Finding::from).collect(), json))
    }

    /// A failure of this recipe: what checking found, and more.
    pub(crate) fn failure(&self, more: Vec<Finding>, json: bool) -> Failure {
        let mut report = self.report.clone();
        report.findings.extend(more);
        Failure::Found {
            report,
            json,
            exit: Exit::Fault,
        }
    }
}
