//! The three kinds of convolution of the network, for one image at a time with channels last.
//!
//! On a CPU a 1x1 convolution is a matrix product and a depthwise one is bound by memory. Bias, ReLU6 and
//! residual are applied while a value is still in the cache, which is most of what makes this several times
//! faster than a composition of general tensor operations.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::weights::Weights;

/// Channels that are computed together; every channel count of the network is a multiple of it.
const LANES: usize = 16;

/// Values of one layer: `[size, size, channels]`. The memory is kept when the layer changes.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) size: usize,
    pub(super) channels: usize,
    values: Vec<f32>,
}

impl Map {
    /// Takes over values in rows with channels last.
    pub(super) fn set(&mut self, size: usize, channels: usize, values: Vec<f32>) {
        *self = Self {
            size,
            channels,
            values,
        };
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    fn reshape(&mut self, size: usize, channels: usize) {
        (self.size, self.channels) = (size, channels);
        self.values.resize(size * size * channels, 0.0);
    }
}

/// A 1x1 convolution: weights `[in, out]` and a bias per output.
#[derive(Debug)]
pub(super) struct Pointwise {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// What follows a pointwise convolution.
pub(super) enum Then<'a> {
    Relu6,
    Nothing,
    /// Add the input of the block.
    Add(&'a Map),
}

impl Pointwise {
    /// Takes `name.weight` of the given shape, `[out, in]` or `[out, in, 1, 1]`, and `name.bias` out of `weights`.
    pub(super) fn read(weights: &mut Weights<'_>, name: &str, shape: &[usize]) -> Self {
        Self {
            weight: weights.take_transposed(&format!("{name}.weight"), shape),
            bias: weights.take(&format!("{name}.bias"), &shape[..1]),
        }
    }

    /// `[rows, in]` to `[rows, out]`, both row by row.
    pub(super) fn rows(&self, input: &[f32], output: &mut [f32]) {
        let outputs = self.bias.len();
        product(input, &self.weight, self.weight.len() / outputs, output);
        for row in output.chunks_exact_mut(outputs) {
            finish(row, &self.bias, |value| value);
        }
    }

    pub(super) fn forward(&self, input: &Map, then: &Then<'_>, output: &mut Map) {
        let outputs = self.bias.len();
        output.reshape(input.size, outputs);
        product(
            &input.values,
            &self.weight,
            input.channels,
            &mut output.values,
        );
        let pixels = output.values.chunks_exact_mut(outputs);
        match then {
            Then::Relu6 => pixels.for_each(|pixel| finish(pixel, &self.bias, relu6)),
            Then::Nothing => pixels.for_each(|pixel| finish(pixel, &self.bias, |value| value)),
            Then::Add(skip) => {
                for (pixel, skip) in pixels.zip(skip.values.chunks_exact(outputs)) {
                    for ((value, bias), skip) in pixel.iter_mut().zip(&self.bias).zip(skip) {
                        *value += bias + skip;
                    }
                }
            }
        }
    }
}

/// The first layer: 3x3 with stride 2 on three channels, as a product with the unfolded neighbourhoods.
#[derive(Debug)]
pub(super) struct Stem {
    /// `[3 * 3 * 3, out]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Stem {
    const KERNEL: usize = 3;
    const STRIDE: usize = 2;

    pub(super) fn read(weights: &mut Weights<'_>, outputs: usize) -> Self {
        Self {
            weight: weights
                .take_transposed("stem.weight", &[outputs, 3, Self::KERNEL, Self::KERNEL]),
            bias: weights.take("stem.bias", &[outputs]),
        }
    }

