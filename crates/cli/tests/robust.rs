//! What a kill leaves, numbers beyond all bounds, names and files that mean harm, and disks that are full.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, fails, pretrain, program, stderr, succeeds};
use learngene_data::{Image, image::encode_png};
use learngene_formats::WeightFile;
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder of classes with three small pictures each.
fn pictures(folder: &Path, classes: &[&str]) {
    for (number, class) in classes.iter().enumerate() {
        let class = folder.join(class);
        fs::create_dir_all(&class).unwrap();
        for i in 0..3 {
            let shade = (number * 40 + i * 9) as u8;
            let png = encode_png(&Image::filled(8, 8, &[shade, 90, 200])).unwrap();
            fs::write(class.join(format!("{i}.png")), png).unwrap();
        }
    }
}

/// What `kill -9` between two files leaves, of each verb that makes a folder.
#[test]
fn what_a_killed_verb_left_is_no_obstacle_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    for verb in [
        "export base --format diffusers --out made",
        "card base --count 0 --out made",
        "autoencoder train --data builtin:emoji --steps 1 --batch 4 --out made",
    ] {
        succeeds(folder, &words(verb));
        let expected = contents(&folder.join("made"));
        fs::remove_dir_all(folder.join("made")).unwrap();
        let content = folder.join(".made.learngene-partial/content/transformer");
        fs::create_dir_all(&content).unwrap();
        fs::write(content.join("half.safetensors"), "half").unwrap();
        succeeds(folder, &words(verb));
        assert!(contents(&folder.join("made")) == expected, "{verb}");
        assert_eq!(names(folder), ["base", "made"], "{verb}");
        fails(folder, &words(verb), 2, &["made holds something"]);
        fs::remove_dir_all(folder.join("made")).unwrap();
    }
}

#[test]
fn the_current_folder_can_be_filled_too() {
    let folder = tempfile::tempdir().unwrap();
    pretrain(folder.path(), "base", &["--steps", "1"]);
    let made = folder.path().join("made");
    fs::create_dir(&made).unwrap();
    succeeds(&made, &words("card ../base --name x --count 0 --out ."));
    assert_eq!(
        names(&made),
        ["README.md", "config.json", "model.safetensors"]
    );
}

/// Each of these wrapped, panicked or was aborted by the allocator.
#[test]
fn numbers_beyond_all_bounds_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    let train = "pretrain --data builtin:emoji --classes base --size dit-micro/4 --rank-split 32,4 --out run";
    for (verb, parts) in [
        (
            "sample base --steps 2 --npz s.npz --count 18446744073709551615",
            &["18446744073709551615 images"][..],
        ),
        (
            "sample base --steps 2 --npz s.npz --count 1000000000000",
            &["1000000000000 images", "is free"],
        ),
        (
            "sample base --steps 18446744073709551615 --out s.png",
            &["18446744073709551615"],
        ),
        (
            "card base --count 1000000000000 --out card",
            &["1000000000000 images"],
        ),
        (
            "plan --size dit-nano/4 --num-classes 1000000000000000000",
            &["1000000000000000000"],
        ),
        (
            "plan --size dit-xl/4 --num-classes 1000000000",
            &["number of parameters"],
        ),
        (
            "plan --size dit-nano/4 --batch 18446744073709551615",
            &["18446744073709551615"],
        ),
        (
            "plan --size dit-nano/4 --input 18446744073709551612x4x4",
            &["18446744073709551612"],
        ),
        (
            "eval --real builtin:emoji --generated base --resamples 1000000000000000000",
            &["1000000000000000000"],
        ),
        ("plan --size dit-nano/4 --threads 65535", &["65535"]),
        (
            "autoencoder train --data builtin:emoji --batch 1000000000 --out vae",
            &["1000000000 images"],
        ),
    ] {
        fails(folder, &words(verb), 2, parts);
    }
    for (setting, part) in [
        (
            "--set model.mlp_ratio=9223372036854775807",
            "9223372036854775807",
        ),
        ("--set model.mlp_ratio=1000000000", "1000000000"),
        ("--set model.hidden=9600000", "9600000"),
        ("--set model.depth=1000000", "1000000"),
        (
            "--set model.heads=9223372036854775807",
            "9223372036854775807",
        ),
        (
            "--set train.accumulate=9223372036854775807",
            "9223372036854775807",
        ),
        ("--set train.diffusion_steps=1000000000000", "1000000000000"),
        (
            "--set train.per_class=9223372036854775807",
            "9223372036854775807",
        ),
        ("--batch 10000000", "10000000 images"),
        ("--batch 18446744073709551615", "18446744073709551615"),
        ("--steps 18446744073709551615", "18446744073709551615"),
    ] {
        let args = [words(train), words(setting)].concat();
        fails(folder, &args, 2, &[part]);
        assert!(!folder.join("run").exists(), "{setting}");
    }
}

/// It once read and resized all images before.
#[test]
fn a_size_that_the_model_cannot_have_is_refused_before_images_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let args = "pretrain --data builtin:emoji --image-size 2048 --size dit-micro/4 --out run";
    fails(folder.path(), &words(args), 2, &["262144", "at most 65536"]);
    fs::write(folder.path().join("c.toml"), "[model]\npatch = 4\n").unwrap();
    let args = "pretrain --data builtin:emoji --image-size 2048 --config c.toml --out run";
    fails(folder.path(), &words(args), 2, &["262144"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_a_failure_and_a_reader_that_left_is_none() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        "plan --size dit-nano/4 --json",
        "plan --size dit-nano/4",
        "completions bash",
        "data inspect builtin:emoji",
        "--help",
        "--version",
        "sample --help",
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = program(folder.path(), &words(args))
            .stdout(full)
            .output()
            .unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{args}: {text}");
        assert!(
            text.contains("cannot write the results to standard output"),
            "{text}"
        );
    }
    let program = env!("CARGO_BIN_EXE_learngene");
    let piped = format!("set -o pipefail; {program} completions bash | head -c 1");
    let output = Command::new("bash").args(["-c", &piped]).output().unwrap();
    assert_eq!(stderr(&output), "");
    assert!(output.status.success());
}

