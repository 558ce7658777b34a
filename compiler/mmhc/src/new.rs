//! `mmhc new`: a recipe that runs, with its data. All is made aside and checked before it gets its name; nothing that is
//! there is ever changed.

mod fit;
mod templates;

pub(crate) use templates::Template;

use crate::args::NewArgs;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::world::Disk;
use crate::{front, system};
use mmh_check::{FileRequest, SourceRequest, World};
use mmh_diag::Code;
use mmh_ir::plan::Within;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Where a new recipe goes.
struct Target {
    /// The folder that is made, or nothing where the recipe goes into one that is there.
    made: Option<PathBuf>,
    folder: PathBuf,
    recipe: String,
}

/// Files to be written: their paths in the folder and their bytes.
type Files = Vec<(String, Vec<u8>)>;

pub(crate) fn new(args: &NewArgs) -> Outcome {
    let target = target(&args.name)?;
    let taken = target.made.clone().unwrap_or_else(|| target.path());
    if fs::symlink_metadata(&taken).is_ok() {
        return Err(in_the_way(&taken));
    }
    let (files, text) = match &args.data {
        Some(data) => of_table(&target, data, args.target.as_deref())?,
        None => of_template(args.template.unwrap_or(Template::Digits))?,
    };
    target.write(files, &text)?;
    let recipe = target.path();
    system::say(&format!("{}\n", recipe.display()));
    system::tell(&format!("run it with `mmhc run {}`\n", recipe.display()));
    Ok(())
}

/// `digits` is a folder with a recipe of that name; `digits.mmh` is a recipe in a folder that is there.
fn target(name: &Path) -> Result<Target, Failure> {
    let last = name
        .file_name()
        .map(|last| last.to_string_lossy().into_owned());
    let named = matches!(name.components().next_back(), Some(Component::Normal(_)));
    let Some(last) = last.filter(|last| named && !last.is_empty() && last != ".mmh") else {
        return Err(Failure::Usage(format!(
            "`{}` is no name for a recipe",
            name.display()
        )));
    };
    Ok(match last.strip_suffix(".mmh") {
        Some(_) => Target {
            made: None,
            folder: name.parent().unwrap_or(Path::new("")).to_path_buf(),
            recipe: last,
        },
        None => Target {
            made: Some(name.to_path_buf()),
            folder: name.to_path_buf(),
            recipe: format!("{last}.mmh"),
        },
    })
}

fn of_template(template: Template) -> Result<(Files, String), Failure> {
    let mut files = Files::new();
    for file in template.files() {
        let bytes = file
            .bytes()
            .map_err(|error| failed(Path::new(file.path), &error))?;
        files.push((file.path.to_owned(), bytes));
    }
    Ok((files, template.recipe().to_owned()))
}

/// A recipe for a table, and the table where it has to be copied.
fn of_table(
    target: &Target,
    data: &Path,
    column: Option<&str>,
) -> Result<(Files, String), Failure> {
    let name = data
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let inside = match target.made {
        Some(_) => None,
        None => below(&target.folder, data),
    };
    let mut files = Files::new();
    let path = match inside {
        Some(path) => path,
        None => {
            let bytes = fs::read(data).map_err(|error| failed(data, &error))?;
            let path = format!("data/{name}");
            files.push((path.clone(), bytes));
            path
        }
    };
    // Looked at where it is; what was copied has the same bytes.
    let folder = data.parent().unwrap_or(Path::new("")).to_path_buf();
    let world = Disk::draft(folder, &target.recipe, String::new());
    let facts = world.data_facts(&SourceRequest::Csv {
        file: FileRequest {
            path: name,
            blake3: None,
            within: Within::Plain,
        },
        delimiter: None,
    });
    let facts = facts.map_err(|fault| {
        let finding = Finding::error(fault.code, fault.sentence(), fault.help);
        Failure::of(finding, false, Exit::Fault)
    })?;
    let text = fit::recipe(&path, &facts, column).map_err(|(message, help)| {
        let finding = Finding::error(Code::DataFormat, message, help);
        Failure::of(finding, false, Exit::Fault)
    })?;
    Ok((files, text))
}

