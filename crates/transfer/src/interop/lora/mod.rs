//! Changes of low rank, `W + (alpha / r) B A`, as PEFT, diffusers and kohya's scripts keep them.
//!
//! A tailor is one: rows of `tailors.v` are those of A, rows of `tailors.u` times their sigmas the columns of B. So with
//! the learngene merged into ordinary weights, a tailor is an adapter of that model, and the other way round. Where all
//! sigmas are one number, as our method `lora` leaves them, it is written as `alpha / r`; else they go into B.

mod peft;
mod read;
mod saved;
mod write;

use super::Remark;
use super::names::MODULES;
use crate::error::{Error, Result};
use crate::factors::Components;
use learngene_nn::{Dit, DitConfig, Sharing, params};
use learngene_train::RunConfig;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The description of a PEFT adapter.
const CONFIG: &str = "adapter_config.json";
/// Its weights, without the end of the name.
const WEIGHTS: &str = "adapter_model";
/// What PEFT puts before the name of a module.
const PEFT_PREFIX: &str = "base_model.model.";

/// A change of low rank to some matrices of a model.
pub struct Lora {
    path: PathBuf,
    /// By the name of the matrix, all of this rank, so that it can be a tailor.
    changes: BTreeMap<String, Components>,
    rank: usize,
    /// What a person should know of what was read.
    pub remarks: Vec<Remark>,
}

/// Whether a path is a folder of PEFT's.
pub fn is_folder_of_one(path: &Path) -> bool {
    path.join(CONFIG).is_file()
}

/// The adapters that a model's tailors are, with the class of each: one for each class, with the components of its
/// superclass too, or one without if classes share it.
pub fn of_model(config: &RunConfig, model: &Dit) -> Vec<(Option<String>, Lora)> {
    let shape = &config.model;
    let values = params::values(model);
    let adapter = |class: Option<usize>, groups: &[usize]| {
        let mut changes = BTreeMap::new();
        for (name, ..) in matrices(shape) {
            let rows = |part: &str| {
                let stored = values.get(&format!("{name}.tailors.{part}"));
                let stored = stored.map_or(&[][..], |v| &v.values);
                let size = stored.len() / shape.groups;
                let of_group = |&g: &usize| &stored[g * size..(g + 1) * size];
                groups.iter().flat_map(of_group).copied().collect()
            };
            let [u, s, v]: [Vec<f32>; 3] = ["u", "s", "v"].map(rows);
            changes.insert(name, Components { u, s, v });
        }
        let lora = Lora {
            path: PathBuf::new(),
            changes,
            rank: shape.tailor_rank * groups.len(),
            remarks: Vec::new(),
        };
        (class.map(|c| config.classes[c].clone()), lora)
    };
    let of_class = |class: usize| {
        let groups: Vec<usize> = shape.groups_shared_by(class).chain([class]).collect();
        adapter(Some(class), &groups)
    };
    match (shape.groups, shape.sharing) {
        (0, _) => Vec::new(),
        (_, Sharing::Class) => (0..shape.num_classes).map(of_class).collect(),
        (_, Sharing::Labelled | Sharing::Every) => vec![adapter(None, &[0])],
    }
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
    let made = Dit::of(&joined.model, values, &model.device())?;
    Ok((joined, made))
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

/// `[rows, columns]` as `[columns, rows]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let at = |i: usize| values[i % rows * columns + i / rows];
    (0..rows * columns).map(at).collect()
}
