//! Which components and classes are kept when a model must not be larger than a budget: those of most energy.
//!
//! One number of components, N_G, holds for all matrices, as a model's configuration has one; within each matrix those of
//! most energy are kept, or the first if they were trained to be cut. Beginning with the whole, [`fit`] takes away, until
//! the budget is met, whatever loses the least energy for each parameter it frees:
//!
//! * the weakest (or last) remaining component of every matrix at once, whose energy every image uses; or,
//! * where the classes are free, the tailor and label row of the class whose tailor has the least energy. Of C classes
//!   one image in C uses it, so its energy counts 1/C. A superclass goes with the last of its classes.
//!
//! A class frees no multiply-accumulates, since as many tailors run whatever is stored; as long as only they are over the
//! budget, only components go. One component of every matrix and one class always stay.

use crate::assemble::{choose, is_ordered, shape};
use crate::energy::Factors;
use crate::error::{Error, Result};
use crate::tailor_set::TailorSet;
use learngene_formats::Kind;
use learngene_nn::{Dit, Sharing, cost, params};
use learngene_train::{RunConfig, weights};
use serde::Serialize;

/// The most a model may have; what is `None` is not limited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Stored parameters.
    pub parameters: Option<u64>,
    /// Multiply-accumulates of one forward pass of one image.
    pub macs: Option<u64>,
    /// Bytes of the weight file.
    pub bytes: Option<u64>,
}

/// What an assembly costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Stored parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one forward pass of one image.
    pub macs: u64,
    /// Bytes of the weight file, to the byte.
    pub bytes: u64,
}

/// What is kept under a budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Classes, in the order of the model.
    pub classes: Vec<String>,
    /// N_G: components of every matrix.
    pub components: usize,
    /// What a model of these costs.
    pub size: Size,
    /// Share of the learngene's energy that its kept components have.
    pub energy: f64,
}

impl Size {
    /// The cost of a model of that configuration.
    ///
    /// # Errors
    /// A configuration that no file can hold.
    pub fn of(config: &RunConfig) -> Result<Self> {
        let total = cost::plan(&config.model).total;
        Ok(Self {
            parameters: total.parameters,
            macs: total.macs,
            bytes: weights::size(Kind::Model, config)?,
        })
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            parameters,
            macs,
            bytes,
        } = self;
        write!(
            f,
            "{parameters} parameters, {macs} MACs an image, {bytes} bytes"
        )
    }
}

impl Budget {
    /// Whether nothing is limited.
    pub fn is_free(&self) -> bool {
        [self.parameters, self.macs, self.bytes]
            .iter()
            .all(Option::is_none)
    }

    fn exceeded(&self, size: &Size) -> Exceeded {
        let over = |limit: Option<u64>, found| limit.is_some_and(|limit| found > limit);
        Exceeded {
            macs: over(self.macs, size.macs),
            stored: over(self.parameters, size.parameters) || over(self.bytes, size.bytes),
        }
    }

    fn text(&self) -> String {
        let limits = [
            (self.parameters, "parameters"),
            (self.macs, "MACs"),
            (self.bytes, "bytes"),
        ];
        let limits = limits
            .into_iter()
            .filter_map(|(limit, unit)| Some(format!("{} {unit}", limit?)));
        limits.collect::<Vec<_>>().join(", ")
    }
}

struct Exceeded {
    macs: bool,
    stored: bool,
}

/// A number as people write budgets: `4200000`, `4.2M`, `80G`; k, M and G are powers of 1000.
///
/// # Errors
/// Whatever is not a positive number, in words.
pub fn amount(text: &str) -> std::result::Result<u64, String> {
    let (number, unit) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1e3),
        Some('M') => (&text[..text.len() - 1], 1e6),
        Some('G') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && number * unit >= 1.0 => Ok((number * unit) as u64),
        _ => Err("expected a positive number such as 4200000, 4.2M or 80G".into()),
    }
}

