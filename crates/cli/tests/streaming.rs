//! Training on images that stay where they are.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{fails, run, stderr, succeeds};
use learngene_data::{Image, image};
use std::fs;
use std::path::Path;

/// Two classes of images of 20x16 pixels.
fn images(folder: &Path) {
    for class in ["dark", "light"] {
        let place = folder.join("images").join(class);
        fs::create_dir_all(&place).unwrap();
        for number in 0..24u8 {
            let shade = if class == "dark" { 0 } else { 200 };
            let mut picture = Image::filled(20, 16, &[shade + number, number, 90]);
            picture.pixels[..30].fill(number);
            let bytes = image::encode_png(&picture).unwrap();
            fs::write(place.join(format!("{number:02}.png")), bytes).unwrap();
        }
    }
}

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let line = "pretrain --data images --image-size 16 --size dit-micro/4 --rank-split 8,2 --steps 6 \
                --checkpoint-every 3 --set train.evaluate_every=6 --set train.flip=true --set train.accumulate=2";
    let words = line.split_whitespace().chain(["--out", out]);
    words.chain(more.iter().copied()).collect()
}

fn weights(folder: &Path, run: &str) -> Vec<u8> {
    fs::read(
        folder
            .join(run)
            .join("checkpoints/step-00000006/model.safetensors"),
    )
    .unwrap()
}

/// The tensors of a weight file: what follows its header, which holds the configuration.
fn tensors(file: &[u8]) -> &[u8] {
    let header = u64::from_le_bytes(file[..8].try_into().unwrap());
    &file[8 + header as usize..]
}

#[test]
fn training_from_files_gives_the_weights_of_training_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder);
    succeeds(folder, &train("memory", &[]));
    succeeds(folder, &train("stream", &["--stream"]));
    let stream = weights(folder, "stream");
    assert!(tensors(&stream) == tensors(&weights(folder, "memory")));

    // The run says how its images are read, and so goes on by itself and can be made again.
    fs::remove_dir_all(folder.join("stream/checkpoints/step-00000006")).unwrap();
    succeeds(folder, &["resume", "stream"]);
    assert!(weights(folder, "stream") == stream);
    let again = [
        "pretrain",
        "--config",
        "stream/config.toml",
        "--out",
        "again",
    ];
    succeeds(folder, &again);
    assert!(weights(folder, "again") == stream);

    let adapt = "transfer stream --data images --steps 2 --stream --out tailors";
    succeeds(folder, &adapt.split(' ').collect::<Vec<_>>());
}

#[test]
fn a_broken_image_is_named_and_passed_over_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder);
    fs::write(folder.join("images/dark/07.png"), "cut").unwrap();
    for more in [&[][..], &["--stream"]] {
        let out = format!("run{}", more.len());
        let said = stderr(&run(folder, &train(&out, more)));
        assert!(
            said.contains("left out a broken image") && said.contains("dark/07.png"),
            "{more:?}: {said}"
        );
        assert!(folder.join(&out).join("checkpoints/step-00000006").is_dir());
    }
    let strict = train("strict", &["--strict"]);
    fails(folder, &strict, 3, &["dark/07.png", "replace the file"]);
    let said = succeeds(folder, &["data", "inspect", "images"]);
    assert!(said.contains("broken images: 1"), "{said}");

    // One that makes the decoder panic is broken like any other.
    let jpeg = include_bytes!("../../data/tests/reference/contradicting.jpg");
    fs::write(folder.join("images/light/24.jpg"), jpeg).unwrap();
    let out = run(folder, &["data", "inspect", "images"]);
    let counted = String::from_utf8_lossy(&out.stdout).contains("broken images: 2");
    let said = stderr(&out);
    assert!(counted && !said.contains("panicked"), "{said}");

    let refused = ["pretrain", "--data", "images", "--stream", "--out", "x"];
    fails(folder, &refused, 2, &["image size", "--image-size"]);
    let refused = [
        "pretrain",
        "--data",
        "builtin:emoji",
        "--stream",
        "--out",
        "x",
    ];
    fails(folder, &refused, 2, &["leave out --stream"]);
}
