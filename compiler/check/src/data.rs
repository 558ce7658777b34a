//! `data` sections: sources, columns, splits.

use crate::core::Cx;
use crate::expr::Scope;
use crate::poly::Poly;
use crate::types::{Expected, Hidden};
use crate::value::{Dim, Eval, Loc, Made, Reported, Rows, Tensor, Value};
use crate::world::{ColumnFact, DataFacts, FactKind, SourceRequest};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::plan::{
    ColumnKind, ColumnPlan, DataPlan, FilePlan, SourcePlan, SplitKind, SplitPlan, StatisticKind,
    StatisticPlan,
};
use mmh_ir::{DType, Dim as IrDim, Input, MapOp, Shape, Type};
use mmh_syntax::ast::{Field, Item, Name};

/// One data section, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct DataSet {
    pub(crate) declared: usize,
    pub(crate) name: String,
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
    fn column_field(&self, data: usize, name: &str) -> Option<(&'p Field, mmh_diag::SourceId)> {
        let set = self.data.get(data)?;
        let column = set.columns.iter().find(|c| c.name == name)?;
        let declared = self.program.declared.get(set.declared)?;
        match &declared.item {
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

    fn column_inner(&mut self, field: &'p Field) -> Eval<Tensor> {
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

    fn check_open(&mut self) -> Eval<()> {
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
            let _: Eval<()> = self.fail(
                Code::DataMissingValue,
                *loc,
                format!("`{name}` is missing in {rows} rows"),
                help,
            );
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

    fn no_column<T>(&mut self, data: usize, field: &Name) -> Eval<T> {
        let Some(set) = self.data.get(data) else {
            return Err(Reported);
        };
        let known: Vec<&str> = set.columns.iter().map(|c| c.name.as_str()).collect();
        let near = suggest(&field.text, known.iter().copied());
        let help = near.map_or_else(
            || format!("it has {}", known.join(", ")),
            |n| format!("did you mean `{n}`?"),
        );
        let message = format!("`{}` has no column `{}`", set.name, field.text);
        self.fail_at(Code::DataUnknownColumn, field.span, message, help)
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

    /// `source.pixels`, or the number of its classes.
    pub(crate) fn source_column(&mut self, field: &'p Name, classes: bool) -> Eval<Value> {
        let loc = self.at(field.span);
        let Some(data) = self.reading.as_ref().map(|r| r.data) else {
            return Err(Reported);
        };
        let Some(set) = self.data.get(data) else {
            return Err(Reported);
        };
        if !classes {
            return Ok(Value::Fields(vec![(field.text.clone(), loc)]));
        }
        if set.broken {
            return Err(Reported);
        }
        let text = matches!(set.request, Some(SourceRequest::Text { .. }));
        if text && (field.text == "characters" || field.text == "next") {
            return Ok(Value::Size(Poly::from(set.facts.vocabulary.len() as u64)));
        }
        let fact = self.fact(data, &field.text, loc)?;
        match levels_of(&fact) {
            Some(levels) => Ok(Value::Size(Poly::from(levels.len() as u64))),
            None => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`{}` has no classes", field.text),
                "only words and few whole numbers are classes",
            ),
        }
    }

    fn fact(&mut self, data: usize, name: &str, loc: Loc) -> Eval<ColumnFact> {
        let Some(set) = self.data.get(data) else {
            return Err(Reported);
        };
        // `pixels` is the family of `pixel_0_0` and its like, as the data crate reads it.
        let plural = |c: &&ColumnFact| {
            matches!(c.kind, FactKind::Vector { .. }) && name.strip_suffix('s') == Some(&c.name)
        };
        let exact = set.facts.columns.iter().find(|c| c.name == name);
        if let Some(fact) = exact.or_else(|| set.facts.columns.iter().find(plural)) {
            return Ok(fact.clone());
        }
        let mut known: Vec<&str> = set
            .facts
            .columns
            .iter()
            .filter(|c| matches!(c.kind, FactKind::Vector { .. }))
            .map(|c| c.name.as_str())
            .collect();
        known.extend(
            set.facts
                .columns
                .iter()
                .filter(|c| !matches!(c.kind, FactKind::Vector { .. }))
                .map(|c| c.name.as_str()),
        );
        let near = suggest(name, known.iter().copied());
        let help = near.map_or_else(
            || format!("it has {}", shortened(&known)),
            |n| format!("did you mean `{n}`?"),
        );
        self.fail(
            Code::DataUnknownColumn,
            loc,
            format!("the source has no column `{name}`"),
            help,
        )
    }

    /// Columns of a source become values where they are needed as such; a list of columns is a vector.
    pub(crate) fn read(&mut self, value: Value) -> Eval<Value> {
        match value {
            Value::Fields(fields) => self.materialise(&fields).map(Value::Tensor),
            Value::List(items)
                if !items.is_empty() && items.iter().all(|i| matches!(i, Value::Fields(_))) =>
            {
                let fields: Vec<(String, Loc)> = items
                    .into_iter()
                    .flat_map(|i| match i {
                        Value::Fields(fields) => fields,
                        _ => vec![],
                    })
                    .collect();
                self.materialise(&fields).map(Value::Tensor)
            }
            other => Ok(other),
        }
    }

    fn materialise(&mut self, fields: &[(String, Loc)]) -> Eval<Tensor> {
        let Some(reading) = self.reading.clone() else {
            return Err(Reported);
        };
        let Some(expected) = reading.expected.clone() else {
            return Err(Reported);
        };
        if let Some(reading) = &mut self.reading {
            reading
                .sources
                .extend(fields.iter().map(|(n, _)| n.clone()));
        }
        let Some(set) = self.data.get(reading.data) else {
            return Err(Reported);
        };
        if set.broken {
            let classes = expected.classes.map(|c| (c, reading.class_loc));
            let mut tensor = self.push(
                mmh_ir::Op::Input(Input::Column(0)),
                &[],
                expected.dtype,
                expected.dims,
            )?;
            tensor.classes = classes;
            tensor.made = Made::Column(u32::MAX);
            return Ok(tensor);
        }
        let request = set.request.clone();
        match request {
            Some(SourceRequest::Text { window, .. }) => {
                self.characters(fields, &expected, window, &reading)
            }
            _ => self.numbers_or_levels(fields, &expected, &reading),
        }
    }

    fn characters(
        &mut self,
        fields: &[(String, Loc)],
        expected: &Expected,
        window: u64,
        reading: &Reading,
    ) -> Eval<Tensor> {
        let Some((name, loc)) = fields.first() else {
            return Err(Reported);
        };
        let ahead = match name.as_str() {
            "characters" => 0,
            "next" => 1,
            _ => {
                return self.fail(
                    Code::DataUnknownColumn,
                    *loc,
                    format!("a text has no column `{name}`"),
                    "it has characters, next",
                );
            }
        };
        let vocabulary = self
            .data
            .get(reading.data)
            .map(|d| d.facts.vocabulary.clone())
            .unwrap_or_default();
        let count = Poly::from(vocabulary.len() as u64);
        self.note_levels(vocabulary.iter().map(char::to_string).collect());
        let dims = self.row_dims(expected, &[window], name, *loc)?;
        let kind = ColumnKind::Characters { ahead, vocabulary };
        self.raw(
            reading,
            kind,
            DType::I32,
            dims,
            Some((count, reading.class_loc)),
        )
    }

    fn note_levels(&mut self, levels: Vec<String>) {
        if let Some(reading) = &mut self.reading {
            reading.levels = levels;
        }
    }

    fn numbers_or_levels(
        &mut self,
        fields: &[(String, Loc)],
        expected: &Expected,
        reading: &Reading,
    ) -> Eval<Tensor> {
        let mut facts = Vec::new();
        for (name, loc) in fields {
            facts.push((self.fact(reading.data, name, *loc)?, *loc));
        }
        let Some((first, loc)) = facts.first().cloned() else {
            return Err(Reported);
        };
        match (&first.kind, facts.len()) {
            (FactKind::Images { dims }, 1) => {
                let dims = self.row_dims(expected, dims, &first.name, loc)?;
                let raw = self.raw(reading, ColumnKind::Images, DType::U8, dims, None)?;
                self.map(MapOp::ToF32, &[&raw])
            }
            (FactKind::Labels { classes }, 1) => {
                let count = expected.classes.clone().unwrap_or(Poly::from(*classes));
                let wanted = count.integer().unwrap_or(0);
                if i128::from(*classes) > wanted {
                    return self.fail(
                        Code::DataClassRange,
                        loc,
                        format!(
                            "the labels reach {}, and the type names {count} classes",
                            classes.saturating_sub(1)
                        ),
                        format!("write `class[{classes}]`"),
                    );
                }
                self.note_levels((0..wanted).map(|n| n.to_string()).collect());
                let kind = ColumnKind::Labels {
                    classes: u32::try_from(wanted).unwrap_or(u32::MAX),
                };
                let dims = self.row_dims(expected, &[], &first.name, loc)?;
                self.raw(
                    reading,
                    kind,
                    DType::I32,
                    dims,
                    Some((count, reading.class_loc)),
                )
            }
            (FactKind::Category { .. }, 1) => self.levels(&first, expected, reading, loc),
            (FactKind::Number { .. }, 1) if expected.dtype == DType::I32 => {
                self.levels(&first, expected, reading, loc)
            }
            _ => {
                let name = fields.first().map_or("", |(n, _)| n.as_str());
                self.numbers(name, &facts, expected, reading, loc)
            }
        }
    }

    fn levels(
        &mut self,
        fact: &ColumnFact,
        expected: &Expected,
        reading: &Reading,
        loc: Loc,
    ) -> Eval<Tensor> {
        let Some(found) = levels_of(fact) else {
            return self.fail(
                Code::DataNotANumber,
                loc,
                format!("`{}` has too many different values for classes", fact.name),
                "take it as a number: `f32`",
            );
        };
        let extra = i128::from(reading.optional);
        let wanted = expected
            .classes
            .as_ref()
            .and_then(Poly::integer)
            .map(|n| n - extra);
        let levels = match wanted {
            Some(n) => self.fitted(fact, found, n, loc)?,
            None => found,
        };
        if fact.missing > 0 {
            let number = self
                .data
                .get(reading.data)
                .map_or(0, |d| d.raw.len() as u32);
            if let Some(reading) = &mut self.reading {
                reading
                    .open
                    .push((number, fact.name.clone(), fact.missing, loc));
            }
        }
        let mut names = levels.clone();
        if reading.optional {
            names.push("missing".into());
        }
        self.note_levels(names);
        let count = Poly::from(levels.len() as u64);
        let kind = ColumnKind::Levels {
            field: fact.name.clone(),
            levels,
        };
        let dims = self.row_dims(expected, &[], &fact.name, loc);
        let dims = match (expected.classes.is_some(), dims) {
            (true, dims) => dims?,
            (false, _) => vec![self.batch_dim()],
        };
        let tensor = self.raw(
            reading,
            kind,
            DType::I32,
            dims,
            Some((count, reading.class_loc)),
        )?;
        self.renumber(&tensor);
        Ok(tensor)
    }

    // The raw column may have been there before: what is open is open under its number.
    fn renumber(&mut self, tensor: &Tensor) {
        if let (Made::Column(number), Some(reading)) = (tensor.made, &mut self.reading)
            && let Some(last) = reading.open.last_mut()
        {
            last.0 = number;
        }
    }

    // Whole numbers 0.. are their own class; other words must be as many as are declared.
    fn fitted(
        &mut self,
        fact: &ColumnFact,
        found: Vec<String>,
        wanted: i128,
        loc: Loc,
    ) -> Eval<Vec<String>> {
        let whole: Option<Vec<i128>> = found.iter().map(|l| l.parse().ok()).collect();
        if let Some(outside) = whole
            .as_ref()
            .filter(|w| w.first().is_some_and(|n| *n == 0))
            .and_then(|w| w.iter().find(|n| **n >= wanted))
        {
            let message = format!(
                "`{}` holds {outside}, and {wanted} classes are 0 to {}",
                fact.name,
                wanted - 1
            );
            return self.fail(
                Code::DataClassRange,
                loc,
                message,
                format!("write `class[{}]`", outside + 1),
            );
        }
        if whole.is_some_and(|w| w.iter().all(|n| (0..wanted).contains(n))) && wanted <= 1 << 20 {
            return Ok((0..wanted).map(|n| n.to_string()).collect());
        }
        if found.len() as i128 != wanted {
            let message = format!(
                "`{}` holds {} different values, and {wanted} classes are declared",
                fact.name,
                found.len()
            );
            return self.fail(
                Code::DataClassRange,
                loc,
                message,
                format!("write `class[source.{}.classes]`", fact.name),
            );
        }
        Ok(found)
    }

    fn numbers(
        &mut self,
        name: &str,
        facts: &[(ColumnFact, Loc)],
        expected: &Expected,
        reading: &Reading,
        loc: Loc,
    ) -> Eval<Tensor> {
        let mut fields = Vec::new();
        let mut sizes: Vec<u64> = Vec::new();
        let mut missing = 0;
        for (fact, loc) in facts {
            match &fact.kind {
                FactKind::Number { .. } => fields.push(fact.name.clone()),
                FactKind::Vector { dims, fields: own } => {
                    fields.extend(own.iter().cloned());
                    sizes.clone_from(dims);
                }
                FactKind::Category { .. } => {
                    return self.fail(
                        Code::DataNotANumber,
                        *loc,
                        format!("`{}` holds words, not numbers", fact.name),
                        "declare it as `class[…]`",
                    );
                }
                FactKind::Images { .. } | FactKind::Labels { .. } => {
                    return self.fail(
                        Code::TypeMismatch,
                        *loc,
                        format!("`{}` cannot be joined with other columns", fact.name),
                        "take it alone",
                    );
                }
            }
            missing += fact.missing;
        }
        if facts.len() > 1 {
            sizes = vec![fields.len() as u64];
        }
        let dims = self.row_dims(expected, &sizes, name, loc)?;
        let tensor = self.raw(
            reading,
            ColumnKind::Numbers { fields },
            DType::F32,
            dims,
            None,
        )?;
        if let (Made::Column(number), true, Some(reading)) =
            (tensor.made, missing > 0, &mut self.reading)
        {
            reading.open.push((number, name.to_string(), missing, loc));
        }
        Ok(tensor)
    }

    /// The axes of a raw column: those of the declared type if it has as many elements.
    fn row_dims(
        &mut self,
        expected: &Expected,
        sizes: &[u64],
        name: &str,
        loc: Loc,
    ) -> Eval<Vec<Dim>> {
        let total: u64 = sizes.iter().product();
        let declared: Vec<Dim> = expected
            .dims
            .iter()
            .filter(|d| d.axis.as_str() != "batch")
            .cloned()
            .collect();
        let count = declared
            .iter()
            .fold(Poly::number(1), |p, d| p.multiply(&d.size));
        let batch = self.batch_dim();
        if sizes.is_empty() {
            return Ok(vec![batch]);
        }
        let plain: Vec<u64> = declared
            .iter()
            .filter_map(|d| d.size.integer().and_then(|n| u64::try_from(n).ok()))
            .filter(|n| *n != 1)
            .collect();
        let own: Vec<u64> = sizes.iter().copied().filter(|n| *n != 1).collect();
        let alike = own.len() < 2 || plain == own || plain.len() == 1;
        if count.integer() == Some(i128::from(total)) && alike {
            return Ok([batch].into_iter().chain(declared).collect());
        }
        let shape = sizes
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(" × ");
        let types = reading_type(self);
        let mut diagnostic = Diagnostic::error(
            Code::ShapeMismatch,
            format!("`source.{name}` has {shape} values a row, and the type asks for {count}"),
        )
        .at(loc.source, loc.span, format!("{shape} values"))
        .help(format!("give the type axes with {shape} elements"));
        if let Some(types) = types {
            diagnostic = diagnostic.and(types.source, types.span, "declared here");
        }
        Err(self.report(diagnostic))
    }

    fn raw(
        &mut self,
        reading: &Reading,
        kind: ColumnKind,
        dtype: DType,
        dims: Vec<Dim>,
        classes: Option<(Poly, Loc)>,
    ) -> Eval<Tensor> {
        let shape: Vec<IrDim> = dims
            .iter()
            .filter(|d| d.axis.as_str() != "batch")
            .filter_map(|d| {
                Some(IrDim {
                    axis: d.axis.clone(),
                    size: usize::try_from(d.size.integer()?).ok()?,
                })
            })
            .collect();
        let ty = Type::new(dtype, Shape(shape));
        let Some(set) = self.data.get_mut(reading.data) else {
            return Err(Reported);
        };
        let known = set.raw.iter().position(|c| c.kind == kind && c.ty == ty);
        let number = known.unwrap_or_else(|| {
            set.raw.push(ColumnPlan {
                name: reading.name.clone(),
                kind,
                ty,
            });
            set.raw.len() - 1
        }) as u32;
        let mut tensor = self.input(Input::Column(number), dtype, dims)?;
        tensor.classes = classes;
        tensor.made = Made::Column(number);
        Ok(tensor)
    }

    /// The number of a statistic of a raw column.
    pub(crate) fn statistic(
        &mut self,
        column: u32,
        kind: StatisticKind,
        dtype: DType,
        dims: &[Dim],
    ) -> Eval<u32> {
        let shape: Vec<IrDim> = dims
            .iter()
            .filter_map(|d| {
                Some(IrDim {
                    axis: d.axis.clone(),
                    size: usize::try_from(d.size.integer()?).ok()?,
                })
            })
            .collect();
        let wanted = StatisticPlan {
            column,
            kind,
            ty: Type::new(dtype, Shape(shape)),
        };
        let Some(set) = self
            .reading
            .as_ref()
            .map(|r| r.data)
            .and_then(|d| self.data.get_mut(d))
        else {
            return Err(Reported);
        };
        let known = set.statistics.iter().position(|s| *s == wanted);
        Ok(known.unwrap_or_else(|| {
            set.statistics.push(wanted);
            set.statistics.len() - 1
        }) as u32)
    }
}

fn reading_type(cx: &Cx<'_>) -> Option<Loc> {
    cx.reading
        .as_ref()
        .map(|r| r.class_loc)
        .filter(|l| !l.span.is_empty())
}

fn levels_of(fact: &ColumnFact) -> Option<Vec<String>> {
    match &fact.kind {
        FactKind::Number { levels } => levels.clone(),
        FactKind::Category { levels } => Some(levels.clone()),
        FactKind::Labels { classes } => Some((0..*classes).map(|n| n.to_string()).collect()),
        FactKind::Vector { .. } | FactKind::Images { .. } => None,
    }
}

fn shortened(names: &[&str]) -> String {
    match names {
        [a, b, c, d, e, f, g, h, _, ..] => {
            format!("{}, …", [*a, *b, *c, *d, *e, *f, *g, *h].join(", "))
        }
        few => few.join(", "),
    }
}

impl DataSet {
    /// The plan of a set without mistakes.
    pub(crate) fn plan(&self) -> Option<DataPlan> {
        let mut hashes = self.facts.files.iter();
        let mut file = |path: &str| FilePlan {
            path: path.to_string(),
            blake3: hashes.next().cloned().unwrap_or_default(),
        };
        let source = match self.request.as_ref()? {
            SourceRequest::Csv { file: f, delimiter } => SourcePlan::Csv {
                file: file(&f.path),
                delimiter: *delimiter,
            },
            SourceRequest::Idx { images, labels } => SourcePlan::Idx {
                images: images.iter().map(|f| file(&f.path)).collect(),
                labels: labels.iter().map(|f| file(&f.path)).collect(),
            },
            SourceRequest::Text {
                file: f,
                window,
                stride,
            } => SourcePlan::Text {
                file: file(&f.path),
                window: *window,
                stride: *stride,
            },
        };
        let whole = SplitPlan {
            kind: SplitKind::Sequential,
            shares: [1_000_000, 0, 0],
            site: format!("{}.split", self.name),
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
