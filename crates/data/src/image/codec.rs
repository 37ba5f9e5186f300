//! Image files to and from memory, with limits on what a file may claim.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};

use super::Image;
use crate::error::{Error, Result};
use crate::guard::unless_it_panics;

/// The largest width and height that are decoded, pixels. Less where a fuzzer tries inputs, a few bytes of which may make
/// an image of any size and take seconds.
pub const MAX_SIDE: u32 = if cfg!(fuzzing) { 256 } else { 16_384 };

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
    let damaged = |reason: String| Error::Decode {
        path: path.to_owned(),
        reason,
    };
    if format == ImageFormat::Jpeg && is_cut_short(bytes) {
        return Err(damaged("the JPEG file ends early".to_owned()));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    // The decoders report most damage and panic on some.
    let decoded = match unless_it_panics(|| reader.decode()) {
        Some(Ok(decoded)) => decoded,
        Some(Err(ImageError::Limits(_))) => {
            return Err(Error::ImageTooLarge {
                path: path.to_owned(),
                limit: max_side,
            });
        }
        Some(Err(other)) => return Err(damaged(other.to_string())),
        None => return Err(damaged("its parts contradict each other".to_owned())),
    };
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

/// Whether a JPEG file lacks its end marker (FF D9) after the last start of scan (FF DA): the decoder would fill the
/// missing part with grey. Inside a scan FF is always followed by 00 or a restart marker, so neither can be mistaken.
fn is_cut_short(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) <= last(0xda)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: u32, height: u32, channels: u32) -> Image {
        let count = (width * height * channels) as usize;
        let mut stream = crate::Stream::new(1, 0, crate::Purpose::Test);
        Image {
            width,
            height,
            channels,
            pixels: (0..count).map(|_| stream.bits() as u8).collect(),
        }
    }

    fn encoded(format: ImageFormat, image: &Image) -> Vec<u8> {
        let buffer =
            image::RgbImage::from_raw(image.width, image.height, image.pixels.clone()).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        buffer.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn png_round_trips_and_webp_agrees() {
        let path = Path::new("a.png");
        for channels in [1, 3] {
            let image = noise(7, 5, channels);
            assert_eq!(decode(&encode_png(&image).unwrap(), path).unwrap(), image);
        }
        let image = noise(9, 9, 3);
        assert_eq!(
            decode(&encoded(ImageFormat::WebP, &image), path).unwrap(),
            image
        );
    }

    #[test]
    fn transparent_pixels_are_laid_on_white() {
        let rgba = image::RgbaImage::from_raw(2, 1, vec![0, 100, 255, 0, 0, 100, 255, 51]).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        rgba.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let image = decode(bytes.get_ref(), Path::new("a.png")).unwrap();
        // 51 of 255 is a fifth: 255 - 255 / 5 = 204, 255 - 155 / 5 = 224.
        assert_eq!(image.pixels, [255, 255, 255, 204, 224, 255]);
    }

    #[test]
    fn files_cut_short_anywhere_are_errors_that_name_them() {
        let image = noise(40, 40, 3);
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let bytes = encoded(format, &image);
            assert!(decode(&bytes, Path::new("whole")).is_ok());
            for kept in [0, 1, 7, 20, 60, bytes.len() / 2, bytes.len() - 20] {
                let error = decode(&bytes[..kept], Path::new("cut")).unwrap_err();
                assert!(
                    matches!(&error, Error::Decode { .. }),
                    "{format:?} cut to {kept}: {error}"
                );
                assert!(error.to_string().contains("cut"));
            }
        }
    }

    #[test]
    fn a_huge_claimed_size_is_refused_before_memory_is_taken() {
        let mut bytes = encode_png(&noise(4, 4, 3)).unwrap();
        // IHDR: width at byte 16, its checksum at byte 29.
        bytes[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decode(&bytes, Path::new("bomb.png")).unwrap_err();
        assert!(matches!(error, Error::ImageTooLarge { .. }), "{error}");
        let error =
            decode_png(&encode_png(&noise(9, 4, 3)).unwrap(), Path::new("a.png"), 8).unwrap_err();
        assert!(
            matches!(error, Error::ImageTooLarge { limit: 8, .. }),
            "{error}"
        );
    }

    /// PNG's checksum (ISO 3309), bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                }
            })
        })
    }

    #[test]
    fn pixels_that_do_not_fill_the_image_are_not_encoded() {
        let image = Image {
            width: 2,
            height: 2,
            channels: 3,
            pixels: vec![0; 11],
        };
        assert!(matches!(encode_png(&image), Err(Error::Encode(_))));
    }
}
