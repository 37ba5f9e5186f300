//! Which dictionary of a file holds the weights, and what else it says.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::pickle::{Object, Unpickled, Value};
use crate::zip::invalid;

/// Names under which training programs keep weights, in the order in which they are taken if none is asked for: moving
/// averages first.
const PARTS: [&str; 15] = [
    "ema",
    "model_ema",
    "ema_model",
    "ema_state_dict",
    "state_dict_ema",
    "params_ema",
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "net",
    "network",
    "params",
    "weights",
    "shadow",
];
/// Parts that an error names.
const NAMED: usize = 8;
/// Dictionaries of such names that a part may lie in.
const DEPTH: usize = 1;

/// Names under which training programs keep their options.
const SETTINGS: [&str; 4] = ["args", "config", "cfg", "hyper_parameters"];
/// Options that are kept of a file, and bytes of a name or text.
const MOST_SETTINGS: usize = 1000;
const MOST_TEXT: usize = 200;

type Entries<'a> = Vec<(&'a str, Value)>;

/// Names and tensors of the part asked for.
pub(super) fn chosen<'a>(pickle: &'a Unpickled, part: Option<&str>) -> io::Result<Entries<'a>> {
    let mut entries = named(pickle, pickle.root).ok_or_else(no_names)?;
    let holding = holding(pickle);
    let mut part = part;
    for inner in 0..=DEPTH {
        let is_part = |value: Value| match value {
            Value::At(at) => holding[..=DEPTH - inner]
                .iter()
                .any(|level| level.contains(&at)),
            _ => false,
        };
        let parts: Vec<&str> = entries
            .iter()
            .filter(|(_, value)| is_part(*value))
            .map(|(name, _)| *name)
            .collect();
        let wanted = match part {
            Some(part) => parts.iter().find(|name| **name == part).copied(),
            None => PARTS.into_iter().find(|name| parts.contains(name)),
        };
        let Some(wanted) = wanted else {
            let whole = tensors(pickle, &entries);
            let of_part: Entries<'a> = match part {
                None => whole.clone(),
                Some(part) => whole
                    .iter()
                    .filter(|(n, _)| below(n, part))
                    .copied()
                    .collect(),
            };
            return match of_part.is_empty() {
                true => Err(missing(part, &parts, !whole.is_empty())),
                false => Ok(of_part),
            };
        };
        let value = entries.iter().find(|(name, _)| *name == wanted);
        let value = value.map_or(Value::None, |(_, value)| *value);
        entries = named(pickle, value).ok_or_else(no_names)?;
        part = None;
        if matches!(value, Value::At(at) if holding[0].contains(&at)) {
            return Ok(tensors(pickle, &entries));
        }
    }
    Err(no_names())
}

fn no_names() -> io::Error {
    invalid("it holds no dictionary of named tensors")
}

fn missing(part: Option<&str>, parts: &[&str], whole: bool) -> io::Error {
    let asked = part.map_or_else(|| PARTS.join(", "), str::to_owned);
    let found = match (parts, whole) {
        (_, true) => "one set of tensors".into(),
        ([], false) => "no tensors".into(),
        (parts, false) => parts[..parts.len().min(NAMED)].join(", "),
    };
    invalid(format!("it has no part {asked}; it has {found}"))
}

/// Whether a name begins with that of a part and a dot.
fn below(name: &str, part: &str) -> bool {
    let rest = name.strip_prefix(part);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// The entries of a dictionary, all of whose keys must be texts.
fn named(pickle: &Unpickled, value: Value) -> Option<Entries<'_>> {
    let entries = pickle.dict(value)?.iter();
    entries
        .map(|&(key, value)| Some((pickle.text(key)?, value)))
        .collect()
}

fn is_tensor(pickle: &Unpickled, value: Value) -> bool {
    matches!(pickle.object(value), Some(Object::Tensor { .. }))
}

fn tensors<'a>(pickle: &Unpickled, entries: &[(&'a str, Value)]) -> Entries<'a> {
    let tensors = entries
        .iter()
        .filter(|(_, value)| is_tensor(pickle, *value));
    tensors.copied().collect()
}

/// Which dictionaries hold tensors, and which hold one of those under a usual name. Each is looked through once for each
/// of the two, however many names it has.
fn holding(pickle: &Unpickled) -> Vec<BTreeSet<usize>> {
    let mut levels: Vec<BTreeSet<usize>> = Vec::new();
    for _ in 0..=DEPTH {
        let inner = levels.last();
        let holds = |key: Value, value: Value| match (inner, value) {
            (None, value) => is_tensor(pickle, value),
            (Some(inner), Value::At(at)) if inner.contains(&at) => {
                pickle.text(key).is_some_and(|name| PARTS.contains(&name))
            }
            _ => false,
        };
        let level = (0..pickle.objects().len()).filter(|&at| {
            let entries = pickle.dict(Value::At(at)).unwrap_or_default();
            entries.iter().any(|&(key, value)| holds(key, value))
        });
        let level = level.collect();
        levels.push(level);
    }
    levels
}

/// The options of the program that saved the file, as far as they are short texts, whole numbers and truth values.
pub(super) fn settings(pickle: &Unpickled) -> BTreeMap<String, String> {
    let root = pickle.dict(pickle.root).unwrap_or_default();
    let all = root.iter().filter_map(|&(key, value)| {
        let name = pickle.text(key)?;
        SETTINGS.contains(&name).then(|| pickle.dict(value))?
    });
    let pairs = all
        .flatten()
        .take(MOST_SETTINGS)
        .filter_map(|&(key, value)| {
            let text = match value {
                Value::Bool(value) => value.to_string(),
                Value::Int(value) => value.to_string(),
                value => pickle
                    .text(value)
                    .filter(|t| t.len() <= MOST_TEXT)?
                    .to_owned(),
            };
            let name = pickle.text(key).filter(|name| name.len() <= MOST_TEXT)?;
            Some((name.to_owned(), text))
        });
    pairs.collect()
}
