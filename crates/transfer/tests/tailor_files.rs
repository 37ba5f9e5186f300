//! Tailor files: what is written is read back, what was tampered with is refused, what belongs to another model as well.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::{Device, Distribution, Tensor};
use learngene_formats::WeightFile;
use learngene_nn::{ClassGate, Conditions, Dit, DitConfig, FactorInit, RankSplit, params};
use learngene_train::{DataConfig, RunConfig, TrainConfig, weights};
use learngene_transfer::{TailorSet, adapt, assemble_with, method};
use std::collections::BTreeMap;

fn names(classes: &[&str]) -> Vec<String> {
    classes.iter().map(|class| (*class).into()).collect()
}

/// Every parameter whose name `which` accepts, drawn anew.
fn shaken(model: Dit, which: impl Fn(&str) -> bool) -> Dit {
    let mut values = params::values(&model);
    values.retain(|name, _| which(name));
    for value in values.values_mut() {
        let noise = Tensor::<1>::random(
            [value.values.len()],
            Distribution::Normal(0.0, 0.1),
            &Device::flex(),
        );
        value.values = params::to_vec(noise);
    }
    params::replace(model, values).unwrap()
}

/// A model of three classes, none of its parameters at the zeros it starts with.
fn base() -> (RunConfig, Dit) {
    let split = RankSplit {
        learngene: 8,
        tailor: 3,
    };
    let model = DitConfig::from_size("dit-micro/4", [3, 8, 8], 3).unwrap();
    let config = RunConfig {
        data: DataConfig::of("builtin:emoji"),
        train: TrainConfig::default(),
        model: model.with_rank_split(split).unwrap(),
        init: FactorInit::Orthogonal,
        classes: names(&["a", "b", "c"]),
        method: None,
    };
    let model = Dit::init(&config.model, config.init, 3, &Device::flex()).unwrap();
    (config, shaken(model, |_| true))
}

/// As after a transfer to two new classes.
fn moved(base: &RunConfig, model: &Dit, rank: usize) -> (RunConfig, Dit) {
    let classes = names(&["x", "y"]);
    let name = match base.model.learngene_rank() {
        Some(_) => "kind",
        None => "gated-tailors",
    };
    let rank = BTreeMap::from([("rank".into(), rank.to_string())]);
    let method = method(name).unwrap();
    let (config, start) = adapt(base, model, &classes, method, &rank, 1, &Device::flex()).unwrap();
    let trained = |name: &str| name.contains(".tailors.");
    (config, shaken(start, trained))
}

/// What a model predicts for one noisy image of a class.
fn predicted(model: &Dit, class: usize) -> Vec<f32> {
    let x = Tensor::<4>::full([1, 3, 8, 8], 0.3, &Device::flex());
    let conditions = Conditions {
        times: vec![300.0],
        labels: vec![Some(class)],
        gate: model.fit_gate(ClassGate::one_hot([Some(class)])),
    };
    params::to_vec(model.forward(x, &conditions).unwrap())
}

#[test]
fn a_set_is_read_back_as_written_and_joins_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tailors.safetensors");
    let (config, model) = base();
    let (novel, trained) = moved(&config, &model, 3);
    let set = TailorSet::of(&novel, &trained, &path);
    set.write(&path).unwrap();
    let read = TailorSet::read(&path).unwrap();
    assert_eq!(read, set);

    let wanted = names(&["y", "b", "x"]);
    let (joined, whole) = assemble_with(&config, &model, &[read], &wanted, None).unwrap();
    // Three classes, and what the new ones share.
    assert_eq!((joined.model.num_classes, joined.model.groups), (3, 4));
    assert_eq!(predicted(&whole, 0), predicted(&trained, 1));
    assert_eq!(predicted(&whole, 1), predicted(&model, 1));
    assert_eq!(predicted(&whole, 2), predicted(&trained, 0));
    assert_ne!(predicted(&whole, 0), predicted(&whole, 2));
    // The joined model belongs to the same learngene as both it came from.
    let hashes = [&model, &trained, &whole].map(|m| weights::learngene_hash(&weights::of_model(m)));
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

#[test]
fn the_null_row_belongs_to_the_learngene_and_class_rows_do_not() {
    let (config, model) = base();
    let hash_with = |row: usize| {
        let mut values = params::values(&model);
        values.get_mut("label.table").unwrap().values[row * config.model.hidden] += 1.0;
        weights::learngene_hash(&weights::lent(&values))
    };
    let hash = weights::learngene_hash(&weights::of_model(&model));
    assert_eq!(hash_with(2), hash);
    assert_ne!(hash_with(3), hash);
}

#[test]
fn a_base_without_tailors_takes_some_on() {
    let (mut config, _) = base();
    config.model = DitConfig::from_size("dit-micro/4", [3, 8, 8], 3).unwrap();
    let model = Dit::init(&config.model, config.init, 3, &Device::flex()).unwrap();
    let model = shaken(model, |_| true);
    let (novel, trained) = moved(&config, &model, 2);
    let set = TailorSet::of(&novel, &trained, "tailors");
    let (_, whole) = assemble_with(
        &config,
        &model,
        std::slice::from_ref(&set),
        &names(&["x"]),
        None,
    )
    .unwrap();
    assert_eq!(predicted(&whole, 0), predicted(&trained, 0));
    let mixed = assemble_with(&config, &model, &[set], &names(&["x", "a"]), None);
    let text = mixed.unwrap_err().to_string();
    assert!(
        text.contains("`a` has 0 components") && text.contains("`x` has 2"),
        "{text}"
    );
}

#[test]
fn tampered_files_and_other_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tailors.safetensors");
    let (config, model) = base();
    let (novel, trained) = moved(&config, &model, 3);
    let set = TailorSet::of(&novel, &trained, &path);
    set.write(&path).unwrap();
    let refused = |tamper: &dyn Fn(&mut WeightFile)| {
        let mut file = WeightFile::read(&path).unwrap();
        tamper(&mut file);
        let other = folder.path().join("other.safetensors");
        file.write(&other).unwrap();
        TailorSet::read(&other).unwrap_err().to_string()
    };
    let text = refused(&|file| file.header.learngene = None);
    assert!(
        text.contains("learngene_blake3") && text.contains("missing"),
        "{text}"
    );
    let text = refused(&|file| {
        file.tensors.pop_first();
    });
    assert!(
        text.contains("missing 1: blocks.0.attention.k.tailors.s"),
        "{text}"
    );
    let text = refused(&|file| file.header.config["classes"] = serde_json::json!(["x"]));
    assert!(text.contains("1 class names for a model of 2"), "{text}");
    let text = refused(&|file| file.header.config["model"]["groups"] = serde_json::json!(1));
    assert!(text.contains("groups"), "{text}");

    let mut other = config.clone();
    other.model.heads = 1;
    let heads = Dit::init(&other.model, other.init, 3, &Device::flex()).unwrap();
    let heads = params::replace(heads, params::values(&model)).unwrap();
    let refused = assemble_with(&other, &heads, &[set], &names(&["x"]), None);
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("number of attention heads (3)") && text.contains("has (1)"),
        "{text}"
    );
}
