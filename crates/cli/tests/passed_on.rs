//! Files that are made to be passed on do not say where anything lay on the machine of whoever made them.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use common::succeeds;
use learngene_data::Image;
use learngene_data::image::encode_png;
use std::fs;
use std::path::{Path, PathBuf};

/// A part of every path and every name of a source.
const TELLING: &str = "annas-ward";

/// Two sets of images and a class map, in folders whose names nobody is to read elsewhere.
fn write_images(root: &Path) {
    for (set, classes) in [("scans", ["well", "ill"]), ("more", ["old", "new"])] {
        for (shade, class) in classes.into_iter().enumerate() {
            let folder = root.join(format!("{TELLING}-{set}")).join(class);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..6u8 {
                let image = Image::filled(16, 16, &[shade as u8 * 90, number * 20, 128]);
                let file = folder.join(format!("{number}.png"));
                fs::write(file, encode_png(&image).unwrap()).unwrap();
            }
        }
    }
    let map = "[classes]\nwell = [\"well\"]\nill = [\"ill\"]\n";
    fs::write(root.join(format!("{TELLING}-map.toml")), map).unwrap();
}

/// The files below a path.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap();
    entries.flat_map(|e| files(&e.unwrap().path())).collect()
}

#[test]
fn nothing_that_is_passed_on_names_a_folder_or_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(TELLING);
    fs::create_dir(&root).unwrap();
    write_images(&root);
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let place = root.to_str().unwrap().to_owned();
    let few = "--set train.evaluate_every=0 --set train.per_class=1 --steps 2 --no-report";
    let small = format!("{few} --set train.null=1");
    // Every path is given whole.
    let learngene = |line: &str| {
        let line = line.replace("@", &format!("{place}/"));
        let words: Vec<&str> = line.split_whitespace().collect();
        succeeds(folder.path(), &words)
    };
    let scans = format!("@{TELLING}-scans");
    let more = format!("@{TELLING}-more");
    let map = format!("--class-map @{TELLING}-map.toml");
    let size = "--size dit-micro/4";
    learngene(&format!(
        "pretrain --data {scans} {map} {size} --rank-split 16,4 {small} --out @kind"
    ));
    learngene(&format!(
        "pretrain --data {scans} {size} --dense {small} --out @dense"
    ));
    learngene(&format!(
        "pretrain --data {scans} --init @kind {small} --out @on"
    ));
    learngene(&format!(
        "transfer @kind --data {more} --method kind {few} --out @new"
    ));
    learngene(&format!(
        "transfer @dense --data {more} --method lora {few} --out @lora"
    ));
    learngene(
        "assemble @kind --classes ill --tailors @new/tailors.safetensors --out @joined.safetensors",
    );
    learngene("merge @lora --out @merged.safetensors");
    learngene("factorise @dense --rank-split 16,4 --out @factorised.safetensors");
    learngene("export @kind --format diffusers --out @exported");
    learngene("export @dense --format dit --out @dense.pt");
    learngene("import @exported --out @again.safetensors");
    learngene(&format!(
        "card @kind --data {scans} --license mit --count 1 --out @carded"
    ));
    learngene("sample @kind --count 1 --steps 2 --out @drawn/");
    learngene("sample @kind --count 1 --steps 2 --out @drawn.png");
    learngene("sample @kind --count 1 --steps 2 --npz @drawn.npz");

    let checkpoint =
        |run: &str, file: &str| format!("{run}/checkpoints/step-00000002/{file}.safetensors");
    let mut passed_on = vec![
        "joined.safetensors".to_owned(),
        "merged.safetensors".to_owned(),
        "factorised.safetensors".to_owned(),
        "again.safetensors".to_owned(),
        "exported".to_owned(),
        "dense.pt".to_owned(),
        "carded".to_owned(),
        "drawn".to_owned(),
        "drawn.png".to_owned(),
        "drawn.npz".to_owned(),
        "new/tailors.safetensors".to_owned(),
        "lora/adapter.safetensors".to_owned(),
    ];
    for run in ["kind", "dense", "on", "new", "lora"] {
        passed_on.push(checkpoint(run, "model"));
        passed_on.push(checkpoint(run, "ema"));
    }
    let found: Vec<PathBuf> = passed_on
        .iter()
        .flat_map(|name| files(&root.join(name)))
        .collect();
    assert!(found.len() >= passed_on.len() + 5, "{found:?}");
    let holds = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        bytes
            .windows(TELLING.len())
            .any(|part| part == TELLING.as_bytes())
    };
    let telling: Vec<_> = found.iter().filter(|file| holds(file)).collect();
    assert!(telling.is_empty(), "{telling:#?}");
    // And the search can find it: a run folder is for whoever trains.
    assert!(holds(Path::new(&at("kind/config.toml"))));

    // What a checkpoint needs to write a lost config.toml anew is in the optimiser's file, which nobody passes on.
    let config = at("kind/config.toml");
    let before = fs::read(&config).unwrap();
    fs::remove_file(&config).unwrap();
    learngene("resume @kind --steps 3 --no-report");
    let after = String::from_utf8(fs::read(&config).unwrap()).unwrap();
    assert_eq!(
        String::from_utf8(before)
            .unwrap()
            .replace("steps = 2", "steps = 3"),
        after
    );
}
