//! How fast this machine multiplies matrices: the roof that a step is measured against.

use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Rows and columns of the matrices: large enough for full speed, small enough for the cache of one core's share.
const SIDE: usize = 1024;

/// Single-precision products of the crate `gemm`, with which Burn's CPU backend and our kernels multiply.
pub struct Peak {
    threads: usize,
    left: Vec<f32>,
    right: Vec<f32>,
    /// One result for each thread.
    results: Vec<Vec<f32>>,
}

impl Peak {
    /// For so many threads, which the global pool has.
    pub fn new(threads: usize) -> Self {
        let matrix = |seed: usize| {
            let value = |i: usize| ((i * 7 + seed) % 23) as f32 / 23.0 - 0.5;
            (0..SIDE * SIDE).map(value).collect()
        };
        Self {
            threads,
            left: matrix(1),
            right: matrix(5),
            results: vec![vec![0.0; SIDE * SIDE]; threads],
        }
    }

    /// Multiplies for about `seconds`; floating-point operations a second. Half of the time the threads share one
    /// product, half of the time each has its own; the faster of the two counts.
    pub fn measure(&mut self, seconds: f64) -> f64 {
        let half = Duration::from_secs_f64(seconds / 2.0);
        let (left, right, threads) = (&self.left, &self.right, self.threads);
        let results = &mut self.results;
        let together = rate(half, 1, || {
            multiply(
                left,
                right,
                &mut results[0],
                gemm::Parallelism::Rayon(threads),
            );
        });
        let each = rate(half, threads, || {
            results
                .par_iter_mut()
                .for_each(|result| multiply(left, right, result, gemm::Parallelism::None));
        });
        together.max(each)
    }
}

/// Operations a second of `work`, which makes `products`.
fn rate(least: Duration, products: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut times = 0;
    while start.elapsed() < least {
        work();
        times += products;
    }
    let operations = 2.0 * (SIDE * SIDE * SIDE * times) as f64;
    operations / start.elapsed().as_secs_f64()
}

fn multiply(left: &[f32], right: &[f32], result: &mut [f32], threads: gemm::Parallelism) {
    assert!([left.len(), right.len(), result.len()] == [SIDE * SIDE; 3]);
    let row = SIDE as isize;
    #[expect(
        unsafe_code,
        reason = "the product stays within the lengths asserted above"
    )]
    // SAFETY: all three hold a row-major matrix of SIDE rows and columns, and `result` is exclusively borrowed.
    unsafe {
        gemm::gemm(
            SIDE,
            SIDE,
            SIDE,
            result.as_mut_ptr(),
            1,
            row,
            false,
            left.as_ptr(),
            1,
            row,
            right.as_ptr(),
            1,
            row,
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_multiply() {
        let mut peak = Peak::new(2);
        assert!(peak.measure(0.01) > 0.0);
        let exact = |i: usize, j: usize| -> f64 {
            let of = |k| f64::from(peak.left[i * SIDE + k]) * f64::from(peak.right[k * SIDE + j]);
            (0..SIDE).map(of).sum()
        };
        for result in &peak.results {
            for (i, j) in [(0, 0), (3, 1000), (1023, 511)] {
                assert!((f64::from(result[i * SIDE + j]) - exact(i, j)).abs() < 1e-3);
            }
        }
    }
}
