//! From a trained model to one that waits to be trained on new classes, and from a trained one to ordinary weights.

use crate::error::{Error, Result};
use crate::methods::{Fits, Method, Start};
use crate::settings::Settings;
use burn::tensor::Device;
use learngene_nn::{
    Dit, DitConfig, FactorInit, Form, Sharing,
    params::{self, Part, Values},
};
use learngene_train::{self as train, RunConfig, weights};
use std::collections::BTreeMap;

/// Steps that adapt a model to a few hundred images.
pub const STEPS: u64 = 150;
/// Their warm-up, in steps.
const WARMUP: u64 = 20;
/// Decay of the moving average: over so few steps a slower one would hold on to the start.
const EMA: f64 = 0.98;

/// The configuration and the start of a transfer to `classes` by a method: what the method adds, which changes nothing
/// yet; label rows at the mean of the old ones; the null row and all else as they were, tailors of the base left out.
/// Steps, rate, warm-up and average are those of a transfer, and every image is told of its whole class; the rest of the
/// training is the base's. The superclasses of the base are not those of the new classes ([`crate::add_superclasses`]).
///
/// Where images without a label would train nothing of the method's, batches have none.
///
/// # Errors
/// A base the method has nothing to do on, settings it does not have, numbers that do not fit the matrices.
pub fn adapt(
    base: &RunConfig,
    model: &Dit,
    classes: &[String],
    method: &dyn Method,
    given: &BTreeMap<String, String>,
    seed: u64,
    device: &Device,
) -> Result<(RunConfig, Dit)> {
    let shape = &base.model;
    let adapted = shape.beside_matrices().is_some() || !shape.terms.is_empty();
    if adapted || shape.sharing != Sharing::Class {
        return Err(Error::Request {
            what: "base",
            found: "an adapted model".into(),
            expected: "an ordinary one, such as `learngene merge` makes".into(),
        });
    }
    let mut values = params::values(model);
    let hash = weights::learngene_hash(&weights::lent(&values));
    let settings = settings(&base.model, method, given)?;
    let mut config = base.clone();
    config.classes = classes.to_vec();
    config.model = config.model.with_tailors(0)?;
    config.model.num_classes = classes.len();
    let bases = [Some(shape.basis), shape.attention_basis];
    let factorised = bases.into_iter().flatten().any(|b| b.rank().is_some());
    match (method.fits(), factorised) {
        (Fits::Factorised, false) => {
            return Err(Error::Base {
                method: method.name(),
                expected: "factorised",
                found: "dense",
                next: "its counterpart for a dense base is `gated-tailors`",
            });
        }
        (Fits::Dense, true) => {
            return Err(Error::Base {
                method: method.name(),
                expected: "dense",
                found: "factorised",
                next: "its counterpart for a factorised base is `kind`",
            });
        }
        (Fits::Weights, true) => {
            let learngene = model.specialise(&[], Some(Form::Merged))?;
            values = params::values(&learngene);
            config.model.basis = learngene.config().basis;
            config.model.attention_basis = learngene.config().attention_basis;
        }
        _ => {}
    }
    config.model = method.shape(config.model, &settings, seed)?;
    config.model.validate()?;
    config.init = FactorInit::ZeroStart;
    config.method = Some(train::Method {
        name: method.name().into(),
        base: hash,
        settings: settings.values().clone(),
    });
    let train = &mut config.train;
    train.trainable = method.trains();
    if !method.reached_without_label(&settings)? {
        (train.null, train.label_drop) = (0, 0.0);
    }
    train.classes_per_step = train.classes_per_step.filter(|&n| n <= classes.len());
    (train.steps, train.lr, train.seed) = (STEPS, method.rate(), seed);
    (train.warmup, train.ema, train.ema_warmup) = (WARMUP, EMA, Some(true));
    (train.gate_dropout, train.hide_label) = (0.0, 0.0);
    (train.null_pressure, train.thin_learngene) = (None, 0.0);

    let start = Dit::init(&config.model, FactorInit::ZeroStart, seed, device)?;
    let known = params::layout(&config.model);
    let mut new = params::values(&start);
    let old = values.clone();
    values.retain(|name, _| known.contains_key(name) && Part::of(name) != Part::Tailors);
    if let Some(table) = values.get_mut("label.table") {
        *table = mean_rows(table, classes.len());
    }
    new.extend(values);
    method.start(&mut Start {
        values: &mut new,
        config: &config.model,
        settings: &settings,
        base: &old,
        base_config: base,
    })?;
    Ok((config, params::replace(start, new)?))
}

/// All settings of a transfer from that base: those given, and the method's own where none is.
///
/// # Errors
/// Settings it does not have.
pub fn settings(
    base: &DitConfig,
    method: &dyn Method,
    given: &BTreeMap<String, String>,
) -> Result<Settings> {
    let mut given = given.clone();
    for (name, value) in method.defaults(base) {
        given.entry(name.into()).or_insert(value);
    }
    Settings::new(method.name(), method.settings(), &given)
}

/// The same model with nothing but ordinary weights: terms and a tailor that all samples share worked into them, a
/// factorised base multiplied out.
///
/// # Errors
/// What depends on the sample, and what stands between matrices, no weight can hold.
pub fn merge(config: &RunConfig, model: &Dit) -> Result<(RunConfig, Dit)> {
    let shape = model.config();
    if let Some(reason) = shape.beside_matrices() {
        return Err(Error::Merge(reason));
    }
    let list: &[(usize, f32)] = match (shape.groups, shape.sharing) {
        (0, _) => &[],
        (_, Sharing::Every) => &[(0, 1.0)],
        (_, Sharing::Class) => return Err(Error::Merge("each class has another tailor")),
        (_, Sharing::Labelled) => {
            return Err(Error::Merge("its tailor is off for the null label"));
        }
    };
    let merged = model.specialise(list, Some(Form::Merged))?;
    let mut config = config.clone();
    config.model = merged.config().clone();
    Ok((config, merged))
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
