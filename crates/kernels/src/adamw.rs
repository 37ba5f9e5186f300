//! The update of a parameter in host memory: AdamW and the moving average in one pass.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::TASK;
use crate::simd;

/// The constants of one update (Loshchilov and Hutter, arXiv 1711.05101), bias corrections included.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Learning rate over `1 - beta1^t`.
    pub step: f32,
    /// `1 / (1 - beta2^t)`.
    pub root: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// `1 - rate * weight decay`.
    pub decay: f32,
    /// What every gradient is multiplied with, as clipping demands.
    pub scale: f32,
    /// Share of the moving average that stays.
    pub ema: f32,
}

/// A parameter and what belongs to it, of equal length.
pub struct Parameter<'a> {
    /// The weights.
    pub weights: &'a mut [f32],
    /// Their moving average.
    pub ema: &'a mut [f32],
    /// First moment of the gradient.
    pub m: &'a mut [f32],
    /// Second moment of the gradient.
    pub v: &'a mut [f32],
}

/// What is done to a parameter, or to some rows of one.
pub struct Step<'a> {
    /// The constants.
    pub rule: AdamW,
    /// What changes.
    pub parameter: Parameter<'a>,
    /// The gradient.
    pub grads: &'a [f32],
    /// What stays of the average in each step without an update that it has yet to follow: [`average`] comes first.
    pub rested: &'a [f32],
}

impl<'a> Step<'a> {
    /// The same as steps of at most [`TASK`] numbers.
    fn pieces(self) -> impl Iterator<Item = Step<'a>> {
        let Parameter { weights, ema, m, v } = self.parameter;
        let len = weights.len();
        assert_eq!(
            [ema.len(), m.len(), v.len(), self.grads.len()],
            [len; 4],
            "lengths"
        );
        let (rule, rested) = (self.rule, self.rested);
        let state = m.chunks_mut(TASK).zip(v.chunks_mut(TASK));
        let weights = weights.chunks_mut(TASK).zip(ema.chunks_mut(TASK));
        let parts = weights.zip(state).zip(self.grads.chunks(TASK));
        parts.map(move |(((weights, ema), (m, v)), grads)| Step {
            rule,
            parameter: Parameter { weights, ema, m, v },
            grads,
            rested,
        })
    }

    fn run(mut self) {
        let Parameter { weights, ema, .. } = &mut self.parameter;
        average_here(ema, weights, self.rested);
        simd::run(Update(self));
    }
}

/// All steps in one parallel pass: `m` and `v` follow the gradient, the weights step along `m / sqrt(v)`, the average
/// follows the weights.
///
/// # Panics
/// If the lengths of a step's slices differ.
pub fn update(steps: Vec<Step<'_>>) {
    let pieces: Vec<_> = steps.into_iter().flat_map(Step::pieces).collect();
    pieces.into_par_iter().for_each(Step::run);
}

/// `ema` follows `weights` that have had no update for some steps, to the same bits as step by step.
///
/// - decays: what stays of the average in each of these steps, the oldest first
///
/// # Panics
/// If the lengths of `ema` and `weights` differ.
pub fn average(ema: &mut [f32], weights: &[f32], decays: &[f32]) {
    assert_eq!(ema.len(), weights.len(), "lengths");
    if decays.is_empty() {
        return;
    }
    (ema.par_chunks_mut(TASK), weights.par_chunks(TASK))
        .into_par_iter()
        .for_each(|(ema, weights)| average_here(ema, weights, decays));
}

/// The same on this thread.
fn average_here(ema: &mut [f32], weights: &[f32], decays: &[f32]) {
    if !decays.is_empty() {
        simd::run(Average {
            ema,
            weights,
            decays,
        });
    }
}

