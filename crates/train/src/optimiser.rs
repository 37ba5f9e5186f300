//! AdamW (Loshchilov & Hutter, arXiv 1711.05101) with lazy tailor rows, clipping and the moving average of the weights.
//!
//! State lives in host memory and every parameter is updated in one fused pass. A tailor whose group no sample of the
//! batch used, and the row of a label that no sample had, get no update at all: their moments do not decay, their
//! weights do not decay, and their bias corrections count their own updates only.

use crate::config::TrainConfig;
use burn::tensor::{Gradients, Tensor, TensorData};
use learngene_nn::{
    Dit,
    params::{self, Part},
};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Elements updated by one task; fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 14;

/// Gradients by parameter name.
pub(crate) type GradMap = BTreeMap<String, Vec<f32>>;

/// State of one trained parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub shape: Vec<usize>,
    pub m: Vec<f32>,
    pub v: Vec<f32>,
    pub ema: Vec<f32>,
    /// Updates so far: one count per group for tailors, one per row for labels, one for everything else.
    pub updates: Vec<u64>,
}

/// State of the optimiser: one slot per trained parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdamW {
    pub slots: BTreeMap<String, Slot>,
}

impl AdamW {
    /// Fresh state for every parameter with a factor above zero; the average starts at the weights.
    pub fn new(model: &Dit, config: &TrainConfig) -> Self {
        let groups = model.config().groups;
        let slots = params::values(model)
            .into_iter()
            .filter(|(name, _)| config.trainable.factor(name) > 0.0)
            .map(|(name, value)| {
                let zeros = vec![0.0; value.values.len()];
                let counts = match Part::of(&name) {
                    Part::Tailors => groups,
                    Part::Labels => value.shape[0],
                    _ => 1,
                };
                let slot = Slot {
                    shape: value.shape,
                    m: zeros.clone(),
                    v: zeros,
                    ema: value.values,
                    updates: vec![0; counts],
                };
                (name, slot)
            })
            .collect();
        Self { slots }
    }

    /// One update. `lr` is the step's rate, `scale` multiplies every gradient, `used` are the rows of the label table
    /// that the batch looked up; those of classes are its groups as well.
    pub fn update(
        &mut self,
        model: Dit,
        grads: &GradMap,
        config: &TrainConfig,
        lr: f64,
        scale: f32,
        used: &BTreeSet<usize>,
    ) -> Dit {
        struct Update<'a> {
            slots: &'a mut BTreeMap<String, Slot>,
            grads: &'a GradMap,
            config: &'a TrainConfig,
            lr: f64,
            scale: f32,
            used: &'a BTreeSet<usize>,
        }
        impl params::Edit for Update<'_> {
            fn edit<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Option<Tensor<D>> {
                let slot = self.slots.get_mut(name)?;
                let device = value.device();
                let shape = value.dims();
                let mut weights = params::to_vec(value);
                if let Some(grad) = self.grads.get(name) {
                    let lr = self.lr * self.config.trainable.factor(name);
                    let per_count = weights.len() / slot.updates.len();
                    let rests = matches!(Part::of(name), Part::Tailors | Part::Labels);
                    let moves = |block: &usize| !rests || self.used.contains(block);
                    for block in (0..slot.updates.len()).filter(moves) {
                        slot.updates[block] += 1;
                        let rows = block * per_count..(block + 1) * per_count;
                        let step = Rule::new(self.config, lr, self.scale, slot.updates[block]);
                        step.apply(
                            &mut weights[rows.clone()],
                            &grad[rows.clone()],
                            &mut slot.m[rows.clone()],
                            &mut slot.v[rows],
                        );
                    }
                }
                average(&mut slot.ema, &weights, self.config.ema as f32);
                Some(Tensor::from_data(TensorData::new(weights, shape), &device))
            }
        }
        let slots = &mut self.slots;
        params::edit(
            model,
            &mut Update {
                slots,
                grads,
                config,
                lr,
                scale,
                used,
            },
        )
    }

    /// The averaged weights of every trained parameter.
    pub fn ema(&self) -> BTreeMap<String, params::Values> {
        let values = |s: &Slot| params::Values {
            shape: s.shape.clone(),
            values: s.ema.clone(),
        };
        self.slots
            .iter()
            .map(|(n, s)| (n.clone(), values(s)))
            .collect()
    }
}

