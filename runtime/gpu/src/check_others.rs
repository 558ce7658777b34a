//! The checks of steps that have no kernel: look-ups, windows, samples, draws, scatters, places of the largest.

use crate::builder::{Launch, Words};
use crate::check::{Failed, HEAD, Mismatch, canonical, run};
use crate::core::{Core, Stretch};
use crate::{elementwise, random};
use mmh_ir::{DType, RandomKind};
use mmh_lower::schedule::{
    Arg, ArgMaxStep, GatherStep, Loop, RandomStep, SampleStep, ScatterStep, Spatial, WindowStep,
};
use mmh_lower::view::BufferId;
use mmh_numerics::contract::chain_present;
use mmh_numerics::random::{Key, Stream, below, normals, uniforms};
use mmh_numerics::sample::bilinear;
use mmh_vectors::Source;

/// Words of each operand, and of the result, at most.
const ROOM: usize = 4_096;

/// Words of memory of operand or result `n`.
fn words() -> Words {
    Words((0..4).map(|n| HEAD + n * ROOM).collect())
}

/// Runs a dispatch over `operands`; compares what it leaves as buffer `out` with `wanted`.
fn compare(
    core: &Core,
    launch: Launch,
    what: &str,
    operands: Vec<Vec<u32>>,
    wanted: &[u32],
    is_float: bool,
) -> Result<(), Failed> {
    if core.knows(&launch.source) {
        return Ok(());
    }
    let shader = launch.source.clone();
    let out = operands.len();
    let contents: Vec<(usize, Vec<u32>)> = operands
        .into_iter()
        .enumerate()
        .map(|(n, words)| (HEAD + n * ROOM, words))
        .collect();
    let read = Stretch {
        from: HEAD + out * ROOM,
        count: wanted.len(),
    };
    let found = run(core, &[launch], HEAD + 5 * ROOM, &contents, read)?;
    let differs = |at: &usize| canonical(found[*at], is_float) != canonical(wanted[*at], is_float);
    match (0..wanted.len()).find(differs) {
        None => Ok(()),
        Some(at) => {
            core.forget(&shader);
            Err(Failed::Bits(Box::new(Mismatch {
                what: format!("element {at} of {what}"),
                operands: Vec::new(),
                found: found[at],
                wanted: wanted[at],
            })))
        }
    }
}

/// Whether a guard of so many loops is raised by what is not finite, wherever it stands, and by nothing else.
pub(crate) fn guard(core: &Core, depth: usize) -> Result<(), Failed> {
    let sizes = small(depth.max(1));
    let launch = elementwise::guard(HEAD, &sizes, &dense(&sizes), 0);
    if core.knows(&launch.source) {
        return Ok(());
    }
    let shader = launch.source.clone();
    let count: usize = sizes.iter().product();
    let finite = [
        0,
        0x8000_0000,
        1,
        0x807f_ffff,
        0x7f7f_ffff,
        0xff7f_ffff,
        0x3f80_0000,
    ];
    let numbers: Vec<u32> = (0..count).map(|at| finite[at % finite.len()]).collect();
    let bad = [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xff80_0001];
    // Every place has its turn, and first of all none.
    for turn in 0..=count {
        let mut words = numbers.clone();
        let placed = turn.checked_sub(1);
        if let Some(at) = placed {
            words[at] = bad[at % bad.len()];
        }
        let read = Stretch {
            from: 0,
            count: elementwise::GUARDS + 1,
        };
        let contents = [(HEAD, words.clone())];
        let flags = run(
            core,
            std::slice::from_ref(&launch),
            HEAD + count,
            &contents,
            read,
        )?;
        let wanted = u32::from(placed.is_some());
        let found = flags[elementwise::GUARDS];
        if (found, flags[0]) != (wanted, wanted) {
            core.forget(&shader);
            return Err(Failed::Bits(Box::new(Mismatch {
                what: "a guard".to_owned(),
                operands: placed.map(|at| words[at]).into_iter().collect(),
                found,
                wanted,
            })));
        }
    }
    Ok(())
}

/// Small sizes for loops, of a product that has room, none of them equal to the next.
fn small(depth: usize) -> Vec<usize> {
    let sizes: &[usize] = match depth {
        0..=3 => &[5, 7, 6],
        4 | 5 => &[3, 2, 4, 3, 2],
        _ => &[2],
    };
    (0..depth).map(|at| sizes[at % sizes.len()]).collect()
}

/// Distances of dense elements.
fn dense(sizes: &[usize]) -> Vec<isize> {
    let mut strides = vec![1_isize; sizes.len()];
    for at in (1..sizes.len()).rev() {
        strides[at - 1] = strides[at] * sizes[at] as isize;
    }
    strides
}

fn arg(buffer: u32, strides: Vec<isize>) -> Arg {
    Arg {
        buffer: BufferId(buffer),
        offset: 0,
        strides,
    }
}

