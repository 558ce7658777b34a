//! Speed of the contractions as a share of the processor's fused multiply-add peak, measured in the same process.
//!
//! `cargo run --release -p mmh-cpu --example contract_bench [squares|mlp|layers|attention|conv|scatter|all] [threads] [isa]`
//!
//! Work of taps outside the picture counts as work, so that a convolution that skips them can pass 100 %.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mmh_cpu::contract::{
    Absent, Axis, Context, Convolution, Gemm, Operand, Output, Weight, convolution, gemm,
    scatter_rows, weight_gradient,
};
use mmh_cpu::isa::Isa;
use mmh_cpu::memory::AlignedBuffer;
use mmh_cpu::pool::Pool;

/// The least time of several runs; others may use the machine too.
fn least_time(mut run: impl FnMut()) -> f64 {
    run();
    let (start, mut least) = (Instant::now(), f64::INFINITY);
    let mut runs = 0;
    while runs < 5 || start.elapsed() < Duration::from_millis(150) {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    least
}

/// Multiply-adds per second of one thread when everything stays in registers.
fn register_peak(isa: Isa) -> f64 {
    const ROUNDS: usize = 100_000;
    let time = least_time(|| match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => peak::avx512(ROUNDS),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => peak::avx2(ROUNDS),
        _ => {
            let mut sums = [0.0f32; 64];
            for _ in 0..ROUNDS {
                sums.iter_mut().for_each(|sum| *sum = sum.mul_add(0.5, 1.0));
            }
            black_box(sums);
        }
    });
    let lanes = match isa {
        Isa::Avx512 => 12 * 16,
        Isa::Avx2 => 12 * 8,
        Isa::Scalar | Isa::Neon => 64,
    };
    (ROUNDS * lanes) as f64 / time
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "a loop of fused multiply-adds that no compiler may change"
)]
mod peak {
    use std::arch::asm;

    macro_rules! chains {
        ($rounds:expr, $register:literal) => {{
            // SAFETY: registers only, all of them declared.
            unsafe {
                asm!(
                    "2:",
                    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11",
                    concat!("vfmadd231ps ", $register, "\\i, ", $register, "15, ", $register, "15"),
                    ".endr",
                    "dec {n}",
                    "jnz 2b",
                    n = inout(reg) $rounds => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm15") _,
                )
            }
        }};
    }

    pub(super) fn avx2(rounds: usize) {
        chains!(rounds, "ymm");
    }

    pub(super) fn avx512(rounds: usize) {
        chains!(rounds, "zmm");
    }
}

struct Bench<'p> {
    context: Context<'p>,
    /// Multiply-adds per second of all threads.
    peak: f64,
}

