//! Counter-based random numbers: one independent stream for each (seed, sample index, purpose).
//!
//! A draw depends on nothing but its key, so a run does not change with the number of threads or ranks, with gradient
//! accumulation or with being resumed. The generator is ChaCha8 (D. J. Bernstein, "ChaCha, a variant of Salsa20"), keyed
//! by the triple itself; transcendental functions come from `libm`, whose Rust code rounds alike on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a random number is for. The values are part of every stream's key: never change one, only add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; the index is the parameter's number.
    Init = 1,
    /// Visiting order of the images of one class; the index is (class, epoch).
    Order = 2,
    /// Which classes a step uses; the index is the round.
    ClassOrder = 3,
    /// Visiting order of all images (null-label draws and plain batches); the index is the epoch.
    AllOrder = 4,
    /// Diffusion timestep of a training sample.
    Timestep = 5,
    /// Forward-process noise of a training sample.
    Noise = 6,
    /// Whether a training sample loses its label.
    LabelDrop = 7,
    /// Whether a training sample is mirrored.
    Flip = 8,
    /// Initial noise of a generated image.
    SampleNoise = 9,
    /// Noise that a stochastic sampler adds on the way; one stream for each generated image.
    SamplerNoise = 10,
    /// Timesteps of validation samples.
    EvaluationTimestep = 11,
    /// Noise of validation samples.
    EvaluationNoise = 12,
    /// Subsets, bootstraps and projections of metrics.
    Metric = 13,
    /// Anything in a test or an example.
    Test = 14,
    /// Draws shared by a whole step rather than by one sample (the offset of stratified timesteps); the index is the step.
    Step = 15,
    /// Initial values of new tailors.
    Tailor = 16,
    /// Whether a labelled training sample runs without its tailors.
    GateDropout = 17,
    /// Whether a labelled training sample hides its label.
    HiddenLabel = 18,
    /// Which latent of its distribution a training sample is.
    Posterior = 19,
    /// Which latent of its distribution a validation sample is.
    EvaluationPosterior = 20,
    /// How many learngene components a training step runs; the index is the step.
    Thinning = 21,
}

