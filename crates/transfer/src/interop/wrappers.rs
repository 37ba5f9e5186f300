//! What wrappers put before the names of a network's tensors: `DistributedDataParallel`, `torch.compile`, FSDP, modules of
//! Lightning, moving averages.

use learngene_formats::TensorEntry;
use std::collections::{BTreeMap, BTreeSet};

type Tensors = BTreeMap<String, TensorEntry>;

/// What may stand anywhere in a name, of `torch.compile`, FSDP and the recomputation of activations.
const ANYWHERE: [&str; 3] = [
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
];
/// Single numbers that count what an average has seen.
const COUNTERS: [&str; 6] = [
    "n_averaged",
    "initted",
    "step",
    "num_updates",
    "decay",
    "epoch",
];

/// A name without what wrappers put anywhere in it.
pub(super) fn bare(name: &str) -> String {
    let without = |name: String, part: &&str| name.replace(part, "");
    ANYWHERE.iter().fold(name.to_owned(), without)
}

/// A name without any wrapper, the front ones of parallel training included.
pub(super) fn bare_from_start(name: &str) -> String {
    let name = bare(name);
    let mut rest = name.as_str();
    while let Some(inner) = rest.strip_prefix("module.") {
        rest = inner;
    }
    rest.to_owned()
}

/// All tensors under names without any wrapper.
pub(super) fn all_bare(tensors: Tensors) -> Result<Tensors, String> {
    renamed(tensors, bare_from_start)
}

fn renamed(tensors: Tensors, rename: impl Fn(&str) -> String) -> Result<Tensors, String> {
    let mut all = Tensors::new();
    for (name, tensor) in tensors {
        if all.insert(rename(&name), tensor).is_some() {
            return Err(format!(
                "it has `{name}` twice, with and without a wrapper's prefix"
            ));
        }
    }
    Ok(all)
}

/// Whether the tensor of that name is part of a network and not a number beside it.
pub(super) fn is_weight(name: &str) -> bool {
    let last = name.rsplit('.').next();
    last.is_some_and(|last| ["weight", "bias", "pos_embed"].contains(&last))
}

/// The tensors of one network, under its own names: those that begin as the one does whose name ends with `key`. Of several
/// networks it is that of `part`, else the moving average. The second value is how many tensors of others were left out.
pub(super) fn unwrapped(
    tensors: Tensors,
    key: &str,
    part: Option<&str>,
) -> Result<(Tensors, usize), String> {
    let all = renamed(tensors, bare)?;
    let prefixes: BTreeSet<&str> = all
        .keys()
        .filter_map(|name| name.strip_suffix(key))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    let of_part = |prefix: &&&str| match part {
        Some(part) => prefix
            .strip_prefix(part)
            .is_some_and(|rest| rest.starts_with('.')),
        None => false,
    };
    let average = |prefix: &&&str| prefix.split('.').any(|word| word.contains("ema"));
    let chosen = prefixes
        .iter()
        .find(of_part)
        .or_else(|| prefixes.get(""))
        .or_else(|| prefixes.iter().find(average).or(prefixes.first()));
    let Some(prefix) = chosen.map(|prefix| (*prefix).to_owned()) else {
        return Ok((all, 0));
    };
    let mut own = Tensors::new();
    let mut others = 0;
    for (name, tensor) in all {
        match name.strip_prefix(&prefix) {
            Some(rest) if prefix.is_empty() && is_counter(rest, &tensor) => {}
            Some(rest) => drop(own.insert(rest.to_owned(), tensor)),
            None if is_counter(&name, &tensor) => {}
            None => others += 1,
        }
    }
    Ok((own, others))
}

fn is_counter(name: &str, tensor: &TensorEntry) -> bool {
    tensor.values.len() == 1 && COUNTERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Tensors {
        let entry = |name: &&str| {
            let tensor = TensorEntry {
                shape: vec![1],
                values: vec![0.0],
            };
            ((*name).to_owned(), tensor)
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn prefixes_are_taken_off_and_other_networks_left_out() {
        for (names, part, own, others) in [
            (&["k.weight", "b"][..], None, &["b", "k.weight"][..], 0),
            (&["module.k.weight", "n_averaged"], None, &["k.weight"], 0),
            (
                &["module._orig_mod.k.weight", "module.b"],
                None,
                &["b", "k.weight"],
                0,
            ),
            (
                &["model.k.weight", "loss.x", "model.b"],
                None,
                &["b", "k.weight"],
                1,
            ),
            (
                &["model.k.weight", "ema_model.k.weight", "ema_model.c"],
                None,
                &["c", "k.weight"],
                1,
            ),
            (
                &["model.k.weight", "ema_model.k.weight", "model.d"],
                Some("model"),
                &["d", "k.weight"],
                1,
            ),
            (&["other"], None, &["other"], 0),
            (&["initted", "k.weight"], None, &["k.weight"], 0),
        ] {
            let (found, count) = unwrapped(named(names), "k.weight", part).unwrap();
            assert_eq!(found.into_keys().collect::<Vec<_>>(), own, "{names:?}");
            assert_eq!(count, others, "{names:?}");
        }
        let twice = unwrapped(named(&["_orig_mod.k.weight", "k.weight"]), "k.weight", None);
        assert!(twice.unwrap_err().contains("twice"));
        assert_eq!(bare_from_start("module.module._orig_mod.x.y"), "x.y");
    }
}
