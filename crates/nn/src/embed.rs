//! Patches, positions, diffusion time and label as vectors.

use crate::{
    adaln::Linear,
    config::{DitConfig, TimeCode},
    init::Init,
};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Length of the sinusoidal code of a diffusion time, as in DiT.
pub const TIME_FEATURES: usize = 256;

/// Standard deviation of the embeddings' starting values, as in DiT.
const EMBED_STD: f32 = 0.02;

/// Diffusion time: sinusoidal code, then a two-layer perceptron.
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    /// `256 -> d`.
    pub input: Linear,
    /// `d -> d`.
    pub output: Linear,
    #[module(skip)]
    code: TimeCode,
}

impl TimeEmbedding {
    pub(crate) fn init(hidden: usize, code: TimeCode, init: &mut Init) -> Self {
        Self {
            input: Linear::normal(TIME_FEATURES, hidden, EMBED_STD, init),
            output: Linear::normal(hidden, hidden, EMBED_STD, init),
            code,
        }
    }

    /// - times: one per sample, in training steps (0 to 999), fractions allowed
    /// - output: `[b, d]`
    pub fn forward(&self, times: &[f64], device: &Device) -> Tensor<2> {
        let code: Vec<f32> = times
            .iter()
            .flat_map(|&t| time_code(t, self.code))
            .collect();
        let code = Tensor::from_data(TensorData::new(code, [times.len(), TIME_FEATURES]), device);
        self.output
            .forward(learngene_kernels::silu(self.input.forward(code)))
    }
}

/// `[cos(t w_i), sin(t w_i)]` with 128 frequencies `w_i = 10000^(-i / 128)`, or `10000^(-i / 127)` as diffusers has
/// them, in DiT's order: cosines first.
fn time_code(t: f64, code: TimeCode) -> [f32; TIME_FEATURES] {
    let half = TIME_FEATURES / 2;
    let intervals = match code {
        TimeCode::Dit => half,
        TimeCode::Diffusers => half - 1,
    };
    let angle = |i: usize| t * (-(10_000f64.ln()) * i as f64 / intervals as f64).exp();
    std::array::from_fn(|i| {
        if i < half {
            angle(i).cos() as f32
        } else {
            angle(i - half).sin() as f32
        }
    })
}

/// Label: one row per class, and the last for "no class".
#[derive(Module, Debug)]
pub struct LabelEmbedding {
    /// `[classes + 1, d]`.
    pub table: Param<Tensor<2>>,
}

impl LabelEmbedding {
    pub(crate) fn init(classes: usize, hidden: usize, init: &mut Init) -> Self {
        Self {
            table: init.normal([classes + 1, hidden], EMBED_STD),
        }
    }

    /// - labels: one row per sample
    /// - output: `[b, d]`
    pub fn forward(&self, labels: &[usize], device: &Device) -> Tensor<2> {
        let rows: Vec<i64> = labels.iter().map(|&l| l as i64).collect();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [labels.len()]), device);
        self.table.val().select(0, rows)
    }
}

/// Images as tokens.
///
/// - image: `[b, c, h, w]`
/// - output: `[b * t, c * p * p]`, each row in channel, row, column order
pub(crate) fn patchify(image: Tensor<4>, p: usize) -> Tensor<2> {
    let [b, c, h, w] = image.dims();
    let (rows, columns) = (h / p, w / p);
    image
        .reshape([b, c, rows, p, columns, p])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([b * rows * columns, c * p * p])
}

/// Tokens as images; the inverse of [`patchify`] but for the order within a row, which is DiT's: row, column, channel.
///
/// - tokens: `[b * t, p * p * c]`
/// - output: `[b, c, h, w]`
pub(crate) fn unpatchify(tokens: Tensor<2>, p: usize, [c, h, w]: [usize; 3]) -> Tensor<4> {
    let (rows, columns) = (h / p, w / p);
    let b = tokens.dims()[0] / (rows * columns);
    tokens
        .reshape([b, rows, columns, p, p, c])
        .permute([0, 5, 1, 3, 2, 4])
        .reshape([b, c, h, w])
}

