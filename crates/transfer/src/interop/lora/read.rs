//! Reading: the names of three programs, and the factor on a change.

use super::{CONFIG, Lora, PEFT_PREFIX, WEIGHTS, modules, transposed};
use crate::error::{Error, Result};
use crate::factors::Components;
use learngene_formats::{Mismatch, TensorEntry, container, shards};
use learngene_nn::DitConfig;
use serde::Deserialize;
use serde_json::Value;
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
    /// Reads a folder of PEFT's, or a safetensors file of diffusers' or kohya's scripts, for a model of that shape.
    ///
    /// # Errors
    /// Tensors of another architecture, all listed in one error; a kind of adapter that is no change of low rank;
    /// damaged files.
    pub fn read(path: &Path, shape: &DitConfig) -> Result<Self> {
        let (tensors, scaling) = match path.is_dir() {
            true => (
                shards::read(path, WEIGHTS)?,
                Scaling::read(&path.join(CONFIG))?,
            ),
            false => (container::read(path)?.tensors, Scaling::InFile),
        };
        let mut known = BTreeMap::new();
        for (name, module, m, n) in modules(shape) {
            known.insert(module.replace('.', "_"), (name.clone(), m, n));
            known.insert(module, (name, m, n));
        }
        let mut mismatch = Mismatch::default();
        let mut found: BTreeMap<String, BTreeMap<Role, TensorEntry>> = BTreeMap::new();
        for (key, tensor) in tensors {
            let place = place(&key).and_then(|(module, role)| Some((known.get(module)?, role)));
            match place {
                Some(((name, ..), role)) => {
                    let roles = found.entry(name.clone()).or_default();
                    if roles.insert(role, tensor).is_some() {
                        mismatch.unexpected.push(format!("{key} (a second time)"));
                    }
                }
                None => mismatch.unexpected.push(key),
            }
        }
        let shapes: BTreeMap<_, _> = known
            .into_values()
            .map(|(name, m, n)| (name, (m, n)))
            .collect();
        let mut changes = BTreeMap::new();
        for (name, roles) in found {
            let (m, n) = shapes[&name];
            let (Some(a), Some(b)) = (roles.get(&Role::A), roles.get(&Role::B)) else {
                mismatch.missing.push(format!("A or B of {name}"));
                continue;
            };
            let rank = a.shape.first().copied().unwrap_or(0);
            let pairs = [("A", a, vec![rank, n]), ("B", b, vec![m, rank])];
            let wrong = pairs
                .iter()
                .filter(|(_, tensor, shape)| tensor.shape != *shape);
            let before = mismatch.misshaped.len();
            mismatch
                .misshaped
                .extend(wrong.map(|(role, tensor, shape)| {
                    (
                        format!("{role} of {name}"),
                        shape.clone(),
                        tensor.shape.clone(),
                    )
                }));
            let alpha = roles.get(&Role::Alpha).map(|t| t.values.as_slice());
            if alpha.is_some_and(|values| values.len() != 1) {
                mismatch
                    .unexpected
                    .push(format!("alpha of {name}: several values"));
            }
            if mismatch.misshaped.len() == before {
                let scale = scaling.factor(rank, alpha.and_then(|a| a.first().copied()));
                let u = transposed(&b.values, m, rank);
                let (s, v) = (vec![scale; rank], a.values.clone());
                changes.insert(name, Components { u, s, v });
            }
        }
        mismatch.refuse(path)?;
        let rank = changes.values().map(|c| c.s.len()).max().unwrap_or(0);
        if !(1..=shape.hidden).contains(&rank) {
            let most = shape.hidden;
            return Err(Error::Import {
                path: path.into(),
                reason: format!("its changes have rank {rank}, expected 1 to {most}"),
            });
        }
        for (name, change) in &mut changes {
            let (m, n) = shapes[name];
            change.u.resize(rank * m, 0.0);
            change.s.resize(rank, 0.0);
            change.v.resize(rank * n, 0.0);
        }
        Ok(Self {
            path: path.into(),
            changes,
            rank,
        })
    }
}

/// Where the factor on a change comes from.
enum Scaling {
    /// An alpha beside the factors; none if there is none.
    InFile,
    /// PEFT's configuration.
    Peft { alpha: f64, by_root: bool },
}

/// What PEFT says of an adapter, as far as it decides what is computed.
#[derive(Deserialize)]
#[serde(default)]
struct PeftConfig {
    peft_type: String,
    lora_alpha: f64,
    use_rslora: bool,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl Default for PeftConfig {
    fn default() -> Self {
        Self {
            peft_type: String::new(),
            lora_alpha: 8.0,
            use_rslora: false,
            others: BTreeMap::new(),
        }
    }
}

impl Scaling {
    fn read(path: &Path) -> Result<Self> {
        let config: PeftConfig = shards::read_json(path)?;
        let refuse = |reason: String| Error::Import {
            path: path.into(),
            reason,
        };
        if config.peft_type != "LORA" {
            let found = config.peft_type;
            return Err(refuse(format!(
                "its `peft_type` is `{found}`, only LORA can be read"
            )));
        }
        // Each of them makes something else of A and B, or trains more than these.
        for key in [
            "use_dora",
            "fan_in_fan_out",
            "lora_bias",
            "alpha_pattern",
            "modules_to_save",
            "layer_replication",
            "bias",
            "use_qalora",
            "use_bdlora",
            "target_parameters",
            "trainable_token_indices",
        ] {
            let value = config.others.get(key).unwrap_or(&Value::Null);
            let off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::String(text) => text == "none",
                Value::Object(map) => map.is_empty(),
                Value::Array(list) => list.is_empty(),
                _ => false,
            };
            if !off {
                return Err(refuse(format!(
                    "`{key}` is {value}, only plain LoRA can be read"
                )));
            }
        }
        Ok(Self::Peft {
            alpha: config.lora_alpha,
            by_root: config.use_rslora,
        })
    }

    fn factor(&self, rank: usize, in_file: Option<f32>) -> f32 {
        let rank = rank as f64;
        let factor = match *self {
            Self::InFile => in_file.map_or(1.0, |alpha| f64::from(alpha) / rank),
            Self::Peft { alpha, by_root } if by_root => alpha / rank.sqrt(),
            Self::Peft { alpha, .. } => alpha / rank,
        };
        factor as f32
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