    pub(super) fn forward(&self, input: &Map, unfolded: &mut Map, output: &mut Map) {
        let (size, before) = same_padding(input.size, Self::KERNEL, Self::STRIDE);
        let taps = Self::KERNEL * Self::KERNEL;
        unfolded.reshape(size, 3 * taps);
        for (index, patch) in unfolded.values.chunks_exact_mut(3 * taps).enumerate() {
            let (y, x) = (index / size * Self::STRIDE, index % size * Self::STRIDE);
            for tap in 0..taps {
                let (row, column) = (y + tap / Self::KERNEL, x + tap % Self::KERNEL);
                for colour in 0..3 {
                    let inside = (before..input.size + before).contains(&row)
                        && (before..input.size + before).contains(&column);
                    let at = |row: usize, column: usize| {
                        ((row - before) * input.size + column - before) * 3 + colour
                    };
                    patch[colour * taps + tap] = if inside {
                        input.values[at(row, column)]
                    } else {
                        0.0
                    };
                }
            }
        }
        output.reshape(size, self.bias.len());
        product(&unfolded.values, &self.weight, 3 * taps, &mut output.values);
        for pixel in output.values.chunks_exact_mut(self.bias.len()) {
            finish(pixel, &self.bias, relu6);
        }
    }
}

/// One `kernel` x `kernel` filter per channel, then ReLU6.
#[derive(Debug)]
pub(super) struct Depthwise {
    kernel: usize,
    stride: usize,
    /// `[channels / LANES]` groups of `[kernel, kernel]` weights for [`LANES`] channels.
    weight: Vec<Vec<[f32; LANES]>>,
    bias: Vec<[f32; LANES]>,
}

impl Depthwise {
    /// Takes `name.weight` `[channels, 1, kernel, kernel]` and `name.bias` out of `weights`.
    pub(super) fn read(
        weights: &mut Weights<'_>,
        name: &str,
        channels: usize,
        kernel: usize,
        stride: usize,
    ) -> Self {
        let taps = kernel * kernel;
        let weight = weights.take(&format!("{name}.weight"), &[channels, 1, kernel, kernel]);
        let group = |filters: &[f32]| {
            let lanes = |tap: usize| std::array::from_fn(|lane| filters[lane * taps + tap]);
            (0..taps).map(lanes).collect()
        };
        Self {
            kernel,
            stride,
            weight: weight.chunks_exact(LANES * taps).map(group).collect(),
            bias: weights
                .take(&format!("{name}.bias"), &[channels])
                .as_chunks()
                .0
                .to_vec(),
        }
    }

    pub(super) fn forward(&self, input: &Map, output: &mut Map) {
        // The same code, compiled for each instruction set and chosen at run time.
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || match self.kernel {
                3 => self.filter::<3>(input, output),
                _ => self.filter::<5>(input, output),
            },
        );
    }

    #[inline(always)]
    fn filter<const K: usize>(&self, input: &Map, output: &mut Map) {
        let (size, before) = same_padding(input.size, K, self.stride);
        let channels = input.channels;
        output.reshape(size, channels);
        for (y, row) in output.values.chunks_exact_mut(size * channels).enumerate() {
            let (top, ys) = self.window(y, before, input.size);
            for (group, (weight, bias)) in self.weight.iter().zip(&self.bias).enumerate() {
                let weight = weight.as_chunks::<K>().0;
                for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                    let (left, xs) = self.window(x, before, input.size);
                    let at = |ky: usize, kx: usize| {
                        let pixel = (top + ky - before) * input.size + left + kx - before;
                        &input.values[pixel * channels + group * LANES..][..LANES]
                    };
                    let mut sum = *bias;
                    if ys.len() == K && xs.len() == K {
                        // Away from the edges the number of taps is known to the compiler.
                        for (ky, taps) in weight.iter().enumerate().take(K) {
                            for (kx, tap) in taps.iter().enumerate() {
                                add_product(&mut sum, tap, at(ky, kx));
                            }
                        }
                    } else {
                        for ky in ys.clone() {
                            for kx in xs.clone() {
                                add_product(&mut sum, &weight[ky][kx], at(ky, kx));
                            }
                        }
                    }
                    pixel[group * LANES..][..LANES].copy_from_slice(&sum.map(relu6));
                }
            }
        }
    }

    /// First position of output `index` on an axis that is padded by `before`, and the taps from there on
    /// that fall on the input and not on the padding.
    #[inline(always)]
    fn window(&self, index: usize, before: usize, size: usize) -> (usize, std::ops::Range<usize>) {
        let first = index * self.stride;
        (
            first,
            before.saturating_sub(first)..self.kernel.min(size + before - first),
        )
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

fn finish(pixel: &mut [f32], bias: &[f32], activation: impl Fn(f32) -> f32) {
    for (value, bias) in pixel.iter_mut().zip(bias) {
        *value = activation(*value + bias);
    }
}

#[inline(always)]
fn relu6(value: f32) -> f32 {
    value.clamp(0.0, 6.0)
}

#[inline(always)]
fn add_product(sum: &mut [f32; LANES], weight: &[f32; LANES], values: &[f32]) {
    for ((sum, weight), value) in sum.iter_mut().zip(weight).zip(values) {
        *sum += weight * value;
    }
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
