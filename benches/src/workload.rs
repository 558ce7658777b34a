//! The four workloads: their recipes, and the plan that `mmhc` makes of them.

use crate::data;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

/// One of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Perceptron 784-512-512-10, Adam: products.
    A,
    /// Convolutional net on 28 x 28, SGD with momentum: convolutions.
    B,
    /// Character transformer, 4 layers of 128, AdamW: everything.
    C,
    /// Perceptron 64-64-10, SGD: what is around the arithmetic.
    D,
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            "c" => Ok(Self::C),
            "d" => Ok(Self::D),
            _ => Err(format!("`{text}` is no workload; take a, b, c or d")),
        }
    }
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::D => "d",
        }
    }

    /// Steps of a timed block.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::A => 40,
            Self::B => 8,
            Self::C => 4,
            Self::D => 400,
        }
    }

    fn recipe(self) -> &'static str {
        match self {
            Self::A => include_str!("../recipes/a.mmh"),
            Self::B => include_str!("../recipes/b.mmh"),
            Self::C => include_str!("../recipes/c.mmh"),
            Self::D => include_str!("../recipes/d.mmh"),
        }
    }

    /// Writes recipe and data, unless they are there. A training with a `length` is so many steps long, and its recipe says nothing
    /// of checkpoints.
    pub(crate) fn prepare(self, folder: &Path, length: Option<u64>) -> Result<(), String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let path = folder.join(format!("{}.mmh", self.name()));
        if path.exists() {
            return Ok(());
        }
        let made = match self {
            Self::A => data::pictures(folder, 8 * 128, 28),
            Self::B => data::pictures(folder, 8 * 64, 28),
            // Longer epochs than elsewhere, as each ends in a line of the journal.
            Self::D => data::pictures(folder, 64 * 32, 8),
            Self::C => data::letters(folder, 8 * 16 * 128),
        };
        let line = |line: &str| match (length, line.trim_start()) {
            (Some(_), words) if words.starts_with("checkpoint ") => None,
            (Some(steps), words) if words.starts_with("length ") => {
                Some(format!("  length = {steps} steps"))
            }
            (Some(_) | None, _) => Some(line.to_owned()),
        };
        let recipe: Vec<String> = self.recipe().lines().filter_map(line).collect();
        made.and_then(|()| std::fs::write(path, recipe.join("\n") + "\n"))
            .map_err(|error| error.to_string())
    }

    /// The plan of the recipe in `folder`, with the settings of `set`.
    pub(crate) fn plan(self, folder: &Path, set: &[String]) -> Result<String, String> {
        plan_of(&folder.join(format!("{}.mmh", self.name())), set, None)
    }
}

/// The plan of a recipe with the settings of `set`, by the `mmhc` that lies beside this program; its data are streamed if there
/// is a folder for their rows.
pub(crate) fn plan_of(
    recipe: &Path,
    set: &[String],
    streamed: Option<&Path>,
) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let compiler = own.with_file_name(format!("mmhc{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(&compiler);
    command.args(["show", "plan"]).arg(recipe);
    command.args(set.iter().flat_map(|set| ["--set", set]));
    if let Some(folder) = streamed {
        command
            .args(["--data-memory", "0"])
            .env("MMH_DATA_CACHE", folder);
    }
    let output = command
        .output()
        .map_err(|error| format!("{}: {error}; build it too", compiler.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
