//! Random numbers of a search: each proposal has an address, so that none depends on another having been made.

use crate::math::normal_quantile;
use mmh_numerics::random::{Component, Key, Seed, chacha8_block};

/// The numbers at one address, read one after another.
pub(crate) struct Draws {
    key: Key,
    next: u64,
    block: [u32; 16],
}

impl Draws {
    /// The numbers at `search / name / purpose / numbers…`.
    pub(crate) fn at(seed: &Seed, name: &str, purpose: &str, numbers: &[u64]) -> Self {
        let mut path = vec![
            Component::Text("search"),
            Component::Text(name),
            Component::Text(purpose),
        ];
        path.extend(numbers.iter().map(|number| Component::Number(*number)));
        Self {
            key: Key::derive(seed, &path),
            next: 0,
            block: [0; 16],
        }
    }

    /// 64 random bits: the u64 draws of the stream in order.
    pub(crate) fn word(&mut self) -> u64 {
        let place = (self.next % 8) as usize;
        if place == 0 {
            self.block = chacha8_block(&self.key.0, self.next / 8, 0);
        }
        self.next += 1;
        u64::from(self.block[2 * place]) | u64::from(self.block[2 * place + 1]) << 32
    }

    /// A number in [0, 1), a multiple of 2⁻⁵³.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A normal number, by inversion.
    pub(crate) fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform() + 0.5 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_numerics::random::Stream;

    #[test]
    fn words_are_those_of_the_stream() {
        let seed = Seed::from_integer(9);
        let mut draws = Draws::at(&seed, "tune", "tpe", &[3, 0]);
        let path = ["search", "tune", "tpe"].map(Component::Text);
        let path: Vec<Component<'_>> = path
            .into_iter()
            .chain([3, 0].map(Component::Number))
            .collect();
        let stream = Stream::new(Key::derive(&seed, &path), 0);
        for i in 0..40 {
            assert_eq!(draws.word(), stream.double_word(i));
        }
    }
}