/// Chooses what to keep of a model. With `free`, classes may go as well; of a model without tailors they never do.
///
/// # Errors
/// A model without a learngene, or whose tailors are not one for each class; a budget that the smallest assembly does not
/// meet, with its size.
pub fn fit(config: &RunConfig, model: &Dit, budget: &Budget, free: bool) -> Result<Fit> {
    let (layers, tailors) = energies(config, model)?;
    let free = free && config.model.tailor_rank > 0;
    let mut kept: Vec<usize> = (0..config.classes.len()).collect();
    let mut components = layers.len();
    let own = TailorSet::of(config, model, "the model");
    let size = |kept: &[usize], components| {
        let classes = named(config, kept);
        Size::of(&shape(
            config,
            &choose(&[&own], &classes)?,
            Some(components),
        )?)
    };
    loop {
        let now = size(&kept, components)?;
        let over = budget.exceeded(&now);
        if !over.macs && !over.stored {
            let all: f64 = layers.iter().sum();
            let energy = match all > 0.0 {
                true => layers[..components].iter().sum::<f64>() / all,
                false => 1.0,
            };
            return Ok(Fit {
                classes: named(config, &kept),
                components,
                size: now,
                energy,
            });
        }
        let rate = |energy: f64, smaller: Size| {
            energy / now.parameters.saturating_sub(smaller.parameters).max(1) as f64
        };
        let component = match components > 1 {
            true => Some(rate(layers[components - 1], size(&kept, components - 1)?)),
            false => None,
        };
        let weakest =
            (0..kept.len()).min_by(|&a, &b| tailors[kept[a]].total_cmp(&tailors[kept[b]]));
        let class = match weakest.filter(|_| free && over.stored && kept.len() > 1) {
            Some(place) => {
                let energy = tailors[kept[place]] / kept.len() as f64;
                let others: Vec<usize> =
                    kept.iter().copied().filter(|c| *c != kept[place]).collect();
                Some((rate(energy, size(&others, components)?), others))
            }
            None => None,
        };
        match (component, class) {
            (Some(component), Some((class, others))) if class < component => kept = others,
            (Some(_), _) => components -= 1,
            (None, Some((_, others))) => kept = others,
            (None, None) => {
                let least = if free { 1 } else { kept.len() };
                return Err(Error::Budget {
                    budget: budget.text(),
                    classes: least,
                    smallest: size(&kept[..least], components)?.to_string(),
                    next: match least == 1 {
                        true => "raise the budget to that",
                        false => "raise the budget to that, or keep fewer classes",
                    },
                });
            }
        }
    }
}

/// `points` numbers of components from few to all, evenly spaced: where a curve of quality against size is measured.
pub fn rungs(rank: usize, points: usize) -> Vec<usize> {
    let points = points.max(1);
    let mut rungs: Vec<usize> = (1..=points).map(|i| (rank * i / points).max(1)).collect();
    rungs.dedup();
    rungs
}

fn named(config: &RunConfig, kept: &[usize]) -> Vec<String> {
    kept.iter().map(|&c| config.classes[c].clone()).collect()
}

/// The energy that the components of all matrices that go k-th last have together, by k; that of each class's tailors.
fn energies(config: &RunConfig, model: &Dit) -> Result<(Vec<f64>, Vec<f64>)> {
    let shape = &config.model;
    let refuse = |found: &str, expected: &str| {
        Err(Error::Request {
            what: "budget",
            found: found.into(),
            expected: expected.into(),
        })
    };
    let Some(rank) = shape.learngene_rank() else {
        return refuse(
            "a dense model",
            "a factorised one, from which components can be left out; pre-train with --rank-split",
        );
    };
    if shape.sharing != Sharing::Class || shape.attention_basis.is_some() {
        return refuse(
            "a model that another method has changed",
            "one of learngene and tailors; `learngene merge` makes it an ordinary model",
        );
    }
    let values = params::values(model);
    let mut layers = vec![0.0; rank];
    let mut tailors = vec![0.0; config.classes.len()];
    for name in values.keys() {
        if let Some(prefix) = name.strip_suffix(".s") {
            let Some(factors) = Factors::at(&values, prefix) else {
                continue;
            };
            let mut energies = factors.energies();
            if prefix.ends_with(".learngene") {
                if !is_ordered(config) {
                    energies.sort_by(|a, b| b.total_cmp(a));
                }
                layers.iter_mut().zip(energies).for_each(|(l, e)| *l += e);
            } else {
                let of_class = energies.chunks(shape.tailor_rank.max(1));
                let sums = tailors.iter_mut().zip(of_class);
                sums.for_each(|(t, e)| *t += e.iter().sum::<f64>());
            }
        }
    }
    Ok((layers, tailors))
}
