//! From a point of the search space to a plan: the recipe with other values, checked and planned like any recipe.

use super::figures::bytes;
use crate::findings::Finding;
use crate::front::Checked;
use crate::outcome::Failure;
use crate::world::Draft;
use mmh_check::recipe::{Figure, Length, Search};
use mmh_check::{chosen_texts, setting_text};
use mmh_ir::Plan;
use mmh_runtime::data::data_hash;
use mmh_runtime::prefix::prefix_hash;
use mmh_runtime::{Dataset, Limit, RecipeText, load_data};
use mmh_search::{Point, Study};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The recipe of a trial, ready to run.
pub(crate) struct Instance {
    pub(crate) plan: Plan,
    pub(crate) plan_hash: String,
    pub(crate) data: Arc<Vec<Dataset>>,
    pub(crate) texts: RecipeText,
    /// Bytes of state and of the largest program, where the search asks for them.
    pub(crate) bytes: u64,
    /// What its training has in common with trainings that differ from it in their length and schedule alone.
    pub(crate) kin: String,
    /// The same and its data, 64 hex digits: what it is called in the store.
    pub(crate) key: String,
    /// Whether the recipe's constraint holds.
    pub(crate) holds: bool,
}

/// The recipes of a search's trials.
pub(crate) struct Trials<'a> {
    checked: &'a Checked,
    search: &'a Search,
    json: bool,
    /// The recipe's texts by number: itself first, then what it uses.
    texts: Vec<String>,
    /// Paths of these texts.
    paths: Vec<String>,
    made: BTreeMap<String, Arc<Instance>>,
    data: BTreeMap<String, Arc<Vec<Dataset>>>,
}

impl<'a> Trials<'a> {
    pub(crate) fn new(checked: &'a Checked, search: &'a Search, json: bool) -> Self {
        let mut texts = vec![checked.texts.text.clone()];
        let mut paths = vec![checked.world.main.clone()];
        for (path, text) in &checked.texts.used {
            paths.push(path.clone());
            texts.push(text.clone());
        }
        Self {
            checked,
            search,
            json,
            texts,
            paths,
            made: BTreeMap::new(),
            data: BTreeMap::new(),
        }
    }

