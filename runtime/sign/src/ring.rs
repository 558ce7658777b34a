//! The folder in which keys are kept: `NAME.key` (sealed, for its owner's eyes alone), `NAME.pub`, and `NAME.pem` for others'
//! tools.

use crate::seal::Sealed;
use crate::{PublicKey, SecretKey, SignError};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct Ring {
    folder: PathBuf,
}

/// A key that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// Its public half.
    pub public: PublicKey,
    /// Whether the private half is there.
    pub has_secret: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    public: PublicKey,
    secret: Sealed,
}

const FORMAT: &str = "mmh key 1";

impl Ring {
    /// The keys in a folder, which is made with the first of them.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// Makes a key under a passphrase. Its files are there whole or not at all.
    ///
    /// Errors: the name is taken or no name; the passphrase is too short; the folder cannot be written.
    pub fn create(&self, name: &str, passphrase: &str) -> Result<PublicKey, SignError> {
        let path = self.path(name, "key")?;
        if path.exists() {
            return Err(SignError::new(format!(
                "there is a key `{name}` already, in `{}`",
                self.folder.display()
            )));
        }
        let secret = SecretKey::generate()?;
        let public = secret.public()?;
        let file = KeyFile {
            format: FORMAT.to_owned(),
            secret: Sealed::seal(secret.master(), passphrase, bound(&public).as_bytes())?,
            public: public.clone(),
        };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| SignError::new(error.to_string()))?;
        make_folder(&self.folder)?;
        write(&self.path(name, "pub")?, &public.to_text(), false)?;
        write(&self.path(name, "pem")?, public.pem(), false)?;
        write(&path, &format!("{text}\n"), true)?;
        Ok(public)
    }

    /// Opens the private half of a key.
    ///
    /// Errors: there is none of this name; others may read it; the passphrase is wrong.
    pub fn open(&self, name: &str, passphrase: &str) -> Result<SecretKey, SignError> {
        let path = self.path(name, "key")?;
        if !path.exists() {
            return Err(SignError::new(format!(
                "there is no key `{name}` in `{}`",
                self.folder.display()
            )));
        }
        private(&path)?;
        let text = fs::read_to_string(&path).map_err(|error| SignError::file(&path, &error))?;
        let file: KeyFile = serde_json::from_str(&text)
            .map_err(|error| SignError::new(format!("`{}` is no key: {error}", path.display())))?;
        if file.format != FORMAT {
            return Err(SignError::new(format!(
                "`{}` is no key of this version",
                path.display()
            )));
        }
        let master = file
            .secret
            .open(passphrase, bound(&file.public).as_bytes())?;
        let secret = SecretKey::from_master(master);
        match secret.public()? == file.public {
            true => Ok(secret),
            false => Err(SignError::new(format!(
                "`{}`: its halves do not belong together",
                path.display()
            ))),
        }
    }

    /// All keys, by name.
    pub fn list(&self) -> Result<Vec<Held>, SignError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SignError::file(&self.folder, &error)),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".pub")
                    .map(str::to_owned)
            })
            .collect();
        names.sort_unstable();
        names.iter().map(|name| self.held(name)).collect()
    }

    /// The public half of a key.
    pub fn held(&self, name: &str) -> Result<Held, SignError> {
        let path = self.path(name, "pub")?;
        if !path.exists() {
            return Err(SignError::new(format!(
                "there is no key `{name}` in `{}`",
                self.folder.display()
            )));
        }
        let text = fs::read_to_string(&path).map_err(|error| SignError::file(&path, &error))?;
        Ok(Held {
            name: name.to_owned(),
            public: PublicKey::from_text(&text)?,
            has_secret: self.path(name, "key")?.exists(),
        })
    }

    fn path(&self, name: &str, ending: &str) -> Result<PathBuf, SignError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
            let reason = "a key's name is up to 64 letters, digits, `-`, `_` and `.`, and does not begin with a dot";
            return Err(SignError::new(reason));
        }
        Ok(self.folder.join(format!("{name}.{ending}")))
    }
}

/// What a sealed secret is bound to.
fn bound(public: &PublicKey) -> String {
    format!("{FORMAT} {}", public.id())
}

fn write(path: &Path, text: &str, is_private: bool) -> Result<(), SignError> {
    let failed = |error: std::io::Error| SignError::file(path, &error);
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".new-{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        restrict(&mut options, is_private);
        let mut file = options.open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&aside);
        failed(error)
    })
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, is_private: bool) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(if is_private { 0o600 } else { 0o644 });
}

#[cfg(not(unix))]
fn restrict(_options: &mut OpenOptions, _is_private: bool) {}

#[cfg(unix)]
fn make_folder(folder: &Path) -> Result<(), SignError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|error| SignError::file(folder, &error))
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> Result<(), SignError> {
    fs::create_dir_all(folder).map_err(|error| SignError::file(folder, &error))
}

/// Refuses a private key that others may read or change.
#[cfg(unix)]
fn private(path: &Path) -> Result<(), SignError> {
    use std::os::unix::fs::PermissionsExt;
    let about = fs::metadata(path).map_err(|error| SignError::file(path, &error))?;
    match about.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(SignError::new(format!(
            "`{0}` may be read by others: make it yours with `chmod 600 {0}`",
            path.display()
        ))),
    }
}

#[cfg(not(unix))]
fn private(_path: &Path) -> Result<(), SignError> {
    Ok(())
}
