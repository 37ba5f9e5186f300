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

impl AdamW {
    /// `m` and `v` follow the gradient, the weights step along `m / sqrt(v)`, the average follows the weights.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn update(self, parameter: Parameter<'_>, grads: &[f32]) {
        let Parameter { weights, ema, m, v } = parameter;
        let len = weights.len();
        assert_eq!(
            [ema.len(), m.len(), v.len(), grads.len()],
            [len; 4],
            "lengths"
        );
        (
            weights.par_chunks_mut(TASK),
            ema.par_chunks_mut(TASK),
            m.par_chunks_mut(TASK),
            v.par_chunks_mut(TASK),
            grads.par_chunks(TASK),
        )
            .into_par_iter()
            .for_each(|(weights, ema, m, v, grads)| {
                let parameter = Parameter { weights, ema, m, v };
                simd::run(Update {
                    rule: self,
                    parameter,
                    grads,
                });
            });
    }
}

/// `ema` follows `weights` that have had no update for so many steps, to the same bits as step by step.
///
/// # Panics
/// If the lengths differ.
pub fn average(ema: &mut [f32], weights: &[f32], decay: f32, steps: u32) {
    assert_eq!(ema.len(), weights.len(), "lengths");
    if steps == 0 {
        return;
    }
    (ema.par_chunks_mut(TASK), weights.par_chunks(TASK))
        .into_par_iter()
        .for_each(|(ema, weights)| {
            simd::run(Average {
                ema,
                weights,
                decay,
                steps,
            });
        });
}

/// The sum of squares, in 64 bits, in an order that depends on the length alone.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(TASK)
        .map(|values| simd::run(Squares { values }))
        .collect();
    parts.into_iter().sum()
}

/// Numbers that are worked on side by side.
const LANES: usize = 32;

struct Update<'a> {
    rule: AdamW,
    parameter: Parameter<'a>,
    grads: &'a [f32],
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (rule, p) = (self.rule, self.parameter);
        let state = p.m.iter_mut().zip(p.v.iter_mut());
        let weights = p.weights.iter_mut().zip(p.ema.iter_mut());
        for (((w, e), (m, v)), &g) in weights.zip(state).zip(self.grads) {
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
    decay: f32,
    steps: u32,
}

impl WithSimd for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (ema, ema_rest) = self.ema.as_chunks_mut::<LANES>();
        let (weights, weights_rest) = self.weights.as_chunks::<LANES>();
        for (ema, weights) in ema.iter_mut().zip(weights) {
            let mut lanes = *ema;
            for _ in 0..self.steps {
                for (e, w) in lanes.iter_mut().zip(weights) {
                    *e += (1.0 - self.decay) * (w - *e);
                }
            }
            *ema = lanes;
        }
        for (e, w) in ema_rest.iter_mut().zip(weights_rest) {
            for _ in 0..self.steps {
                *e += (1.0 - self.decay) * (w - *e);
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
        let mut lanes = [0.0f64; LANES];
        for block in blocks {
            for (lane, &x) in lanes.iter_mut().zip(block) {
                *lane += f64::from(x) * f64::from(x);
            }
        }
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
            rule.update(parameter, &grads.map(|g: f32| 2.0 * g));
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
        average(&mut at_once, &weights, 0.9, 13);
        (0..13).for_each(|_| average(&mut each, &weights, 0.9, 1));
        assert_eq!(at_once, each);
        assert!(
            (at_once[0] - (weights[0] + 0.9f32.powi(13) * (start[0] - weights[0]))).abs() < 1e-6
        );
        average(&mut each, &weights, 0.9, 0);
        assert_eq!(at_once, each);
    }

    #[test]
    fn sums_take_every_length_and_stay_exact() {
        for n in [0, 1, 31, 33, TASK + 5] {
            assert_eq!(sum_of_squares(&vec![3.0; n]), 9.0 * n as f64);
        }
        assert!(sum_of_squares(&[1.0, f32::NAN]).is_nan());
        assert!(sum_of_squares(&[f32::MAX]).is_finite());
    }
}
