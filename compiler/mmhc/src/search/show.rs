//! What people see of a search: a line for each trial, on a terminal the best of them below; and `mmhc show space`.

use super::Searched;
use super::trials::short;
use crate::system;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mmh_check::recipe::{Length, Search};
use mmh_check::setting_text;
use mmh_runtime::RunFailure;
use mmh_search::{Direction, Domain, Job, Method, Outcome, Propose, Status, Study};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Trials in the table on a terminal.
const SHOWN: usize = 8;

/// Draws a search as it goes on.
pub(crate) struct Board {
    bar: Option<ProgressBar>,
    total: usize,
    /// The best trials so far.
    best: Vec<Good>,
    /// The names of what is searched.
    sites: Vec<String>,
    name: String,
}

/// A trial in the table.
struct Good {
    trial: usize,
    rung: usize,
    loss: f64,
    /// Figure and settings, as they are shown.
    cells: Vec<String>,
}

impl Board {
    pub(crate) fn new(study: &Study) -> Self {
        let bar = system::stderr_is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(study.total() as u64), target);
            let template = "{prefix} {bar:24} {pos}/{len} trials  {elapsed}{msg}";
            match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        let name = study.spec().name.clone();
        if let Some(bar) = &bar {
            bar.set_prefix(name.clone());
            bar.tick();
        }
        Self {
            bar,
            total: study.total(),
            best: Vec::new(),
            sites: study
                .spec()
                .space
                .sites
                .iter()
                .map(|site| site.name.clone())
                .collect(),
            name,
        }
    }

    /// Says where a search is gone on with.
    pub(crate) fn resumed(&mut self, study: &Study) {
        let (done, begun) = (done(study), begun(study));
        if done > 0 && self.bar.is_none() {
            system::tell(&format!(
                "{}: goes on after {done} of {} trials\n",
                self.name, self.total
            ));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(begun as u64);
        }
    }

    /// A trial was trained to a rung.
    pub(crate) fn result(
        &mut self,
        study: &Study,
        job: Job,
        settings: &Map<String, Value>,
        stored: u64,
    ) {
        let outcome = study
            .trials()
            .get(job.trial)
            .and_then(|trial| trial.results.get(job.rung))
            .copied();
        let Some(outcome) = outcome.flatten() else {
            return;
        };
        let rungs = study.spec().rungs;
        let rung = match rungs {
            1 => String::new(),
            _ => format!("  rung {}/{rungs}", job.rung + 1),
        };
        let line = format!(
            "{}  trial {}/{}{rung}  {}{}  {}",
            self.name,
            job.trial + 1,
            self.total,
            words(outcome),
            if stored > 0 { "  from the store" } else { "" },
            pairs(settings, brief)
        );
        let Some(bar) = &self.bar else {
            system::tell(&format!("{line}\n"));
            return;
        };
        if let Outcome::Value(value) = outcome {
            let loss = match study.spec().direction() {
                Direction::Maximise => -value,
                Direction::Minimise => value,
            };
            let from = if stored > 0 { " (store)" } else { "" };
            let setting = |site: &String| {
                let text = settings.get(site).and_then(Value::as_str);
                text.map_or("–".to_owned(), brief)
            };
            let figure = format!("{}{from}", words(outcome));
            let cells = [figure].into_iter().chain(self.sites.iter().map(setting));
            self.best.retain(|known| known.trial != job.trial);
            self.best.push(Good {
                trial: job.trial,
                rung: job.rung,
                loss,
                cells: cells.collect(),
            });
            self.best
                .sort_by(|a, b| b.rung.cmp(&a.rung).then(a.loss.total_cmp(&b.loss)));
        }
        let wide = system::width().unwrap_or(80).saturating_sub(1);
        let table = best_of(&self.best, &self.sites, rungs, wide);
        bar.set_position(begun(study) as u64);
        bar.set_message(table);
    }

    /// A trial failed for the first time.
    pub(crate) fn failed(&self, trial: usize, failure: &RunFailure) {
        let line = format!(
            "{}  trial {}/{}  failed, and is tried again alone: {}",
            self.name,
            trial + 1,
            self.total,
            reason(failure)
        );
        match &self.bar {
            Some(bar) => bar.println(line),
            None => system::tell(&format!("{line}\n")),
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A table of the best trials, under a bar: as many settings as there is room for.
/// Why a trial failed. Of what a worker says there is no need to say that it was the device.
pub(crate) fn reason(failure: &RunFailure) -> String {
    match failure {
        RunFailure::Device(reason) => reason.clone(),
        other => other.to_string(),
    }
}

fn best_of(best: &[Good], sites: &[String], rungs: usize, wide: usize) -> String {
    let shown = best.get(..best.len().min(SHOWN)).unwrap_or_default();
    let head = ["figure".to_owned()]
        .into_iter()
        .chain(sites.iter().cloned());
    let mut rows = vec![(
        "trial".to_owned(),
        "rung".to_owned(),
        head.collect::<Vec<_>>(),
    )];
    rows.extend(shown.iter().map(|it| {
        let rung = format!("{}/{rungs}", it.rung + 1);
        ((it.trial + 1).to_string(), rung, it.cells.clone())
    }));
    let long = |text: &String| text.chars().count();
    let column = |place: usize| {
        let cells = rows.iter().filter_map(|(.., cells)| cells.get(place));
        cells.map(long).max().unwrap_or(0)
    };
    let mut room = wide.saturating_sub(if rungs > 1 { 14 } else { 7 });
    let mut widths = Vec::new();
    for width in (0..=sites.len()).map(column) {
        // The last columns are left out where there is no room for them.
        let Some(left) = room.checked_sub(width + 2) else {
            break;
        };
        room = left;
        widths.push(width);
    }
    // That some are left out is said, which takes room too.
    while widths.len() <= sites.len() && room < 2 && widths.len() > 1 {
        room += widths.pop().map_or(0, |width| width + 2);
    }
    let mut table = String::new();
    for (trial, rung, cells) in &rows {
        let _ = write!(table, "\n{trial:>7}");
        if rungs > 1 {
            let _ = write!(table, "  {rung:<5}");
        }
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(table, "  {cell:<width$}");
        }
        if widths.len() < cells.len() && room >= 2 {
            table.push_str(" …");
        }
    }
    table
}

fn done(study: &Study) -> usize {
    (0..study.trials().len())
        .filter(|trial| study.status(*trial) != Status::Running)
        .count()
}

/// Trials that were trained to a rung at least.
fn begun(study: &Study) -> usize {
    let trials = study.trials().iter();
    trials
        .filter(|it| it.results.iter().any(Option::is_some))
        .count()
}

/// A setting where there is little room: a drawn number has more digits than anyone reads.
pub(crate) fn brief(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(x) if text.len() > 8 && (1e-2..1e6).contains(&x.abs()) => format!("{x:.4}"),
        Ok(x) if text.len() > 8 => format!("{x:.3e}"),
        _ => text.to_owned(),
    }
}

