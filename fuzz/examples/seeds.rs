//! Tiny whole files to begin from, in `seeds/TARGET/`: `cargo run --example seeds`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, RgbaImage};
use learngene_data::latents::{Batch, Entry, Latent, LatentWriter, Recipe};
use learngene_data::{Fit, Image, LatentSpace, Split};
use learngene_formats::{
    CheckpointWriter, Content, Header, ImageArchive, Kind, Retention, TensorEntry, WeightFile,
};
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    images()?;
    sets()?;
    parquet()?;
    latents()?;
    texts()?;
    weights()?;
    checkpoint()?;
    archives()?;
    torch()
}

/// Writes `files` as one input of `target`.
fn seed(target: &str, name: &str, files: &[&[u8]]) -> Result {
    Ok(learngene_fuzz::seed(target, name, files)?)
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

fn picture(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| [x * 37, y * 41, x * y, 255 - x * 9].map(|value| value as u8);
    RgbaImage::from_fn(width, height, |x, y| image::Rgba(pixel(x, y))).into()
}

/// The reader wants whole files of each format in all their kinds of pixels.
fn images() -> Result {
    let all = picture(9, 7);
    let kinds = [
        ("rgb", all.to_rgb8().into()),
        ("grey", all.to_luma8().into()),
        ("rgba", all.clone()),
        ("grey-alpha", all.to_luma_alpha8().into()),
        ("rgb16", all.to_rgb16().into()),
    ];
    for (name, picture) in &kinds {
        seed("png", name, &[&encoded(picture, ImageFormat::Png)?])?;
    }
    for (name, picture) in &kinds[..2] {
        seed("jpeg", name, &[&encoded(picture, ImageFormat::Jpeg)?])?;
    }
    for (name, picture) in [&kinds[0], &kinds[2]] {
        seed("webp", name, &[&encoded(picture, ImageFormat::WebP)?])?;
    }
    of_other_programs()?;
    let [png, jpeg] = [ImageFormat::Png, ImageFormat::Jpeg]
        .map(|format| encoded(&kinds[0].1, format).unwrap_or_default());
    seed(
        "image_folder",
        "two",
        &[b"cat", b"1.png", &png, b"dog", b"1.jpg", &jpeg],
    )?;
    seed(
        "image_folder",
        "split",
        &[b"train", b"a.webp", &png, b"test", b"b.txt", b"words"],
    )?;
    shards(&png, &jpeg)
}

/// The small pictures of the reader's own tests, and what they say of how they are to be turned.
fn of_other_programs() -> Result {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/data/tests/reference/pictures.json"
    );
    let pictures: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(file)?)?;
    for picture in &pictures {
        let name = picture["name"].as_str().unwrap_or_default();
        let digits = picture["bytes"].as_str().unwrap_or_default().as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
        let pairs = digits.chunks_exact(2);
        let bytes: Vec<u8> = pairs.map(|p| digit(p[0]) << 4 | digit(p[1])).collect();
        let target = match name.split('-').next() {
            Some("datasets") => "tiff",
            Some(format) => format,
            None => continue,
        };
        seed(target, name, &[&bytes])?;
    }
    let entry = |kind: &[u8]| [b"II*\0\x08\0\0\0\x01\0\x12\x01", kind, &[0; 4]].concat();
    seed(
        "orientation",
        "short",
        &[&entry(b"\x03\0\x01\0\0\0\x06\0\0\0"), b""],
    )?;
    seed(
        "orientation",
        "long",
        &[&entry(b"\x04\0\x01\0\0\0\x08\0\0\0"), b""],
    )?;
    seed("orientation", "xmp", &[b"", b"<x tiff:Orientation=\"6\"/>"])
}

