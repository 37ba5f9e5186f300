//! Changes of low rank, `W + (alpha / r) B A`, as PEFT, diffusers and kohya's scripts keep them.
//!
//! A tailor is one: rows of `tailors.v` are those of A, rows of `tailors.u` times their sigmas the columns of B. So with
//! the learngene merged into ordinary weights, a tailor is an adapter of that model, and the other way round. Where all
//! sigmas are one number, as our method `lora` leaves them, it is written as `alpha / r`; else they go into B.

use super::names::MODULES;
use crate::error::{Error, Result};
use crate::factors::Components;
use learngene_formats::{
    Mismatch, TensorEntry, atomic::write_bytes_atomically, container, container::Contents, shards,
};
use learngene_nn::{Dit, DitConfig, FactorInit, Sharing, params};
use learngene_train::RunConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The description of a PEFT adapter.
const CONFIG: &str = "adapter_config.json";
/// Its weights, without the end of the name.
const WEIGHTS: &str = "adapter_model";
/// What PEFT puts before the name of a module.
const PEFT_PREFIX: &str = "base_model.model.";
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

/// A change of low rank to some matrices of a model.
pub struct Lora {
    path: PathBuf,
    /// By the name of the matrix; the same rank for all, so that it can be a tailor.
    changes: BTreeMap<String, Components>,
    rank: usize,
}

/// The adapters that a model's tailors are, with the class of each: one for each class, or one without if classes share
/// it.
pub fn of_model(config: &RunConfig, model: &Dit) -> Vec<(Option<String>, Lora)> {
    let shape = &config.model;
    let values = params::values(model);
    let tailor = |group: usize| {
        let mut changes = BTreeMap::new();
        for (name, ..) in matrices(shape) {
            let rows = |part: &str| {
                let stored = values.get(&format!("{name}.tailors.{part}"));
                let stored = stored.map_or(&[][..], |v| &v.values);
                let size = stored.len() / shape.groups;
                stored[group * size..(group + 1) * size].to_vec()
            };
            let [u, s, v] = ["u", "s", "v"].map(rows);
            changes.insert(name, Components { u, s, v });
        }
        let class = (shape.sharing == Sharing::Class).then(|| config.classes[group].clone());
        let (path, rank) = (PathBuf::new(), shape.tailor_rank);
        (
            class,
            Lora {
                path,
                changes,
                rank,
            },
        )
    };
    (0..shape.groups).map(tailor).collect()
}

