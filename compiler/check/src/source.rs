//! `source` and `split` of data sections: the only place where the checker asks about files.

use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::data::{DataColumn, DataSet};
use crate::expr::Scope;
use crate::program::old_name;
use crate::section::Choice;
use crate::value::{Eval, Loc, Reported, UnitKind, Value};
use crate::world::{DataFacts, DataFault, FileRequest, SourceRequest, World};
use mmh_diag::{Code, Diagnostic};
use mmh_ir::plan::{SplitKind, SplitPlan, Within};
use mmh_syntax::ast::{Expr, Section, SectionKind};

pub(crate) const SOURCES: &[Choice] = &[
    ("csv", &["path", "blake3", "delimiter"]),
    ("idx", &["images", "labels"]),
    ("text", &["path", "window", "stride", "blake3"]),
    (
        "legacy",
        &[
            "path",
            "blake3",
            "as",
            "file",
            "window",
            "stride",
            "delimiter",
        ],
    ),
];

pub(crate) const SPLITS: &[Choice] = &[
    ("stratified", &["by", "train", "valid", "test"]),
    ("random", &["train", "valid", "test"]),
    ("sequential", &["train", "valid", "test"]),
    ("files", &["train", "valid"]),
    ("folds", &["k", "of", "by", "test"]),
];

const FOLDS: usize = 4;

/// Reads every data section: its source's facts, its columns, its split.
pub(crate) fn load<'p>(cx: &mut Cx<'p>, world: &'p dyn World) {
    cx.world = Some(world);
    let program = cx.program;
    for (declared, section, source) in program.sections(SectionKind::Data) {
        let name = section
            .name
            .as_ref()
            .map_or(String::new(), |n| n.text.clone());
        let span = Loc {
            source,
            span: section.name.as_ref().map_or(section.kind_span, |n| n.span),
        };
        cx.data.push(DataSet {
            declared,
            name,
            path: old_name(section).unwrap_or("").to_owned(),
            span,
            request: None,
            facts: DataFacts::default(),
            raw: vec![],
            statistics: vec![],
            columns: vec![],
            split: None,
            part_rows: None,
            broken: false,
        });
    }
    for (number, (_, section, source)) in program.sections(SectionKind::Data).enumerate() {
        cx.source = source;
        cx.load_one(number, section, world);
    }
    cx.source = mmh_diag::SourceId(0);
}

impl<'p> Cx<'p> {
    fn load_one(&mut self, number: usize, section: &'p Section, world: &dyn World) {
        let owner = self
            .data
            .get(number)
            .map_or(String::new(), |d| d.name.clone());
        let columns: Vec<DataColumn> = section
            .fields
            .iter()
            .enumerate()
            .filter(|(_, f)| f.ty.is_some())
            .map(|(i, f)| DataColumn {
                name: f.name.text.clone(),
                loc: self.at(f.ty.as_ref().map_or(f.span, |t| t.span())),
                field: i,
                failed: false,
                sources: vec![],
                levels: vec![],
            })
            .collect();
        let mut known = vec!["source", "split"];
        known.extend(columns.iter().map(|c| c.name.as_str()));
        let settings = self.settings(section, &owner, &known);
        if let Some(set) = self.data.get_mut(number) {
            set.columns.clone_from(&columns);
        }
        let help = "write `source = csv(\"data.csv\")`";
        let source = self.required(
            &settings,
            section,
            &owner,
            "source",
            Code::DataNoSource,
            help,
        );
        let facts = source.and_then(|field| self.facts(number, &field.value, world));
        if facts.is_err()
            && let Some(set) = self.data.get_mut(number)
        {
            set.broken = true;
        }
        for column in &columns {
            let failed = self.column(number, &column.name).is_err();
            if let Some(set) = self.data.get_mut(number)
                && let Some(own) = set.columns.iter_mut().find(|c| c.name == column.name)
            {
                own.failed = failed;
            }
        }
        if let Some(field) = settings.get("split")
            && self.split(number, &field.value, world).is_err()
            && let Some(set) = self.data.get_mut(number)
        {
            set.broken = true;
        }
    }

    fn facts(&mut self, number: usize, expr: &'p Expr, world: &dyn World) -> Eval<()> {
        let scope = Scope::default();
        let loc = self.at(expr.span());
        if let Expr::Pipe { .. } = expr.ungrouped() {
            let help = "name a file: `source = csv(\"data.csv\")`";
            return self.fail(
                Code::CapabilityNotYet,
                loc,
                "this version cannot make a data set of another one",
                help,
            );
        }
        let (which, bound) = self.chosen(expr, SOURCES, "data source", &scope)?;
        let request = self.request(which, &bound, loc)?;
        let at = bound
            .get("path")
            .or(bound.get("images"))
            .map_or(loc, Given::loc);
        match world.data_facts(&request) {
            Ok(facts) => {
                if let Some(set) = self.data.get_mut(number) {
                    set.request = Some(request);
                    set.facts = facts;
                }
                Ok(())
            }
            Err(fault) => self.data_fault(fault, at, bound.get("blake3").map(Given::loc)),
        }
    }

