//! `data` sections: sources, columns, splits.

use crate::core::Cx;
use crate::expr::Scope;
use crate::types::{Expected, Hidden};
use crate::value::{Eval, Loc, Made, Reported, Rows, Tensor, Value};
use crate::world::{DataFacts, FileRequest, SourceRequest, Wanted};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::plan::{
    ColumnKind, ColumnPlan, DataPlan, FilePlan, SourcePlan, SplitKind, SplitPlan, StatisticPlan,
};
use mmh_syntax::ast::{Field, Item, Name};

/// One data section, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct DataSet {
    pub(crate) declared: usize,
    pub(crate) name: String,
    /// The name that paths have for it.
    pub(crate) path: String,
    pub(crate) span: Loc,
    pub(crate) request: Option<SourceRequest>,
    pub(crate) facts: DataFacts,
    pub(crate) raw: Vec<ColumnPlan>,
    pub(crate) statistics: Vec<StatisticPlan>,
    pub(crate) columns: Vec<DataColumn>,
    pub(crate) split: Option<SplitPlan>,
    pub(crate) part_rows: Option<[u64; 3]>,
    /// Something about the source was wrong and has been reported: types come from the declarations alone.
    pub(crate) broken: bool,
}

/// A declared column.
#[derive(Clone, Debug)]
pub(crate) struct DataColumn {
    pub(crate) name: String,
    /// Its declared type.
    pub(crate) loc: Loc,
    /// Number of the field in the section.
    pub(crate) field: usize,
    /// Columns of the source it is made from.
    pub(crate) sources: Vec<String>,
    /// Its formula is wrong, which has been reported.
    pub(crate) failed: bool,
    /// Names of its classes.
    pub(crate) levels: Vec<String>,
}

/// The column formula being read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) data: usize,
    pub(crate) name: String,
    pub(crate) expected: Option<Expected>,
    pub(crate) class_loc: Loc,
    pub(crate) optional: bool,
    pub(crate) sources: Vec<String>,
    pub(crate) levels: Vec<String>,
    /// Raw columns with missing values that nothing fills in yet.
    pub(crate) open: Vec<(u32, String, u64, Loc)>,
}

impl<'p> Cx<'p> {
    pub(crate) fn column_field(
        &self,
        data: usize,
        name: &str,
    ) -> Option<(&'p Field, mmh_diag::SourceId)> {
        let set = self.data.get(data)?;
        let column = set.columns.iter().find(|c| c.name == name)?;
        let declared = self.program.declared.get(set.declared)?;
        match declared.item.as_ref() {
            Item::Section(section) => section
                .fields
                .get(column.field)
                .map(|f| (f, declared.source)),
            Item::Use(_) | Item::Seed(_) | Item::Let(_) | Item::Block(_) => None,
        }
    }

    /// A column of a data set, made from the runtime's raw columns.
    pub(crate) fn column(&mut self, data: usize, name: &str) -> Eval<Tensor> {
        let Some((field, source)) = self.column_field(data, name) else {
            return Err(Reported);
        };
        let reading = Reading {
            data,
            name: name.to_string(),
            expected: None,
            class_loc: Loc::default(),
            optional: false,
            sources: vec![],
            levels: vec![],
            open: vec![],
        };
        let outer = self.reading.replace(reading);
        let before = std::mem::replace(&mut self.source, source);
        let frames = std::mem::take(&mut self.frames);
        let value = self.column_inner(field);
        self.frames = frames;
        self.source = before;
        let read = std::mem::replace(&mut self.reading, outer);
        if let (Some(read), Some(set)) = (read, self.data.get_mut(data))
            && let Some(column) = set.columns.iter_mut().find(|c| c.name == name)
        {
            column.sources = read.sources;
            column.levels = read.levels;
        }
        value
    }

