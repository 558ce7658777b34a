//! Both lowerings of every hot kernel, and of kernels made up here, give the bits of the evaluator.

use super::evaluate::evaluate;
use super::{check, find, generated};
use crate::isa::Isa;
use crate::jit::{Code, Entry, Jit};
use mmh_lower::kernel::{Element, Kernel, Mode, PARAMETERS, PLACES, Pattern};

#[test]
fn every_operation_is_sound_on_every_instruction_set_of_this_machine() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_reported()) {
        assert_eq!(check::first_fault(isa), None, "{isa}");
        assert!(check::is_sound(isa), "{isa}");
    }
}

#[test]
fn hot_texts_are_canonical() {
    for hot in generated::HOT {
        let kernel = Kernel::read(hot.text).expect("a kernel");
        assert_eq!(kernel.to_string(), hot.text);
        assert_eq!(Kernel::key(hot.text), hot.key);
        assert!(kernel.lifted().1.is_empty(), "not lifted: {kernel}");
    }
    assert!(generated::HOT.is_sorted_by(|a, b| a.key < b.key));
}

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// An element: mostly ordinary numbers, sometimes a trap, sometimes any bits.
    fn element(&mut self, dtype: Element) -> u32 {
        const TRAPS: [u32; 12] = [
            0,
            0x8000_0000,
            1,
            0x0080_0000,
            0x3f80_0000,
            0xbf80_0000,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_0000,
            0x4f00_0000,
            0xcf00_0001,
            0x7f7f_ffff,
        ];
        match (dtype, self.next() % 16) {
            (Element::Bool, _) => self.next() & 1,
            (Element::U8, _) => self.next() & 255,
            (Element::I32, 2..) => self.next() % 64,
            (_, 0) => TRAPS[self.next() as usize % TRAPS.len()],
            (_, 1) => self.next(),
            _ => {
                let sign = self.next() & 0x8000_0000;
                let exponent = 120 + self.next() % 12;
                sign | (exponent << 23) | (self.next() & 0x007f_ffff)
            }
        }
    }
}

/// An operand's memory, with room on all sides.
#[derive(Clone)]
struct Operand {
    bytes: Vec<u8>,
    start: usize,
    row: i64,
    column: i64,
}

const ROOM: usize = 64;

fn operand(
    draw: &mut Draw,
    dtype: Element,
    pattern: Pattern,
    rows: usize,
    columns: usize,
) -> Operand {
    let size = dtype.bytes();
    let column = match pattern {
        Pattern::Unit => size,
        Pattern::Splat => 0,
        Pattern::Strided => size * (2 + draw.next() as usize % 3),
    };
    let width = column * columns.max(1);
    let row = if pattern == Pattern::Splat {
        size
    } else {
        width + size * (draw.next() as usize % 3)
    };
    let elements = (row * rows.max(1) + width) / size + 2;
    let mut bytes = vec![0xa5; ROOM];
    for _ in 0..elements {
        bytes.extend_from_slice(&draw.element(dtype).to_le_bytes()[..size]);
    }
    bytes.extend([0xa5; ROOM]);
    Operand {
        bytes,
        start: ROOM,
        row: row as i64,
        column: column as i64,
    }
}

fn operands(draw: &mut Draw, kernel: &Kernel, rows: usize, columns: usize) -> Vec<Operand> {
    let loads = kernel.loads.iter().map(|l| (l.dtype, l.pattern));
    let stores = kernel.stores.iter().map(|s| (s.dtype, s.pattern));
    loads
        .chain(stores)
        .map(|(dtype, pattern)| operand(draw, dtype, pattern, rows, columns))
        .collect()
}

/// Pointers, row strides, column strides, index.
type Lowering<'a> = &'a dyn Fn(&[*mut u8], &[i64], &[i64], &[i32]);

/// Runs one lowering upon copies of the operands; gives what they hold then.
fn run(lowering: Lowering<'_>, operands: &[Operand]) -> Vec<Vec<u8>> {
    let mut copies = operands.to_vec();
    let pointers: Vec<*mut u8> = copies
        .iter_mut()
        .map(|o| o.bytes[o.start..].as_mut_ptr())
        .collect();
    let rows: Vec<i64> = copies.iter().map(|o| o.row).collect();
    let columns: Vec<i64> = copies.iter().map(|o| o.column).collect();
    let constant = |n: usize| (n as f32 * 0.37 - 0.8).to_bits().cast_signed();
    let index: [i32; PLACES + PARAMETERS] = std::array::from_fn(|n| {
        if n < PLACES {
            n as i32 * 5 + 3
        } else {
            constant(n - PLACES)
        }
    });
    lowering(&pointers, &rows, &columns, &index);
    copies.into_iter().map(|o| o.bytes).collect()
}

/// Memory with every NaN of f32 operands in one face.
fn faced(kernel: &Kernel, mut memory: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let stores = kernel.stores.iter().map(|s| s.dtype);
    for (dtype, bytes) in stores.zip(&mut memory[kernel.loads.len()..]) {
        if dtype != Element::F32 {
            continue;
        }
        for word in bytes.chunks_exact_mut(4) {
            if f32::from_le_bytes([word[0], word[1], word[2], word[3]]).is_nan() {
                word.copy_from_slice(&0x7fc0_0000u32.to_le_bytes());
            }
        }
    }
    memory
}

