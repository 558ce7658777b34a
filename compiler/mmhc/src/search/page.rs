//! The study's part of `study/report.html`: drawn as SVG, without scripts or links, every text escaped.

use super::Searched;
use super::show::words;
use mmh_search::{Direction, Domain, Outcome, Setting, Status};
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const EDGE: f64 = 36.0;

/// Trials in the table at most.
const MOST_ROWS: usize = 1000;

/// The page of the best trial with the study ahead of it.
pub(crate) fn with_study(report: &str, searched: &Searched<'_>, best: usize) -> String {
    let part = study(searched, best);
    match report.find("<body>") {
        Some(at) => {
            let (head, rest) = report.split_at(at + "<body>".len());
            format!("{head}{part}{rest}")
        }
        None => part,
    }
}

/// Text as it may stand in HTML, attributes included.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

fn study(searched: &Searched<'_>, best: usize) -> String {
    let study = &searched.study;
    let mut page = format!(
        "<section id=\"study\"><h1>{}</h1><p>{} trials; the best is trial {}. <code>{}</code></p>",
        escape(&searched.search.name),
        study.trials().len(),
        best + 1,
        escape(&study.hash())
    );
    history(&mut page, searched);
    curves(&mut page, searched, best);
    parallel(&mut page, searched, best);
    importance(&mut page, searched);
    table(&mut page, searched);
    page.push_str("</section>");
    page
}

/// A range with its ends apart.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let finite = values.filter(|value| value.is_finite());
        finite.fold(None, |range: Option<Self>, value| {
            let range = range.unwrap_or(Self {
                low: value,
                high: value,
            });
            Some(Self {
                low: range.low.min(value),
                high: range.high.max(value),
            })
        })
    }

    /// From the best value to where nine tenths are inside: a few hopeless trials would hide the others.
    fn most(values: impl Iterator<Item = f64>, direction: Direction) -> Option<Self> {
        let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let (low, high) = match direction {
            Direction::Maximise => (last / 10, last),
            Direction::Minimise => (0, last - last / 10),
        };
        let (low, high) = (*sorted.get(low)?, *sorted.get(high)?);
        Some(Self { low, high })
    }

    /// Where a value lies, from 0 to 1; what is outside lies at the edge.
    fn place(self, value: f64) -> f64 {
        self.whole_place(value).clamp(0.0, 1.0)
    }

    fn whole_place(self, value: f64) -> f64 {
        if self.high > self.low {
            (value - self.low) / (self.high - self.low)
        } else {
            0.5
        }
    }
}

fn across(share: f64) -> f64 {
    EDGE + share * (WIDTH - 2.0 * EDGE)
}

fn up(share: f64) -> f64 {
    HEIGHT - EDGE - share * (HEIGHT - 2.0 * EDGE)
}

