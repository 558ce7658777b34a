//! The study's part of `study/report.html`: drawn as SVG, without scripts or links, every text escaped.

use super::Searched;
use super::show::{brief, words};
use mmh_runtime::chart::{
    EDGE, HEIGHT, Range, WIDTH, across, dot, escape, label, line, open, shown, up,
};
use mmh_search::{Direction, Domain, Objective, Outcome, Setting, Status};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Values of a choice that are written beside its axis at most.
const MOST_ALTERNATIVES: usize = 8;

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

fn study(searched: &Searched<'_>, best: usize) -> String {
    let study = &searched.study;
    let mut page = format!(
        "<section id=\"study\"><h1>{}</h1><p>{} trials; the best is trial {}. <code>{}</code></p>",
        escape(&searched.search.name),
        study.trials().len(),
        best + 1,
        escape(&study.hash())
    );
    fronts(&mut page, searched, best);
    history(&mut page, searched);
    curves(&mut page, searched, best);
    parallel(&mut page, searched, best);
    importance(&mut page, searched);
    table(&mut page, searched);
    page.push_str("</section>");
    page
}

/// From the best value to where nine tenths are inside: a few hopeless trials would hide the others.
fn most(values: impl Iterator<Item = f64>, direction: Direction) -> Option<Range> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let (low, high) = match direction {
        Direction::Maximise => (last / 10, last),
        Direction::Minimise => (0, last - last / 10),
    };
    let (low, high) = (*sorted.get(low)?, *sorted.get(high)?);
    Some(Range { low, high })
}

fn picture(page: &mut String, id: &str, title: &str) {
    let _ = write!(page, "<h2>{}</h2>", escape(title));
    open(page, id, title);
}

/// A figure as people know it: `watch` by the name of what is watched.
fn figure_name<'a>(searched: &'a Searched<'_>, number: usize) -> &'a str {
    let objectives = &searched.study.spec().objectives;
    objectives
        .get(number)
        .map_or("figure", |it| it.name.as_str())
}

/// A dot a trial, and the best so far.
fn history(page: &mut String, searched: &Searched<'_>) {
    let study = &searched.study;
    let direction = study.spec().direction();
    let values: Vec<Option<(usize, f64)>> = (0..study.trials().len())
        .map(|trial| study.last_value(trial))
        .collect();
    let all = values.iter().flatten().map(|(_, value)| *value);
    let Some(range) = most(all, direction) else {
        return;
    };
    let last = (values.len().max(2) - 1) as f64;
    let newest = format!("trial {}", values.len());
    picture(page, "history", "Optimisation history");
    frame(page, figure_name(searched, 0), range, ["trial 1", &newest]);
    let mut best_so_far = Vec::new();
    let (mut best, mut furthest): (Option<f64>, usize) = (None, 0);
    for (trial, value) in values.iter().enumerate() {
        let x = across(trial as f64 / last);
        if let Some((rung, value)) = value
            && value.is_finite()
        {
            let (colour, state) = match study.status(trial) {
                Status::Finished => (BLUE, "finished"),
                _ => (GREY, "stopped"),
            };
            let title = format!("trial {}, {state}: {}", trial + 1, shown(*value));
            dot(page, (x, up(range.place(*value))), 3.0, colour, &title);
            let better = best.is_none_or(|best| match direction {
                Direction::Maximise => *value > best,
                Direction::Minimise => *value < best,
            });
            if *rung > furthest || (*rung == furthest && better) {
                (best, furthest) = (Some(*value), *rung);
            }
        }
        best_so_far.extend(best.map(|best| (x, up(range.place(best)))));
    }
    line(
        page,
        best_so_far.into_iter(),
        &stroke(RED, 2.0),
        "the best so far",
    );
    page.push_str("</svg><p>Blue: went to the end. Grey: stopped at a rung. Red: the best of those that came furthest. What is far worse than most lies at the edge.</p>");
}

const RED: &str = "#dc2626";
const BLUE: &str = "#2563eb";
const GREY: &str = "#9ca3af";

fn stroke(colour: &str, width: f64) -> String {
    format!("stroke=\"{colour}\" stroke-width=\"{width}\"")
}

/// The range of what goes up, and both ends of what goes across.
fn frame(page: &mut String, name: &str, range: Range, [first, last]: [&str; 2]) {
    let range = format!("{name}: {} to {}", shown(range.low), shown(range.high));
    label(page, EDGE, 20.0, "start", &range);
    label(page, EDGE, HEIGHT - 12.0, "start", first);
    label(page, WIDTH - EDGE, HEIGHT - 12.0, "end", last);
}