/// What came of a trial, for people.
pub(crate) fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Value(value) => format!("{value:.5}"),
        Outcome::Diverged { step } => format!("not finite in step {}", step + 1),
        Outcome::Infeasible { bytes: 0 } => "refused by `where`".to_owned(),
        Outcome::Infeasible { bytes } => format!("needs {bytes} B of memory"),
    }
}

/// `lr = 0.01, hidden = 32`.
pub(crate) fn written(settings: &Map<String, Value>) -> String {
    pairs(settings, str::to_owned)
}

fn pairs(settings: &Map<String, Value>, shown: impl Fn(&str) -> String) -> String {
    let one = |(name, value): (&String, &Value)| {
        format!("{name} = {}", shown(value.as_str().unwrap_or_default()))
    };
    settings.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The result for people.
pub(crate) fn end(searched: &Searched<'_>, best: usize, value: f64) -> String {
    let account = searched.account(best, value);
    let number = |name: &str| account.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut parts = vec![format!("{} trials", number("trials"))];
    for name in ["stopped", "diverged", "infeasible"] {
        if number(name) > 0 {
            parts.push(format!("{} {name}", number(name)));
        }
    }
    match searched.stored.len() {
        0 => {}
        1 => parts.push("1 from the store".to_owned()),
        count => parts.push(format!("{count} from the store")),
    }
    let settings = searched.settings.get(best).map(written).unwrap_or_default();
    format!(
        "{}: {}; the best is trial {} with {value:.5}: {settings}\nstudy {}\n",
        searched.search.name,
        parts.join(", "),
        best + 1,
        searched.study.hash()
    )
}

/// `mmhc show space`: the sites of a search, how they are drawn, how trials are proposed and compared.
pub(crate) fn space(search: &Search, texts: &[String]) -> String {
    let spec = &search.spec;
    let mut out = format!("search {}\n", search.name);
    let wide = spec
        .space
        .sites
        .iter()
        .map(|site| site.name.chars().count())
        .max()
        .unwrap_or(0);
    for (site, place) in spec.space.sites.iter().zip(&search.places) {
        let text = |setting| setting_text(texts, place, setting);
        let real = |low: f64, high: f64| {
            let [low, high] = [low, high].map(|x| text(mmh_search::Setting::Real(x)));
            format!("({low} .. {high})")
        };
        let domain = match site.domain {
            Domain::Choice(_) if place.alternatives.iter().all(|it| it.word.is_some()) => {
                "bool".to_owned()
            }
            Domain::Choice(n) => {
                let all: Vec<String> = (0..n)
                    .map(|k| text(mmh_search::Setting::Choice(k)))
                    .collect();
                format!("choice({})", all.join(", "))
            }
            Domain::Uniform { low, high } => format!("uniform{}", real(low, high)),
            Domain::Log { low, high } => format!("log{}", real(low, high)),
            Domain::Whole { low, high } => format!("int({low}{u} .. {high}{u})", u = place.unit),
        };
        let _ = write!(out, "  {:wide$}  {domain}", site.name);
        if let Some((parent, alternative)) = site.when {
            let outer = spec.space.sites.get(parent).zip(search.places.get(parent));
            if let Some((outer, place)) = outer {
                let value = setting_text(texts, place, mmh_search::Setting::Choice(alternative));
                let _ = write!(out, "  if {} = {}", outer.name, short(&value));
            }
        }
        out.push('\n');
    }
    if let Some(condition) = &search.condition {
        let _ = writeln!(out, "where {condition}");
    }
    if let Some(most) = search.memory {
        let _ = writeln!(out, "at most {most} B of memory");
    }
    let rungs: Vec<String> = search
        .rungs
        .iter()
        .map(|rung| match rung {
            Length::Epochs(n) => format!("{n} epochs"),
            Length::Steps(n) => format!("{n} steps"),
        })
        .chain(["the end".to_owned()])
        .collect();
    let _ = writeln!(out, "rungs: {}", rungs.join(", "));
    let (propose, method) = (proposals(spec.propose), method(spec.method));
    for objective in &spec.objectives {
        let size = match objective.direction {
            Direction::Maximise => "large",
            Direction::Minimise => "small",
        };
        let _ = writeln!(out, "{} is made {size}", objective.name);
    }
    let _ = writeln!(out, "proposed by {propose}, compared by {method}");
    let _ = writeln!(
        out,
        "{} trials; a proposal does not read the {} before it",
        spec.budget, spec.lag
    );
    out
}

fn proposals(propose: Propose) -> String {
    match propose {
        Propose::Grid { points } => format!("grid(points = {points})"),
        Propose::Random => "random".to_owned(),
        Propose::Sobol => "sobol".to_owned(),
        Propose::Tpe { startup } => format!("tpe(startup = {startup} trials)"),
        Propose::Gp { startup } => format!("gp(startup = {startup} trials)"),
        Propose::CmaEs { population } => format!("cmaes(population = {population} trials)"),
        Propose::Nsga2 { population } => format!("nsga2(population = {population} trials)"),
    }
}

fn method(method: Method) -> String {
    match method {
        Method::Full => "full".to_owned(),
        Method::Halving { keep } => format!("halving(keep = {keep:.3})"),
        Method::Hyperband { keep } => format!("hyperband(keep = {keep:.3})"),
        Method::Median { startup } => format!("median(startup = {startup} trials)"),
        Method::Patience { rungs } => format!("patience(wait = {rungs})"),
        Method::Threshold { bound } => format!("threshold(bound = {bound})"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Good, best_of, brief};

    #[test]
    fn the_table_of_the_best_fits_its_width() {
        let sites = ["hidden", "lr", "a_long_name_of_a_setting"].map(str::to_owned);
        let good = |trial: usize| Good {
            trial,
            rung: 1,
            loss: 0.0,
            cells: ["0.12345 (store)", "64", "0.0739", "–"]
                .map(str::to_owned)
                .to_vec(),
        };
        let best = [good(3), good(41)];
        for wide in [20, 40, 60, 79, 199] {
            let table = best_of(&best, &sites, 3, wide);
            let lines: Vec<&str> = table.split('\n').skip(1).collect();
            assert_eq!(lines.len(), 3);
            assert!(
                lines.iter().all(|line| line.chars().count() <= wide),
                "{table}"
            );
        }
        let whole = best_of(&best, &sites, 3, 199);
        assert!(whole.contains("a_long_name_of_a_setting") && !whole.contains('…'));
        let narrow = best_of(&best, &sites, 1, 40);
        assert!(
            narrow.contains("0.12345 (store)") && narrow.contains('…'),
            "{narrow}"
        );
        assert!(!narrow.contains("rung"));
    }

    #[test]
    fn drawn_numbers_are_cut_and_written_ones_are_not() {
        let shown = [
            "0.07386760116787627",
            "0.00012345678901",
            "1e-2",
            "adamw(…)",
            "64",
            "-123456.7891",
        ]
        .map(brief);
        assert_eq!(
            shown,
            [
                "0.0739",
                "1.235e-4",
                "1e-2",
                "adamw(…)",
                "64",
                "-123456.7891"
            ]
        );
    }
}
