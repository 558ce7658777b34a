//! Whatever stands in a recipe, checking ends with diagnostics and never panics; what checks builds well-formed graphs.

mod common;

use common::Folder;
use mmh_check::check;
use mmh_check::recipe::Purpose;

fn text(name: &str) -> String {
    let path = format!("{}/../../examples/{name}.mmh", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

const PIECES: &[&str] = &[
    "0",
    "7",
    "-1",
    "1e999",
    "99999999999999999999",
    "batch",
    "class",
    "channel",
    "x",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "=",
    "~",
    "..",
    "...",
    "|>",
    "/ 0",
    "//",
    "% 3",
    "\"",
    "deg",
    "epochs",
    " 0 epochs",
    "steps",
    "%",
    "like x",
    "relu",
    "conv",
    "norm",
    "repeat(3, residual)",
    "param",
    "net",
    "fit",
    "digits",
    "source",
    "rows",
    "if true { 1 } else { 2 }",
    "true",
    "not",
    "inf",
    "training",
    "random(0 .. 1)",
    "softmax(over = class)",
    ", over = height",
    "mean",
    "choice()",
    "int(1 .. 3)",
    "@key \"a\"",
    "train",
    "let a = a\n",
];

fn mutant(text: &str, numbers: &mut Numbers) -> String {
    let words: Vec<&str> = text
        .split_inclusive(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let mut words: Vec<String> = words.into_iter().map(str::to_string).collect();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(words.len());
        match numbers.below(4) {
            0 => {
                words.remove(at);
            }
            1 => words.insert(at, format!(" {} ", PIECES[numbers.below(PIECES.len())])),
            2 => words[at] = format!(" {} ", PIECES[numbers.below(PIECES.len())]),
            _ => {
                let other = numbers.below(words.len());
                words.swap(at, other);
            }
        }
    }
    words.concat()
}

#[test]
fn mutants_never_panic() {
    let mut numbers = Numbers(7);
    let mut accepted = 0;
    for name in ["digits", "tabular", "chars", "mnist"] {
        let original = text(name);
        let mut world = Folder::examples("");
        for _ in 0..120 {
            let mutant = mutant(&original, &mut numbers);
            world.rewrite(&mutant);
            let checked = check(&world, "main.mmh", &[]);
            let Some(recipe) = checked.recipe else {
                assert!(
                    checked
                        .diagnostics
                        .iter()
                        .any(mmh_diag::Diagnostic::is_error),
                    "refused without a reason:\n{mutant}"
                );
                continue;
            };
            accepted += 1;
            for (number, train) in recipe.declarations.trainings.iter().enumerate() {
                match recipe.forward(number, Purpose::Step, train.batch.min(8)) {
                    Ok(forward) => assert_eq!(
                        forward.graph.verify().map_err(|e| e.to_string()),
                        Ok(()),
                        "{mutant}"
                    ),
                    Err(said) => assert!(!said.is_empty(), "{mutant}"),
                }
            }
        }
    }
    assert!(
        accepted > 20,
        "{accepted} accepted: the mutants are too wild to test anything"
    );
}

fn paths(text: &str) -> Vec<String> {
    let checked = check(&Folder::examples(text), "main.mmh", &[]);
    let recipe = checked
        .recipe
        .unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let forward = recipe.forward(0, Purpose::Step, 4).unwrap();
    forward
        .state
        .into_iter()
        .map(|s| s.path)
        .chain(forward.sites)
        .collect()
}

#[test]
fn a_layer_added_elsewhere_keeps_the_other_paths() {
    let digits = text("digits");
    let before = paths(&digits);
    let deeper = paths(&digits.replace("let depth = 2", "let depth = 3"));
    assert!(
        before.iter().all(|p| deeper.contains(p)),
        "another depth renames parameters"
    );
    let headed = paths(&digits.replace(
        "|> linear(class = 10)",
        "|> linear(hidden = 20) |> relu |> linear(class = 10)",
    ));
    assert!(
        before
            .iter()
            .filter(|p| !p.contains("linear"))
            .all(|p| headed.contains(p))
    );
}

#[test]
fn a_layer_with_a_key_shifts_no_other() {
    let digits = text("digits");
    let before = paths(&digits);
    let keyed = "|> @key \"hidden\" linear(hidden = 20) |> relu |> linear(class = 10)";
    let after = paths(&digits.replace("|> linear(class = 10)", keyed));
    assert!(before.iter().all(|p| after.contains(p)), "{after:?}");
    assert!(
        after.contains(&"net.hidden.weight".to_string()),
        "{after:?}"
    );
}

#[test]
fn overrides_replace_values_and_name_what_they_do_not_find() {
    let world = Folder::examples(&text("digits"));
    let set = |path: &str, value: &str| check(&world, "main.mmh", &[(path.into(), value.into())]);
    let fit =
        |checked: mmh_check::Checked| checked.recipe.unwrap().declarations.trainings[0].clone();
    assert_eq!(fit(set("fit.length", "3 epochs")).steps, 60);
    assert_eq!(fit(set("depth", "1")).steps, 600);
    assert_eq!(set("seed", "5").recipe.unwrap().declarations.seed[0], 5);
    let rate = fit(set("fit.optimize.lr", "0.5")).optimisers[0]
        .group
        .clone();
    assert!(matches!(rate, mmh_ir::plan::OptimiserGroup::Adam { lr, .. } if lr == 0.5));
    // A setting that a training may have, and this one does not.
    let narrow = fit(set("fit.precision", "bf16"));
    assert_eq!(narrow.precision, mmh_ir::plan::Precision::Bf16);
    assert_eq!(fit(set("fit.length", "3 epochs")).precision.name(), "f32");
    assert!(set("fit.precision", "fp8").recipe.is_none());
    let unknown = set("fit.lenght", "3 epochs");
    assert!(unknown.recipe.is_none());
    assert_eq!(
        unknown.diagnostics[0].help.as_deref(),
        Some("did you mean `fit.length`?")
    );
}

#[test]
fn a_file_that_is_used_lends_names_and_runs_nothing() {
    let text = r#"
mmh 1
seed 3
use "digits.mmh" { digits, net, gentle }

train short {
  rows     = digits.train |> map(image = gentle) |> shuffle |> batch(100)
  loss     = cross_entropy(net(rows.image), rows.label)
  optimize = sgd(lr = 0.1)
  length   = 10 steps
}
"#;
    let checked = check(&Folder::examples(text.trim_start()), "main.mmh", &[]);
    let recipe = checked
        .recipe
        .unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let names: Vec<&str> = recipe
        .declarations
        .trainings
        .iter()
        .map(|t| t.name.as_str())
        .collect();
    assert_eq!(names, ["short"]);
    assert!(recipe.declarations.evaluations.is_empty());
    recipe
        .forward(0, Purpose::Step, 100)
        .unwrap()
        .graph
        .verify()
        .unwrap();
}

#[test]
fn long_chains_and_deep_nests_end() {
    let long = format!(
        "mmh 1\nblock f(x: f32[batch, feature]) -> like x {{\n  x{}\n}}\n",
        " |> relu".repeat(3000)
    );
    let deep = format!("mmh 1\nlet a = {}1{}\n", "(".repeat(2000), ")".repeat(2000));
    let sum = format!("mmh 1\nlet a = 1{}\n", " + 1".repeat(5000));
    let repeats = "mmh 1\nseed 1\nblock a(x: f32[batch]) -> like x { x |> repeat(4000, relu) }\nblock b(x: f32[batch]) -> like x { x |> repeat(4000, a) }\nblock c(x: f32[batch]) -> like x { x |> repeat(4000, b) }\n";
    for text in [long.as_str(), &deep, &sum, repeats] {
        let checked = check(&Folder::examples(text), "main.mmh", &[]);
        assert!(
            checked.diagnostics.len() < 3,
            "{:?}",
            checked.diagnostics.first()
        );
    }
}
