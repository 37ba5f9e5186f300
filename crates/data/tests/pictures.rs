//! Pictures of all formats and kinds, held against what Hugging Face's `datasets` makes of the same bytes, wherever they lie.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::path::Path;

use learngene_data::image::decode;
use learngene_data::{Image, Statistics, source};
use serde::Deserialize;

/// A line of `reference/pictures.json`, which `reference/pictures.py` writes (Pillow 13.0.0, datasets 5.2.0).
#[derive(Deserialize)]
struct Picture {
    name: String,
    bytes: String,
    width: u32,
    height: u32,
    channels: u32,
    pixels: Vec<u8>,
    tolerance: u8,
}

impl Picture {
    fn bytes(&self) -> Vec<u8> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
        let digits: Vec<u8> = self.bytes.as_bytes().iter().map(digit).collect();
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    /// The largest difference of a value, where grey and colour may stand for each other.
    fn difference(&self, image: &Image) -> u8 {
        assert_eq!(
            (image.width, image.height),
            (self.width, self.height),
            "{}",
            self.name
        );
        let expected = Image {
            width: self.width,
            height: self.height,
            channels: self.channels,
            pixels: self.pixels.clone(),
        };
        let (image, expected) = (image.clone().with_channels(3), expected.with_channels(3));
        let pairs = image.pixels.iter().zip(&expected.pixels);
        pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }
}

fn pictures() -> Vec<Picture> {
    let pictures: Vec<Picture> =
        serde_json::from_str(include_str!("reference/pictures.json")).unwrap();
    assert!(pictures.len() > 80);
    pictures
}

#[test]
fn pictures_are_what_datasets_makes_of_them() {
    let mut wrong = Vec::new();
    for picture in pictures() {
        match decode(&picture.bytes(), Path::new(&picture.name)) {
            Err(error) => wrong.push(error.to_string()),
            Ok(image) => {
                let difference = picture.difference(&image);
                if difference > picture.tolerance {
                    wrong.push(format!("{}: off by {difference}", picture.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A tar of files, as GNU tar writes it.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn folders_and_shards_turn_pictures_alike() {
    let root = tempfile::tempdir().unwrap();
    let all = pictures();
    let turned: Vec<&Picture> = all.iter().filter(|p| p.name.starts_with("jpeg-")).collect();
    fs::create_dir_all(root.path().join("folder/a")).unwrap();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for picture in &turned {
        let file = format!("folder/a/{}.jpg", picture.name);
        fs::write(root.path().join(file), picture.bytes()).unwrap();
        files.push((format!("{}.jpg", picture.name), picture.bytes()));
        files.push((format!("{}.cls", picture.name), b"3".to_vec()));
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (&n[..], &b[..])).collect();
    fs::write(root.path().join("one.tar"), tar(&files)).unwrap();
    for place in ["folder", "one.tar"] {
        let source = source::open(root.path().join(place).to_str().unwrap(), None).unwrap();
        let samples: Vec<_> = source.samples().map(Result::unwrap).collect();
        assert_eq!(samples.len(), turned.len());
        for picture in &turned {
            let wanted = |id: &str| {
                let name = id.rsplit('/').next().unwrap();
                name.trim_end_matches(".jpg") == picture.name
            };
            let sample = samples.iter().find(|sample| wanted(&sample.id)).unwrap();
            let difference = picture.difference(sample.content.image().unwrap());
            assert!(
                difference <= picture.tolerance,
                "{place}, {}: {difference}",
                picture.name
            );
        }
    }
}

#[test]
fn what_is_taken_of_several_pictures_is_said() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a")).unwrap();
    let kinds = [
        "gif-animated",
        "webp-animated",
        "png-animated",
        "tiff-pages",
        "gif",
        "png-1",
    ];
    for picture in pictures().iter().filter(|p| kinds.contains(&&p.name[..])) {
        let kind = picture.name.split('-').next().unwrap();
        let file = format!("a/{}.{kind}", picture.name);
        fs::write(root.path().join(file), picture.bytes()).unwrap();
    }
    let source = source::open(root.path().to_str().unwrap(), None).unwrap();
    let found = Statistics::gather(&*source).unwrap();
    assert_eq!(found.images, 6);
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    assert!(found.notes[0].what.contains("the first is taken"));
    let names = [
        "a/gif-animated.gif",
        "a/png-animated.png",
        "a/tiff-pages.tiff",
        "a/webp-animated.webp",
    ];
    assert_eq!(found.notes[0].of, names);
}

#[test]
fn numbers_that_are_plainly_no_levels_are_refused() {
    // numpy 2: Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(..., "TIFF"), and of int32 [[0, 70000]].
    let tiff = |format: u16, values: &[[u8; 4]]| {
        let entry = |tag: u16, kind: u16, value: u32| {
            let mut bytes = tag.to_le_bytes().to_vec();
            bytes.extend(kind.to_le_bytes());
            bytes.extend(1u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
            bytes
        };
        let entries = [
            entry(256, 4, values.len() as u32),
            entry(257, 4, 1),
            entry(258, 3, 32),
            entry(259, 3, 1),
            entry(262, 3, 1),
            entry(273, 4, 8 + 2 + 9 * 12 + 4),
            entry(277, 3, 1),
            entry(279, 4, 4 * values.len() as u32),
            entry(339, 3, format.into()),
        ];
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend((entries.len() as u16).to_le_bytes());
        bytes.extend(entries.concat());
        bytes.extend([0; 4]);
        bytes.extend(values.concat());
        bytes
    };
    let says = |bytes: &[u8], part: &str| {
        let text = decode(bytes, Path::new("x.tif")).unwrap_err().to_string();
        assert!(text.contains(part) && text.contains("x.tif"), "{text}");
    };
    let halves = tiff(3, &[0.0f32, 0.5, 1.0].map(f32::to_le_bytes));
    says(&halves, "from 0 to 1");
    says(&tiff(2, &[0i32, 70_000].map(i32::to_le_bytes)), "70000");
    let black = decode(
        &tiff(3, &[0.0f32; 3].map(f32::to_le_bytes)),
        Path::new("x.tif"),
    );
    assert_eq!(black.unwrap().pixels, [0; 3]);
}

#[test]
fn no_changed_byte_and_no_lost_end_makes_a_decoder_panic() {
    let path = Path::new("changed");
    for picture in pictures().iter().step_by(3) {
        let whole = picture.bytes();
        for i in 0..whole.len().min(400) {
            let mut changed = whole.clone();
            changed[i] ^= 1 << (i % 8);
            drop(decode(&changed, path));
            drop(decode(&whole[..i], path));
        }
    }
}