impl Bench<'_> {
    fn report(&self, name: &str, work: usize, run: impl FnMut()) {
        let time = least_time(run);
        let share = work as f64 / time / self.peak * 100.0;
        println!("{name:44} {:9.1} us  {share:5.1} %", time * 1e6);
    }

    fn product(&self, name: &str, sizes: Gemm, layout: &str) {
        let Gemm {
            batch: [p, q],
            m,
            n,
            k,
            absent,
        } = sizes;
        let (a, b) = (values(p * q * m * k), values(p * q * k * n));
        let mut c = AlignedBuffer::zeroed(p * q * m * n);
        let left = if layout.starts_with('T') {
            Operand::transposed(&a, m)
        } else {
            Operand::rows(&a, k)
        };
        let right = if layout.ends_with('T') {
            Operand::transposed(&b, k)
        } else {
            Operand::rows(&b, n)
        };
        let left = Operand {
            batch_strides: [q * m * k, m * k],
            ..left
        };
        let right = Operand {
            batch_strides: [q * k * n, k * n],
            ..right
        };
        let work = p * q * m * n * k / if absent == Absent::Nothing { 1 } else { 2 };
        self.report(&format!("{name} {layout}"), work, || {
            let output = Output {
                batch_strides: [q * m * n, m * n],
                ..Output::rows(&mut c, n)
            };
            gemm(&self.context, &sizes, left, right, output).expect("sizes fit");
        });
    }

    fn squares(&self) {
        for size in [128, 256, 512, 1024, 2048] {
            for layout in ["NN", "NT", "TN"] {
                self.product(
                    &format!("square {size}"),
                    Gemm::single(size, size, size),
                    layout,
                );
            }
        }
    }

    fn mlp(&self) {
        for (inputs, outputs) in [(784, 512), (512, 512), (512, 10)] {
            let name = |part: &str| format!("mlp 128x{inputs}x{outputs} {part}");
            self.product(&name("forward"), Gemm::single(128, outputs, inputs), "NN");
            self.product(
                &name("input gradient"),
                Gemm::single(128, inputs, outputs),
                "NT",
            );
            self.product(
                &name("weight gradient"),
                Gemm::single(inputs, outputs, 128),
                "TN",
            );
        }
    }

    /// The other products of a convolutional net, a transformer and a small net: each with its two gradients.
    fn layers(&self) {
        let layers = [
            ("dense", 64, 12544, 128),
            ("dense", 64, 128, 10),
            ("transformer", 2048, 128, 128),
            ("transformer", 2048, 128, 384),
            ("transformer", 2048, 128, 512),
            ("transformer", 2048, 512, 128),
            ("transformer", 2048, 128, 65),
            ("small", 32, 64, 64),
            ("small", 32, 64, 10),
        ];
        for (layer, rows, inputs, outputs) in layers {
            let name = |part: &str| format!("{layer} {rows}x{inputs}x{outputs} {part}");
            self.product(&name("forward"), Gemm::single(rows, outputs, inputs), "NN");
            self.product(
                &name("input gradient"),
                Gemm::single(rows, inputs, outputs),
                "NT",
            );
            self.product(
                &name("weight gradient"),
                Gemm::single(inputs, outputs, rows),
                "TN",
            );
        }
    }

    fn convolutions(&self) {
        let sizes = [
            (8, 1, 24, 1),
            (8, 24, 24, 1),
            (8, 24, 48, 2),
            (4, 48, 48, 1),
            (28, 1, 32, 1),
            (28, 32, 64, 1),
        ];
        for (size, in_channels, out_channels, stride) in sizes {
            let axis = Axis::forward(size, 3, stride, 1);
            let forward = Convolution {
                batch: 64,
                rows: axis,
                columns: axis,
                in_channels,
                out_channels,
            };
            let back = forward.transposed();
            let x = values(64 * size * size * in_channels);
            let data = values(9 * in_channels * out_channels);
            let mut y = AlignedBuffer::zeroed(forward.places() * out_channels);
            let work = forward.places() * 9 * in_channels * out_channels;
            let name = |part: &str| {
                format!("conv {size}x{size} {in_channels}->{out_channels} /{stride} {part}")
            };
            let weight = Weight::of(&forward, &data);
            self.report(&name("forward"), work, || {
                convolution(&self.context, &forward, &x, weight, &mut y).expect("sizes fit");
            });
            let mut dx = AlignedBuffer::zeroed(x.len());
            self.report(&name("input gradient"), work, || {
                convolution(&self.context, &back, &y, weight.transposed(), &mut dx)
                    .expect("sizes fit");
            });
            let mut dw = AlignedBuffer::zeroed(data.len());
            self.report(&name("weight gradient"), work, || {
                weight_gradient(&self.context, &forward, &x, &y, &mut dw).expect("sizes fit");
            });
        }
    }

    fn scatter(&self) {
        let (positions, entries, width) = (8192, 4096, 128);
        let index: Vec<u32> = (0..positions)
            .map(|place| (place * 7919 % entries) as u32)
            .collect();
        let gradients = values(positions * width);
        let mut table = vec![0.0; entries * width];
        self.report(
            "scatter 8192 rows of 128 to 4096",
            positions * width,
            || {
                scatter_rows(&self.context, &index, &gradients, width, &mut table)
                    .expect("sizes fit");
            },
        );
    }

    fn attention(&self) {
        let sizes = |n, k, absent| Gemm {
            batch: [8, 8],
            m: 128,
            n,
            k,
            absent,
        };
        let all = Absent::Nothing;
        self.product("attention scores", sizes(128, 32, all), "NT");
        self.product("attention values", sizes(32, 128, all), "NN");
        self.product("attention value gradient", sizes(32, 128, all), "TN");
        self.product(
            "causal scores",
            sizes(128, 32, Absent::OutputAfterRow),
            "NT",
        );
        self.product(
            "causal values",
            sizes(32, 128, Absent::ContractedAfterRow),
            "NN",
        );
        self.product(
            "causal value gradient",
            sizes(32, 128, Absent::ContractedBeforeRow),
            "TN",
        );
    }
}

/// As the memory of a step: on large pages.
fn values(count: usize) -> AlignedBuffer {
    let mut values = AlignedBuffer::zeroed(count);
    for (place, value) in values.iter_mut().enumerate() {
        *value = (place * 7919 % 1000) as f32 / 500.0 - 1.0;
    }
    values
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let what = arguments.first().map_or("all", String::as_str);
    let threads = arguments
        .get(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let ceiling = arguments.get(2).and_then(|text| text.parse().ok());
    let (pool, isa) = (Pool::new(threads), Isa::best(ceiling));
    let peak = register_peak(isa);
    println!(
        "{isa}, {threads} threads, register peak {:.1} GFLOP/s a thread",
        peak * 2e-9
    );
    let context = Context::new(&pool, isa).expect("the best is admitted");
    let bench = Bench {
        context,
        peak: peak * threads as f64,
    };
    let wanted = |name: &str| what == "all" || what == name;
    if wanted("squares") {
        bench.squares();
    }
    if wanted("mlp") {
        bench.mlp();
    }
    if wanted("layers") {
        bench.layers();
    }
    if wanted("attention") {
        bench.attention();
    }
    if wanted("conv") {
        bench.convolutions();
    }
    if wanted("scatter") {
        bench.scatter();
    }
}
