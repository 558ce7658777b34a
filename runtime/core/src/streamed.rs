//! Columns whose rows stay on the disk: the counterpart of what `read` does in memory.

use crate::data::Stored;
use crate::failure::RunFailure;
use crate::read::{misfit, sizes};
use crate::split::NEXT;
use mmh_data::{AnyColumn, Column, Elements, Missing, Records, Source, Streamed, Values};
use mmh_ir::DType;
use mmh_ir::plan::{ColumnKind, ColumnPlan};
use std::borrow::Cow;

/// A column as decoded, wherever its rows are.
pub(crate) enum Held {
    Memory(Column),
    Streamed(Streamed),
}

impl Held {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Memory(column) => &column.name,
            Self::Streamed(column) => &column.name,
        }
    }

    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Memory(column) => column.width(),
            Self::Streamed(column) => column.width(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Memory(column) => column.rows(),
            Self::Streamed(column) => column.rows() as usize,
        }
    }

    pub(crate) fn any(&self) -> AnyColumn<'_> {
        match self {
            Self::Memory(column) => AnyColumn::Memory(column),
            Self::Streamed(column) => AnyColumn::Streamed(column),
        }
    }

    /// The column in memory: four bytes a row for the one that a split goes by.
    pub(crate) fn in_memory(&self) -> Result<Cow<'_, Column>, RunFailure> {
        match self {
            Self::Memory(column) => Ok(Cow::Borrowed(column)),
            Self::Streamed(column) => Ok(Cow::Owned(column.collect()?)),
        }
    }

    /// The column in memory, if it has these levels.
    pub(crate) fn with(&self, wanted: &[String]) -> Option<&Column> {
        match self {
            Self::Memory(column) => match &column.values {
                Values::Class { levels, .. } if levels == wanted => Some(column),
                Values::Class { .. } | Values::F32(_) | Values::U8(_) | Values::I32(_) => None,
            },
            Self::Streamed(_) => None,
        }
    }
}

/// A column of a table.
pub(crate) fn table_column(source: &Source, plan: &ColumnPlan) -> Result<Streamed, RunFailure> {
    match &plan.kind {
        ColumnKind::Numbers { fields } => {
            let parts = fields
                .iter()
                .map(|field| source.stream_numbers(field, Missing::Allowed));
            let parts = parts.collect::<Result<Vec<Streamed>, _>>()?;
            let width: usize = parts.iter().map(Streamed::width).sum();
            if width != plan.ty.shape.elements() {
                return Err(misfit(plan));
            }
            Ok(Streamed::beside(&plan.name, sizes(plan), parts)?)
        }
        ColumnKind::Levels { field, levels } => {
            let mut column = source.stream_levels(field, levels, Missing::Allowed)?;
            column.name = plan.name.clone();
            Ok(column)
        }
        ColumnKind::Images | ColumnKind::Labels { .. } | ColumnKind::Characters { .. } => {
            Err(misfit(plan))
        }
    }
}

/// The pictures of several files, one behind another.
pub(crate) fn pictures(sources: &[Source], plan: &ColumnPlan) -> Result<Streamed, RunFailure> {
    let mut whole: Option<Streamed> = None;
    for source in sources {
        let mut part = source.stream_numbers("values", Missing::Refused)?;
        part.name = plan.name.clone();
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                if !whole.append(part) {
                    return Err(misfit(plan));
                }
            }
        }
    }
    whole.ok_or_else(|| misfit(plan))
}

/// The form in which a column is fed, checked against its type. Columns of the same rows share `records`, which are in memory
/// if they take at most `memory` bytes there.
pub(crate) fn store(
    column: Streamed,
    plan: &ColumnPlan,
    windows: Option<(u64, u64)>,
    memory: u64,
    records: &mut Vec<Records>,
) -> Result<Stored, RunFailure> {
    let number = match records.iter().position(|known| known.hold(&column)) {
        Some(known) => known,
        None => {
            let reaches = windows.map(|(window, stride)| (window.saturating_add(NEXT), stride));
            records.push(Records::of(&column, reaches, memory)?);
            records.len() - 1
        }
    };
    let dtype = match column.no_elements() {
        Elements::F32(_) => DType::F32,
        Elements::I32(_) => DType::I32,
        Elements::U8(_) => DType::U8,
    };
    let elements = plan.ty.shape.elements();
    if dtype != plan.ty.dtype {
        return Err(misfit(plan));
    }
    match (&plan.kind, windows) {
        (ColumnKind::Characters { ahead, .. }, Some((window, _))) if elements as u64 == window => {
            Ok(Stored::StreamedWindows {
                column,
                records: number,
                window: window as usize,
                ahead: *ahead as usize,
            })
        }
        (_, None) if column.width() == elements => Ok(Stored::Streamed {
            column,
            records: number,
        }),
        (_, _) => Err(misfit(plan)),
    }
}
