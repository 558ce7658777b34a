//! Matrix products equal a plain chain of `f32::mul_add`, whatever the instruction set, threads, strides and sizes.

mod contract_support;

use contract_support::{Rng, assert_same, contexts, plain};
use mmh_cpu::contract::{Absent, Context, Gemm, K_BLOCK, K_GROUP, Operand, Output, gemm};

/// A product with strides, padding between rows and two batch axes.
struct Case {
    sizes: Gemm,
    a: Vec<f32>,
    b: Vec<f32>,
    a_strides: [usize; 4],
    b_strides: [usize; 4],
    c_strides: [usize; 3],
    c_length: usize,
}

/// Row-major, transposed or widely spaced strides of `batch` matrices; and how many elements they reach.
fn layout(rng: &mut Rng, batch: [usize; 2], rows: usize, columns: usize) -> ([usize; 4], usize) {
    let gap = rng.below(3);
    let (row, column, size) = match rng.below(4) {
        0 | 1 => (columns + gap, 1, rows * (columns + gap)),
        2 => (1, rows + gap, (rows + gap) * columns),
        _ => (2 * (columns + gap), 2, 2 * rows * (columns + gap)),
    };
    (
        [batch[1] * size, size, row, column],
        batch[0] * batch[1] * size,
    )
}

fn case(rng: &mut Rng, sizes: Gemm) -> Case {
    let Gemm {
        batch,
        m,
        n,
        k,
        absent,
    } = sizes;
    let (a_strides, a_length) = layout(rng, batch, m, k);
    let (b_strides, b_length) = layout(rng, batch, k, n);
    let row = n + rng.below(3);
    let mut a = rng.values(a_length);
    for_each_index(batch, m, k, |[p, q, i, l]| {
        let gone = match absent {
            Absent::Nothing | Absent::OutputAfterRow => false,
            Absent::ContractedAfterRow => l > i,
            Absent::ContractedBeforeRow => l < i,
        };
        if gone {
            a[at(&a_strides, [p, q, i, l])] = 0.0;
        }
    });
    let b = rng.values(b_length);
    Case {
        sizes,
        a,
        b,
        a_strides,
        b_strides,
        c_strides: [batch[1] * m * row, m * row, row],
        c_length: batch[0] * batch[1] * m * row,
    }
}

fn at(strides: &[usize; 4], index: [usize; 4]) -> usize {
    strides
        .iter()
        .zip(index)
        .map(|(stride, place)| stride * place)
        .sum()
}

fn for_each_index(
    batch: [usize; 2],
    rows: usize,
    columns: usize,
    mut visit: impl FnMut([usize; 4]),
) {
    for p in 0..batch[0] {
        for q in 0..batch[1] {
            for i in 0..rows {
                (0..columns).for_each(|j| visit([p, q, i, j]));
            }
        }
    }
}

impl Case {
    fn operand<'a>(data: &'a [f32], strides: &[usize; 4]) -> Operand<'a> {
        let [outer, inner, row_stride, column_stride] = *strides;
        Operand {
            data,
            row_stride,
            column_stride,
            batch_strides: [outer, inner],
        }
    }

    fn run(&self, context: &Context<'_>) -> Vec<f32> {
        let mut c = vec![f32::NAN; self.c_length];
        let [outer, inner, row_stride] = self.c_strides;
        let output = Output {
            data: &mut c,
            row_stride,
            batch_strides: [outer, inner],
        };
        let (a, b) = (
            Self::operand(&self.a, &self.a_strides),
            Self::operand(&self.b, &self.b_strides),
        );
        gemm(context, &self.sizes, a, b, output).expect("the case fits");
        c
    }

    /// NaN where nothing is asked for.
    fn expected(&self, absent: Absent) -> Vec<f32> {
        let Gemm { batch, m, n, k, .. } = self.sizes;
        let mut c = vec![f32::NAN; self.c_length];
        for_each_index(batch, m, n, |[p, q, i, j]| {
            if absent != Absent::OutputAfterRow || j <= i {
                let left = |l| self.a[at(&self.a_strides, [p, q, i, l])];
                let right = |l| self.b[at(&self.b_strides, [p, q, l, j])];
                c[at(
                    &[self.c_strides[0], self.c_strides[1], self.c_strides[2], 1],
                    [p, q, i, j],
                )] = plain(k, left, right);
            }
        });
        c
    }

    fn check(&self) {
        let expected = self.expected(self.sizes.absent);
        let whole = self.expected(Absent::Nothing);
        contexts(|context, label| {
            let got = self.run(context);
            if self.sizes.absent == Absent::OutputAfterRow {
                let asked = |values: &[f32]| {
                    values
                        .iter()
                        .zip(&expected)
                        .filter(|(_, x)| !x.is_nan())
                        .map(|(x, _)| *x)
                        .collect::<Vec<_>>()
                };
                assert_same(
                    &asked(&got),
                    &asked(&expected),
                    &format!("{:?} {label}", self.sizes),
                );
                for (x, whole) in got.iter().zip(&whole).filter(|(_, w)| !w.is_nan()) {
                    assert!(*x == 0.0 || x == whole, "{x} for {whole}, {label}");
                }
            } else {
                assert_same(&got, &expected, &format!("{:?} {label}", self.sizes));
            }
        });
    }
}

#[test]
fn random_sizes() {
    let mut rng = Rng(1);
    for _ in 0..150 {
        let limits = [3, 20, 60, 140];
        let [m, n] = [limits, limits].map(|limits| rng.below_one_of(limits));
        let k = rng.below_one_of([4, 40, 300, 600]);
        case(&mut rng, Gemm::single(m, n, k)).check();
    }
}

