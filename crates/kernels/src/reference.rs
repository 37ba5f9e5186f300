//! The operators as compositions of ordinary Burn operators.
//!
//! They define what the fused ones compute: every device other than the CPU runs these, and the tests compare with them.

use burn::tensor::{Tensor, TensorData, activation};

use crate::activation::{GELU_CUBIC, TWO_SQRT_2_OVER_PI};
use crate::block::{BlockSettings, BlockWeights};
use crate::plan::GatePlan;
use crate::projection::{Base, Factors, Projection};
use crate::sampler_step::SamplerStep;

/// See [`crate::gelu_tanh`]; `0.5 (1 + tanh z)` written as `sigmoid(2z)`.
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let two_z = (x.clone().square() * GELU_CUBIC + 1.0) * x.clone() * TWO_SQRT_2_OVER_PI;
    x * activation::sigmoid(two_z)
}

/// See [`crate::silu`].
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x)
}

/// See [`crate::modulated_layer_norm`].
pub fn modulated_layer_norm(
    x_btd: Tensor<3>,
    shift_bd: Tensor<2>,
    scale_bd: Tensor<2>,
    eps: f64,
) -> Tensor<3> {
    let centred = x_btd.clone() - x_btd.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let normal = centred / (variance + eps).sqrt();
    normal * (scale_bd.unsqueeze_dim::<3>(1) + 1.0) + shift_bd.unsqueeze_dim::<3>(1)
}

/// See [`crate::gated_residual`].
pub fn gated_residual(x_btd: Tensor<3>, y_btd: Tensor<3>, gate_bd: Tensor<2>) -> Tensor<3> {
    x_btd + y_btd * gate_bd.unsqueeze_dim::<3>(1)
}

/// See [`crate::mean_squared_error`].
pub fn mean_squared_error<const D: usize>(
    y: Tensor<D>,
    x: Tensor<D>,
    z: Tensor<D>,
    weights: &[[f64; 2]],
) -> Tensor<1> {
    let b = weights.len();
    let mut sides = [1; D];
    sides[0] = b;
    let column = |which: usize| -> Tensor<D> {
        let values: Vec<f64> = weights.iter().map(|pair| pair[which]).collect();
        let constant = (&y.device().without_autodiff(), y.dtype());
        Tensor::from_data(TensorData::new(values, sides), constant)
    };
    let expected = x * column(0) + z * column(1);
    let values = y.shape().num_elements() / b.max(1);
    let squares = (y - expected).square().reshape([b, values]);
    squares.mean_dim(1).reshape([b])
}

/// See [`crate::sampler_step_and_clean`].
pub fn sampler_step_and_clean<const D: usize>(
    x: Tensor<D>,
    prediction: Tensor<D>,
    other: Option<(Tensor<D>, f64)>,
    step: SamplerStep,
) -> (Tensor<D>, Tensor<D>) {
    let said = match step.guidance {
        None => prediction,
        Some(scale) => {
            let b = x.dims()[0];
            let null = prediction.clone().narrow(0, b, b);
            prediction.narrow(0, 0, b) * scale + null * (1.0 - scale)
        }
    };
    let clean = x.clone() * step.clean[0] + said * step.clean[1];
    let clean = match step.limit {
        None => clean,
        Some(limit) => clean.clamp(-limit, limit),
    };
    let next = x * step.next[0] + clean.clone() * step.next[1];
    let next = match other {
        None => next,
        Some((other, weight)) => next + other * weight,
    };
    (next, clean)
}

/// See [`crate::attention`].
pub fn attention(q_btd: Tensor<3>, k_btd: Tensor<3>, v_btd: Tensor<3>, heads: usize) -> Tensor<3> {
    let [b, t, d] = q_btd.dims();
    let split = |x: Tensor<3>| {
        let [_, tokens, _] = x.dims();
        x.reshape([b, tokens, heads, d / heads]).swap_dims(1, 2)
    };
    let scale = 1.0 / ((d / heads) as f64).sqrt();
    let weights = activation::softmax(split(q_btd * scale).matmul(split(k_btd).swap_dims(2, 3)), 3);
    weights
        .matmul(split(v_btd))
        .swap_dims(1, 2)
        .reshape([b, t, d])
}