fn open(page: &mut String, id: &str, title: &str) {
    let _ = write!(
        page,
        "<h2>{title}</h2><svg id=\"{id}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
}

fn label(page: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escape(text);
    let _ = write!(
        page,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"12\" fill=\"currentColor\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// A dot a trial, and the best so far.
fn history(page: &mut String, searched: &Searched<'_>) {
    let study = &searched.study;
    let values: Vec<Option<(usize, f64)>> = (0..study.trials().len())
        .map(|trial| study.last_value(trial))
        .collect();
    let all = values.iter().flatten().map(|(_, value)| *value);
    let Some(range) = Range::most(all, study.spec().direction) else {
        return;
    };
    let last = (values.len().max(2) - 1) as f64;
    open(page, "history", "Optimisation history");
    label(
        page,
        EDGE,
        20.0,
        "start",
        &format!("{} to {}", shown(range.low), shown(range.high)),
    );
    label(page, EDGE, HEIGHT - 12.0, "start", "trial 1");
    label(
        page,
        WIDTH - EDGE,
        HEIGHT - 12.0,
        "end",
        &format!("trial {}", values.len()),
    );
    let mut line = String::new();
    let (mut best, mut furthest): (Option<f64>, usize) = (None, 0);
    for (trial, value) in values.iter().enumerate() {
        let x = across(trial as f64 / last);
        if let Some((rung, value)) = value
            && value.is_finite()
        {
            let whole = study.status(trial) == Status::Finished;
            let (colour, title) = if whole {
                ("#2563eb", "finished")
            } else {
                ("#9ca3af", "stopped")
            };
            let _ = write!(
                page,
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>trial {}, {title}: {}</title></circle>",
                up(range.place(*value)),
                trial + 1,
                shown(*value)
            );
            let better = best.is_none_or(|best| match study.spec().direction {
                Direction::Maximise => *value > best,
                Direction::Minimise => *value < best,
            });
            if *rung > furthest || (*rung == furthest && better) {
                (best, furthest) = (Some(*value), *rung);
            }
        }
        if let Some(best) = best {
            let _ = write!(line, "{x:.1},{:.1} ", up(range.place(best)));
        }
    }
    let _ = write!(
        page,
        "<polyline fill=\"none\" stroke=\"#dc2626\" stroke-width=\"2\" points=\"{line}\"/></svg>"
    );
    page.push_str("<p>Blue: went to the end. Grey: stopped at a rung. Red: the best of those that came furthest. What is far worse than most lies at the edge.</p>");
}

/// The watched figure of each trial by steps.
fn curves(page: &mut String, searched: &Searched<'_>, best: usize) {
    let points = || searched.curves.values().flatten();
    let (Some(steps), Some(values)) = (
        Range::of(points().map(|(step, _)| *step as f64)),
        Range::most(
            points().map(|(_, value)| *value),
            searched.study.spec().direction,
        ),
    ) else {
        return;
    };
    open(page, "curves", "Learning curves");
    label(
        page,
        EDGE,
        20.0,
        "start",
        &format!("{} to {}", shown(values.low), shown(values.high)),
    );
    label(
        page,
        EDGE,
        HEIGHT - 12.0,
        "start",
        &format!("step {}", steps.low),
    );
    label(
        page,
        WIDTH - EDGE,
        HEIGHT - 12.0,
        "end",
        &format!("step {}", steps.high),
    );
    let order = searched.curves.iter().filter(|(trial, _)| **trial != best);
    for (trial, curve) in order.chain(searched.curves.get_key_value(&best)) {
        let mut line = String::new();
        for (step, value) in curve.iter().filter(|(_, value)| value.is_finite()) {
            let _ = write!(
                line,
                "{:.1},{:.1} ",
                across(steps.place(*step as f64)),
                up(values.place(*value))
            );
        }
        let (colour, width) = match searched.study.status(*trial) {
            _ if *trial == best => ("#dc2626", 2.5),
            Status::Finished => ("#2563eb", 1.0),
            _ => ("#9ca3af", 1.0),
        };
        let _ = write!(
            page,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" points=\"{line}\"><title>trial {}</title></polyline>",
            trial + 1
        );
    }
    page.push_str("</svg><p>Red: the best. Blue: went to the end. Grey: stopped.</p>");
}

/// Where a setting lies on its axis, from 0 to 1.
fn height(domain: Domain, setting: Setting) -> f64 {
    domain.coordinate(setting).clamp(0.0, 1.0)
}

fn parallel(page: &mut String, searched: &Searched<'_>, best: usize) {
    let study = &searched.study;
    let space = &study.spec().space;
    let values = (0..study.trials().len()).filter_map(|trial| study.last_value(trial));
    let Some(range) = Range::most(values.map(|(_, value)| value), study.spec().direction) else {
        return;
    };
    let axes = space.sites.len() as f64;
    open(page, "parallel", "Parallel coordinates");
    for (axis, site) in space.sites.iter().enumerate() {
        let x = across(axis as f64 / axes);
        axis_line(page, x, "middle", &site.name);
    }
    axis_line(
        page,
        across(1.0),
        "end",
        &format!("{} .. {}", shown(range.low), shown(range.high)),
    );
    let others = (0..study.trials().len()).filter(|trial| *trial != best);
    for trial in others.chain([best]) {
        let Some((_, value)) = study
            .last_value(trial)
            .filter(|(_, value)| value.is_finite())
        else {
            continue;
        };
        let Some(found) = study.trials().get(trial) else {
            continue;
        };
        let mut line = String::new();
        for (axis, (site, setting)) in space.sites.iter().zip(&found.point).enumerate() {
            if let Some(setting) = setting {
                let x = across(axis as f64 / axes);
                let _ = write!(line, "{x:.1},{:.1} ", up(height(site.domain, *setting)));
            }
        }
        let _ = write!(line, "{:.1},{:.1}", across(1.0), up(range.place(value)));
        let (colour, opacity) = if trial == best {
            ("#dc2626", 1.0)
        } else {
            ("#2563eb", 0.35)
        };
        let _ = write!(
            page,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"{opacity}\" points=\"{line}\"><title>trial {}</title></polyline>",
            trial + 1
        );
    }
    page.push_str("</svg>");
}

fn axis_line(page: &mut String, x: f64, anchor: &str, name: &str) {
    let (top, bottom) = (up(1.0), up(0.0));
    let _ = write!(
        page,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"currentColor\" stroke-opacity=\"0.4\"/>"
    );
    label(page, x, 20.0, anchor, name);
}

/// How much of the figures' variance the bins of one setting explain: η², of trials that came equally far.
fn explained(searched: &Searched<'_>, site: usize) -> f64 {
    const BINS: usize = 4;
    let study = &searched.study;
    let reached: Vec<(usize, usize, f64)> = (0..study.trials().len())
        .filter_map(|trial| {
            study
                .last_value(trial)
                .map(|(rung, value)| (trial, rung, value))
        })
        .filter(|(_, _, value)| value.is_finite())
        .collect();
    // The first figure of each: all trials have one for the same length.
    let first: Vec<(usize, f64)> = reached
        .iter()
        .filter_map(|(trial, ..)| {
            let outcome = study
                .trials()
                .get(*trial)?
                .results
                .iter()
                .flatten()
                .next()?;
            match outcome {
                Outcome::Value(value) if value.is_finite() => Some((*trial, *value)),
                _ => None,
            }
        })
        .collect();
    // By rank, so that a few hopeless trials do not decide.
    let mut order: Vec<usize> = (0..first.len()).collect();
    let value = |index: usize| first.get(index).map_or(0.0, |it| it.1);
    order.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
    let Some(domain) = study.spec().space.sites.get(site).map(|site| site.domain) else {
        return 0.0;
    };
    let mut bins: Vec<(f64, f64)> =
        vec![(0.0, 0.0); BINS.max(if let Domain::Choice(n) = domain { n } else { 0 })];
    let count = bins.len();
    let (mut sum, mut squares, mut all) = (0.0, 0.0, 0.0);
    for (rank, index) in order.iter().enumerate() {
        let Some((trial, _)) = first.get(*index) else {
            continue;
        };
        let setting = study
            .trials()
            .get(*trial)
            .and_then(|it| it.point.get(site).copied().flatten());
        let Some(setting) = setting else { continue };
        let bin = ((height(domain, setting) * count as f64) as usize).min(count - 1);
        let rank = rank as f64;
        if let Some(bin) = bins.get_mut(bin) {
            *bin = (bin.0 + rank, bin.1 + 1.0);
        }
        (sum, squares, all) = (sum + rank, squares + rank * rank, all + 1.0);
    }
    let total = squares - sum * sum / f64::max(all, 1.0);
    let between: f64 = bins
        .iter()
        .filter(|bin| bin.1 > 0.0)
        .map(|bin| bin.0 * bin.0 / bin.1)
        .sum();
    if total > 0.0 {
        ((between - sum * sum / all) / total).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

fn importance(page: &mut String, searched: &Searched<'_>) {
    let sites = &searched.study.spec().space.sites;
    let mut shares: Vec<(f64, &str)> = sites
        .iter()
        .enumerate()
        .map(|(index, site)| (explained(searched, index), site.name.as_str()))
        .collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    page.push_str(
        "<h2>Importance</h2><p>Share of the variance of ranks, at the first rung, that each setting explains alone.</p><table id=\"importance\">",
    );
    for (share, name) in shares {
        let _ = write!(
            page,
            "<tr><th>{}</th><td class=\"n\">{:.0} %</td><td><svg viewBox=\"0 0 100 6\" style=\"width:12rem;border:0\"><rect width=\"{:.1}\" height=\"6\" fill=\"#2563eb\"/></svg></td></tr>",
            escape(name),
            share * 100.0,
            share * 100.0
        );
    }
    page.push_str("</table>");
}

fn table(page: &mut String, searched: &Searched<'_>) {
    let study = &searched.study;
    page.push_str(
        "<h2>Trials</h2><table id=\"trials\"><tr><th>trial</th><th>state</th><th>figure</th>",
    );
    for site in &study.spec().space.sites {
        let _ = write!(page, "<th>{}</th>", escape(&site.name));
    }
    page.push_str("</tr>");
    for (number, trial) in study.trials().iter().enumerate().take(MOST_ROWS) {
        let state = match study.status(number) {
            Status::Running => "running",
            Status::Finished => "finished",
            Status::Stopped => "stopped",
            Status::Diverged => "diverged",
            Status::Infeasible => "infeasible",
        };
        let figure = trial
            .results
            .iter()
            .flatten()
            .last()
            .map_or(String::new(), |outcome| words(*outcome));
        let _ = write!(
            page,
            "<tr><td class=\"n\">{}</td><td>{state}</td><td>{}</td>",
            number + 1,
            escape(&figure)
        );
        let settings = searched.settings.get(number);
        for site in &study.spec().space.sites {
            let text = settings
                .and_then(|it| it.get(&site.name))
                .and_then(|it| it.as_str())
                .unwrap_or("–");
            let _ = write!(page, "<td>{}</td>", escape(text));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
}

/// A number to six significant digits or so.
fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        format!("{value:.4e}")
    } else {
        format!("{value:.5}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_study_stands_ahead_of_the_run() {
        assert_eq!(
            escape("<a href='x'>&\""),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
        let range = Range::of([f64::NAN, 2.0, 4.0].into_iter()).expect("numbers");
        assert_eq!(
            (range.place(2.0), range.place(3.0), range.place(4.0)),
            (0.0, 0.5, 1.0)
        );
    }
}
