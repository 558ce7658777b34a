//! References to a name, and another name for it, across every file that is given.

use crate::files::{self, SourceFile};
use crate::names::{Names, Place, SymbolKind, Target};
use crate::{Analysis, MAIN};
use mmh_check::plain_path;
use mmh_diag::{Edit, Span};
use std::sync::Arc;

/// The files of a project beside the one that is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The folder of the file that is asked about, from the project's root; empty for the root itself.
    pub folder: String,
    /// Further files, which may use that one: their paths from the project's root, and their texts.
    pub files: Vec<(String, String)>,
}

/// The changes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file, from the project's root.
    pub path: String,
    /// The text the changes are for.
    pub text: String,
    /// The replacements, in order.
    pub edits: Vec<Edit>,
}

/// Why a name cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenameFault(pub String);

/// Words that no declaration may have.
const RESERVED: &[&str] = &["if", "else", "and", "or", "not", "let"];

impl Analysis {
    /// Every place in which the name at a byte stands, by file and in order; the files' paths are from the project's root.
    pub fn references(&self, offset: u32, project: &Project) -> Vec<(Arc<SourceFile>, Span)> {
        let (files, names) = self.with(project);
        let Some(found) = names.at(MAIN, offset) else {
            return Vec::new();
        };
        let same: Vec<Place> = match found.target {
            Target::Axis => self.same_word(&names, found.place),
            _ => names.same(found).map(|other| other.place).collect(),
        };
        let places = same.into_iter().filter_map(|place| {
            let file = files.get(place.file)?;
            (!file.library).then(|| (file.clone(), place.span))
        });
        places.collect()
    }

    /// The places in the main file of what stands at a byte.
    pub fn highlights(&self, offset: u32) -> Vec<Span> {
        let Some(found) = self.names().at(MAIN, offset) else {
            return Vec::new();
        };
        let mut spans: Vec<Span> = match found.target {
            Target::Axis => self
                .same_word(self.names(), found.place)
                .iter()
                .map(|p| p.span)
                .collect(),
            _ => {
                let same = self.names().same(found);
                same.filter(|o| o.place.file == MAIN)
                    .map(|o| o.place.span)
                    .collect()
            }
        };
        spans.sort_unstable();
        spans
    }

    /// The bytes that would change if the name at a byte were changed.
    ///
    /// # Errors
    /// Why it cannot be changed, in words.
    pub fn renameable(&self, offset: u32) -> Result<Span, RenameFault> {
        let fault = |text: &str| Err(RenameFault(text.to_owned()));
        let Some(found) = self.names().at(MAIN, offset) else {
            return fault("there is no name here");
        };
        match &found.target {
            Target::Axis => fault(
                "the name of an axis joins values across blocks; change it where each is declared",
            ),
            Target::Primitive(_) | Target::Choice => fault("this name belongs to the language"),
            Target::Setting(_) | Target::Member => fault("this word belongs to the language"),
            Target::SourceColumn => fault("this name is in the header of the data file"),
            Target::Symbol(place) => match self.names().symbols.get(place).map(|s| s.kind) {
                Some(SymbolKind::Setting) | None => fault("this word belongs to the language"),
                Some(_) if self.file(place.file).is_none_or(|file| file.library) => {
                    fault("this name belongs to the standard library")
                }
                Some(_) => Ok(found.place.span),
            },
        }
    }

    /// The changes that give the name at a byte another one, in every file of the project. Random numbers follow the name, so
    /// they change with it unless `@key` keeps them.
    ///
    /// # Errors
    /// Why it cannot be done, in words.
    pub fn rename(
        &self,
        offset: u32,
        name: &str,
        project: &Project,
    ) -> Result<Vec<Change>, RenameFault> {
        self.renameable(offset)?;
        if !is_name(name) {
            return Err(RenameFault(format!(
                "`{name}` is no name: letters, digits and `_`, not beginning with a digit"
            )));
        }
        let (files, names) = self.with(project);
        let Some(found) = names.at(MAIN, offset) else {
            return Err(RenameFault("there is no name here".into()));
        };
        if let Some(taken) = clash(&names, found.place, &found.target, name) {
            return Err(RenameFault(format!(
                "`{taken}` is the name of something else here"
            )));
        }
        let mut changes: Vec<Change> = Vec::new();
        for place in names.same(found).map(|other| other.place) {
            let Some(file) = files.get(place.file).filter(|file| !file.library) else {
                continue;
            };
            let edit = Edit {
                span: place.span,
                text: name.to_owned(),
            };
            match changes.iter_mut().find(|change| change.path == file.path) {
                Some(change) => change.edits.push(edit),
                None => changes.push(Change {
                    path: file.path.clone(),
                    text: file.text.clone(),
                    edits: vec![edit],
                }),
            }
        }
        Ok(changes)
    }

