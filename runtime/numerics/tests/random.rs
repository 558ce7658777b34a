//! Seeds, keys, streams and draws.

use mmh_numerics::ops::Scalar;
use mmh_numerics::random::{
    Component, Key, Seed, SeedError, Stream, below, chacha8_block, dropout_keeps, dropout_scale,
    from_range, normals, shuffle, uniform, uniforms,
};

fn stream() -> Stream {
    let seed = Seed::from_integer(20_260_101);
    Stream::new(
        Key::derive(&seed, &["fit".into(), "shuffle".into(), 3_u64.into()]),
        7,
    )
}

fn bytes_of(block: [u32; 16]) -> String {
    block
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn chacha8_gives_the_published_vectors() {
    // draft-strombergson-chacha-test-vectors-01, 256-bit keys, 8 rounds: TC1 and TC2.
    assert_eq!(
        bytes_of(chacha8_block(&[0; 8], 0, 0)),
        "3e00ef2f895f40d67f5bb8e81f09a5a12c840ec3ce9a7f3b181be188ef711a1e\
         984ce172b9216f419f445367456d5619314a42a3da86b001387bfdb80e0cfe42"
    );
    let mut key = [0; 8];
    key[0] = 1;
    assert_eq!(
        bytes_of(chacha8_block(&key, 0, 0)),
        "cf5ee9a0494aa9613e05d5ed725b804b12f4a465ee635acc3a311de8740489ea\
         289d04f43c7518db56eb4433e498a1238cd8464d3763ddbb9222ee3bd8fae3c8"
    );
}

#[test]
fn bulk_words_are_the_words_of_the_blocks() {
    let stream = stream();
    for (first, count) in [
        (0, 1),
        (0, 1000),
        (5, 64),
        (15, 2),
        (1 << 36, 300),
        ((1 << 36) - 3, 40),
        ((1 << 40) + 9, 17),
    ] {
        let mut words = vec![0; count];
        stream.fill(first, &mut words);
        for (offset, &word) in words.iter().enumerate() {
            assert_eq!(
                word,
                stream.word(first + offset as u64),
                "word {first} + {offset}"
            );
        }
    }
    assert_eq!(
        stream.double_word(9),
        u64::from(stream.word(18)) | u64::from(stream.word(19)) << 32
    );
}

#[test]
fn nonce_and_counter_use_all_64_bits() {
    let key = stream().key;
    let words: Vec<u32> = [0, 1, 1 << 32, 1 << 63]
        .map(|nonce| Stream::new(key, nonce).word(0))
        .to_vec();
    let blocks: Vec<u32> = [0, 1, 1 << 32, 1 << 63]
        .map(|counter| chacha8_block(&key.0, counter, 0)[0])
        .to_vec();
    for list in [words, blocks] {
        assert!(
            (0..4).all(|i| (0..i).all(|j| list[i] != list[j])),
            "{list:?}"
        );
    }
}

#[test]
fn seeds_have_three_spellings() {
    let mut bytes = [0; 32];
    bytes[0] = 0x34;
    bytes[1] = 0x12;
    assert_eq!(Seed::from_integer(0x1234), Seed(bytes));
    assert_eq!(
        Seed::from_hex(&format!("3412{}", "0".repeat(60))),
        Ok(Seed(bytes))
    );
    assert_eq!(Seed::from_hex("12"), Err(SeedError::Length(2)));
    assert_eq!(
        Seed::from_hex(&format!("+{}", "0".repeat(63))),
        Err(SeedError::Digit(0))
    );
    assert_eq!(
        Seed::from_phrase("hello"),
        Seed(blake3::derive_key("mmh seed 1", b"hello"))
    );
}

#[test]
fn keys_are_derived_from_the_documented_bytes() {
    let seed = Seed::from_integer(5);
    let mut material = seed.0.to_vec();
    material.extend([4, 0, 0, 0, 0, 0, 0, 0, b's', b'f', b'i', b't']);
    material.extend([9, 0, 0, 0, 0, 0, 0, 0, b'n', 3, 0, 0, 0, 0, 0, 0, 0]);
    let wanted = Key::from_bytes(&blake3::derive_key("mmh rng 1", &material));
    assert_eq!(
        Key::derive(&seed, &["fit".into(), Component::Number(3)]),
        wanted
    );
    assert_eq!(Key::from_bytes(&wanted.to_bytes()), wanted);
}

#[test]
fn different_paths_have_different_keys() {
    let seed = Seed::from_integer(5);
    let paths: [&[Component<'_>]; 6] = [
        &["ab".into(), "c".into()],
        &["a".into(), "bc".into()],
        &["abc".into()],
        &["abc".into(), "".into()],
        &["\0\0\0\0\0\0\0\0".into()],
        &[0.into()],
    ];
    let keys = paths.map(|path| Key::derive(&seed, path));
    assert!((0..6).all(|i| (0..i).all(|j| keys[i] != keys[j])));
}

#[test]
fn uniforms_have_24_bits_and_never_reach_one() {
    let u = |word: u32| uniform(&mut Scalar, word.cast_signed());
    assert_eq!((u(0), u(255), u(256)), (0.0, 0.0, 1.0 / 16_777_216.0));
    assert_eq!(u(u32::MAX), 1.0 - 1.0 / 16_777_216.0);
    let (stream, mut values) = (stream(), [0.0; 700]);
    uniforms(&stream, 11, &mut values);
    assert!((0..700).all(|i| values[i] == u(stream.word(11 + i as u64))));
}

#[test]
fn ranges_exclude_their_end() {
    let draw = |a, b| from_range(&mut Scalar, -1, a, b);
    assert_eq!(draw(0.0, 1.0), 1.0 - 1.0 / 16_777_216.0);
    assert_eq!(draw(16_777_214.0, 16_777_216.0), 16_777_215.0);
    assert_eq!(draw(-1.0, 0.0), -1.0 / 16_777_216.0);
    assert_eq!(draw(-3.0, -2.0), f32::from_bits((-2.0_f32).to_bits() + 1));
    assert_eq!(draw(-f32::from_bits(1), 0.0), -f32::from_bits(1));
    assert_eq!(from_range(&mut Scalar, 0, -3.0, -2.0), -3.0);
}

#[test]
fn integers_below_a_bound() {
    assert_eq!(
        (
            below(0, 10),
            below(u64::MAX, 10),
            below(1 << 63, 10),
            below(u64::MAX, 0)
        ),
        (0, 9, 5, 0)
    );
}

#[test]
fn normals_have_their_moments_and_an_address() {
    let (stream, mut values) = (stream(), vec![0.0; 100_000]);
    normals(&stream, 0, &mut values);
    let moment = |power: i32| {
        let terms = values
            .iter()
            .map(|&v| (0..power).fold(1.0, |product, _| product * f64::from(v)));
        terms.sum::<f64>() / values.len() as f64
    };
    assert!(
        moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.015 && moment(3).abs() < 0.03,
        "{}",
        moment(2)
    );
    assert!((moment(4) - 3.0).abs() < 0.1, "{}", moment(4));
    let mut part = [0.0; 600];
    normals(&stream, 77, &mut part);
    assert_eq!(
        part.map(f32::to_bits).to_vec(),
        values[77..677]
            .iter()
            .map(|v| v.to_bits())
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_shuffle_sorts_rows_by_their_draws() {
    let stream = stream();
    for rows in [1, 2, 3, 20, 1000, 1024, 70_000] {
        let mut pairs: Vec<(u64, u32)> = (0..rows)
            .map(|row| (stream.double_word(row.into()), row))
            .collect();
        pairs.sort_unstable();
        let sorted: Vec<u32> = pairs.into_iter().map(|(_, row)| row).collect();
        assert_eq!(shuffle(rows, &stream), sorted, "{rows} rows");
    }
    assert!(shuffle(0, &stream).is_empty());
}

#[test]
fn dropout_keeps_its_share() {
    let stream = stream();
    let kept = (0..20_000)
        .filter(|&i| dropout_keeps(stream.word(i), 0.3))
        .count();
    assert!((13_800..14_200).contains(&kept), "{kept}");
    assert!(!dropout_keeps(0, 0.1) && dropout_keeps(0, 0.0));
    assert_eq!(dropout_scale(0.1).to_bits(), 0x3f8e_38e4);
}
