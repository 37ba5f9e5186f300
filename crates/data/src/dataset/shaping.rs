//! The one shape that all samples of a data set are brought to, or must have.

use super::LoadOptions;
use crate::error::{Error, Result};
use crate::image::MAX_SIDE;
use crate::latents::Latent;
use crate::{Fit, Image};

/// What is done to an image.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shaping {
    /// Side of the square that images become, pixels.
    pub size: Option<u32>,
    /// How they become it.
    pub fit: Fit,
    /// 1 for grey, 3 for RGB.
    pub channels: Option<u32>,
}

impl Shaping {
    /// # Errors
    /// A size or a number of channels out of range.
    pub fn of(options: &LoadOptions) -> Result<Self> {
        Ok(Self {
            size: options.image_size.map(checked_size).transpose()?,
            fit: options.fit,
            channels: options.channels.map(checked_channels).transpose()?,
        })
    }

    /// What makes every image one of the same shape, whatever it is: that shape, too.
    ///
    /// # Errors
    /// As [`Shaping::of`]; no size.
    pub fn fixed(options: &LoadOptions) -> Result<([usize; 3], Self)> {
        let Self {
            size,
            fit,
            channels,
        } = Self::of(options)?;
        let (Some(size), channels) = (size, channels.unwrap_or(3)) else {
            return Err(Error::Setting {
                name: "image size",
                value: "nothing".into(),
                expected: "a number of pixels, since images that stream are not looked at beforehand (--image-size N)".into(),
            });
        };
        let shaping = Self {
            size: Some(size),
            fit,
            channels: Some(channels),
        };
        Ok(([channels, size, size].map(|side| side as usize), shaping))
    }

    pub fn apply(self, mut image: Image) -> Image {
        if let Some(size) = self.size {
            image = image.fitted(size, self.fit);
        }
        match self.channels {
            Some(channels) => image.with_channels(channels),
            None => image,
        }
    }
}

/// Whether a latent has the shape that is asked for, if one is.
pub(super) fn fits(latent: &Latent, options: &LoadOptions) -> Result<()> {
    let [channels, height, width] = latent.shape;
    let wrong = |name: &'static str, value: usize, expected: String| Error::Setting {
        name,
        value: value.to_string(),
        expected: format!("{expected}, which these latents have, or nothing"),
    };
    match (options.image_size, options.channels) {
        (Some(size), _) if [height, width] != [size; 2] => {
            Err(wrong("image size", size, format!("{height}x{width}")))
        }
        (_, Some(given)) if given != channels => {
            Err(wrong("channels", given, channels.to_string()))
        }
        _ => Ok(()),
    }
}

fn checked_size(size: usize) -> Result<u32> {
    u32::try_from(size)
        .ok()
        .filter(|size| (1..=MAX_SIDE).contains(size))
        .ok_or_else(|| Error::Setting {
            name: "image size",
            value: size.to_string(),
            expected: format!("1 to {MAX_SIDE} pixels"),
        })
}

fn checked_channels(channels: usize) -> Result<u32> {
    match channels {
        1 => Ok(1),
        3 => Ok(3),
        _ => Err(Error::Setting {
            name: "channels",
            value: channels.to_string(),
            expected: "1 or 3".to_owned(),
        }),
    }
}
