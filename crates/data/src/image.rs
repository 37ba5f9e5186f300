//! Eight-bit images in memory, and the numbers a model sees.

mod chunks;
mod codec;
mod encode;
pub(crate) mod format;
mod jpeg;
mod orientation;
mod resample;
mod tiff;

use resample::{Filter, Side};
use serde::{Deserialize, Serialize};

pub(crate) use codec::decode_first;
pub use codec::{MAX_SIDE, decode, decode_png, encode_png};
pub use encode::{PictureFormat, encode_png_with_texts};

/// How an image that is no square becomes one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The middle is cut out; the ends of the longer side are lost.
    #[default]
    Crop,
    /// White is added beside the shorter side; nothing is lost.
    Pad,
}

impl Fit {
    /// Whether it is the default, which files leave out.
    pub fn is_crop(&self) -> bool {
        *self == Self::Crop
    }
}

/// An image of `height` rows of `width` pixels of `channels` bytes (HWC); 1 channel is grey, 3 are RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes in a pixel, 1 or 3.
    pub channels: u32,
    /// `height * width * channels` bytes.
    pub pixels: Vec<u8>,
}

impl Image {
    /// An image of one colour (one byte for each channel).
    pub fn filled(width: u32, height: u32, colour: &[u8]) -> Self {
        let pixels = colour.repeat(width as usize * height as usize);
        Self {
            width,
            height,
            channels: colour.len() as u32,
            pixels,
        }
    }

    /// Width times height times channels.
    pub fn byte_count(&self) -> usize {
        self.width as usize * self.height as usize * self.channels as usize
    }

    /// The image as model input: planes (CHW), x / 127.5 - 1, so 0 is -1 and 255 is 1.
    pub fn to_chw(&self) -> Vec<f32> {
        let mut planes = vec![0.0; self.pixels.len()];
        write_chw(
            &self.pixels,
            self.width as usize,
            self.channels as usize,
            false,
            &mut planes,
        );
        planes
    }

    /// The image that model output `planes` (CHW, `channels * height * width` numbers in [-1, 1]) shows: clamped and
    /// rounded to the nearest byte. NaN becomes 0.
    pub fn from_chw(width: u32, height: u32, channels: u32, planes: &[f32]) -> Self {
        let area = width as usize * height as usize;
        let mut pixels = vec![0; area * channels as usize];
        for (channel, plane) in planes
            .chunks_exact(area.max(1))
            .take(channels as usize)
            .enumerate()
        {
            for (pixel, value) in plane.iter().enumerate() {
                // A cast from f32 to u8 saturates, so only the rounding needs care.
                pixels[pixel * channels as usize + channel] = ((value + 1.0) * 127.5).round() as u8;
            }
        }
        Self {
            width,
            height,
            channels,
            pixels,
        }
    }

    /// The image mirrored left to right.
    pub fn flipped(&self) -> Self {
        let mut flipped = self.clone();
        let channels = self.channels as usize;
        for row in flipped
            .pixels
            .chunks_exact_mut((self.width as usize * channels).max(1))
        {
            row.reverse();
            row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
        }
        flipped
    }

