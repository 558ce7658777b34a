//! Every code has its page, every page has its code, and every page has its sections.

use mmh_diag::{Code, page_sections};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_code_has_a_complete_page() {
    for code in Code::ALL {
        let page = code.page();
        assert!(
            page.starts_with(&format!("# {code}\n")),
            "{code}: the title"
        );
        let mut rest = page;
        for section in page_sections() {
            let (_, after) = rest
                .split_once(&format!("{section}\n"))
                .unwrap_or_else(|| panic!("{code}: {section}"));
            let body = after.split("\n## ").next().unwrap_or("");
            assert!(body.trim().len() > 15, "{code}: {section} is empty");
            let example = section == "## Wrong" || section == "## Right";
            assert_eq!(example, body.contains("```mmh"), "{code}: {section}");
            rest = after;
        }
    }
}

#[test]
fn wrong_and_right_differ() {
    for code in Code::ALL {
        let (wrong, right) = code.page().split_once("## Right\n").expect("a cure");
        let examples = |part: &str| -> Vec<String> {
            let blocks = part.split("```mmh").skip(1);
            blocks
                .filter_map(|block| block.split("```").next())
                .map(str::to_owned)
                .collect()
        };
        assert_ne!(examples(wrong), examples(right), "{code}");
    }
}

#[test]
fn every_page_has_a_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let mut found = BTreeSet::new();
    for family in std::fs::read_dir(&root).unwrap() {
        let family = family.unwrap();
        if !family.file_type().unwrap().is_dir() {
            continue;
        }
        for page in std::fs::read_dir(family.path()).unwrap() {
            let page = page.unwrap().path();
            let name = page.file_stem().unwrap().to_string_lossy().into_owned();
            found.insert(format!("{}::{name}", family.file_name().to_string_lossy()));
        }
    }
    let registered: BTreeSet<String> = Code::ALL
        .iter()
        .map(|code| code.name().to_string())
        .collect();
    assert_eq!(found, registered);
}

#[test]
fn names_are_words_and_find_reads_them_back() {
    for code in Code::ALL {
        let (family, name) = code.name().split_once("::").unwrap();
        assert!(
            [family, name]
                .iter()
                .all(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        );
        assert_eq!(Code::find(code.name()), Some(*code));
        assert!(!code.title().ends_with('.'));
    }
    assert_eq!(Code::find("syntax::nothing"), None);
}
