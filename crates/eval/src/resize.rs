//! From 8-bit pixels to the values that a feature extractor reads.
//!
//! The bicubic filter is the separable cubic convolution of Keys (IEEE ASSP 29, 1981) with `a = -1/2`. When an
//! image is made smaller the kernel is widened by the ratio of the sizes, so that nothing aliases; this
//! is what Pillow's `BICUBIC` does, except that no intermediate result is rounded to 8 bits here. The bilinear one is
//! PyTorch's `interpolate` without `align_corners`, which weighs the two nearest pixels and is never widened.

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

/// Checks all images.
pub(crate) fn check_all(images: &[ImageView<'_>]) -> Result<(), EvalError> {
    let mut numbered = images.iter().enumerate();
    numbered.try_for_each(|(index, image)| image.check(index))
}

/// How pixels are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    Bicubic,
    Bilinear,
}

/// The image, resized to `size` x `size`, as rows of red, green, blue with the values `x / 127.5 - 1`. Grey is
/// repeated. The image must have passed [`ImageView::check`].
pub(crate) fn resized(image: &ImageView<'_>, size: usize, filter: Filter) -> Vec<f32> {
    let ImageView {
        width,
        height,
        channels,
        pixels,
    } = *image;
    let taps = |source| match filter {
        Filter::Bicubic => Taps::bicubic(source, size),
        Filter::Bilinear => Taps::bilinear(source, size),
    };
    let across = taps(width);
    let mut rows = Vec::with_capacity(height * size * 3);
    for line in pixels.chunks_exact(width * channels) {
        for x in 0..size {
            let (first, weights) = across.at(x);
            let taps = &line[first * channels..];
            rows.extend([0, 1, 2].map(|colour: usize| {
                let taps = taps[colour.min(channels - 1)..].iter().step_by(channels);
                let products = weights.iter().zip(taps);
                products.map(|(w, &p)| w * f32::from(p)).sum::<f32>()
            }));
        }
    }
    let down = taps(height);
    let mut values = vec![0.0; size * size * 3];
    for (y, out) in values.chunks_exact_mut(size * 3).enumerate() {
        let (first, weights) = down.at(y);
        for (weight, row) in weights.iter().zip(rows.chunks_exact(size * 3).skip(first)) {
            for (out, value) in out.iter_mut().zip(row) {
                *out += weight * value;
            }
        }
        for out in out {
            // The cubic overshoots at edges; 8-bit pictures cannot.
            *out = out.clamp(0.0, 255.0) / 127.5 - 1.0;
        }
    }
    values
}

/// The source positions and weights of each output position along one axis.
struct Taps {
    first: Vec<usize>,
    start: Vec<usize>,
    weights: Vec<f32>,
}

impl Taps {
    fn bicubic(source: usize, target: usize) -> Self {
        let ratio = source as f64 / target as f64;
        let stretch = ratio.max(1.0);
        let reach = 2.0 * stretch;
        let mut taps = Self::none();
        for position in 0..target {
            let centre = (position as f64 + 0.5) * ratio;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(source);
            let raw: Vec<f64> = (first..end)
                .map(|i| cubic((i as f64 + 0.5 - centre) / stretch))
                .collect();
            let sum: f64 = raw.iter().sum();
            taps.push(first, raw.iter().map(|w| (w / sum) as f32));
        }
        taps
    }

    fn bilinear(source: usize, target: usize) -> Self {
        let ratio = source as f64 / target as f64;
        let mut taps = Self::none();
        for position in 0..target {
            let last = (source - 1) as f64;
            let centre = ((position as f64 + 0.5) * ratio - 0.5).clamp(0.0, last);
            let first = centre as usize;
            let share = (centre - first as f64) as f32;
            let weights = [1.0 - share, share];
            taps.push(first, weights.into_iter().take(source - first));
        }
        taps
    }

    const fn none() -> Self {
        Self {
            first: Vec::new(),
            start: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// Adds an output position, whose inputs begin at `first`.
    fn push(&mut self, first: usize, weights: impl IntoIterator<Item = f32>) {
        self.first.push(first);
        self.start.push(self.weights.len());
        self.weights.extend(weights);
    }

    fn at(&self, position: usize) -> (usize, &[f32]) {
        let end = self.start.get(position + 1).copied();
        let range = self.start[position]..end.unwrap_or(self.weights.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every third pixel of Pillow's result on float planes, made by `tests/reference/make.py`.
    #[test]
    fn resizing_agrees_with_pillow() {
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../tests/reference/lite0.json")).unwrap();
        let mut pixels = Vec::new();
        for (y, x) in (0..48_i32).flat_map(|y| (0..40_i32).map(move |x| (y, x))) {
            let disc = (x - 15).pow(2) + (y - 20).pow(2) < 100;
            let ramps = [x * 5 % 256, y * 6 % 256, x * y / 4 % 256];
            pixels.extend(if disc {
                [250, 200, 30]
            } else {
                ramps.map(|value| value as u8)
            });
        }
        let image = ImageView {
            width: 40,
            height: 48,
            channels: 3,
            pixels: &pixels,
        };
        for size in [32, 64] {
            let expected = reference["resized"][size.to_string()].as_array().unwrap();
            let values = resized(&image, size, Filter::Bicubic);
            let steps = || (0..size).step_by(3);
            let places =
                (0..3).flat_map(|c| steps().flat_map(move |y| steps().map(move |x| (y, x, c))));
            assert_eq!(places.clone().count(), expected.len());
            for ((y, x, colour), expected) in places.zip(expected) {
                let found = (f64::from(values[(y * size + x) * 3 + colour]) + 1.0) * 127.5;
                // The reference is written with six digits, which is 5e-4 at 255.
                assert!(
                    (found - expected.as_f64().unwrap()).abs() < 2e-3,
                    "{y} {x} {colour}"
                );
            }
        }
    }
}
