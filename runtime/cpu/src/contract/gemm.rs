//! Matrix products: checks, the split into regions, and the walk over one region.

use std::ops::Range;

use super::kernel::{Kernels, LINE, PanelCopy, Segment, Tile, WIDE_TILE};
use super::operand::{Absent, Gemm, Operand, Output, check_reach, is_disjoint};
use super::tiling::{
    Order, Panel, Panels, Right, RowTable, Tables, Take, even_parts, part_of, sweep,
};
use super::{Context, K_BLOCK, K_GROUP, Misfit, turned};
use crate::memory::{Scratch, scratch};

/// Columns that are whole panels of every width.
const COLUMN_STEP: usize = 480;
/// Rows whose left operands stay in the second cache level during a block; whole tiles of every height.
const ROW_CHUNK: usize = 240;
/// A stride in floats whose places share a set of the first cache level.
const CROWDED: usize = 1024;
/// Sets of the second cache level, and lines in each: the least of common processors.
const LEVEL_TWO_SETS: usize = 1024;
const LEVEL_TWO_WAYS: usize = 8;
/// Floats that the second cache level holds.
const LEVEL_TWO: usize = LEVEL_TWO_SETS * LEVEL_TWO_WAYS * LINE;
/// Panels copied side by side.
const PANELS_TOGETHER: usize = 32;
/// Multiply-adds below which waking another thread costs more than it saves.
const SERIAL: usize = 200_000;

/// Computes a batch of products on the context's threads.
///
/// # Errors
/// If a buffer is too short, or output elements overlap.
pub fn gemm(
    context: &Context<'_>,
    sizes: &Gemm,
    a: Operand<'_>,
    b: Operand<'_>,
    output: Output<'_>,
) -> Result<(), Misfit> {
    let Gemm {
        batch: [p, q],
        m,
        n,
        k,
        ..
    } = *sizes;
    let axes = |rows, columns, operand: &Operand<'_>| {
        let [outer, inner] = operand.batch_strides;
        [
            (p, outer),
            (q, inner),
            (rows, operand.row_stride),
            (columns, operand.column_stride),
        ]
    };
    let [outer, inner] = output.batch_strides;
    let output_axes = [(p, outer), (q, inner), (m, output.row_stride), (n, 1)];
    check_reach("left operand", a.data.len(), &axes(m, k, &a))?;
    check_reach("right operand", b.data.len(), &axes(k, n, &b))?;
    check_reach("output", output.data.len(), &output_axes)?;
    if [p, q, m, n].contains(&0) {
        return Ok(());
    }
    if !is_disjoint(output_axes) {
        return Err(Misfit::Overlapping);
    }
    if turned::pays(sizes, &a, &b, &output) {
        return turned::run(context, sizes, a, b, output);
    }
    let product = Product {
        context,
        sizes,
        a,
        b,
        c: output.data.as_mut_ptr(),
        output: &output,
    };
    product.run();
    Ok(())
}

/// A checked call.
struct Product<'a> {
    context: &'a Context<'a>,
    sizes: &'a Gemm,
    a: Operand<'a>,
    b: Operand<'a>,
    c: *mut f32,
    output: &'a Output<'a>,
}

// SAFETY: threads write disjoint regions behind `c`, and only read the rest.
unsafe impl Sync for Product<'_> {}

/// How many parts the rows and the columns are cut into.
#[derive(Clone, Copy)]
struct Grid {
    rows: usize,
    columns: usize,
}

