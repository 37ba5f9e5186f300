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
