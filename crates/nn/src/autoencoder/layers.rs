//! Layers of the autoencoder. Fields are called as in diffusers, so that names of parameters are those of its files.

use crate::{adaln::Linear, init::Init};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, module::conv2d, ops::ConvOptions};
use learngene_kernels::{attention, silu};

/// Epsilon of every norm.
const NORM_EPS: f64 = 1e-6;

/// A convolution of the image with a square kernel.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[out, in, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Convolution {
    pub(super) fn init(inputs: usize, outputs: usize, kernel: usize, init: &mut Init) -> Self {
        let fan_in = inputs * kernel * kernel;
        Self {
            weight: init.kaiming([outputs, inputs, kernel, kernel], fan_in),
            bias: init.zeros([outputs]),
        }
    }

    /// Keeps the size of the image: `[b, in, h, w]` to `[b, out, h, w]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let around = self.weight.dims()[3] / 2;
        self.at(x, 1, (around, around))
    }

    fn at(&self, x: Tensor<4>, stride: usize, padding: (usize, usize)) -> Tensor<4> {
        let options = ConvOptions::new_with_padding([stride; 2], [padding; 2], [1; 2], 1);
        conv2d(x, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// Norm over groups of channels (Wu & He, arXiv 1803.08494).
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[c]`.
    pub weight: Param<Tensor<1>>,
    /// `[c]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
}

impl GroupNorm {
    pub(super) fn init(channels: usize, groups: usize, init: &Init) -> Self {
        Self {
            weight: init.full([channels], 1.0),
            bias: init.zeros([channels]),
            groups,
        }
    }

    /// `[b, c, h, w]` to the same.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let x = x.reshape([b, self.groups, c / self.groups * h * w]);
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().square().mean_dim(2);
        let normal = (centred / (variance + NORM_EPS).sqrt()).reshape([b, c, h, w]);
        let each = |p: &Param<Tensor<1>>| p.val().reshape([1, c, 1, 1]);
        normal * each(&self.weight) + each(&self.bias)
    }
}

/// `x + conv(silu(norm(conv(silu(norm(x))))))`, with a 1x1 convolution on the shortcut where the channels change.
#[derive(Module, Debug)]
pub struct Residual {
    /// Before the first convolution.
    pub norm1: GroupNorm,
    /// `in -> out`.
    pub conv1: Convolution,
    /// Before the second.
    pub norm2: GroupNorm,
    /// `out -> out`.
    pub conv2: Convolution,
    /// `in -> out`, if they differ.
    pub conv_shortcut: Option<Convolution>,
}

impl Residual {
    pub(super) fn init(inputs: usize, outputs: usize, groups: usize, init: &mut Init) -> Self {
        Self {
            norm1: GroupNorm::init(inputs, groups, init),
            conv1: Convolution::init(inputs, outputs, 3, init),
            norm2: GroupNorm::init(outputs, groups, init),
            conv2: Convolution::init(outputs, outputs, 3, init),
            conv_shortcut: (inputs != outputs).then(|| Convolution::init(inputs, outputs, 1, init)),
        }
    }

    /// `[b, in, h, w]` to `[b, out, h, w]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inner = self.conv1.forward(silu(self.norm1.forward(x.clone())));
        let inner = self.conv2.forward(silu(self.norm2.forward(inner)));
        let shortcut = match &self.conv_shortcut {
            Some(conv) => conv.forward(x),
            None => x,
        };
        shortcut + inner
    }
}

/// Self-attention of all places of an image, with one head, added to it.
#[derive(Module, Debug)]
pub struct ImageAttention {
    /// Before the three below.
    pub group_norm: GroupNorm,
    /// Queries, `c -> c`.
    pub to_q: Linear,
    /// Keys, `c -> c`.
    pub to_k: Linear,
    /// Values, `c -> c`.
    pub to_v: Linear,
    /// Output, `c -> c`: the only element.
    pub to_out: Vec<Linear>,
}

impl ImageAttention {
    pub(super) fn init(channels: usize, groups: usize, init: &mut Init) -> Self {
        let group_norm = GroupNorm::init(channels, groups, init);
        let mut linear = || Linear::xavier(channels, channels, init);
        Self {
            group_norm,
            to_q: linear(),
            to_k: linear(),
            to_v: linear(),
            to_out: vec![linear()],
        }
    }

    /// `[b, c, h, w]` to the same.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let tokens = h * w;
        let rows = self.group_norm.forward(x.clone());
        let rows = rows.reshape([b, c, tokens]).swap_dims(1, 2);
        let rows = rows.reshape([b * tokens, c]);
        let of = |linear: &Linear| linear.forward(rows.clone()).reshape([b, tokens, c]);
        let seen = attention(of(&self.to_q), of(&self.to_k), of(&self.to_v), 1);
        let mut seen = seen.reshape([b * tokens, c]);
        for linear in &self.to_out {
            seen = linear.forward(seen);
        }
        let seen: Tensor<3> = seen.reshape([b, tokens, c]);
        x + seen.swap_dims(1, 2).reshape([b, c, h, w])
    }
}

/// Halves or doubles the sides of an image, a convolution with it.
#[derive(Module, Debug)]
pub struct Resample {
    /// `c -> c`.
    pub conv: Convolution,
}

impl Resample {
    pub(super) fn init(channels: usize, init: &mut Init) -> Self {
        Self {
            conv: Convolution::init(channels, channels, 3, init),
        }
    }

    /// `[b, c, h, w]` to `[b, c, h / 2, w / 2]`; a row and a column of zeros are added after the last ones.
    pub fn halve(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.at(x, 2, (0, 1))
    }

    /// `[b, c, h, w]` to `[b, c, 2 h, 2 w]`: every value four times, then the convolution.
    pub fn double(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let twice = x.reshape([b, c, h, 1, w, 1]).expand([b, c, h, 2, w, 2]);
        self.conv.forward(twice.reshape([b, c, 2 * h, 2 * w]))
    }
}