impl Product<'_> {
    fn run(&self) {
        let Gemm {
            batch: [p, q],
            m,
            n,
            ..
        } = *self.sizes;
        let grid = self.grid();
        let parts = grid.rows * grid.columns;
        self.context.pool.run(p * q * parts, &|task| {
            let (batch, part) = (task / parts, task % parts);
            let (row_part, column_part) = (part / grid.columns, part % grid.columns);
            let rows = part_of(m, grid.rows, row_part);
            let region = self.region(batch, rows, part_of(n, grid.columns, column_part));
            // SAFETY: `gemm` checked that all operands and outputs of the product exist; regions are disjoint.
            unsafe { region.run() }
        });
    }

    fn region(&self, batch: usize, rows: Range<usize>, columns: Range<usize>) -> Region<'_> {
        let (p, q) = (batch / self.sizes.batch[1], batch % self.sizes.batch[1]);
        let offset = |strides: [usize; 2]| p * strides[0] + q * strides[1];
        // An offset of a batch index that exists stays inside its buffer, because the reach was checked. An
        // operand without elements (k = 0) is never read, so wrapping there is harmless.
        Region {
            product: self,
            a: self
                .a
                .data
                .as_ptr()
                .wrapping_add(offset(self.a.batch_strides)),
            b: self
                .b
                .data
                .as_ptr()
                .wrapping_add(offset(self.b.batch_strides)),
            c: self.c.wrapping_add(offset(self.output.batch_strides)),
            rows,
            columns,
        }
    }

    /// The cheapest cut that gives every thread a region, counting what several regions read or copy again.
    fn grid(&self) -> Grid {
        let Gemm { batch, m, n, k, .. } = *self.sizes;
        let (threads, batches) = (self.context.pool.threads(), batch[0] * batch[1]);
        let work = batches
            .saturating_mul(m)
            .saturating_mul(n)
            .saturating_mul(k.max(1));
        let whole = Grid {
            rows: 1,
            columns: 1,
        };
        if threads == 1 || batches >= 2 * threads || work < SERIAL {
            return whole;
        }
        let panels = Panels::new(self.context.kernels, n);
        let read_a = if self.a.column_stride == 1 { 1 } else { 4 };
        let cost = |grid: &Grid| {
            let rows = m.div_ceil(grid.rows).next_multiple_of(2);
            let columns = panels.count().div_ceil(grid.columns) * panels.width;
            let rounds = (batches * grid.rows * grid.columns).div_ceil(threads);
            let cost = rounds * (rows * columns + rows * read_a + columns * 6);
            // Other steps cut rows, so that parts of columns lie in the other cores' caches.
            cost + if grid.columns > 1 { cost / 32 } else { 0 }
        };
        let needed = threads.div_ceil(batches);
        let grids = (1..=needed).map(|rows| Grid {
            rows,
            columns: needed.div_ceil(rows),
        });
        let grids = grids.filter(|grid| grid.rows <= m && grid.columns <= panels.count());
        grids.min_by_key(cost).unwrap_or(whole)
    }
}

/// Some rows and columns of one product, computed by one thread.
struct Region<'a> {
    product: &'a Product<'a>,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Memory of a walk over some columns of a region.
struct Workspace {
    packed_b: Scratch,
    packed_a: Scratch,
    /// Sums of a group of blocks after the first.
    group: Scratch,
    /// Pointers of a row chunk.
    tables: Tables,
}

/// One block of the contracted index.
#[derive(Clone)]
struct Block {
    indices: Range<usize>,
    /// The indices of the block's group.
    group: Range<usize>,
}

impl Block {
    fn is_last_of_group(&self) -> bool {
        self.indices.end == self.group.end
    }
}

fn blocks(k: usize) -> impl Iterator<Item = Block> {
    (0..k.div_ceil(K_BLOCK).max(1)).map(move |place| {
        let start = place * K_BLOCK;
        let group = start / K_GROUP * K_GROUP;
        Block {
            indices: start..k.min(start + K_BLOCK),
            group: group..k.min(group + K_GROUP),
        }
    })
}

/// Over how many sets of the second cache level places this many floats apart are spread.
fn sets_of(stride: usize) -> usize {
    let floats = LEVEL_TWO_SETS * LINE;
    // The greatest common divisor with a power of two.
    let common = 1 << stride.trailing_zeros().min(floats.trailing_zeros());
    (floats / common).min(LEVEL_TWO_SETS)
}

/// Makes a panel's outputs zero in some of the table's rows.
///
/// # Safety
/// The table's outputs exist, and no other thread uses them.
unsafe fn clear(table: &RowTable<'_>, rows: Range<usize>, panel: Panel) {
    for row in rows {
        // SAFETY: the caller's contract: the row has outputs for all columns of the panel.
        unsafe {
            let to = (*table.outputs.add(row)).add(panel.start);
            to.write_bytes(0, panel.columns);
        }
    }
}