/// The constants of one update.
struct Rule {
    beta1: f32,
    beta2: f32,
    step: f32,
    root: f32,
    eps: f32,
    decay: f32,
    scale: f32,
}

impl Rule {
    fn new(config: &TrainConfig, lr: f64, scale: f32, updates: u64) -> Self {
        let [b1, b2] = config.betas;
        let t = updates as i32;
        Self {
            beta1: b1 as f32,
            beta2: b2 as f32,
            step: (lr / (1.0 - b1.powi(t))) as f32,
            root: (1.0 / (1.0 - b2.powi(t))) as f32,
            eps: config.eps as f32,
            decay: (1.0 - lr * config.weight_decay) as f32,
            scale,
        }
    }

    fn apply(&self, weights: &mut [f32], grads: &[f32], m: &mut [f32], v: &mut [f32]) {
        (
            weights.par_chunks_mut(CHUNK),
            grads.par_chunks(CHUNK),
            m.par_chunks_mut(CHUNK),
            v.par_chunks_mut(CHUNK),
        )
            .into_par_iter()
            .for_each(|(w, g, m, v)| {
                for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                    let g = g * self.scale;
                    *m = self.beta1 * *m + (1.0 - self.beta1) * g;
                    *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
                    *w = *w * self.decay - self.step * *m / ((*v * self.root).sqrt() + self.eps);
                }
            });
    }
}

fn average(ema: &mut [f32], weights: &[f32], decay: f32) {
    (ema.par_chunks_mut(CHUNK), weights.par_chunks(CHUNK))
        .into_par_iter()
        .for_each(|(e, w)| {
            for (e, w) in e.iter_mut().zip(w) {
                *e += (1.0 - decay) * (w - *e);
            }
        });
}

/// Takes the gradient of every trained parameter out of `grads`, adding `weight` times it to `total`.
pub(crate) fn collect(model: &Dit, grads: &mut Gradients, weight: f32, total: &mut GradMap) {
    struct Collect<'a> {
        grads: &'a mut Gradients,
        weight: f32,
        total: &'a mut GradMap,
    }
    impl params::Visit for Collect<'_> {
        fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
            let Some(grad) = value.grad_remove(self.grads) else {
                return;
            };
            let grad = params::to_vec(grad);
            match self.total.get_mut(name) {
                Some(sum) => sum
                    .iter_mut()
                    .zip(grad)
                    .for_each(|(s, g)| *s += self.weight * g),
                None if self.weight == 1.0 => drop(self.total.insert(name.into(), grad)),
                None => {
                    let scaled = grad.into_iter().map(|g| self.weight * g).collect();
                    self.total.insert(name.into(), scaled);
                }
            }
        }
    }
    params::visit(
        model,
        &mut Collect {
            grads,
            weight,
            total,
        },
    );
}

/// The norm of the whole gradient, or the name of the first tensor that is not finite.
pub(crate) fn norm(grads: &GradMap) -> std::result::Result<f64, String> {
    let mut total = 0.0;
    for (name, grad) in grads {
        let parts: Vec<f64> = grad
            .par_chunks(CHUNK)
            .map(|c| c.iter().map(|&g| f64::from(g) * f64::from(g)).sum())
            .collect();
        let square: f64 = parts.iter().sum();
        if !square.is_finite() {
            return Err(format!("the gradient of `{name}`"));
        }
        total += square;
    }
    Ok(total.sqrt())
}
