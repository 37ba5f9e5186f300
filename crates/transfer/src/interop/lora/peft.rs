//! What PEFT's configuration says of an adapter: rank and factor of each module, and whether it is plain LoRA.
//!
//! It stands in `adapter_config.json`, or, where diffusers and SimpleTuner saved the adapter, in the header of the
//! safetensors file. The keys are those of `LoraConfig` of PEFT 0.21.2.

use crate::interop::Remark;
use serde_json::{Map, Value};

/// Keys that make something else of A and B than their product, or change more than those matrices, unless they are off.
const NOT_PLAIN: [&str; 14] = [
    "alora_invocation_tokens",
    "arrow_config",
    "bias",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "megatron_config",
    "modules_to_save",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
];
/// Keys that say nothing of the weights: where the adapter is from, how it was trained, settings of a start that is read
/// from `init_lora_weights`. `fan_in_fan_out` PEFT itself turns off for the layers that a DiT has. Which modules are meant
/// is seen from the tensors.
const WITHOUT_EFFECT: [&str; 23] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "parent_library",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "velora_config",
];
/// Starts that leave the base as it is.
const PLAIN_STARTS: [&str; 4] = ["eva", "gaussian", "mica", "orthogonal"];
/// Starts that take something out of the base, which PEFT can put back into the adapter.
const TAKEN_OUT: [&str; 4] = ["corda", "lora_ga", "olora", "pissa"];

/// Rank and factor of every module.
#[derive(Debug)]
pub(super) struct PeftConfig {
    rank: usize,
    alpha: f64,
    by_root: bool,
    ranks: Vec<(Pattern, f64)>,
    alphas: Vec<(Pattern, f64)>,
    pub remarks: Vec<Remark>,
}

type Told<T> = Result<T, String>;

impl PeftConfig {
    /// What these keys say.
    ///
    /// # Errors
    /// A kind of adapter that is no change of low rank of this base.
    pub fn understand(described: &Map<String, Value>) -> Told<Self> {
        let get = |key: &str| described.get(key).filter(|value| !value.is_null());
        match get("peft_type") {
            None => {}
            Some(Value::String(kind)) if kind == "LORA" => {}
            Some(other) => {
                let kind = other
                    .as_str()
                    .map_or_else(|| other.to_string(), str::to_owned);
                return Err(format!(
                    "its `peft_type` is `{kind}`, only LORA can be read"
                ));
            }
        }
        start(get("init_lora_weights"))?;
        if let Some((key, value)) = NOT_PLAIN
            .iter()
            .filter_map(|key| Some((key, get(key)?)))
            .find(|(_, value)| !is_off(value))
        {
            return Err(format!("`{key}` is {value}, only plain LoRA can be read"));
        }
        let number = |key: &str, default: f64| match get(key) {
            None => Ok(default),
            Some(value) => {
                finite(value).ok_or_else(|| format!("`{key}` is {value}, expected a number"))
            }
        };
        let rank = get("r").map_or(Some(8), Value::as_u64);
        let rank = rank.and_then(|rank| usize::try_from(rank).ok());
        let rank =
            rank.ok_or_else(|| format!("`r` is {}, expected a whole number", described["r"]))?;
        let by_root = match get("use_rslora") {
            None => false,
            Some(value) => value
                .as_bool()
                .ok_or_else(|| format!("`use_rslora` is {value}, expected true or false"))?,
        };
        Ok(Self {
            rank,
            alpha: number("lora_alpha", 8.0)?,
            by_root,
            ranks: patterns("rank_pattern", get("rank_pattern"))?,
            alphas: patterns("alpha_pattern", get("alpha_pattern"))?,
            remarks: unknown(described),
        })
    }

    /// The factor on the change of a module whose A has that rank.
    ///
    /// # Errors
    /// Another rank than is said; two entries that both mean the module and say different alphas.
    pub fn factor(&self, module: &str, rank: usize) -> Told<f32> {
        let ranks = matching(&self.ranks, module);
        let key = if ranks.is_empty() {
            "r"
        } else {
            "rank_pattern"
        };
        let said: Vec<f64> = match ranks.is_empty() {
            true => vec![self.rank as f64],
            false => ranks,
        };
        if !said.contains(&(rank as f64)) {
            return Err(format!(
                "`{key}` says rank {} for {module}, but its A has rank {rank}: one of the two files is of another adapter",
                said[0]
            ));
        }
        let alphas = matching(&self.alphas, module);
        let alpha = alphas.first().copied().unwrap_or(self.alpha);
        if alphas.iter().any(|other| *other != alpha) {
            return Err(format!(
                "several entries of `alpha_pattern` mean {module} and say different alphas: which counts depends on an order that \
                 the file does not keep"
            ));
        }
        let rank = rank as f64;
        let factor = if self.by_root {
            alpha / rank.sqrt()
        } else {
            alpha / rank
        };
        Ok(factor as f32)
    }
}

