//! How good a model is on validation images, in words.

use crate::failure::{Failure, Result};
use crate::progress;
use crate::verbs::resolve;
use learngene_data::{Dataset, Split, class_list};
use learngene_diffusion::Schedule;
use learngene_eval::metrics::Rise;
use learngene_nn::Dit;
use learngene_train::{DataConfig, Evaluation, Gating, Measuring, RunConfig, evaluate};
use std::path::Path;

/// Draws of each validation image.
pub const REPEATS: usize = 8;
/// The images of a model's classes, in its order and shape.
pub fn load(config: &RunConfig, source: &str, class_map: Option<&Path>) -> Result<Dataset> {
    let wanted = DataConfig {
        classes: class_list::joined(&config.classes),
        class_map: class_map.map(Into::into),
        // What it was trained on stays out of what it is judged by.
        fit: config.data.fit,
        val: config.data.val,
        test: config.data.test,
        ..DataConfig::of(source)
    };
    let (_, dataset) = resolve::load_for(config, wanted)?;
    if dataset.len(Split::Val) == 0 {
        return Err(Failure::Usage(format!(
            "{source} has no validation images of {}: add images, or name other classes",
            config.classes.join(", ")
        )));
    }
    Ok(dataset)
}

/// Validation losses.
pub fn losses(
    config: &RunConfig,
    model: &Dit,
    data: &Dataset,
    gating: Gating,
) -> Result<Evaluation> {
    let train = &config.train;
    let schedule = Schedule::new(train.schedule, train.diffusion_steps)?;
    let how = Measuring {
        schedule: &schedule,
        objective: &train.objective,
        repeats: REPEATS,
        watch: progress::watch(),
    };
    let found = evaluate(model, data, Split::Val, gating, &how)?;
    // As a text it would be a loss like any other.
    match found.velocity.is_finite() && found.epsilon.is_finite() {
        true => Ok(found),
        false => Err(learngene_compare::Error::NotFinite {
            what: "the loss on validation images".into(),
        }
        .into()),
    }
}

/// What a part loses against the whole.
pub fn compared(whole: &Evaluation, part: &Evaluation) -> Result<String> {
    Ok(format!(
        "validation v loss {:.4} in the whole, {:.4} in the assembly: {}; n = {} draws of the same images, times and noise, \
         95 % over images",
        whole.velocity,
        part.velocity,
        rise(whole, part)?,
        whole.draws
    ))
}

/// By how much the v loss of `other` is above that of `base`, both of the same draws.
pub fn rise(base: &Evaluation, other: &Evaluation) -> Result<Rise> {
    let [base, other] = [base, other].map(|e| &e.velocity_by_image[..]);
    Ok(Rise::of(base, other, &Rise::BOOTSTRAP)?)
}

/// By how many per cent `value` is above `base`.
pub fn above(base: f64, value: f64) -> f64 {
    100.0 * (value / base - 1.0)
}

/// Program and machine in a line, for the foot of a page.
pub fn machine() -> String {
    format!(
        "learngene {}, {} on {}, {} threads",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        rayon::current_num_threads()
    )
}
