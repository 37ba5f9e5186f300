//! What every verb tells a program and whoever waits: one JSON document on standard output, and lines on standard error
//! that say how far it is. The verbs come from the program's own help, so that a new one has to be told of here.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{pretrain, run, stderr, succeeds};
use learngene_data::Image;
use learngene_data::image::encode_png;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A short call of every verb, in an order in which each finds what it needs.
const CALLS: &str = "\
quickstart --minutes 0.02 --out demo
data inspect builtin:emoji --contact-sheet sheet.png
data tree photos --wordnet data.noun --depth 1 --out tree.toml
pretrain --data builtin:emoji --classes face,flag --size dit-micro/8 --dense --steps 3 --set train.per_class=1 --out dense
resume dense
transfer base --data builtin:emoji --classes heart,bird --steps 2 --out novel
inspect base
assemble base --classes face,flag --check --data builtin:emoji --out two.safetensors
curve base --data builtin:emoji --points 2 --out curve.html
factorise dense --rank-split 8,2 --out factorised.safetensors
merge lora --out merged.safetensors
import base --out imported.safetensors
export base --format diffusers --out exported
card base --data builtin:emoji --count 1 --out card
autoencoder train --data builtin:emoji --steps 2 --out vae
encode --data photos --vae vae --out latents
sample base --count 2 --steps 4 --out drawn.png --npz drawn.npz
eval --real builtin:emoji:test --classes face,flag,hand --generated drawn.npz --metrics prdc
compare wanted.toml --out compared
plan --size dit-nano/4
completions bash";

/// Verbs whose call may take less than the time between two lines.
const SHORT: [&str; 9] = [
    "inspect",
    "merge",
    "import",
    "export",
    "plan",
    "completions",
    "data tree",
    "factorise",
    "encode",
];

const COMPARED: &str = r#"
steps = 2
data = { source = "builtin:emoji", classes = "heart,bird" }
base = { kind = "base" }
sweep = { factors = [1.0] }
judge = { repeats = 1, images = 2, steps = 2, shown = 1, guidance = [1.0] }
[[row]]
name = "KIND"
base = "kind"
method = "kind"
"#;

/// A file as WordNet's data.noun.
const NOUNS: &str = "  1 a licence
00000001 03 n 01 thing 0 000 | all there is
00000002 05 n 02 animal 0 beast 0 001 @ 00000001 n 0000 | moves
00000003 05 n 01 dog 0 001 @ 00000002 n 0000 | barks
00000004 05 n 01 cat 0 001 @ 00000002 n 0000 | does not
";