    fn request(&mut self, which: usize, bound: &Bound<'p, '_>, loc: Loc) -> Eval<SourceRequest> {
        match which {
            0 => Ok(SourceRequest::Csv {
                file: self.file_arg(bound)?,
                delimiter: self.delimiter(bound)?,
            }),
            1 => {
                let images = self.files(bound, "images")?;
                let labels = self.files(bound, "labels")?;
                if images.len() != labels.len() {
                    return self.fail(
                        Code::TypeArgumentCount,
                        loc,
                        format!(
                            "{} files of images and {} of labels",
                            images.len(),
                            labels.len()
                        ),
                        "give as many of one as of the other",
                    );
                }
                Ok(SourceRequest::Idx { images, labels })
            }
            2 => {
                let file = self.file_arg(bound)?;
                let (window, stride) = self.windows(bound, None, loc)?;
                Ok(SourceRequest::Text {
                    file,
                    window,
                    stride,
                })
            }
            _ => self.legacy(bound, loc),
        }
    }

    /// `path` and `blake3`.
    pub(crate) fn file_arg(&mut self, bound: &Bound<'p, '_>) -> Eval<FileRequest> {
        let (path, loc) = self.text_arg(bound, "path")?;
        let path = self.data_path(path, loc);
        let blake3 = match bound.get("blake3") {
            None => None,
            Some(_) => {
                let (text, loc) = self.text_arg(bound, "blake3")?;
                Some(self.pinned(text, loc)?)
            }
        };
        Ok(FileRequest {
            path,
            blake3,
            within: Within::Plain,
        })
    }

    /// A path starts in the folder of the file that writes it.
    fn data_path(&self, written: String, loc: Loc) -> String {
        let own = self.program.sources.get(loc.source.0 as usize);
        match own.is_some_and(|source| source.path.contains('/')) {
            true => self.program.beside(loc.source, &written),
            false => written,
        }
    }

    pub(crate) fn delimiter(&mut self, bound: &Bound<'p, '_>) -> Eval<Option<char>> {
        match bound.get("delimiter") {
            None => Ok(None),
            Some(_) => Ok(self.text_arg(bound, "delimiter")?.0.chars().next()),
        }
    }

    pub(crate) fn text_arg(&mut self, bound: &Bound<'p, '_>, name: &str) -> Eval<(String, Loc)> {
        match self.need(bound, name)? {
            (Value::Text(text), loc) => Ok((text, loc)),
            (other, loc) => self.fail(
                Code::SettingType,
                loc,
                format!("`{name}` is a text, not {}", other.kind()),
                "write it in quotes",
            ),
        }
    }

    /// `window`, which may have a default, and `stride`, which is `window` where it is not given.
    pub(crate) fn windows(
        &mut self,
        bound: &Bound<'p, '_>,
        default: Option<i128>,
        loc: Loc,
    ) -> Eval<(u64, u64)> {
        let window = self.size_arg(bound, "window", default)?.integer();
        let stride = match bound.get("stride") {
            Some(_) => self.size_arg(bound, "stride", None)?.integer(),
            None => window,
        };
        let number = |n: Option<i128>| {
            n.and_then(|n| u64::try_from(n).ok())
                .filter(|n| (1..=1 << 20).contains(n))
        };
        match (number(window), number(stride)) {
            (Some(window), Some(stride)) => Ok((window, stride)),
            _ => self.fail(
                Code::ValueRange,
                loc,
                "`window` and `stride` are whole numbers from 1 to 1,048,576",
                "",
            ),
        }
    }

