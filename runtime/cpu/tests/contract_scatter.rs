//! The gradient of a lookup equals the contraction with one-hot rows.

mod contract_support;

use contract_support::{Rng, assert_same, contexts, plain_present};
use mmh_cpu::contract::{K_GROUP, scatter_rows};

#[test]
fn scattering_equals_the_one_hot_contraction() {
    let mut rng = Rng(21);
    let sizes = [
        (0, 3, 2),
        (1, 1, 1),
        (300, 5, 7),
        (1000, 40, 33),
        (2000, 3000, 16),
        (K_GROUP + 900, 3, 2),
        (2 * K_GROUP + 9, 70, 3),
    ];
    for (positions, entries, width) in sizes {
        let index: Vec<u32> = (0..positions).map(|_| rng.below(entries) as u32).collect();
        let gradients = rng.values(positions * width);
        let expected: Vec<f32> = (0..entries * width)
            .map(|place| {
                let (entry, column) = ((place / width) as u32, place % width);
                plain_present(positions, |k| {
                    (index[k] == entry).then(|| (1.0, gradients[k * width + column]))
                })
            })
            .collect();
        contexts(|context, label| {
            let mut table = vec![f32::NAN; entries * width];
            scatter_rows(context, &index, &gradients, width, &mut table).expect("the case fits");
            assert_same(
                &table,
                &expected,
                &format!("{positions} positions, {entries} entries, {label}"),
            );
        });
    }
}

#[test]
fn an_index_outside_the_table_is_refused() {
    contexts(|context, _| {
        let mut table = [0.0; 6];
        assert!(scatter_rows(context, &[0, 2], &[1.0; 4], 2, &mut table).is_ok());
        assert!(scatter_rows(context, &[0, 3], &[1.0; 4], 2, &mut table).is_err());
        assert!(scatter_rows(context, &[0, 2], &[1.0; 3], 2, &mut table).is_err());
        assert!(scatter_rows(context, &[0], &[1.0; 4], 4, &mut table).is_err());
    });
}