/// Every place of loops, in order.
fn places(sizes: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let all: usize = sizes.iter().product();
    let sizes = sizes.to_vec();
    (0..all).map(move |mut flat| {
        let mut place = vec![0; sizes.len()];
        for (at, size) in sizes.iter().enumerate().rev() {
            (place[at], flat) = (flat % size, flat / size);
        }
        place
    })
}

fn at(place: &[usize], strides: &[isize]) -> usize {
    let sum: isize = place
        .iter()
        .zip(strides)
        .map(|(p, s)| *p as isize * s)
        .sum();
    sum as usize
}

pub(crate) fn arg_max(core: &Core, step: &ArgMaxStep) -> Result<(), Failed> {
    let sizes = small(step.loops.len());
    let loops: Vec<Loop> = step
        .loops
        .iter()
        .zip(&sizes)
        .map(|(l, size)| Loop {
            size: *size,
            reduced: l.reduced,
        })
        .collect();
    let of = |reduced: bool| -> Vec<usize> {
        let own = loops.iter().filter(|l| l.reduced == reduced);
        own.map(|l| l.size).collect()
    };
    let (kept, taken) = (of(false), of(true));
    // The kept loops stand first, as the shader has them.
    let ordered: Vec<usize> = kept.iter().chain(&taken).copied().collect();
    let strides = dense(&ordered);
    let of_result = dense(&kept);
    let mut of_all = of_result.clone();
    of_all.resize(ordered.len(), 0);
    let small = ArgMaxStep {
        loops: kept
            .iter()
            .map(|size| (*size, false))
            .chain(taken.iter().map(|size| (*size, true)))
            .map(|(size, reduced)| Loop { size, reduced })
            .collect(),
        load: arg(0, strides),
        result: arg(1, of_all),
    };
    let (rows, length) = (
        kept.iter().product::<usize>(),
        taken.iter().product::<usize>(),
    );
    // Few values, so that there are equal ones, and traps.
    let mut operand = Source::default().operand(0, DType::F32, rows * length);
    for (place, word) in operand
        .iter_mut()
        .enumerate()
        .filter(|(place, _)| place % 3 != 0)
    {
        *word = ((place * 7 % 4) as f32).to_bits();
    }
    let wanted: Vec<u32> = (0..rows)
        .map(|row| {
            let value = |e: usize| f32::from_bits(operand[row * length + e]);
            (1..length).fold(0, |best, e| if value(e) > value(best) { e } else { best }) as u32
        })
        .collect();
    let launch = elementwise::arg_max(&words(), &small);
    compare(
        core,
        launch,
        "places of the largest",
        vec![operand],
        &wanted,
        false,
    )
}

pub(crate) fn gather(core: &Core, step: &GatherStep) -> Result<(), Failed> {
    let sizes = small(step.loops.len());
    let count: usize = sizes.iter().product();
    let rows = 3;
    let strides = dense(&sizes);
    let small = GatherStep {
        loops: sizes.clone(),
        table: arg(0, strides.clone()),
        axis: (count as isize, rows),
        index: arg(1, strides.clone()),
        out: arg(2, strides),
    };
    let source = Source::default();
    let table = source.operand(0, DType::F32, count * rows);
    let index: Vec<u32> = (0..count).map(|at| (at * 5 % 7 % rows) as u32).collect();
    let wanted: Vec<u32> = (0..count)
        .map(|at| table[at + index[at] as usize * count])
        .collect();
    let launch = elementwise::gather(&words(), &small, 0);
    compare(
        core,
        launch,
        "a look-up",
        vec![table, index],
        &wanted,
        false,
    )
}

pub(crate) fn scatter(core: &Core, _step: &ScatterStep) -> Result<(), Failed> {
    // More than a block of positions.
    let [positions, rows, width] = [700, 3, 5];
    let small = ScatterStep {
        index: BufferId(0),
        g: BufferId(1),
        out: BufferId(2),
        size: [positions, rows, width],
    };
    let index: Vec<u32> = (0..positions)
        .map(|at| (at * at % 7 % rows) as u32)
        .collect();
    let g = Source::default().spread(1, DType::F32, positions * width);
    let mut wanted = Vec::with_capacity(rows * width);
    for row in 0..rows as u32 {
        for column in 0..width {
            let pair =
                |p: usize| (index[p] == row).then(|| (1.0, f32::from_bits(g[p * width + column])));
            wanted.push(chain_present(positions, pair).to_bits());
        }
    }
    let launch = elementwise::scatter(&words(), &small);
    compare(
        core,
        launch,
        "a sum over positions",
        vec![index, g],
        &wanted,
        true,
    )
}

