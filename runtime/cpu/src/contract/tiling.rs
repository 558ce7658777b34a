//! How outputs divide into panels of columns and tiles of rows. Nothing here can be seen in the bits.

use std::ops::Range;

use super::kernel::{Ahead, Kernels, LINE, Segment, Tile};
use crate::memory::{Scratch, scratch};

/// Contracted indices from which the outputs are fetched beforehand.
const LONG: usize = 64;

/// Output columns cut into panels as wide as a tile; the last may be narrower.
#[derive(Clone, Copy)]
pub(crate) struct Panels {
    pub(crate) columns: usize,
    /// Columns of a whole panel, a multiple of the vector.
    pub(crate) width: usize,
    /// Highest tile of that width.
    pub(crate) rows: usize,
    lanes: usize,
}

/// One panel of columns.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) start: usize,
    /// Columns that exist.
    pub(crate) columns: usize,
    /// Columns rounded up to whole vectors.
    pub(crate) width: usize,
}

impl Panels {
    pub(crate) fn new(kernels: &Kernels, columns: usize) -> Self {
        let most = kernels.tiles.len();
        let steps = columns.div_ceil(kernels.lanes);
        let width = if steps <= most {
            steps.max(1)
        } else {
            // Two thirds of the widest make the squarest tile. Others are taken where that would leave a narrow rest,
            // with too few chains in flight to hide the latency of fma.
            let rest = |width: usize| (steps - 1) % width + 1;
            let widths = [most * 2 / 3, most, most - most / 6];
            let enough = |width: &usize| 2 * rest(*width) > *width;
            widths.into_iter().find(enough).unwrap_or(widths[0])
        };
        let rows = kernels.tiles[width - 1].len();
        Self {
            columns,
            width: width * kernels.lanes,
            rows,
            lanes: kernels.lanes,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// All columns, the last panel rounded up to whole vectors.
    pub(crate) fn padded(&self) -> usize {
        self.columns.next_multiple_of(self.lanes)
    }

    pub(crate) fn panel(&self, place: usize) -> Panel {
        let start = place * self.width;
        let columns = self.width.min(self.columns - start);
        Panel {
            start,
            columns,
            width: columns.next_multiple_of(self.lanes),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Panel> + use<> {
        let panels = *self;
        (0..panels.count()).map(move |place| panels.panel(place))
    }
}

/// Cuts `0..count` into the fewest parts of at most `limit`, their sizes differing by at most one.
pub(crate) fn even_parts(count: usize, limit: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = count.div_ceil(limit.max(1));
    (0..parts).map(move |part| part_of(count, parts, part))
}

/// Part number `part` of `0..count` cut into `parts` nearly equal parts, longer ones first.
pub(crate) fn part_of(count: usize, parts: usize, part: usize) -> Range<usize> {
    let (base, longer) = (count / parts, count % parts);
    let start = part * base + part.min(longer);
    start..start + base + usize::from(part < longer)
}

/// Where the right operands of a panel lie: those of index 0, and the step to the next.
#[derive(Clone, Copy)]
pub(crate) struct Right {
    pub(crate) first: *const f32,
    pub(crate) step: usize,
    /// Indices to fetch before the panel's turn: those of operands that nobody has copied or read before.
    pub(crate) far: usize,
}

impl Right {
    /// What some of a panel's tiles, `before` of `tiles`, leave to the next of them to fetch, if each runs over `present`
    /// indices.
    fn ahead(&self, present: usize, tiles: usize, before: usize) -> Ahead {
        if self.far == 0 {
            return Ahead::NOTHING;
        }
        let times = present / LINE;
        let at_once = self.far.div_ceil((tiles * times).max(1));
        let done = at_once * times * before;
        if times == 0 || done >= self.far {
            return Ahead::NOTHING;
        }
        Ahead {
            next: self.first.wrapping_add(done * self.step),
            step: self.step,
            left: self.far - done,
            at_once,
        }
    }
}

/// Pointers of some rows: their left operands, and their outputs.
pub(crate) struct Tables {
    memory: Scratch,
    rows: usize,
}

impl Tables {
    pub(crate) fn new(rows: usize) -> Self {
        let floats = size_of::<*const f32>() / size_of::<f32>();
        Self {
            memory: scratch(2 * rows * floats),
            rows,
        }
    }

    /// Room for as many pointers as there are rows. The memory is aligned for them: it starts on a cache line.
    pub(crate) fn lefts(&mut self) -> *mut *const f32 {
        self.memory.as_mut_ptr().cast()
    }

    /// The same for outputs.
    pub(crate) fn outputs(&mut self) -> *mut *mut f32 {
        self.memory
            .as_mut_ptr()
            .cast::<*mut f32>()
            .wrapping_add(self.rows)
    }
}

/// How much of a block a tile takes.
pub(crate) enum Take {
    Nothing,
    Whole,
    /// Only these indices, counted from the block's first.
    Part(Range<usize>),
}

/// Runs the kernel on every tile of one block: the table's rows by all panels; where panels come first, from row `first`
/// of each on.
///
/// # Safety
/// The table holds `count` pointers of each kind; with them, `right` and what `place` sets, every tile must fulfil the
/// contract of a tile function.
pub(crate) unsafe fn sweep(
    kernels: &Kernels,
    panels: &Panels,
    table: &RowTable,
    right: impl Fn(Panel) -> Right,
    first: impl Fn(Panel) -> usize,
    place: impl Fn(Panel, &Range<usize>, &mut Tile) -> Take,
) {
    let present: usize = table.segments.iter().map(|segment| segment.length).sum();
    let segments = if present > 0 { table.segments } else { &[] };
    let next = |panel: Panel| {
        let start = panel.start + panels.width;
        if start < panels.columns {
            Some(right(panels.panel(start / panels.width)))
        } else {
            table.after
        }
    };
    let run = |panel: Panel, rows: Range<usize>, height: usize| {
        let right = right(panel);
        // SAFETY: `rows` lies inside the tables.
        let (lefts, outputs) =
            unsafe { (table.rows.add(rows.start), table.outputs.add(rows.start)) };
        let mut tile = Tile {
            rows: lefts,
            segments: segments.as_ptr(),
            segment_count: segments.len(),
            a_step: table.a_step,
            b: right.first,
            b_step: right.step,
            outputs,
            column: panel.start,
            columns: panel.columns,
            add: table.add,
            repeat: rows.len() / height,
            is_long: present >= LONG,
            ahead: Ahead::NOTHING,
        };
        if let (Order::PanelsFirst, Some(next)) = (table.order, next(panel)) {
            let tiles = table.count.div_ceil(height);
            tile.ahead = next.ahead(present, tiles, rows.start / height);
        }
        let part;
        match place(panel, &rows, &mut tile) {
            Take::Nothing => return,
            Take::Whole => {}
            Take::Part(indices) => {
                part = Segment {
                    left: (indices.start * tile.a_step) as isize,
                    right: indices.start,
                    length: indices.len(),
                };
                (tile.segments, tile.segment_count) = (&raw const part, indices.len().min(1));
            }
        }
        let tiles = kernels.tiles[panel.width / panels.lanes - 1];
        // SAFETY: the caller's contract. `height` is at most the highest tile of this width.
        unsafe { tiles[height - 1](&tile) }
    };
    match table.order {
        Order::PanelsFirst => panels.all().for_each(|panel| {
            let from = first(panel).min(table.count);
            heights(table.count - from, panels.rows)
                .for_each(|(rows, height)| run(panel, from + rows.start..from + rows.end, height));
        }),
        Order::PanelsByTile => panels.all().for_each(|panel| {
            let parts = even_parts(table.count, panels.rows);
            parts.for_each(|rows| run(panel, rows.clone(), rows.len()));
        }),
        Order::RowsFirst => {
            for rows in even_parts(table.count, panels.rows) {
                panels
                    .all()
                    .for_each(|panel| run(panel, rows.clone(), rows.len()));
            }
        }
    }
}

/// [`even_parts`] with those of one height together: their rows, and the height.
fn heights(count: usize, limit: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    let parts = count.div_ceil(limit.max(1)).max(1);
    let (height, higher) = (count / parts, count % parts);
    let middle = higher * (height + 1);
    let both = [(0..middle, height + 1), (middle..count, height)];
    both.into_iter().filter(|(rows, _)| !rows.is_empty())
}

/// Which loop over tiles is outside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Panels: their right operands stay in the first cache level. Tiles of one height are placed together.
    PanelsFirst,
    /// The same, but each tile is placed for itself.
    PanelsByTile,
    /// Rows: left operands that lie far apart stay in the first cache level, right ones stream from the second.
    RowsFirst,
}

/// What the tiles of a sweep have in common.
pub(crate) struct RowTable<'s> {
    pub(crate) count: usize,
    pub(crate) rows: *const *const f32,
    pub(crate) outputs: *const *mut f32,
    pub(crate) segments: &'s [Segment],
    pub(crate) a_step: usize,
    pub(crate) add: bool,
    pub(crate) order: Order,
    /// What will be read after the last panel.
    pub(crate) after: Option<Right>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::kernel::kernels_of;
    use crate::isa::Isa;

    #[test]
    fn parts_cover_everything_once() {
        for count in 0..50 {
            for limit in 1..9 {
                let mut next = 0;
                for part in even_parts(count, limit) {
                    assert_eq!(part.start, next);
                    assert!((1..=limit).contains(&part.len()));
                    next = part.end;
                }
                assert_eq!(next, count);
            }
        }
    }

    #[test]
    fn panels_fit_the_kernel_table() {
        for isa in Isa::ALL {
            let Some(kernels) = kernels_of(isa) else {
                continue;
            };
            for columns in 0..200 {
                let panels = Panels::new(kernels, columns);
                assert_eq!(
                    panels.all().map(|panel| panel.columns).sum::<usize>(),
                    columns
                );
                for panel in panels.all() {
                    assert!(
                        panel.columns + kernels.lanes > panel.width && panel.columns <= panel.width
                    );
                    assert!(kernels.tiles[panel.width / kernels.lanes - 1].len() >= panels.rows);
                }
            }
        }
    }
}
