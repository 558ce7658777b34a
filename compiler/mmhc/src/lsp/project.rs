//! Which recipes belong together: those below one root.

use super::uri;
use crate::system;
use std::path::{Path, PathBuf};

/// Folders looked into, and recipes found, at most: a home folder opened by mistake must not hold anyone up.
const MOST_FOLDERS: usize = 2048;
const MOST_RECIPES: usize = 1024;
/// Folders above a recipe that may belong to its project, at most.
const MOST_ABOVE: usize = 8;
/// Recipes of one folder that are asked whether they name another folder, at most.
const MOST_READ: usize = 64;
/// Folders of other programs.
const FOREIGN: [&str; 3] = ["node_modules", "target", "__pycache__"];

/// The root of the project that a folder belongs to: the client's workspace around it, or else the outermost folder above
/// it whose recipes and those below use each other, step by step. A recipe that merely lies above is of no account.
pub(super) fn root(folder: &Path, workspaces: &[PathBuf]) -> PathBuf {
    let around = workspaces.iter().filter(|own| folder.starts_with(own));
    if let Some(workspace) = around.max_by_key(|own| own.components().count()) {
        return workspace.clone();
    }
    let mut root = folder;
    while let Some(above) = root.parent()
        && folder.components().count() - above.components().count() <= MOST_ABOVE
        && are_joined(above, root)
    {
        root = above;
    }
    root.to_path_buf()
}

/// Whether a recipe of a folder names a file in the folder below it, or one there names a file above.
fn are_joined(above: &Path, below: &Path) -> bool {
    let Some(name) = below.file_name().map(|name| name.to_string_lossy()) else {
        return false;
    };
    let down = [format!("\"{name}/"), format!("\"./{name}/")];
    let says = |folder: &Path, words: &[String]| {
        let recipes = system::recipes_in(folder).unwrap_or_default();
        let mut texts = recipes
            .iter()
            .take(MOST_READ)
            .flat_map(|path| system::read_text(path));
        texts.any(|text| words.iter().any(|word| text.contains(word.as_str())))
    };
    says(above, &down) || says(below, &["\"../".to_owned()])
}

/// The recipes below a root, by path. Hidden folders, run folders and those of other programs are left out.
pub(super) fn recipes(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        seen += 1;
        if seen > MOST_FOLDERS || found.len() > MOST_RECIPES {
            break;
        }
        if folder.join("journal").is_file() && folder.join("plan").is_file() {
            continue;
        }
        found.extend(system::recipes_in(&folder).unwrap_or_default());
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let inner = entries.filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let own = !name.starts_with('.') && !FOREIGN.contains(&name.as_str());
            // Links are not followed: they may lead in circles.
            own && entry.file_type().is_ok_and(|kind| kind.is_dir())
        });
        folders.extend(inner.map(|entry| entry.path()));
    }
    found.sort_unstable();
    found.truncate(MOST_RECIPES);
    found
}

/// A path from the root, with `/` between its parts.
pub(super) fn below(root: &Path, path: &Path) -> Option<String> {
    let rest = uri::plain(path);
    let parts: Vec<String> = rest
        .strip_prefix(root)
        .ok()?
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_found_whole_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("own");
        for file in [
            "a.mmh",
            "parts/b.mmh",
            "parts/deep/c.mmh",
            ".git/d.mmh",
            "target/e.mmh",
            "runs/a/journal",
            "runs/a/plan",
            "runs/a/recipe.mmh",
        ] {
            let path = own.join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            let text = match file {
                "a.mmh" => "mmh 1\nuse \"./parts/b.mmh\" { b }\n",
                "parts/deep/c.mmh" => "mmh 1\nuse \"../b.mmh\" { b }\n",
                _ => "mmh 1\n",
            };
            std::fs::write(path, text).expect("written");
        }
        // Not part of it: nothing names anything there.
        std::fs::write(folder.path().join("stray.mmh"), "mmh 1\n").expect("written");
        let root = root(&own.join("parts/deep"), &[]);
        assert_eq!(root, own);
        let found: Vec<String> = recipes(&root)
            .iter()
            .filter_map(|path| below(&root, path))
            .collect();
        assert_eq!(found, ["a.mmh", "parts/b.mmh", "parts/deep/c.mmh"]);
        let workspace = folder.path().to_path_buf();
        let deep = own.join("parts/deep");
        assert_eq!(
            super::root(&deep, std::slice::from_ref(&workspace)),
            workspace
        );
        assert_eq!(below(&workspace, &deep).as_deref(), Some("own/parts/deep"));
    }
}
