//! 1x1 convolution and what follows it.

use crate::error::EvalError;
use crate::matrix::RowMatrix;

use super::{Map, Weights, finish, product, relu6};

/// A 1x1 convolution: weights `[in, out]` and a bias per output.
#[derive(Debug)]
pub(crate) struct Pointwise {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// What follows a pointwise convolution.
pub(crate) enum Then<'a> {
    Relu6,
    Nothing,
    /// Add the input of the block.
    Add(&'a Map),
}

impl Pointwise {
    /// Takes `name.weight` of the given shape, `[out, in]` or `[out, in, 1, 1]`, and `name.bias` out of `weights`.
    pub(crate) fn read(weights: &mut Weights<'_>, name: &str, shape: &[usize]) -> Self {
        Self {
            weight: weights.take_transposed(&format!("{name}.weight"), shape),
            bias: weights.take(&format!("{name}.bias"), &shape[..1]),
        }
    }

    /// Takes a matrix alone; the bias is 0.
    pub(crate) fn without_bias(weights: &mut Weights<'_>, name: &str, shape: &[usize]) -> Self {
        Self {
            weight: weights.take_transposed(&format!("{name}.weight"), shape),
            bias: vec![0.0; shape[0]],
        }
    }

    /// `[rows, in]` to `[rows, out]`.
    pub(crate) fn matrix(&self, input: &RowMatrix) -> Result<RowMatrix, EvalError> {
        let outputs = self.bias.len();
        let inputs = self.weight.len() / outputs;
        if input.columns() != inputs {
            return Err(EvalError::Width {
                expected: inputs,
                found: input.columns(),
            });
        }
        let mut values = vec![0.0; input.rows() * outputs];
        product(input.values(), &self.weight, inputs, &mut values);
        for row in values.chunks_exact_mut(outputs) {
            finish(row, &self.bias, |value| value);
        }
        RowMatrix::new(outputs, values)
    }

    pub(crate) fn forward(&self, input: &Map, then: &Then<'_>, output: &mut Map) {
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
