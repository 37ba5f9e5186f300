//! A Gaussian whose every score, flow and posterior is known in closed form.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use learngene_diffusion::{Schedule, Target};

/// `N(mean, R diag(deviations^2) R^T)` in the plane, `R` turning by `turn`. Points lie in `[b, 2, 1, 1]`.
#[derive(Debug, Clone)]
pub struct Gaussian {
    pub mean: [f64; 2],
    pub deviations: [f64; 2],
    pub turn: f64,
}

/// An affine map of the plane.
#[derive(Debug, Clone, Copy)]
pub struct Affine {
    pub matrix: [[f64; 2]; 2],
    pub shift: [f64; 2],
}

pub const TILTED: Gaussian = Gaussian {
    mean: [0.4, -0.3],
    deviations: [0.9, 0.35],
    turn: 0.6,
};

impl Gaussian {
    /// `R diag(f(deviation)) R^T`.
    pub fn matrix(&self, f: impl Fn(f64) -> f64) -> [[f64; 2]; 2] {
        let (sin, cos) = self.turn.sin_cos();
        let [a, b] = self.deviations.map(f);
        [
            [a * cos * cos + b * sin * sin, (a - b) * sin * cos],
            [(a - b) * sin * cos, a * sin * sin + b * cos * cos],
        ]
    }

    pub fn covariance(&self) -> [[f64; 2]; 2] {
        self.matrix(|s| s * s)
    }

    /// `E[x_0 | x_t]`, the best any network can do.
    pub fn x0(&self, alpha_bar: f64) -> Affine {
        let alpha = alpha_bar.sqrt();
        let gain = |s: f64| alpha * s * s / (alpha_bar * s * s + 1.0 - alpha_bar);
        Affine::about(self.matrix(gain), self.mean.map(|m| m * alpha), self.mean)
    }

    /// What a perfect network says.
    pub fn prediction(&self, target: Target, alpha_bar: f64) -> Affine {
        let (alpha, sigma) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        let x0 = self.x0(alpha_bar);
        // v = (alpha x - x0) / sigma, noise = (x - alpha x0) / sigma
        let (of_x, of_x0) = match target {
            Target::Velocity => (alpha, 1.0),
            Target::Epsilon => (1.0, alpha),
        };
        let mut out = x0;
        for i in 0..2 {
            out.shift[i] = -of_x0 * x0.shift[i] / sigma;
            for j in 0..2 {
                let identity = f64::from(u8::from(i == j));
                out.matrix[i][j] = (of_x * identity - of_x0 * x0.matrix[i][j]) / sigma;
            }
        }
        out
    }

    /// The probability flow from one level to another, exactly: whitened offsets from the mean stay.
    pub fn flow(&self, from: f64, to: f64) -> Affine {
        let spread = |s: f64, alpha_bar: f64| (alpha_bar * s * s + 1.0 - alpha_bar).sqrt();
        Affine::about(
            self.matrix(|s| spread(s, to) / spread(s, from)),
            self.mean.map(|m| m * from.sqrt()),
            self.mean.map(|m| m * to.sqrt()),
        )
    }

    /// A perfect network for this distribution.
    pub fn network(
        &self,
        schedule: &Schedule,
        target: Target,
    ) -> impl Fn(Tensor<4>, f64) -> Tensor<4> {
        move |x, t| self.prediction(target, schedule.alpha_bar_at(t)).apply(x)
    }
}

impl Affine {
    /// `centre -> image` of the matrix.
    fn about(matrix: [[f64; 2]; 2], centre: [f64; 2], image: [f64; 2]) -> Self {
        let shift =
            std::array::from_fn(|i| image[i] - matrix[i][0] * centre[0] - matrix[i][1] * centre[1]);
        Self { matrix, shift }
    }

    /// Applies it to every point of `[b, 2, 1, 1]`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let options = (&x.device(), x.dtype());
        let [[a, b], [c, d]] = self.matrix;
        let matrix = TensorData::new(vec![a, c, b, d], [2, 2]);
        let shift = TensorData::new(self.shift.to_vec(), [1, 2]);
        let batch = x.dims()[0];
        let moved = x
            .reshape([batch, 2])
            .matmul(Tensor::<2>::from_data(matrix, options))
            + Tensor::<2>::from_data(shift, options);
        moved.reshape([batch, 2, 1, 1])
    }
}

/// `[b, 2, 1, 1]` in f64.
pub fn points(values: &[[f64; 2]]) -> Tensor<4> {
    let data = TensorData::new(values.concat(), [values.len(), 2, 1, 1]);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

/// All values in f64.
pub fn values<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    x.try_to_vec_as::<f64>().unwrap()
}

/// A few points as a start of the flow.
pub fn start() -> Tensor<4> {
    points(&[
        [0.3, -1.2],
        [1.5, 0.4],
        [-0.8, 0.9],
        [2.1, -2.3],
        [0.0, 0.1],
    ])
}

/// Standard normal numbers that depend on the seed and the step only: splitmix64 and Box-Muller.
pub fn normal(seed: u64, step: usize, shape: [usize; 4]) -> Tensor<4> {
    let count: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((step as u64 + 1) << 40);
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let draws: Vec<f64> = (0..count)
        .map(|_| (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos())
        .collect();
    Tensor::from_data(TensorData::new(draws, shape), (&Device::flex(), DType::F64))
}

/// Noise for samplers that must not ask for any.
pub fn no_noise(_: usize, _: [usize; 4]) -> Tensor<4> {
    panic!("a deterministic sampler asked for noise")
}
