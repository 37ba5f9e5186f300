//! From images to latents, a model on them and images again.
//!
//! The autoencoder is that of `transfer/tests/fixtures/vae`: random weights of diffusers', which halve the sides and make
//! two channels.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, fails, json, program, stderr, succeeds};
use learngene_data::{Image, image};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const VAE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../transfer/tests/fixtures/vae"
);

/// Two classes of images of 16x16 pixels, stripes one way and the other.
fn images(folder: &Path, of_each: usize) {
    for (class, across) in [("across", true), ("down", false)] {
        let place = folder.join("images").join(class);
        fs::create_dir_all(&place).unwrap();
        for number in 0..of_each {
            let pixel = |i: usize| {
                let at = if across { i / 16 } else { i % 16 };
                let on = (at + number) / 2 % 2 == 0;
                [
                    if on { 240 } else { 20 },
                    (number % 251) as u8,
                    (i % 16 * 9) as u8,
                ]
            };
            let image = Image {
                width: 16,
                height: 16,
                channels: 3,
                pixels: (0..256).flat_map(pixel).collect(),
            };
            let path = place.join(format!("{number:04}.png"));
            fs::write(path, image::encode_png(&image).unwrap()).unwrap();
        }
    }
}

fn encode(out: &str) -> Vec<&str> {
    ["encode", "--data", "images", "--vae", VAE, "--out", out].to_vec()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn a_model_of_latents_is_trained_resumed_transferred_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder, 20);
    let said = succeeds(folder, &encode("latents"));
    assert!(said.contains("latents of 40 images"), "{said}");
    let found = json(folder, &["data", "inspect", "latents", "--json"]);
    assert_eq!(found["images"], 40);
    assert_eq!(found["latents"]["shift_factor"], 0.25);
    let size = &found["sizes"][0];
    assert_eq!((&size["width"], &size["channels"]), (&8.into(), &2.into()));
    let said = succeeds(folder, &["data", "inspect", "latents"]);
    assert!(said.contains("40 latents, 2 classes"), "{said}");

    let train = "pretrain --data latents --size dit-micro/2 --rank-split 8,2 --steps 4 --set train.flip=true --set \
                 train.per_class=2 --checkpoint-every 2";
    succeeds(folder, &[&words(train)[..], &["--out", "base"]].concat());
    succeeds(folder, &[&words(train)[..], &["--out", "again"]].concat());
    fs::remove_dir_all(folder.join("again/checkpoints/step-00000004")).unwrap();
    succeeds(folder, &["resume", "again"]);
    let last = "checkpoints/step-00000004/model.safetensors";
    let weights = |run: &str| fs::read(folder.join(run).join(last)).unwrap();
    assert!(
        weights("base") == weights("again"),
        "a resumed run ends with the same weights"
    );
    let stream = [&words(train)[..], &["--stream", "--out", "stream"]].concat();
    succeeds(folder, &stream);
    let tensors = |run: &str| {
        let read = learngene_formats::container::read(folder.join(run).join(last));
        read.unwrap().tensors
    };
    assert!(
        tensors("stream") == tensors("base"),
        "latents that stream are those in memory"
    );

    let transfer = "transfer base --data latents --classes down --steps 2 --out novel";
    succeeds(folder, &words(transfer));
    let draw = [
        "sample", "base", "--vae", VAE, "--count", "2", "--steps", "3",
    ];
    let args = [&draw[..], &["--out", "drawn.png", "--npz", "drawn.npz"]].concat();
    succeeds(folder, &args);
    let picture = image::decode_png(
        &fs::read(folder.join("drawn.png")).unwrap(),
        Path::new(""),
        4096,
    )
    .unwrap();
    assert!(picture.width > 32 && picture.height > 32);
    let archive = learngene_formats::ImageArchive::read(folder.join("drawn.npz")).unwrap();
    assert_eq!(
        (archive.height, archive.width, archive.channels),
        (16, 16, 3)
    );
    assert_eq!(archive.pixels.len(), 4 * 16 * 16 * 3);

    // What cannot be.
    let alone = words("sample base --out x.png");
    fails(folder, &alone, 2, &["latents of 2 channels", "--vae"]);
    let pictures = [&words(train)[..], &["--sample-every", "2", "--out", "x"]].concat();
    fails(folder, &pictures, 2, &["train.sample_every", "--vae"]);
    let sheet = words("data inspect latents --contact-sheet x.png");
    fails(folder, &sheet, 2, &["no pictures"]);
    let twice = [&words("encode --data latents --out x --vae")[..], &[VAE]].concat();
    fails(folder, &twice, 2, &["it holds latents"]);
    let pixels =
        words("transfer base --data images --image-size 8 --classes down --steps 2 --out x");
    let pixels: Vec<&str> = pixels
        .into_iter()
        .filter(|w| !["--image-size", "8"].contains(w))
        .collect();
    fails(folder, &pixels, 2, &["channels"]);
    fails(
        folder,
        &encode("images"),
        3,
        &["no part of a cache", "another folder"],
    );
    let compared = "seeds = [0]\nsteps = 2\n[data]\nsource = \"latents\"\n[base]\nkind = \"base\"\n\
        [[row]]\nname = \"KIND\"\nbase = \"kind\"\nmethod = \"kind\"\n";
    fs::write(folder.join("c.toml"), compared).unwrap();
    fails(
        folder,
        &words("compare c.toml --out x"),
        3,
        &["models of images"],
    );
    assert!(!folder.join("x").exists());
    let card = succeeds(folder, &words("card base --data latents --out card"));
    assert!(card.contains("wrote card"), "{card}");
    let text = fs::read_to_string(folder.join("card/README.md")).unwrap();
    assert!(
        text.contains("latents of 8 x 8") && text.contains("--vae"),
        "{text}"
    );
    assert!(!folder.join("card/samples.png").exists());
    let of_images = "pretrain --data images --size dit-micro/4 --dense --steps 1 --set train.evaluate_every=0 --out plain";
    succeeds(folder, &words(of_images));
    let decoded = ["sample", "plain", "--vae", VAE, "--out", "x.png"];
    fails(folder, &decoded, 2, &["draws images", "leave --vae out"]);
    let odd = [encode("odd"), words("--image-size 15")].concat();
    fails(folder, &odd, 2, &["divisible by 2", "3x15x15"]);

    // Another autoencoder, of the same shape.
    fs::create_dir(folder.join("other")).unwrap();
    for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
        fs::copy(
            Path::new(VAE).join("vae").join(name),
            folder.join("other").join(name),
        )
        .unwrap();
    }
    let config = folder.join("other/config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("\"scaling_factor\": 0.5", "\"scaling_factor\": 0.6"),
    )
    .unwrap();
    let other = words("sample base --vae other --out x.png");
    fails(folder, &other, 2, &["is not the autoencoder of the model"]);
    let again = words("encode --data images --vae other --out latents");
    fails(
        folder,
        &again,
        3,
        &["another autoencoder", "another folder"],
    );
}

