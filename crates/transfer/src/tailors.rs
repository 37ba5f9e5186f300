//! New tailors on a trained model: the learngene and every dense part stay, bit for bit.

use crate::error::Result;
use burn::tensor::Device;
use learngene_nn::{
    Dit, FactorInit,
    params::{self, Part, Values},
};
use learngene_train::{RunConfig, Trainable};

/// Steps that train tailors from zero to use on a few hundred images.
pub const STEPS: u64 = 150;
/// Peak learning rate for them; of 1e-3, 3e-3 and 6e-3 the best.
pub const LEARNING_RATE: f64 = 3e-3;
/// Their warm-up, in steps.
const WARMUP: u64 = 20;
/// Decay of the moving average: over so few steps a slower one would hold on to the start, where tailors add nothing.
const EMA: f64 = 0.98;

/// The configuration and the start of a transfer to `classes`: tailors of rank `N_T` that add nothing yet (U zero, V
/// random), label rows at the mean of the old ones, the null row and all else as they were. Steps, rate, warm-up and
/// average are those of a transfer; the rest of the training is the base's.
///
/// No batch has null labels then: images without a class switch no tailor on, so all they could train is the null row,
/// which is the learngene's.
///
/// Works alike on a dense model: class-gated tailors on ordinary weights are the control of the method.
///
/// # Errors
/// A rank that does not fit the matrices.
pub fn with_new_tailors(
    base: &RunConfig,
    model: &Dit,
    classes: &[String],
    tailor_rank: usize,
    seed: u64,
    device: &Device,
) -> Result<(RunConfig, Dit)> {
    let mut config = base.clone();
    config.classes = classes.to_vec();
    config.model.num_classes = classes.len();
    config.model = config.model.with_tailors(tailor_rank)?;
    config.init = FactorInit::ZeroStart;
    config.train.trainable = Trainable::tailors_only();
    let train = &mut config.train;
    (train.null, train.label_drop) = (0, 0.0);
    train.classes_per_step = train.classes_per_step.filter(|&n| n <= classes.len());
    (train.steps, train.lr, train.seed) = (STEPS, LEARNING_RATE, seed);
    (train.warmup, train.ema) = (WARMUP, EMA);
    let start = Dit::init(&config.model, FactorInit::ZeroStart, seed, device)?;
    let mut values = params::values(model);
    values.retain(|name, _| Part::of(name) != Part::Tailors);
    if let Some(table) = values.get_mut("label.table") {
        *table = mean_rows(table, classes.len());
    }
    Ok((config, params::replace(start, &values)?))
}

/// `count` rows at the mean of the class rows, then the null row.
fn mean_rows(table: &Values, count: usize) -> Values {
    let d = table.shape[1];
    let classes = table.shape[0] - 1;
    let (rows, null) = table.values.split_at(classes * d);
    let mean = |j: usize| (0..classes).map(|i| rows[i * d + j]).sum::<f32>() / classes as f32;
    let mean: Vec<f32> = (0..d).map(mean).collect();
    let values = mean
        .iter()
        .copied()
        .cycle()
        .take(count * d)
        .chain(null.iter().copied());
    Values {
        shape: vec![count + 1, d],
        values: values.collect(),
    }
}
