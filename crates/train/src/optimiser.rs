//! AdamW (Loshchilov & Hutter, arXiv 1711.05101) with lazy tailor rows, clipping and the moving average of the weights.
//!
//! State lives in host memory and every parameter is updated in one fused pass, in its own memory if nothing else
//! refers to it. A tailor whose group no sample of the batch used, the row of a label that no sample had, and learngene
//! components that did not run get no update at all: their moments do not decay, their weights do not decay, and their
//! bias corrections count their own updates only.

use crate::config::TrainConfig;
use crate::rate;
use crate::weights::Sources;
use burn::module::Module;
use burn::tensor::{Gradients, Tensor, TensorData};
use learngene_formats::TensorSource;
use learngene_kernels::{self as kernels, Parameter, Step};
use learngene_nn::{
    Dit,
    params::{self, Part},
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Gradients by parameter name; of tailors, those of some groups, one after another.
pub(crate) type GradMap = BTreeMap<String, Vec<f32>>;

/// What a batch asks of the parameters.
pub(crate) struct Update {
    pub grads: GradMap,
    /// What clipping multiplies every gradient with.
    pub scale: f32,
    pub lr: f64,
    /// Groups that the batch switched on: those whose tailors the gradients are of, in that order.
    pub groups: Vec<usize>,
    /// Learngene components of each matrix that ran, if not all: the first.
    pub components: Option<usize>,
    /// Rows of the label table that the batch looked up.
    pub labels: BTreeSet<usize>,
}

impl Update {
    /// Which of the blocks of a gradient is that of number `i` of a parameter's counted parts; none if it rests.
    fn place(&self, name: &str, i: usize) -> Option<usize> {
        match Part::of(name) {
            Part::Tailors => self.groups.iter().position(|&g| g == i),
            Part::Labels => self.labels.contains(&i).then_some(i),
            Part::Learngene => Some(i).filter(|&i| self.components.is_none_or(|count| i < count)),
            _ => Some(i),
        }
    }
}

/// State of one trained parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub shape: Vec<usize>,
    pub m: Vec<f32>,
    pub v: Vec<f32>,
    pub ema: Vec<f32>,
    /// Updates so far: one count per group for tailors, one per row for labels, one per component for learngenes that are
    /// thinned, one for everything else.
    pub updates: Vec<u64>,
    /// Steps since the last update, which the average has not followed yet; counted as `updates` are.
    resting: Vec<u32>,
}

impl Slot {
    /// The average with what it has not followed yet, for which the weights are asked where there is such.
    fn averaged(&self, weights: impl Fn() -> Vec<f32>, average: &Decays) -> Cow<'_, [f32]> {
        if self.resting.iter().all(|&steps| steps == 0) {
            return Cow::Borrowed(&self.ema);
        }
        let (mut values, weights) = (self.ema.clone(), weights());
        let block = weights.len() / self.resting.len();
        let rows = values.chunks_mut(block).zip(weights.chunks(block));
        for ((ema, weights), &steps) in rows.zip(&self.resting) {
            kernels::average(ema, weights, average.of_last(steps));
        }
        Cow::Owned(values)
    }

    /// What an update does to its blocks; those that rest are counted.
    fn steps<'a>(
        &'a mut self,
        name: &str,
        weights: &'a mut [f32],
        update: &'a Update,
        average: &'a Decays,
        config: &TrainConfig,
    ) -> Vec<Step<'a>> {
        let lr = update.lr * config.trainable.factor(name);
        let block = (weights.len() / self.updates.len()).max(1);
        let grads = update.grads.get(name);
        let state = self.m.chunks_mut(block).zip(self.v.chunks_mut(block));
        let blocks = weights.chunks_mut(block).zip(self.ema.chunks_mut(block));
        let counts = self.updates.iter_mut().zip(&mut self.resting);
        let mut steps = Vec::new();
        for (i, (block_of, (updates, resting))) in blocks.zip(state).zip(counts).enumerate() {
            let ((weights, ema), (m, v)) = block_of;
            let Some((grads, at)) = grads.zip(update.place(name, i)) else {
                *resting += 1;
                continue;
            };
            *updates += 1;
            steps.push(Step {
                rule: rule(config, lr, update.scale, *updates, average.now),
                parameter: Parameter { weights, ema, m, v },
                grads: &grads[at * block..(at + 1) * block],
                rested: average.of_last(std::mem::take(resting)),
            });
        }
        steps
    }
}

/// What stays of an average in each of the steps before the one under way, the oldest first, as far back as anything
/// rests; and in that one.
struct Decays {
    before: Vec<f32>,
    now: f32,
}

impl Decays {
    /// In step `done`, counted from 0, with blocks that have rested for up to so many steps.
    fn at(config: &TrainConfig, done: u64, rested: u32) -> Self {
        let decay = |step| rate::average(config, step) as f32;
        Self {
            before: (done.saturating_sub(rested.into())..done)
                .map(decay)
                .collect(),
            now: decay(done),
        }
    }

    /// In the last so many steps before it.
    fn of_last(&self, steps: u32) -> &[f32] {
        &self.before[self.before.len().saturating_sub(steps as usize)..]
    }
}

/// State of the optimiser: one slot per trained parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdamW {
    pub slots: BTreeMap<String, Slot>,
    /// Updates done.
    pub done: u64,
}