/// The path of a file below a folder, with `/` between its parts.
fn below(folder: &Path, file: &Path) -> Option<String> {
    let here = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let (folder, file) = (here.canonicalize().ok()?, file.canonicalize().ok()?);
    let rest = file.strip_prefix(folder).ok()?;
    let parts: Vec<&str> = rest
        .iter()
        .map(|part| part.to_str())
        .collect::<Option<_>>()?;
    Some(parts.join("/"))
}

impl Target {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.recipe)
    }

    /// Makes all aside, checks it, and gives it its name.
    fn write(&self, files: Files, text: &str) -> Outcome {
        let base = self.made.as_deref().map_or(self.folder.as_path(), |made| {
            made.parent().unwrap_or(Path::new(""))
        });
        let aside = base.join(format!(".{}.new-{}", self.recipe, std::process::id()));
        let ended = self.settle(&aside, files, text);
        // What is still there has no name yet.
        let _ = fs::remove_dir_all(&aside);
        ended
    }

    fn settle(&self, aside: &Path, files: Files, text: &str) -> Outcome {
        let refused = |error: io::Error| failed(&self.path(), &error);
        fs::create_dir(aside).map_err(refused)?;
        for (path, bytes) in &files {
            let whole = aside.join(path);
            fs::create_dir_all(whole.parent().unwrap_or(aside)).map_err(refused)?;
            fs::write(&whole, bytes).map_err(refused)?;
        }
        fs::write(aside.join(&self.recipe), text).map_err(refused)?;
        let folder = match files.is_empty() {
            true => self.folder.clone(),
            false => aside.to_path_buf(),
        };
        let world = Disk::draft(folder, &self.recipe, text.to_owned());
        front::check(world, &[]).recipe(false)?;
        if let Some(made) = &self.made {
            if fs::symlink_metadata(made).is_ok() {
                return Err(in_the_way(made));
            }
            return fs::rename(aside, made).map_err(refused);
        }
        for (path, bytes) in &files {
            self.name(aside, path, Some(bytes))?;
        }
        self.name(aside, &self.recipe, None)
    }

    /// Gives a file its name. One that is there with the same bytes is as good.
    fn name(&self, aside: &Path, path: &str, same: Option<&Vec<u8>>) -> Outcome {
        let whole = self.folder.join(path);
        let refused = |error: io::Error| failed(&whole, &error);
        fs::create_dir_all(whole.parent().unwrap_or(Path::new(""))).or_else(|error| match whole
            .parent()
            .is_none_or(|parent| parent.as_os_str().is_empty())
        {
            true => Ok(()),
            false => Err(refused(error)),
        })?;
        if fs::symlink_metadata(&whole).is_ok() {
            return match same.is_some_and(|same| fs::read(&whole).is_ok_and(|there| there == *same))
            {
                true => Ok(()),
                false => Err(in_the_way(&whole)),
            };
        }
        fs::rename(aside.join(path), &whole).map_err(refused)
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::of(Finding::file(path, error), false, Exit::Fault)
}

fn in_the_way(path: &Path) -> Failure {
    let message = format!(
        "`{}` is there already, and is left as it is",
        path.display()
    );
    let finding = Finding::error(Code::FileExists, message, "choose another name");
    Failure::of(finding, false, Exit::Fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folders_or_recipes() {
        let folder = target(Path::new("a/digits")).expect("a name");
        assert_eq!(folder.path(), Path::new("a/digits/digits.mmh"));
        let file = target(Path::new("a/digits.mmh")).expect("a name");
        assert_eq!(
            (file.path().as_path(), file.made),
            (Path::new("a/digits.mmh"), None)
        );
        for wrong in ["", ".", "..", "a/..", ".mmh", "/"] {
            assert!(target(Path::new(wrong)).is_err(), "{wrong:?}");
        }
    }
}