/// Refuses a start that the base of the adapter lacks.
fn start(value: Option<&Value>) -> Told<()> {
    let refused = |next: &str| {
        let value = value.map_or_else(String::new, Value::to_string);
        Err(format!(
            "`init_lora_weights` is {value}: it was trained on a base that is not the model as it is; {next}"
        ))
    };
    let name = match value {
        None | Some(Value::Bool(_)) => return Ok(()),
        Some(Value::String(name)) => name.to_lowercase(),
        Some(_) => String::new(),
    };
    if PLAIN_STARTS.contains(&name.as_str()) {
        return Ok(());
    }
    match TAKEN_OUT.iter().any(|start| name.starts_with(start)) {
        true => refused(
            "let PEFT make plain LoRA of it: save the start before training, and the adapter with \
             save_pretrained(..., path_initial_model_for_weight_conversion=START)",
        ),
        false => refused("merge it into the model with PEFT, and import that"),
    }
}

/// Notes of keys that this version of PEFT does not have; PEFT passes over them too.
fn unknown(described: &Map<String, Value>) -> Vec<Remark> {
    let read = [
        "r",
        "lora_alpha",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "init_lora_weights",
    ];
    let others = described.iter().filter(|(key, value)| {
        let known = NOT_PLAIN.iter().chain(&WITHOUT_EFFECT).chain(&read);
        !is_off(value) && !known.into_iter().any(|known| known == key)
    });
    others
        .map(|(key, value)| {
            Remark::Warning(format!(
                "`{key}` is {value}, which PEFT 0.21.2 does not have: it is passed over, as PEFT does"
            ))
        })
        .collect()
}

