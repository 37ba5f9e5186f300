//! Tailor files: what a transfer leaves, attached to the model it started from, draws the same images.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, fails, json, pretrain, succeeds, transfer};
use std::fs;
use std::path::Path;

/// The picture of two images of a class with guidance, for which the null row matters.
fn draw(folder: &Path, model: &str, class: &str) -> Vec<u8> {
    let how = [
        "--count",
        "2",
        "--steps",
        "4",
        "--cfg",
        "2",
        "--seed",
        "5",
        "--out",
        "drawn.png",
    ];
    succeeds(
        folder,
        &[&["sample", model, "--class", class], &how[..]].concat(),
    );
    fs::read(folder.join("drawn.png")).unwrap()
}

#[test]
fn joined_tailors_draw_the_images_of_the_transfer_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A rate high enough that images of different tailors differ; weight decay, which must not reach the null row later.
    let long = "--steps 12 --lr 1e-2 --set train.warmup=0 --set train.weight_decay=0.1";
    pretrain(folder, "base", &long.split(' ').collect::<Vec<_>>());
    let said = transfer(
        folder,
        "novel",
        &[
            "--lr",
            "1e-1",
            "--set",
            "train.warmup=0",
            "--set",
            "train.ema=0",
        ],
    );
    assert!(
        said.contains("tailors: novel/tailors.safetensors"),
        "{said}"
    );

    let file = json(folder, &["inspect", "novel/tailors.safetensors", "--json"]);
    let base = json(folder, &["inspect", "base", "--json"]);
    let novel = json(folder, &["inspect", "novel", "--json"]);
    assert_eq!(file["kind"], "tailor");
    assert_eq!(file["classes"], serde_json::json!(["heart", "bird"]));
    assert_eq!(file["learngene_blake3"], base["learngene_blake3"]);
    assert_eq!(novel["learngene_blake3"], base["learngene_blake3"]);
    // Two tailors and the one they share, of 6 matrices in 4 blocks, rank 4, and two label rows of width 96, in f32; the rest is the header.
    let tailors = file["cost"]["tailors"]["parameters"].as_u64().unwrap();
    let size = fs::metadata(folder.join("novel/tailors.safetensors"))
        .unwrap()
        .len();
    let values = 4 * (tailors + 2 * 96);
    assert!(
        (values..values + 20_000).contains(&size),
        "{size} bytes for {values}"
    );

    let join = [
        "assemble",
        "base",
        "--classes",
        "face,heart",
        "--tailors",
        "novel/tailors.safetensors",
    ];
    let before = (
        contents(&folder.join("base")),
        contents(&folder.join("novel")),
    );
    succeeds(
        folder,
        &[&join[..], &["--out", "joined.safetensors"]].concat(),
    );
    assert!(
        before
            == (
                contents(&folder.join("base")),
                contents(&folder.join("novel"))
            )
    );
    let heart = draw(folder, "novel", "heart");
    assert!(heart == draw(folder, "joined.safetensors", "heart"));
    assert!(draw(folder, "base", "face") == draw(folder, "joined.safetensors", "face"));
    // Rows are of the same noise and label, so these would be equal if tailors did nothing.
    assert!(heart != draw(folder, "novel", "bird"));

    // A smaller base has the same learngene; a shorter learngene is another one.
    succeeds(
        folder,
        &[
            "assemble",
            "base",
            "--classes",
            "flag",
            "--out",
            "flag.safetensors",
        ],
    );
    let small = [
        "assemble",
        "flag.safetensors",
        "--classes",
        "bird",
        "--tailors",
        "novel/tailors.safetensors",
    ];
    succeeds(
        folder,
        &[&small[..], &["--out", "bird.safetensors"]].concat(),
    );
    assert!(draw(folder, "novel", "bird") == draw(folder, "bird.safetensors", "bird"));
}

#[test]
fn tailors_that_do_not_belong_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    pretrain(folder, "other", &["--steps", "1", "--seed", "1"]);
    transfer(folder, "novel", &[]);
    transfer(folder, "thin", &["--rank", "2"]);
    let moved = transfer(folder, "moved", &["--set", "train.trainable.learngene=0.3"]);
    assert!(!moved.contains("tailors:") && !folder.join("moved/tailors.safetensors").exists());
    succeeds(
        folder,
        &[
            "assemble",
            "base",
            "--classes",
            "face",
            "--learngene",
            "8",
            "--out",
            "short.safetensors",
        ],
    );
    let before = contents(folder);
    let refused = |model: &str, classes: &str, tailors: &str, code, parts: &[&str]| {
        let line = [
            "assemble",
            model,
            "--classes",
            classes,
            "--tailors",
            tailors,
            "--out",
            "out/x.safetensors",
        ];
        fails(folder, &line, code, parts);
        assert!(contents(folder) == before && !folder.join("out").exists());
    };
    let (novel, thin) = ("novel/tailors.safetensors", "thin/tailors.safetensors");
    refused(
        "other",
        "heart",
        novel,
        3,
        &[
            novel,
            "belongs to learngene",
            "use the learngene it was trained with",
        ],
    );
    refused(
        "short.safetensors",
        "heart",
        novel,
        3,
        &["belongs to learngene"],
    );
    refused(
        "base",
        "heart,hart",
        novel,
        2,
        &["no class `hart`", "did you mean `heart`"],
    );
    refused(
        "base",
        "face,heart",
        thin,
        2,
        &["`heart` has 2 components", "`face` has 4", "--rank 4"],
    );
    refused(
        "base",
        "heart",
        &format!("{novel},{thin}"),
        2,
        &["`heart` is in novel", "and in thin"],
    );
    refused(
        "base",
        "heart",
        "base/config.toml",
        3,
        &["config.toml", "not a valid safetensors file"],
    );
    // Alone, tailors of another rank are fine.
    let alone = [
        "assemble",
        "base",
        "--classes",
        "heart",
        "--tailors",
        thin,
        "--out",
        "thin.safetensors",
    ];
    succeeds(folder, &alone);
    assert!(draw(folder, "thin", "heart") == draw(folder, "thin.safetensors", "heart"));
}

#[test]
fn an_interrupted_transfer_leaves_its_tailors_once_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    transfer(
        folder,
        "novel",
        &["--checkpoint-every", "2", "--set", "train.keep_last=9"],
    );
    let file = folder.join("novel/tailors.safetensors");
    let whole = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::remove_dir_all(folder.join("novel/checkpoints/step-00000004")).unwrap();
    succeeds(folder, &["resume", "novel"]);
    assert!(fs::read(&file).unwrap() == whole);
}
