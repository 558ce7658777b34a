//! From a data set's files to typed columns.

use crate::data::{Stock, Stored};
use crate::failure::RunFailure;
use crate::pack::DataFile;
use crate::split::{NEXT, text_windows};
use crate::streamed::{self, Held};
use mmh_data::{
    Bitmap, Column, CsvOptions, Delimiter, Limits, Missing, Open, Source, Streaming, Values,
};
use mmh_ir::DType;
use mmh_ir::device::Tensor;
use mmh_ir::plan::{ColumnKind, ColumnPlan, DataPlan, FilePlan, SourcePlan, Within};
use std::path::Path;
use std::sync::Arc;

/// Columns as decoded; for a text one column with a character a row for each vocabulary.
pub(crate) struct Decoded {
    /// Columns in the plan's order; for a text, the characters.
    pub(crate) columns: Vec<Held>,
    /// Rows of the data set.
    pub(crate) rows: u32,
    /// Rows of the last file of an IDX source.
    pub(crate) last: u32,
    /// Characters of a text.
    pub(crate) characters: u64,
    /// blake3 of the content.
    pub(crate) hash: blake3::Hash,
    /// Paths and hashes of the files.
    pub(crate) files: Vec<(String, String)>,
}

/// Reads the files of a data set and checks each hash.
pub(crate) fn decode(plan: &DataPlan, base: &Path, limits: Limits) -> Result<Decoded, RunFailure> {
    let reader = Reader { base, limits };
    match &plan.source {
        SourcePlan::Csv { file, delimiter } => reader.csv(plan, file, *delimiter),
        SourcePlan::Idx { images, labels } => reader.idx(plan, images, labels),
        SourcePlan::Text {
            file,
            window,
            stride,
        } => reader.text(plan, file, *window, *stride),
        SourcePlan::Bytes {
            file,
            window,
            stride,
        } => reader.bytes(plan, file, *window, *stride),
    }
}

/// The columns that `wanted` marks, read from a file of the same kind as the data's; the others are empty. For rows to predict.
pub(crate) fn read_rows(
    plan: &DataPlan,
    wanted: &[bool],
    path: &Path,
) -> Result<(Vec<Tensor>, usize), RunFailure> {
    let open = Open::path(path);
    let source = match &plan.source {
        SourcePlan::Csv { .. } => open.csv(CsvOptions::default())?,
        SourcePlan::Idx { .. } => open.idx()?,
        SourcePlan::Bytes { window, stride, .. } => {
            let file = DataFile {
                path,
                shown: &path.display().to_string(),
                pinned: None,
                within: &Within::Plain,
                limits: Limits::default(),
            };
            file.rows_of_bytes(*window, *stride)?
        }
        SourcePlan::Text { .. } => {
            return Err(RunFailure::Request(
                "a model of text takes a prompt, not a file".to_owned(),
            ));
        }
    };
    let pictures = match &plan.source {
        SourcePlan::Bytes { .. } => "bytes",
        SourcePlan::Csv { .. } | SourcePlan::Idx { .. } | SourcePlan::Text { .. } => "values",
    };
    let read = |(plan, wanted): (&ColumnPlan, &bool)| {
        if !wanted {
            return Ok(Tensor::zeros(plan.ty.dtype, 0));
        }
        let column = match &plan.kind {
            ColumnKind::Images => source.numeric(pictures, Missing::Refused)?,
            ColumnKind::Labels { classes } => source.class("values", *classes, Missing::Refused)?,
            ColumnKind::Numbers { .. }
            | ColumnKind::Levels { .. }
            | ColumnKind::Characters { .. } => table_column(&source, plan)?,
        };
        let fits = column.width() == plan.ty.shape.elements();
        let values = fed(column);
        if fits && values.dtype() == plan.ty.dtype {
            Ok(values)
        } else {
            Err(misfit(plan))
        }
    };
    let columns: Result<Vec<Tensor>, RunFailure> =
        plan.columns.iter().zip(wanted).map(read).collect();
    Ok((columns?, source.rows()))
}

struct Reader<'a> {
    base: &'a Path,
    limits: Limits,
}

