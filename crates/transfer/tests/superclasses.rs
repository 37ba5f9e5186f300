//! Superclasses in a transfer: what they start from, that they train, and what refuses them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::Device;
use learngene_nn::{
    Dit, DitConfig, FactorInit, Superclass,
    params::{self, Part},
};
use learngene_train::{DataConfig, RunConfig, TrainConfig};
use learngene_transfer::{Adapter, TailorSet, adapt, add_superclasses, assemble_with, method};
use std::collections::BTreeMap;

/// Three classes, the first two of them of superclass `x`; no tailor at zero.
fn base() -> (RunConfig, Dit) {
    let dense = DitConfig {
        hidden: 16,
        heads: 2,
        depth: 2,
        ..DitConfig::from_size("dit-micro/4", [3, 8, 8], 3).unwrap()
    };
    let flat = dense.with_rank_split("6,2".parse().unwrap()).unwrap();
    let config = RunConfig {
        data: DataConfig {
            classes: "face,flag,hand".into(),
            image_size: Some(8),
            ..DataConfig::of("builtin:emoji")
        },
        train: TrainConfig::default(),
        model: flat
            .with_superclasses(vec![
                Superclass::new("x", [0, 1]),
                Superclass::new("y", [2]),
            ])
            .unwrap(),
        init: FactorInit::Orthogonal,
        classes: ["face", "flag", "hand"].map(String::from).to_vec(),
        method: None,
    };
    let model = Dit::init(&config.model, config.init, 3, &Device::flex()).unwrap();
    (config, model)
}

fn novel() -> Vec<String> {
    ["heart", "bird", "clock"].map(String::from).to_vec()
}

/// The start of a transfer by that method, its classes of `y` and of `z`.
fn start(
    base: &(RunConfig, Dit),
    name: &str,
    given: &[(&str, &str)],
) -> learngene_transfer::Result<(RunConfig, Dit)> {
    let (config, model) = base;
    let device = Device::flex();
    let method = method(name).unwrap();
    let can_share = method.settings().iter().any(|s| s.name == "shared");
    let alone = can_share.then_some(&("shared", "no"));
    let given = alone.into_iter().chain(given);
    let given = given.map(|(n, v)| ((*n).into(), (*v).into()));
    let given: BTreeMap<String, String> = given.collect();
    let flat = adapt(config, model, &novel(), method, &given, 1, &device)?;
    let tree = vec![Superclass::new("z", [1]), Superclass::new("y", [0, 2])];
    add_superclasses((config, model), flat, tree)
}

#[test]
fn a_superclass_of_the_same_name_lends_its_tailor() {
    let base = base();
    let (config, model) = start(&base, "kind", &[]).unwrap();
    assert_eq!(config.model.groups, 5);
    let (old, new) = (params::values(&base.1), params::values(&model));
    let mut seen = 0;
    for (name, value) in new.iter().filter(|(n, _)| Part::of(n) == Part::Tailors) {
        seen += 1;
        let size = value.values.len() / 5;
        let group = |values: &[f32], g: usize| values[g * size..(g + 1) * size].to_vec();
        // Groups of the base: three classes, x, y. Of the new model: three classes, z, y.
        assert_eq!(
            group(&value.values, 4),
            group(&old[name].values, 4),
            "{name}"
        );
        if name.ends_with(".u") {
            for fresh in 0..4 {
                assert!(
                    group(&value.values, fresh).iter().all(|u| *u == 0.0),
                    "{name}"
                );
            }
        }
    }
    assert_eq!(seen, 2 * 6 * 3);
    // Ranks that differ lend nothing.
    let (_, other) = start(&base, "kind", &[("rank", "3")]).unwrap();
    let zero = params::values(&other);
    let mut ups = zero.iter().filter(|(n, _)| n.ends_with("tailors.u"));
    assert!(ups.all(|(_, u)| u.values.iter().all(|u| *u == 0.0)));
}

/// What all classes share because there is room for it gives way to a tree.
#[test]
fn a_tree_comes_in_place_of_what_nobody_asked_for() {
    let base = base();
    let (alone, expected) = start(&base, "kind", &[]).unwrap();
    let (config, model) = start(&base, "kind", &[("shared", "auto")]).unwrap();
    assert_eq!(config.model, alone.model);
    // Only the directions that tailors start to learn in are drawn anew.
    let (found, expected) = (params::values(&model), params::values(&expected));
    for (name, value) in expected {
        if Part::of(&name) != Part::Tailors || name.ends_with(".u") {
            assert!(found[&name] == value, "{name}");
        }
    }
}

