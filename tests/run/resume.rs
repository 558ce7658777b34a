//! A run that is killed, and gone on with, ends as one that was left in peace.

use crate::support::{Place, examples};
use std::time::{Duration, Instant};

/// Digits, shortened to about a second; a checkpoint is saved every epoch.
fn run_digits(place: &Place, out: &str, more: &[&str]) -> std::process::Command {
    let recipe = examples().join("digits.mmh");
    let recipe = recipe.to_str().expect("a path in UTF-8");
    let shape = ["--limit", "70 steps", "--set", "wide=8", "--set", "depth=1"];
    place.command(&[&["run", recipe, "--out", out], &shape[..], more].concat())
}

/// Results that hold no time and no machine.
fn lasting(place: &Place, out: &str) -> [Vec<u8>; 2] {
    ["model.safetensors", "metrics.json"].map(|name| place.read(&format!("{out}/{name}")))
}

/// Moments spread over `[0, 1)`, in no order.
fn moments() -> impl Iterator<Item = f64> {
    let golden_ratio = 0.618_033_988_749_894_9;
    (1..).map(move |n| (f64::from(n) * golden_ratio) % 1.0)
}

const KILLS: u32 = 24;

#[cfg(unix)]
#[test]
fn killed_at_many_moments_the_model_is_the_same() {
    use std::os::unix::process::ExitStatusExt;
    let place = Place::new();
    let began = Instant::now();
    assert!(
        run_digits(&place, "whole", &[])
            .status()
            .expect("it runs")
            .success()
    );
    let whole = began.elapsed();
    let wanted = lasting(&place, "whole");

    let (mut kills, mut rounds) = (0, 0);
    let mut moments = moments();
    while kills < KILLS {
        rounds += 1;
        assert!(
            rounds < 100,
            "{kills} of {rounds} runs were killed before their end"
        );
        let out = format!("killed-{rounds}");
        // The number of threads may change on the way. The fourth go is left in peace.
        let goes: [&[&str]; 4] = [
            &["--threads", "1"],
            &["--threads", "5"],
            &["--threads", "3"],
            &["--threads", "2"],
        ];
        for (go, options) in goes.into_iter().enumerate() {
            let mut child = run_digits(&place, &out, &[&["--resume"], options].concat())
                .spawn()
                .expect("it starts");
            if go < 3 {
                let share = moments.next().expect("there are more");
                std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
                let _ = child.kill();
            }
            let status = child.wait().expect("it ends");
            assert!(
                status.signal().is_some() || status.success(),
                "round {rounds}: {status}"
            );
            kills += u32::from(status.signal().is_some());
        }
        assert!(
            lasting(&place, &out) == wanted,
            "round {rounds}: another result"
        );
        mmh_runtime::audit::verify(&place.path(&out)).expect("the folder is whole");
    }
}

/// Rounded values are not in a checkpoint: they come again from what is.
#[cfg(unix)]
#[test]
fn in_bf16_a_killed_run_goes_on_and_comes_out_again() {
    let place = Place::new();
    let bf16 = ["--set", "fit.precision=bf16"];
    let run = |out: &str, more: &[&str]| run_digits(&place, out, &[&bf16[..], more].concat());
    let began = Instant::now();
    assert!(run("whole", &[]).status().expect("it runs").success());
    let whole = began.elapsed();
    assert!(
        run_digits(&place, "f32", &[])
            .status()
            .expect("it runs")
            .success()
    );
    assert_ne!(lasting(&place, "whole"), lasting(&place, "f32"));
    let mut kills = 0;
    for (round, share) in moments().enumerate().take(40) {
        let out = format!("killed-{round}");
        let mut child = run(&out, &["--threads", "1"]).spawn().expect("it starts");
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
        let _ = child.kill();
        kills += u32::from(!child.wait().expect("it ends").success());
        let more = ["--resume", "--threads", "3"];
        assert!(run(&out, &more).status().expect("it runs").success());
        assert!(lasting(&place, &out) == lasting(&place, "whole"));
        if kills == 6 {
            let data = examples();
            let data = ["--data", data.to_str().expect("a path in UTF-8")];
            for verb in [
                &["verify", "--replay", "--threads", "2"][..],
                &["replay", "--steps", "3..9"],
            ] {
                place.mmhc(&[verb, &[&out], &data].concat()).ends(0);
            }
            return;
        }
    }
    panic!("{kills} runs were killed before their end");
}

#[test]
fn a_finished_run_is_repeated_and_left_as_it_is() {
    let place = Place::new();
    for _ in 0..2 {
        assert!(
            run_digits(&place, "out", &["--resume"])
                .status()
                .expect("it runs")
                .success()
        );
    }
    let journal = place.read("out/journal");
    assert!(
        run_digits(&place, "out", &["--resume"])
            .status()
            .expect("it runs")
            .success()
    );
    assert_eq!(place.read("out/journal"), journal);
}
