//! Integrity: is every object what its name says, and is everything there that a run needs?

use crate::content::{hash_file, is_hash};
use crate::manifest::{MOST_BYTES, Manifest};
use crate::{Store, StoreFailure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object, 64 hex digits; none where a reference is at fault.
    pub object: Option<String>,
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
    /// What needs it, such as `model.safetensors of run 1234… (best)`; empty where nothing does.
    pub needed_by: Vec<String>,
    /// Where a whole copy was taken from.
    pub repaired: Option<String>,
}

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs whose parts were looked for.
    pub runs: u64,
    /// Tags.
    pub tags: u64,
    /// Trainings for others to go on from.
    pub beginnings: u64,
    /// Objects that nothing needs.
    pub unneeded: u64,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Looks for an object by its hash: a file that is said to have that content, and words for where it was.
pub type Copies<'a> = dyn FnMut(&str) -> Result<Option<(PathBuf, String)>, StoreFailure> + 'a;

/// What needs an object, and the size it must have where that is known.
#[derive(Default)]
struct Need {
    bytes: Option<u64>,
    by: Vec<String>,
}

impl Store {
    /// Reads everything.
    pub fn check(&self) -> Result<Checked, StoreFailure> {
        let _lease = self.lease()?;
        let mut checked = Checked::default();
        let mut there: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        for (name, path) in self.objects()? {
            if !is_hash(&name) {
                checked.add(None, &path, "no object has such a name");
                continue;
            }
            let (hash, bytes) = match hash_file(&path) {
                Ok(found) => found,
                // It went meanwhile, or cannot be read: it is missing where it is needed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    checked.add(Some(&name), &path, format!("it cannot be read: {error}"));
                    continue;
                }
            };
            checked.objects += 1;
            checked.bytes += bytes;
            there.insert(name.clone(), (bytes, hash.to_hex().as_str() == name));
        }
        let needs = self.needs(&there, &mut checked)?;
        for (hash, need) in &needs {
            let what = match there.get(hash) {
                Some((_, true)) => continue,
                None => "it is missing".to_owned(),
                Some((bytes, false)) => damage(*bytes, need.bytes),
            };
            checked.problems.push(Problem {
                object: Some(hash.clone()),
                path: self.place(hash),
                what,
                needed_by: need.by.clone(),
                repaired: None,
            });
        }
        for (hash, (bytes, is_whole)) in &there {
            if !needs.contains_key(hash) {
                checked.unneeded += 1;
                if !is_whole {
                    checked.add(Some(hash), &self.place(hash), damage(*bytes, None));
                }
            }
        }
        Ok(checked)
    }

    /// What the references need.
    fn needs(
        &self,
        there: &BTreeMap<String, (u64, bool)>,
        checked: &mut Checked,
    ) -> Result<BTreeMap<String, Need>, StoreFailure> {
        let mut needs: BTreeMap<String, Need> = BTreeMap::new();
        let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in self.names("refs/tags")? {
            let place = format!("refs/tags/{name}");
            let bytes = self.small(&place)?.unwrap_or_default();
            match crate::refs::read_tag(&bytes, &name) {
                Ok(head) => tags.entry(head).or_default().push(name),
                Err(failure) => checked.fault(&self.root().join(place), &failure),
            }
            checked.tags += 1;
        }
        let heads = self.names("refs/runs")?;
        for (head, names) in tags.iter().filter(|(head, _)| !heads.contains(head)) {
            for name in names {
                let place = self.root().join("refs/tags").join(name);
                checked.add(None, &place, format!("its run {head} is missing"));
            }
        }
        for head in heads {
            checked.runs += 1;
            let place = self.root().join("refs/runs").join(&head);
            let reference = match self.reference(&head) {
                Ok(Some(reference)) => reference,
                Ok(None) => {
                    checked.add(None, &place, "no run has such a name");
                    continue;
                }
                Err(failure) => {
                    checked.fault(&place, &failure);
                    continue;
                }
            };
            let tags = tags
                .get(&head)
                .map_or(String::new(), |tags| format!(" ({})", tags.join(", ")));
            let of = |what: &str| format!("{what} of run {head}{tags}");
            let need = needs.entry(reference.run.clone()).or_default();
            need.by.push(of("the manifest"));
            for data in &reference.data {
                needs.entry(data.clone()).or_default().by.push(of("data"));
            }
            if there
                .get(&reference.run)
                .is_none_or(|(_, is_whole)| !is_whole)
            {
                continue;
            }
            let bytes = self.read(&reference.run, MOST_BYTES)?.unwrap_or_default();
            match Manifest::from_bytes(&bytes, &reference.run) {
                Ok(manifest) if manifest.facts.head == head => {
                    for (name, file) in manifest.files {
                        let need = needs.entry(file.blake3).or_default();
                        need.bytes = Some(file.bytes);
                        need.by.push(of(&name));
                    }
                }
                Ok(_) => checked.add(None, &place, "it points to another run"),
                Err(failure) => checked.fault(&place, &failure),
            }
        }
        self.beginnings_need(&mut needs, checked)?;
        Ok(needs)
    }

    /// What trainings for others to go on from need.
    fn beginnings_need(
        &self,
        needs: &mut BTreeMap<String, Need>,
        checked: &mut Checked,
    ) -> Result<(), StoreFailure> {
        for (key, reference, place) in self.all_beginnings()? {
            checked.beginnings += 1;
            match self.beginning(&reference, &key) {
                Ok(Some(found)) => {
                    let of = |what: &str| format!("{what} of {reference}");
                    let manifest = self.objects_of_beginning(&reference, &key);
                    if let Some(object) = manifest.and_then(|it| it.into_iter().next()) {
                        needs.entry(object).or_default().by.push(of("the manifest"));
                    }
                    for (name, file) in found.files {
                        let need = needs.entry(file.blake3).or_default();
                        need.bytes = Some(file.bytes);
                        need.by.push(of(&name));
                    }
                }
                Ok(None) => {}
                Err(failure) => checked.fault(&place, &failure),
            }
        }
        Ok(())
    }

    /// Puts whole copies in the place of what is damaged or missing. What is damaged is moved to `damaged/`.
    pub fn repair(&self, checked: &mut Checked, copy: &mut Copies<'_>) -> Result<(), StoreFailure> {
        let _lease = self.lease()?;
        for problem in &mut checked.problems {
            let Some(hash) = &problem.object else {
                continue;
            };
            let Some((path, from)) = copy(hash)? else {
                continue;
            };
            let aside = self.fresh()?;
            let (found, _) = self.copy(&path, &aside)?;
            if found.to_hex().as_str() != hash {
                let _ = fs::remove_file(&aside);
                continue;
            }
            if problem.path.exists() {
                let folder = self.root().join("damaged");
                self.make_folder(&folder)?;
                let target = folder.join(hash);
                let moved = self.files().rename(&problem.path, &target);
                moved.map_err(|error| StoreFailure::io(&target, &error))?;
            }
            self.adopt(&aside, hash)?;
            problem.repaired = Some(from);
        }
        Ok(())
    }
}

/// What is wrong with an object of so many bytes that has another hash than its name.
fn damage(bytes: u64, wanted: Option<u64>) -> String {
    match (bytes, wanted) {
        (0, Some(1..)) => "it was emptied".to_owned(),
        (_, Some(wanted)) if bytes < wanted => {
            format!("it was cut short: {bytes} of {wanted} bytes are left")
        }
        (_, Some(wanted)) if bytes > wanted => {
            format!("it has {bytes} bytes and should have {wanted}")
        }
        _ => "its content was changed: its BLAKE3 is not its name".to_owned(),
    }
}

impl Checked {
    fn add(&mut self, object: Option<&str>, path: &Path, what: impl Into<String>) {
        self.problems.push(Problem {
            object: object.map(str::to_owned),
            path: path.to_path_buf(),
            what: what.into(),
            needed_by: Vec::new(),
            repaired: None,
        });
    }

    fn fault(&mut self, path: &Path, failure: &StoreFailure) {
        let what = match failure {
            StoreFailure::Damaged { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        self.add(None, path, what);
    }

    /// Problems that were not repaired.
    pub fn left(&self) -> usize {
        let left = self.problems.iter();
        left.filter(|problem| problem.repaired.is_none()).count()
    }
}
