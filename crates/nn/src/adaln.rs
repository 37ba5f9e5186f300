//! Shift, scale and gate from the condition vector (adaLN-Zero, Peebles & Xie, arXiv 2212.09748).

use crate::{config::AdaLn, init::Init};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Epsilon of every layer norm, as in DiT; a [`crate::DitConfig`] may have another before the MLP.
pub const NORM_EPS: f64 = 1e-6;

/// An ordinary affine layer, for what is never factorised.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[m, n]`.
    pub weight: Param<Tensor<2>>,
    /// `[m]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    pub(crate) fn zeros(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self {
            weight: init.zeros([outputs, inputs]),
            bias: init.zeros([outputs]),
        }
    }

    pub(crate) fn normal(inputs: usize, outputs: usize, std: f32, init: &mut Init) -> Self {
        Self {
            weight: init.normal([outputs, inputs], std),
            bias: init.zeros([outputs]),
        }
    }

    pub(crate) fn xavier(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self {
            weight: init.xavier(outputs, inputs),
            bias: init.zeros([outputs]),
        }
    }

    /// - x: `[rows, n]`
    /// - output: `[rows, m]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        learngene_kernels::dense_projection(x, self.weight.val(), self.bias.val())
    }
}

/// Where one block's six vectors come from.
#[derive(Module, Debug)]
pub struct Modulation {
    /// This block's own matrix, `d -> 6 d` (per-block adaLN).
    pub linear: Option<Linear>,
    /// `[6 d]`, added to the shared matrix's output (shared adaLN).
    pub table: Option<Param<Tensor<1>>>,
}

impl Modulation {
    pub(crate) fn init(adaln: AdaLn, hidden: usize, init: &mut Init) -> Self {
        match adaln {
            AdaLn::PerBlock => Self {
                linear: Some(Linear::zeros(hidden, 6 * hidden, init)),
                table: None,
            },
            AdaLn::Shared => Self {
                linear: None,
                table: Some(init.zeros([6 * hidden])),
            },
        }
    }

    /// - condition: `[b, d]`, after SiLU; shared: `[b, 6 d]`, the shared matrix's output
    /// - output: `[b, 6 d]`: shift, scale and gate of attention, then of the MLP
    pub fn forward(&self, condition: &Tensor<2>, shared: Option<&Tensor<2>>) -> Tensor<2> {
        match (&self.linear, &self.table, shared) {
            (Some(linear), _, _) => linear.forward(condition.clone()),
            (None, Some(table), Some(shared)) => shared.clone() + table.val().unsqueeze::<2>(),
            _ => unreachable!("a model has per-block matrices or a shared one"),
        }
    }
}

/// Layer norm without affine parameters, then `x (1 + scale) + shift`.
pub(crate) fn modulate(x_btd: Tensor<3>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<3> {
    learngene_kernels::modulated_layer_norm(x_btd, shift, scale, NORM_EPS)
}
