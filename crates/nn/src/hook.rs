//! Where a caller reaches into a forward pass: what a method needs that is no function of a weight.
//!
//! | what | point |
//! |---|---|
//! | prompts of one's own, added to the tokens (DMP, Ham et al., arXiv 2405.17825) | [`Hook::block_input`] |
//! | keys and values of a frozen twin (StochCA, Seo et al., arXiv 2402.16092), or more of them than queries | [`Hook::keys_values`] |
//! | experts in place of the MLP (MoEBERT, Zuo et al., arXiv 2204.07675) | [`Hook::mlp`] |
//! | hidden states, to be compared with a teacher's | [`Hook::block_output`] |
//!
//! A hook belongs to the caller: it is in no configuration and no file, and no plan counts it. What is to be stored,
//! counted and sampled like the rest of a model is a part of [`crate::DitConfig`], as [`crate::Prompts`] are. Whatever a
//! hook computes with tracked tensors gets gradients as the model does. It is called in the order of the blocks.

use burn::tensor::Tensor;

/// What is done at points of every block; each does nothing unless it is written. `()` is a hook that does nothing.
///
/// Shapes: `b` samples, `t` tokens, `d` features; blocks count from 0.
pub trait Hook {
    /// Whether [`Self::keys_values`] or [`Self::mlp`] is to be called in that block. One that is not reached into stays
    /// one operator; one that is runs as its operators one by one: equal within float tolerance, slower, in 32 bits and
    /// with all it made kept for the backward pass whatever the [`crate::Mode`].
    fn reaches_inside(&self, _block: usize) -> bool {
        false
    }

    /// What goes into a block, of the tokens that come to it; the model's own prompt, if it has one, is added after.
    ///
    /// - x: `[b, t, d]`; condition: `[b, d]`, what the adaptive norms are given
    /// - output: `[b, t, d]`
    fn block_input(&self, _block: usize, x_btd: Tensor<3>, _condition_bd: &Tensor<2>) -> Tensor<3> {
        x_btd
    }

    /// What the queries of a block are answered with, of the keys and values it made. Called only where
    /// [`Self::reaches_inside`] says so.
    ///
    /// - k, v: `[b, t, d]`, the heads side by side
    /// - output: `[b, s, d]` each, for any number `s` of tokens
    fn keys_values(
        &self,
        _block: usize,
        k_btd: Tensor<3>,
        v_btd: Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        (k_btd, v_btd)
    }

    /// What takes the place of a block's MLP, or nothing if the block is to run its own. Called only where
    /// [`Self::reaches_inside`] says so.
    ///
    /// - normal: `[b, t, d]`, the tokens after the modulated norm
    /// - output: `[b, t, d]`, before the gate of the residual
    fn mlp(&self, _block: usize, _normal_btd: &Tensor<3>) -> Option<Tensor<3>> {
        None
    }

    /// Reads what a block made, `[b, t, d]`.
    fn block_output(&self, _block: usize, _x_btd: &Tensor<3>) {}
}

impl Hook for () {}