    pub(crate) fn column_inner(&mut self, field: &'p Field) -> Eval<Tensor> {
        let mut scope = Scope::default();
        scope.set("source", Value::Source);
        let Some(ty) = &field.ty else {
            return Err(Reported);
        };
        let expected = self.expected(ty, &scope, Hidden::Batch)?;
        let class_loc = self.at(ty.span());
        if let Some(reading) = &mut self.reading {
            reading.expected = Some(expected.clone());
            reading.class_loc = class_loc;
        }
        let loc = self.at(field.value.span());
        let value = self.expr(&field.value, &scope)?;
        let mut tensor = self.as_tensor(value, loc, &field.name.text)?;
        self.check_open()?;
        self.no_words(&tensor, loc)?;
        if let Some(difference) = self.compare(&tensor, &expected) {
            let diagnostic = Diagnostic::error(
                Code::ShapeMismatch,
                format!(
                    "`{}` is not of the type declared: {difference}",
                    field.name.text
                ),
            )
            .at(loc.source, loc.span, format!("this is {}", tensor.text()))
            .and(self.source, ty.span(), "declared here");
            return Err(self.report(diagnostic));
        }
        if let Some(declared) = &expected.classes {
            let count = tensor.classes.clone().map(|c| c.0);
            if let Some(count) = count.filter(|c| c != declared) {
                return self.fail(
                    Code::ShapeClassCount,
                    loc,
                    format!("the type names {declared} classes, the column has {count}"),
                    format!("write `class[{count}]`"),
                );
            }
            tensor.classes = Some((declared.clone(), class_loc));
        } else {
            tensor.classes = None;
        }
        tensor.made = Made::Plain;
        let text = tensor.text();
        let at = self.at(field.name.span);
        self.hover(at, || text);
        Ok(tensor)
    }

    pub(crate) fn check_open(&mut self) -> Eval<()> {
        let open = self
            .reading
            .as_ref()
            .map(|r| r.open.clone())
            .unwrap_or_default();
        for (number, name, rows, loc) in &open {
            let set = self.reading.as_ref().and_then(|r| self.data.get(r.data));
            let raw = set.and_then(|s| s.raw.get(*number as usize));
            let class = raw.is_some_and(|c| matches!(c.kind, ColumnKind::Levels { .. }));
            let help = if class {
                format!(
                    "write `source.{name} |> impute(mode)`, or `|> optional` for a class of its own"
                )
            } else {
                format!("fill it in: `source.{name} |> impute(mean)`")
            };
            let data = self.reading.as_ref().map_or(0, |r| r.data);
            let mut message = match rows {
                1 => format!("a value of `{name}` is missing"),
                _ => format!("{rows} values of `{name}` are missing"),
            };
            if let Some(cell) = self.odd_cell(data, name, Wanted::Present) {
                let first = if *rows == 1 { "" } else { "first: " };
                message = format!("{message} ({first}{})", cell.place());
            }
            let _: Eval<()> = self.fail(Code::DataMissingValue, *loc, message, help);
        }
        if open.is_empty() {
            Ok(())
        } else {
            Err(Reported)
        }
    }

    /// Says that the missing values of a raw column are taken care of.
    pub(crate) fn handled(&mut self, column: u32) {
        if let Some(reading) = &mut self.reading {
            reading.open.retain(|(number, _, _, _)| *number != column);
        }
    }

    /// `rows.image`: the column, changed by the maps of these rows.
    pub(crate) fn rows_column(&mut self, rows: &Rows, field: &Name) -> Eval<Value> {
        let Some(set) = self.data.get(rows.data) else {
            return Err(Reported);
        };
        if !set.columns.iter().any(|c| c.name == field.text) {
            return self.no_column(rows.data, field);
        }
        if set.columns.iter().any(|c| c.name == field.text && c.failed) {
            return Err(Reported);
        }
        let mut value = Value::Tensor(self.column(rows.data, &field.text)?);
        for (name, block, loc) in &rows.maps {
            if *name != field.text {
                continue;
            }
            let outer = self.augmenting.replace(crate::core::Augmenting {
                part: rows.part,
                loc: *loc,
            });
            let mapped = self.apply(block, value, *loc, &Scope::default());
            self.augmenting = outer;
            value = mapped?;
        }
        Ok(value)
    }

