//! Adapters of other programs as tailors: what PEFT computes with them, and files that are not for this model.
//!
//! The fixture is of PEFT's own making: `reference/diffusers_dit.py`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{TOLERANCE, answer, close, difference, fixture, from_diffusers, said};
use learngene_formats::container;
use learngene_nn::{DitConfig, Sharing};
use learngene_transfer::interop::lora::{self, Lora};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn adapters_of_peft_compute_what_peft_does() {
    let (config, model) = from_diffusers();
    for (name, rank) in [("lora-0", 2), ("lora-1", 3)] {
        let change = Lora::read(&fixture(name), &config.model).unwrap();
        let (config, adapted) = lora::attach(&config, &model, &[(None, change)]).unwrap();
        assert_eq!(
            (config.model.tailor_rank, config.model.sharing),
            (rank, Sharing::Every)
        );
        close(&said(&adapted, &[(0, 1.0)]), &answer(name));
        assert!(difference(&said(&adapted, &[]), &answer(name)) > TOLERANCE);
    }
    // As tailors of classes, ranks that differ are filled up with zeros.
    let read = |class: &str, name| {
        let change = Lora::read(&fixture(name), &config.model).unwrap();
        (Some(class.to_owned()), change)
    };
    let (joined, gated) =
        lora::attach(&config, &model, &[read("3", "lora-0"), read("1", "lora-1")]).unwrap();
    assert_eq!((joined.model.groups, joined.model.tailor_rank), (5, 3));
    close(&said(&gated, &[(3, 1.0)]), &answer("lora-0"));
    close(&said(&gated, &[(1, 1.0)]), &answer("lora-1"));
    close(&said(&gated, &[(0, 1.0)]), &answer("out"));
    let twice = lora::attach(&config, &model, &[read("3", "lora-0"), read("3", "lora-1")]);
    assert!(
        twice
            .err()
            .unwrap()
            .to_string()
            .contains("one for each class")
    );
    let unknown = lora::attach(&config, &model, &[read("9", "lora-0")]);
    assert!(unknown.err().unwrap().to_string().contains("no class `9`"));
    let again = lora::attach(&joined, &gated, &[read("3", "lora-0")]);
    assert!(
        again
            .err()
            .unwrap()
            .to_string()
            .contains("model with tailors")
    );
}

