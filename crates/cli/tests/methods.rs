//! Transfer by other methods than KIND's: what a run leaves, what can be done with it, and what is refused.

mod common;

use common::{contents, fails, json, pretrain, succeeds, transfer};
use std::fs;

#[test]
fn help_lists_every_method_with_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let help = succeeds(folder.path(), &["transfer", "--help"]);
    for method in learngene_transfer::METHODS {
        let line = |l: &&str| l.trim_start().starts_with(&format!("{} ", method.name()));
        let line = help.lines().find(line).unwrap();
        assert!(line.contains(method.about()), "{line}");
        for setting in method.settings() {
            let stated = format!("method.{}={}", setting.name, setting.default);
            assert!(help.contains(&stated), "{stated} is not in {help}");
        }
    }
}

#[test]
fn an_adapter_says_what_it_is_and_merges_into_a_plain_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let long = "--steps 8 --lr 1e-2 --set train.warmup=0";
    pretrain(folder, "base", &long.split(' ').collect::<Vec<_>>());
    let how =
        "--method dora --rank 2 --set method.sites=attention.q,mlp.input --set method.alpha=4";
    let said = transfer(folder, "dora", &how.split(' ').collect::<Vec<_>>());
    // In 4 blocks a matrix of 96 x 96 and one of 384 x 96: 2 (m + n) + m each; 3 label rows of 96.
    let numbers = 4 * (2 * 192 + 96 + 2 * 480 + 384) + 3 * 96;
    let line = format!("adapter: dora/adapter.safetensors ({numbers} numbers)");
    assert!(said.contains(&line), "{said}");

    let file = json(folder, &["inspect", "dora/adapter.safetensors", "--json"]);
    let base = json(folder, &["inspect", "base", "--json"]);
    assert_eq!(file["kind"], "adapter");
    assert_eq!(file["method"]["name"], "dora");
    assert_eq!(file["method"]["settings"]["alpha"], "4");
    assert_eq!(file["learngene_blake3"], base["learngene_blake3"]);
    let text = succeeds(folder, &["inspect", "dora/adapter.safetensors"]);
    for part in [
        "learngene merge",
        "dora, alpha 4, rank 2, sites attention.q,mlp.input",
        "heart, bird",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }

    let before = (
        contents(&folder.join("base")),
        contents(&folder.join("dora")),
    );
    succeeds(folder, &["merge", "dora", "--out", "run.safetensors"]);
    let adapter = [
        "merge",
        "base",
        "--adapter",
        "dora/adapter.safetensors",
        "--out",
        "file.safetensors",
    ];
    succeeds(folder, &adapter);
    let [run, file] =
        ["run", "file"].map(|f| fs::read(folder.join(f).with_extension("safetensors")).unwrap());
    assert!(run == file);
    let merged = json(folder, &["inspect", "run.safetensors", "--json"]);
    assert_eq!(merged["model"]["basis"], "dense");
    assert_eq!(merged["cost"]["adapters"]["parameters"], 0);
    let draw = "--class heart --count 1 --steps 2 --out heart.png"
        .split(' ')
        .collect::<Vec<_>>();
    for model in ["dora", "run.safetensors"] {
        succeeds(folder, &[&["sample", model], &draw[..]].concat());
    }
    assert!(
        before
            == (
                contents(&folder.join("base")),
                contents(&folder.join("dora"))
            )
    );

    pretrain(folder, "other", &["--steps", "1", "--seed", "1"]);
    let wrong = [
        "merge",
        "other",
        "--adapter",
        "dora/adapter.safetensors",
        "--out",
        "x.safetensors",
    ];
    fails(
        folder,
        &wrong,
        3,
        &["dora/adapter.safetensors", "belongs to learngene"],
    );
    transfer(folder, "novel", &[]);
    fails(
        folder,
        &["merge", "novel", "--out", "x.safetensors"],
        2,
        &["each class has another tailor"],
    );
    assert!(!folder.join("x.safetensors").exists());
}

#[test]
fn an_interrupted_run_of_a_method_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    for (method, more) in [
        ("lora", "method.alpha=4"),
        ("svdiff", "method.sites=attention.v"),
        ("vera", "method.rank=4"),
        ("dsee", "method.sparsity=0.5"),
    ] {
        let how = [
            "--method",
            method,
            "--set",
            more,
            "--checkpoint-every",
            "2",
            "--set",
            "train.keep_last=9",
        ];
        transfer(folder, method, &how);
        let last = folder.join(method).join("checkpoints/step-00000004");
        let file = folder.join(method).join("adapter.safetensors");
        let whole = (contents(&last), fs::read(&file).unwrap());
        fs::remove_file(&file).unwrap();
        fs::remove_dir_all(&last).unwrap();
        succeeds(folder, &["resume", method]);
        assert!(
            whole == (contents(&last), fs::read(&file).unwrap()),
            "{method}"
        );
    }
}

#[test]
fn what_cannot_be_adapted_is_refused_before_there_is_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    let refused = |more: &str, parts: &[&str]| {
        let args = "transfer base --data builtin:emoji --classes heart,bird --out run";
        let args: Vec<&str> = args.split(' ').chain(more.split(' ')).collect();
        fails(folder, &args, 2, parts);
        assert!(!folder.join("run").exists());
    };
    refused(
        "--method lroa",
        &["unknown method `lroa`", "did you mean `lora`"],
    );
    refused(
        "--method gated-tailors",
        &["needs a dense base", "this one is factorised", "`kind`"],
    );
    refused("--method full --rank 4", &["`full` has no setting `rank`"]);
    refused("--method lora --rank 97", &["at most 96"]);
    refused(
        "--method lora --set method.alpha=0",
        &["`method.alpha` is `0`", "a positive number"],
    );
    refused(
        "--method dsee --set method.sparsity=1",
        &["`method.sparsity` is `1`", "0 or more, below 1"],
    );
    refused(
        "--set method.rank",
        &["`method.rank` is not of the form method.name=value"],
    );
    refused(
        "--method lora --set model.sharing=labelled",
        &["--set cannot change [model]"],
    );
}