impl Reader<'_> {
    fn csv(
        &self,
        plan: &DataPlan,
        file: &FilePlan,
        delimiter: Option<char>,
    ) -> Result<Decoded, RunFailure> {
        let delimiter = match delimiter {
            None => Delimiter::Auto,
            Some(',') => Delimiter::Comma,
            Some(';') => Delimiter::Semicolon,
            Some('\t') => Delimiter::Tab,
            Some(other) => {
                return Err(RunFailure::Plan(format!(
                    "`{other}` cannot separate fields"
                )));
            }
        };
        let options = CsvOptions {
            delimiter,
            ..CsvOptions::default()
        };
        let source = self.open(file, |open| open.csv(options))?;
        let columns = plan
            .columns
            .iter()
            .map(|column| match source.is_streamed() {
                true => streamed::table_column(&source, column).map(Held::Streamed),
                false => table_column(&source, column).map(Held::Memory),
            });
        let columns: Result<Vec<Held>, RunFailure> = columns.collect();
        let rows = narrow(source.rows())?;
        finish(columns?, rows, rows, &[&source], &[file])
    }

    fn idx(
        &self,
        plan: &DataPlan,
        images: &[FilePlan],
        labels: &[FilePlan],
    ) -> Result<Decoded, RunFailure> {
        let open = |files: &[FilePlan]| -> Result<Vec<Source>, RunFailure> {
            files
                .iter()
                .map(|file| self.open(file, |open| open.idx()))
                .collect()
        };
        let (mut images_read, labels_read) = (open(images)?, open(labels)?);
        let is_streamed = images_read.iter().any(Source::is_streamed);
        if is_streamed && !images_read.iter().all(Source::is_streamed) {
            // Rows of one column are in one place.
            let all = self.streaming_all();
            let open = |file| all.open(file, |open| open.idx());
            images_read = images.iter().map(open).collect::<Result<_, _>>()?;
        }
        mmh_data::check_pairs(&images_read, &labels_read)?;
        let mut columns = Vec::new();
        for column in &plan.columns {
            let parts: Result<Vec<Column>, RunFailure> = match &column.kind {
                ColumnKind::Images if is_streamed => {
                    columns.push(Held::Streamed(streamed::pictures(&images_read, column)?));
                    continue;
                }
                ColumnKind::Images => images_read
                    .iter()
                    .map(|file| Ok(file.numeric("values", Missing::Refused)?))
                    .collect(),
                ColumnKind::Labels { classes } => labels_read
                    .iter()
                    .map(|file| Ok(file.class("values", *classes, Missing::Refused)?))
                    .collect(),
                ColumnKind::Numbers { .. }
                | ColumnKind::Levels { .. }
                | ColumnKind::Characters { .. } => {
                    return Err(misfit(column));
                }
            };
            columns.push(Held::Memory(join(column, parts?)?));
        }
        let rows = columns.first().map_or(0, Held::rows);
        let last = images_read
            .last()
            .or(labels_read.last())
            .map_or(0, Source::rows);
        let sources: Vec<&Source> = images_read.iter().chain(&labels_read).collect();
        let files: Vec<&FilePlan> = images.iter().chain(labels).collect();
        finish(columns, narrow(rows)?, narrow(last)?, &sources, &files)
    }

    fn text(
        &self,
        plan: &DataPlan,
        file: &FilePlan,
        window: u64,
        stride: u64,
    ) -> Result<Decoded, RunFailure> {
        let source = self.open(file, |open| open.text())?;
        let mut columns: Vec<Held> = Vec::new();
        for column in &plan.columns {
            let ColumnKind::Characters { ahead, vocabulary } = &column.kind else {
                return Err(misfit(column));
            };
            if *ahead > NEXT {
                return Err(misfit(column));
            }
            let levels: Vec<String> = vocabulary.iter().map(char::to_string).collect();
            if source.is_streamed() {
                let mut characters = source.stream_levels("text", &levels, Missing::Refused)?;
                characters.name = column.name.clone();
                columns.push(Held::Streamed(characters));
                continue;
            }
            let mut characters = match columns.iter().find_map(|known| known.with(&levels)) {
                Some(known) => known.clone(),
                None => source.category_of("text", &levels, Missing::Refused)?,
            };
            characters.name = column.name.clone();
            columns.push(Held::Memory(characters));
        }
        let characters = source.rows() as u64;
        let rows = text_windows(characters, window, stride, NEXT);
        let rows = u32::try_from(rows).map_err(|_| too_many(rows))?;
        let decoded = finish(columns, rows, rows, &[&source], &[file])?;
        Ok(Decoded {
            characters,
            ..decoded
        })
    }

    fn open(
        &self,
        file: &FilePlan,
        read: impl FnOnce(Open<'_>) -> Result<Source, mmh_data::DataError>,
    ) -> Result<Source, RunFailure> {
        let path = self.base.join(&file.path);
        Ok(self.file(file, &path).read(read)?)
    }

    fn file<'a>(&self, file: &'a FilePlan, path: &'a Path) -> DataFile<'a> {
        DataFile {
            path,
            shown: &file.path,
            pinned: Some(&file.blake3),
            within: &file.within,
            limits: self.limits,
        }
    }

    fn bytes(
        &self,
        plan: &DataPlan,
        file: &FilePlan,
        window: u64,
        stride: u64,
    ) -> Result<Decoded, RunFailure> {
        let path = self.base.join(&file.path);
        let source = self.file(file, &path).rows_of_bytes(window, stride)?;
        let column = |column: &ColumnPlan| match &column.kind {
            ColumnKind::Images => {
                let mut bytes = source.numeric("bytes", Missing::Refused)?;
                bytes.name = column.name.clone();
                Ok(bytes)
            }
            ColumnKind::Levels { .. } => table_column(&source, column),
            ColumnKind::Numbers { .. }
            | ColumnKind::Labels { .. }
            | ColumnKind::Characters { .. } => Err(misfit(column)),
        };
        let columns = plan.columns.iter().map(column);
        let columns: Result<Vec<Held>, RunFailure> =
            columns.map(|column| column.map(Held::Memory)).collect();
        let rows = narrow(source.rows())?;
        finish(columns?, rows, rows, &[&source], &[file])
    }

    /// The same, with every file streamed.
    fn streaming_all(&self) -> Reader<'_> {
        let mut limits = self.limits;
        limits.streaming = limits.streaming.map(|streaming| Streaming {
            memory: 0,
            ..streaming
        });
        Reader {
            base: self.base,
            limits,
        }
    }
}

