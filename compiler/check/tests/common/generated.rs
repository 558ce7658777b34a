//! A recipe of any length, for benchmarks and limits: blocks, models, augmentations, values, trainings and evaluations over
//! the digits, written the way the formatter leaves them.
#![allow(dead_code, reason = "shared by test binaries that each use a part")]

use std::fmt::Write as _;

/// A recipe that checks, of `lines` lines or a few more.
pub(crate) fn recipe(lines: usize) -> String {
    let mut text = HEAD.to_owned();
    let mut at = 0;
    let mut count = text.lines().count();
    while count < lines {
        let part = part(at);
        count += part.lines().count();
        text.push_str(&part);
        at += 1;
    }
    text
}

const HEAD: &str = r#"// A recipe made by a program, to see how long large ones take.
mmh 1

seed 20260101

let depth = 2

data digits {
  source = csv("data/digits.csv")
  image: f32[channel = 1, height = 8, width = 8] = source.pixels / 16
  label: class[10] = source.digit
  split  = stratified(by = label, train = 70%, valid = 15%, test = 15%)
}
"#;

/// One part of a recipe: mostly blocks, at times a model with its training.
fn part(at: usize) -> String {
    let mut out = String::new();
    let wide = 8 + 8 * (at % 4);
    if at % 8 < 7 {
        let _ = write!(
            out,
            r#"
/// Keeps every axis, so it can be repeated; number {at}.
block residual_{at}(x: f32[batch, channel, height, width], rate: float = 0.1) -> like x {{
  let y = x |> conv(channel, kernel = 3) |> norm |> relu
            |> conv(channel, kernel = 3) |> norm
  let gate = x |> mean(over = [height, width]) |> linear(channel = channel) |> sigmoid
  let z = y * gate + x * (1 - rate) // the gate weighs every channel
  relu(x + z) |> dropout(rate)
}}
"#
        );
        return out;
    }
    let _ = write!(
        out,
        r#"
augment gentle_{at}(image: f32[channel, height, width]) -> like image {{
  image |> rotate(-12deg .. 12deg) |> shift(-1px .. 1px) |> jitter(std = 0.03)
}}

model net_{at}(image: f32[batch, channel = 1, height = 8, width = 8]) -> f32[batch, class = 10] {{
  image
    |> conv({wide}, kernel = 3) |> norm |> relu
    |> repeat(depth, residual_{a})
    |> conv(2 * {wide}, kernel = 3, stride = 2) |> norm |> relu
    |> repeat(depth, residual_{b})
    |> mean(over = [height, width])
    |> dropout(0.1 ~ uniform(0.0 .. 0.4))
    |> linear(class = 10)
}}

train fit_{at} {{
  rows     = digits.train |> map(image = gentle_{at}) |> shuffle |> batch(64)
  predict  = net_{at}(rows.image)
  loss     = cross_entropy(predict, rows.label)
  optimize = adamw(lr = 3e-3 ~ log(3e-4 .. 3e-2), decay = 1e-2)
  schedule = [warmup(2 epochs), cosine(28 epochs)]
  length   = 30 epochs
  watch    = accuracy(predict, rows.label, on = digits.valid)
}}

evaluate final_{at} {{
  model   = fit_{at}.best
  rows    = digits.test
  metrics = [accuracy, confusion]
}}
"#,
        a = at - 1,
        b = at - 2,
    );
    out
}