/// The trials by two figures, those that no other one beats in red.
fn fronts(page: &mut String, searched: &Searched<'_>, best: usize) {
    let study = &searched.study;
    let objectives = &study.spec().objectives;
    let figures: Vec<(usize, Vec<f64>)> = (0..study.trials().len())
        .filter_map(|trial| Some((trial, study.figures(trial)?)))
        .filter(|(_, figures)| figures.iter().all(|figure| figure.is_finite()))
        .collect();
    let front = study.front();
    for second in 1..objectives.len() {
        let of = |number: usize| {
            let all = figures
                .iter()
                .filter_map(move |(_, it)| it.get(number).copied());
            objectives
                .get(number)
                .and_then(|it| most(all, it.direction))
        };
        let (Some(high), Some(wide)) = (of(0), of(second)) else {
            continue;
        };
        let name = figure_name(searched, second);
        let (title, id) = match objectives.len() {
            2 => ("Pareto front".to_owned(), "front".to_owned()),
            _ => (format!("Pareto front: {name}"), format!("front-{second}")),
        };
        let ends = [wide.low, wide.high].map(|end| format!("{name} {}", shown(end)));
        picture(page, &id, &title);
        let [from, to] = &ends;
        frame(page, figure_name(searched, 0), high, [from, to]);
        let is_front = |trial: usize| front.binary_search(&trial).is_ok();
        let order = figures.iter().filter(|(trial, _)| !is_front(*trial));
        for (trial, figures) in order.chain(figures.iter().filter(|(trial, _)| is_front(*trial))) {
            let (Some(y), Some(x)) = (figures.first(), figures.get(second)) else {
                continue;
            };
            let (colour, radius) = match (*trial == best, is_front(*trial)) {
                (true, _) => (RED, 6.0),
                (false, true) => (RED, 3.5),
                (false, false) => (GREY, 2.5),
            };
            let title = format!("trial {}: {}, {}", trial + 1, shown(*y), shown(*x));
            dot(
                page,
                (across(wide.place(*x)), up(high.place(*y))),
                radius,
                colour,
                &title,
            );
        }
        page.push_str("</svg>");
    }
    if objectives.len() > 1 {
        page.push_str("<p>Red: no other trial is as good in every figure and better in one. Large: the one that is kept, closest to the best of each figure. Grey: the others; what is far worse than most lies at the edge.</p>");
    }
}