pub(crate) fn draws(core: &Core, step: &RandomStep) -> Result<(), Failed> {
    let [rows, width] = [3, 37];
    let kind = match step.kind {
        RandomKind::Below(_) => RandomKind::Below(0x7654_3211),
        kind => kind,
    };
    let small = RandomStep {
        kind,
        key: BufferId(0),
        nonce: BufferId(1),
        size: [rows, width],
        out: BufferId(2),
    };
    let key: [u32; 8] = [1, 0xffff_ffff, 3, 0x8000_0000, 5, 6, 0xdead_beef, 8];
    let nonces = vec![0, 977, u32::MAX];
    let mut wanted = Vec::new();
    for nonce in &nonces {
        let stream = Stream::new(Key(key), u64::from(*nonce));
        let mut floats = vec![0.0; width];
        match kind {
            RandomKind::Uniform => uniforms(&stream, 0, &mut floats),
            RandomKind::Normal => normals(&stream, 0, &mut floats),
            RandomKind::Below(n) => {
                let whole = (0..width as u64).map(|i| below(stream.double_word(i), u64::from(n)));
                wanted.extend(whole.map(|it| it as u32));
                continue;
            }
        }
        wanted.extend(floats.iter().map(|x| x.to_bits()));
    }
    let launch = random::random(&words(), &small);
    compare(
        core,
        launch,
        "draws",
        vec![key.to_vec(), nonces],
        &wanted,
        true,
    )
}

pub(crate) fn sample(core: &Core, step: &SampleStep) -> Result<(), Failed> {
    let outer = step.loops.len().saturating_sub(2);
    let mut sizes = vec![2; outer];
    sizes.extend([5, 4]);
    let strides = dense(&sizes);
    let count: usize = sizes.iter().product();
    if count > ROOM {
        return Err(Failed::Device(
            "pictures have too many axes for this device".to_string(),
        ));
    }
    let small = SampleStep {
        loops: sizes.clone(),
        image: arg(0, strides.clone()),
        row: arg(1, strides.clone()),
        column: arg(2, strides.clone()),
        out: arg(3, strides.clone()),
    };
    let image = Source::default().spread(0, DType::F32, count);
    // Places inside, on the grid, on the edge, outside, and none at all.
    let place = |place: usize, by: usize| -> f32 {
        match place * by % 11 {
            0 => f32::NAN,
            1 => (place % 4) as f32,
            2 => -0.5,
            3 => 1e9,
            rest => (rest as f32) * 0.53 - 1.7,
        }
    };
    let (rows, columns): (Vec<f32>, Vec<f32>) =
        (0..count).map(|at| (place(at, 3), place(at, 7))).unzip();
    let mut wanted = Vec::with_capacity(count);
    for (element, spot) in places(&sizes).enumerate() {
        let mut base = spot.clone();
        base[outer..].fill(0);
        let base = at(&base, &strides);
        let pixel = |row: i32, column: i32| match (usize::try_from(row), usize::try_from(column)) {
            (Ok(row), Ok(column)) if row < 5 && column < 4 => {
                f32::from_bits(image[base + row * 4 + column])
            }
            _ => 0.0,
        };
        wanted.push(bilinear(rows[element], columns[element], pixel).to_bits());
    }
    let bits = |v: Vec<f32>| v.iter().map(|x| x.to_bits()).collect();
    let launch = elementwise::sample(&words(), &small);
    compare(
        core,
        launch,
        "a sample",
        vec![image, bits(rows), bits(columns)],
        &wanted,
        true,
    )
}

pub(crate) fn window(core: &Core, step: &WindowStep, bytes: usize) -> Result<(), Failed> {
    let mut sizes = small(step.loops.len());
    let (place, tap) = (step.window[0], step.window[1]);
    (sizes[place], sizes[tap]) = (5, 3);
    let spatial = Spatial {
        source: 6,
        out: 5,
        taps: 3,
        stride: 2,
        dilation: 3,
        offset: -4,
        divide: 2,
    };
    let out = dense(&sizes);
    let mut around = sizes.clone();
    (around[place], around[tap]) = (spatial.source, 1);
    let mut source = dense(&around);
    let stride = source[place];
    (source[place], source[tap]) = (0, 0);
    let count: usize = sizes.iter().product();
    let held: usize = around.iter().product();
    let small = WindowStep {
        loops: sizes.clone(),
        window: step.window,
        spatial,
        source: arg(0, source.clone()),
        stride,
        fill: 0xff80_0000,
        out: arg(1, out),
    };
    let operand = Source::default().operand(0, DType::F32, held);
    let fill = if bytes == 1 {
        small.fill & 0xff
    } else {
        small.fill
    };
    let mut wanted = Vec::with_capacity(count);
    for spot in places(&sizes) {
        let from = spot[place] as i64 * spatial.stride
            + spot[tap] as i64 * spatial.dilation
            + spatial.offset;
        let inside = from >= 0
            && from % spatial.divide == 0
            && from / spatial.divide < spatial.source as i64;
        wanted.push(match inside {
            true => {
                operand[at(&spot, &source) + (from / spatial.divide) as usize * stride as usize]
            }
            false => fill,
        });
    }
    let launch = elementwise::window(&words(), &small, bytes);
    compare(core, launch, "a window", vec![operand], &wanted, false)
}
