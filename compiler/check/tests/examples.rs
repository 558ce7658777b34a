//! The examples check, and every graph of theirs is well formed.

mod common;

use common::{Folder, shown};
use mmh_check::recipe::Purpose;
use mmh_check::{Recipe, check};

fn example(name: &str) -> Recipe {
    let path = format!("{}/../../examples/{name}.mmh", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let checked = check(&Folder::examples(&text), "main.mmh", &[]);
    assert_eq!(shown(&checked), Vec::<String>::new(), "{name}");
    checked.recipe.unwrap()
}

fn every_graph(recipe: &Recipe) {
    for (number, train) in recipe.declarations.trainings.iter().enumerate() {
        for batch in [train.batch, 1, 7] {
            let mut purposes = vec![Purpose::Step, Purpose::Predict];
            purposes.extend(train.watch.as_ref().map(|_| Purpose::Watch));
            let mine = recipe
                .declarations
                .evaluations
                .iter()
                .enumerate()
                .filter(|(_, e)| e.training == number);
            purposes.extend(mine.map(|(n, _)| Purpose::Evaluate(n)));
            for purpose in purposes {
                let forward = recipe.forward(number, purpose, batch).unwrap();
                forward.graph.verify().unwrap();
                assert!(!forward.outputs.is_empty(), "{purpose:?}");
                if purpose != Purpose::Step {
                    assert!(
                        forward.sites.is_empty() && forward.updates.is_empty(),
                        "{purpose:?} draws or updates"
                    );
                }
            }
        }
    }
}

#[test]
fn digits() {
    let recipe = example("digits");
    let fit = &recipe.declarations.trainings[0];
    assert_eq!((fit.rows, fit.epoch_steps, fit.steps), (1259, 20, 600));
    every_graph(&recipe);
    let step = recipe.forward(0, Purpose::Step, 64).unwrap();
    let paths: Vec<&str> = step.state.iter().map(|s| s.path.as_str()).collect();
    assert!(
        paths.contains(&"net.conv1.weight")
            && paths.contains(&"net.repeat1.residual1.conv1.weight"),
        "{paths:?}"
    );
    assert_eq!(
        step.sites,
        [
            "gentle.rotate1.angle",
            "gentle.shift1.down",
            "gentle.shift1.across",
            "gentle.jitter1.noise",
            "net.dropout1"
        ]
    );
}

#[test]
fn tabular() {
    let recipe = example("tabular");
    assert_eq!(recipe.declarations.data[0].statistics.len(), 3);
    every_graph(&recipe);
}

#[test]
fn legacy() {
    let recipe = example("legacy");
    let fit = &recipe.declarations.trainings[0];
    assert_eq!((fit.rows, fit.epoch_steps, fit.steps), (8993, 71, 710));
    every_graph(&recipe);
}

#[test]
fn chars() {
    let recipe = example("chars");
    every_graph(&recipe);
    let step = recipe.forward(0, Purpose::Step, 16).unwrap();
    let paths: Vec<&str> = step.state.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(paths[0], "net.table");
    assert!(
        paths.contains(&"net.repeat1.layer1.attention1.query.weight"),
        "{paths:?}"
    );
}

#[test]
fn mnist() {
    let recipe = example("mnist");
    assert_eq!(recipe.declarations.trainings[0].rows, 54_000);
    every_graph(&recipe);
}

/// A recipe of `tests/recipes`.
fn recipe(name: &str) -> Recipe {
    let path = format!("{}/tests/recipes/{name}.mmh", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let checked = check(&Folder::examples(&text), "main.mmh", &[]);
    assert_eq!(shown(&checked), Vec::<String>::new(), "{name}");
    checked.recipe.unwrap()
}

#[test]
fn shapes_are_the_sizes_they_stand_for() {
    let (by_shape, by_size) = (recipe("shapes"), recipe("sizes"));
    every_graph(&by_shape);
    for purpose in [Purpose::Step, Purpose::Predict] {
        let graph = |recipe: &Recipe| {
            let forward = recipe.forward(0, purpose, 64).unwrap();
            let state: Vec<String> = forward.state.iter().map(|s| format!("{s:?}")).collect();
            let nodes = forward.graph.nodes.iter();
            let nodes = nodes.map(|node| format!("{:?} {:?} {:?}", node.op, node.inputs, node.ty));
            (nodes.collect::<Vec<_>>(), state, forward.sites)
        };
        assert_eq!(graph(&by_shape), graph(&by_size), "{purpose:?}");
    }
}

#[test]
fn both_sides_of_a_conflict_over_a_shape_are_shown() {
    let block = "block fold(x: f32[batch, feature], into: shape[row, column = row]) -> f32[batch, row, column] {
  x |> linear(shape = into, from = feature)
}
";
    let cases = [
        ("fold(3)", "3", "shape[row, column = row]"),
        ("fold([row = 3])", "[row = 3]", "shape[row, column = row]"),
        (
            "fold([row = 3, column = 4])",
            "[row = 3, column = 4]",
            "row",
        ),
        ("fold(picture)", "picture", "shape[row, column = row]"),
    ];
    for (call, here, there) in cases {
        let text = format!(
            "mmh 1\nlet picture = [height = 3]\n{block}block a(x: f32[batch, feature]) -> f32[batch, row = 3, column = 3] {{\n  x |> {call}\n}}\n"
        );
        let checked = check(&Folder::examples(&text), "main.mmh", &[]);
        let [found] = checked.diagnostics.as_slice() else {
            panic!("{call}: {:?}", shown(&checked));
        };
        let labels: Vec<&str> = found.labels.iter().map(|l| l.span.text(&text)).collect();
        assert_eq!(labels, [here, there], "{call}");
    }
}
