//! Editors that no one here wrote. A test is skipped, with its reason, where one is not installed; with `MMH_REQUIRE_ALL`
//! set it fails instead.

use crate::{DIGITS, examples};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that is installed, or nothing and the reason printed.
fn installed(command: &str) -> bool {
    let found = Command::new(command).arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let required = std::env::var_os("MMH_REQUIRE_ALL").is_some();
    assert!(
        !required,
        "`{command}` is not installed, and MMH_REQUIRE_ALL asks for it"
    );
    eprintln!("skipped: `{command}` is not installed");
    false
}

fn root() -> PathBuf {
    examples().parent().expect("the root").to_path_buf()
}

#[test]
fn neovim_shows_mistakes_hovers_and_mends() {
    if !installed("nvim") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    let data = folder.path().join("data/digits.csv");
    std::fs::copy(examples().join("data/digits.csv"), data).expect("a copy");
    let recipe = folder.path().join("digits.mmh");
    let wrong = DIGITS.replace("adamw(lr", "adamw(learning_rate");
    std::fs::write(&recipe, wrong).expect("a file");
    let manual = std::fs::read_to_string(root().join("grammar/editors/README.md")).expect("it");
    let snippets: Vec<PathBuf> = (manual.split("```lua\n").skip(1).enumerate())
        .map(|(number, rest)| {
            let path = folder.path().join(format!("snippet{number}.lua"));
            let lines = rest.split("```").next().expect("a block");
            std::fs::write(&path, lines).expect("a file");
            path
        })
        .collect();
    assert_eq!(snippets.len(), 2, "one from Neovim 0.11 on, one for before");
    let program = Path::new(env!("CARGO_BIN_EXE_mmhc"));
    let mut path = vec![program.parent().expect("a folder").to_path_buf()];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let output = Command::new("nvim")
        .args(["--headless", "--clean", "-n"])
        .arg("-c")
        .arg(format!(
            "luafile {}",
            root().join("tests/lsp/neovim.lua").display()
        ))
        .env("PATH", std::env::join_paths(path).expect("a path"))
        .env("MMH_SNIPPET", &snippets[0])
        .env("MMH_SNIPPET_BEFORE", &snippets[1])
        .env("MMH_RECIPE", &recipe)
        .env("XDG_STATE_HOME", folder.path())
        .output()
        .expect("nvim starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("all well"),
        "{said}"
    );
}

/// `MMH_PYTHON` names a Python that has pytest-lsp.
#[test]
fn a_client_of_a_registry_finds_nothing_amiss() {
    let Some(python) = with_pytest_lsp() else {
        return;
    };
    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(["-W", "error::pytest_lsp.LspSpecificationWarning"])
        .arg(root().join("tests/lsp/clients"))
        .env("MMHC", env!("CARGO_BIN_EXE_mmhc"))
        .env("MMH_EXAMPLES", examples())
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("18 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn with_pytest_lsp() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("MMH_PYTHON");
    let there = |python: &std::ffi::OsString| {
        let output = Command::new(python)
            .args(["-c", "import pytest_lsp"])
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = python.filter(there);
    if found.is_none() {
        let required = std::env::var_os("MMH_REQUIRE_ALL").is_some();
        assert!(
            !required,
            "MMH_PYTHON names no Python with pytest-lsp, and MMH_REQUIRE_ALL asks for it"
        );
        eprintln!("skipped: MMH_PYTHON names no Python with pytest-lsp");
    }
    found
}

#[test]
fn the_extension_for_visual_studio_code_is_packaged() {
    if !installed("npx") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let own = root().join("grammar/editors/vscode");
    copy(&own, folder.path());
    let run = |command: &str, args: &[&str]| {
        let output = Command::new(command)
            .args(args)
            .current_dir(folder.path())
            .output()
            .expect(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        (output.status.success(), said)
    };
    let (well, said) = run("npm", &["install", "--no-audit", "--no-fund"]);
    if !well && said.contains("network") && std::env::var_os("MMH_REQUIRE_ALL").is_none() {
        eprintln!("skipped: the packages cannot be fetched");
        return;
    }
    assert!(well, "{said}");
    let args = [
        "vsce",
        "package",
        "--skip-license",
        "--allow-missing-repository",
        "-o",
        "mmh.vsix",
    ];
    let (well, said) = run("npx", &args);
    assert!(well, "{said}");
    let package = std::fs::read(folder.path().join("mmh.vsix")).expect("a package");
    assert!(
        package.starts_with(b"PK") && package.len() > 50_000,
        "{said}"
    );
    for file in [
        "extension/extension.js",
        "extension/syntaxes/mmh.tmLanguage.json",
        "vscode-languageclient/package.json",
    ] {
        let name = file.as_bytes();
        assert!(
            package.windows(name.len()).any(|part| part == name),
            "{file}"
        );
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if name == "node_modules" || name == "package-lock.json" {
            continue;
        }
        let target = to.join(&name);
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
