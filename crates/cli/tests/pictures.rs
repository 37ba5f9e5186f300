//! Drawn images as files: the format is what the name says, and each image of a folder says how it was drawn.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, diffusers_python, fails, pretrain, run_python, succeeds};
use learngene_data::image::decode;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The texts of a PNG file, read here by hand (PNG 3, 11.3.3.4).
fn texts(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = &bytes[8..];
    while let [a, b, c, d, kind @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (kind, content) = (&kind[..4], &kind[4..4 + length]);
        if kind == b"iTXt" {
            let (keyword, text) = content.split_at(content.iter().position(|b| *b == 0).unwrap());
            let text = text.strip_prefix(&[0; 5]).unwrap();
            let text = String::from_utf8(text.to_vec()).unwrap();
            found.insert(String::from_utf8(keyword.to_vec()).unwrap(), text);
        }
        rest = &rest[12 + length..];
    }
    found
}

#[test]
fn an_image_of_a_folder_says_how_the_same_bytes_are_drawn_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pretrain(here, "run", &["--steps", "3"]);
    let draw = "sample run --class hand,face --count 2 --steps 3 --cfg 1.5 --seed 7 --sampler ddpm --out drawn/";
    let said = succeeds(here, &draw.split(' ').collect::<Vec<_>>());
    assert!(said.contains("wrote 4 images in drawn/"), "{said}");
    let drawn = contents(&here.join("drawn"));
    let names: Vec<&str> = drawn
        .keys()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "face-0000.png",
            "face-0001.png",
            "hand-0000.png",
            "hand-0001.png"
        ]
    );

    let bytes = &drawn[&here.join("drawn/face-0001.png")];
    let found = texts(bytes);
    let all: serde_json::Value = serde_json::from_str(&found["learngene"]).unwrap();
    assert_eq!(all["class"], "face");
    assert_eq!(
        (&all["index"], &all["seed"], &all["steps"]),
        (&1.into(), &7.into(), &3.into())
    );
    assert_eq!(
        (&all["cfg"], &all["sampler"], &all["precision"]),
        (&1.5.into(), &"ddpm".into(), &"f32".into())
    );
    let model = here
        .join("run/checkpoints/step-00000003")
        .join(all["model"].as_str().unwrap());
    let hash = blake3::hash(&fs::read(model).unwrap()).to_hex();
    assert_eq!(all["model_blake3"], hash.as_str());
    assert_eq!(
        found["parameters"],
        format!(
            "face\nSteps: 3, Sampler: ddpm, CFG scale: 1.5, Seed: 7, Precision: f32, Size: 32x32, Model hash: {}, Image: 1, \
             Version: learngene {}",
            &hash[..10],
            env!("CARGO_PKG_VERSION")
        )
    );

    // What the file says is enough: every file of the folder comes again to the byte.
    let options = all["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|option| option.as_str().unwrap());
    let again: Vec<&str> = ["sample", "run"]
        .into_iter()
        .chain(options)
        .chain(["--out", "again"])
        .collect();
    succeeds(here, &again);
    let by_name = |files: BTreeMap<std::path::PathBuf, Vec<u8>>| -> Vec<_> {
        files
            .into_iter()
            .map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes))
            .collect()
    };
    assert_eq!(by_name(contents(&here.join("again"))), by_name(drawn));

    // A folder that is there keeps what it holds besides.
    fs::write(here.join("again/notes.txt"), "mine").unwrap();
    succeeds(
        here,
        &[
            "sample",
            "run",
            "--blend",
            "face=0.5,hand=0.5",
            "--count",
            "1",
            "--steps",
            "2",
            "--out",
            "again",
        ],
    );
    assert_eq!(fs::read(here.join("again/notes.txt")).unwrap(), b"mine");
    let blend = texts(&fs::read(here.join("again/face_0.5_hand_0.5-0000.png")).unwrap());
    assert!(
        blend["learngene"].contains(r#""blend":"face=0.5,hand=0.5""#),
        "{blend:?}"
    );

    // What others read: Pillow's texts.
    let Some(python) = diffusers_python() else {
        return;
    };
    let script =
        "import sys, PIL.Image; print(PIL.Image.open(sys.argv[1]).text['parameters'], end='')";
    let read = run_python(&python, here, &["-c", script, "drawn/face-0001.png"]);
    assert_eq!(read, found["parameters"]);
}

#[test]
fn pictures_are_what_their_names_say_and_other_names_are_refused_before_anything_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pretrain(here, "run", &["--steps", "2"]);
    let draw = [
        "sample", "run", "--class", "face", "--count", "2", "--steps", "2", "--out",
    ];
    let mut sheets = Vec::new();
    for (name, start) in [
        ("a.png", &b"\x89PNG"[..]),
        ("a.jpg", b"\xff\xd8\xff"),
        ("a.jpeg", b"\xff\xd8\xff"),
        ("a.WEBP", b"RIFF"),
    ] {
        for (verb, path) in [
            (&draw[..], name.to_owned()),
            (
                &["data", "inspect", "builtin:emoji", "--contact-sheet"],
                format!("sheet-{name}"),
            ),
        ] {
            succeeds(here, &[verb, &[&path]].concat());
            let bytes = fs::read(here.join(&path)).unwrap();
            assert!(bytes.starts_with(start), "{path}");
            sheets.push(decode(&bytes, Path::new(&path)).unwrap());
        }
    }
    assert_eq!(sheets[0], sheets[6], "lossless WebP shows what PNG shows");
    let before = contents(here);
    for name in ["a.gif", "a.avif", "a.txt"] {
        fails(
            here,
            &[&draw[..], &[name]].concat(),
            2,
            &[name, ".png, .jpg, .jpeg or .webp"],
        );
        let sheet = ["data", "inspect", "builtin:emoji", "--contact-sheet", name];
        fails(here, &sheet, 2, &[name, ".png, .jpg, .jpeg or .webp"]);
    }
    fails(
        here,
        &["sample", "run", "--npz", "a.png"],
        2,
        &["--npz is a.png", ".npz"],
    );
    let page = [
        "curve",
        "run",
        "--data",
        "builtin:emoji",
        "--out",
        "curve.png",
    ];
    fails(here, &page, 2, &["--out is curve.png", ".html"]);
    let page = [
        "inspect",
        "run",
        "--diversion",
        "--data",
        "builtin:emoji",
        "--out",
        "page.txt",
    ];
    fails(here, &page, 2, &["--out is page.txt", ".html"]);
    assert_eq!(contents(here), before);
}