/// The model with these changes as tailors: one that all samples share, or those of some classes, the others' being
/// zero.
///
/// # Errors
/// A model with tailors of its own, a class that it does not have or that is named twice, ranks that do not fit.
pub fn attach(
    config: &RunConfig,
    model: &Dit,
    changes: &[(Option<String>, Lora)],
) -> Result<(RunConfig, Dit)> {
    let request = |found: String, expected: &str| Error::Request {
        what: "adapters",
        found,
        expected: expected.into(),
    };
    if config.model.groups > 0 {
        let found = "some for a model with tailors".into();
        return Err(request(
            found,
            "a model without; `learngene merge` may make one",
        ));
    }
    let mut groups = BTreeMap::new();
    for (class, lora) in changes {
        let group = match class {
            None => 0,
            Some(class) => crate::assemble::number_of(&config.classes, class)?,
        };
        if groups.insert(group, lora).is_some() || (class.is_none() && changes.len() > 1) {
            let found = format!("a second one, {}", lora.path.display());
            return Err(request(found, "one for each class, or one for all"));
        }
    }
    let shared = changes.iter().any(|(class, _)| class.is_none());
    let rank = changes.iter().map(|(_, lora)| lora.rank).max().unwrap_or(0);
    let mut joined = config.clone();
    joined.model = match shared {
        true => joined.model.with_shared_tailor(rank, Sharing::Every)?,
        false => joined.model.with_tailors(rank)?,
    };
    let mut values = params::values(model);
    for (name, m, n) in matrices(&joined.model) {
        let count = joined.model.groups;
        for (part, width) in [("u", m), ("s", 1), ("v", n)] {
            let size = rank * width;
            let mut all = vec![0.0; count * size];
            for (group, lora) in &groups {
                let Some(change) = lora.changes.get(&name) else {
                    continue;
                };
                let rows = match part {
                    "u" => &change.u,
                    "s" => &change.s,
                    _ => &change.v,
                };
                all[group * size..group * size + rows.len()].copy_from_slice(rows);
            }
            let shape = match part {
                "s" => vec![count * rank],
                _ => vec![count * rank, width],
            };
            values.insert(
                format!("{name}.tailors.{part}"),
                params::Values { shape, values: all },
            );
        }
    }
    let start = Dit::init(&joined.model, FactorInit::ZeroStart, 0, &model.device())?;
    Ok((joined, params::replace(start, &values)?))
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
        if rank == 0 {
            return Err(Error::Import {
                path: path.into(),
                reason: "it changes no matrix".into(),
            });
        }
        Ok(Self {
            path: path.into(),
            changes,
            rank,
        })
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into a folder, which is made.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path, shape: &DitConfig) -> Result<()> {
        let (rank, scale) = (self.rank, self.common_sigma());
        let mut tensors = BTreeMap::new();
        for (name, module, m, n) in modules(shape) {
            let Some(change) = self.changes.get(&name) else {
                continue;
            };
            let mut b = transposed(&change.u, rank, m);
            if scale.is_none() {
                let rows = b.chunks_exact_mut(rank);
                rows.for_each(|row| row.iter_mut().zip(&change.s).for_each(|(b, s)| *b *= s));
            }
            let mut push = |part: &str, shape: [usize; 2], values: Vec<f32>| {
                let shape = shape.to_vec();
                let name = format!("{PEFT_PREFIX}{module}.{part}.weight");
                tensors.insert(name, TensorEntry { shape, values });
            };
            push("lora_A", [rank, n], change.v.clone());
            push("lora_B", [m, rank], b);
        }
        let config = json!({
            "peft_type": "LORA",
            "base_model_name_or_path": null,
            "task_type": null,
            "inference_mode": true,
            "r": rank,
            "lora_alpha": f64::from(scale.unwrap_or(1.0)) * rank as f64,
            "lora_dropout": 0.0,
            "target_modules": MODULES.map(|(_, module)| module),
            "bias": "none",
            "fan_in_fan_out": false,
            "use_rslora": false,
            "use_dora": false,
            "modules_to_save": null,
        });
        std::fs::create_dir_all(folder).map_err(|source| learngene_formats::FormatError::Io {
            action: "make the folder",
            path: folder.into(),
            source,
        })?;
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        let contents = Contents { metadata, tensors };
        container::write(folder.join(format!("{WEIGHTS}.safetensors")), &contents)?;
        let text = serde_json::to_string_pretty(&config).unwrap_or_default() + "\n";
        Ok(write_bytes_atomically(
            folder.join(CONFIG),
            text.as_bytes(),
        )?)
    }

    /// The sigma of every component, if it is one positive number.
    fn common_sigma(&self) -> Option<f32> {
        let mut all = self.changes.values().flat_map(|c| c.s.iter().copied());
        let first = all.next().filter(|s| *s > 0.0)?;
        all.all(|s| s == first).then_some(first)
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

/// Name, rows and columns of every matrix that has tailors.
fn matrices(shape: &DitConfig) -> impl Iterator<Item = (String, usize, usize)> {
    modules(shape).map(|(name, _, m, n)| (name, m, n))
}

/// Name here, module there, rows and columns of every matrix that has tailors.
fn modules(shape: &DitConfig) -> impl Iterator<Item = (String, String, usize, usize)> {
    let (d, hidden) = (shape.hidden, shape.mlp_hidden());
    (0..shape.depth).flat_map(move |l| {
        MODULES.map(|(site, module)| {
            let (m, n) = match site {
                "mlp.input" => (hidden, d),
                "mlp.output" => (d, hidden),
                _ => (d, d),
            };
            let module = format!("transformer_blocks.{l}.{module}");
            (format!("blocks.{l}.{site}"), module, m, n)
        })
    })
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

/// `[rows, columns]` as `[columns, rows]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let at = |i: usize| values[i % rows * columns + i / rows];
    (0..rows * columns).map(at).collect()
}
