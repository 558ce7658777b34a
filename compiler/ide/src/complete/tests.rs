use super::*;
use crate::testing::{DIGITS, analyse, marked};

fn complete(text: &str) -> Vec<Completion> {
    let (text, at, _) = marked(text);
    analyse(&text).completions(at)
}

fn labels(text: &str) -> Vec<String> {
    complete(text).into_iter().map(|item| item.label).collect()
}

fn at(wanted: &str, with: &str) -> String {
    assert!(DIGITS.contains(wanted), "{wanted}");
    DIGITS.replacen(wanted, with, 1)
}

#[test]
fn settings_come_first_with_their_docs() {
    let found = complete(&at(
        "|> conv(wide, kernel = 3)",
        "|> conv(wide, /*cursor*/)",
    ));
    let names: Vec<&str> = found.iter().map(|item| item.label.as_str()).collect();
    assert_eq!(
        names.get(..3),
        Some(&["to", "kernel", "stride"][..]),
        "{names:?}"
    );
    assert_eq!(found[1].insert, "kernel = ");
    assert!(found[1].doc.contains("window") && found[1].detail == "kernel = 3");
    let found = labels(&at(
        "adamw(lr = 3e-3 ~ log(3e-4 .. 3e-2), decay",
        "adamw(lr = 1, d/*cursor*/",
    ));
    assert!(
        found.starts_with(&["betas".into(), "epsilon".into(), "decay".into()]),
        "{found:?}"
    );
    let found = labels(&at("|> down(to = 2 * wide)", "|> down(/*cursor*/"));
    assert_eq!(found.first().map(String::as_str), Some("to"));
}

#[test]
fn sections_offer_what_they_lack() {
    let found = labels(&at("  length   = 30 epochs\n", "  /*cursor*/\n"));
    assert!(
        found.contains(&"length".into()) && !found.contains(&"rows".into()),
        "{found:?}"
    );
    assert!(!found.contains(&"relu".into()));
}

#[test]
fn members_are_of_what_stands_before_the_dot() {
    let found = labels(&at("source.pixels / 16", "source./*cursor*/"));
    assert_eq!(found, ["pixels", "digit", "Bill_Length_mm", "y"]);
    let found = labels(&at("digits.train |> map", "digits./*cursor*/"));
    assert_eq!(found, ["train", "valid", "test", "image", "label"]);
    let found = labels(&at("net(rows.image)", "net(rows.im/*cursor*/)"));
    assert_eq!(found, ["image", "label"]);
    let found = labels(&at("= fit.best", "= fit./*cursor*/"));
    assert_eq!(found, ["best", "last", "watch"]);
}

#[test]
fn units_stand_behind_numbers() {
    for text in [
        at("30 epochs", "30 /*cursor*/"),
        at("12deg", "12d/*cursor*/"),
    ] {
        let found = labels(&text);
        assert!(
            found.contains(&"epochs".into()) && found.contains(&"deg".into()),
            "{found:?}"
        );
        assert!(!found.contains(&"relu".into()));
    }
}

#[test]
fn steps_axes_choices_types_and_keywords_have_their_places() {
    let found = labels(&at("|> linear(class = 10)", "|> /*cursor*/"));
    assert!(found.contains(&"residual".into()) && found.contains(&"linear".into()));
    assert!(!found.contains(&"digits".into()) && !found.contains(&"if".into()));
    let found = labels(&at("over = [height, width]", "over = [/*cursor*/]"));
    assert!(
        found.contains(&"height".into()) && !found.contains(&"relu".into()),
        "{found:?}"
    );
    let found = labels(&at(
        "adamw(lr = 3e-3 ~ log(3e-4 .. 3e-2), decay = 1e-2)",
        "/*cursor*/",
    ));
    assert_eq!(
        found.get(..3),
        Some(&["sgd".into(), "adam".into(), "adamw".into()][..])
    );
    let found = labels(&at("= 24 ~ choice(16, 24, 32, 48)", "= 24 ~ /*cursor*/"));
    assert_eq!(found, ["choice", "uniform", "log", "int", "bool"]);
    let found = labels(&at("to: int", "to: /*cursor*/"));
    assert!(found.contains(&"int".into()) && found.contains(&"like".into()));
    let found = labels(&format!("{DIGITS}\n/*cursor*/"));
    assert!(
        found.contains(&"train".into()) && !found.contains(&"relu".into()),
        "{found:?}"
    );
}

#[test]
fn what_is_in_scope_is_offered_nearest_first() {
    let found = labels(&at("relu(x + y)", "relu(x + /*cursor*/)"));
    let place = |name: &str| found.iter().position(|label| label == name).expect(name);
    assert!(place("y") < place("wide") && place("x") < place("wide"));
    assert!(place("residual") < place("layer_norm") && place("wide") < place("relu"));
}

#[test]
fn comments_and_texts_offer_nothing() {
    assert_eq!(labels(&at("// Keeps", "// Ke/*cursor*/eps")), [""; 0]);
    assert_eq!(labels(&at("data/digits", "data/*cursor*//digits")), [""; 0]);
}

#[test]
fn headers_are_written_as_names() {
    let found = labels(&at("source.pixels / 16", "source.Bill/*cursor*/"));
    assert!(found.contains(&"Bill_Length_mm".into()), "{found:?}");
}