/// Whether a setting is as if it were not there.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text == "none",
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn finite(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

fn matching(patterns: &[(Pattern, f64)], module: &str) -> Vec<f64> {
    let matching = patterns
        .iter()
        .filter(|(pattern, _)| pattern.matches(module));
    matching.map(|(_, value)| *value).collect()
}

fn patterns(key: &str, value: Option<&Value>) -> Told<Vec<(Pattern, f64)>> {
    let map = match value {
        None => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(format!("`{key}` is {other}, expected names with numbers")),
    };
    let entry = |(name, value): (&String, &Value)| {
        let number = finite(value)
            .ok_or_else(|| format!("`{key}` has {value} for `{name}`, expected a number"))?;
        let pattern = Pattern::new(name).ok_or_else(|| {
            format!("`{key}` has `{name}`: only plain names of modules, or their ends, can be read, no other expressions")
        })?;
        Ok((pattern, number))
    };
    map.iter().map(entry).collect()
}

/// A regular expression as far as names of modules are ones. PEFT looks for it at the end of a module's name, from the
/// start of one of its parts; a dot that is not escaped means any character.
#[derive(Debug)]
struct Pattern {
    from_start: bool,
    /// None for any character.
    characters: Vec<Option<char>>,
}

impl Pattern {
    fn new(text: &str) -> Option<Self> {
        let (from_start, text) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = text.strip_suffix('$').unwrap_or(text);
        let mut characters = Vec::new();
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            characters.push(match next {
                '.' => None,
                '\\' if rest.next()? == '.' => Some('.'),
                c if c.is_alphanumeric() || "_-".contains(c) => Some(c),
                _ => return None,
            });
        }
        (!characters.is_empty()).then_some(Self {
            from_start,
            characters,
        })
    }

    fn matches(&self, module: &str) -> bool {
        let name: Vec<char> = module.chars().collect();
        let Some(start) = name.len().checked_sub(self.characters.len()) else {
            return false;
        };
        let at_part = start == 0 || (!self.from_start && name[start - 1] == '.');
        let fits = |(wanted, found): (&Option<char>, &char)| wanted.is_none_or(|c| c == *found);
        at_part && self.characters.iter().zip(&name[start..]).all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn understood(config: &Value) -> Told<PeftConfig> {
        PeftConfig::understand(config.as_object().unwrap())
    }

    /// `peft.utils.other.get_pattern_key([pattern], module) == pattern` of PEFT 0.21.2.
    #[test]
    fn a_module_is_found_as_peft_does() {
        let module = "transformer_blocks.1.attn1.to_q";
        for (pattern, expected) in [
            ("to_q", true),
            ("attn1.to_q", true),
            ("attn1\\.to_q", true),
            ("transformer_blocks.1.attn1.to_q", true),
            ("^transformer_blocks.1.attn1.to_q", true),
            ("o_q", false),
            ("^to_q", false),
            ("1.attn1.to_q", true),
            ("transformer_blocks_1.attn1.to_q", false),
            ("attn1ato_q", false),
            ("attn..to_q", true),
            ("to_k", false),
            ("to_q$", true),
            ("x.transformer_blocks.1.attn1.to_q", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().matches(module),
                expected,
                "{pattern}"
            );
        }
        for other in [".*to_q", "to_[qk]", "(to_q|to_k)", "to_q+", "\\d", "", "\\"] {
            assert!(Pattern::new(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_factor_is_that_of_the_module() {
        let config = json!({"r": 4, "lora_alpha": 16, "rank_pattern": {"to_v": 2}, "alpha_pattern": {"^a.to_q": 3, "to_v": 5}});
        let config = understood(&config).unwrap();
        assert_eq!(config.factor("a.to_k", 4), Ok(4.0));
        assert_eq!(config.factor("a.to_q", 4), Ok(0.75));
        assert_eq!(config.factor("b.to_q", 4), Ok(4.0));
        assert_eq!(config.factor("b.to_v", 2), Ok(2.5));
        let wrong = config.factor("b.to_v", 4).unwrap_err();
        assert!(
            wrong.contains("`rank_pattern` says rank 2 for b.to_v"),
            "{wrong}"
        );
        let wrong = config.factor("a.to_k", 2).unwrap_err();
        assert!(wrong.contains("`r` says rank 4 for a.to_k"), "{wrong}");
        let root = json!({"r": 4, "lora_alpha": 16, "use_rslora": true});
        assert_eq!(understood(&root).unwrap().factor("a.to_k", 4), Ok(8.0));
        // PEFT's defaults.
        assert_eq!(understood(&json!({})).unwrap().factor("x", 8), Ok(1.0));
        let two = json!({"alpha_pattern": {"to_q": 2, "a.to_q": 3}});
        let several = understood(&two).unwrap().factor("a.to_q", 8).unwrap_err();
        assert!(
            several.contains("several entries of `alpha_pattern`"),
            "{several}"
        );
    }

    #[test]
    fn every_key_that_makes_another_adapter_is_refused_by_name() {
        for (key, value) in [
            ("init_lora_weights", json!("pissa")),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("init_lora_weights", json!("olora")),
            ("init_lora_weights", json!("OLoRA")),
            ("init_lora_weights", json!("corda")),
            ("init_lora_weights", json!("loftq")),
            ("init_lora_weights", json!("lora_ga")),
            ("init_lora_weights", json!("something new")),
            ("init_lora_weights", json!(3)),
            ("use_dora", json!(true)),
            ("lora_bias", json!(true)),
            ("bias", json!("lora_only")),
            ("modules_to_save", json!(["proj_out_1"])),
            ("target_parameters", json!(["x.weight"])),
            ("use_bdlora", json!({"nblocks": 2})),
            ("kasa_config", json!({"beta": 1e-4})),
            ("rank_pattern", json!({"to_[qk]": 4})),
            ("alpha_pattern", json!({"to_q": "x"})),
            ("r", json!(2.5)),
            ("lora_alpha", json!("x")),
        ] {
            let error = understood(&json!({key: value})).unwrap_err();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
    }

    #[test]
    fn what_says_nothing_of_the_weights_passes_and_unknown_keys_are_named() {
        for start in [
            json!(true),
            json!(false),
            json!("gaussian"),
            json!("eva"),
            json!("orthogonal"),
            json!("mica"),
        ] {
            let known = json!({"init_lora_weights": start, "peft_version": "0.21.2", "task_type": "X", "loftq_config": {},
                "eva_config": {"rho": 2.0}, "layers_to_transform": [0], "layers_pattern": "h", "new_and_off": false});
            assert_eq!(understood(&known).unwrap().remarks, []);
        }
        let new = understood(&json!({"use_new_thing": true})).unwrap().remarks;
        assert!(
            matches!(&new[..], [Remark::Warning(text)] if text.contains("`use_new_thing` is true"))
        );
    }
}
