//! Prompts: what is added to the tokens at the input of a block (DMP, Ham et al., arXiv 2405.17825).
//!
//! ```text
//! x_n <- x_n + P_n                               plain
//! x_n <- x_n + w_n P_n                           gated
//! w = softmax over n of  G c + l g + bias        c the condition vector, l the number of the block from 0
//! ```
//!
//! P is a block's own, one row for each token, so a model with prompts takes images of one size. G, g and the bias are
//! shared by all blocks: together they are a linear map of `(c, l)`, of which `G c` is computed once for all of them.
//! Everything starts at zero: nothing is added until trained, and all weights are `1 / t`.

use crate::{adaln::Linear, init::Init};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

/// The prompt of one block.
#[derive(Module, Debug)]
pub struct Prompt {
    /// `[t, d]`.
    pub tokens: Param<Tensor<2>>,
}

impl Prompt {
    pub(crate) fn init(tokens: usize, hidden: usize, init: &mut Init) -> Self {
        Self {
            tokens: init.zeros([tokens, hidden]),
        }
    }

    /// - x: `[b, t, d]`; weights: `[b, t]`, or none where all are one
    /// - output: `[b, t, d]`
    pub fn forward(&self, x_btd: Tensor<3>, weights_bt: Option<Tensor<2>>) -> Tensor<3> {
        let prompt_1td = self.tokens.val().unsqueeze::<3>();
        x_btd
            + match weights_bt {
                Some(weights) => prompt_1td * weights.unsqueeze_dim::<3>(2),
                None => prompt_1td,
            }
    }
}

/// What weighs the prompts of all blocks.
#[derive(Module, Debug)]
pub struct PromptGate {
    /// G and the bias, `d -> t`.
    pub condition: Linear,
    /// g, `[t]`: what a block adds for each that stands before it.
    pub depth: Param<Tensor<1>>,
}

impl PromptGate {
    pub(crate) fn init(tokens: usize, hidden: usize, init: &mut Init) -> Self {
        Self {
            condition: Linear::zeros(hidden, tokens, init),
            depth: init.zeros([tokens]),
        }
    }

    /// What the weights of all blocks have in common.
    ///
    /// - condition: `[b, d]`
    /// - output: `[b, t]`
    pub fn forward(&self, condition_bd: Tensor<2>) -> Tensor<2> {
        self.condition.forward(condition_bd)
    }

    /// The weights of a block, each row a sum of one.
    ///
    /// - shared: `[b, t]`, what [`Self::forward`] made
    /// - output: `[b, t]`
    pub fn weights(&self, block: usize, shared_bt: &Tensor<2>) -> Tensor<2> {
        let depth = self.depth.val().unsqueeze::<2>() * block as f32;
        activation::softmax(shared_bt.clone() + depth, 1)
    }
}