/// The sum of squares of each tensor, in 64 bits, in an order that depends on its length alone; all in one parallel pass.
pub fn sums_of_squares<'a>(tensors: impl IntoIterator<Item = &'a [f32]>) -> Vec<f64> {
    let tensors = tensors.into_iter().enumerate();
    let pieces: Vec<(usize, &[f32])> = tensors
        .flat_map(|(of, values)| {
            let whole = if values.is_empty() {
                Some(values)
            } else {
                None
            };
            values.chunks(TASK).chain(whole).map(move |part| (of, part))
        })
        .collect();
    let count = pieces.last().map_or(0, |(of, _)| of + 1);
    let parts: Vec<(usize, f64)> = pieces
        .into_par_iter()
        .map(|(of, values)| (of, simd::run(Squares { values })))
        .collect();
    let mut sums = vec![0.0; count];
    parts.into_iter().for_each(|(of, part)| sums[of] += part);
    sums
}

/// Numbers that are worked on side by side.
const LANES: usize = 32;

struct Update<'a>(Step<'a>);

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Step {
            rule,
            parameter: p,
            grads,
            ..
        } = self.0;
        let state = p.m.iter_mut().zip(p.v.iter_mut());
        let weights = p.weights.iter_mut().zip(p.ema.iter_mut());
        for (((w, e), (m, v)), &g) in weights.zip(state).zip(grads) {
            let g = g * rule.scale;
            *m = rule.beta1 * *m + (1.0 - rule.beta1) * g;
            *v = rule.beta2 * *v + (1.0 - rule.beta2) * g * g;
            *w = *w * rule.decay - rule.step * *m / ((*v * rule.root).sqrt() + rule.eps);
            *e += (1.0 - rule.ema) * (*w - *e);
        }
    }
}

struct Average<'a> {
    ema: &'a mut [f32],
    weights: &'a [f32],
    decays: &'a [f32],
}

impl WithSimd for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (ema, ema_rest) = self.ema.as_chunks_mut::<LANES>();
        let (weights, weights_rest) = self.weights.as_chunks::<LANES>();
        for (ema, weights) in ema.iter_mut().zip(weights) {
            let mut lanes = *ema;
            for decay in self.decays {
                for (e, w) in lanes.iter_mut().zip(weights) {
                    *e += (1.0 - decay) * (w - *e);
                }
            }
            *ema = lanes;
        }
        for (e, w) in ema_rest.iter_mut().zip(weights_rest) {
            for decay in self.decays {
                *e += (1.0 - decay) * (w - *e);
            }
        }
    }
}

struct Squares<'a> {
    values: &'a [f32],
}

