//! From a recipe on the disk to a plan: the checker and the planner, with their findings gathered.

use crate::findings::{Finding, Report, SourceFile};
use crate::outcome::{Exit, Failure};
use crate::system;
use crate::world::Disk;
use mmh_check::{Recipe, SourceText};
use mmh_diag::Code;
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
    let stdin = recipe.as_os_str() == "-";
    let shown = if stdin { Path::new("<stdin>") } else { recipe };
    let refused = |error| Failure::of(Finding::file(shown, &error), json, Exit::Fault);
    if stdin {
        let bytes = system::read_stdin_bytes().map_err(refused)?;
        no_pack(shown, &bytes, json)?;
        let text = system::text(bytes).map_err(refused)?;
        return Ok(Disk::of(recipe, Some(text)));
    }
    // Found out here, so that the message has the path as it was given.
    let head = system::head(recipe, mmh_legacy::MAGIC_BYTES).map_err(refused)?;
    no_pack(shown, &head, json)?;
    Ok(Disk::of(recipe, None))
}

/// Refuses packs of MMH-RS V1, whose files have the ending of recipes.
fn no_pack(shown: &Path, bytes: &[u8], json: bool) -> Result<(), Failure> {
    let Some(refusal) = mmh_legacy::refuse_in_place_of_recipe(bytes) else {
        return Ok(());
    };
    let message = format!("`{}`: {}", shown.display(), refusal.message);
    let finding = Finding::error(Code::LegacyNotARecipe, message, refusal.help);
    Err(Failure::of(finding, json, Exit::Fault))
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
