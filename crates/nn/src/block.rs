//! One transformer block.

use crate::{
    adaln::{Modulation, NORM_EPS},
    attention::Attention,
    bottleneck::Bottleneck,
    config::DitConfig,
    error::Result,
    hook::Hook,
    init::Init,
    mlp::Mlp,
    projection::Form,
    prompt::{Prompt, PromptGate},
};
use burn::module::Module;
use burn::tensor::Tensor;
use learngene_kernels::{
    BlockSettings, BlockWeights, GatePlan, Mode, gated_residual, modulated_layer_norm,
    transformer_block,
};

/// Attention and MLP, each behind a modulated norm and a gated residual.
#[derive(Module, Debug)]
pub struct Block {
    /// Before both.
    pub prompt: Option<Prompt>,
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

/// What all blocks of a forward pass are given.
pub struct Pass<'a> {
    /// `[b, d]`, after SiLU.
    pub condition: &'a Tensor<2>,
    /// `[b, 6 d]`, the shared matrix's output.
    pub shared: Option<&'a Tensor<2>>,
    /// What weighs prompts, and what it made of the condition, `[b, t]`.
    pub prompts: Option<(&'a PromptGate, &'a Tensor<2>)>,
    /// Which tailors run for which sample.
    pub plan: &'a GatePlan,
    /// How the operator of a whole block computes.
    pub mode: Mode,
    /// What the caller does at points of a block.
    pub hook: &'a dyn Hook,
}

impl Block {
    pub(crate) fn init(config: &DitConfig, init: &mut Init) -> Result<Self> {
        Ok(Self {
            prompt: None,
            modulation: Modulation::init(config.adaln, config.hidden, init),
            attention: Attention::init(config, init)?,
            mlp: Mlp::init(config, init)?,
            bottleneck: None,
            mlp_norm_eps: config.mlp_norm_eps.unwrap_or(NORM_EPS),
        })
    }

    /// - x: `[b, t, d]`
    /// - output: `[b, t, d]`
    pub fn forward(&self, block: usize, x: Tensor<3>, pass: &Pass<'_>) -> Tensor<3> {
        let hook = pass.hook;
        let mut x = hook.block_input(block, x, pass.condition);
        if let Some(prompt) = &self.prompt {
            let weights = pass
                .prompts
                .map(|(gate, shared)| gate.weights(block, shared));
            x = prompt.forward(x, weights);
        }
        let modulation = self.modulation.forward(pass.condition, pass.shared);
        let y = match hook.reaches_inside(block) {
            true => self.by_operators(block, x, modulation, pass),
            false => self.in_one(x, modulation, pass),
        };
        let y = match &self.bottleneck {
            Some(bottleneck) => bottleneck.forward(y),
            None => y,
        };
        hook.block_output(block, &y);
        y
    }

    /// Attention and MLP as one operator; modulation: `[b, 6 d]`.
    fn in_one(&self, x: Tensor<3>, modulation: Tensor<2>, pass: &Pass<'_>) -> Tensor<3> {
        let (attention, mlp) = (&self.attention, &self.mlp);
        let weights = BlockWeights {
            q: attention.q.weights(),
            k: attention.k.weights(),
            v: attention.v.weights(),
            o: attention.o.weights(),
            input: mlp.input.weights(),
            output: mlp.output.weights(),
        };
        let settings = BlockSettings {
            heads: attention.heads,
            eps: [NORM_EPS, self.mlp_norm_eps],
            mode: pass.mode,
        };
        transformer_block(x, modulation, weights, pass.plan, settings)
    }

    /// The same, one operator after the other, with what the hook has to say between them.
    fn by_operators(
        &self,
        block: usize,
        x: Tensor<3>,
        modulation: Tensor<2>,
        pass: &Pass<'_>,
    ) -> Tensor<3> {
        let (hook, plan) = (pass.hook, pass.plan);
        let [b, _, d] = x.dims();
        let six = |i: usize| modulation.clone().slice([0..b, i * d..(i + 1) * d]);
        let normal = modulated_layer_norm(x.clone(), six(0), six(1), NORM_EPS);
        let keys_values = |k, v| hook.keys_values(block, k, v);
        let attended = self.attention.forward(normal, plan, keys_values);
        let middle = gated_residual(x, attended, six(2));
        let normal = modulated_layer_norm(middle.clone(), six(3), six(4), self.mlp_norm_eps);
        let refined = hook.mlp(block, &normal);
        let refined = refined.unwrap_or_else(|| self.mlp.forward(normal, plan));
        gated_residual(middle, refined, six(5))
    }

    pub(crate) fn specialise(
        &self,
        list: &[(usize, f32)],
        groups: usize,
        form: Option<Form>,
    ) -> Self {
        Self {
            prompt: self.prompt.clone(),
            modulation: self.modulation.clone(),
            attention: self.attention.specialise(list, groups, form),
            mlp: self.mlp.specialise(list, groups, form),
            bottleneck: self.bottleneck.clone(),
            mlp_norm_eps: self.mlp_norm_eps,
        }
    }
}
