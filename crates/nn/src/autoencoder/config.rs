//! What an autoencoder is made of.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Channels a layer may have at most.
const MOST_CHANNELS: usize = 1 << 14;
/// Parameters there may be at most, six times those of Stable Diffusion's; keeps a slip in a description from filling the
/// memory.
const MOST_PARAMETERS: usize = 500_000_000;
/// Levels and layers a level may have at most.
const MOST_LAYERS: usize = 16;

/// The shape of an [`crate::Autoencoder`], and how its latents are brought to the range that a diffusion model sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Channels of images, in and out.
    pub image_channels: usize,
    /// Channels of latents.
    pub latent_channels: usize,
    /// Channels of each level, from that of whole images down; each level but the last halves the sides.
    pub channels: Vec<usize>,
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub layers: usize,
    /// Groups of every norm; they divide all channels.
    pub norm_groups: usize,
    /// Whether the smallest level has an attention, in both halves.
    pub attention: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub quant_conv: bool,
    /// Whether a 1x1 convolution stands before the decoder.
    pub post_quant_conv: bool,
    /// Side of the images it was trained on, pixels: what one tile shows.
    pub sample_size: usize,
    /// What latents are multiplied with, after the shift, before a diffusion model sees them.
    pub scaling_factor: f64,
    /// What is subtracted from latents before they are scaled.
    pub shift_factor: f64,
}

impl AutoencoderConfig {
    /// A small one for images of a few dozen pixels: four latent channels at a quarter of the side. The first level, where
    /// most of the time goes, is narrow.
    pub fn small(image_channels: usize, sample_size: usize) -> Self {
        Self {
            image_channels,
            latent_channels: 4,
            channels: vec![8, 32, 32],
            layers: 1,
            norm_groups: 4,
            attention: false,
            quant_conv: true,
            post_quant_conv: true,
            sample_size,
            scaling_factor: 1.0,
            shift_factor: 0.0,
        }
    }

    /// Pixels of an image on a side of one latent.
    pub fn reduction(&self) -> usize {
        1 << self.channels.len().saturating_sub(1)
    }

    /// Fewer parameters than it has, counted without making any: those of the second convolution of every residual block.
    pub fn least_parameters(&self) -> usize {
        let blocks = 2 * self.layers + 1;
        self.channels.iter().map(|c| blocks * 9 * c * c).sum()
    }

    /// Bytes that a training step with `images` images `[channels, height, width]` takes at least: results of the
    /// residual blocks' convolutions and norms, of which there are twice two in each, in both halves.
    pub fn least_step_bytes(&self, images: usize, [_, height, width]: [usize; 3]) -> u128 {
        let pixels = height as u128 * width as u128 * images as u128;
        let level = |(level, channels): (usize, &usize)| {
            (pixels >> (2 * level)).saturating_mul(*channels as u128)
        };
        let numbers: u128 = self.channels.iter().enumerate().map(level).sum();
        numbers.saturating_mul((2 * self.layers + 1) as u128 * 4 * 4)
    }

    /// The shape of the latent of an image `[channels, height, width]`.
    ///
    /// # Errors
    /// An image with other channels, or with sides that are no multiples of [`AutoencoderConfig::reduction`].
    pub fn latent_shape(&self, [channels, height, width]: [usize; 3]) -> Result<[usize; 3]> {
        let by = self.reduction();
        let whole = |side: usize| side > 0 && side.is_multiple_of(by);
        if channels != self.image_channels || !whole(height) || !whole(width) {
            return Err(Error::Input {
                what: "image of the autoencoder",
                expected: format!(
                    "{} channels and sides divisible by {by}",
                    self.image_channels
                ),
                found: format!("{channels}x{height}x{width}"),
            });
        }
        Ok([self.latent_channels, height / by, width / by])
    }

    /// The shape of the image that a latent `[channels, height, width]` is decoded to.
    pub fn image_shape(&self, [_, height, width]: [usize; 3]) -> [usize; 3] {
        let by = self.reduction();
        let [height, width] = [height, width].map(|side| side.saturating_mul(by));
        [self.image_channels, height, width]
    }

    /// Refuses what describes no autoencoder.
    ///
    /// # Errors
    /// [`Error::Config`] with the field.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field: &'static str, found: String, expected: String| {
            Err(Error::Config {
                field,
                found,
                expected,
            })
        };
        let levels = self.channels.len();
        if !(1..=MOST_LAYERS).contains(&levels) || !(1..=MOST_LAYERS).contains(&self.layers) {
            let found = format!("{levels} levels of {} layers", self.layers);
            return refuse("autoencoder", found, format!("1 to {MOST_LAYERS} of both"));
        }
        let sides = [self.image_channels, self.latent_channels, self.sample_size];
        if let Some(bad) = sides.iter().find(|n| !(1..=MOST_CHANNELS).contains(*n)) {
            let expected = format!("1 to {MOST_CHANNELS}");
            return refuse(
                "channels or sample size of the autoencoder",
                bad.to_string(),
                expected,
            );
        }
        let groups = self.norm_groups;
        let fits =
            |c: &&usize| (1..=MOST_CHANNELS).contains(*c) && groups > 0 && c.is_multiple_of(groups);
        if let Some(bad) = self.channels.iter().find(|c| !fits(c)) {
            let expected =
                format!("a multiple of the {groups} groups of its norms, at most {MOST_CHANNELS}");
            return refuse("channels of the autoencoder", bad.to_string(), expected);
        }
        // Two 3x3 convolutions in every residual block of both halves, the middle ones with the last level.
        let middle = self.channels.last().map_or(0, |c| 4 * 2 * 9 * c * c);
        let all = 2 * self.least_parameters() + middle;
        if all > MOST_PARAMETERS {
            let expected = format!("at most {MOST_PARAMETERS}");
            return refuse(
                "parameters of the autoencoder",
                format!("about {all}"),
                expected,
            );
        }
        let (scale, shift) = (self.scaling_factor, self.shift_factor);
        if !(scale.is_finite() && scale > 0.0 && shift.is_finite()) {
            let found = format!("scaling factor {scale}, shift factor {shift}");
            return refuse(
                "autoencoder",
                found,
                "finite numbers, the first above 0".into(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_description_is_refused_before_memory_is_filled() {
        // Stable Diffusion's and, with wider levels, what no one has.
        let sized = |channels: &[usize]| AutoencoderConfig {
            channels: channels.to_vec(),
            layers: 2,
            norm_groups: 32,
            ..AutoencoderConfig::small(3, 512)
        };
        sized(&[128, 256, 512, 512]).validate().unwrap();
        let error = sized(&[16_384, 16_384]).validate().unwrap_err().to_string();
        assert!(
            error.contains("parameters") && error.contains("500000000"),
            "{error}"
        );
    }
}
