//! Superclasses of new classes: tailors that a transfer can take over from its base.

use crate::error::{Error, Result};
use crate::methods::AUTO;
use learngene_nn::{
    Dit, FactorInit, Sharing, Superclass,
    params::{self, Part},
};
use learngene_train::RunConfig;
use std::ops::Range;

/// A transfer's start with the tailors of each superclass besides, in place of one that all classes share because the
/// method found room for it. They start as the base's of the superclass of the same name, if the ranks agree, and at
/// zero otherwise; they train with the tailors of the classes.
///
/// # Errors
/// A start without tailors of classes or with a shared one that was asked for, superclasses that do not fit its classes,
/// too many components for the matrices.
pub fn add_superclasses(
    (base, whole): (&RunConfig, &Dit),
    (mut config, start): (RunConfig, Dit),
    superclasses: Vec<Superclass>,
) -> Result<(RunConfig, Dit)> {
    if superclasses.is_empty() || superclasses == config.model.superclasses {
        return Ok((config, start));
    }
    if config.model.tailor_rank == 0 || config.model.sharing != Sharing::Class {
        let method = config.method.as_ref().map_or("none", |m| m.name.as_str());
        return Err(Error::Request {
            what: "class tree",
            found: format!("one for the method `{method}`, which has no tailors of classes"),
            expected: "the method kind or gated-tailors".into(),
        });
    }
    let shared = |c: &RunConfig| c.method.as_ref()?.settings.get("shared").cloned();
    if !config.model.superclasses.is_empty() && shared(&config).as_deref() != Some(AUTO) {
        return Err(Error::Request {
            what: "class tree",
            found: "one beside a tailor that all classes share".into(),
            expected: "either: set method.shared=no".into(),
        });
    }
    config.model = config.model.with_superclasses(superclasses)?;
    let (seed, device) = (config.train.seed, start.device());
    let extended = Dit::init(&config.model, FactorInit::ZeroStart, seed, &device)?;
    let (mut values, old) = (params::values(&start), params::values(whole));
    let tailors = params::values(&extended).into_iter();
    for (name, mut value) in tailors.filter(|(name, _)| Part::of(name) == Part::Tailors) {
        let size = value.values.len() / config.model.groups;
        let of_classes = size * config.model.num_classes;
        if let Some(old) = values.get(&name) {
            value.values[..of_classes].copy_from_slice(&old.values[..of_classes]);
        }
        for (place, superclass) in config.model.superclasses.iter().enumerate() {
            let Some(theirs) = groups_of(base, &superclass.name) else {
                continue;
            };
            let ours = config.model.groups_of_superclass(place);
            let same =
                base.model.tailor_rank == config.model.tailor_rank && theirs.len() == ours.len();
            let rows = |groups: Range<usize>| groups.start * size..groups.end * size;
            let inherited = old.get(&name).filter(|_| same);
            if let Some(tailors) = inherited.and_then(|v| v.values.get(rows(theirs))) {
                value.values[rows(ours)].copy_from_slice(tailors);
            }
        }
        values.insert(name, value);
    }
    Ok((config, params::replace(extended, values)?))
}

/// The groups of the base's superclass of that name.
fn groups_of(base: &RunConfig, name: &str) -> Option<Range<usize>> {
    let all = &base.model.superclasses;
    let place = all.iter().position(|s| s.name == name)?;
    Some(base.model.groups_of_superclass(place))
}
