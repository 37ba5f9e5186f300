//! Ordinary convolution, as a product with unfolded neighbourhoods.

use super::{Map, Weights, finish, product, same_padding};

/// Values of unfolded neighbourhoods at a time: half a megabyte, so that they are still in the cache for the product.
const UNFOLDED: usize = 1 << 17;
/// Neighbourhoods that at least are unfolded at a time: with fewer a product is bound by its weights.
const LEAST_ROWS: usize = 64;

/// What lies beyond the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Zeros, so that there are `ceil(size / stride)` outputs.
    Same,
    /// Nothing: filters stay inside.
    Valid,
}

/// The geometry of a filter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) stride: usize,
    pub(crate) padding: Padding,
}

/// A convolution and its activation, `x` cut to between 0 and `ceiling`.
#[derive(Debug)]
pub(crate) struct Conv {
    kernel: Kernel,
    inputs: usize,
    /// `[height * width * in, out]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    ceiling: f32,
}

impl Conv {
    /// From weights `[out, in, height, width]` and a bias per output, either of which may be missing.
    pub(crate) fn new(kernel: Kernel, weight: &[f32], bias: Vec<f32>, ceiling: f32) -> Self {
        let (taps, outputs) = (kernel.height * kernel.width, bias.len());
        let inputs = weight.len().checked_div(taps * outputs).unwrap_or(0);
        let rows = (0..taps).flat_map(|tap| (0..inputs).map(move |input| input * taps + tap));
        let columns = |row| (0..outputs).map(move |output| weight[output * inputs * taps + row]);
        Self {
            kernel,
            inputs,
            weight: rows.flat_map(columns).collect(),
            bias,
            ceiling,
        }
    }

    /// Takes `name.weight` and `name.bias` out of `weights`.
    pub(crate) fn read(
        weights: &mut Weights<'_>,
        name: &str,
        [outputs, inputs]: [usize; 2],
        kernel: Kernel,
        ceiling: f32,
    ) -> Self {
        let shape = [outputs, inputs, kernel.height, kernel.width];
        let weight = weights.take(&format!("{name}.weight"), &shape);
        let bias = weights.take(&format!("{name}.bias"), &[outputs]);
        Self::new(kernel, &weight, bias, ceiling)
    }

    /// `unfolded` is memory to work in.
    pub(crate) fn forward(&self, input: &Map, unfolded: &mut Vec<f32>, output: &mut Map) {
        let Kernel {
            height,
            width,
            stride,
            padding,
        } = self.kernel;
        let axis = |taps| match padding {
            Padding::Same => same_padding(input.size, taps, stride),
            Padding::Valid => ((input.size - taps) / stride + 1, 0),
        };
        let ((size, above), (_, left)) = (axis(height), axis(width));
        let (inner, outputs) = (height * width * self.inputs, self.bias.len());
        output.reshape(size, outputs);
        let rows = (UNFOLDED / inner).max(LEAST_ROWS);
        for (block, output) in output.values.chunks_mut(rows * outputs).enumerate() {
            let first = block * rows;
            let left = if height * width * stride == 1 {
                &input.values[first * inner..][..output.len() / outputs * inner]
            } else {
                unfolded.resize(output.len() / outputs * inner, 0.0);
                for (index, patch) in unfolded.chunks_exact_mut(inner).enumerate() {
                    let (y, x) = ((first + index) / size, (first + index) % size);
                    self.unfold(input, [y * stride, x * stride], [above, left], patch);
                }
                &**unfolded
            };
            product(left, &self.weight, inner, output);
            for pixel in output.chunks_exact_mut(outputs) {
                finish(pixel, &self.bias, |value| value.clamp(0.0, self.ceiling));
            }
        }
    }

    /// The neighbourhood whose first corner lies at (`y` - `above`, `x` - `left`), with zeros for what is outside.
    fn unfold(
        &self,
        input: &Map,
        [y, x]: [usize; 2],
        [above, left]: [usize; 2],
        patch: &mut [f32],
    ) {
        let channels = self.inputs;
        let line = self.kernel.width * channels;
        // Columns of the filter that fall on the image.
        let from = left.saturating_sub(x);
        let to = self.kernel.width.min(input.size + left - x);
        for (row, patch) in patch.chunks_exact_mut(line).enumerate() {
            let inside = (above..input.size + above).contains(&(y + row));
            if !inside {
                patch.fill(0.0);
                continue;
            }
            let start = (y + row - above) * input.size + x + from - left;
            patch[..from * channels].fill(0.0);
            patch[to * channels..].fill(0.0);
            patch[from * channels..to * channels]
                .copy_from_slice(&input.values[start * channels..][..(to - from) * channels]);
        }
    }
}