    pub(crate) fn no_column<T>(&mut self, data: usize, field: &Name) -> Eval<T> {
        let Some(set) = self.data.get(data) else {
            return Err(Reported);
        };
        let known: Vec<&str> = set.columns.iter().map(|c| c.name.as_str()).collect();
        let near = suggest(&field.text, known.iter().copied()).map(str::to_owned);
        let message = format!("`{}` has no column `{}`", set.name, field.text);
        let has = format!("it has {}", known.join(", "));
        let loc = self.at(field.span);
        self.misspelt(
            Code::DataUnknownColumn,
            loc,
            message,
            near.as_deref(),
            || has,
        )
    }

    /// `digits.label.classes`.
    pub(crate) fn data_column(
        &mut self,
        data: usize,
        field: &'p Name,
        classes: bool,
    ) -> Eval<Value> {
        let Some((declared, source)) = self.column_field(data, &field.text) else {
            return self.no_column(data, field);
        };
        if !classes {
            let help = format!("take it from rows: `rows.{}`", field.text);
            return self.fail_at(
                Code::TypeMismatch,
                field.span,
                format!("`{}` is a column, not a value", field.text),
                help,
            );
        }
        let column = (data, field.text.clone());
        if self.counting.contains(&column) {
            let message = format!("the classes of `{}` are counted by themselves", field.text);
            let help = "write how many there are: `class[10]`";
            return self.fail_at(Code::NameCycle, field.span, message, help);
        }
        self.counting.push(column);
        let before = std::mem::replace(&mut self.source, source);
        let reading = Reading {
            data,
            name: field.text.clone(),
            expected: None,
            class_loc: Loc::default(),
            optional: false,
            sources: vec![],
            levels: vec![],
            open: vec![],
        };
        let outer = self.reading.replace(reading);
        let mut scope = Scope::default();
        scope.set("source", Value::Source);
        let expected = declared
            .ty
            .as_ref()
            .map(|ty| self.expected(ty, &scope, Hidden::Batch));
        self.reading = outer;
        self.source = before;
        self.counting.pop();
        match expected {
            Some(Ok(Expected {
                classes: Some(classes),
                ..
            })) => Ok(Value::Size(classes)),
            Some(Err(Reported)) => Err(Reported),
            _ => self.fail_at(
                Code::TypeMismatch,
                field.span,
                format!("`{}` is no column of classes", field.text),
                "",
            ),
        }
    }
}

impl DataSet {
    /// The plan of a set without mistakes.
    pub(crate) fn plan(&self) -> Option<DataPlan> {
        let mut hashes = self.facts.files.iter();
        let mut file = |file: &FileRequest| FilePlan {
            path: file.path.clone(),
            blake3: hashes.next().cloned().unwrap_or_default(),
            within: file.within.clone(),
        };
        let source = match self.request.as_ref()? {
            SourceRequest::Csv { file: f, delimiter } => SourcePlan::Csv {
                file: file(f),
                delimiter: *delimiter,
            },
            SourceRequest::Idx { images, labels } => SourcePlan::Idx {
                images: images.iter().map(&mut file).collect(),
                labels: labels.iter().map(&mut file).collect(),
            },
            SourceRequest::Text {
                file: f,
                window,
                stride,
            } => SourcePlan::Text {
                file: file(f),
                window: *window,
                stride: *stride,
            },
            SourceRequest::Bytes {
                file: f,
                window,
                stride,
            } => SourcePlan::Bytes {
                file: file(f),
                window: *window,
                stride: *stride,
            },
        };
        let whole = SplitPlan {
            kind: SplitKind::Sequential,
            shares: [1_000_000, 0, 0],
            site: format!("{}.split", self.path),
        };
        Some(DataPlan {
            name: self.name.clone(),
            source,
            columns: self.raw.clone(),
            rows: self.facts.rows,
            split: self.split.clone().unwrap_or(whole),
            statistics: self.statistics.clone(),
        })
    }

    /// Rows of a part.
    pub(crate) fn rows_in(&self, part: mmh_ir::plan::Part) -> u64 {
        match (self.part_rows, part) {
            (Some([train, _, _]), mmh_ir::plan::Part::Train) => train,
            (Some([_, valid, _]), mmh_ir::plan::Part::Valid) => valid,
            (Some([_, _, test]), mmh_ir::plan::Part::Test) => test,
            (None, mmh_ir::plan::Part::Train) => self.facts.rows,
            (None, _) => 0,
        }
    }
}
