//! Layers of convolutional networks, for one image at a time with channels last.
//!
//! On a CPU a convolution is a matrix product, and a depthwise one is bound by memory. Bias, activation and residual are
//! applied while a value is still in the cache, which is most of what makes this several times faster than a
//! composition of general tensor operations.

mod conv;
mod depthwise;
mod pointwise;
mod pool;
mod weights;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

pub(crate) use conv::{Conv, Kernel, Padding};
pub(crate) use depthwise::Depthwise;
pub(crate) use pointwise::{Pointwise, Then};
pub(crate) use pool::{average3, global_average, max3};
pub(crate) use weights::Weights;

/// Values of one layer: `[size, size, channels]`. The memory is kept when the layer changes.
#[derive(Debug, Default)]
pub(crate) struct Map {
    pub(crate) size: usize,
    pub(crate) channels: usize,
    values: Vec<f32>,
}

impl Map {
    /// Takes over values in rows with channels last.
    pub(crate) fn set(&mut self, size: usize, channels: usize, values: Vec<f32>) {
        *self = Self {
            size,
            channels,
            values,
        };
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The channels of maps of one size, one after another.
    pub(crate) fn joined(parts: &[Self]) -> Self {
        let mut joined = Self::default();
        let channels = parts.iter().map(|part| part.channels).sum();
        joined.reshape(parts.first().map_or(0, |part| part.size), channels);
        let mut at = 0;
        for part in parts {
            let pixels = joined.values.chunks_exact_mut(channels);
            for (pixel, values) in pixels.zip(part.values.chunks_exact(part.channels)) {
                pixel[at..at + part.channels].copy_from_slice(values);
            }
            at += part.channels;
        }
        joined
    }

    fn reshape(&mut self, size: usize, channels: usize) {
        (self.size, self.channels) = (size, channels);
        self.values.resize(size * size * channels, 0.0);
    }
}

/// `[rows, inner]` times `[inner, columns]` into `output`, all stored row by row.
fn product(left: &[f32], right: &[f32], inner: usize, output: &mut [f32]) {
    let (rows, columns) = (left.len() / inner, right.len() / inner);
    let left = MatRef::from_row_major_slice(left, rows, inner);
    let right = MatRef::from_row_major_slice(right, inner, columns);
    let output = MatMut::from_row_major_slice_mut(output, rows, columns);
    matmul(output, Accum::Replace, left, right, 1.0, Par::Seq);
}

/// Bias and activation of one pixel.
fn finish(pixel: &mut [f32], bias: &[f32], activation: impl Fn(f32) -> f32) {
    for (value, bias) in pixel.iter_mut().zip(bias) {
        *value = activation(*value + bias);
    }
}

/// Cuts to between 0 and 6.
#[inline(always)]
fn relu6(value: f32) -> f32 {
    value.clamp(0.0, 6.0)
}

/// TensorFlow's SAME padding of an axis: number of outputs, and pixels to add before the axis. Of an odd
/// number of pixels the extra one goes to the end.
fn same_padding(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let outputs = size.div_ceil(stride);
    let total = ((outputs - 1) * stride + kernel).saturating_sub(size);
    (outputs, total / 2)
}

#[cfg(test)]
mod tests {
    use super::same_padding;

    /// TensorFlow's rule, worked by hand: `total = max((ceil(n / s) - 1) * s + k - n, 0)`.
    #[test]
    fn odd_pixel_goes_to_the_end() {
        assert_eq!(same_padding(224, 3, 2), (112, 0));
        assert_eq!(same_padding(112, 3, 1), (112, 1));
        assert_eq!(same_padding(56, 5, 2), (28, 1));
        assert_eq!(same_padding(7, 5, 1), (7, 2));
        assert_eq!(same_padding(7, 3, 2), (4, 1));
    }
}
