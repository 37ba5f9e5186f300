//! PiSSA: LoRA that starts with the largest components of W itself (Meng et al., arXiv 2404.02948).
//!
//! `(W - B0 A0) + B A`, with `B = B0 = U_r sqrt(S_r)` and `A = A0 = sqrt(S_r) V_r^T` to start with, from the singular value
//! decomposition of W.
//!
//! What trains is what W does most; the rest of W is frozen. The start is W up to rounding. The scale is one (alpha
//! equals the rank), as in the paper. Good values: ranks as for LoRA, rates below LoRA's, because the factors are large.

use super::{Added, Fits, Method, RANK, Start, lora, name, shapes};
use crate::error::Result;
use crate::factors::svd;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, Sharing};
use learngene_train::Trainable;

pub(super) struct Pissa;

impl Method for Pissa {
    fn name(&self) -> &'static str {
        "pissa"
    }

    fn about(&self) -> &'static str {
        "LoRA on the largest singular components of W"
    }

    fn settings(&self) -> &'static [Setting] {
        &[RANK]
    }

    fn fits(&self) -> Fits {
        Fits::Weights
    }

    fn is_exact_at_start(&self) -> bool {
        false
    }

    fn rate(&self) -> f64 {
        1e-3
    }

    fn trains(&self) -> Trainable {
        lora::shared_tailor()
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        Ok(config.with_shared_tailor(settings.count("rank")?, Sharing::Every)?)
    }

    fn start(&self, start: &mut Start<'_>) -> Result<()> {
        let rank = start.config.tailor_rank;
        for l in 0..start.config.depth {
            for (site, m, n) in shapes(start.config) {
                let weight = start.of(&name(l, site, "weight"))?;
                let mut top = svd(weight, rank)?;
                for i in 0..rank {
                    let root = top.s[i].sqrt();
                    top.u[i * m..(i + 1) * m]
                        .iter_mut()
                        .for_each(|u| *u *= root);
                    top.v[i * n..(i + 1) * n]
                        .iter_mut()
                        .for_each(|v| *v *= root);
                }
                for (row, out) in weight.values.chunks_mut(n).enumerate() {
                    for i in 0..rank {
                        let u = top.u[i * m + row];
                        let v = &top.v[i * n..(i + 1) * n];
                        out.iter_mut().zip(v).for_each(|(w, v)| *w -= u * v);
                    }
                }
                start.set(&name(l, site, "tailors.u"), top.u)?;
                start.set(&name(l, site, "tailors.s"), vec![1.0; rank])?;
                start.set(&name(l, site, "tailors.v"), top.v)?;
            }
        }
        Ok(())
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        Ok(lora::beside(config, settings.count("rank")?))
    }
}
