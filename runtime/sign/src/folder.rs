//! Signing a folder, and checking that it is the one that was signed.

use crate::signature::Signatures;
use crate::statement::{FORMAT, Head, TrailRoot};
use crate::{
    Algorithm, Described, Policy, PublicKey, SecretKey, SignError, Statement, bom, openssf,
    provenance,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is wrong with the bytes of a file, if anything is.
type Check<'a> = dyn Fn(&[u8]) -> Option<String> + 'a;

/// The folder of signatures in a run folder.
pub const FOLDER: &str = "signatures";

/// Names in a run folder that are not signed: the signatures, the lock, and the run before.
pub(crate) const LEFT_OUT: [&str; 3] = [".lock", "previous", FOLDER];

const STATEMENT: &str = "statement.json";
const SIGNATURE: &str = "signature.json";
const BUNDLE: &str = "openssf.sig";
const PROVENANCE: &str = "provenance.json";
const MATERIALS: &str = "bom.json";

/// The facts of a run, as its journal has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    /// Hash of the model.
    pub model_hash: String,
    /// Hash of the recipe.
    pub recipe_hash: String,
    /// Hash of the plan.
    pub plan_hash: String,
    /// Hash of the data.
    pub data_hash: String,
    /// Root seed.
    pub seed: String,
    /// Steps of all trainings.
    pub steps: u64,
    /// Where the journal ends.
    pub journal: Head,
    /// The states of each training.
    pub trails: Vec<TrailRoot>,
    /// What provenance says beside.
    pub described: Described,
}

/// What came of checking signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong: the file in the folder, and why. Empty where all is right.
    pub faults: Vec<(String, String)>,
    /// The key that is said to have signed.
    pub key: String,
    /// The signatures that were checked.
    pub algorithms: Vec<Algorithm>,
}

/// A file with its hashes.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) blake3: String,
    pub(crate) sha256: [u8; 32],
}

/// Signs a folder: writes `signatures/`, each file whole.
///
/// Errors: a file cannot be read or written; something in the folder is neither a file nor a folder.
pub fn sign(
    folder: &Path,
    facts: &Signed,
    key: &SecretKey,
    policy: Policy,
) -> Result<(), SignError> {
    let files = list(folder)?;
    let statement = statement(facts, &files, policy.algorithms());
    let bytes = statement.to_bytes();
    let signatures = Signatures::make(key, &bytes, &statement.policy)?;
    let bundle = openssf::bundle(key, &name_of(folder), &files, &statement)?;
    let provenance = provenance::signed(key, facts, &files)?;
    let materials = bom::bom(facts, &files);
    let place = folder.join(FOLDER);
    fs::create_dir_all(&place).map_err(|error| SignError::file(&place, &error))?;
    // The signature goes last: what is there without it counts as unsigned.
    for (name, bytes) in [
        (STATEMENT, bytes),
        (BUNDLE, bundle.into_bytes()),
        (PROVENANCE, provenance.into_bytes()),
        (MATERIALS, materials.into_bytes()),
        (SIGNATURE, signatures.to_text().into_bytes()),
    ] {
        replace(&place.join(name), &bytes)?;
    }
    Ok(())
}

