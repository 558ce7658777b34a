//! `mmhc keys`: the keys that sign, and the passphrases that open them.

use crate::args::{KeysArgs, KeysVerb, PassphraseArgs};
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use mmh_diag::Code;
use mmh_sign::{Ring, SignError};
use serde_json::json;
use std::path::{Path, PathBuf};

pub(crate) fn keys(args: &KeysArgs) -> Outcome {
    match &args.verb {
        KeysVerb::New { name, passphrase } => new(name, passphrase),
        KeysVerb::List { json } => list(*json),
    }
}

fn new(name: &str, passphrase: &PassphraseArgs) -> Outcome {
    let (ring, folder) = ring()?;
    let passphrase = ask(passphrase, true)?;
    let public = ring
        .create(name, &passphrase)
        .map_err(|error| refused(&error, false))?;
    system::tell(&format!(
        "made {0}.key, encrypted by the passphrase, with {0}.pub and {0}.pem for others\n",
        folder.join(name).display()
    ));
    system::say(&format!("{}\n", public.id()));
    Ok(())
}

fn list(json: bool) -> Outcome {
    let (ring, folder) = ring()?;
    let held = ring.list().map_err(|error| refused(&error, json))?;
    if json {
        let keys = held.iter().map(|held| {
            json!({
                "name": held.name,
                "id": held.public.id(),
                "secret": held.has_secret,
                "public_key": folder.join(format!("{}.pub", held.name)).display().to_string(),
            })
        });
        system::say(&format!(
            "{:#}\n",
            json!({ "keys": keys.collect::<Vec<_>>() })
        ));
        return Ok(());
    }
    if held.is_empty() {
        system::tell(&format!(
            "no keys in {}; `mmhc keys new NAME` makes one\n",
            folder.display()
        ));
    }
    for held in held {
        let words = if held.has_secret {
            ""
        } else {
            "  (public half alone)"
        };
        system::say(&format!("{}  {}{words}\n", held.public.id(), held.name));
    }
    Ok(())
}

/// The folder of keys: `MMH_KEYS`, or `mmh/keys` where the system keeps a user's settings.
pub(crate) fn ring() -> Result<(Ring, PathBuf), Failure> {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let settings = || {
        of("XDG_CONFIG_HOME")
            .or_else(|| of("APPDATA"))
            .or_else(|| of("HOME").map(|home| home.join(".config")))
            .map(|folder| folder.join("mmh").join("keys"))
    };
    let missing =
        || Failure::Usage("no folder for keys: say with MMH_KEYS where they are".to_owned());
    let folder = of("MMH_KEYS").or_else(settings).ok_or_else(missing)?;
    Ok((Ring::at(&folder), folder))
}

/// The passphrase: from the file that is named, from MMH_PASSPHRASE, or asked for on a terminal.
pub(crate) fn ask(args: &PassphraseArgs, twice: bool) -> Result<String, Failure> {
    if let Some(path) = &args.passphrase_file {
        let text = match path.as_os_str() == "-" {
            true => system::read_stdin(),
            false => system::read_text(path),
        };
        let failed =
            |error: std::io::Error| Failure::of(Finding::file(path, &error), false, Exit::Fault);
        let text = text.map_err(failed)?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    if let Ok(passphrase) = std::env::var("MMH_PASSPHRASE") {
        return Ok(passphrase);
    }
    let none = || {
        Failure::Usage(
            "a passphrase is needed: give `--passphrase-file FILE`, or set MMH_PASSPHRASE"
                .to_owned(),
        )
    };
    if !system::stderr_is_terminal() {
        return Err(none());
    }
    let first = rpassword::prompt_password("passphrase: ").map_err(|_| none())?;
    if twice && rpassword::prompt_password("once more: ").map_err(|_| none())? != first {
        return Err(Failure::Usage("the two passphrases differ".to_owned()));
    }
    Ok(first)
}

/// What is said of a key that cannot be used.
pub(crate) fn refused(error: &SignError, json: bool) -> Failure {
    let help = match error.to_string().starts_with("a passphrase") {
        true => "take a longer one: it is all that keeps the key from whoever has its file",
        false => "`mmhc keys list` shows the keys there are, `mmhc keys new NAME` makes one",
    };
    Failure::of(
        Finding::error(Code::AuditKey, error.to_string(), help),
        json,
        Exit::Fault,
    )
}

/// The public key that is meant: a file, or a key of one's own by name.
pub(crate) fn public(key: &str, json: bool) -> Result<mmh_sign::PublicKey, Failure> {
    let path = Path::new(key);
    if path.is_file() {
        let text = system::read_text(path)
            .map_err(|error| Failure::of(Finding::file(path, &error), json, Exit::Fault))?;
        return mmh_sign::PublicKey::from_text(&text).map_err(|error| refused(&error, json));
    }
    let (ring, _) = ring()?;
    let held = ring.held(key).map_err(|error| refused(&error, json))?;
    Ok(held.public)
}
