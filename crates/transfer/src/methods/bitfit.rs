//! BitFit: the biases alone (Ben Zaken et al., arXiv 2106.10199).
//!
//! Every bias of the model: of the projections, of the adaptive norms (with one matrix for all blocks, its bias and each
//! block's table), of embeddings and output. Read to the letter it would train nothing else; here the label rows train
//! too, because a new class has none of its own. Good values: rates some times above those of full fine-tuning.

use super::{Added, Fits, Method};
use crate::error::Result;
use crate::settings::Settings;
use learngene_nn::{AdaLn, DitConfig};
use learngene_train::Trainable;

pub(super) struct BitFit;

impl Method for BitFit {
    fn name(&self) -> &'static str {
        "bitfit"
    }

    fn about(&self) -> &'static str {
        "biases alone (and label rows, as always)"
    }

    fn fits(&self) -> Fits {
        Fits::Any
    }

    fn rate(&self) -> f64 {
        3e-3
    }

    fn trains(&self) -> Trainable {
        Trainable {
            biases: Some(1.0),
            ..Trainable::added_only()
        }
    }

    fn added(&self, config: &DitConfig, _: &Settings) -> Result<Added> {
        let (d, out) = (
            config.hidden,
            config.patch * config.patch * config.out_channels(),
        );
        let shared = match config.adaln {
            AdaLn::Shared => 6 * d,
            AdaLn::PerBlock => 0,
        };
        // Patches, two of time, two vectors of the last modulation; in a block five of width d, the hidden units, six.
        let outside = 5 * d + out + shared;
        let block = 5 * d + config.mlp_hidden() + 6 * d;
        Ok(Added {
            trained: (outside + config.depth * block) as u64,
            macs: 0,
        })
    }
}
