//! GFLOP/s of square products on every admitted graphics processor: `products 512 1024 2048`.

use mmh_gpu::adapters;

fn main() {
    let sides: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|it| it.parse().ok())
        .collect();
    for adapter in adapters() {
        let gpu = match adapter.admit() {
            Ok(gpu) => gpu,
            Err(refusal) => {
                println!("{}: refused: {refusal}", adapter.name());
                continue;
            }
        };
        for side in &sides {
            match gpu.product_speed(*side) {
                Ok(gflops) => println!("{}: {side} {gflops:.1} GFLOP/s", adapter.name()),
                Err(reason) => println!("{}: {side} failed: {reason}", adapter.name()),
            }
        }
    }
}