fn holds(draw: &mut Draw, kernel: &Kernel, entries: &[(String, Entry)]) {
    for (rows, columns) in [
        (1, 1),
        (3, 24),
        (2, 37),
        (5, 7),
        (1, 130),
        (0, 8),
        (2, 0),
        (4, 16),
    ] {
        let operands = operands(draw, kernel, rows, columns);
        let (rows, columns) = (rows as i64, columns as i64);
        // SAFETY: operands have room for all rows and columns.
        let expected = run(
            &|p, r, c, i| unsafe { evaluate(kernel, p, r, c, rows, columns, i) },
            &operands,
        );
        let expected = faced(kernel, expected);
        for (name, entry) in entries {
            // SAFETY: as above.
            let got = run(
                &|p, r, c, i| unsafe {
                    entry(
                        p.as_ptr(),
                        r.as_ptr(),
                        c.as_ptr(),
                        rows,
                        columns,
                        i.as_ptr(),
                    )
                },
                &operands,
            );
            assert!(
                faced(kernel, got) == expected,
                "{name} computes other bits at {rows} x {columns}: {kernel}"
            );
        }
    }
}

#[test]
fn hot_and_generated_code_give_the_bits_of_the_evaluator() {
    let mut draw = Draw(11);
    let isas: Vec<Isa> = Isa::ALL
        .into_iter()
        .filter(|isa| isa.is_reported())
        .collect();
    let mut jits: Vec<(Isa, Jit)> = isas
        .iter()
        .map(|&isa| (isa, Jit::new(isa).expect("a code generator")))
        .collect();
    for hot in generated::HOT {
        let kernel = Kernel::read(hot.text).expect("a kernel");
        let mut entries: Vec<(String, Entry)> = Vec::new();
        for (isa, jit) in &mut jits {
            let compiled = jit
                .compile(std::slice::from_ref(&kernel))
                .expect("compiles");
            entries.push((format!("{isa} at run time"), compiled[0].entry.function));
            entries.extend(
                find(*isa, &kernel).map(|code| (format!("{isa} at build time"), code.function)),
            );
        }
        assert!(entries.len() > jits.len(), "no entry is found: {kernel}");
        holds(&mut draw, &kernel, &entries);
    }
}

#[test]
fn a_changed_kernel_is_not_found() {
    let hot = generated::HOT.first().expect("there are hot kernels");
    let kernel = Kernel::read(hot.text).expect("a kernel");
    let isa = Isa::best(None);
    assert!(find(isa, &kernel).is_some());
    let changed = kernel.with_mode(if kernel.stores[0].mode == Mode::Sum {
        Mode::Max
    } else {
        Mode::Sum
    });
    if generated::HOT
        .iter()
        .all(|hot| hot.text != changed.to_string())
    {
        assert!(find(isa, &changed).is_none());
    }
    assert!(find(isa, &Kernel::default()).is_none());
    let constants: [u32; PARAMETERS] = std::array::from_fn(|n| (0.3 + n as f32).to_bits());
    let free = generated::HOT
        .iter()
        .filter(|hot| hot.text.contains("Param(0)"));
    for hot in free {
        let kernel = Kernel::read(hot.text)
            .expect("a kernel")
            .with_constants(&constants);
        let code = find(isa, &kernel).expect("found whatever its constants");
        assert_eq!(
            code.constants.map(i32::cast_unsigned)[..kernel.lifted().1.len()],
            kernel.lifted().1
        );
    }
}

/// Nanoseconds per element, the best of several runs.
fn price(entry: Entry, operands: &[Operand], rows: i64, columns: i64) -> f64 {
    let mut copies = operands.to_vec();
    let pointers: Vec<*mut u8> = copies
        .iter_mut()
        .map(|o| o.bytes[o.start..].as_mut_ptr())
        .collect();
    let row: Vec<i64> = copies.iter().map(|o| o.row).collect();
    let column: Vec<i64> = copies.iter().map(|o| o.column).collect();
    let index = [0i32; PLACES + PARAMETERS];
    let once = || {
        let start = std::time::Instant::now();
        for _ in 0..8 {
            // SAFETY: operands have room for all rows and columns.
            unsafe {
                entry(
                    pointers.as_ptr(),
                    row.as_ptr(),
                    column.as_ptr(),
                    rows,
                    columns,
                    index.as_ptr(),
                )
            }
        }
        start.elapsed().as_secs_f64() * 1e9 / (8 * rows * columns) as f64
    };
    (0..40).map(|_| once()).fold(f64::INFINITY, f64::min)
}

/// `cargo test -p mmh-cpu --release --lib prices -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn prices_of_both_lowerings() {
    let mut draw = Draw(13);
    let isa = Isa::best(None);
    let mut jit = Jit::new(isa).expect("a code generator");
    println!("ns/element: run time, build time at 8 x 512; at 64 x 24");
    for hot in generated::HOT {
        let kernel = Kernel::read(hot.text).expect("a kernel");
        let generated = jit
            .compile(std::slice::from_ref(&kernel))
            .expect("compiles")[0]
            .entry
            .function;
        let Some(Code {
            function: found, ..
        }) = find(isa, &kernel)
        else {
            continue;
        };
        let mut prices = String::new();
        for (rows, columns) in [(8, 512), (64, 24)] {
            let operands = operands(&mut draw, &kernel, rows, columns);
            for entry in [generated, found] {
                prices += &format!(
                    "{:8.3}",
                    price(entry, &operands, rows as i64, columns as i64)
                );
            }
        }
        let strided = kernel
            .loads
            .iter()
            .map(|l| l.pattern)
            .chain(kernel.stores.iter().map(|s| s.pattern))
            .filter(|p| *p == Pattern::Strided)
            .count();
        println!(
            "{prices}  {:016x} {} instructions, {} loads, {} stores, {strided} strided",
            hot.key,
            kernel.body.len(),
            kernel.loads.len(),
            kernel.stores.len()
        );
    }
}
