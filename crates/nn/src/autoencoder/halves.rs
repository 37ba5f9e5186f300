//! Encoder and decoder.

use super::config::AutoencoderConfig;
use super::layers::{Convolution, GroupNorm, ImageAttention, Resample, Residual};
use crate::init::Init;
use burn::module::Module;
use burn::tensor::Tensor;
use learngene_kernels::silu;

/// The residual blocks of one size of image, and the way to the next size.
#[derive(Module, Debug)]
pub struct Level {
    /// One after another.
    pub resnets: Vec<Residual>,
    /// In the encoder: to half the size; none in the last level.
    pub downsamplers: Vec<Resample>,
    /// In the decoder: to twice the size; none in the last level.
    pub upsamplers: Vec<Resample>,
}

impl Level {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets.iter().fold(x, |x, block| block.forward(x));
        let x = self.downsamplers.iter().fold(x, |x, s| s.halve(x));
        self.upsamplers.iter().fold(x, |x, s| s.double(x))
    }
}

/// What both halves have where the image is smallest.
#[derive(Module, Debug)]
pub struct Middle {
    /// Between the two blocks, if it has any.
    pub attentions: Vec<ImageAttention>,
    /// Two.
    pub resnets: Vec<Residual>,
}

impl Middle {
    fn init(channels: usize, config: &AutoencoderConfig, init: &mut Init) -> Self {
        let groups = config.norm_groups;
        let attentions = usize::from(config.attention);
        Self {
            attentions: (0..attentions)
                .map(|_| ImageAttention::init(channels, groups, init))
                .collect(),
            resnets: (0..2)
                .map(|_| Residual::init(channels, channels, groups, init))
                .collect(),
        }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (i, block) in self.resnets.iter().enumerate() {
            x = block.forward(x);
            if i == 0 {
                x = self.attentions.iter().fold(x, |x, a| a.forward(x));
            }
        }
        x
    }
}

/// Images to the parameters of a distribution over latents.
#[derive(Module, Debug)]
pub struct Encoder {
    /// `image -> channels[0]`.
    pub conv_in: Convolution,
    /// From the largest image to the smallest.
    pub down_blocks: Vec<Level>,
    /// The smallest.
    pub mid_block: Middle,
    /// Before the output.
    pub conv_norm_out: GroupNorm,
    /// `channels[last] -> 2 latent`.
    pub conv_out: Convolution,
}

impl Encoder {
    pub(super) fn init(config: &AutoencoderConfig, init: &mut Init) -> Self {
        let (channels, groups) = (&config.channels, config.norm_groups);
        let (first, last) = ends(channels);
        let conv_in = Convolution::init(config.image_channels, first, 3, init);
        let level = |(i, &outputs): (usize, &usize)| {
            let inputs = channels[i.saturating_sub(1)];
            let resnets = blocks(inputs, outputs, config.layers, groups, init);
            let smaller = usize::from(i + 1 < channels.len());
            Level {
                resnets,
                downsamplers: (0..smaller)
                    .map(|_| Resample::init(outputs, init))
                    .collect(),
                upsamplers: Vec::new(),
            }
        };
        Self {
            conv_in,
            down_blocks: channels.iter().enumerate().map(level).collect(),
            mid_block: Middle::init(last, config, init),
            conv_norm_out: GroupNorm::init(last, groups, init),
            conv_out: Convolution::init(last, 2 * config.latent_channels, 3, init),
        }
    }

    pub(super) fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let x = self.conv_in.forward(image);
        let x = self.down_blocks.iter().fold(x, |x, level| level.forward(x));
        let x = silu(self.conv_norm_out.forward(self.mid_block.forward(x)));
        self.conv_out.forward(x)
    }
}

/// Latents to images.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `latent -> channels[last]`.
    pub conv_in: Convolution,
    /// From the smallest image to the largest.
    pub up_blocks: Vec<Level>,
    /// The smallest; it comes first.
    pub mid_block: Middle,
    /// Before the output.
    pub conv_norm_out: GroupNorm,
    /// `channels[0] -> image`.
    pub conv_out: Convolution,
}

impl Decoder {
    pub(super) fn init(config: &AutoencoderConfig, init: &mut Init) -> Self {
        let groups = config.norm_groups;
        let (first, last) = ends(&config.channels);
        let conv_in = Convolution::init(config.latent_channels, last, 3, init);
        let channels: Vec<usize> = config.channels.iter().rev().copied().collect();
        let level = |(i, &outputs): (usize, &usize)| {
            let inputs = channels[i.saturating_sub(1)];
            let resnets = blocks(inputs, outputs, config.layers + 1, groups, init);
            let larger = usize::from(i + 1 < channels.len());
            Level {
                resnets,
                downsamplers: Vec::new(),
                upsamplers: (0..larger).map(|_| Resample::init(outputs, init)).collect(),
            }
        };
        Self {
            conv_in,
            up_blocks: channels.iter().enumerate().map(level).collect(),
            mid_block: Middle::init(last, config, init),
            conv_norm_out: GroupNorm::init(first, groups, init),
            conv_out: Convolution::init(first, config.image_channels, 3, init),
        }
    }

    pub(super) fn forward(&self, latent: Tensor<4>) -> Tensor<4> {
        let x = self.mid_block.forward(self.conv_in.forward(latent));
        let x = self.up_blocks.iter().fold(x, |x, level| level.forward(x));
        self.conv_out.forward(silu(self.conv_norm_out.forward(x)))
    }
}

/// The first and the last of a validated configuration's channels.
fn ends(channels: &[usize]) -> (usize, usize) {
    let of = |end: Option<&usize>| end.copied().unwrap_or_default();
    (of(channels.first()), of(channels.last()))
}

fn blocks(
    inputs: usize,
    outputs: usize,
    count: usize,
    groups: usize,
    init: &mut Init,
) -> Vec<Residual> {
    let mut block =
        |i| Residual::init(if i == 0 { inputs } else { outputs }, outputs, groups, init);
    (0..count).map(&mut block).collect()
}