fn finish(
    columns: Vec<Held>,
    rows: u32,
    last: u32,
    sources: &[&Source],
    files: &[&FilePlan],
) -> Result<Decoded, RunFailure> {
    let hash = mmh_data::data_hash_of(&columns.iter().map(Held::any).collect::<Vec<_>>())?;
    let hashes = sources
        .iter()
        .map(|source| source.file_hash().to_hex().to_string());
    let files = files
        .iter()
        .map(|file| file.path.clone())
        .zip(hashes)
        .collect();
    Ok(Decoded {
        columns,
        rows,
        last,
        characters: 0,
        hash,
        files,
    })
}

fn table_column(source: &Source, plan: &ColumnPlan) -> Result<Column, RunFailure> {
    match &plan.kind {
        ColumnKind::Numbers { fields } => {
            let parts: Result<Vec<Column>, RunFailure> = fields
                .iter()
                .map(|field| Ok(source.numeric(field, Missing::Allowed)?))
                .collect();
            beside(plan, &parts?, source.rows())
        }
        ColumnKind::Levels { field, levels } => {
            let mut column = source.category_of(field, levels, Missing::Allowed)?;
            column.name = plan.name.clone();
            Ok(column)
        }
        ColumnKind::Images | ColumnKind::Labels { .. } | ColumnKind::Characters { .. } => {
            Err(misfit(plan))
        }
    }
}

/// Number columns side by side as one vector a row.
fn beside(plan: &ColumnPlan, parts: &[Column], rows: usize) -> Result<Column, RunFailure> {
    let width: usize = parts.iter().map(Column::width).sum();
    if width != plan.ty.shape.elements() {
        return Err(misfit(plan));
    }
    let mut values = Vec::with_capacity(rows * width);
    let mut missing = Bitmap::new(rows * width);
    for row in 0..rows {
        for part in parts {
            let Values::F32(numbers) = &part.values else {
                return Err(misfit(plan));
            };
            let start = row * part.width();
            for element in start..start + part.width() {
                if part.is_missing(element) {
                    missing.set(values.len());
                }
                values.push(numbers.get(element).copied().ok_or_else(|| misfit(plan))?);
            }
        }
    }
    let missing = Some(missing).filter(|missing| missing.count() > 0);
    Ok(Column {
        name: plan.name.clone(),
        shape: sizes(plan),
        values: Values::F32(values),
        missing,
    })
}

/// Columns one behind another.
fn join(plan: &ColumnPlan, parts: Vec<Column>) -> Result<Column, RunFailure> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().ok_or_else(|| misfit(plan))?;
    for part in parts {
        match (&mut whole.values, part.values) {
            (Values::U8(whole), Values::U8(part)) => whole.extend(part),
            (Values::I32(whole), Values::I32(part)) => whole.extend(part),
            (Values::F32(whole), Values::F32(part)) => whole.extend(part),
            (
                Values::Class { ids: whole, levels },
                Values::Class {
                    ids: part,
                    levels: others,
                },
            ) if *levels == others => {
                whole.extend(part);
            }
            (Values::U8(_) | Values::I32(_) | Values::F32(_) | Values::Class { .. }, _) => {
                return Err(misfit(plan));
            }
        }
        if whole.shape != part.shape {
            return Err(misfit(plan));
        }
    }
    whole.name = plan.name.clone();
    Ok(whole)
}

