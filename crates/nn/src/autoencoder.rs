//! An autoencoder of images whose latents a diffusion model works on: the `AutoencoderKL` of diffusers, which is that of
//! latent diffusion (Rombach et al., arXiv 2112.10752), for any sizes.
//!
//! Parameters are called as in diffusers' files.

mod config;
mod halves;
mod layers;
mod tiles;

pub use config::AutoencoderConfig;

use crate::error::{Error, Result};
use crate::init::{FactorInit, Init};
use crate::params::{self, Values};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use halves::{Decoder, Encoder};
use layers::Convolution;
use std::collections::BTreeMap;

/// The least side of a tile in latents: norms and attention see no further.
const LEAST_TILE: usize = 32;
/// Bounds of a log-variance, as in latent diffusion.
const LOG_VARIANCE: [f32; 2] = [-30.0, 20.0];

/// A normal distribution over the latents of each image, `[b, c, h, w]` both, neither shifted nor scaled.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Means.
    pub mean: Tensor<4>,
    /// Logarithms of variances, from -30 to 20.
    pub log_variance: Tensor<4>,
}

/// Images to latents and back.
#[derive(Module, Debug)]
pub struct Autoencoder {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Convolution>,
    post_quant_conv: Option<Convolution>,
    #[module(skip)]
    config: AutoencoderConfig,
}

impl Autoencoder {
    /// An autoencoder at its start, a function of the configuration and the seed.
    ///
    /// # Errors
    /// A configuration that describes none.
    pub fn init(config: &AutoencoderConfig, seed: u64, device: &Device) -> Result<Self> {
        config.validate()?;
        let init = &mut Init::new(seed, FactorInit::default(), device);
        let (z, config) = (config.latent_channels, config.clone());
        Ok(Self {
            encoder: Encoder::init(&config, init),
            decoder: Decoder::init(&config, init),
            quant_conv: config
                .quant_conv
                .then(|| Convolution::init(2 * z, 2 * z, 1, init)),
            post_quant_conv: config
                .post_quant_conv
                .then(|| Convolution::init(z, z, 1, init)),
            config,
        })
    }

    /// What it is made of.
    pub fn config(&self) -> &AutoencoderConfig {
        &self.config
    }

    /// The same with other factors, which are no parameters.
    #[must_use]
    pub fn with_factors(mut self, scaling_factor: f64, shift_factor: f64) -> Self {
        self.config.scaling_factor = scaling_factor;
        self.config.shift_factor = shift_factor;
        self
    }

    /// Every parameter by name.
    pub fn values(&self) -> BTreeMap<String, Values> {
        params::values(self)
    }

    /// The device its parameters are on.
    pub fn device(&self) -> Device {
        self.encoder.conv_in.weight.val().device()
    }

    /// The distributions of the latents of images.
    ///
    /// - images: `[b, c, h, w]`, -1 to 1, with sides divisible by [`AutoencoderConfig::reduction`]
    ///
    /// # Errors
    /// Images of another shape.
    pub fn encode(&self, images: Tensor<4>) -> Result<Moments> {
        let [_, c, h, w] = images.dims();
        self.config.latent_shape([c, h, w])?;
        let mut both = self.encoder.forward(images);
        if let Some(conv) = &self.quant_conv {
            both = conv.forward(both);
        }
        let z = self.config.latent_channels;
        let [least, most] = LOG_VARIANCE;
        Ok(Moments {
            mean: both.clone().narrow(1, 0, z),
            log_variance: both.narrow(1, z, z).clamp(least, most),
        })
    }

    /// Images of latents as the encoder makes them, neither shifted nor scaled.
    ///
    /// - latents: `[b, z, h, w]`
    /// - output: `[b, c, r h, r w]` with [`AutoencoderConfig::reduction`] r, near -1 to 1
    ///
    /// # Errors
    /// Latents with other channels.
    pub fn decode(&self, latents: Tensor<4>) -> Result<Tensor<4>> {
        let channels = latents.dims()[1];
        if channels != self.config.latent_channels {
            return Err(Error::Input {
                what: "latents of the autoencoder",
                expected: format!("{} channels", self.config.latent_channels),
                found: channels.to_string(),
            });
        }
        let latents = match &self.post_quant_conv {
            Some(conv) => conv.forward(latents),
            None => latents,
        };
        Ok(self.decoder.forward(latents))
    }

    /// The image of one latent as a diffusion model makes it, shifted and scaled; in overlapping tiles of the size of
    /// [`AutoencoderConfig::sample_size`], or of 32 x 32 latents where that is more, if it is larger than that.
    ///
    /// - latent: `[z, h, w]`, row-major
    /// - output: `[c, r h, r w]`, row-major
    ///
    /// # Errors
    /// A latent of another shape.
    pub fn draw(&self, latent: &[f32], [z, h, w]: [usize; 3]) -> Result<Vec<f32>> {
        if latent.len() != z * h * w {
            return Err(Error::Input {
                what: "values of a latent",
                expected: (z * h * w).to_string(),
                found: latent.len().to_string(),
            });
        }
        let (scale, shift) = (self.config.scaling_factor, self.config.shift_factor);
        let as_encoded = |v: &f32| (f64::from(*v) / scale + shift) as f32;
        let values: Vec<f32> = latent.iter().map(as_encoded).collect();
        let whole = Tensor::<4>::from_data(TensorData::new(values, [1, z, h, w]), &self.device());
        let by = self.config.reduction();
        let tile = (self.config.sample_size / by).max(LEAST_TILE);
        if h.max(w) <= tile {
            return Ok(params::to_vec(self.decode(whole)?));
        }
        let mut fault = None;
        let planes = self.config.image_channels;
        let image = tiles::tiled([h, w], tile, planes, by, |rows, columns| {
            let size = planes * by * by * rows.len() * columns.len();
            let part = whole.clone().slice([0..1, 0..z, rows, columns]);
            match self.decode(part) {
                Ok(image) => params::to_vec(image),
                Err(error) => {
                    fault.get_or_insert(error);
                    vec![0.0; size]
                }
            }
        });
        fault.map_or(Ok(image), Err)
    }
}
