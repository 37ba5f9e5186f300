//! A convolution with bias and TensorFlow's SAME padding.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::weights::Weights;

/// Weights `[out, in / groups, kernel, kernel]` with a bias `[out]`.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    groups: usize,
}

impl Conv {
    /// Takes `name.weight` and `name.bias` out of `weights`.
    pub(super) fn read(
        weights: &mut Weights<'_>,
        name: &str,
        shape: [usize; 4],
        stride: usize,
        groups: usize,
    ) -> Self {
        Self {
            weight: weights.take(&format!("{name}.weight"), shape),
            bias: weights.take(&format!("{name}.bias"), [shape[0]]),
            stride,
            groups,
        }
    }

    /// `[batch, in, height, width]` to `[batch, out, ceil(height / stride), ceil(width / stride)]`.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let [_, _, kernel, _] = self.weight.dims();
        let padding = [height, width].map(|size| same_padding(size, kernel, self.stride));
        let stride = [self.stride; 2];
        let options = ConvOptions::new_with_padding(stride, padding, [1, 1], self.groups);
        conv2d(x, self.weight.clone(), Some(self.bias.clone()), options)
    }
}

/// Pixels to add before and after an axis of `size` so that `ceil(size / stride)` outputs come out.
fn same_padding(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let outputs = size.div_ceil(stride);
    let total = ((outputs - 1) * stride + kernel).saturating_sub(size);
    (total / 2, total - total / 2)
}

#[cfg(test)]
mod tests {
    use super::same_padding;

    /// TensorFlow's rule, worked by hand: `total = max((ceil(n / s) - 1) * s + k - n, 0)`.
    #[test]
    fn odd_pixel_goes_to_the_end() {
        assert_eq!(same_padding(224, 3, 2), (0, 1));
        assert_eq!(same_padding(112, 3, 1), (1, 1));
        assert_eq!(same_padding(56, 5, 2), (1, 2));
        assert_eq!(same_padding(7, 5, 1), (2, 2));
        assert_eq!(same_padding(7, 3, 2), (1, 1));
        assert_eq!(same_padding(7, 1, 1), (0, 0));
    }
}