fn shards(png: &[u8], jpeg: &[u8]) -> Result {
    let tar = |files: &[(&str, &[u8])]| -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, *bytes)?;
        }
        Ok(tar.into_inner()?)
    };
    let numbers = tar(&[
        ("1.png", png),
        ("1.cls", b"0"),
        ("2.jpg", jpeg),
        ("2.cls", b"1"),
    ])?;
    seed("webdataset", "numbers", &[&numbers])?;
    seed("webdataset", "lines", &[&numbers, b"cat\ndog"])?;
    let names = tar(&[("a/1.json", br#"{"label": "cat"}"#), ("a/1.png", png)])?;
    seed("webdataset", "json", &[&names])?;
    let long = format!("{}.png", "x".repeat(120));
    let long = tar(&[(&long, png), (&long.replace("png", "cls"), b"1")])?;
    seed("webdataset", "long", &[&long])
}

/// Parquet files of other programs, as the reader's own tests have them.
fn parquet() -> Result {
    let files = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/data/tests/reference/parquet"
    );
    for (name, file) in [
        ("plain", "plain.parquet"),
        ("datasets", "set/data/validation-00000-of-00001.parquet"),
    ] {
        seed("parquet", name, &[&fs::read(format!("{files}/{file}"))?])?;
    }
    Ok(())
}

/// The binary sets and the sheets.
fn sets() -> Result {
    let words = |numbers: &[u32], bytes: &[u8]| -> Vec<u8> {
        let head = numbers.iter().flat_map(|n| n.to_be_bytes());
        head.chain(bytes.iter().copied()).collect()
    };
    let images = words(&[0x0803, 2, 3, 2], &[7; 12]);
    let labels = words(&[0x0801, 2], &[1, 9]);
    seed("idx", "two", &[&images, &labels])?;
    let gzip = |bytes: &[u8]| -> Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        Ok(encoder.finish()?)
    };
    seed("idx_gz", "two", &[&gzip(&images)?, &gzip(&labels)?])?;
    seed("cifar_binary", "one", &[&[3; 100][..]])?;
    seed(
        "cifar_binary",
        "two",
        &[&[&[1][..], &[9; 3072], &[0, 1]].concat(), b"cat\ndog"],
    )?;
    let sheet = DynamicImage::from(RgbaImage::new(1024, 2)).to_rgb8().into();
    seed(
        "cifar_sheets",
        "two",
        &[&encoded(&sheet, ImageFormat::Png)?, b"[1, 9]"],
    )
}

fn latents() -> Result {
    let folder = learngene_fuzz::folder().join("latents");
    let recipe = Recipe {
        source: "made up".into(),
        classes: vec!["a".into(), "b".into()],
        base: vec!["a".into()],
        novel: vec!["b".into()],
        image_size: Some(4),
        fit: Fit::Crop,
        channels: 3,
        space: LatentSpace {
            encoder: "01".into(),
            scaling_factor: 0.5,
            shift_factor: 2.0,
        },
    };
    let entry = |class: usize| Entry {
        id: class.to_string(),
        class,
        split: Some(Split::Train),
    };
    let batch = Batch {
        entries: vec![entry(0), entry(1)],
        images: vec![Image::filled(4, 4, &[1, 2, 3]); 2],
    };
    let latent = Latent {
        shape: [2, 1, 1],
        values: vec![0.5; 8],
    };
    let hash = recipe.hash();
    let mut writer = LatentWriter::open(&folder, recipe, latent.shape)?;
    writer.write(&batch, &[latent.clone(), latent])?;
    writer.finish()?;
    let manifest = fs::read_to_string(folder.join("latents.json"))?;
    let manifest = manifest.replace(&hash, &"@".repeat(hash.len()));
    let mut shard = fs::read(folder.join("latents-00000.safetensors"))?;
    let places = shard.windows(hash.len());
    if let Some(at) = places.into_iter().position(|part| part == hash.as_bytes()) {
        shard[at..at + hash.len()].fill(b'@');
    }
    seed("latents", "two", &[manifest.as_bytes(), &shard])
}

fn texts() -> Result {
    let map = "base = ['pet']\nnovel = ['a']\n[classes]\npet = ['cat', 'dog']\na = ['a']\n";
    seed("class_map", "both", &[map.as_bytes()])?;
    seed("class_map", "parts", &[b"base = ['a']\nnovel = ['b']\n"])?;
    let tree = "animal = ['cat', 'd \"o\" g']\n'two words' = ['oak']\n";
    seed("class_tree", "two", &[tree.as_bytes()])?;
    let nouns = "  1 licence\n00000001 03 n 01 entity 0 001 ~ 00000002 n 0000 | what is\n\
        00000002 03 n 02 dog 0 domestic_dog 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | a pet\n\
        00000003 03 n 01 pug 0 001 @i 00000002 n 0000 | small\n";
    seed("wordnet", "three", &[nouns.as_bytes()])
}