    /// The image with 1 or 3 channels: grey is repeated; colour becomes luma (ITU-R BT.601, rounded).
    pub fn with_channels(self, channels: u32) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(luma).collect(),
            _ => return self,
        };
        Self {
            channels,
            pixels,
            ..self
        }
    }

    /// The square of side `size` that class-conditional diffusion models train on (ADM, Dhariwal and Nichol 2021): halve
    /// with a box filter while the shorter side is at least twice `size`, bring the shorter side to `size` with an
    /// anti-aliased bicubic filter, cut out the centre. An image that has this size already is left as it is.
    pub fn centre_crop(&self, size: u32) -> Self {
        if self.width == size && self.height == size {
            return self.clone();
        }
        let halved = self.halved_to(size, u32::min);
        let image = halved.as_ref().unwrap_or(self);
        let scale = f64::from(size) / f64::from(image.width.min(image.height));
        let middle =
            |side: u32| Side::middle((f64::from(side) * scale).round_ties_even() as u32, size);
        resample::resize(
            image,
            &middle(image.width),
            &middle(image.height),
            Filter::Bicubic,
        )
    }

    /// The whole image in a square of side `size`: its longer side is brought to `size` as [`Image::centre_crop`] does it
    /// with the shorter one, and what is left of the square is white.
    pub fn padded(&self, size: u32) -> Self {
        if self.width == size && self.height == size {
            return self.clone();
        }
        let halved = self.halved_to(size, u32::max);
        let image = halved.as_ref().unwrap_or(self);
        let scale = f64::from(size) / f64::from(image.width.max(image.height));
        let side = |side: u32| (f64::from(side) * scale).round_ties_even().max(1.0) as u32;
        let (width, height) = (side(image.width), side(image.height));
        let (columns, rows) = (Side::whole(width), Side::whole(height));
        let scaled = resample::resize(image, &columns, &rows, Filter::Bicubic);
        let channels = self.channels as usize;
        let mut square = Self::filled(size, size, &vec![255; channels]);
        let (left, top) = ((size - width) / 2, (size - height) / 2);
        let row_bytes = width as usize * channels;
        for (row, y) in scaled.pixels.chunks_exact(row_bytes).zip(top..) {
            let at = (y as usize * size as usize + left as usize) * channels;
            square.pixels[at..at + row_bytes].copy_from_slice(row);
        }
        square
    }

    /// The square of side `size` that is made of the image.
    pub fn fitted(&self, size: u32, fit: Fit) -> Self {
        match fit {
            Fit::Crop => self.centre_crop(size),
            Fit::Pad => self.padded(size),
        }
    }

    /// The image halved with a box filter while the side that is meant is at least twice `size`; nothing where it is not.
    fn halved_to(&self, size: u32, meant: fn(u32, u32) -> u32) -> Option<Self> {
        let mut halved: Option<Self> = None;
        loop {
            let image = halved.as_ref().unwrap_or(self);
            if u64::from(meant(image.width, image.height)) < 2 * u64::from(size) {
                return halved;
            }
            let half = |side: u32| Side::whole((side / 2).max(1));
            let (width, height) = (half(image.width), half(image.height));
            halved = Some(resample::resize(image, &width, &height, Filter::Box));
        }
    }

    /// The rectangle of `width` times `height` pixels at (`left`, `top`), cut to what lies inside the image.
    pub fn cropped(&self, left: u32, top: u32, width: u32, height: u32) -> Self {
        let left = left.min(self.width);
        let top = top.min(self.height);
        let width = width.min(self.width - left);
        let height = height.min(self.height - top);
        let channels = self.channels as usize;
        let row_bytes = self.width as usize * channels;
        let columns = left as usize * channels..(left + width) as usize * channels;
        let rows = (top as usize..(top + height) as usize)
            .map(|row| &self.pixels[row * row_bytes..][columns.clone()]);
        Self {
            width,
            height,
            channels: self.channels,
            pixels: rows.flatten().copied().collect(),
        }
    }
}

/// Writes interleaved bytes (HWC) as planes (CHW) of x / 127.5 - 1, mirrored left to right if asked.
pub(crate) fn write_chw(
    pixels: &[u8],
    width: usize,
    channels: usize,
    flip: bool,
    planes: &mut [f32],
) {
    let area = pixels.len() / channels;
    for (channel, plane) in planes.chunks_exact_mut(area).take(channels).enumerate() {
        let rows = plane
            .chunks_exact_mut(width)
            .zip(pixels.chunks_exact(width * channels));
        for (row, bytes) in rows {
            let values = bytes
                .iter()
                .skip(channel)
                .step_by(channels)
                .map(|byte| f32::from(*byte) / 127.5 - 1.0);
            if flip {
                row.iter_mut()
                    .rev()
                    .zip(values)
                    .for_each(|(out, value)| *out = value);
            } else {
                row.iter_mut()
                    .zip(values)
                    .for_each(|(out, value)| *out = value);
            }
        }
    }
}