/// The watched figure of each trial by steps.
fn curves(page: &mut String, searched: &Searched<'_>, best: usize) {
    let points = || searched.curves.values().flatten();
    let direction = match searched.watch_is_large {
        true => Direction::Maximise,
        false => Direction::Minimise,
    };
    let (Some(steps), Some(values)) = (
        Range::of(points().map(|(step, _)| *step as f64)),
        most(points().map(|(_, value)| *value), direction),
    ) else {
        return;
    };
    let ends = [steps.low, steps.high].map(|step| format!("step {step}"));
    let [from, to] = &ends;
    picture(page, "curves", "Learning curves");
    frame(page, "watch", values, [from, to]);
    let order = searched.curves.iter().filter(|(trial, _)| **trial != best);
    for (trial, curve) in order.chain(searched.curves.get_key_value(&best)) {
        let style = match searched.study.status(*trial) {
            _ if *trial == best => stroke(RED, 2.5),
            Status::Finished => stroke(BLUE, 1.0),
            _ => stroke(GREY, 1.0),
        };
        let finite = curve.iter().filter(|(_, value)| value.is_finite());
        let places = finite
            .map(|(step, value)| (across(steps.place(*step as f64)), up(values.place(*value))));
        line(page, places, &style, &format!("trial {}", trial + 1));
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
    let objectives = &study.spec().objectives;
    let figures = |trial: usize| match objectives.len() {
        1 => study.last_value(trial).map(|(_, value)| vec![value]),
        _ => study.figures(trial),
    };
    let all: Vec<(usize, Vec<f64>)> = (0..study.trials().len())
        .filter_map(|trial| Some((trial, figures(trial)?)))
        .filter(|(_, figures)| figures.iter().all(|figure| figure.is_finite()))
        .collect();
    let range = |(number, objective): (usize, &Objective)| {
        let values = all.iter().filter_map(|(_, it)| it.get(number).copied());
        most(values, objective.direction)
    };
    let ranges: Option<Vec<Range>> = objectives.iter().enumerate().map(range).collect();
    let Some(ranges) = ranges else { return };
    let last = (space.sites.len() + ranges.len() - 1).max(1) as f64;
    picture(page, "parallel", "Parallel coordinates");
    for (axis, site) in space.sites.iter().enumerate() {
        let anchor = if axis == 0 { "start" } else { "middle" };
        let x = across(axis as f64 / last);
        axis_line(page, x, anchor, axis, &site.name);
        let ends = match site.domain {
            Domain::Uniform { low, high } | Domain::Log { low, high } => {
                [low, high].map(brief_number)
            }
            Domain::Whole { low, high } => [low, high].map(|end| end.to_string()),
            Domain::Choice(_) => continue,
        };
        axis_ends(page, x, anchor, axis, &ends);
    }
    for (number, range) in ranges.iter().enumerate() {
        let axis = space.sites.len() + number;
        let anchor = if axis as f64 == last { "end" } else { "middle" };
        let x = across(axis as f64 / last);
        axis_line(page, x, anchor, axis, figure_name(searched, number));
        axis_ends(page, x, anchor, axis, &[range.low, range.high].map(short));
    }
    let others = all.iter().filter(|(trial, _)| *trial != best);
    for (trial, figures) in others.chain(all.iter().filter(|(trial, _)| *trial == best)) {
        let Some(found) = study.trials().get(*trial) else {
            continue;
        };
        let open = space.sites.iter().zip(&found.point).enumerate();
        let settings = open
            .filter_map(|(axis, (site, setting))| Some((axis, height(site.domain, (*setting)?))));
        let ends = ranges.iter().zip(figures).enumerate();
        let ends = ends
            .map(|(number, (range, figure))| (space.sites.len() + number, range.place(*figure)));
        let places = settings
            .chain(ends)
            .map(|(axis, share)| (across(axis as f64 / last), up(share)));
        let (colour, opacity) = match *trial == best {
            true => (RED, 1.0),
            false => (BLUE, 0.35),
        };
        let style = format!("stroke=\"{colour}\" stroke-opacity=\"{opacity}\"");
        line(page, places, &style, &format!("trial {}", trial + 1));
    }
    for axis in 0..space.sites.len() {
        alternatives(page, searched, axis, across(axis as f64 / last));
    }
    page.push_str("</svg>");
}

/// The values of a choice that were drawn, beside its axis and each at its height.
fn alternatives(page: &mut String, searched: &Searched<'_>, axis: usize, x: f64) {
    let Some(site) = searched.study.spec().space.sites.get(axis) else {
        return;
    };
    let mut drawn = BTreeMap::new();
    for (trial, settings) in searched.study.trials().iter().zip(&searched.settings) {
        let text = settings.get(&site.name).and_then(Value::as_str);
        if let (Some(Some(Setting::Choice(k))), Some(text)) = (trial.point.get(axis), text) {
            drawn.entry(*k).or_insert_with(|| brief(text));
        }
    }
    let every = drawn.len().div_ceil(MOST_ALTERNATIVES).max(1);
    for (k, text) in drawn.into_iter().step_by(every) {
        let text = match text.char_indices().nth(12) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        };
        let y = up(height(site.domain, Setting::Choice(k))) - 4.0;
        label(page, x + 4.0, y, "start", &text);
    }
}

/// What both ends of an axis are, of neighbours at two heights as well.
fn axis_ends(page: &mut String, x: f64, anchor: &str, axis: usize, [low, high]: &[String; 2]) {
    let y = HEIGHT - if axis.is_multiple_of(2) { 6.0 } else { 21.0 };
    label(page, x, y, anchor, &format!("{low} … {high}"));
}

/// A figure where there is little room.
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size.fract() == 0.0 && size < 1e5 => figure.to_string(),
        size if (1e-2..1e5).contains(&size) => format!("{figure:.3}"),
        _ => format!("{figure:.1e}"),
    }
}

fn brief_number(number: f64) -> String {
    brief(&number.to_string())
}

/// An axis with its name; names of neighbours stand at two heights.
fn axis_line(page: &mut String, x: f64, anchor: &str, axis: usize, name: &str) {
    let (top, bottom) = (up(1.0), up(0.0));
    let _ = write!(
        page,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"currentColor\" stroke-opacity=\"0.4\"/>"
    );
    let y = if axis.is_multiple_of(2) { 14.0 } else { 29.0 };
    label(page, x, y, anchor, name);
}