#[test]
fn encoding_goes_on_after_a_kill_and_leaves_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Three shards, the last one short.
    images(folder, 280);
    succeeds(folder, &encode("whole"));
    assert_eq!(contents(&folder.join("whole")).len(), 4);

    let mut running = program(folder, &encode("killed")).spawn().unwrap();
    let (first, started) = (
        folder.join("killed/latents-00000.safetensors"),
        Instant::now(),
    );
    while !first.exists() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(first.exists());
    // Wherever the kill fell: not to the end.
    let _was_finished = fs::remove_file(folder.join("killed/latents.json"));
    let _was_there = fs::remove_file(folder.join("killed/latents-00002.safetensors"));
    fails(
        folder,
        &words("data inspect killed"),
        3,
        &["not encoded to the end"],
    );

    let output = common::run(folder, &encode("killed"));
    assert!(output.status.success(), "{}", stderr(&output));
    let of = |name: &str| {
        let files = contents(&folder.join(name)).into_iter();
        let named = files.map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes));
        // A killed process leaves the file that it was writing under a name of its own.
        named
            .filter(|(name, _)| !name.to_string_lossy().starts_with('.'))
            .collect::<Vec<_>>()
    };
    assert!(
        of("whole") == of("killed"),
        "the files of both are the same"
    );
}

#[test]
fn a_small_autoencoder_learns_to_give_images_back_and_serves_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder, 40);
    let train = |steps: &str, out: &str| {
        let line = "autoencoder train --data images --batch 8 --steps";
        let said = succeeds(folder, &[&words(line)[..], &[steps, "--out", out]].concat());
        let psnr = said.split("given back: ").nth(1).unwrap();
        psnr.split(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let (before, after) = (train("1", "untrained"), train("80", "trained"));
    assert!(after > before + 2.0, "{before} dB, then {after} dB");
    train("80", "again");
    let weights = |name: &str| {
        contents(&folder.join(name))
            .into_values()
            .collect::<Vec<_>>()
    };
    assert!(
        weights("trained") == weights("again"),
        "a function of data and seed"
    );

    succeeds(
        folder,
        &words("encode --data images --vae trained --out latents"),
    );
    // The factors bring latents to mean 0 and deviation 1, all channels together.
    let found = json(folder, &["data", "inspect", "latents", "--json"]);
    let numbers = |key: &str| -> Vec<f64> {
        let each = found[key].as_array().unwrap().iter();
        each.map(|v| v.as_f64().unwrap()).collect()
    };
    let (means, deviations) = (numbers("mean"), numbers("std"));
    assert_eq!(means.len(), 4);
    let mean = means.iter().sum::<f64>() / 4.0;
    let squares = means.iter().zip(&deviations).map(|(m, d)| m * m + d * d);
    let deviation = (squares.sum::<f64>() / 4.0 - mean * mean).sqrt();
    // The factors are of the training images, this is of all.
    assert!(
        mean.abs() < 0.1 && (deviation - 1.0).abs() < 0.1,
        "{mean} {deviation}"
    );

    let again = words("autoencoder train --data images --steps 1 --out trained");
    fails(folder, &again, 2, &["holds something"]);
    let latents = words("autoencoder train --data latents --steps 1 --out x");
    fails(folder, &latents, 2, &["it holds latents"]);
    let none = words("autoencoder train --data images --steps 0 --out x");
    fails(folder, &none, 2, &["`train.steps` is 0"]);
}
