//! KIND: new tailors beside a frozen learngene (arXiv 2408.07337).
//!
//! `y = learngene(x) + sum over i in the tailor of the class of  s_i (x . v_i) u_i`
//!
//! Tailors start at zero (U zero, V orthonormal to the learngene's), or warm, from those of related classes: then at the
//! best approximation, of the new rank, to the mean of what those add. Good values: the rank of pre-training, 3e-3 as
//! rate (1e-3 and 6e-3 were worse); the learngene may train along at 0.3 of it (`train.trainable.learngene`), biases too
//! (`train.trainable.biases`). Images without a label switch no tailor on, so batches have none.
//!
//! Beyond the paper, a shared tailor learns once what all the new classes have in common, such as another style than the
//! base's; it is a superclass of them all, of as many tailors as `shared` has components over `rank`. At equal numbers
//! trained it was better than none on four sets of four (`docs/results.md`), and the better the further the classes are
//! from those of pre-training, a wide one beside narrow tailors of classes most of all: rank 4 and shared 20 to 28.

use super::{Added, Fits, Method, Start, name, over_matrices, shapes};
use crate::error::Result;
use crate::factors::{Components, svd_of_sum};
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, Sharing, Superclass};
use std::num::NonZeroUsize;

pub(super) struct Kind;

/// The value of `shared` that gives way: to a rank that leaves no room, and to a class tree.
pub(crate) const AUTO: &str = "auto";

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "rank",
        default: "8",
        about: "components of a tailor; those of pre-training if there are any",
    },
    Setting {
        name: "warm",
        default: "none",
        about: "start from old tailors: mean, or names of classes with commas",
    },
    Setting {
        name: "shared",
        default: AUTO,
        about: "tailors more, which all classes switch on: no, yes (one), their components, or auto: one if it fits",
    },
];

impl Method for Kind {
    fn name(&self) -> &'static str {
        "kind"
    }

    fn about(&self) -> &'static str {
        "new tailors on a frozen learngene"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn defaults(&self, base: &DitConfig) -> Vec<(&'static str, String)> {
        rank_of(base)
    }

    fn fits(&self) -> Fits {
        Fits::Factorised
    }

    fn rate(&self) -> f64 {
        RATE
    }

    fn reached_without_label(&self, _: &Settings) -> Result<bool> {
        Ok(false)
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        shape(config, settings)
    }

    fn start(&self, start: &mut Start<'_>) -> Result<()> {
        warm(start)
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        added(config, settings.count("rank")?)
    }
}

pub(super) const RATE: f64 = 3e-3;

pub(super) fn rank_of(base: &DitConfig) -> Vec<(&'static str, String)> {
    let rank = Some(base.tailor_rank).filter(|&rank| rank > 0);
    rank.map(|rank| ("rank", rank.to_string()))
        .into_iter()
        .collect()
}

/// Tailors for the classes, and those they share if the settings ask for them.
pub(super) fn shape(config: DitConfig, settings: &Settings) -> Result<DitConfig> {
    let rank = settings.count("rank")?;
    let config = config.with_tailors(rank)?;
    let all: Vec<usize> = (0..config.num_classes).collect();
    let shared = |tailors| Superclass {
        tailors,
        ..Superclass::new("shared", all.clone())
    };
    let components = match settings.text("shared") {
        "no" => return Ok(config),
        AUTO => {
            let one = vec![shared(NonZeroUsize::MIN)];
            return Ok(config.clone().with_superclasses(one).unwrap_or(config));
        }
        "yes" => rank,
        some => some.parse().unwrap_or(0),
    };
    match NonZeroUsize::new(components / rank) {
        Some(tailors) if components.is_multiple_of(rank) => {
            Ok(config.with_superclasses(vec![shared(tailors)])?)
        }
        _ => {
            let expected = format!("auto, no, yes or a multiple of method.rank, which is {rank}");
            Err(settings.bad("shared", &expected))
        }
    }
}

/// A tailor for each class and those of superclasses, of which those of one class run.
pub(super) fn added(config: &DitConfig, rank: usize) -> Result<Added> {
    let running = (config.switched_on() * config.tokens()) as u64;
    Ok(Added {
        trained: config.groups as u64 * over_matrices(config, |m, n| rank * (m + n + 1)),
        macs: running * over_matrices(config, |m, n| rank * (m + n)),
    })
}

/// Every new class's tailor at the mean of old ones, if the settings ask for it.
pub(super) fn warm(start: &mut Start<'_>) -> Result<()> {
    let old = &start.base_config.model;
    let all = &start.base_config.classes;
    let related: Vec<usize> = match start.settings.text("warm") {
        "none" => return Ok(()),
        _ if old.tailor_rank == 0 || old.sharing != Sharing::Class => {
            return Err(start
                .settings
                .bad("warm", "none: the base has no tailors of classes"));
        }
        "mean" => (0..all.len()).collect(),
        some => {
            let number = |class: &str| all.iter().position(|known| known == class.trim());
            let found: Option<Vec<_>> = some.split(',').map(number).collect();
            found.ok_or_else(|| {
                let expected = format!("none, mean, or some of {}", all.join(","));
                start.settings.bad("warm", &expected)
            })?
        }
    };
    let (config, rank) = (start.config, start.config.tailor_rank);
    let share = 1.0 / related.len() as f32;
    for l in 0..config.depth {
        for (site, m, n) in shapes(config) {
            let rows = |part: &str, width: usize| -> Vec<f32> {
                let size = old.tailor_rank * width;
                let stored = start.base.get(&name(l, site, &format!("tailors.{part}")));
                let values = stored.map_or(&[][..], |v| &v.values);
                let tailor = |&g: &usize| values[g * size..(g + 1) * size].iter().copied();
                related.iter().flat_map(tailor).collect()
            };
            let mean = svd_of_sum(
                &Components {
                    u: rows("u", m),
                    s: rows("s", 1).into_iter().map(|s| s * share).collect(),
                    v: rows("v", n),
                },
                rank,
            )?;
            for (part, values) in [("u", mean.u), ("s", mean.s), ("v", mean.v)] {
                let of_classes = values.repeat(config.num_classes);
                let all = &mut start.of(&name(l, site, &format!("tailors.{part}")))?.values;
                all[..of_classes.len()].copy_from_slice(&of_classes);
            }
        }
    }
    Ok(())
}
