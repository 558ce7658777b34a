//! Addressed random draws.

use crate::operand::{Operand, broken};
use mmh_ir::device::{RunError, Tensor};
use mmh_ir::{RandomKind, Shape};
use mmh_numerics::random::{Key, Stream, below, normals, uniforms};

/// Draws for every element of `shape`; with a nonce per row, every row is numbered from 0.
pub(crate) fn draw(
    kind: RandomKind,
    operands: &[Operand<'_>],
    shape: &Shape,
) -> Result<Tensor, RunError> {
    let [key, nonce] = operands else {
        return Err(broken("a draw takes a key and a nonce"));
    };
    let words = key.i32(key.shape)?;
    let words = <[i32; 8]>::try_from(&*words).map_err(|_| broken("a key has 8 words"))?;
    let key = Key(words.map(i32::cast_unsigned));
    let nonces = nonce.i32(nonce.shape)?;
    let row = shape.elements() / nonces.len().max(1);
    let streams = nonces
        .iter()
        .map(|nonce| Stream::new(key, u64::from(nonce.cast_unsigned())));
    Ok(match kind {
        RandomKind::Uniform => fill(streams, row, uniforms),
        RandomKind::Normal => fill(streams, row, normals),
        RandomKind::Below(n) => Tensor::I32(
            streams
                .flat_map(|stream| (0..row as u64).map(move |i| (stream, i)))
                .map(|(stream, i)| below(stream.double_word(i), u64::from(n)) as i32)
                .collect(),
        ),
    })
}

fn fill(
    streams: impl Iterator<Item = Stream>,
    row: usize,
    draw: fn(&Stream, u64, &mut [f32]),
) -> Tensor {
    let mut all = Vec::new();
    for stream in streams {
        let start = all.len();
        all.resize(start + row, 0.0);
        draw(&stream, 0, &mut all[start..]);
    }
    Tensor::F32(all)
}
