//! Scalar building blocks that the compiler turns into vector instructions.
//!
//! They are branch-free and always inlined, so a plain loop over slices inside a [`pulp::WithSimd`] implementation is
//! compiled once per instruction set (baseline, AVX2, AVX-512) and picked at run time by [`run`].

use pulp::{Arch, Simd, WithSimd};

/// Runs `kernel` with the widest vector instructions this CPU has.
pub(crate) fn run<K: WithSimd>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}

/// `1.5 * 2^23`: adding it to a float below `2^22` rounds that float to an integer, kept in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;

/// `ln 2` in two parts; the first has so few bits that its products with `-126..=128` are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `e^x`, relative error below `2e-7`; infinite above 88.73, zero below -87, NaN for NaN.
///
/// `e^x = 2^n e^r` with `|r| <= ln 2 / 2`: the Taylor polynomial of degree 7 leaves `r^8 / 8! < 6e-9`, and `2^n` is made
/// of exponent bits as `2 * 2^(n - 1)`, so that `n = 128` overflows to infinity and `n = -126` gives zero.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.6, 88.9);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    // The low mantissa bits of `shifted` hold n; shifted left by 23 they become the exponent.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(126) << 23);
    2.0 * p * power
}

/// Partial sums kept side by side: enough for two vectors of AVX-512. Fixed, so that every CPU adds in the same order.
const LANES: usize = 32;

/// `sum of f(x_i)` in a fixed order: `LANES` interleaved sums, then halves added to halves.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (sum, &x) in sums.iter_mut().zip(block) {
            *sum += f(x);
        }
    }
    // What is indexed by a number known at run time only lies in memory: not the sums of the loop above.
    let mut lanes = sums;
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    fold(lanes, |a, b| a + b)
}

/// `sum of x_i f(y_i)`, in the order of [`sum`].
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (y_blocks, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * f(y);
        }
    }
    let mut lanes = sums;
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += x * f(y);
    }
    fold(lanes, |a, b| a + b)
}

/// `sum of f(x_i, y_i, z_i)`, in the order of [`sum`].
#[inline(always)]
pub(crate) fn sum_of_three(
    x: &[f32],
    y: &[f32],
    z: &[f32],
    f: impl Fn(f32, f32, f32) -> f32,
) -> f32 {
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (y_blocks, y_rest) = y.as_chunks::<LANES>();
    let (z_blocks, z_rest) = z.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for ((x, y), z) in x_blocks.iter().zip(y_blocks).zip(z_blocks) {
        for (((sum, &x), &y), &z) in sums.iter_mut().zip(x).zip(y).zip(z) {
            *sum += f(x, y, z);
        }
    }
    let mut lanes = sums;
    for (((lane, &x), &y), &z) in lanes.iter_mut().zip(x_rest).zip(y_rest).zip(z_rest) {
        *lane += f(x, y, z);
    }
    fold(lanes, |a, b| a + b)
}

/// The largest element; minus infinity for none. NaN is passed over.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut largest = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (largest, &x) in largest.iter_mut().zip(block) {
            *largest = larger(x, *largest);
        }
    }
    let mut lanes = largest;
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(x, *lane);
    }
    fold(lanes, larger)
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = f(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// `to += from`.
pub(crate) struct Add<'a> {
    pub(crate) to: &'a mut [f32],
    pub(crate) from: &'a [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to += from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_take_every_length() {
        for n in 0..100 {
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            let total = (n * (n + 1) / 2) as f32;
            assert_eq!(sum(&x, |x| x), total);
            assert_eq!(sum(&x, |x| x * x), dot(&x, &x, |x| x));
            assert_eq!(dot(&x, &vec![1.0; n], |y| y), total);
            assert_eq!(sum_of_three(&x, &x, &x, |x, y, z| x + y - z), total);
            assert_eq!(max(&x), if n == 0 { f32::NEG_INFINITY } else { n as f32 });
        }
    }

    #[test]
    fn exp_agrees_with_double_precision() {
        let mut worst = 0.0f64;
        for i in -869_000..=887_000 {
            let x = i as f32 * 1e-4;
            let exact = (x as f64).exp();
            worst = worst.max((exp(x) as f64 - exact).abs() / exact);
        }
        assert!(worst < 2e-7, "{worst}");
    }

    #[test]
    fn exp_ends_in_zero_infinity_and_nan() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }
}