/// The random numbers of one (seed, index, purpose).
#[derive(Debug, Clone)]
pub struct Stream {
    generator: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Stream {
    /// Opens the stream at its beginning. Streams that differ in any of the three are independent.
    pub fn new(seed: u64, index: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        key[16..24].copy_from_slice(&(purpose as u64).to_le_bytes());
        key[24..].copy_from_slice(b"learngen");
        Self {
            generator: ChaCha8Rng::from_seed(key),
            spare_normal: None,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// A uniform number in [0, 1), a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A standard normal number (Box and Muller 1958, in f64; both numbers of a pair are used).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * self.uniform());
        self.spare_normal = Some(radius * sine);
        radius * cosine
    }

    /// Fills `values` with standard normal numbers rounded to f32.
    pub fn fill_normal(&mut self, values: &mut [f32]) {
        for value in values {
            *value = self.normal() as f32;
        }
    }

    /// A whole number in `0..n`, each equally likely (Lemire 2019, "Fast random integer generation in an interval").
    /// `below(0)` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n <= 1 {
            return 0;
        }
        let rejected = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= rejected {
                return (product >> 64) as usize;
            }
        }
    }

    /// The numbers `0..n` in random order (Fisher and Yates), each order equally likely.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Golden values: tests/reference/chacha8.py, an independent ChaCha8 in Python.
    #[test]
    fn streams_agree_with_an_independent_chacha8() {
        let mut stream = Stream::new(7, 11, Purpose::Timestep);
        let bits: Vec<u64> = (0..10).map(|_| stream.bits()).collect();
        let expected = [
            0xd7b4_69de_140f_99ed,
            0x2aa4_8fc7_3b9c_6777,
            0x6af0_035d_370f_432e,
            0xfb36_0334_968f_ba1b,
            0xf782_1933_2b44_a188,
            0x0933_8eed_d6ba_1b73,
            0x0ffb_73e3_342c_5b27,
            0x01e4_d0b7_ebb6_e1ff,
            0xc2f2_0b05_29be_d946,
            0x432c_8eea_d891_f79b,
        ];
        assert_eq!(bits, expected);
        let mut stream = Stream::new(7, 11, Purpose::Timestep);
        assert_eq!(
            [stream.uniform(), stream.uniform()],
            [0.842_596_642_225_599_6, 0.166_573_511_257_966_7]
        );
        assert_eq!(
            Stream::new(7, 11, Purpose::Order).permutation(12),
            [6, 11, 4, 1, 2, 10, 0, 8, 7, 3, 5, 9]
        );
    }

    // The reference's logarithm and cosine are the C library's: they may differ from libm's in the last place.
    #[test]
    fn normals_agree_with_box_muller_in_python() {
        let mut stream = Stream::new(7, 11, Purpose::Timestep);
        let expected = [
            0.962_469_158_590_643,
            1.664_794_383_616_271_3,
            1.032_835_680_736_201,
            -0.121_961_765_028_905_7,
        ];
        for value in expected {
            let found = stream.normal();
            assert!((found - value).abs() < 1e-15, "{found} is not {value}");
        }
    }

    #[test]
    fn purposes_keep_their_numbers() {
        let numbers = [
            Purpose::Init,
            Purpose::Order,
            Purpose::Timestep,
            Purpose::Noise,
            Purpose::LabelDrop,
        ];
        assert_eq!(numbers.map(|purpose| purpose as u64), [1, 2, 5, 6, 7]);
        let numbers = [
            Purpose::Flip,
            Purpose::SampleNoise,
            Purpose::SamplerNoise,
            Purpose::Tailor,
        ];
        assert_eq!(numbers.map(|purpose| purpose as u64), [8, 9, 10, 16]);
    }

    // Standard errors with n = 200,000: mean 0.0022, variance 0.0032, fourth moment 0.022. Bounds are at 4.5 of them.
    #[test]
    fn normals_have_the_moments_of_a_standard_normal() {
        let n = 200_000;
        let mut values = vec![0.0f32; n];
        Stream::new(1, 2, Purpose::Test).fill_normal(&mut values);
        let moment = |power: i32| {
            values
                .iter()
                .map(|v| f64::from(*v).powi(power))
                .sum::<f64>()
                / n as f64
        };
        assert!(moment(1).abs() < 0.01, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.0145, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.1, "fourth moment {}", moment(4));
        let beyond = values.iter().filter(|v| v.abs() > 1.959_964).count() as f64 / n as f64;
        assert!((beyond - 0.05).abs() < 0.0022, "{beyond} lie beyond 1.96");
    }

    // Chi-squared with 6 degrees of freedom exceeds 30 once in 25,000; 7 divides no power of two, so bias would show.
    #[test]
    fn below_is_even() {
        let mut stream = Stream::new(3, 0, Purpose::Test);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[stream.below(7)] += 1);
        let chi_squared: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - 1e4).powi(2) / 1e4)
            .sum();
        assert!(chi_squared < 30.0, "{counts:?}");
        assert_eq!((stream.below(0), stream.below(1)), (0, 0));
    }

    // Correlations of n = 10,000 pairs have standard error 0.01. A neighbouring seed, index or purpose must be unrelated.
    #[test]
    fn neighbouring_streams_are_independent() {
        let draw = |mut stream: Stream| (0..10_000).map(|_| stream.normal()).collect::<Vec<f64>>();
        let base = draw(Stream::new(5, 5, Purpose::Noise));
        let others = [
            Stream::new(6, 5, Purpose::Noise),
            Stream::new(5, 6, Purpose::Noise),
            Stream::new(5, 5, Purpose::LabelDrop),
            Stream::new(5 << 32, 5, Purpose::Noise),
        ];
        for other in others.map(draw) {
            let correlation = base.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / 1e4;
            assert!(correlation.abs() < 0.045, "correlation {correlation}");
        }
    }

    #[test]
    fn first_numbers_of_consecutive_indices_are_uniform() {
        let mut counts = [0u32; 10];
        for index in 0..50_000 {
            counts[(Stream::new(0, index, Purpose::Flip).uniform() * 10.0) as usize] += 1;
        }
        // Chi-squared with 9 degrees of freedom exceeds 37 once in 40,000.
        let chi_squared: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - 5e3).powi(2) / 5e3)
            .sum();
        assert!(chi_squared < 37.0, "{counts:?}");
    }
}
