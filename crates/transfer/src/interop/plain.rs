//! Any model as ordinary weights.

use crate::error::{Error, Result};
use learngene_nn::{
    AdaLn, Dit, FactorInit, Form,
    params::{self, Values},
};
use learngene_train::{RunConfig, weights::Parameters};

/// Configuration and parameters of the same model without its tailors, dense and with one adaLN matrix a block: that of
/// a model with a shared one is the shared one, with the block's table added to its bias.
///
/// # Errors
/// What those programs have no place for.
pub(super) fn plain(config: &RunConfig, model: &Dit) -> Result<(RunConfig, Parameters)> {
    let [_, height, width] = config.model.input;
    if let Some(reason) = config.model.beside_matrices() {
        return Err(Error::Export(reason.into()));
    }
    if height != width {
        let reason = format!("other programs' DiT takes square inputs, this one {height}x{width}");
        return Err(Error::Export(reason));
    }
    if config.model.mlp_ratio != 4 {
        let reason = "other programs' DiT has an MLP 4 times as wide as a token, this one";
        return Err(Error::Export(format!(
            "{reason} {}",
            config.model.mlp_ratio
        )));
    }
    let merged = model.specialise(&[], Some(Form::Merged))?;
    let mut values = params::values(&merged);
    let mut config = RunConfig {
        model: merged.config().clone(),
        init: FactorInit::default(),
        method: None,
        ..config.clone()
    };
    if config.model.adaln == AdaLn::Shared {
        config.model.adaln = AdaLn::PerBlock;
        per_block(&mut values, config.model.depth);
    }
    Ok((config, values))
}

/// Gives every block the shared matrix, and its table as part of the bias.
fn per_block(values: &mut Parameters, depth: usize) {
    let weight = values.remove("modulation.weight");
    let bias = values.remove("modulation.bias");
    let (Some(weight), Some(bias)) = (weight, bias) else {
        return;
    };
    for l in 0..depth {
        let table = values.remove(&format!("blocks.{l}.modulation.table"));
        let table = table.map(|t| t.values).unwrap_or_default();
        let sum = bias.values.iter().zip(table).map(|(b, t)| b + t).collect();
        let sum = Values {
            shape: bias.shape.clone(),
            values: sum,
        };
        let name = |part: &str| format!("blocks.{l}.modulation.linear.{part}");
        values.insert(name("weight"), weight.clone());
        values.insert(name("bias"), sum);
    }
}