/// A class that would clear the screen, and one that would turn the direction of writing.
#[test]
fn names_out_of_files_do_not_steer_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let classes = ["a\u{1b}[2J", "b\u{202e}txt", "c\nd"];
    pictures(&folder.path().join("set"), &classes);
    let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    let table = succeeds(folder.path(), &words("data inspect set"));
    assert!(!table.contains(bad), "{table:?}");
    assert!(
        table.contains("c\\nd") && table.contains("a\\u{1b}[2J"),
        "{table}"
    );
    let json = succeeds(folder.path(), &words("data inspect set --json"));
    assert!(!json.contains(bad), "{json:?}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut found: Vec<_> = json["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    found.sort_by_key(ToString::to_string);
    assert!(
        found
            .iter()
            .all(|name| classes.iter().any(|class| name == class)),
        "{found:?}"
    );
    let text = fails(
        folder.path(),
        &words("pretrain --data set --classes a --size dit-micro/4 --out run"),
        2,
        &["a\\u{1b}[2J"],
    );
    assert!(!text.contains(bad), "{text:?}");
}

#[test]
fn classes_with_commas_or_called_base_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pictures(&folder.join("set"), &["a,b", "all", "base", "x=1"]);
    let classes = |run: &str| {
        let found = common::json(folder, &["inspect", run, "--json"]);
        let found = found["classes"].as_array().unwrap().clone();
        found
            .iter()
            .map(|c| c.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let train = "pretrain --data set --size dit-micro/4 --rank-split 16,4 --steps 1 --set train.evaluate_every=0";
    for (run, typed, expected) in [
        ("every", "all", &["a,b", "all", "base", "x=1"][..]),
        ("one", "a,b", &["a,b"]),
        ("word", "base", &["base"]),
        ("quoted", r#""all","a,b""#, &["all", "a,b"]),
        ("escaped", r"a\,b,base", &["a,b", "base"]),
    ] {
        let args = [words(train), vec!["--classes", typed, "--out", run]].concat();
        succeeds(folder, &args);
        assert_eq!(classes(run), expected, "{typed}");
        // The configuration keeps what was typed, and is read again.
        succeeds(folder, &["resume", run]);
    }
    let assemble = [
        "assemble",
        "every",
        "--classes",
        r#""a,b",base"#,
        "--out",
        "two.safetensors",
    ];
    succeeds(folder, &assemble);
    assert_eq!(classes("two.safetensors"), ["a,b", "base"]);
    let draw = [
        "sample", "every", "--count", "1", "--steps", "1", "--npz", "s.npz",
    ];
    for what in [
        ["--class", r#""a,b",all"#],
        ["--class", "a,b"],
        ["--blend", r#""a,b"=0.5,base=0.5"#],
        ["--blend", "a,b=1"],
        ["--blend", "x=1=0.5,all=0.5"],
    ] {
        succeeds(folder, &[&draw[..], &what[..]].concat());
    }
    // Losses are measured on the images of the model's classes, by their names.
    succeeds(folder, &words("card every --data set --count 0 --out card"));
    fails(
        folder,
        &words("sample every --class a --npz s.npz"),
        2,
        &["no class `a`"],
    );
}

#[test]
fn a_file_whose_tensors_contradict_its_configuration_is_not_shown_as_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    succeeds(
        folder,
        &words("assemble base --classes face,flag --out m.safetensors"),
    );
    let mut file = WeightFile::read(folder.join("m.safetensors")).unwrap();
    let table = file.tensors.get_mut("label.table").unwrap();
    table.shape[1] /= 2;
    table.shape[0] *= 2;
    file.tensors.remove("output.bias");
    file.write(folder.join("m.safetensors")).unwrap();
    let parts = ["output.bias", "label.table expected [3, 96] found [6, 48]"];
    fails(folder, &words("inspect m.safetensors"), 3, &parts);
}

/// Each was read for ever, or into memory as far as it went.
#[test]
fn settings_that_never_end_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    let made = Command::new("mkfifo")
        .arg(folder.join("pipe.toml"))
        .status();
    assert!(made.unwrap().success());
    File::create(folder.join("vast.toml"))
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("zero.toml")).unwrap();
    for name in ["pipe.toml", "vast.toml", "zero.toml"] {
        for verb in [
            "pretrain --data builtin:emoji --steps 1 --out x --config FILE",
            "compare FILE --out x",
        ] {
            let text = verb.replace("FILE", name);
            let output = program(folder, &words(&text)).output().unwrap();
            let said = stderr(&output);
            assert!(
                matches!(output.status.code(), Some(2 | 3)),
                "{text}: {said}"
            );
            assert!(said.contains(name), "{text}: {said}");
        }
        fs::rename(folder.join(name), folder.join("base/config.toml")).unwrap();
        let output = program(folder, &["resume", "base"]).output().unwrap();
        assert!(
            matches!(output.status.code(), Some(2 | 3)),
            "{}",
            stderr(&output)
        );
    }
}
