//! The contract's bits: every function at 24 points, every draw, every order. A change of one bit fails here.
//!
//! `MMH_BLESS=1 cargo test -p mmh-numerics --test golden` writes `golden.txt` anew; its difference is a change of the contract.

use std::fmt::Write;

use mmh_numerics::functions::scalar;
use mmh_numerics::ops::Scalar;
use mmh_numerics::random::{
    Component, Key, Seed, Stream, below, chacha8_block, from_range, normals, shuffle, uniforms,
};
use mmh_numerics::{canonical_bits, contract, convert, double, functions, reduce};

const POINTS: [u32; 24] = [
    0x0000_0000,
    0x8000_0000,
    0x0000_0001,
    0x0040_0000,
    0x3380_0000,
    0x3a83_126f,
    0xbdcc_cccd,
    0x3e99_999a,
    0xbf00_0000,
    0x3f66_6666,
    0x3f80_0000,
    0xbf80_0000,
    0x3faa_aaab,
    0x402d_f854,
    0xc049_0fdb,
    0x4099_999a,
    0xc105_1eb8,
    0x4123_3333,
    0xc1a0_0000,
    0x42ae_0000,
    0xc2ce_cccd,
    0x49742400,
    0x7f80_0000,
    0xff80_0000,
];

type Function = fn(f32) -> f32;

fn text() -> String {
    let mut out = String::new();
    one_argument(&mut out);
    two_arguments(&mut out);
    doubles(&mut out);
    random(&mut out);
    orders(&mut out);
    out
}

fn line(out: &mut String, what: &str, words: &[u32]) {
    let words: String = words.iter().map(|word| format!(" {word:08x}")).collect();
    writeln!(out, "{what} ={words}").expect("a string takes all");
}

fn floats(values: &[f32]) -> Vec<u32> {
    values.iter().map(|&v| canonical_bits(v)).collect()
}

fn one_argument(out: &mut String) {
    let table: [(&str, Function); 14] = [
        ("exp", scalar::exp),
        ("exp2", scalar::exp2),
        ("log", scalar::log),
        ("log2", scalar::log2),
        ("tanh", scalar::tanh),
        ("sigmoid", scalar::sigmoid),
        ("silu", scalar::silu),
        ("softplus", scalar::softplus),
        ("erf", scalar::erf),
        ("erfc", scalar::erfc),
        ("gelu", scalar::gelu),
        ("sin", scalar::sin),
        ("cos", scalar::cos),
        ("rsqrt", scalar::rsqrt),
    ];
    for (name, function) in table {
        for bits in POINTS {
            line(
                out,
                &format!("{name} {bits:08x}"),
                &floats(&[function(f32::from_bits(bits))]),
            );
        }
    }
    for turn in [
        0, 1, 0x1f_ffff, 0x20_0000, 0x3f_fffe, 0x40_0000, 0x87_6543, 0xff_ffff,
    ] {
        let (sin, cos) = functions::sin_cos_turn(&mut Scalar, turn);
        line(
            out,
            &format!("sin_cos_turn {turn:06x}"),
            &floats(&[sin, cos]),
        );
    }
}

fn two_arguments(out: &mut String) {
    let pairs: [(f32, f32); 20] = [
        (2.0, 0.5),
        (0.9, 100.0),
        (1.000_000_1, 1e8),
        (10.0, -30.0),
        (-3.0, 3.0),
        (-3.0, 0.5),
        (0.1, 44.9),
        (7.7, 43.0),
        (1e-40, 0.3),
        (0.0, -3.0),
        (-0.0, -3.0),
        (3e38, 0.99),
        (0.5, 149.0),
        (0.666_666, -217.0),
        (1.333_333, 301.5),
        (65_504.0, 2.5),
        (1.5, 1.5),
        (0.01, 0.01),
        (123.456, -0.789),
        (-1.0, 1e9),
    ];
    for (x, y) in pairs {
        line(
            out,
            &format!("pow {x:e} {y:e}"),
            &floats(&[scalar::pow(x, y)]),
        );
    }
    let halves = [0.1_f32, 65_519.0, 65_520.0, 6e-8, 2.98e-8, -1.0e-5, 3.1e-5]
        .map(|x| u32::from(convert::f16_from_f32(x)));
    line(out, "f16", &halves);
    let short = [0.1_f32, 3.4e38, 1e-40, -1.007_812_5, 1.003_906_2]
        .map(|x| u32::from(convert::bf16_from_f32(x)));
    line(out, "bf16", &short);
}