/// What the calls need and no call before them makes.
fn prepare(folder: &Path) {
    pretrain(folder, "base", &["--steps", "3"]);
    let lora = "transfer base --data builtin:emoji --classes heart,bird --method lora --steps 1 --out lora";
    succeeds(folder, &words(lora));
    for class in ["n00000003", "n00000004"] {
        let photos = folder.join("photos").join(class);
        fs::create_dir_all(&photos).unwrap();
        for i in 0..6 {
            let image = Image::filled(32, 32, &[5, 40 * i, 200]);
            fs::write(photos.join(format!("{i}.png")), encode_png(&image).unwrap()).unwrap();
        }
    }
    fs::write(folder.join("data.noun"), NOUNS).unwrap();
    fs::write(folder.join("wanted.toml"), COMPARED).unwrap();
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The names under `Commands:` in a help text.
fn listed(help: &str) -> Vec<String> {
    let after = help
        .split_once("Commands:\n")
        .map_or("", |(_, after)| after);
    let lines = after.lines().take_while(|line| !line.is_empty());
    // What goes on from the line before is further in.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(String::from)
        .collect()
}

/// All verbs, those below others by both names.
fn verbs(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for verb in listed(&succeeds(folder, &["--help"])) {
        let below = listed(&succeeds(folder, &[&verb, "--help"]));
        match below.is_empty() {
            true => all.push(verb),
            false => all.extend(below.iter().map(|name| format!("{verb} {name}"))),
        }
    }
    all
}

#[test]
fn every_verb_prints_one_document_and_says_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let verbs = verbs(folder);
    assert!(verbs.len() > 20, "{verbs:?}");
    let mut calls = BTreeMap::new();
    for line in CALLS.lines() {
        let verb = verbs.iter().find(|verb| {
            let after = line.strip_prefix(verb.as_str());
            after.is_some_and(|after| after.starts_with(' '))
        });
        let verb = verb.unwrap_or_else(|| panic!("`{line}` calls no verb of {verbs:?}"));
        let all = [&words(line)[..], &["--json", "--progress-every", "0.02"]].concat();
        let output = run(folder, &all);
        let (text, progress) = (String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert_eq!(output.status.code(), Some(0), "{line}: {progress}");
        // One document and nothing else.
        let document: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error} in {text}"));
        let members = document.as_object().unwrap();
        assert_eq!(members["verb"], verb.as_str(), "{line}");
        let wrote = members["wrote"].as_array().unwrap();
        for path in wrote {
            let path = folder.join(path.as_str().unwrap());
            assert!(path.exists(), "{line}: {}", path.display());
        }
        let writes = |word: &&str| ["--out", "--contact-sheet"].contains(word);
        let out = words(line).iter().any(writes) || verb == "resume";
        assert_eq!(out, !wrote.is_empty(), "{line}: {text}");
        assert!(members.len() > 2, "{line} has nothing to say: {text}");
        if !SHORT.contains(&verb.as_str()) {
            let says = |line: &str| line.ends_with(" left") || line.ends_with(" so far");
            assert!(progress.lines().any(says), "{line}: `{progress}`");
        }
        calls.insert(verb.clone(), document);
    }
    for verb in &verbs {
        // The Hub is not here; its verbs are tested with a server of their own.
        assert!(
            calls.contains_key(verb) || verb.starts_with("hub "),
            "`{verb}` is called by no line of this test"
        );
    }
    let trained = &calls["pretrain"];
    assert_eq!(trained["run"], "dense");
    assert_eq!(trained["steps"], 3);
    assert!(trained["validation"]["velocity"].as_f64().unwrap() > 0.0);
    assert!(trained["images"]["train"].as_u64().unwrap() > 100);
    let report = serde_json::json!("dense/report.html");
    assert!(trained["wrote"].as_array().unwrap().contains(&report));
    assert_eq!(
        calls["sample"]["wrote"],
        serde_json::json!(["drawn.npz", "drawn.png"])
    );
}

#[test]
fn a_training_says_first_what_it_is_and_then_how_far() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let line = "pretrain --data builtin:emoji --classes face,flag,hand --size dit-micro/4 --steps 40 \
                --set train.evaluate_every=0 --out runs/a --no-report --progress-every 0.05";
    let output = run(folder, &words(line));
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let model = common::json(folder, &words("inspect runs/a --json"));
    let parameters = &model["cost"]["total"]["parameters"];
    // The default rank split is a share of the width.
    assert_eq!(model["model"]["basis"]["factorised"]["learngene"], 48);
    let data = common::json(folder, &words("data inspect builtin:emoji --json"));
    let count = |split: &str| -> u64 {
        let classes = data["classes"].as_array().unwrap().iter();
        let chosen = classes.filter(|c| {
            ["face", "flag", "hand"]
                .iter()
                .any(|name| c["name"] == *name)
        });
        chosen.map(|c| c[split].as_u64().unwrap()).sum()
    };
    let [train, val, test] = ["train", "val", "test"].map(count);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("run folder"));
    assert_eq!(
        lines[first.unwrap()..][..5],
        [
            "run folder: runs/a".to_owned(),
            format!("images: {train} to train on, {val} to validate, {test} to test, of 3 classes"),
            "12 images a step: 3 of each of 3 classes and 3 without a label".to_owned(),
            format!("parameters: {parameters}, all trained"),
            "curves: tensorboard --logdir runs/a/tb".to_owned(),
        ],
        "{text}"
    );
    let far = |line: &&&str| {
        let parts = [
            "training: ",
            " of 40 steps, v loss ",
            " images/s, ",
            " left",
        ];
        parts.iter().all(|part| line.contains(part))
    };
    assert!(lines.iter().find(far).is_some(), "{text}");
    // Without a terminal, and in less than a few seconds, there is nothing more to say.
    let output = run(folder, &words("plan --size dit-nano/4"));
    assert_eq!(stderr(&output), "");
}