    fn pinned(&mut self, text: String, loc: Loc) -> Eval<String> {
        let hex = text.strip_prefix("blake3:").unwrap_or(&text).to_string();
        if hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(hex.to_lowercase());
        }
        self.fail(
            Code::DataWrongHash,
            loc,
            "this is no blake3: it has 64 hexadecimal digits",
            "leave it away, and `mmhc lock` writes the one of the file",
        )
    }

    fn files(&mut self, bound: &Bound<'p, '_>, name: &str) -> Eval<Vec<FileRequest>> {
        let (value, loc) = self.need(bound, name)?;
        let items = match value {
            Value::List(items) => items,
            one => vec![one],
        };
        let mut files = Vec::new();
        for item in items {
            match item {
                Value::Text(path) => files.push(FileRequest {
                    path: self.data_path(path, loc),
                    blake3: None,
                    within: Within::Plain,
                }),
                other => {
                    return self.fail(
                        Code::SettingType,
                        loc,
                        format!("`{name}` lists files, not {}", other.kind()),
                        "write paths in quotes",
                    );
                }
            }
        }
        Ok(files)
    }

    pub(crate) fn data_fault<T>(&mut self, fault: DataFault, at: Loc, pin: Option<Loc>) -> Eval<T> {
        let mut diagnostic =
            Diagnostic::error(fault.code, fault.sentence()).at(at.source, at.span, "");
        if matches!(fault.code, Code::DataWrongHash | Code::LegacyPinMismatch)
            && let Some(pin) = pin
        {
            diagnostic = diagnostic.and(pin.source, pin.span, "pinned here");
        }
        if !fault.help.is_empty() {
            diagnostic = diagnostic.help(fault.help);
        }
        Err(self.report(diagnostic))
    }

    fn split(&mut self, number: usize, expr: &'p Expr, world: &dyn World) -> Eval<()> {
        let scope = Scope::default();
        let loc = self.at(expr.span());
        let (which, bound) = self.chosen(expr, SPLITS, "way to split", &scope)?;
        if which == FOLDS {
            let help = "split once, with `stratified` or `random`";
            return self.fail(
                Code::CapabilityNotYet,
                loc,
                "this version cannot run `folds`",
                help,
            );
        }
        let mut shares = [0u32; 3];
        for (share, name) in shares.iter_mut().zip(["train", "valid", "test"]) {
            if bound.get(name).is_some() {
                *share = self.share(&bound, name)?;
            }
        }
        if shares.iter().sum::<u32>() > 1_000_000 {
            return self.fail(
                Code::ValueRange,
                loc,
                "the shares are more than the whole",
                "they add up to at most 100%",
            );
        }
        let mut by = None;
        let kind = match which {
            0 => {
                let names = self.axes_arg(&bound, "by")?;
                let Some([(column, at)]) = names.as_deref() else {
                    return self.fail(
                        Code::SettingMissing,
                        bound.loc,
                        "`stratified` needs `by`: the column whose classes it keeps in balance",
                        "write `stratified(by = label, …)`",
                    );
                };
                by = Some(self.split_column(number, column, *at)?);
                SplitKind::Stratified { by: column.clone() }
            }
            1 => SplitKind::Random,
            2 => SplitKind::Sequential,
            _ => SplitKind::Files,
        };
        let Some(set) = self.data.get_mut(number) else {
            return Err(Reported);
        };
        let plan = SplitPlan {
            kind,
            shares,
            site: format!("{}.split", set.path),
        };
        set.split = Some(plan.clone());
        let Some(request) = set.request.clone() else {
            return Err(Reported);
        };
        match world.part_rows(&request, &plan, by.as_deref()) {
            Ok(rows) => {
                set.part_rows = Some(rows);
                Ok(())
            }
            Err(fault) => self.data_fault(fault, loc, None),
        }
    }

    fn split_column(&mut self, number: usize, column: &str, at: Loc) -> Eval<String> {
        let Some(set) = self.data.get(number) else {
            return Err(Reported);
        };
        match set.columns.iter().find(|c| c.name == column) {
            // What is wrong with it has been said.
            Some(found) if found.failed => Err(Reported),
            Some(found) => match found.sources.first() {
                Some(source) => Ok(source.clone()),
                None => Err(Reported),
            },
            None => {
                let known: Vec<String> = set.columns.iter().map(|c| c.name.clone()).collect();
                let message = format!("`{}` has no column `{column}`", set.name);
                let near = mmh_diag::suggest(column, known.iter().map(String::as_str));
                let help = near.map_or_else(
                    || format!("it has {}", known.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                self.fail(Code::DataUnknownColumn, at, message, help)
            }
        }
    }

    /// A share in millionths.
    fn share(&mut self, bound: &Bound<'p, '_>, name: &str) -> Eval<u32> {
        let (value, loc) = self.need(bound, name)?;
        let share = match value {
            Value::Quantity(q) if q.kind == UnitKind::Share => q.value,
            Value::Size(_) | Value::Float(_) => {
                let text = self.text(loc);
                return self.fail(
                    Code::UnitMissing,
                    loc,
                    format!("`{name}` needs a unit"),
                    format!("write a share of the rows, such as `70%`; `{text}` could be rows"),
                );
            }
            other => {
                return self.fail(
                    Code::UnitWrong,
                    loc,
                    format!("`{name}` is a share of the rows, not {}", other.kind()),
                    "write it as `70%`",
                );
            }
        };
        if !(0.0..=1.0).contains(&share) {
            return self.fail(
                Code::ValueRange,
                loc,
                format!("`{name}` lies outside 0% to 100%"),
                "",
            );
        }
        Ok((share * 1e6).round() as u32)
    }
}
