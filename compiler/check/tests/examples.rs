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
