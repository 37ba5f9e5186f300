//! A narrow perceptron behind a block.

use crate::{adaln::Linear, init::Init};
use burn::module::Module;
use burn::tensor::Tensor;

/// `x + up(gelu(down(x)))` with `up` at zero to start with, so that it changes nothing until trained.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// `d -> k`.
    pub down: Linear,
    /// `k -> d`.
    pub up: Linear,
}

impl Bottleneck {
    pub(crate) fn init(hidden: usize, width: usize, init: &mut Init) -> Self {
        Self {
            down: Linear::xavier(hidden, width, init),
            up: Linear::zeros(width, hidden, init),
        }
    }

    /// - x: `[b, t, d]`
    /// - output: `[b, t, d]`
    pub fn forward(&self, x_btd: Tensor<3>) -> Tensor<3> {
        let [b, t, d] = x_btd.dims();
        let rows = x_btd.clone().reshape([b * t, d]);
        let narrow = learngene_kernels::gelu_tanh(self.down.forward(rows));
        x_btd + self.up.forward(narrow).reshape([b, t, d])
    }
}