#[test]
fn an_adapter_is_written_as_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = from_diffusers();
    let change = Lora::read(&fixture("lora-0"), &config.model).unwrap();
    change.write(folder.path(), &config.model).unwrap();
    let read = |folder: &Path| container::read(folder.join("adapter_model.safetensors")).unwrap();
    assert_eq!(
        read(folder.path()).tensors,
        read(&fixture("lora-0")).tensors
    );
    let text = fs::read_to_string(folder.path().join("adapter_config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["r"], &json["lora_alpha"]), (&2.into(), &5.0.into()));
}

/// The fixture's adapter under other names, in one file.
fn renamed(folder: &Path, rename: impl Fn(&str) -> String, alpha: Option<f32>) -> PathBuf {
    let mut contents = container::read(fixture("lora-0/adapter_model.safetensors")).unwrap();
    let tensors = std::mem::take(&mut contents.tensors);
    for (name, tensor) in tensors {
        let new = rename(name.strip_prefix("base_model.model.").unwrap());
        if let (Some(alpha), true) = (alpha, new.ends_with(".lora_down.weight")) {
            let alpha = container::TensorEntry {
                shape: vec![],
                values: vec![alpha],
            };
            contents
                .tensors
                .insert(new.replace("lora_down.weight", "alpha"), alpha);
        }
        contents.tensors.insert(new, tensor);
    }
    let path = folder.join("other.safetensors");
    container::write(&path, &contents).unwrap();
    path
}

/// `transformer_blocks.0.attn1.to_q.lora_A.weight` as kohya's scripts have it.
fn kohya(name: &str) -> String {
    let (module, end) = name.rsplit_once(".lora_").unwrap();
    let end = end.replace("A.", "down.").replace("B.", "up.");
    format!("lora_unet_{}.lora_{end}", module.replace('.', "_"))
}

#[test]
fn files_of_kohya_and_diffusers_are_the_same_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let (config, model) = from_diffusers();
    let adapted = |path: &Path| {
        let change = Lora::read(path, &config.model).unwrap();
        lora::attach(&config, &model, &[(None, change)]).unwrap().1
    };
    // The fixture's alpha is 5.
    let path = renamed(folder.path(), kohya, Some(5.0));
    close(&said(&adapted(&path), &[(0, 1.0)]), &answer("lora-0"));
    // A file whose matrices have different ranks is one of the largest, filled up with zeros.
    let mut contents = container::read(&path).unwrap();
    let tensors = &mut contents.tensors;
    let first = "lora_unet_transformer_blocks_0_attn1_to_q";
    let [down, up, alpha] =
        ["lora_down.weight", "lora_up.weight", "alpha"].map(|end| format!("{first}.{end}"));
    let entry = |shape: &[usize], values| container::TensorEntry {
        shape: shape.to_vec(),
        values,
    };
    // A third component of A, and zeros for it in B.
    let a = [&tensors[&down].values[..], &[9.0; 16]].concat();
    let b = tensors[&up]
        .values
        .chunks(2)
        .flat_map(|b| [b[0], b[1], 0.0])
        .collect();
    tensors.insert(down, entry(&[3, 16], a));
    tensors.insert(up, entry(&[16, 3], b));
    tensors.insert(alpha, entry(&[], vec![7.5]));
    let uneven = folder.path().join("uneven.safetensors");
    container::write(&uneven, &contents).unwrap();
    close(&said(&adapted(&uneven), &[(0, 1.0)]), &answer("lora-0"));
    let change = Lora::read(&uneven, &config.model).unwrap();
    change
        .write(&folder.path().join("again"), &config.model)
        .unwrap();
    let again = adapted(&folder.path().join("again"));
    close(&said(&again, &[(0, 1.0)]), &answer("lora-0"));
    // Without one there is no factor, as if alpha were the rank, 2.
    let path = renamed(folder.path(), kohya, Some(2.0));
    let by_two = said(&adapted(&path), &[(0, 1.0)]);
    let path = renamed(folder.path(), |name| format!("transformer.{name}"), None);
    assert_eq!(said(&adapted(&path), &[(0, 1.0)]), by_two);
}

#[test]
fn adapters_of_another_architecture_are_refused_with_every_difference() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = from_diffusers();
    let refused = |path: &Path, shape: &DitConfig, parts: &[&str]| {
        let error = Lora::read(path, shape).err().unwrap().to_string();
        for part in parts {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    };
    let wide = DitConfig {
        hidden: 32,
        ..config.model.clone()
    };
    let a = "A of blocks.0.attention.q expected [2, 32] found [2, 16]";
    let b = "B of blocks.1.mlp.output expected [32, 2] found [16, 2]";
    refused(&fixture("lora-0"), &wide, &[a, b]);
    let other = |name: &str| name.replace("attn1.to_q", "attn2.to_q");
    let path = renamed(folder.path(), other, None);
    refused(
        &path,
        &config.model,
        &[
            "unexpected 4",
            "transformer_blocks.1.attn2.to_q.lora_B.weight",
        ],
    );
    let lost = |name: &str| name.replace("transformer_blocks.0.ff.net.2.lora_B", "x");
    let path = renamed(folder.path(), lost, None);
    refused(
        &path,
        &config.model,
        &[
            "missing 1: A or B of blocks.0.mlp.output",
            "unexpected 1: x.weight",
        ],
    );

    let text = fs::read_to_string(fixture("lora-0/adapter_config.json")).unwrap();
    let weights = fs::read(fixture("lora-0/adapter_model.safetensors")).unwrap();
    fs::write(folder.path().join("adapter_model.safetensors"), weights).unwrap();
    for (from, to, part) in [
        ("\"LORA\"", "\"LOHA\"", "its `peft_type` is `LOHA`"),
        (
            "\"use_dora\": false",
            "\"use_dora\": true",
            "`use_dora` is true",
        ),
        (
            "\"bias\": \"none\"",
            "\"bias\": \"all\"",
            "`bias` is \"all\"",
        ),
        (
            "\"alpha_pattern\": {}",
            "\"alpha_pattern\": {\"to_[qk]\": 2}",
            "`alpha_pattern` has `to_[qk]`",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(
            folder.path().join("adapter_config.json"),
            text.replace(from, to),
        )
        .unwrap();
        refused(folder.path(), &config.model, &[part]);
    }
}
