//! SVDiff: the singular values of every weight, shifted (Han et al., arXiv 2303.11305).
//!
//! `U relu(S + d) V^T` with `W = U S V^T`, d zero to start with; computed as `W + U (relu(S + d) - S) V^T`, which is W to
//! the bit at the start.
//!
//! It trains next to nothing, but keeps U and V beside W: twice to three times the memory of the adapted matrices while
//! it trains, and as many multiply-accumulates in each forward pass as the weights' product takes. Merged, it is an
//! ordinary model; its file holds d alone. Good values: rates far above those of full fine-tuning (the paper's are a
//! thousand times its).

use super::{Added, Fits, Method, SITES_SETTING, Start, name, over_terms, shapes, with_formula};
use crate::error::Result;
use crate::factors::svd;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, term::Formula};

pub(super) struct SvDiff;

impl Method for SvDiff {
    fn name(&self) -> &'static str {
        "svdiff"
    }

    fn about(&self) -> &'static str {
        "shifted singular values"
    }

    fn settings(&self) -> &'static [Setting] {
        &[SITES_SETTING]
    }

    fn fits(&self) -> Fits {
        Fits::Weights
    }

    fn rate(&self) -> f64 {
        1e-2
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        Ok(with_formula(config, settings, Formula::Spectrum))
    }

    fn start(&self, start: &mut Start<'_>) -> Result<()> {
        for l in 0..start.config.depth {
            for (site, m, n) in shapes(start.config) {
                if start.config.form_at(site).is_none() {
                    continue;
                }
                let all = svd(start.of(&name(l, site, "weight"))?, m.min(n))?;
                for (part, values) in [("u", all.u), ("s", all.s), ("v", all.v)] {
                    start.set(&name(l, site, &format!("weight.term.fixed.{part}")), values)?;
                }
            }
        }
        Ok(())
    }

    fn added(&self, config: &DitConfig, _: &Settings) -> Result<Added> {
        Ok(Added {
            trained: over_terms(config, usize::min),
            macs: over_terms(config, |m, n| m.min(n) * m * n),
        })
    }
}
