//! One transformer block.

use crate::{
    adaln::{Modulation, NORM_EPS},
    attention::Attention,
    bottleneck::Bottleneck,
    config::DitConfig,
    error::Result,
    init::Init,
    mlp::Mlp,
    projection::Form,
};
use burn::module::Module;
use burn::tensor::Tensor;
use learngene_kernels::{BlockSettings, BlockWeights, GatePlan, Mode, transformer_block};

/// Attention and MLP, each behind a modulated norm and a gated residual.
#[derive(Module, Debug)]
pub struct Block {
    /// Source of shifts, scales and gates.
    pub modulation: Modulation,
    /// Self-attention.
    pub attention: Attention,
    /// Perceptron.
    pub mlp: Mlp,
    /// Behind both.
    pub bottleneck: Option<Bottleneck>,
    #[module(skip)]
    mlp_norm_eps: f64,
}

impl Block {
    pub(crate) fn init(config: &DitConfig, init: &mut Init) -> Result<Self> {
        Ok(Self {
            modulation: Modulation::init(config.adaln, config.hidden, init),
            attention: Attention::init(config, init)?,
            mlp: Mlp::init(config, init)?,
            bottleneck: None,
            mlp_norm_eps: config.mlp_norm_eps.unwrap_or(NORM_EPS),
        })
    }

    /// - x: `[b, t, d]`; condition: `[b, d]`; shared: `[b, 6 d]`
    /// - output: `[b, t, d]`
    pub fn forward(
        &self,
        x: Tensor<3>,
        condition: &Tensor<2>,
        shared: Option<&Tensor<2>>,
        plan: &GatePlan,
        mode: Mode,
    ) -> Tensor<3> {
        let (attention, mlp) = (&self.attention, &self.mlp);
        let weights = BlockWeights {
            q: attention.q.weights(),
            k: attention.k.weights(),
            v: attention.v.weights(),
            o: attention.o.weights(),
            input: mlp.input.weights(),
            output: mlp.output.weights(),
        };
        let modulation = self.modulation.forward(condition, shared);
        let settings = BlockSettings {
            heads: attention.heads,
            eps: [NORM_EPS, self.mlp_norm_eps],
            mode,
        };
        let y = transformer_block(x, modulation, weights, plan, settings);
        match &self.bottleneck {
            Some(bottleneck) => bottleneck.forward(y),
            None => y,
        }
    }

    pub(crate) fn specialise(
        &self,
        list: &[(usize, f32)],
        groups: usize,
        form: Option<Form>,
    ) -> Self {
        Self {
            modulation: self.modulation.clone(),
            attention: self.attention.specialise(list, groups, form),
            mlp: self.mlp.specialise(list, groups, form),
            bottleneck: self.bottleneck.clone(),
            mlp_norm_eps: self.mlp_norm_eps,
        }
    }
}
