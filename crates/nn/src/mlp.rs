//! The two-layer perceptron of a block.

use crate::{
    config::DitConfig,
    error::Result,
    init::Init,
    projection::{Form, Projection},
};
use burn::module::Module;

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
