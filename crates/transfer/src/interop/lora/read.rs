//! Reading: the names of three programs, and how the factors of a module become a change.

use super::peft::PeftConfig;
use super::saved::Saved;
use super::{Lora, PEFT_PREFIX, modules, transposed};
use crate::error::{Error, Result};
use crate::factors::Components;
use learngene_formats::{Mismatch, TensorEntry};
use learngene_nn::DitConfig;
use std::collections::BTreeMap;
use std::path::Path;

/// What may stand before the name of a module; kohya's have underscores throughout.
const PREFIXES: [&str; 6] = [
    PEFT_PREFIX,
    "transformer.",
    "unet.",
    "lora_unet_",
    "lora_transformer_",
    "",
];
/// Ends of names: A, B and alpha.
const ENDS: [(&str, Role); 9] = [
    (".lora_A.weight", Role::A),
    (".lora_B.weight", Role::B),
    (".lora_A.default.weight", Role::A),
    (".lora_B.default.weight", Role::B),
    (".lora_down.weight", Role::A),
    (".lora_up.weight", Role::B),
    (".lora.down.weight", Role::A),
    (".lora.up.weight", Role::B),
    (".alpha", Role::Alpha),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    A,
    B,
    Alpha,
}

impl Lora {
    /// Reads a folder of PEFT's or of diffusers', or a file with the names of PEFT, of diffusers or of kohya's scripts, for
    /// a model of that shape.
    ///
    /// # Errors
    /// Tensors of another architecture, all listed in one error; a kind of adapter that is no change of low rank;
    /// damaged files.
    pub fn read(path: &Path, shape: &DitConfig) -> Result<Self> {
        let refuse = |reason: String| Error::Import {
            path: path.into(),
            reason,
        };
        let Saved { tensors, config } = Saved::read(path)?;
        let mut known = BTreeMap::new();
        for (name, module, m, n) in modules(shape) {
            known.insert(
                module.replace('.', "_"),
                (name.clone(), module.clone(), m, n),
            );
            known.insert(module.clone(), (name, module, m, n));
        }
        let mut mismatch = Mismatch::default();
        let mut found: BTreeMap<String, BTreeMap<Role, TensorEntry>> = BTreeMap::new();
        for (key, tensor) in tensors {
            let place = place(&key).and_then(|(module, role)| Some((known.get(module)?, role)));
            match place {
                Some(((_, module, ..), role)) => {
                    let roles = found.entry(module.clone()).or_default();
                    if roles.insert(role, tensor).is_some() {
                        mismatch.unexpected.push(format!("{key} (a second time)"));
                    }
                }
                None => mismatch.unexpected.push(key),
            }
        }
        let mut changes = BTreeMap::new();
        let mut factors = Vec::new();
        for (module, roles) in found {
            let (name, _, m, n) = &known[&module];
            let (Some(a), Some(b)) = (roles.get(&Role::A), roles.get(&Role::B)) else {
                mismatch.missing.push(format!("A or B of {name}"));
                continue;
            };
            let rank = a.shape.first().copied().unwrap_or(0);
            let before = mismatch.misshaped.len();
            for (role, tensor, shape) in [("A", a, vec![rank, *n]), ("B", b, vec![*m, rank])] {
                if tensor.shape != shape {
                    let wrong = (format!("{role} of {name}"), shape, tensor.shape.clone());
                    mismatch.misshaped.push(wrong);
                }
            }
            let alpha = roles.get(&Role::Alpha).map(|t| t.values.as_slice());
            if alpha.is_some_and(|values| values.len() != 1) {
                let several = format!("alpha of {name}: several values");
                mismatch.unexpected.push(several);
            }
            if mismatch.misshaped.len() == before {
                let alpha = alpha.and_then(|values| values.first().copied());
                factors.push((name.clone(), module, rank, alpha));
                let u = transposed(&b.values, *m, rank);
                let (s, v) = (Vec::new(), a.values.clone());
                changes.insert(name.clone(), Components { u, s, v });
            }
        }
        mismatch.refuse(path)?;
        let rank = factors
            .iter()
            .map(|(_, _, rank, _)| *rank)
            .max()
            .unwrap_or(0);
        if !(1..=shape.hidden).contains(&rank) {
            let most = shape.hidden;
            return Err(refuse(format!(
                "its changes have rank {rank}, expected 1 to {most}"
            )));
        }
        for (name, module, own_rank, alpha) in factors {
            let factor = factor(config.as_ref(), &module, own_rank, alpha).map_err(refuse)?;
            let (_, _, m, n) = &known[&module];
            if let Some(change) = changes.get_mut(&name) {
                change.s = vec![factor; own_rank];
                change.u.resize(rank * m, 0.0);
                change.s.resize(rank, 0.0);
                change.v.resize(rank * n, 0.0);
            }
        }
        Ok(Self {
            path: path.into(),
            changes,
            rank,
            remarks: config.map_or_else(Vec::new, |config| config.remarks),
        })
    }
}

/// The factor on the change of a module: what PEFT's configuration says, else an alpha beside the factors, else 1.
fn factor(
    config: Option<&PeftConfig>,
    module: &str,
    rank: usize,
    alpha: Option<f32>,
) -> std::result::Result<f32, String> {
    match (config, alpha) {
        (Some(config), None) => config.factor(module, rank),
        (Some(_), Some(alpha)) => Err(format!(
            "it has an alpha of {alpha} beside the tensors of {module} and another in its configuration: take one of them away"
        )),
        (None, None) => Ok(1.0),
        // For kohya's scripts it then is as if there were none, for diffusers as if there were no change.
        (None, Some(alpha)) if alpha == 0.0 || !alpha.is_finite() => Err(format!(
            "alpha of {module} is {alpha}, expected another number"
        )),
        (None, Some(alpha)) => Ok((f64::from(alpha) / rank as f64) as f32),
    }
}

/// Module and role by the name of a tensor.
fn place(key: &str) -> Option<(&str, Role)> {
    let (rest, role) = ENDS
        .iter()
        .find_map(|(end, role)| Some((key.strip_suffix(end)?, *role)))?;
    let module = PREFIXES
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    Some((module, role))
}
