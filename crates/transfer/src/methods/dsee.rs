//! DSEE: a change of low rank and a sparse one, on a base without its smallest entries (Chen et al., arXiv
//! 2111.00160).
//!
//! `mask * W + (alpha / r) B A + S`, entry by entry; B zero, and S of `entries` trained values, zero to start with.
//!
//! S lies where W is largest in magnitude. The paper splits W into a part of low rank and a sparse one and takes the
//! largest entries of the latter; magnitudes need no decomposition, whose rounding differs from machine to machine,
//! while S means nothing at other places. (A factorised base is multiplied out first: on another machine, entries of
//! it that are equal up to rounding may be chosen differently.)
//!
//! The mask leaves out the share `sparsity` of every matrix, its smallest entries, and whatever is as small as the
//! largest of these. With 0, the default, there is no mask and the start is the base to the bit; above 0 it is the
//! pruned base.
//!
//! Neither places nor mask train or stand in the adapter's file: W makes both again. A model's file holds the rows and
//! columns of S, and for the mask one number a matrix, the largest magnitude it leaves out.
//!
//! The paper tunes, prunes by what was learned, and tunes again. Those three phases are not built: here W is pruned
//! once, before anything is learned, by its own magnitudes and matrix by matrix, where the paper has one threshold for
//! many; and no heads are pruned. The paper's released code puts the factor `alpha / r` on S too, and adapts queries
//! and values only (`sites=attention.q,attention.v`).
//!
//! B A is dense, and so is the merged weight: once B has moved it has no zeros. Nor does a masked base compute faster
//! here; the share is what a program could save that keeps W and its change apart.
//!
//! Good values: LoRA's ranks; 16 to 64 entries as in the paper, next to nothing beside the pair. With `dit-nano/4` on
//! new classes a sparsity of 0.3 cost less than 1 % of the loss, 0.5 about 2 %.

use super::{
    Added, Fits, Method, RANK, SITES_SETTING, Start, lora, name, over_terms, shapes, with_formula,
};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, term::Formula};

pub(super) struct Dsee;

const SETTINGS: &[Setting] = &[
    RANK,
    lora::ALPHA,
    Setting {
        name: "entries",
        default: "64",
        about: "entries of each matrix that train on their own, its largest",
    },
    Setting {
        name: "sparsity",
        default: "0",
        about: "share of each matrix, its smallest entries, left out; above 0 the start is not the base",
    },
    SITES_SETTING,
];

impl Method for Dsee {
    fn name(&self) -> &'static str {
        "dsee"
    }

    fn about(&self) -> &'static str {
        "a change of low rank and a sparse one, on a base that can be pruned"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn fits(&self) -> Fits {
        Fits::Weights
    }

    fn rate(&self) -> f64 {
        1e-2
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        let rank = settings.count("rank")?;
        let formula = Formula::Sparse {
            rank,
            scale: settings.positive("alpha")? / rank as f64,
            entries: settings.count("entries")?,
            sparsity: settings.share("sparsity")?,
        };
        Ok(with_formula(config, settings, formula))
    }

    fn start(&self, start: &mut Start<'_>) -> Result<()> {
        let entries = start.settings.count("entries")?;
        let sparsity = start.settings.share("sparsity")?;
        for l in 0..start.config.depth {
            for (site, _, n) in shapes(start.config) {
                if start.config.form_at(site).is_none() {
                    continue;
                }
                let part = |part: &str| name(l, site, &format!("weight.term.fixed.{part}"));
                let weight = &start.of(&name(l, site, "weight"))?.values;
                let ascending = by_magnitude(weight);
                let mut places = ascending[ascending.len() - entries..].to_vec();
                places.sort_unstable();
                let rows = places.iter().map(|i| (i / n) as f32).collect();
                let columns = places.iter().map(|i| (i % n) as f32).collect();
                let dropped = (sparsity * weight.len() as f64).round() as usize;
                // Below zero: there is nothing as small.
                let last = dropped.checked_sub(1);
                let threshold = last.map_or(-1.0, |last| weight[ascending[last]].abs());
                start.set(&part("rows"), rows)?;
                start.set(&part("columns"), columns)?;
                if sparsity > 0.0 {
                    start.set(&part("threshold"), vec![threshold])?;
                }
            }
        }
        Ok(())
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let rank = settings.count("rank")?;
        let entries = settings.count("entries")?;
        Ok(Added {
            trained: over_terms(config, |m, n| rank * (m + n) + entries),
            macs: over_terms(config, |m, n| rank * m * n),
        })
    }
}

/// The places of the values, smallest magnitude first and equal ones in their order.
fn by_magnitude(values: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|&i, &j| values[i].abs().total_cmp(&values[j].abs()));
    places
}
