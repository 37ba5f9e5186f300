//! What is said of people's own images, and what training makes of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, fails, json, run, stderr, succeeds};
use learngene_data::Image;
use learngene_data::image::{decode, encode_png};
use std::fs;
use std::path::Path;

fn image(folder: &Path, file: &str, width: u32, height: u32, shade: u8) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let image = Image::filled(width, height, &[shade, 9, 200]);
    fs::write(path, encode_png(&image).unwrap()).unwrap();
}

/// 20 oblong images of each of two classes, all different but for one that occurs twice.
fn photos(folder: &Path) {
    for class in ["cat", "dog"] {
        for i in 0..20 {
            image(
                folder,
                &format!("photos/{class}/{i}.png"),
                24,
                16,
                i * 5 + class.len() as u8,
            );
        }
    }
}

#[test]
fn images_are_shown_as_training_sees_them_and_splits_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder);
    let sheet = |more: &[&str]| {
        let args = [
            "data",
            "inspect",
            "photos",
            "--image-size",
            "8",
            "--contact-sheet",
            "s.png",
        ];
        let text = succeeds(folder, &[&args, more].concat());
        let picture = decode(&fs::read(folder.join("s.png")).unwrap(), Path::new("s.png")).unwrap();
        (text, picture)
    };
    let (text, cropped) = sheet(&[]);
    for part in [
        "flat set: split 80/10/10",
        "no squares: 40 images",
        "33 % of all images' areas are lost",
        "24x16x3 (40)",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    // Two rows of ten tiles of 8 pixels, as wide as the font allows, and the same ones again.
    assert_eq!(sheet(&[]).1, cropped);
    assert_ne!(sheet(&["--seed", "1"]).1, cropped);
    let (text, padded) = sheet(&["--fit", "pad"]);
    assert!(
        text.contains("adds white beside them") && padded != cropped,
        "{text}"
    );
    let all = json(
        folder,
        &[
            "data", "inspect", "photos", "--val", "0", "--test", "0", "--json",
        ],
    );
    assert_eq!(
        (&all["classes"][0]["train"], &all["classes"][1]["val"]),
        (&20.into(), &0.into())
    );
    assert!(all["split_rule"].as_str().unwrap().contains("100/0/0"));
    let wrong = ["data", "inspect", "photos", "--val", "0.7", "--test", "0.3"];
    fails(folder, &wrong, 2, &["less than 1 together"]);
}

#[test]
fn images_in_two_splits_and_what_is_left_out_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for i in 0..4 {
        image(folder, &format!("set/train/a/{i}.png"), 8, 8, i);
        image(folder, &format!("set/test/a/{i}.png"), 8, 8, 100 + i);
    }
    image(folder, "set/test/a/copy.png", 8, 8, 2);
    fs::write(folder.join("set/train/a/x.heic"), b"\0\0\0\x18ftypheic").unwrap();
    for i in 0..7 {
        fs::write(folder.join(format!("set/train/a/{i}.txt")), "words").unwrap();
    }
    let text = succeeds(folder, &["data", "inspect", "set"]);
    assert!(
        text.contains("train/a/2.png (train), test/a/copy.png (test)")
            || text.contains("test/a/copy.png (test), train/a/2.png"),
        "{text}"
    );
    assert!(text.contains("not read (HEIC)"), "{text}");
    let found = json(folder, &["data", "inspect", "set", "--json"]);
    assert_eq!(found["leaked"], 2);
    assert_eq!(found["leaks"][0].as_array().unwrap().len(), 2);
    assert_eq!(found["skipped"].as_array().unwrap().len(), 7);
    assert_eq!(found["notes"][0]["of"].as_array().unwrap().len(), 1);
}

#[test]
fn shares_and_fit_stand_in_the_configuration_and_a_resumed_run_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder);
    let line = "pretrain --data photos --image-size 8 --fit pad --val 0.2 --test 0 --size dit-micro/4 --rank-split 8,2 --steps 2 \
                --set train.per_class=1 --set train.evaluate_every=0 --out run";
    succeeds(folder, &line.split_whitespace().collect::<Vec<_>>());
    let config = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    for part in ["fit = \"pad\"", "val = 0.2", "test = 0.0"] {
        assert!(config.contains(part), "{config}");
    }
    succeeds(folder, &["resume", "run"]);
    // Another run takes them from the file, and an option wins over it.
    let line = "pretrain --config run/config.toml --test 0.1 --steps 1 --out again";
    succeeds(folder, &line.split_whitespace().collect::<Vec<_>>());
    let config = fs::read_to_string(folder.join("again/config.toml")).unwrap();
    assert!(
        config.contains("fit = \"pad\"") && config.contains("test = 0.1"),
        "{config}"
    );
}

/// The program before listed number-named folders as 0, 10, 2; its config.toml says so.
#[test]
fn a_run_with_classes_in_another_order_goes_on_in_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for class in ["0", "2", "10"] {
        (0..4).for_each(|i| image(folder, &format!("digits/{class}/{i}.png"), 8, 8, i * 9));
    }
    let train = |name: &str, classes: &str| {
        let line = format!(
            "pretrain --data digits --classes {classes} --size dit-micro/4 --rank-split 8,2 --steps 2 --set train.per_class=1 --set \
             train.evaluate_every=0 --out {name}"
        );
        succeeds(folder, &line.split_whitespace().collect::<Vec<_>>());
    };
    train("new", "all");
    let config = fs::read_to_string(folder.join("new/config.toml")).unwrap();
    let classes = config
        .lines()
        .skip_while(|line| !line.starts_with("classes = ["))
        .take(5);
    let names: String = classes.collect::<Vec<_>>().join("");
    assert!(
        names.find("\"2\"").unwrap() < names.find("\"10\"").unwrap(),
        "{names}"
    );
    train("old", "0,10,2");
    let path = folder.join("old/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        config.replace("classes = \"0,10,2\"", "classes = \"all\""),
    )
    .unwrap();
    succeeds(folder, &["resume", "old"]);
}

#[test]
fn what_never_ends_or_cannot_be_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder);
    let before = contents(folder);
    for (line, code, parts) in [
        (
            "data inspect photos --class-map /dev/zero",
            3,
            &["/dev/zero", "no regular file"][..],
        ),
        (
            "pretrain --data builtin:emoji --image-size 2048 --size dit-micro/4 --out run",
            2,
            &["tokens", "65536"],
        ),
        (
            "data inspect photos --image-size 0",
            2,
            &["image size", "0"],
        ),
    ] {
        fails(
            folder,
            &line.split_whitespace().collect::<Vec<_>>(),
            code,
            parts,
        );
    }
    assert!(contents(folder) == before);
}

#[test]
fn a_flat_folder_trains_and_warnings_name_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    (0..10).for_each(|i| image(folder, &format!("me/{i}.png"), 8, 8, i * 20));
    fs::write(folder.join("me/11.avif"), b"\0\0\0\x1cftypavif\0\0\0\0avif").unwrap();
    let line = "pretrain --data me --size dit-micro/4 --rank-split 8,2 --steps 1 --set train.per_class=1 --out run";
    let output = run(folder, &line.split_whitespace().collect::<Vec<_>>());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("not read (AVIF)") && said.contains("11.avif"),
        "{said}"
    );
    let config = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert!(config.contains("\"me\""), "{config}");
}