#[test]
fn sizes_that_split_over_threads_and_chunks() {
    let mut rng = Rng(2);
    for (m, n, k) in [
        (130, 300, 70),
        (7, 2000, 33),
        (2000, 10, 20),
        (300, 48, 257),
        (3, 1000, 520),
        (250, 24, 512),
        (1, 1, 1),
    ] {
        case(&mut rng, Gemm::single(m, n, k)).check();
    }
}

#[test]
fn long_contractions() {
    let mut rng = Rng(3);
    for (m, n, k) in [
        (5, 9, K_GROUP),
        (5, 9, K_GROUP + 1),
        (3, 25, 2 * K_GROUP + 700),
        (13, 3, K_BLOCK),
        (2, 2, K_BLOCK + 1),
    ] {
        case(&mut rng, Gemm::single(m, n, k)).check();
    }
}

#[test]
fn batches_and_causal_parts() {
    let mut rng = Rng(4);
    let kinds = [
        Absent::Nothing,
        Absent::ContractedAfterRow,
        Absent::ContractedBeforeRow,
        Absent::OutputAfterRow,
    ];
    for absent in kinds {
        for (batch, m, n, k) in [
            ([2, 3], 17, 19, 23),
            ([1, 2], 70, 33, 70),
            ([1, 1], 530, 20, 530),
            ([3, 1], 40, 40, 7),
            ([1, 1], 9, 5, 300),
            ([5, 5], 4, 4, 4),
        ] {
            case(
                &mut rng,
                Gemm {
                    batch,
                    m,
                    n,
                    k,
                    absent,
                },
            )
            .check();
        }
    }
    case(
        &mut rng,
        Gemm {
            batch: [1, 1],
            m: 3,
            n: 2,
            k: K_GROUP + 300,
            absent: Absent::ContractedAfterRow,
        },
    )
    .check();
    case(
        &mut rng,
        Gemm {
            batch: [1, 1],
            m: 3,
            n: 2,
            k: K_GROUP + 300,
            absent: Absent::ContractedBeforeRow,
        },
    )
    .check();
}

#[test]
fn special_values_travel_as_in_the_definition() {
    let mut rng = Rng(5);
    let mut case = case(&mut rng, Gemm::single(20, 30, 400));
    for (place, value) in [
        f32::INFINITY,
        -0.0,
        f32::MIN_POSITIVE,
        1e-45,
        f32::MAX,
        -1e-30,
    ]
    .into_iter()
    .enumerate()
    {
        let length = case.a.len();
        case.a[(place * 911) % length] = value;
        let length = case.b.len();
        case.b[(place * 577) % length] = value;
    }
    case.check();
}

#[test]
fn negative_zero_is_delivered_as_zero() {
    let (a, b) = ([-1e-30f32; 3], [1e-30f32; 3]);
    contexts(|context, label| {
        let mut c = [f32::NAN];
        let (a, b) = (Operand::rows(&a, 3), Operand::rows(&b, 1));
        gemm(
            context,
            &Gemm::single(1, 1, 3),
            a,
            b,
            Output::rows(&mut c, 1),
        )
        .expect("fits");
        assert_eq!(c[0].to_bits(), 0, "{label}");
    });
}

#[test]
fn long_gradients_are_computed_as_their_transpose() {
    let mut rng = Rng(6);
    for (m, n, k) in [(130, 16, 300), (100, 48, 700), (33, 16, K_GROUP + 3)] {
        let sizes = Gemm::single(m, n, k);
        let case = Case {
            sizes,
            a: rng.values(m * k),
            b: rng.values(k * n),
            a_strides: [0, 0, 1, m],
            b_strides: [0, 0, n, 1],
            c_strides: [0, 0, n],
            c_length: m * n,
        };
        case.check();
    }
}

#[test]
fn right_operands_are_read_in_place_or_copied() {
    // Whole and partial panels, one block and several, few rows and many; the last strides share sets of the cache.
    let mut rng = Rng(7);
    for (m, n, k, stride) in [
        (9, 64, 16, 64),
        (17, 96, 300, 100),
        (128, 130, 530, 130),
        (239, 72, 40, 80),
        (241, 64, 260, 64),
        (20, 64, K_GROUP + 40, 64),
        (20, 64, 257, 4096),
        (20, 64, 100, 8192),
    ] {
        let case = Case {
            sizes: Gemm::single(m, n, k),
            a: rng.values(m * k),
            b: rng.values(k * stride),
            a_strides: [0, 0, k, 1],
            b_strides: [0, 0, stride, 1],
            c_strides: [0, 0, n],
            c_length: m * n,
        };
        case.check();
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    contexts(|context, _| {
        let (a, b, mut c) = ([0.0; 6], [0.0; 6], [0.0; 4]);
        let mut fits = |a: &[f32], b: &[f32], length: usize, row_stride| {
            let (a, b) = (Operand::rows(a, 3), Operand::rows(b, 2));
            gemm(
                context,
                &Gemm::single(2, 2, 3),
                a,
                b,
                Output::rows(&mut c[..length], row_stride),
            )
            .is_ok()
        };
        assert!(fits(&a, &b, 4, 2));
        assert!(!fits(&a[..5], &b, 4, 2));
        assert!(!fits(&a, &b[..5], 4, 2));
        assert!(!fits(&a, &b, 3, 2));
        assert!(!fits(&a, &b, 4, 1));
        let far = Operand {
            row_stride: usize::MAX,
            ..Operand::rows(&a, 3)
        };
        assert!(
            gemm(
                context,
                &Gemm::single(2, 2, 3),
                far,
                Operand::rows(&b, 2),
                Output::rows(&mut c, 2),
            )
            .is_err()
        );
    });
}