/// A warm start is one of the classes' tailors; those of superclasses start as without it.
#[test]
fn a_warm_start_leaves_superclasses_alone() {
    let base = base();
    let (_, cold) = start(&base, "kind", &[]).unwrap();
    let (_, warm) = start(&base, "kind", &[("warm", "mean")]).unwrap();
    let (cold, warm) = (params::values(&cold), params::values(&warm));
    for (name, value) in warm.iter().filter(|(n, _)| n.ends_with("tailors.u")) {
        let of_classes = value.values.len() / 5 * 3;
        assert!(value.values[..of_classes].iter().any(|u| *u != 0.0));
        assert_eq!(value.values[of_classes..], cold[name].values[of_classes..]);
    }
}

/// Superclasses of two origins stay apart, even of the same name.
#[test]
fn joined_classes_bring_their_own_superclasses() {
    let base = base();
    let (config, model) = start(&base, "kind", &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tailors.safetensors");
    TailorSet::of(&config, &model, "novel")
        .write(&path)
        .unwrap();
    let tailors = [TailorSet::read(&path).unwrap()];
    let wanted = ["clock", "hand", "heart"].map(String::from);
    let (joined, whole) = assemble_with(&base.0, &base.1, &tailors, &wanted, None).unwrap();
    let expected = [Superclass::new("y", [0, 2]), Superclass::new("y", [1])];
    assert_eq!(joined.model.superclasses, expected);
    let (old, new) = (params::values(&base.1), params::values(&model));
    for (name, value) in params::values(&whole) {
        if Part::of(&name) != Part::Tailors {
            continue;
        }
        let size = value.values.len() / 5;
        let group = |values: &[f32], g: usize| values[g * size..(g + 1) * size].to_vec();
        let (old, new) = (&old[&name].values, &new[&name].values);
        let parts = [(new, 2), (old, 2), (new, 0), (new, 4), (old, 4)];
        for (g, (from, theirs)) in parts.into_iter().enumerate() {
            assert_eq!(group(&value.values, g), group(from, theirs), "{name}, {g}");
        }
    }
}

#[test]
fn an_adapter_of_a_tree_finds_back_to_its_model() {
    let base = base();
    let (mut config, model) = start(&base, "kind", &[]).unwrap();
    // With the learngene training along, tailors are no file of their own.
    config.train.trainable.learngene = 0.3;
    // As in files from before classes could share one.
    config.method.as_mut().unwrap().settings.remove("shared");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.safetensors");
    let adapter = Adapter::of(&config, &model, "run").unwrap();
    adapter.write(&path).unwrap();
    let read = Adapter::read(&path).unwrap();
    let (made, again) = read.attach(&base.0, &base.1, &Device::flex()).unwrap();
    assert_eq!(made.model, config.model);
    assert_eq!(params::values(&again), params::values(&model));
}

/// Of the rank of the others, as it is if it fits and nothing is said, or of twice theirs: then it is two tailors.
#[test]
fn a_shared_tailor_is_a_superclass_of_all_and_starts_at_zero() {
    let base = base();
    for (width, tailors) in [("auto", 1), ("yes", 1), ("4", 2)] {
        let given = [("shared", width), ("warm", "mean")].map(|(n, v)| (n.into(), v.into()));
        let (kind, device) = (method("kind").unwrap(), Device::flex());
        let made = adapt(&base.0, &base.1, &novel(), kind, &given.into(), 1, &device);
        let (config, model) = made.unwrap();
        let shared = Superclass {
            tailors: tailors.try_into().unwrap(),
            ..Superclass::new("shared", [0, 1, 2])
        };
        assert_eq!(config.model.superclasses, [shared]);
        assert_eq!(config.model.groups, 3 + tailors);
        for (name, value) in params::values(&model) {
            if name.ends_with("tailors.u") {
                let size = value.values.len() / config.model.groups;
                let (of_classes, shared) = value.values.split_at(size * 3);
                assert!(of_classes.iter().any(|u| *u != 0.0), "{name}");
                assert!(shared.iter().all(|u| *u == 0.0), "{name}");
            }
        }
    }
    // 6 of the learngene and twice 6 are more than 16.
    let given = BTreeMap::from([("rank".into(), "6".into())]);
    let (kind, device) = (method("kind").unwrap(), Device::flex());
    let (config, _) = adapt(&base.0, &base.1, &novel(), kind, &given, 1, &device).unwrap();
    assert!(config.model.superclasses.is_empty());
    let text = start(&base, "kind", &[("shared", "yes")]).unwrap_err();
    assert!(text.to_string().contains("method.shared=no"), "{text}");
    for wrong in ["some", "0", "3"] {
        let text = start(&base, "kind", &[("shared", wrong)]).unwrap_err();
        assert!(
            text.to_string()
                .contains("multiple of method.rank, which is 2"),
            "{text}"
        );
    }
}

#[test]
fn methods_without_tailors_of_classes_refuse_a_tree() {
    for name in ["full", "lora"] {
        let text = start(&base(), name, &[]).unwrap_err().to_string();
        let named = format!("`{name}`");
        assert!(text.contains(&named) && text.contains("kind"), "{text}");
    }
}