    /// The names of these files and the project's others, with paths from its root.
    fn with(&self, project: &Project) -> (Vec<Arc<SourceFile>>, Names) {
        let rooted = |file: &Arc<SourceFile>| match file.library || project.folder.is_empty() {
            true => file.clone(),
            false => {
                let path = plain_path(&format!("{}/{}", project.folder, file.path));
                files::of(path, file.text.clone(), false)
            }
        };
        let mut all: Vec<Arc<SourceFile>> = self.files().iter().map(rooted).collect();
        for (path, text) in &project.files {
            let path = plain_path(path);
            if !all.iter().any(|file| plain_path(&file.path) == path) {
                all.push(files::of(path, text.clone(), false));
            }
        }
        let names = Names::of(&all);
        (all, names)
    }

    /// Every axis of the same name in the main file.
    fn same_word(&self, names: &Names, place: Place) -> Vec<Place> {
        let word = place.span.text(self.text());
        let axes = names.occurrences.iter().filter(|other| {
            other.place.file == MAIN
                && other.target == Target::Axis
                && other.place.span.text(self.text()) == word
        });
        axes.map(|other| other.place).collect()
    }
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters
        .next()
        .is_some_and(|l| l.is_ascii_alphabetic() || l == '_');
    first && letters.all(|l| l.is_ascii_alphanumeric() || l == '_') && !RESERVED.contains(&name)
}

