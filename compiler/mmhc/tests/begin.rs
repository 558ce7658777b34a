//! `mmhc new` and `mmhc doc`, as one meets them on the first day.

#![allow(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod common;

use common::Place;

const TEMPLATES: [&str; 5] = ["digits", "tabular", "regression", "chars", "autoencoder"];

/// Checked, in the one layout, and run to its end.
fn holds(place: &Place, recipe: &str) {
    place.mmhc(&["check", recipe]).ends(0);
    place.mmhc(&["fmt", "--check", recipe]).ends(0);
    let ran = place
        .mmhc(&["run", recipe, "--limit", "1 step", "--json"])
        .ends(0)
        .json();
    assert!(
        ran["model_hash"]
            .as_str()
            .is_some_and(|hash| hash.starts_with("blake3:")),
        "{ran}"
    );
}

#[test]
fn every_template_is_a_recipe_that_runs() {
    let place = Place::new();
    for template in TEMPLATES {
        let made = place
            .mmhc(&["new", template, "--template", template])
            .ends(0);
        let recipe = format!("{template}/{template}.mmh");
        assert_eq!(made.out.trim(), recipe);
        assert!(
            made.err.contains(&format!("mmhc run {recipe}")),
            "{}",
            made.err
        );
        holds(&place, &recipe);
    }
    let left = std::fs::read_dir(place.path("."))
        .expect("a folder")
        .flatten();
    let left: Vec<String> = left
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!left.iter().any(|name| name.contains(".new-")), "{left:?}");
}

#[test]
fn nothing_that_is_there_is_changed() {
    let place = Place::new();
    place.write("digits/own.txt", "mine");
    place.write("mine.mmh", "mine");
    for name in ["digits", "mine.mmh"] {
        let refused = place.mmhc(&["new", name]).ends(1);
        assert!(refused.err.contains("file::exists"), "{}", refused.err);
    }
    assert_eq!(
        (place.read("digits/own.txt"), place.read("mine.mmh")),
        ("mine".into(), "mine".into())
    );
    // Data of that name which is other data stands in the way; the same data does not.
    place.write("data/digits.csv", "a,b\n1,2\n");
    place.mmhc(&["new", "here.mmh"]).ends(1);
    assert_eq!(place.read("data/digits.csv"), "a,b\n1,2\n");
    assert!(!place.path("here.mmh").exists());
    std::fs::remove_dir_all(place.path("data")).expect("removed");
    place.mmhc(&["new", "here.mmh"]).ends(0);
    place
        .mmhc(&["new", "there.mmh", "--template", "autoencoder"])
        .ends(0);
    place.mmhc(&["new", "..", "--template", "digits"]).ends(2);
}

fn table(rows: usize) -> String {
    let mut text = String::from("id,Bill Length (mm),if,always,remark,2007,Kind of bird,weight\n");
    for row in 0..rows {
        let kind = ["ant", "bee", "cat"][row % 3];
        let length = if row % 10 == 0 {
            String::new()
        } else {
            format!("{}.5", row % 7)
        };
        text += &format!(
            "{row},{length},{},same,remark {row},{},{kind},{}.25\n",
            row % 2,
            row % 5,
            row % 11
        );
    }
    text
}

#[test]
fn a_table_of_ones_own_gets_a_recipe_that_fits() {
    let place = Place::new();
    place.write("My birds.csv", &table(90));
    // Numbers are predicted from numbers and words.
    place
        .mmhc(&["new", "weigh.mmh", "--data", "My birds.csv"])
        .ends(0);
    let text = place.read("weigh.mmh");
    for part in [
        "weight: f32 =",
        "source.Bill_Length_mm",
        "source._2007",
        "impute(median)",
        "Kind_of_bird: class[",
        "// Left out: id: it numbers the rows.",
        "// Left out: always: it is always the same.",
        "// Left out: remark: nearly every row has a word of its own.",
        "mse(predict, rows.weight)",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(
        !place.path("data").exists(),
        "the table is read where it is"
    );
    holds(&place, "weigh.mmh");
    // Words are told apart; the table is copied into the folder that is made.
    place
        .mmhc(&[
            "new",
            "birds",
            "--data",
            "My birds.csv",
            "--target",
            "Kind of bird",
        ])
        .ends(0);
    let text = place.read("birds/birds.mmh");
    assert!(
        text.contains("split = stratified(by = Kind_of_bird") && text.contains("cross_entropy"),
        "{text}"
    );
    assert_eq!(place.read("birds/data/My birds.csv"), table(90));
    holds(&place, "birds/birds.mmh");
    for (arguments, says) in [
        (
            vec!["new", "a", "--data", "My birds.csv", "--target", "wight"],
            "did you mean `weight`?",
        ),
        (
            vec!["new", "a", "--data", "My birds.csv", "--target", "always"],
            "different values",
        ),
        (vec!["new", "a", "--data", "none.csv"], "no such file"),
    ] {
        let refused = place.mmhc(&arguments).ends(1);
        assert!(refused.err.contains(says), "{}", refused.err);
        assert!(!place.path("a").exists());
    }
    place.write("few.csv", "a,b\n1,2\n");
    assert!(
        place
            .mmhc(&["new", "a", "--data", "few.csv"])
            .ends(1)
            .err
            .contains("too few")
    );
}

#[test]
fn one_number_and_pictures_fit_too() {
    let place = Place::new();
    let mut text = String::from("x,y\n");
    (0..40).for_each(|row| text += &format!("{}.5,{}\n", row % 9, row % 2));
    place.write("xy.csv", &text);
    place.mmhc(&["new", "xy.mmh", "--data", "xy.csv"]).ends(0);
    holds(&place, "xy.mmh");
    let digits = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/data/digits.csv"
    );
    place.mmhc(&["new", "seen", "--data", digits]).ends(0);
    let text = place.read("seen/seen.mmh");
    assert!(
        text.contains("image: f32[channel = 1, height = 8, width = 8]") && text.contains("conv("),
        "{text}"
    );
    holds(&place, "seen/seen.mmh");
}

#[test]
fn the_documentation_is_one_page_and_replaces_only_itself() {
    let place = Place::new();
    assert_eq!(place.mmhc(&["doc"]).ends(0).out, "mmh.html\n");
    assert_eq!(
        place.mmhc(&["doc", "points.mmh"]).ends(0).out,
        "points.html\n"
    );
    let page = place.read("points.html");
    for part in [
        "<title>points.mmh</title>",
        "60 rows",
        "9 parameters",
        "Ba, Kiros &amp; Hinton 2016",
        "id=\"search\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    place.mmhc(&["doc", "points.mmh"]).ends(0);
    place.write("mine.html", "mine");
    let refused = place.mmhc(&["doc", "--out", "mine.html"]).ends(1);
    assert!(refused.err.contains("file::exists"), "{}", refused.err);
    assert_eq!(place.read("mine.html"), "mine");
    assert_eq!(
        place.mmhc(&["doc", "points.mmh", "--out", "-"]).ends(0).out,
        page
    );
    // What is written in a recipe is text on the page, whatever it is.
    let bad = place
        .read("points.mmh")
        .replace("// Three heaps", "// <script>alert(1)</script> heaps");
    place.write("bad.mmh", &bad);
    let page = place.mmhc(&["doc", "bad.mmh", "--out", "-"]).ends(0).out;
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"));
    place.write("wrong.mmh", "mmh 1\nlet a = b\n");
    place.mmhc(&["doc", "wrong.mmh"]).ends(1);
    assert!(!place.path("wrong.html").exists());
}
