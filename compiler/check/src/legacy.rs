//! `legacy(…)`: packs of MMH-RS V1 as data.
//!
//! A pack says nothing of what its files mean, so the recipe does: they are rows of bytes, or one of them is a table or a
//! text, with the columns that `csv` and `text` give.

use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::value::{Eval, Loc};
use crate::world::{FileRequest, SourceRequest};
use mmh_diag::{Code, suggest};
use mmh_ir::plan::Within;

/// Bytes of a row where the recipe does not say.
const WINDOW: i128 = 64;

/// What a pack's content is read as, and the settings that go with it.
const FORMS: &[(&str, &[&str])] = &[
    ("bytes", &["window", "stride"]),
    ("csv", &["delimiter"]),
    ("text", &["window", "stride"]),
];

impl<'p> Cx<'p> {
    pub(crate) fn legacy(&mut self, bound: &Bound<'p, '_>, loc: Loc) -> Eval<SourceRequest> {
        let form = self.form(bound)?;
        let within = match bound.get("file") {
            None => Within::Pack,
            Some(_) => Within::PackFile(self.text_arg(bound, "file")?.0),
        };
        let file = FileRequest {
            within,
            ..self.file_arg(bound)?
        };
        if form == "csv" {
            let delimiter = self.delimiter(bound)?;
            return Ok(SourceRequest::Csv { file, delimiter });
        }
        let text = form == "text";
        let (window, stride) = self.windows(bound, (!text).then_some(WINDOW), loc)?;
        Ok(match text {
            true => SourceRequest::Text {
                file,
                window,
                stride,
            },
            false => SourceRequest::Bytes {
                file,
                window,
                stride,
            },
        })
    }

    /// The name after `as`, its own settings checked.
    fn form(&mut self, bound: &Bound<'p, '_>) -> Eval<&'static str> {
        let given = self.axes_arg(bound, "as")?;
        let known: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
        let (name, loc) = match given.as_deref() {
            None => ("bytes", bound.loc),
            Some([(name, loc)]) => (name.as_str(), *loc),
            Some(_) => ("", bound.get("as").map_or(bound.loc, Given::loc)),
        };
        let Some((form, settings)) = FORMS.iter().find(|(form, _)| *form == name) else {
            let list = format!("there are: {}", known.join(", "));
            let near = suggest(name, known.iter().copied());
            let help = near.map_or(list.clone(), |near| {
                format!("did you mean `{near}`? {list}")
            });
            let message = format!("a pack cannot be read as `{}`", self.text(loc));
            return self.fail(Code::NameUnknown, loc, message, help);
        };
        let others = ["window", "stride", "delimiter"];
        for other in others.iter().filter(|name| !settings.contains(name)) {
            if let Some(given) = bound.get(other) {
                let goes: Vec<String> = FORMS
                    .iter()
                    .filter(|(_, settings)| settings.contains(other))
                    .map(|(form, _)| format!("`as = {form}`"))
                    .collect();
                return self.fail(
                    Code::SettingUnknown,
                    given.loc(),
                    format!("`{other}` says nothing about {form}"),
                    format!("it goes with {}", goes.join(" and ")),
                );
            }
        }
        Ok(form)
    }
}
