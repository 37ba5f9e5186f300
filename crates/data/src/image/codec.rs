//! Image files to and from memory, with limits on what a file may claim.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};

use super::Image;
use crate::error::{Error, Result};

/// The largest width and height that are decoded, pixels.
pub const MAX_SIDE: u32 = 16_384;

/// The most memory one decoder may take. An image of [`MAX_SIDE`] squared would need more, a long strip of tiles not.
const MAX_DECODER_BYTES: u64 = 512 << 20;

/// Decodes a PNG, JPEG or WebP file held in memory; `path` is for the error. Grey images have 1 channel, all others 3;
/// transparent pixels are laid on white; 16 bits are reduced to 8.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Image> {
    let format = image::guess_format(bytes).map_err(|_| Error::Decode {
        path: path.to_owned(),
        reason: if bytes.is_empty() {
            "the file is empty"
        } else {
            "neither PNG nor JPEG nor WebP"
        }
        .to_owned(),
    })?;
    decode_as(bytes, format, path, MAX_SIDE)
}

/// Decodes a PNG whose sides are at most `max_side` pixels; `path` is for the error.
pub fn decode_png(bytes: &[u8], path: &Path, max_side: u32) -> Result<Image> {
    decode_as(bytes, ImageFormat::Png, path, max_side)
}

fn decode_as(bytes: &[u8], format: ImageFormat, path: &Path, max_side: u32) -> Result<Image> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(max_side);
    limits.max_image_height = Some(max_side);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoded = reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => Error::ImageTooLarge {
            path: path.to_owned(),
            limit: max_side,
        },
        other => Error::Decode {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    })?;
    let (width, height) = (decoded.width(), decoded.height());
    let colour = decoded.color();
    let (channels, pixels) = match (colour.has_color(), colour.has_alpha()) {
        (false, false) => (1, decoded.into_luma8().into_raw()),
        (true, false) => (3, decoded.into_rgb8().into_raw()),
        (false, true) => (
            1,
            DynamicImage::into_luma_alpha8(decoded)
                .pixels()
                .map(|p| on_white(p.0[0], p.0[1]))
                .collect(),
        ),
        (true, true) => {
            let rgba = decoded.into_rgba8();
            (
                3,
                rgba.pixels()
                    .flat_map(|p| [0, 1, 2].map(|channel| on_white(p.0[channel], p.0[3])))
                    .collect(),
            )
        }
    };
    Ok(Image {
        width,
        height,
        channels,
        pixels,
    })
}

fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Encodes an image of 1 or 3 channels as PNG.
pub fn encode_png(image: &Image) -> Result<Vec<u8>> {
    let colour = match image.channels {
        1 => image::ExtendedColorType::L8,
        3 => image::ExtendedColorType::Rgb8,
        other => {
            return Err(Error::Encode(format!(
                "expected 1 or 3 channels, found {other}"
            )));
        }
    };
    if image.pixels.len() != image.byte_count() || image.pixels.is_empty() {
        return Err(Error::Encode(format!(
            "expected {}x{}x{} bytes, found {}",
            image.height,
            image.width,
            image.channels,
            image.pixels.len()
        )));
    }
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, &image.pixels, image.width, image.height, colour)
        .map_err(|error| Error::Encode(error.to_string()))?;
    Ok(bytes)
}