/// The code of every token's place, `[1, t, d]`.
pub(crate) fn positions(config: &DitConfig, device: &Device) -> Tensor<3> {
    let shape = [1, config.tokens(), config.hidden];
    Tensor::from_data(TensorData::new(fixed_positions(config), shape), device)
}

/// The fixed code of every token's place, `[t, d]` row-major, as checkpoints of other programs keep it.
pub fn fixed_positions(config: &DitConfig) -> Vec<f32> {
    let p = config.patch;
    sine_cosine(config.input[1] / p, config.input[2] / p, config.hidden)
}

/// Fixed two-dimensional sine-cosine positions (MAE, arXiv 2111.06377): half of the width codes the column, half the
/// row, each as sines then cosines of `10000^(-i / (d/4))`.
///
/// Output: `[rows * columns, d]`.
fn sine_cosine(rows: usize, columns: usize, d: usize) -> Vec<f32> {
    let quarter = d / 4;
    let axis = |at: usize, i: usize| {
        let angle = at as f64 / 10_000f64.powf((i % quarter) as f64 / quarter as f64);
        if i < quarter {
            angle.sin() as f32
        } else {
            angle.cos() as f32
        }
    };
    let mut values = Vec::with_capacity(rows * columns * d);
    for row in 0..rows {
        for column in 0..columns {
            values.extend((0..d / 2).map(|i| axis(column, i)));
            values.extend((0..d / 2).map(|i| axis(row, i)));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_code_starts_with_the_cosines() {
        let code = time_code(500.0, TimeCode::Dit);
        assert!((code[0] - 500f64.cos() as f32).abs() < 1e-6);
        assert!((code[128] - 500f64.sin() as f32).abs() < 1e-6);
        // diffusers 0.35: get_timestep_embedding(torch.tensor([500.]), 256, flip_sin_to_cos=True,
        // downscale_freq_shift=0)[0, 1] == cos(500 * 10000 ** (-1/128))
        assert!((f64::from(code[1]) - (500.0 * 10_000f64.powf(-1.0 / 128.0)).cos()).abs() < 1e-5);
    }

    #[test]
    fn diffusers_has_the_lowest_frequency_among_its_own() {
        let slowest = |code| time_code(5000.0, code)[TIME_FEATURES / 2 - 1];
        assert!((slowest(TimeCode::Diffusers) - 0.5f64.cos() as f32).abs() < 1e-6);
        let dit = 0.5 * 10_000f64.powf(1.0 / 128.0);
        assert!((slowest(TimeCode::Dit) - dit.cos() as f32).abs() < 1e-6);
    }

    #[test]
    fn unpatchify_undoes_patchify_for_one_channel() {
        // with one channel both orders within a token are the same
        let device = Device::flex();
        let image: Tensor<4> = Tensor::<1, Int>::arange(0..2 * 64, &device)
            .float()
            .reshape([2, 1, 8, 8]);
        let back = unpatchify(patchify(image.clone(), 4), 4, [1, 8, 8]);
        assert_eq!(back.to_data(), image.to_data());
    }

    #[test]
    fn a_patch_holds_its_pixels_channel_by_channel() {
        let device = Device::flex();
        let image: Tensor<4> = Tensor::<1, Int>::arange(0..2 * 16, &device)
            .float()
            .reshape([1, 2, 4, 4]);
        let tokens = patchify(image, 2).into_data();
        let first: Vec<f32> = tokens.try_to_vec().unwrap();
        assert_eq!(&first[..8], &[0., 1., 4., 5., 16., 17., 20., 21.]);
    }

    #[test]
    fn positions_tell_columns_from_rows() {
        let p = sine_cosine(2, 3, 8);
        let at = |row: usize, column: usize| &p[(row * 3 + column) * 8..][..8];
        assert_eq!(at(0, 0), &[0., 0., 1., 1., 0., 0., 1., 1.]);
        assert_eq!(at(0, 1)[4..], at(0, 2)[4..]);
        assert_eq!(at(0, 1)[..4], at(1, 1)[..4]);
        assert!((at(0, 1)[0] - 1f32.sin()).abs() < 1e-7);
    }
}