    /// The search they belong to.
    pub(crate) fn search(&self) -> &'a Search {
        self.search
    }

    /// The folder that data paths start from.
    pub(crate) fn base(&self) -> &Path {
        &self.checked.world.folder
    }

    fn counts_bytes(&self) -> bool {
        self.search.memory.is_some() || self.search.figures.contains(&Figure::Memory)
    }

    /// The recipe of trial `number`.
    pub(crate) fn instance(
        &mut self,
        study: &Study,
        number: usize,
    ) -> Result<Arc<Instance>, Failure> {
        let point = study.trials().get(number).map(|trial| trial.point.clone());
        self.at(&point.unwrap_or_default())
    }

    /// The recipe with the settings of a point.
    pub(crate) fn at(&mut self, point: &Point) -> Result<Arc<Instance>, Failure> {
        let chosen = chosen_texts(
            &self.texts,
            &self.search.spec.space,
            &self.search.places,
            point,
        );
        let key = chosen.join("\u{0}");
        if let Some(made) = self.made.get(&key) {
            return Ok(Arc::clone(made));
        }
        let instance = Arc::new(self.make(&chosen)?);
        self.made.insert(key, Arc::clone(&instance));
        Ok(instance)
    }

    fn make(&mut self, chosen: &[String]) -> Result<Instance, Failure> {
        let texts = self.paths.iter().cloned().zip(chosen.iter().cloned());
        let texts = texts.collect();
        let world = Draft {
            disk: &self.checked.world,
            texts,
        };
        let found = mmh_check::check_trial(&world, &self.checked.world.main);
        let wrong = |more: Vec<mmh_diag::Diagnostic>| {
            // The places are those of the trial's text, which differs from the recipe's in the values alone.
            self.checked
                .failure(more.into_iter().map(Finding::from).collect(), self.json)
        };
        let Some(recipe) = &found.recipe else {
            return Err(wrong(found.diagnostics));
        };
        let plan = mmh_plan::plan(recipe).map_err(wrong)?;
        let holds = recipe
            .declarations
            .search
            .as_ref()
            .is_none_or(|search| search.holds);
        let data = self.load(&plan)?;
        let used = self
            .paths
            .iter()
            .cloned()
            .zip(chosen.iter().cloned())
            .skip(1)
            .collect();
        let kin = prefix_hash(&plan, self.search.training, 0)
            .map_or(String::new(), |hash| hash.to_hex().to_string());
        let mut key = blake3::Hasher::new_derive_key("mmh trial 1");
        key.update(kin.as_bytes())
            .update(data_hash(&data).as_bytes());
        Ok(Instance {
            plan_hash: plan.hash(),
            kin,
            key: key.finalize().to_hex().to_string(),
            bytes: match self.counts_bytes() {
                true => bytes(&plan, self.search.training),
                false => 0,
            },
            plan,
            data,
            texts: RecipeText {
                text: chosen.first().cloned().unwrap_or_default(),
                used,
            },
            holds,
        })
    }

    /// Trials that read the same data share it.
    fn load(&mut self, plan: &Plan) -> Result<Arc<Vec<Dataset>>, Failure> {
        let starts: Vec<_> = plan.trainings.iter().map(|it| &it.start).collect();
        let key = serde_json::to_string(&(&plan.data, starts)).unwrap_or_default();
        if let Some(data) = self.data.get(&key) {
            return Ok(Arc::clone(data));
        }
        let data = load_data(plan, &self.checked.world.folder);
        let data = Arc::new(data.map_err(|failure| super::failure_of(&failure, self.json))?);
        self.data.insert(key, Arc::clone(&data));
        Ok(data)
    }

    /// The settings of trial `number`, as they are written.
    pub(crate) fn settings(&self, study: &Study, number: usize) -> Map<String, Value> {
        let point = study
            .trials()
            .get(number)
            .map(|trial| trial.point.as_slice());
        let sites = self.search.spec.space.sites.iter().zip(&self.search.places);
        let chosen = sites.zip(point.unwrap_or_default());
        let written = chosen.filter_map(|((site, place), setting)| {
            let text = short(&setting_text(&self.texts, place, (*setting)?));
            Some((site.name.clone(), Value::String(text)))
        });
        written.collect()
    }
}

/// An alternative that holds choices of its own, without them: they are settings beside it.
pub(crate) fn short(text: &str) -> String {
    match (text.find('~'), text.find('(')) {
        (None, _) => text.to_owned(),
        (Some(choice), Some(call)) if call < choice => {
            format!("{}(…)", text.get(..call).unwrap_or_default())
        }
        (Some(choice), _) => text.get(..choice).unwrap_or_default().trim_end().to_owned(),
    }
}

impl Instance {
    /// Steps after which training ends at a rung.
    pub(crate) fn end(&self, search: &Search, rung: usize, asked: Option<Limit>) -> u64 {
        let Some(training) = self.plan.trainings.get(search.training) else {
            return 0;
        };
        let steps = |limit: Limit| match limit {
            Limit::Steps(steps) => steps,
            Limit::Epochs(epochs) => epochs.saturating_mul(training.epoch_steps),
        };
        let end = match search.rungs.get(rung) {
            Some(Length::Steps(steps)) => *steps,
            Some(Length::Epochs(epochs)) => epochs.saturating_mul(training.epoch_steps),
            None => training.steps,
        };
        let asked = asked.map_or(u64::MAX, steps);
        end.min(asked).min(training.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn choices_inside_an_alternative_are_not_repeated() {
        assert_eq!(short("sgd(lr = 1e-1 ~ log(1e-2 .. 1e0))"), "sgd(…)");
        assert_eq!(short("1e-2 ~ log(1e-3 .. 1e-1)"), "1e-2");
        assert_eq!(short("adamw(lr = 1e-2)"), "adamw(lr = 1e-2)");
    }
}