/// Checks the signatures of a folder against a key that the caller trusts. `facts` are those of the folder's journal;
/// `policy` is the caller's: the signer's own, which is signed, must be met as well.
///
/// Errors: the folder cannot be read. What is wrong is in the result; none if it is not signed.
pub fn check(
    folder: &Path,
    facts: &Signed,
    key: &PublicKey,
    policy: Policy,
) -> Result<Option<Checked>, SignError> {
    let place = folder.join(FOLDER);
    let Some(signature) = read(&place.join(SIGNATURE))? else {
        return Ok(None);
    };
    let mut checked = Checked {
        faults: Vec::new(),
        key: String::new(),
        algorithms: policy.algorithms(),
    };
    let mut wrong =
        |name: &str, why: String| checked.faults.push((format!("{FOLDER}/{name}"), why));
    let Some(bytes) = read(&place.join(STATEMENT))? else {
        wrong(STATEMENT, "it is missing".to_owned());
        return Ok(Some(checked));
    };
    let (signatures, said) = match (
        Signatures::from_bytes(&signature),
        Statement::from_bytes(&bytes),
    ) {
        (Ok(signatures), Ok(said)) => (signatures, said),
        (Err(error), _) => {
            wrong(SIGNATURE, error.to_string());
            return Ok(Some(checked));
        }
        (_, Err(error)) => {
            wrong(STATEMENT, error.to_string());
            return Ok(Some(checked));
        }
    };
    checked.key = signatures.key.clone();
    if checked.key != key.id() {
        checked.faults.push((
            format!("{FOLDER}/{SIGNATURE}"),
            format!(
                "it is by key {}, not by {}",
                checked.key.escape_debug(),
                key.id()
            ),
        ));
        return Ok(Some(checked));
    }
    checked.algorithms.extend(&said.policy);
    checked.algorithms.sort_unstable();
    checked.algorithms.dedup();
    for algorithm in checked.algorithms.clone() {
        if let Some(fault) = signatures.fault(key, &bytes, algorithm) {
            checked
                .faults
                .push((format!("{FOLDER}/{SIGNATURE}"), fault));
        }
    }
    let files = list(folder)?;
    checked.faults.extend(apart(&said, facts, &files));
    let other = |bytes: &[u8]| {
        let here = bom::bom(facts, &files);
        (bytes != here.as_bytes()).then(|| "it tells of another run than is here".to_owned())
    };
    let checks: [(&str, &Check<'_>); 3] = [
        (BUNDLE, &|bytes| openssf::fault(bytes, key, &files, &said)),
        (PROVENANCE, &|bytes| {
            provenance::fault(bytes, key, facts, &files)
        }),
        (MATERIALS, &other),
    ];
    for (name, fault) in checks {
        let fault = match read(&place.join(name))? {
            None => Some("it is missing".to_owned()),
            Some(bytes) => fault(&bytes),
        };
        let fault = fault.map(|fault| (format!("{FOLDER}/{name}"), fault));
        checked.faults.extend(fault);
    }
    Ok(Some(checked))
}

/// How a run came to be: SLSA provenance as an in-toto statement, not signed.
pub fn provenance_statement(folder: &Path, facts: &Signed) -> Result<String, SignError> {
    let statement = provenance::statement(facts, &list(folder)?);
    Ok(format!("{statement:#}\n"))
}

/// What a model is made of: a CycloneDX bill of materials.
pub fn bill_of_materials(folder: &Path, facts: &Signed) -> Result<String, SignError> {
    Ok(bom::bom(facts, &list(folder)?))
}

fn statement(facts: &Signed, files: &[Listed], policy: Vec<Algorithm>) -> Statement {
    Statement {
        format: FORMAT.to_owned(),
        model_hash: facts.model_hash.clone(),
        recipe_hash: facts.recipe_hash.clone(),
        plan_hash: facts.plan_hash.clone(),
        data_hash: facts.data_hash.clone(),
        seed: facts.seed.clone(),
        steps: facts.steps,
        journal: facts.journal.clone(),
        trails: facts.trails.clone(),
        files: hashes(files),
        policy,
    }
}

fn hashes(files: &[Listed]) -> BTreeMap<String, String> {
    let pairs = files
        .iter()
        .map(|file| (file.name.clone(), file.blake3.clone()));
    pairs.collect()
}

/// Where the folder is not what the statement says.
fn apart(said: &Statement, facts: &Signed, files: &[Listed]) -> Vec<(String, String)> {
    let here = statement(facts, files, said.policy.clone());
    let mut faults = Vec::new();
    if said.journal.lines > here.journal.lines {
        let (signed, here) = (said.journal.lines, here.journal.lines);
        faults.push((
            "journal".to_owned(),
            format!("{signed} lines were signed, {here} are here: the end was cut off"),
        ));
    } else if said.journal != here.journal {
        faults.push((
            "journal".to_owned(),
            "it does not end as the one that was signed".to_owned(),
        ));
    }
    let facts = [
        ("recipe_hash", &said.recipe_hash, &here.recipe_hash),
        ("plan_hash", &said.plan_hash, &here.plan_hash),
        ("data_hash", &said.data_hash, &here.data_hash),
        ("seed", &said.seed, &here.seed),
        ("model_hash", &said.model_hash, &here.model_hash),
    ];
    for (name, said, here) in facts {
        if said != here {
            faults.push((
                "journal".to_owned(),
                format!("its `{name}` is not the one that was signed"),
            ));
        }
    }
    if said.steps != here.steps || said.trails != here.trails {
        faults.push((
            "journal".to_owned(),
            "its steps are not those that were signed".to_owned(),
        ));
    }
    for (name, hash) in &said.files {
        match here.files.get(name) {
            None => faults.push((name.clone(), "it was signed and is missing".to_owned())),
            Some(other) if other != hash => faults.push((
                name.clone(),
                "it is not the file that was signed".to_owned(),
            )),
            Some(_) => {}
        }
    }
    let added = here
        .files
        .keys()
        .filter(|name| !said.files.contains_key(*name));
    faults.extend(added.map(|name| {
        (
            name.clone(),
            "it was added after the folder was signed".to_owned(),
        )
    }));
    faults
}

/// Every file of a folder that is signed, by name, with both hashes.
fn list(folder: &Path) -> Result<Vec<Listed>, SignError> {
    let mut files = Vec::new();
    walk(folder, "", &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn walk(folder: &Path, above: &str, files: &mut Vec<Listed>) -> Result<(), SignError> {
    let entries = fs::read_dir(folder).map_err(|error| SignError::file(folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| SignError::file(folder, &error))?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            SignError::new(format!("`{}` has a name that is no text", path.display()))
        })?;
        if above.is_empty() && LEFT_OUT.contains(&name) {
            continue;
        }
        let whole = format!("{above}{name}");
        let kind = entry
            .file_type()
            .map_err(|error| SignError::file(&path, &error))?;
        if kind.is_dir() {
            walk(&path, &format!("{whole}/"), files)?;
        } else if kind.is_file() {
            files.push(hashed(&path, whole)?);
        } else {
            return Err(SignError::new(format!(
                "`{}` is neither a file nor a folder, and cannot be signed",
                path.display()
            )));
        }
    }
    Ok(())
}

fn hashed(path: &Path, name: String) -> Result<Listed, SignError> {
    let failed = |error: std::io::Error| SignError::file(path, &error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
    let mut buffer = vec![0; 1 << 17];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        blake3.update(part);
        sha256.update(part);
    }
    Ok(Listed {
        name,
        blake3: blake3.finalize().to_hex().to_string(),
        sha256: sha256.finalize().into(),
    })
}

/// The name of a folder, whatever way it was given.
fn name_of(folder: &Path) -> String {
    let whole = folder
        .canonicalize()
        .unwrap_or_else(|_| folder.to_path_buf());
    whole
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, SignError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SignError::file(path, &error)),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), SignError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let written = fs::write(&aside, bytes)
        .and_then(|()| fs::File::open(&aside)?.sync_all())
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&aside);
        SignError::file(path, &error)
    })
}
