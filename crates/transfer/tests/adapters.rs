//! Adapters as PEFT, diffusers and kohya's scripts save them: the weights that those programs make of each, to 1e-5, or a
//! refusal that names the key.
//!
//! Files and merged weights are theirs: `reference/foreign.py`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{fixture, from_diffusers};
use learngene_formats::container;
use learngene_nn::params::{self, Values};
use learngene_transfer::interop::Remark;
use learngene_transfer::interop::lora::{self, Lora};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn foreign(name: &str) -> PathBuf {
    fixture("../foreign").join(name)
}

fn adapter(name: &str) -> PathBuf {
    foreign("adapters").join(name)
}

/// What a module of diffusers' is called here.
fn ours(module: &str) -> String {
    let mut name = module.replace("transformer_blocks.", "blocks.");
    for (theirs, ours) in [
        ("attn1.to_q", "attention.q"),
        ("attn1.to_k", "attention.k"),
        ("attn1.to_v", "attention.v"),
        ("attn1.to_out.0", "attention.o"),
        ("ff.net.0.proj", "mlp.input"),
        ("ff.net.2", "mlp.output"),
    ] {
        name = name.replace(theirs, ours);
    }
    name
}

/// A weight with its tailor, which all classes share.
fn merged(values: &BTreeMap<String, Values>, name: &str) -> Vec<f64> {
    let part = |part: &str| &values[&format!("{name}.tailors.{part}")].values;
    let [u, s, v] = ["u", "s", "v"].map(part);
    let weight = &values[&format!("{name}.weight")];
    let (m, n) = (weight.shape[0], weight.shape[1]);
    let mut sum: Vec<f64> = weight.values.iter().map(|&w| f64::from(w)).collect();
    for (k, scale) in s.iter().enumerate() {
        for (at, value) in sum.iter_mut().enumerate() {
            let [u, v] = [u[k * m + at / n], v[k * n + at % n]].map(f64::from);
            *value += f64::from(*scale) * u * v;
        }
    }
    sum
}

/// Asserts that the adapter changes the fixture's model as the other program has it.
fn is_what_they_make_of_it(path: &Path, name: &str) {
    let (config, model) = from_diffusers();
    let read = Lora::read(path, &config.model).unwrap_or_else(|e| unreachable!("{name}: {e}"));
    let (_, with) = lora::attach(&config, &model, &[(None, read)]).unwrap();
    let values = params::values(&with);
    let theirs = container::read(foreign("merged.safetensors"))
        .unwrap()
        .tensors;
    let prefix = format!("{name}.transformer_blocks");
    let mut found = 0;
    for (key, expected) in theirs.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let module = &key[name.len() + 1..];
        let apart = merged(&values, &ours(module))
            .iter()
            .zip(&expected.values)
            .fold(0.0f64, |most, (a, b)| most.max((a - f64::from(*b)).abs()));
        assert!(apart < 1e-5, "{name}, {module}: {apart:e}");
        found += 1;
    }
    assert!(found > 0, "{name}");
}

#[test]
fn merged_weights_are_those_of_peft() {
    for name in [
        "patterns",
        "rslora-patterns",
        "fan-in-fan-out",
        "gaussian",
        "orthogonal",
        "mica",
        "pissa-converted",
        "layers",
    ] {
        is_what_they_make_of_it(&adapter(name), name);
        // The file is as good as its folder: what is said of it lies beside.
        is_what_they_make_of_it(&adapter(name).join("adapter_model.safetensors"), name);
    }
}

#[test]
fn merged_weights_are_those_of_diffusers_and_kohya() {
    for name in [
        "header",
        "header-without-prefix",
        "no-alpha",
        "kohya-i64",
        "kohya-i32",
        "kohya-f16",
        "kohya-bf16",
    ] {
        is_what_they_make_of_it(&adapter(&format!("{name}.safetensors")), name);
    }
    is_what_they_make_of_it(&adapter("kohya-i64.pt"), "kohya-i64");
}