fn luma(rgb: &[u8]) -> u8 {
    let weighted = 299 * u32::from(rgb[0]) + 587 * u32::from(rgb[1]) + 114 * u32::from(rgb[2]);
    ((weighted + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// The image of `formula` in tests/reference/centre_crop.py.
    fn formula(width: u32, height: u32) -> Image {
        let at = |x: u32, y: u32, c: u32| ((x * x * 7 + y * 13 + c * 91 + x * y * 3) % 256) as u8;
        let pixels = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| at(x, y, c))))
            .collect();
        Image {
            width,
            height,
            channels: 3,
            pixels,
        }
    }

    #[derive(Deserialize)]
    struct Case {
        width: u32,
        height: u32,
        size: u32,
        pixels: Vec<u8>,
    }

    // Reference: Pillow 11.3.0 through tests/reference/centre_crop.py. Tolerance: none, equal to the byte.
    #[test]
    fn centre_crop_equals_pillow() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../tests/reference/centre_crop.json")).unwrap();
        assert_eq!(cases.len(), 8);
        for Case {
            width,
            height,
            size,
            pixels,
        } in cases
        {
            let cropped = formula(width, height).centre_crop(size);
            assert_eq!([cropped.width, cropped.height], [size, size]);
            assert_eq!(cropped.pixels, pixels, "{width}x{height} to {size}");
        }
    }

    #[test]
    fn crop_of_an_image_of_the_right_size_changes_nothing() {
        let image = formula(16, 16);
        assert_eq!(image.centre_crop(16), image);
    }

    #[test]
    fn a_sliver_is_enlarged_without_the_parts_that_are_cut_off() {
        let cropped = Image::filled(16_000, 1, &[9, 8, 7]).centre_crop(64);
        assert_eq!(cropped, Image::filled(64, 64, &[9, 8, 7]));
    }

    #[test]
    fn model_numbers_and_bytes_convert_without_loss() {
        let image = Image {
            width: 16,
            height: 16,
            channels: 1,
            pixels: (0..=255).collect(),
        };
        let planes = image.to_chw();
        assert_eq!((planes[0], planes[255]), (-1.0, 1.0));
        assert_eq!(Image::from_chw(16, 16, 1, &planes), image);
        let colour = formula(5, 3);
        assert_eq!(Image::from_chw(5, 3, 3, &colour.to_chw()), colour);
        // CHW: the second plane holds the second channel.
        assert_eq!(
            colour.to_chw()[15],
            f32::from(colour.pixels[1]) / 127.5 - 1.0
        );
    }

    #[test]
    fn numbers_outside_the_range_are_clamped() {
        let image = Image::from_chw(5, 1, 1, &[-7.0, 7.0, f32::NAN, f32::INFINITY, 0.0]);
        assert_eq!(image.pixels, [0, 255, 0, 255, 128]);
    }

    #[test]
    fn flip_mirrors_pixels_not_channels() {
        let image = Image {
            width: 2,
            height: 1,
            channels: 3,
            pixels: vec![1, 2, 3, 4, 5, 6],
        };
        assert_eq!(image.flipped().pixels, [4, 5, 6, 1, 2, 3]);
        let image = formula(7, 4);
        let mut planes = vec![0.0; image.pixels.len()];
        write_chw(&image.pixels, 7, 3, true, &mut planes);
        assert_eq!(planes, image.flipped().to_chw());
    }

    #[test]
    fn grey_and_colour_convert() {
        let colour = Image {
            width: 1,
            height: 1,
            channels: 3,
            pixels: vec![10, 200, 50],
        };
        // 0.299 * 10 + 0.587 * 200 + 0.114 * 50 = 126.09
        let grey = colour.with_channels(1);
        assert_eq!(grey.pixels, [126]);
        assert_eq!(grey.with_channels(3).pixels, [126; 3]);
    }
}