impl Region<'_> {
    fn kernels(&self) -> &'static Kernels {
        self.product.context.kernels
    }

    /// # Safety
    /// The operands of the region exist, and no other thread uses its outputs.
    unsafe fn run(&self) {
        let (mut start, chunk) = (self.columns.start, self.column_chunk());
        while start < self.columns.end {
            let end = self.columns.end.min(start + chunk);
            // SAFETY: the caller's contract, for some of the columns.
            unsafe { self.run_columns(start..end) }
            start = end;
        }
    }

    /// Columns whose packed right operands stay in a cache: in the third level where many rows come back to them, in half of
    /// the second where one chunk of rows does not.
    fn column_chunk(&self) -> usize {
        let depth = self.product.sizes.k.clamp(1, K_BLOCK);
        let is_few = self.rows.len() <= ROW_CHUNK;
        if is_few && self.columns.len() * depth > LEVEL_TWO {
            (LEVEL_TWO / 2 / depth / COLUMN_STEP).max(1) * COLUMN_STEP
        } else {
            8 * COLUMN_STEP
        }
    }

    /// # Safety
    /// As [`Self::run`].
    unsafe fn run_columns(&self, columns: Range<usize>) {
        let (k, panels) = (
            self.product.sizes.k,
            Panels::new(self.kernels(), columns.len()),
        );
        let depth = k.min(K_BLOCK);
        let group = if k > K_GROUP {
            self.rows.len() * columns.len()
        } else {
            0
        };
        let mut workspace = Workspace {
            packed_b: scratch(panels.padded() * depth),
            packed_a: scratch(if self.packs_a(&panels) {
                ROW_CHUNK * depth + 16
            } else {
                0
            }),
            group: scratch(group),
            tables: Tables::new(ROW_CHUNK),
        };
        for block in blocks(k) {
            // SAFETY: the caller's contract; the workspace has the sizes that these functions name.
            unsafe {
                self.pack_b(&block, &columns, &panels, &mut workspace.packed_b);
                let mut start = self.rows.start;
                while start < self.rows.end {
                    let rows = start..self.rows.end.min(start + ROW_CHUNK);
                    start = rows.end;
                    self.run_rows(&block, &columns, &panels, rows, &mut workspace);
                }
            }
        }
    }

    /// Whether left operands are copied. In place a tile reads a few floats here and there: enough panels make up for
    /// a copy, fewer where all those places compete for the same lines of the first cache level.
    fn packs_a(&self, panels: &Panels) -> bool {
        let (a, k) = (&self.product.a, self.product.sizes.k);
        let crowded = |stride: usize| stride.is_multiple_of(CROWDED);
        match (a.row_stride, a.column_stride) {
            (row_stride, 1) if crowded(row_stride) => panels.columns >= 256,
            (_, 1) => panels.columns >= 768,
            (1, column_stride) if crowded(column_stride) && k > 16 => panels.count() > 1,
            (1, _) => panels.columns > 256,
            _ => true,
        }
    }

    /// Whether a panel's right operands are read in place: whole vectors in row-major order, used so few times that a copy
    /// costs more than it saves: more than twice only if tiles are wide and the second cache level holds a block.
    fn reads_b_in_place(&self, panels: &Panels, panel: Panel) -> bool {
        let (b, depth) = (&self.product.b, self.product.sizes.k.min(K_BLOCK));
        let is_held = panel.width >= WIDE_TILE && depth <= LEVEL_TWO_WAYS * sets_of(b.row_stride);
        let is_few = self.rows.len() <= if is_held { ROW_CHUNK } else { 2 * panels.rows };
        is_few && b.column_stride == 1 && panel.columns == panel.width
    }

    unsafe fn pack_b(
        &self,
        block: &Block,
        columns: &Range<usize>,
        panels: &Panels,
        packed: &mut [f32],
    ) {
        let (b, depth) = (&self.product.b, block.indices.len());
        let mut place = 0;
        while place < panels.count() {
            let panel = panels.panel(place);
            // Row-major operands are copied some panels at a time: more of each row per visit.
            let whole = panels.columns / panels.width - place;
            let together = if b.column_stride == 1 {
                whole.clamp(1, PANELS_TOGETHER)
            } else {
                1
            };
            place += together;
            if self.reads_b_in_place(panels, panel) {
                continue;
            }
            let from = block.indices.start * b.row_stride
                + (columns.start + panel.start) * b.column_stride;
            let copy = PanelCopy {
                from: self.b.wrapping_add(from),
                row_stride: b.row_stride,
                column_stride: b.column_stride,
                depth,
                columns: panel.columns,
                width: panel.width,
                to: packed[panel.start * depth..].as_mut_ptr(),
                panels: together,
            };
            // SAFETY: the block and the panels lie inside the right operand; `packed` holds all panels.
            unsafe { (self.kernels().copy_panel)(&copy) }
        }
    }

    /// Packs the left operands of a row chunk, tile after tile. Neighbouring tiles of one height are copied together.
    unsafe fn pack_a(&self, block: &Block, rows: &Range<usize>, height: usize, packed: &mut [f32]) {
        let (a, depth) = (&self.product.a, block.indices.len());
        let parts: Vec<_> = even_parts(rows.len(), height).collect();
        let alike = |first: &Range<usize>, next: &Range<usize>| {
            a.row_stride == 1 && first.len() == next.len()
        };
        for parts in parts.chunk_by(alike) {
            let (start, width) = (parts[0].start, parts[0].len());
            let from = block.indices.start * a.column_stride + (rows.start + start) * a.row_stride;
            let copy = PanelCopy {
                from: self.a.wrapping_add(from),
                row_stride: a.column_stride,
                column_stride: a.row_stride,
                depth,
                columns: width,
                width,
                // A vector may be written past the last tile's end: 16 floats of slack end the buffer.
                to: packed[start * depth..].as_mut_ptr(),
                panels: parts.len(),
            };
            // SAFETY: the parts' rows and the block's indices lie inside the left operand.
            unsafe { (self.kernels().copy_panel)(&copy) }
        }
    }

    /// Fills the table of left operands, in place or packed.
    unsafe fn place_a(
        &self,
        block: &Block,
        rows: &Range<usize>,
        panels: &Panels,
        workspace: &mut Workspace,
    ) {
        let (a, depth) = (&self.product.a, block.indices.len());
        let (height, packs_a) = (panels.rows, self.packs_a(panels));
        if packs_a {
            // SAFETY: the caller's contract; the workspace has room for a chunk of rows.
            unsafe { self.pack_a(block, rows, height, &mut workspace.packed_a) }
        }
        let first = self
            .a
            .wrapping_add(block.indices.start * a.column_stride + rows.start * a.row_stride);
        let (table, packed) = (workspace.tables.lefts(), workspace.packed_a.as_ptr());
        for part in even_parts(rows.len(), height) {
            let tile = packed.wrapping_add(part.start * depth);
            for (place, row) in part.enumerate() {
                let in_place = first.wrapping_add(row * a.row_stride);
                // SAFETY: the table holds a chunk of rows.
                unsafe {
                    *table.add(row) = if packs_a {
                        tile.wrapping_add(place)
                    } else {
                        in_place
                    }
                }
            }
        }
    }

    /// Fills the table of output pointers: the output itself, or the sums of a later group.
    unsafe fn place_outputs(
        &self,
        block: &Block,
        columns: &Range<usize>,
        rows: &Range<usize>,
        workspace: &mut Workspace,
    ) {
        let group = workspace.group.as_mut_ptr();
        // SAFETY: the second half of the tables holds a chunk of rows; `group` holds the region's rows.
        unsafe {
            let table = workspace.tables.outputs();
            for (place, row) in rows.clone().enumerate() {
                *table.add(place) = if block.group.start == 0 {
                    self.c
                        .add(row * self.product.output.row_stride + columns.start)
                } else {
                    group.add((row - self.rows.start) * columns.len())
                };
            }
        }
    }

    /// One block of a row chunk.
    unsafe fn run_rows(
        &self,
        block: &Block,
        columns: &Range<usize>,
        panels: &Panels,
        rows: Range<usize>,
        workspace: &mut Workspace,
    ) {
        // SAFETY: the tables and packed operands filled here are those the tiles read; the columns and rows exist.
        unsafe {
            self.place_a(block, &rows, panels, workspace);
            self.place_outputs(block, columns, &rows, workspace);
            let packs_a = self.packs_a(panels);
            let segments = [Segment {
                left: 0,
                right: 0,
                length: block.indices.len(),
            }];
            let table = RowTable {
                count: rows.len(),
                rows: workspace.tables.lefts(),
                outputs: workspace.tables.outputs(),
                segments: &segments,
                a_step: self.product.a.column_stride,
                add: block.indices.start > block.group.start,
                order: match self.product.sizes.absent {
                    Absent::Nothing => Order::PanelsFirst,
                    // Packed rows stay in the tiles they were packed for.
                    Absent::OutputAfterRow if !packs_a => Order::PanelsFirst,
                    _ => Order::PanelsByTile,
                },
                after: self.after(block, columns, panels),
            };
            let first = |panel: Panel| match (self.product.sizes.absent, table.order) {
                (Absent::OutputAfterRow, Order::PanelsFirst) => {
                    (columns.start + panel.start).saturating_sub(rows.start)
                }
                _ => 0,
            };
            if block.indices.start == block.group.start {
                panels.all().for_each(|panel| {
                    clear(&table, 0..first(panel).min(rows.len()), panel);
                });
            }
            let right = |panel: Panel| {
                self.right(block, columns, panels, panel, workspace.packed_b.as_ptr())
            };
            sweep(
                self.kernels(),
                panels,
                &table,
                right,
                first,
                |panel, part, tile| {
                    if packs_a {
                        tile.a_step = part.len() / tile.repeat;
                    }
                    let part = rows.start + part.start..rows.start + part.end;
                    self.place_tile(block, columns.start + panel.start, part, tile)
                },
            );
            if block.group.start > 0 && block.is_last_of_group() {
                for row in rows {
                    let to = self
                        .c
                        .add(row * self.product.output.row_stride + columns.start);
                    let from = workspace
                        .group
                        .as_ptr()
                        .add((row - self.rows.start) * columns.len());
                    (self.kernels().add_row)(to, from, columns.len(), true);
                }
            }
        }
    }

    fn right(
        &self,
        block: &Block,
        columns: &Range<usize>,
        panels: &Panels,
        panel: Panel,
        packed: *const f32,
    ) -> Right {
        if self.reads_b_in_place(panels, panel) {
            let step = self.product.b.row_stride;
            let first = self
                .b
                .wrapping_add(block.indices.start * step + columns.start + panel.start);
            return Right {
                first,
                step,
                far: block.indices.len(),
            };
        }
        Right {
            first: packed.wrapping_add(panel.start * block.indices.len()),
            step: panel.width,
            far: 0,
        }
    }

    /// The first panel's right operands in the next block, if they are read in place.
    fn after(&self, block: &Block, columns: &Range<usize>, panels: &Panels) -> Option<Right> {
        let next = blocks(self.product.sizes.k).nth(block.indices.start / K_BLOCK + 1)?;
        let panel = panels.panel(0);
        let is_in_place = self.reads_b_in_place(panels, panel);
        is_in_place.then(|| self.right(&next, columns, panels, panel, std::ptr::null()))
    }

    /// What is present of the block depends on a tile's place where something is absent.
    fn place_tile(
        &self,
        block: &Block,
        column: usize,
        rows: Range<usize>,
        tile: &mut Tile,
    ) -> Take {
        match self.product.sizes.absent {
            Absent::Nothing => Take::Whole,
            // Zero, which every reader may take for what is not asked for.
            Absent::OutputAfterRow if column >= rows.end => {
                if block.indices.start == block.group.start {
                    Take::Part(0..0)
                } else {
                    Take::Nothing
                }
            }
            Absent::OutputAfterRow => Take::Whole,
            Absent::ContractedAfterRow => self.keep(block, 0..rows.end, tile),
            Absent::ContractedBeforeRow => self.keep(block, rows.start..usize::MAX, tile),
        }
    }

    /// The part of a block inside a tile row's present indices. A tile with none in a group takes an empty part of the
    /// group's first block, so that its sums become zero.
    fn keep(&self, block: &Block, present: Range<usize>, tile: &mut Tile) -> Take {
        let (start, end) = (
            present.start.max(block.group.start),
            present.end.min(block.group.end),
        );
        let here = &block.indices;
        if start >= end {
            return if here.start == block.group.start {
                Take::Part(0..0)
            } else {
                Take::Nothing
            };
        }
        let first = start / K_BLOCK * K_BLOCK;
        if here.start < first || here.start >= end {
            return Take::Nothing;
        }
        tile.add = here.start > first;
        Take::Part(start.max(here.start) - here.start..end.min(here.end) - here.start)
    }
}
