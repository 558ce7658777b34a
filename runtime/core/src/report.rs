//! `report.html`: one page without scripts or links, every text escaped.

use crate::chart::{EDGE, HEIGHT, Range, WIDTH, across, escape, label, line, open, shown, up};
use crate::checkpoint::Progress;
use crate::summary::RunSummary;
use mmh_ir::Plan;
use mmh_ir::plan::{OptimiserGroup, Training};
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;\
background:#fff}h1,h2{font-weight:600}table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .8rem .2rem 0;\
text-align:left;border-bottom:1px solid #ddd}td.n{text-align:right;font-variant-numeric:tabular-nums}code{word-break:break-all}\
svg{width:100%;height:auto;border:1px solid #ddd}@media(max-width:40rem){svg text{font-size:19px}}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}td,th,svg{border-color:#444}}";

/// The page of a finished run.
pub(crate) fn report(plan: &Plan, summary: &RunSummary, trained: &[Progress]) -> String {
    let mut page = String::new();
    let title = plan
        .trainings
        .iter()
        .map(|training| training.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let title = escape(&title);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>"
    );
    for (training, progress) in plan.trainings.iter().zip(trained) {
        write_training(&mut page, training, progress);
    }
    write_metrics(&mut page, summary);
    write_hashes(&mut page, summary);
    page.push_str("</body></html>\n");
    page
}

fn row(page: &mut String, name: &str, value: &str) {
    let _ = write!(
        page,
        "<tr><th>{}</th><td>{}</td></tr>",
        escape(name),
        escape(value)
    );
}

fn write_training(page: &mut String, training: &Training, progress: &Progress) {
    let parameters: usize = training
        .state
        .iter()
        .filter(|slot| slot.role == mmh_ir::plan::Role::Parameter)
        .map(|slot| slot.ty.shape.elements())
        .sum();
    let _ = write!(page, "<h2>{}</h2><table>", escape(&training.name));
    row(
        page,
        "steps",
        &format!("{} of {}", progress.step, training.steps),
    );
    row(page, "steps of an epoch", &training.epoch_steps.to_string());
    row(page, "rows of a step", &training.batch.to_string());
    row(page, "parameters", &parameters.to_string());
    for group in &training.groups {
        row(page, "optimiser", &optimiser(group));
    }
    if let Some(best) = &progress.watching.best {
        row(
            page,
            "best",
            &format!("{} after {} steps", shown(best.value), best.step),
        );
    }
    page.push_str("</table>");
    let epoch = training.epoch_steps as f64;
    let losses: Vec<(f64, f64)> = (1u32..)
        .zip(&progress.epochs)
        .map(|(n, loss)| (f64::from(n) * epoch, *loss))
        .collect();
    let measured: Vec<(f64, f64)> = progress
        .watching
        .measured
        .iter()
        .map(|at| (at.step as f64, at.value))
        .collect();
    let watched = training
        .watch
        .as_ref()
        .and_then(|watch| watch.evaluation.metrics.first());
    write_curve(page, "loss", &losses);
    write_curve(
        page,
        watched.map_or("watch", |metric| &metric.name),
        &measured,
    );
}

fn optimiser(group: &OptimiserGroup) -> String {
    match group {
        OptimiserGroup::Sgd {
            lr,
            momentum,
            nesterov,
            decay,
        } => {
            format!("sgd, lr {lr}, momentum {momentum}, nesterov {nesterov}, decay {decay}")
        }
        OptimiserGroup::Adam {
            lr,
            betas: [first, second],
            epsilon,
            decay,
            decoupled,
        } => {
            let name = if *decoupled { "adamw" } else { "adam" };
            format!("{name}, lr {lr}, betas {first} and {second}, epsilon {epsilon}, decay {decay}")
        }
    }
}

/// A line through finite points, with the range of both axes written beside it.
fn write_curve(page: &mut String, name: &str, points: &[(f64, f64)]) {
    let points: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|(_, y)| y.is_finite())
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return;
    };
    let (Some(steps), Some(values)) = (
        Range::of(points.iter().map(|it| it.0)),
        Range::of(points.iter().map(|it| it.1)),
    ) else {
        return;
    };
    open(page, "", &format!("{name} by step"));
    let ends = format!("{name}: {} to {}", shown(values.low), shown(values.high));
    label(page, EDGE, 20.0, "start", &ends);
    let bottom = HEIGHT - 12.0;
    label(page, EDGE, bottom, "start", &format!("step {}", first.0));
    label(
        page,
        WIDTH - EDGE,
        bottom,
        "end",
        &format!("step {}", last.0),
    );
    let places = points
        .iter()
        .map(|(x, y)| (across(steps.place(*x)), up(values.place(*y))));
    line(page, places, "stroke=\"#2563eb\" stroke-width=\"2\"", "");
    page.push_str("</svg>");
}

fn write_metrics(page: &mut String, summary: &RunSummary) {
    page.push_str("<h2>Metrics</h2><table>");
    let mut tables = Vec::new();
    for (section, parts) in &summary.metrics {
        for (part, metrics) in parts.as_object().into_iter().flatten() {
            for (name, value) in metrics.as_object().into_iter().flatten() {
                let title = format!("{section} · {part} · {name}");
                if value.is_object() {
                    tables.push((title, value));
                } else {
                    row(
                        page,
                        &title,
                        &value.as_f64().map_or_else(|| value.to_string(), shown),
                    );
                }
            }
        }
    }
    page.push_str("</table>");
    for (title, table) in tables {
        write_confusion(page, &title, table);
    }
}

fn write_confusion(page: &mut String, title: &str, table: &Value) {
    let list = |name: &str| {
        table
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let _ = write!(
        page,
        "<h2>{}</h2><p>Rows are labels, columns predictions.</p><table><tr><th></th>",
        escape(title)
    );
    let names: Vec<&str> = list("classes")
        .map(|name| name.as_str().unwrap_or_default())
        .collect();
    for name in &names {
        let _ = write!(page, "<th>{}</th>", escape(name));
    }
    page.push_str("</tr>");
    for (name, counts) in names.iter().zip(list("counts")) {
        let _ = write!(page, "<tr><th>{}</th>", escape(name));
        for count in counts.as_array().into_iter().flatten() {
            let _ = write!(page, "<td class=\"n\">{}</td>", count.as_u64().unwrap_or(0));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
}

fn write_hashes(page: &mut String, summary: &RunSummary) {
    page.push_str("<h2>Identity</h2><table>");
    for (name, value) in [
        ("model", &summary.model_hash),
        ("plan", &summary.plan_hash),
        ("recipe", &summary.recipe_hash),
        ("data", &summary.data_hash),
        ("seed", &summary.seed),
    ] {
        let _ = write!(
            page,
            "<tr><th>{name}</th><td><code>{}</code></td></tr>",
            escape(value)
        );
    }
    let device = format!(
        "{}, {}, {} threads, {:.1} s",
        summary.device, summary.isa, summary.threads, summary.seconds
    );
    row(page, "done by", &device);
    page.push_str("</table>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_text_is_escaped() {
        let bad = "<script>alert('x')</script>\"&";
        let mut page = String::new();
        write_confusion(
            &mut page,
            bad,
            &json!({ "classes": [bad], "counts": [[3]] }),
        );
        write_curve(&mut page, bad, &[(1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0)]);
        row(&mut page, bad, bad);
        assert!(!page.contains("<script") && !page.contains("'x'") && !page.contains("NaN"));
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    }
}