impl WithSimd for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let (blocks, rest) = self.values.as_chunks::<LANES>();
        let mut sums = [0.0f64; LANES];
        for block in blocks {
            for (sum, &x) in sums.iter_mut().zip(block) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        // A copy, as in `simd::sum`: what a length known at run time indexes would lie in memory all along.
        let mut lanes = sums;
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(x) * f64::from(x);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference: torch 2.15.0, `torch.optim.AdamW([w], lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01)` on
    /// w = [1, -2, 0.5], three steps with gradients [0.3, -0.1, 0], [0.2, 0.4, -1], [-0.5, 0, 2].
    const TORCH: [f32; 3] = [0.8081468, -1.9932512, 0.5413578];

    #[test]
    fn three_updates_are_those_of_pytorch() {
        let mut weights = [1.0, -2.0, 0.5];
        let (mut m, mut v, mut ema) = ([0.0; 3], [0.0; 3], weights);
        let mut expected = weights.map(f64::from);
        let steps = [[0.3, -0.1, 0.0], [0.2, 0.4, -1.0], [-0.5, 0.0, 2.0]];
        for (t, grads) in (1..).zip(steps) {
            let rule = AdamW {
                beta1: 0.9,
                beta2: 0.99,
                step: (0.1 / (1.0 - 0.9f64.powi(t))) as f32,
                root: (1.0 / (1.0 - 0.99f64.powi(t))) as f32,
                eps: 1e-8,
                decay: 1.0 - 0.1 * 0.01,
                scale: 0.5,
                ema: 0.75,
            };
            let parameter = Parameter {
                weights: &mut weights,
                ema: &mut ema,
                m: &mut m,
                v: &mut v,
            };
            update(vec![Step {
                rule,
                parameter,
                grads: &grads.map(|g: f32| 2.0 * g),
                rested: &[],
            }]);
            for (expected, &w) in expected.iter_mut().zip(&weights) {
                *expected = 0.75 * *expected + 0.25 * f64::from(w);
            }
        }
        for i in 0..3 {
            assert!((weights[i] - TORCH[i]).abs() < 1e-6, "{weights:?}");
            assert!((f64::from(ema[i]) - expected[i]).abs() < 1e-6, "{ema:?}");
        }
    }

    #[test]
    fn an_average_follows_late_to_the_same_bits() {
        let weights: Vec<f32> = (0..77).map(|i| (i as f32 * 0.7).sin()).collect();
        let start: Vec<f32> = (0..77).map(|i| (i as f32 * 0.3).cos()).collect();
        let (mut at_once, mut each) = (start.clone(), start.clone());
        // Decays that rise, as those of a warm-up do.
        let decays: Vec<f32> = (0..13).map(|n| (1 + n) as f32 / (10 + n) as f32).collect();
        average(&mut at_once, &weights, &decays);
        for decay in &decays {
            average(&mut each, &weights, std::slice::from_ref(decay));
        }
        assert_eq!(at_once, each);
        let left: f32 = decays.iter().product();
        assert!((at_once[0] - (weights[0] + left * (start[0] - weights[0]))).abs() < 1e-6);
        average(&mut each, &weights, &[]);
        assert_eq!(at_once, each);
    }

    #[test]
    fn steps_are_cut_and_dealt_out_without_a_difference() {
        let rule = AdamW {
            beta1: 0.9,
            beta2: 0.99,
            step: 0.01,
            root: 1.5,
            eps: 1e-8,
            decay: 0.999,
            scale: 0.7,
            ema: 0.95,
        };
        // weights, ema, m, v, grads
        let start = |n: usize, seed: f32| -> [Vec<f32>; 5] {
            [0.1, 0.3, 0.7, 1.1, 1.3]
                .map(|f| (0..n).map(|i| (i as f32 * f + seed).sin().abs()).collect())
        };
        let lens = [2 * TASK + 7, 1, 40];
        let mut many: Vec<_> = lens.iter().map(|&n| start(n, n as f32)).collect();
        let mut single = many.clone();
        fn step<'a>(rule: AdamW, of: &'a mut [Vec<f32>; 5], rested: &'a [f32]) -> Step<'a> {
            let [weights, ema, m, v, grads] = of;
            Step {
                rule,
                parameter: Parameter { weights, ema, m, v },
                grads,
                rested,
            }
        }
        let rested: [&[f32]; 3] = [&[], &[0.5, 0.95], &[0.25, 0.5, 0.95]];
        update(
            many.iter_mut()
                .zip(rested)
                .map(|(of, rested)| step(rule, of, rested))
                .collect(),
        );
        for (of, rested) in single.iter_mut().zip(rested) {
            let [weights, ema, ..] = of;
            average(ema, weights, rested);
            simd::run(Update(step(rule, of, &[])));
        }
        assert_eq!(many, single);
    }

    #[test]
    fn sums_take_every_length_and_stay_exact() {
        let lens = [0, 1, 31, 33, TASK + 5];
        let tensors = lens.map(|n| vec![3.0; n]);
        let expected = lens.map(|n| 9.0 * n as f64);
        assert_eq!(sums_of_squares(tensors.iter().map(Vec::as_slice)), expected);
        assert_eq!(sums_of_squares([]), [0.0; 0]);
        let [nan, large] = [&[1.0, f32::NAN][..], &[f32::MAX]].map(|t| sums_of_squares([t])[0]);
        assert!(nan.is_nan() && large.is_finite());
    }
}
