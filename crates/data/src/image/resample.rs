//! Separable resampling with an anti-aliasing filter, in the fixed-point arithmetic of Pillow.
//!
//! Each output pixel is a weighted mean of the input pixels its filter covers; when shrinking, the filter is stretched
//! by the factor of reduction. Weights are rounded to 22 fractional bits and the image to bytes between the horizontal
//! and the vertical pass, which is what `PIL.Image.resize` does (up to Pillow 12; 13 swaps the passes for tall images): the published statistics that generated images are
//! compared with were made from images resized that way, so the result has to agree to the byte.

use std::ops::Range;

use super::Image;

const FRACTION_BITS: u32 = 22;

/// The kernel, as a function of distance in units of output pixels (input pixels when enlarging).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Filter {
    /// Mean over one output pixel.
    Box,
    /// Keys 1981, "Cubic convolution interpolation", a = -1/2.
    Bicubic,
}

impl Filter {
    const fn radius(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        match self {
            // Half open, so that a pixel in the middle between two means counts once.
            Self::Box => f64::from(distance > -0.5 && distance <= 0.5),
            Self::Bicubic => {
                let x = distance.abs();
                if x < 1.0 {
                    (1.5 * x - 2.5) * x * x + 1.0
                } else if x < 2.0 {
                    ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
                } else {
                    0.0
                }
            }
        }
    }
}

/// The input pixels that one output pixel is made of.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

/// One side of a resize: the length the whole side would get, and the part of it that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub length: u32,
    pub kept: Range<u32>,
}

impl Side {
    pub(crate) const fn whole(length: u32) -> Self {
        Self {
            length,
            kept: 0..length,
        }
    }

    /// `kept` pixels from the middle, the odd one left out at the end.
    pub(crate) const fn middle(length: u32, kept: u32) -> Self {
        let first = (length - kept) / 2;
        Self {
            length,
            kept: first..first + kept,
        }
    }
}

/// Resizes an image and returns the kept part; only that part is computed, so a sliver enlarged costs no more than a
/// square.
pub(crate) fn resize(image: &Image, width: &Side, height: &Side, filter: Filter) -> Image {
    let channels = image.channels as usize;
    let columns = taps(image.width, width, filter);
    let mut narrowed = Vec::with_capacity(columns.len() * image.height as usize * channels);
    for row in image.pixels.chunks_exact(image.width as usize * channels) {
        for tap in &columns {
            narrowed.extend((0..channels).map(|channel| tap.mean(row, channels, channel)));
        }
    }
    let row_bytes = columns.len() * channels;
    let rows = taps(image.height, height, filter);
    let mut pixels = Vec::with_capacity(row_bytes * rows.len());
    for tap in &rows {
        pixels.extend((0..row_bytes).map(|column| tap.mean(&narrowed, row_bytes, column)));
    }
    Image {
        width: columns.len() as u32,
        height: rows.len() as u32,
        channels: image.channels,
        pixels,
    }
}

impl Tap {
    /// The weighted mean of every `stride`-th byte from `offset` on.
    fn mean(&self, bytes: &[u8], stride: usize, offset: usize) -> u8 {
        let covered = bytes[self.first * stride + offset..].iter().step_by(stride);
        let half = 1i32 << (FRACTION_BITS - 1);
        let sum: i32 = self
            .weights
            .iter()
            .zip(covered)
            .map(|(weight, byte)| weight * i32::from(*byte))
            .sum();
        ((sum + half) >> FRACTION_BITS).clamp(0, 255) as u8
    }
}

fn taps(from: u32, side: &Side, filter: Filter) -> Vec<Tap> {
    let scale = f64::from(from) / f64::from(side.length);
    let stretch = scale.max(1.0);
    let radius = filter.radius() * stretch;
    side.kept
        .clone()
        .map(|position| {
            let centre = (f64::from(position) + 0.5) * scale;
            let first = (centre - radius + 0.5).max(0.0) as usize;
            let end = ((centre + radius + 0.5) as usize).min(from as usize);
            let weights: Vec<f64> = (first..end)
                .map(|pixel| filter.weight((pixel as f64 + 0.5 - centre) / stretch))
                .collect();
            let total: f64 = weights.iter().sum();
            let fixed =
                |weight: f64| (weight / total * f64::from(1 << FRACTION_BITS)).round() as i32;
            Tap {
                first,
                weights: weights.into_iter().map(fixed).collect(),
            }
        })
        .collect()
}