/// See [`crate::dense_projection`].
pub fn dense_projection(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x.matmul(weight.transpose()) + bias.unsqueeze::<2>()
}

/// See [`crate::projection()`].
pub fn projection(x: Tensor<2>, weights: Projection, plan: &GatePlan) -> Tensor<2> {
    let base = match weights.base {
        Base::Dense(weight) => dense_projection(x.clone(), weight, weights.bias),
        Base::Factorised(learngene) => {
            let scaled = learngene.u * learngene.s.unsqueeze_dim::<2>(1);
            let inner = x.clone().matmul(learngene.v.transpose());
            inner.matmul(scaled) + weights.bias.unsqueeze::<2>()
        }
    };
    match weights.tailors {
        Some(tailors) => add_tailors(base, x, tailors, plan),
        None => base,
    }
}

/// See [`crate::transformer_block`].
pub fn transformer_block(
    x_btd: Tensor<3>,
    modulation: Tensor<2>,
    weights: BlockWeights,
    plan: &GatePlan,
    BlockSettings { heads, eps, .. }: BlockSettings,
) -> Tensor<3> {
    let [b, t, d] = x_btd.dims();
    let six = |i: usize| modulation.clone().slice([0..b, i * d..(i + 1) * d]);
    let project = |p: Projection, x: Tensor<2>| projection(x, p, plan);
    let normal = modulated_layer_norm(x_btd.clone(), six(0), six(1), eps[0]).reshape([b * t, d]);
    let [q, k, v] =
        [weights.q, weights.k, weights.v].map(|p| project(p, normal.clone()).reshape([b, t, d]));
    let mixed = attention(q, k, v, heads).reshape([b * t, d]);
    let attended = project(weights.o, mixed).reshape([b, t, d]);
    let middle = gated_residual(x_btd, attended, six(2));
    let normal = modulated_layer_norm(middle.clone(), six(3), six(4), eps[1]).reshape([b * t, d]);
    let hidden = gelu_tanh(project(weights.input, normal));
    let refined = project(weights.output, hidden).reshape([b, t, d]);
    gated_residual(middle, refined, six(5))
}

/// What the tailors of a gate add to `base`, the output of any layer for the same `x`.
///
/// - base: `[b * t, m]`
/// - x: `[b * t, n]`
/// - output: `[b * t, m]`
pub fn add_tailors(base: Tensor<2>, x: Tensor<2>, tailors: Factors, plan: &GatePlan) -> Tensor<2> {
    let Some(folded) = plan.folded(&x.device()) else {
        return base;
    };
    let ([rows, n], m) = (x.dims(), base.dims()[1]);
    let gated = rows / plan.batch * folded.gated;
    let (factors, groups) = (tailors, plan.groups);
    let rank = factors.rank() / groups;
    let scaled = factors.u * factors.s.unsqueeze_dim::<2>(1);
    let mut su = scaled.reshape([groups, rank * m]);
    let mut v = factors.v.reshape([groups, rank * n]);
    if let Some(indices) = &folded.groups {
        su = su.select(0, indices.clone());
        v = v.select(0, indices.clone());
    }
    if let Some(weights) = &folded.weights {
        let weights = weights.clone().cast(su.dtype());
        su = su * weights.reshape([folded.runs * folded.slots, 1]);
    }
    let block = folded.slots * rank;
    let head = x
        .slice([0..gated, 0..n])
        .reshape([folded.runs, gated / folded.runs, n]);
    let v = v.reshape([folded.runs, block, n]).swap_dims(1, 2);
    let su = su.reshape([folded.runs, block, m]);
    let added = head.matmul(v).matmul(su).reshape([gated, m]);
    if gated == rows {
        return base + added;
    }
    let tail = base.clone().slice([gated..rows, 0..m]);
    Tensor::cat(vec![base.slice([0..gated, 0..m]) + added, tail], 0)
}
