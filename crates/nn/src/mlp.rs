//! The two-layer perceptron of a block.

use crate::{
    config::DitConfig,
    error::Result,
    init::Init,
    projection::{Form, Projection},
};
use burn::module::Module;
use burn::tensor::Tensor;
use learngene_kernels::GatePlan;

/// `d -> mlp_ratio d -> d` with a GELU (tanh form) between.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Into the hidden units.
    pub input: Projection,
    /// Back to the width of a token.
    pub output: Projection,
}

impl Mlp {
    pub(crate) fn init(config: &DitConfig, init: &mut Init) -> Result<Self> {
        let (d, hidden) = (config.hidden, config.mlp_hidden());
        Ok(Self {
            input: Projection::init(&config.projection(d, hidden), init)?,
            output: Projection::init(&config.projection(hidden, d), init)?,
        })
    }

    /// The perceptron by operators of its own; a block that nobody reaches into has it in one with all else.
    ///
    /// - x: `[b, t, d]`
    /// - output: `[b, t, d]`
    pub fn forward(&self, x_btd: Tensor<3>, plan: &GatePlan) -> Tensor<3> {
        let hidden = learngene_kernels::gelu_tanh(self.input.forward(x_btd, plan));
        self.output.forward(hidden, plan)
    }

    pub(crate) fn specialise(
        &self,
        list: &[(usize, f32)],
        groups: usize,
        form: Option<Form>,
    ) -> Self {
        Self {
            input: self.input.specialise(list, groups, form),
            output: self.output.specialise(list, groups, form),
        }
    }
}