impl Decoded {
    /// The columns in the form they are fed in, checked against the plan's types.
    pub(crate) fn store(self, plan: &DataPlan, limits: &Limits) -> Result<Stock, RunFailure> {
        let memory = limits.streaming.map_or(0, |streaming| streaming.memory);
        let mut stock = Stock::default();
        let mut texts: Vec<(Vec<u32>, Arc<[i32]>)> = Vec::new();
        for (column, column_plan) in self.columns.into_iter().zip(&plan.columns) {
            let windows = match plan.source {
                SourcePlan::Text { window, stride, .. } => Some((window, stride)),
                SourcePlan::Csv { .. } | SourcePlan::Idx { .. } | SourcePlan::Bytes { .. } => None,
            };
            let stored = match (column, windows) {
                (Held::Streamed(column), windows) => {
                    streamed::store(column, column_plan, windows, memory, &mut stock.records)?
                }
                (Held::Memory(column), Some(windows)) => {
                    window(column, column_plan, windows, &mut texts)?
                }
                (Held::Memory(column), None) => {
                    let width = column.width();
                    let values = fed(column);
                    let ty = &column_plan.ty;
                    if values.dtype() != ty.dtype || width != ty.shape.elements() {
                        return Err(misfit(column_plan));
                    }
                    Stored::Rows { values, width }
                }
            };
            stock.columns.push(stored);
        }
        Ok(stock)
    }
}

/// A text's characters as windows into it; one that is known is shared.
fn window(
    column: Column,
    plan: &ColumnPlan,
    (window, stride): (u64, u64),
    texts: &mut Vec<(Vec<u32>, Arc<[i32]>)>,
) -> Result<Stored, RunFailure> {
    let (Values::Class { ids, .. }, ColumnKind::Characters { ahead, .. }) =
        (column.values, &plan.kind)
    else {
        return Err(misfit(plan));
    };
    if plan.ty.dtype != DType::I32 || plan.ty.shape.elements() as u64 != window {
        return Err(misfit(plan));
    }
    let text = match texts.iter().find(|(known, _)| *known == ids) {
        Some((_, text)) => Arc::clone(text),
        None => ids.iter().map(|&id| id.cast_signed()).collect(),
    };
    texts.push((ids, Arc::clone(&text)));
    Ok(Stored::Windows {
        text,
        window: window as usize,
        stride: stride as usize,
        ahead: *ahead as usize,
    })
}

/// A column's elements as programs read them: missing numbers NaN, missing levels −1.
fn fed(column: Column) -> Tensor {
    let missing = column.missing;
    let is_missing = |element: usize| missing.as_ref().is_some_and(|missing| missing.get(element));
    match column.values {
        Values::F32(mut values) => {
            for (element, value) in values.iter_mut().enumerate() {
                if is_missing(element) {
                    *value = f32::from_bits(mmh_numerics::NAN_BITS);
                }
            }
            Tensor::F32(values)
        }
        Values::Class { ids, .. } => {
            let level = |(element, id): (usize, u32)| {
                if is_missing(element) {
                    -1
                } else {
                    id.cast_signed()
                }
            };
            Tensor::I32(ids.into_iter().enumerate().map(level).collect())
        }
        Values::I32(values) => Tensor::I32(values),
        Values::U8(values) => Tensor::U8(values),
    }
}

pub(crate) fn sizes(plan: &ColumnPlan) -> Vec<u32> {
    plan.ty
        .shape
        .sizes()
        .iter()
        .map(|&size| u32::try_from(size).unwrap_or(u32::MAX))
        .collect()
}

fn narrow(rows: usize) -> Result<u32, RunFailure> {
    u32::try_from(rows).map_err(|_| too_many(rows as u64))
}

fn too_many(rows: u64) -> RunFailure {
    RunFailure::Plan(format!("{rows} rows are more than 2³² − 1"))
}

pub(crate) fn misfit(plan: &ColumnPlan) -> RunFailure {
    RunFailure::Plan(format!(
        "column `{}` is not {} in its files",
        plan.name, plan.ty
    ))
}