/// Another declaration of the new name in the same scope.
fn clash(names: &Names, at: Place, target: &Target, name: &str) -> Option<String> {
    let Target::Symbol(place) = target else {
        return None;
    };
    let own = names.symbols.get(place)?;
    if own.name == name {
        return None;
    }
    let beside = names.symbols.iter().any(|(other, symbol)| {
        symbol.name == name && symbol.owner == own.owner && other.file == place.file
    });
    let top = own.owner.is_none()
        && names
            .tops
            .get(at.file)
            .is_some_and(|tops| tops.contains_key(name));
    (beside || top).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DIGITS, Shelf, analyse, analyse_all, marked};

    fn renamed(text: &str, name: &str) -> Result<String, RenameFault> {
        let (text, at, _) = marked(text);
        let changes = analyse(&text).rename(at, name, &Project::default())?;
        Ok(applied(&changes[0]))
    }

    fn applied(change: &Change) -> String {
        let mut text = change.text.clone();
        let mut edits = change.edits.clone();
        edits.sort_by_key(|edit| edit.span);
        for edit in edits.iter().rev() {
            text.replace_range(edit.span.start as usize..edit.span.end as usize, &edit.text);
        }
        text
    }

    #[test]
    fn a_column_is_renamed_wherever_rows_name_it() {
        let text = DIGITS.replace("  label: class", "  /*cursor*/label: class");
        let out = renamed(&text, "digit").expect("a change");
        assert_eq!(out, DIGITS.replace("label", "digit"));
    }

    #[test]
    fn a_block_and_its_parameters_are_renamed_with_their_calls() {
        let text = DIGITS.replace("|> down(to", "|> down(/*cursor*/to");
        let out = renamed(&text, "channels").expect("a change");
        assert!(
            out.contains("down(x: f32[batch, channel, height, width], channels: int)"),
            "{out}"
        );
        assert!(out.contains("channel = channels, height") && out.contains("down(channels = 2"));
        assert!(
            out.contains("conv(channels, kernel = 3, stride = 2)"),
            "{out}"
        );
        let text = DIGITS.replace("block residual", "block resid/*cursor*/ual");
        let out = renamed(&text, "twice").expect("a change");
        assert_eq!(out, DIGITS.replace("residual", "twice"));
    }

    #[test]
    fn what_is_not_the_users_stays() {
        for (at, says) in [
            ("conv(wide", "language"),
            ("height, width])\n    |> dropout", "axis"),
            ("optimize", "language"),
            ("pixels", "header"),
            ("adamw", "language"),
        ] {
            let text = DIGITS.replacen(at, &format!("/*cursor*/{at}"), 1);
            let fault = renamed(&text, "other").expect_err(at);
            assert!(fault.0.contains(says), "{at}: {fault:?}");
        }
        let text = DIGITS.replacen("let depth", "let /*cursor*/depth", 1);
        for (name, says) in [
            ("wide", "something else"),
            ("9x", "no name"),
            ("if", "no name"),
        ] {
            assert!(renamed(&text, name).expect_err(name).0.contains(says));
        }
    }

    #[test]
    fn names_are_followed_across_files() {
        let used = "mmh 1\n\nblock twice(x: f32[batch]) -> like x {\n  x * 2.0\n}\n";
        let main = "mmh 1\n\nuse \"parts.mmh\" { twice }\n\nblock b(x: f32[batch]) -> like x {\n  x |> twice\n}\n";
        let analysis = analyse_all(&[("main.mmh", main), ("parts.mmh", used)]);
        let at = main.find("|> twice").expect("it") as u32 + 4;
        let place = analysis.definition(at).expect("a definition");
        assert_eq!(analysis.files()[place.file].path, "parts.mmh");
        let changes = analysis
            .rename(at, "double", &Project::default())
            .expect("changes");
        let wanted = [("main.mmh", main), ("parts.mmh", used)];
        let mut found: Vec<(String, String)> = changes
            .iter()
            .map(|c| (c.path.clone(), applied(c)))
            .collect();
        found.sort();
        let wanted = wanted.map(|(path, text)| (path.to_owned(), text.replace("twice", "double")));
        assert_eq!(found, wanted);
        // From the file that is used, the one that uses it is only known if it is given.
        let texts = [("parts.mmh".to_owned(), used.to_owned())].into();
        let alone = Analysis::new(&Shelf { texts }, "parts.mmh");
        let at = used.find("twice").expect("it") as u32;
        let more = Project {
            folder: String::new(),
            files: vec![("./main.mmh".to_owned(), main.to_owned())],
        };
        assert_eq!(alone.rename(at, "double", &more).expect("changes").len(), 2);
        assert_eq!(alone.references(at, &more).len(), 3);
        assert_eq!(alone.references(at, &Project::default()).len(), 1);
    }

    #[test]
    fn a_file_in_a_folder_knows_who_uses_it_from_above() {
        let used = "mmh 1\n\nblock twice(x: f32[batch]) -> like x {\n  x * 2.0\n}\n";
        let main = "mmh 1\n\nuse \"parts/net.mmh\" { twice }\n\nblock b(x: f32[batch]) -> like x {\n  x |> twice\n}\n";
        let beside = "mmh 1\n\nuse \"net.mmh\" { twice }\n";
        let other = "mmh 1\n\nuse \"net.mmh\" { twice }\n";
        let texts = [("net.mmh".to_owned(), used.to_owned())].into();
        let alone = Analysis::new(&Shelf { texts }, "net.mmh");
        let project = Project {
            folder: "parts".to_owned(),
            files: [
                ("main.mmh", main),
                ("parts/net.mmh", used),
                ("parts/beside.mmh", beside),
                // Another `net.mmh` is meant here, which is not there.
                ("other/other.mmh", other),
            ]
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .into(),
        };
        let at = used.find("twice").expect("it") as u32;
        let changes = alone.rename(at, "double", &project).expect("changes");
        let mut paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["main.mmh", "parts/beside.mmh", "parts/net.mmh"]);
        assert_eq!(alone.references(at, &project).len(), 4);
    }

    #[test]
    fn highlights_are_of_one_file() {
        let analysis = analyse(DIGITS);
        let at = DIGITS.find("residual)").expect("it") as u32;
        assert_eq!(analysis.highlights(at).len(), 3);
        let at = DIGITS.find("height / 2").expect("it") as u32;
        assert!(analysis.highlights(at).len() >= 8);
    }
}
