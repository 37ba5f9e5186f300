//! Models of other programs, in and out through the program; and what must not come in.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, fails, json, pretrain, succeeds};
use std::fs;
use std::path::{Path, PathBuf};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// The tests of which the fixtures are.
fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Copies a folder of fixtures.
fn copy(from: &str, to: &Path) {
    let from = fixture(from);
    for (path, bytes) in contents(&from) {
        let to = to.join(path.strip_prefix(&from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

const DIFFUSERS: &str = "transfer/tests/fixtures/diffusers";
const TORCH: &str = "formats/tests/fixtures/torch";

#[test]
fn an_export_comes_back_and_goes_out_again_as_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &words("--steps 2 --set train.warmup=0"));
    let said = succeeds(folder, &words("export base --format diffusers --out one"));
    for part in ["one/transformer", "one/tailors/face", "one/tailors/hand"] {
        assert!(said.contains(&format!("wrote {part}")), "{said}");
    }
    let back = "import one --tailor face=one/tailors/face --tailor flag=one/tailors/flag --tailor hand=one/tailors/hand";
    succeeds(folder, &words(&format!("{back} --out back.safetensors")));
    succeeds(
        folder,
        &words("export back.safetensors --format diffusers --out two"),
    );
    let below = |name: &str| -> Vec<(PathBuf, Vec<u8>)> {
        let root = folder.join(name);
        let files = contents(&root).into_iter();
        files
            .map(|(path, bytes)| (path.strip_prefix(&root).unwrap().into(), bytes))
            .collect()
    };
    assert_eq!(below("one").len(), 2 + 3 * 2);
    for ((name, one), (_, two)) in below("one").into_iter().zip(below("two")) {
        assert!(one == two, "{}", name.display());
    }
    let model = json(folder, &words("inspect back.safetensors --json"));
    assert_eq!(
        model["classes"],
        serde_json::json!(["face", "flag", "hand"])
    );
    assert_eq!(
        (&model["model"]["groups"], &model["model"]["tailor_rank"]),
        (&3.into(), &4.into())
    );
    let base = json(folder, &words("inspect base --json"));
    assert_eq!(model["train"]["schedule"], base["train"]["schedule"]);

    let text = fails(
        folder,
        &words("export base --format diffusers --out one"),
        2,
        &["one holds something"],
    );
    assert!(!text.contains("note"), "{text}");
    succeeds(folder, &words("export base --format dit --out base.pt"));
    fails(
        folder,
        &words("import base.pt --out x.safetensors"),
        3,
        &["width 96 is of no published size", "--heads"],
    );
    succeeds(
        folder,
        &words("import base.pt --heads 3 --classes a,b,c --out pt.safetensors"),
    );
    let model = json(folder, &words("inspect pt.safetensors --json"));
    assert_eq!(model["classes"], serde_json::json!(["a", "b", "c"]));
    assert_eq!(model["model"]["input"], serde_json::json!([3, 32, 32]));
}

#[test]
fn a_dense_model_is_factorised_and_fine_tuned() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeds(
        folder,
        &words(
            "pretrain --out dense --data builtin:emoji --classes face,flag --size dit-micro/4 --dense \
        --steps 2 --set train.evaluate_every=0 --set train.per_class=1 --set train.null=1",
        ),
    );
    let said = json(
        folder,
        &words("factorise dense --rank-split 88,8 --out f.safetensors --json"),
    );
    assert_eq!(said["energy"].as_array().unwrap().len(), 6);
    for energy in said["energy"].as_array().unwrap() {
        let [learngene, whole] =
            ["learngene", "with_tailor"].map(|key| energy[key].as_f64().unwrap());
        assert!(
            0.5 < learngene && learngene < whole && (whole - 1.0).abs() < 1e-4,
            "{energy}"
        );
    }
    assert!(
        said["difference"]["labelled"].as_f64().unwrap() < 1e-3,
        "{said}"
    );
    let model = json(folder, &words("inspect f.safetensors --json"));
    assert_eq!(
        model["model"]["basis"],
        serde_json::json!({"factorised": {"learngene": 88}})
    );
    let text = succeeds(
        folder,
        &words("factorise dense --rank-split 16,4 --fine-tune 2 --out tuned"),
    );
    assert!(
        text.contains("energy kept") && text.contains("run folder: tuned"),
        "{text}"
    );
    let tuned = json(folder, &words("inspect tuned --json"));
    assert_eq!(
        (&tuned["step"], &tuned["model"]["groups"]),
        (&2.into(), &2.into())
    );
    fails(
        folder,
        &words("factorise tuned --rank-split 16,4 --out x.safetensors"),
        2,
        &["a factorised one, expected a dense"],
    );
    fails(
        folder,
        &words("factorise dense --rank-split 96,8 --out x.safetensors"),
        2,
        &["active rank 104"],
    );
    assert!(!folder.join("x.safetensors").exists());
}

/// A safetensors file of this header, whose length it may lie about.
fn safetensors(path: &Path, header: &str, length: u64, data: usize) {
    let bytes = [&length.to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
    fs::write(path, bytes).unwrap();
}

#[test]
fn hostile_files_are_refused_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    copy(TORCH, &folder.join("pt"));
    copy(DIFFUSERS, &folder.join("good"));
    for name in ["overlap", "endless", "elsewhere"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::copy(
            folder.join("good/transformer/config.json"),
            folder.join(name).join("config.json"),
        )
        .unwrap();
    }
    let weights = "diffusion_pytorch_model.safetensors";
    let twice = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    safetensors(
        &folder.join("overlap").join(weights),
        twice,
        twice.len() as u64,
        12,
    );
    safetensors(&folder.join("endless").join(weights), "{}", 1 << 60, 0);
    let index = r#"{"weight_map": {"a": "../pt/state.pt"}}"#;
    fs::write(
        folder
            .join("elsewhere")
            .join(format!("{weights}.index.json")),
        index,
    )
    .unwrap();
    fs::write(folder.join("out.safetensors"), "mine").unwrap();
    let before = contents(folder);
    let lora = "good/lora-0/adapter_model.safetensors";
    for (line, parts) in [
        (
            "pt/system.pt",
            vec!["posix.system", "nothing of it was run"],
        ),
        ("pt/system-legacy.pt", vec!["posix.system"]),
        ("pt/bomb.pt", vec!["is compressed"]),
        ("pt/shared.pt", vec!["more than twice over"]),
        ("pt/state.pt", vec!["it is no checkpoint of DiT"]),
        ("overlap", vec![weights, "not a valid safetensors file"]),
        ("endless", vec![weights, "1152921504606846976"]),
        ("elsewhere", vec!["../pt/state.pt", "by its bare name"]),
        (lora, vec!["it is no checkpoint of DiT"]),
        (
            "good/transformer --tailor 0=pt/state.pt",
            vec!["state.pt", "does not fit the model", "unexpected 2: a, b"],
        ),
        (
            "good/transformer --tailor 0=overlap/diffusion_pytorch_model.safetensors",
            vec!["not a valid safetensors file"],
        ),
        (
            "good/transformer --tailor 0=good/answers.safetensors",
            vec!["does not fit the model", "unexpected"],
        ),
        (
            "good/transformer --lora good/transformer",
            vec!["expected adapter_model.safetensors"],
        ),
    ] {
        fails(
            folder,
            &words(&format!("import {line} --out out.safetensors")),
            3,
            &parts,
        );
        assert!(contents(folder) == before, "{line}");
    }
    for (line, part) in [
        ("good/transformer --tailor 0", "expected CLASS=LORA"),
        ("good/transformer --tailor 7=good/lora-0", "no class `7`"),
        ("good/transformer --heads 2", "--heads is for a checkpoint"),
        (
            "good/transformer --classes a,b",
            "--classes names 2 classes, the model has 5",
        ),
        ("good/lora-0", "is an adapter: give the model it is for"),
        (
            "good/transformer --classes a,b,c,b,d",
            "--classes names `b` twice",
        ),
    ] {
        fails(
            folder,
            &words(&format!("import {line} --out out.safetensors")),
            2,
            &[part],
        );
        assert!(contents(folder) == before, "{line}");
    }

    // A class that is called like a path does not become one.
    let evil = "import good --classes ../../a,/etc/b,c,d,e --tailor ../../a=good/lora-0 --tailor c=good/lora-1";
    succeeds(folder, &words(&format!("{evil} --out evil.safetensors")));
    succeeds(
        folder,
        &words("export evil.safetensors --format diffusers --out exported"),
    );
    succeeds(
        folder,
        &words("sample evil.safetensors --class c --count 1 --steps 2 --out c.png"),
    );
    let mut names: Vec<_> = fs::read_dir(folder.join("exported/tailors"))
        .unwrap()
        .collect();
    names.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    let names: Vec<_> = names
        .into_iter()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["c", "class 0", "class 1", "d", "e"]);
}