#[test]
fn a_folder_of_diffusers_is_read_as_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pytorch_lora_weights.safetensors");
    fs::copy(adapter("header.safetensors"), &file).unwrap();
    is_what_they_make_of_it(folder.path(), "header");
}

fn refusal(path: &Path) -> String {
    let (config, _) = from_diffusers();
    Lora::read(path, &config.model).err().unwrap().to_string()
}

#[test]
fn what_is_no_change_of_this_base_is_refused_by_the_name_of_its_key() {
    for (name, part) in [
        ("pissa", "`init_lora_weights` is \"pissa\""),
        ("pissa_niter_4", "`init_lora_weights` is \"pissa_niter_4\""),
        ("olora", "path_initial_model_for_weight_conversion"),
        ("dora", "`use_dora` is true"),
        ("lora-bias", "`lora_bias` is true"),
        ("bias", "`bias` is \"lora_only\""),
        ("modules-to-save", "`modules_to_save` is"),
        ("target-parameters", "`target_parameters` is"),
        ("lycoris-dora.safetensors", "dora_scale"),
        ("lycoris-loha.safetensors", "hada_w1_a"),
    ] {
        let error = refusal(&adapter(name));
        assert!(error.contains(part), "{name}: {error}");
    }
}

#[test]
fn files_that_contradict_their_configuration_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = "adapter_model.safetensors";
    fs::copy(adapter("gaussian").join(weights), folder.join(weights)).unwrap();
    let alone = refusal(&folder.join(weights));
    assert!(
        alone.contains("adapter_config.json, which says its alpha"),
        "{alone}"
    );
    let text = fs::read_to_string(adapter("gaussian").join("adapter_config.json")).unwrap();
    let config = folder.join("adapter_config.json");
    for (from, to, part) in [
        ("\"r\": 4", "\"r\": 8", "`r` says rank 8"),
        (
            "\"rank_pattern\": {}",
            "\"rank_pattern\": {\"to_q\": 2}",
            "`rank_pattern` says rank 2",
        ),
        (
            "\"alpha_pattern\": {}",
            "\"alpha_pattern\": {\"to_[qk]\": 2}",
            "`alpha_pattern` has `to_[qk]`",
        ),
        (
            "\"peft_type\": \"LORA\"",
            "\"x\": 0",
            "`peft_type` is missing",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&config, text.replace(from, to)).unwrap();
        for path in [folder, &folder.join(weights)] {
            let error = refusal(path);
            assert!(error.contains(part), "{error}");
        }
    }
    // An alpha beside the factors and another in the configuration: diffusers refuses both at once, too.
    fs::write(&config, &text).unwrap();
    let mut contents = container::read(folder.join(weights)).unwrap();
    let alpha = container::TensorEntry {
        shape: vec![],
        values: vec![2.0],
    };
    let name = "base_model.model.transformer_blocks.0.attn1.to_q.alpha";
    contents.tensors.insert(name.into(), alpha);
    container::write(folder.join(weights), &contents).unwrap();
    let error = refusal(folder);
    assert!(error.contains("an alpha of 2 beside"), "{error}");
}

#[test]
fn a_key_that_peft_does_not_know_is_passed_over_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = "adapter_model.safetensors";
    fs::copy(adapter("gaussian").join(weights), folder.join(weights)).unwrap();
    let text = fs::read_to_string(adapter("gaussian").join("adapter_config.json")).unwrap();
    let text = text.replacen('{', "{\"use_tomorrow\": 3,", 1);
    fs::write(folder.join("adapter_config.json"), text).unwrap();
    is_what_they_make_of_it(folder, "gaussian");
    let (config, _) = from_diffusers();
    let remarks = Lora::read(folder, &config.model).unwrap().remarks;
    assert!(
        matches!(&remarks[..], [Remark::Warning(text)] if text.contains("`use_tomorrow` is 3")),
        "{remarks:?}"
    );
}