fn doubles(out: &mut String) {
    let words = |x: f64| [(x.to_bits() >> 32) as u32, x.to_bits() as u32];
    for x in [0.1, 0.5, 1.0, 2.5, 19.0, 700.0, 1e-9, 3e5] {
        line(
            out,
            &format!("double exp log sin cos {x:e}"),
            &[
                words(double::exp(x)),
                words(double::log(x)),
                words(double::sin(x)),
                words(double::cos(x)),
            ]
            .concat(),
        );
        line(
            out,
            &format!("double pow {x:e}"),
            &[words(double::pow(x, 0.3)), words(double::pow(0.999, x))].concat(),
        );
    }
}

fn random(out: &mut String) {
    let seeds = [
        Seed::from_integer(20_260_101),
        Seed::from_integer(u128::MAX),
        Seed::from_phrase("märchen"),
        Seed([0xa5; 32]),
    ];
    let path: [Component<'_>; 4] = [
        "net".into(),
        "linear 1".into(),
        "weight".into(),
        12_u64.into(),
    ];
    for (i, seed) in seeds.iter().enumerate() {
        line(out, &format!("seed {i}"), &Key::from_bytes(&seed.0).0);
        line(out, &format!("key {i}"), &Key::derive(seed, &path).0);
        line(out, &format!("root key {i}"), &Key::derive(seed, &[]).0);
    }
    let key = Key::derive(&seeds[0], &path);
    line(
        out,
        "block",
        &chacha8_block(&key.0, 0x1_0000_0002, 0x3_0000_0004),
    );
    let stream = Stream::new(key, 42);
    let (mut words, mut values) = ([0; 24], [0.0; 24]);
    stream.fill(1_000_003, &mut words);
    line(out, "words", &words);
    uniforms(&stream, 5, &mut values);
    line(out, "uniforms", &floats(&values));
    normals(&stream, 5, &mut values);
    line(out, "normals", &floats(&values));
    let range = words.map(|word| from_range(&mut Scalar, word.cast_signed(), -12.0, 12.0));
    line(out, "ranges", &floats(&range));
    line(
        out,
        "below 1000",
        &[0, 1, 2, 3, 4, 5].map(|i| below(stream.double_word(i), 1000) as u32),
    );
    line(out, "shuffle 20", &shuffle(20, &stream));
}

fn orders(out: &mut String) {
    let key = Key::derive(&Seed::from_integer(1), &[]);
    let mut values = vec![0.0; 200_000];
    normals(&Stream::new(key, 0), 0, &mut values);
    for n in [7, 64, 100, 1_000, 4_097, 100_000] {
        line(
            out,
            &format!("sum {n}"),
            &floats(&[reduce::sum(n, |i| values[i])]),
        );
        line(
            out,
            &format!("chain {n}"),
            &floats(&[contract::chain(n, |k| (values[k], values[k + n]))]),
        );
    }
}

#[test]
fn the_bits_of_the_contract() {
    let (found, path) = (
        text(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt"),
    );
    if std::env::var_os("MMH_BLESS").is_some() {
        std::fs::write(path, &found).expect("golden.txt can be written");
    }
    let wanted = std::fs::read_to_string(path).expect("golden.txt can be read");
    for (found, wanted) in found.lines().zip(wanted.lines()) {
        assert_eq!(found, wanted);
    }
    assert_eq!(found.lines().count(), wanted.lines().count());
}