impl AdamW {
    /// Fresh state for every parameter with a factor above zero, of a model with so many tailors; the average starts at the
    /// weights.
    pub fn new<M: Module>(model: &M, groups: usize, config: &TrainConfig) -> Self {
        let mut optimiser = Self::unfilled(model, groups, config);
        let mut weights = params::lent(model);
        for (name, slot) in &mut optimiser.slots {
            slot.ema = weights.remove(name).map_or_else(Vec::new, |w| w.values());
            slot.m = vec![0.0; slot.ema.len()];
            slot.v = vec![0.0; slot.ema.len()];
        }
        optimiser
    }

    /// State of the same shape without its moments and averages, for whoever reads them from a file.
    pub fn unfilled<M: Module>(model: &M, groups: usize, config: &TrainConfig) -> Self {
        let slots = params::shapes(model)
            .into_iter()
            .filter(|(name, _)| config.trainable.factor(name) > 0.0)
            .map(|(name, shape)| {
                let counts = match Part::of(&name) {
                    Part::Tailors => groups,
                    Part::Labels => shape[0],
                    Part::Learngene if config.thin_learngene > 0.0 => shape[0],
                    _ => 1,
                };
                let slot = Slot {
                    shape,
                    updates: vec![0; counts],
                    resting: vec![0; counts],
                    ..Slot::default()
                };
                (name, slot)
            })
            .collect();
        Self { slots, done: 0 }
    }

    /// The longest that anything has rested.
    fn longest_rest(&self) -> u32 {
        let resting = self.slots.values().flat_map(|slot| &slot.resting);
        resting.copied().max().unwrap_or(0)
    }

    /// One update, in the model's own memory if this is all that refers to it: weights are taken out of the model,
    /// updated all at once, and put back.
    pub fn update<M: Module>(&mut self, model: M, update: &Update, config: &TrainConfig) -> M {
        struct Take<'a> {
            slots: &'a BTreeMap<String, Slot>,
            taken: BTreeMap<String, Vec<f32>>,
        }
        impl params::Edit for Take<'_> {
            fn edit<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Tensor<D> {
                if !self.slots.contains_key(name) {
                    return value;
                }
                let device = value.device();
                self.taken.insert(name.into(), params::to_vec(value));
                Tensor::empty([0; D], &device)
            }
        }
        struct PutBack<'a> {
            slots: &'a BTreeMap<String, Slot>,
            taken: BTreeMap<String, Vec<f32>>,
        }
        impl params::Edit for PutBack<'_> {
            fn edit<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Tensor<D> {
                match (self.taken.remove(name), self.slots.get(name)) {
                    (Some(weights), Some(slot)) => {
                        let weights = TensorData::new(weights, slot.shape.clone());
                        Tensor::from_data(weights, &value.device())
                    }
                    _ => value,
                }
            }
        }
        let average = Decays::at(config, self.done, self.longest_rest());
        self.done += 1;
        let slots = &self.slots;
        let taken = BTreeMap::new();
        let mut take = Take { slots, taken };
        let model = params::edit(model, &mut take);
        let mut taken = take.taken;
        let slots = self.slots.iter_mut();
        let steps = taken
            .iter_mut()
            .zip(slots)
            .flat_map(|((name, weights), (of, slot))| {
                assert_eq!(name, of, "every slot is a parameter of the model");
                slot.steps(name, weights, update, &average, config)
            });
        kernels::update(steps.collect());
        let slots = &self.slots;
        params::edit(model, &mut PutBack { slots, taken })
    }

    /// The averaged weights of every trained parameter of the model, each made when it is asked for. Averages of what rests
    /// are brought up to this step: they follow late, each step with the decay it had, and so to the same bits.
    pub fn averages<'a>(&'a self, model: &Dit, config: &TrainConfig) -> Sources<'a> {
        let decays = Rc::new(Decays::at(config, self.done, self.longest_rest()));
        let mut weights = params::lent(model);
        let of = |(name, slot): (&String, &'a Slot)| {
            let (weights, decays) = (weights.remove(name)?, Rc::clone(&decays));
            let values = move || slot.averaged(|| weights.values(), &decays);
            Some((name.clone(), TensorSource::new(slot.shape.clone(), values)))
        };
        self.slots.iter().filter_map(of).collect()
    }
}

/// The constants of a parameter's update number `updates`, in which that share of the average stays.
fn rule(config: &TrainConfig, lr: f64, scale: f32, updates: u64, ema: f32) -> kernels::AdamW {
    let [b1, b2] = config.betas;
    let t = updates as i32;
    kernels::AdamW {
        beta1: b1 as f32,
        beta2: b2 as f32,
        step: (lr / (1.0 - b1.powi(t))) as f32,
        root: (1.0 / (1.0 - b2.powi(t))) as f32,
        eps: config.eps as f32,
        decay: (1.0 - lr * config.weight_decay) as f32,
        scale,
        ema,
    }
}

/// Takes the gradient of every trained parameter out of `grads`, adding `weight` times it to `total`.
pub(crate) fn collect<M: Module>(
    model: &M,
    grads: &mut Gradients,
    weight: f32,
    total: &mut GradMap,
) {
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
    let squares = kernels::sums_of_squares(grads.values().map(Vec::as_slice));
    match grads.keys().zip(&squares).find(|(_, s)| !s.is_finite()) {
        Some((name, _)) => Err(format!("the gradient of `{name}`")),
        None => Ok(squares.iter().sum::<f64>().sqrt()),
    }
}