/// The first figure of each trial, by rank so that a few hopeless trials do not decide: all trials have one for the same length.
fn ranks(searched: &Searched<'_>) -> Vec<usize> {
    let first = |trial: usize| {
        let results = &searched.study.trials().get(trial)?.results;
        match results.iter().flatten().next()? {
            Outcome::Value(value) if value.is_finite() => Some((*value, trial)),
            _ => None,
        }
    };
    let mut order: Vec<(f64, usize)> = (0..searched.study.trials().len())
        .filter_map(first)
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.into_iter().map(|(_, trial)| trial).collect()
}

/// Count, sum and sum of squares of some ranks.
#[derive(Clone, Copy, Default)]
struct Ranks {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Ranks {
    fn add(&mut self, rank: usize) {
        let rank = rank as f64;
        self.count += 1.0;
        self.sum += rank;
        self.squares += rank * rank;
    }

    /// The sum of squared distances from the mean.
    fn spread(self) -> f64 {
        self.squares - self.sum * self.sum / self.count.max(1.0)
    }
}

/// How much of the variance of all trials' ranks the bins of one setting explain, less what bins without a meaning would: ε²
/// (Kelley 1935). `order` has the trials by rank.
fn explained(searched: &Searched<'_>, order: &[usize], site: usize) -> f64 {
    const BINS: usize = 4;
    let study = &searched.study;
    let Some(domain) = study.spec().space.sites.get(site).map(|site| site.domain) else {
        return 0.0;
    };
    let count = BINS.max(if let Domain::Choice(n) = domain { n } else { 0 });
    let mut bins = vec![Ranks::default(); count];
    let (mut open, mut all) = (Ranks::default(), Ranks::default());
    for (rank, trial) in order.iter().enumerate() {
        all.add(rank);
        let point = study.trials().get(*trial).map(|it| &it.point);
        let Some(setting) = point.and_then(|it| it.get(site).copied().flatten()) else {
            continue;
        };
        let bin = ((height(domain, setting) * count as f64) as usize).min(count - 1);
        if let Some(bin) = bins.get_mut(bin) {
            bin.add(rank);
        }
        open.add(rank);
    }
    let used = bins.iter().filter(|bin| bin.count > 0.0).count() as f64;
    let within: f64 = bins.iter().map(|bin| bin.spread()).sum();
    if used >= open.count || all.spread() <= 0.0 {
        return 0.0;
    }
    let chance = (used - 1.0) * within / (open.count - used);
    ((open.spread() - within - chance) / all.spread()).clamp(0.0, 1.0)
}

fn importance(page: &mut String, searched: &Searched<'_>) {
    let sites = &searched.study.spec().space.sites;
    let order = ranks(searched);
    let mut shares: Vec<(f64, &str)> = sites
        .iter()
        .enumerate()
        .map(|(index, site)| (explained(searched, &order, index), site.name.as_str()))
        .collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    page.push_str(
        "<h2>Importance</h2><p>Share of the variance of all ranks, at the first rung, that each setting explains alone, beyond what chance would.</p><table id=\"importance\" style=\"white-space:nowrap\">",
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
    page.push_str("<h2>Trials</h2><div style=\"overflow-x:auto\"><table id=\"trials\" style=\"white-space:nowrap\"><tr><th>trial</th><th>state</th>");
    for objective in &study.spec().objectives {
        let _ = write!(page, "<th>{}</th>", escape(&objective.name));
    }
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
        let from = match searched.stored.get(&number) {
            Some(steps) => format!(", {steps} steps from the store"),
            None => String::new(),
        };
        let figure = trial
            .results
            .iter()
            .flatten()
            .last()
            .map_or(String::new(), |outcome| words(*outcome));
        let _ = write!(
            page,
            "<tr><td class=\"n\">{}</td><td>{state}{from}</td><td>{}</td>",
            number + 1,
            escape(&figure)
        );
        for place in 1..study.spec().objectives.len() {
            let other = trial.others.get(place - 1);
            let text = other.map_or("–".to_owned(), |other| shown(*other));
            let _ = write!(page, "<td>{}</td>", escape(&text));
        }
        let settings = searched.settings.get(number);
        for site in &study.spec().space.sites {
            let text = settings
                .and_then(|it| it.get(&site.name))
                .and_then(|it| it.as_str())
                .unwrap_or("–");
            let (text, whole) = (escape(&brief(text)), escape(text));
            let _ = write!(page, "<td title=\"{whole}\">{text}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}