#[test]
fn few_images_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (class, count) in [("many", 40), ("one", 1)] {
        fs::create_dir_all(folder.join("photos").join(class)).unwrap();
        for i in 0..count {
            let image = encode_png(&Image::filled(8, 8, &[i, 90, 200])).unwrap();
            fs::write(folder.join(format!("photos/{class}/{i}.png")), image).unwrap();
        }
    }
    let line =
        "pretrain --data photos --size dit-micro/4 --steps 1 --batch 4 --no-report --out run";
    let text = stderr(&run(folder, &words(line)));
    for part in [
        "note: no images to validate on of one\n",
        "4 images a step: of all classes shuffled, 10 % of them without a label",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    // What is advised for them can be typed as it stands.
    let found = common::json(folder, &words("data inspect photos --advise --json"));
    let advice = &found["advice"];
    assert_eq!(found["images"], 41);
    assert_eq!(advice["patch"], 1);
    assert_eq!(advice["steps"], 1000);
    let trials = advice["trials"].as_array().unwrap();
    for trial in trials {
        let [step, all] = ["seconds_a_step", "seconds"].map(|key| trial[key].as_f64().unwrap());
        assert!(step > 0.0 && (all / step - 1000.0).abs() < 1e-6, "{advice}");
    }
    let command = advice["command"].as_str().unwrap();
    assert!(
        command.contains(trials[0]["size"].as_str().unwrap()),
        "{command}"
    );
    let command = command.replace("--steps 1000", "--steps 1 --no-report");
    let text = stderr(&run(
        folder,
        &words(command.strip_prefix("learngene ").unwrap()),
    ));
    let images = advice["images_a_step"].as_u64().unwrap();
    assert!(
        images >= 32 && text.contains(&format!("{images} images a step")),
        "{text}"
    );
    let moved = "transfer run --data photos --classes many --steps 1 --no-report --out moved";
    let text = stderr(&run(folder, &words(moved)));
    assert!(text.contains(", of which "), "{text}");
    assert!(!folder.join("moved/report.html").exists());
}

#[test]
fn a_training_that_came_to_nothing_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "3", "--no-report"]);
    let dense = "pretrain --data builtin:emoji --classes face,flag --size dit-micro/4 --dense --steps 1 --out dense --no-report";
    succeeds(folder, &words(dense));
    let small = "--size dit-micro/4 --set train.per_class=1 --set train.null=1";
    let train = "--steps 30 --lr 10 --data builtin:emoji --set train.warmup=0 --no-report";
    for line in [
        &format!("pretrain {small} --classes face,flag {train} --out high"),
        &format!(
            "pretrain {small} --classes face,flag {train} --set train.objective.target=epsilon --out noise"
        ),
        &format!("transfer base --method full --classes heart {train} --out moved"),
        "resume high",
        "factorise dense --rank-split 8,2 --fine-tune 30 --lr 10 --no-report --out tuned",
        "autoencoder train --data builtin:emoji --steps 30 --lr 10 --out vae",
    ] {
        let output = run(folder, &words(line));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{line}: {text}");
        for part in ["error: the training diverged: the ", "below 10"] {
            assert!(text.contains(part), "{line}: `{part}` is not in {text}");
        }
    }
    // What was trained is there all the same.
    succeeds(folder, &["inspect", "high"]);
}

#[test]
fn what_was_typed_is_not_answered_with_riddles() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (line, said, unsaid) in [
        (
            "inspect run --stepz 5",
            "unexpected argument '--stepz'",
            "as a value",
        ),
        (
            "sample run --count 0 --out a.png",
            "whole number of at least 1",
            "zero",
        ),
        (
            "curve run --data a --points 0",
            "whole number of at least 1",
            "zero",
        ),
        (
            "plan --size dit-nano/4 --progress-every=-1",
            "0 to 1000000",
            "panicked",
        ),
        (
            "sample run --sampler dpmpp --out a.png",
            "did you mean 'dpm++2m'",
            "'ddpm'?",
        ),
        (
            "sample run --sampler dpmpp_2m --out a.png",
            "did you mean 'dpm++2m'",
            "'ddpm'?",
        ),
        #[cfg(not(feature = "hub"))]
        (
            "hub pull a/b --out c",
            "cargo build --release --features hub",
            "unrecognized",
        ),
    ] {
        let output = run(folder, &words(line));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        assert!(text.contains(said), "{line}: {text}");
        assert!(!text.contains(unsaid), "{line}: {text}");
    }
}
