//! From 8-bit pixels to the planes that the feature extractor reads.
//!
//! The filter is the separable cubic convolution of Keys (IEEE ASSP 29, 1981) with `a = -1/2`. When an
//! image is made smaller the kernel is widened by the ratio of the sizes, so that nothing aliases; this
//! is what Pillow's `BICUBIC` does, except that no intermediate result is rounded to 8 bits here.

use crate::error::EvalError;

/// Borrowed 8-bit pixels in rows, channels last, without padding between rows.
#[derive(Debug, Clone, Copy)]
pub struct ImageView<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Values per pixel: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub pixels: &'a [u8],
}

impl ImageView<'_> {
    /// Checks the dimensions against the number of bytes; `index` goes into the error.
    pub(crate) fn check(&self, index: usize) -> Result<(), EvalError> {
        let supported = self.width > 0 && self.height > 0 && matches!(self.channels, 1 | 3);
        let bytes = self.width.checked_mul(self.height);
        let bytes = bytes.and_then(|pixels| pixels.checked_mul(self.channels));
        let expected = bytes.filter(|_| supported).unwrap_or(0);
        if expected == 0 || expected != self.pixels.len() {
            return Err(EvalError::ImageSize {
                index,
                width: self.width,
                height: self.height,
                channels: self.channels,
                expected,
                found: self.pixels.len(),
            });
        }
        Ok(())
    }
}

/// Appends `image`, resized to `size` x `size`, to `planes` as three planes (red, green, blue) with the
/// values `x / 127.5 - 1`. Grey is repeated. The image must have passed [`ImageView::check`].
pub(crate) fn push_planes(image: &ImageView<'_>, size: usize, planes: &mut Vec<f32>) {
    let ImageView {
        width,
        height,
        channels,
        pixels,
    } = *image;
    let across = Taps::new(width, size);
    let down = Taps::new(height, size);
    let mut rows = vec![0.0; height * size];
    for plane in 0..3 {
        let channel = plane.min(channels - 1);
        for y in 0..height {
            let line = &pixels[y * width * channels..(y + 1) * width * channels];
            for (x, out) in rows[y * size..(y + 1) * size].iter_mut().enumerate() {
                let (first, weights) = across.at(x);
                let taps = line[first * channels + channel..].iter().step_by(channels);
                *out = weights
                    .iter()
                    .zip(taps)
                    .map(|(w, &p)| w * f32::from(p))
                    .sum();
            }
        }
        for y in 0..size {
            let (first, weights) = down.at(y);
            for x in 0..size {
                let taps = rows[first * size + x..].iter().step_by(size);
                let value: f32 = weights.iter().zip(taps).map(|(w, p)| w * p).sum();
                // The cubic overshoots at edges; 8-bit pictures cannot.
                planes.push(value.clamp(0.0, 255.0) / 127.5 - 1.0);
            }
        }
    }
}

/// The source positions and weights of each output position along one axis.
struct Taps {
    first: Vec<usize>,
    start: Vec<usize>,
    weights: Vec<f32>,
}

impl Taps {
    fn new(source: usize, target: usize) -> Self {
        let ratio = source as f64 / target as f64;
        let stretch = ratio.max(1.0);
        let reach = 2.0 * stretch;
        let mut taps = Self {
            first: Vec::with_capacity(target),
            start: vec![0],
            weights: Vec::new(),
        };
        for position in 0..target {
            let centre = (position as f64 + 0.5) * ratio;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(source);
            let raw: Vec<f64> = (first..end)
                .map(|i| cubic((i as f64 + 0.5 - centre) / stretch))
                .collect();
            let sum: f64 = raw.iter().sum();
            taps.first.push(first);
            taps.weights.extend(raw.iter().map(|w| (w / sum) as f32));
            taps.start.push(taps.weights.len());
        }
        taps
    }

    fn at(&self, position: usize) -> (usize, &[f32]) {
        let range = self.start[position]..self.start[position + 1];
        (self.first[position], &self.weights[range])
    }
}

/// Keys' cubic convolution kernel with `a = -1/2`; zero outside (-2, 2).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
