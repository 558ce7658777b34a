//! The checker's view of open texts over the disk. What data files hold is kept from one check to the next.

use super::documents::Documents;
use super::uri;
use crate::world::Disk;
use mmh_check::{
    DataFacts, DataFault, Earlier, FileRequest, SourceRequest, TextFault, Wanted, WeightFacts,
    World,
};
use mmh_ir::plan::SplitPlan;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// When a file was written and how large it is; nothing if it is not there.
type Stamp = Option<(SystemTime, u64)>;
type Rows = (SourceRequest, SplitPlan, Option<String>, [u64; 3]);

/// A recipe's folder, and what its data files held when they were last looked at.
pub(super) struct Folder {
    disk: Disk,
    stamps: BTreeMap<PathBuf, Stamp>,
    facts: RefCell<Vec<(SourceRequest, DataFacts)>>,
    rows: RefCell<Vec<Rows>>,
    /// What the last whole check found out.
    earlier: Option<Earlier>,
}

impl Folder {
    fn of(recipe: &Path, base: &Path) -> Self {
        let disk = Disk::below(recipe, base);
        let lock = disk.folder.join("mmh.lock");
        Self {
            stamps: BTreeMap::from([(lock.clone(), stamp(&lock))]),
            disk,
            facts: RefCell::default(),
            rows: RefCell::default(),
            earlier: None,
        }
    }

    fn is_fresh(&self) -> bool {
        self.stamps.iter().all(|(path, old)| stamp(path) == *old)
    }

    /// Files of data and weights that were read.
    fn known(&self) -> usize {
        self.facts.borrow().len() + self.disk.weights_read()
    }

    /// Remembers how the files look that were read.
    fn settle(&mut self) {
        for path in self.disk.hashes().data.into_keys() {
            let path = self.disk.folder.join(path);
            self.stamps
                .entry(path.clone())
                .or_insert_with(|| stamp(&path));
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Folders by recipe.
#[derive(Default)]
pub(super) struct Folders(BTreeMap<PathBuf, Folder>);

impl Folders {
    /// Does something with the world of a recipe, whose paths start in the folder `base`, and with what an earlier check
    /// found out in it; keeps what is to be known the next time.
    pub(super) fn with<T>(
        &mut self,
        recipe: &Path,
        base: &Path,
        open: &Documents,
        work: impl FnOnce(&Desk<'_>, &str, Option<&Earlier>) -> (T, Option<Earlier>),
    ) -> T {
        let folder = self
            .0
            .entry(recipe.to_path_buf())
            .or_insert_with(|| Folder::of(recipe, base));
        if !folder.is_fresh() || folder.disk.folder != base {
            *folder = Folder::of(recipe, base);
        }
        folder.disk.forget_failures();
        let known = folder.known();
        let desk = Desk { folder, open };
        let (done, earlier) = work(&desk, &folder.disk.main, folder.earlier.as_ref());
        if folder.known() > known {
            folder.settle();
        }
        if earlier.is_some() {
            folder.earlier = earlier;
        }
        done
    }

    pub(super) fn forget(&mut self, recipe: &Path) {
        self.0.remove(recipe);
    }
}

/// Open texts before those on the disk.
pub(super) struct Desk<'a> {
    folder: &'a Folder,
    open: &'a Documents,
}

impl World for Desk<'_> {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        let own = uri::plain(&self.folder.disk.folder.join(path));
        let below = own.starts_with(uri::plain(&self.folder.disk.folder));
        match self.open.get(&own).filter(|_| below) {
            Some(document) => Ok(document.text.clone()),
            None => self.folder.disk.read_text(path),
        }
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        if let Some((_, facts)) = self
            .folder
            .facts
            .borrow()
            .iter()
            .find(|known| known.0 == *request)
        {
            return Ok(facts.clone());
        }
        let facts = self.folder.disk.data_facts(request)?;
        let mut known = self.folder.facts.borrow_mut();
        known.push((request.clone(), facts.clone()));
        Ok(facts)
    }

    fn part_rows(
        &self,
        request: &SourceRequest,
        split: &SplitPlan,
        by: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        let same =
            |known: &&Rows| known.0 == *request && known.1 == *split && known.2.as_deref() == by;
        if let Some(known) = self.folder.rows.borrow().iter().find(same) {
            return Ok(known.3);
        }
        let rows = self.folder.disk.part_rows(request, split, by)?;
        let mut known = self.folder.rows.borrow_mut();
        known.push((request.clone(), split.clone(), by.map(str::to_owned), rows));
        Ok(rows)
    }

    fn weight_facts(&self, file: &FileRequest) -> Result<WeightFacts, DataFault> {
        self.folder.disk.weight_facts(file)
    }

    fn odd_cell(&self, request: &SourceRequest, column: &str, wanted: Wanted) -> Option<DataFault> {
        self.folder.disk.odd_cell(request, column, wanted)
    }
}