fn tensors() -> BTreeMap<String, TensorEntry> {
    let tensor = |shape: &[usize], values: &[f32]| TensorEntry {
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    BTreeMap::from([
        (
            "a.weight".to_owned(),
            tensor(&[2, 3], &[1.0, -2.5, 0.0, 1e-40, f32::MAX, 7.0]),
        ),
        ("b".to_owned(), tensor(&[], &[0.1])),
        ("empty".to_owned(), tensor(&[0, 4], &[])),
    ])
}

fn weights() -> Result {
    let mut header = Header::new(Kind::Tailor, json!({"size": "dit-nano/4", "lr": 0.0015}));
    header.class_names = vec!["cat".into(), "d \"o\" g".into()];
    header.learngene = Some("0".repeat(64));
    header.extra.insert("note".into(), "x".into());
    let bytes = WeightFile::new(header, tensors()).to_bytes()?;
    seed("weights", "tailor", &[&bytes])?;
    seed("safetensors", "tailor", &[&bytes])?;
    let other = |members: &str, bytes: usize| {
        let json = format!("{{{members}}}");
        [
            &(json.len() as u64).to_le_bytes()[..],
            json.as_bytes(),
            &vec![1; bytes],
        ]
        .concat()
    };
    let half = r#""a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]}"#;
    let double = r#""c":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]}"#;
    seed("safetensors", "half", &[&other(half, 6)])?;
    seed("safetensors", "double", &[&other(double, 8)])?;
    let index = br#"{"metadata": {"total_size": 14}, "weight_map": {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}"#;
    seed(
        "shards",
        "two",
        &[index, &other(half, 6), &other(double, 8)],
    )?;
    let bias = r#""fc.bias":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}"#;
    seed("inception", "bias", &[&other(bias, 4)])?;
    let bias = r#""stem.bias":{"dtype":"F32","shape":[32],"data_offsets":[0,128]}"#;
    seed("lite0", "bias", &[&other(bias, 128)])
}

fn checkpoint() -> Result {
    let folder = learngene_fuzz::folder().join("checkpoints");
    let writer = CheckpointWriter::open(
        &folder,
        Retention {
            last: 1,
            best: true,
        },
    )?;
    let content: &[u8] = b"weights";
    writer.save(
        7,
        Some(0.5),
        &[("model.safetensors", Content::Bytes(content))],
    )?;
    let sealed = fs::read(folder.join("step-00000007/manifest.json"))?;
    let json: serde_json::Value = serde_json::from_slice(&sealed)?;
    seed(
        "checkpoint",
        "manifest",
        &[json["manifest"].to_string().as_bytes(), content],
    )?;
    seed("checkpoint", "sealed", &[&sealed, content])
}

fn archives() -> Result {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/formats/tests/reference");
    for name in ["compressed.npz", "stored.npz", "other.npz"] {
        seed("npz", name, &[&fs::read(formats.join(name))?])?;
    }
    let path = learngene_fuzz::folder().join("a.npz");
    let archive = ImageArchive {
        height: 2,
        width: 1,
        channels: 3,
        pixels: vec![5; 12],
        labels: Some(vec![1, -1]),
    };
    archive.write(&path)?;
    let bytes = fs::read(path)?;
    seed("npz", "ours", &[&bytes])?;
    let starts = bytes
        .windows(6)
        .enumerate()
        .filter(|(_, w)| *w == b"\x93NUMPY");
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    let [images, labels] =
        [(0, 128 + 12), (1, 128 + 16)].map(|(i, size)| &bytes[starts[i]..][..size]);
    seed("npy", "both", &[images, labels])?;
    seed("npy", "images", &[images])
}

fn torch() -> Result {
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/formats/tests/fixtures/torch");
    let read = |name: &str| fs::read(fixtures.join(name).with_extension("pt"));
    for name in ["legacy", "training-legacy", "system-legacy"] {
        seed("torch_legacy", name, &[&read(name)?])?;
    }
    for name in ["state", "parameters", "compressed", "transposed"] {
        seed("torch_zip", name, &[&read(name)?])?;
    }
    // What training programs leave: options, numbers of NumPy, paths; parts in one another; views.
    let foreign =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/transfer/tests/fixtures/foreign");
    for name in ["sit", "training", "nested", "strided", "ema-pytorch"] {
        let bytes = fs::read(foreign.join(name).with_extension("pt"))?;
        seed("torch_zip", &format!("foreign-{name}"), &[&bytes])?;
    }
    for name in [
        "state",
        "training",
        "parameters",
        "types",
        "transposed",
        "system",
    ] {
        let bytes = read(name)?;
        let start = bytes
            .windows(2)
            .position(|two| two == b"\x80\x02")
            .unwrap_or(0);
        let rest = &bytes[start..];
        let end = rest
            .windows(4)
            .position(|four| four == b"PK\x07\x08" || four == b"PK\x03\x04");
        let pickle = &rest[..end.unwrap_or(rest.len())];
        seed("torch_pickle", name, &[pickle, &[0; 24], &[0; 8]])?;
    }
    Ok(())
}
