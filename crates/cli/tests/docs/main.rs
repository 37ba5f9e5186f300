//! What README and docs say holds: their commands run, their options exist, their links lead somewhere.
//!
//! Commands stand in blocks of the language `sh`. Those of README and guide are run in order, in one folder, each with
//! the budget that [`reduced`] makes of it; [`LEFT_OUT`] says which are not, and why. A block of the language `toml` that
//! begins with `# NAME.toml` is the file of that name.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests may say what takes how long, and panic as tests do"
)]

#[path = "../common/mod.rs"]
mod common;
mod named;
mod pages;

use common::{program, stderr};
use learngene_data::{Image, image::encode_png};
use pages::{arguments, blocks, commands, text};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Beginnings of commands that are not run here, and the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "quickstart",
        "has a test of its own, `quickstart`; `quickstarted` makes the model that it leaves",
    ),
    (
        "compare experiments/",
        "takes hours; `compare` has tests of its own",
    ),
    ("hub", "needs a server; has tests of its own"),
];

/// The same command with less to do: a 500th of the steps, two images, small models, three base and two novel classes.
fn reduced(command: &[String]) -> Vec<String> {
    let mut words = command.to_vec();
    for at in 1..words.len() {
        let less = match (words[at - 1].as_str(), words[at].as_str()) {
            ("--steps" | "--fine-tune", steps) => {
                let steps: u64 = steps.parse().unwrap();
                steps.div_ceil(500).max(2).to_string()
            }
            ("--count" | "--points", _) => "2".into(),
            ("--batch", _) => "4".into(),
            ("--rank-split", _) => "16,4".into(),
            ("--rank", _) => "4".into(),
            ("--size", size) => format!("dit-micro/{}", size.split('/').nth(1).unwrap()),
            ("--classes", "base") => "face,flag,hand".into(),
            ("--classes", "novel") => "heart,clock".into(),
            _ => continue,
        };
        words[at] = less;
    }
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let mut more = String::new();
    match words[0].as_str() {
        "pretrain" => {
            more += " --set train.evaluate_every=0";
            if !has("--batch") {
                more += " --set train.per_class=1 --set train.null=1";
            }
            if !has("--size") && !has("--init") {
                more += " --size dit-micro/4";
            }
            if !has("--rank-split") && !has("--dense") && !has("--init") {
                more += " --rank-split 16,4";
            }
        }
        "inspect" if has("--diversion") => more += " --count 1",
        "card" => more += " --count 1",
        "eval" => more += " --resamples 0",
        _ => {}
    }
    let steps = ["pretrain", "transfer", "autoencoder", "sample"];
    if steps.contains(&words[0].as_str()) && !has("--steps") {
        more += " --steps 2";
    }
    words.extend(more.split_whitespace().map(String::from));
    words
}

/// The files that a text gives, with fewer steps, images and draws where a comparison says how many.
fn write_files(text: &str, folder: &Path) {
    for block in blocks(text, "toml") {
        let first = block
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "));
        let less = |line: &str| match line.split(" = ").next().unwrap() {
            key @ ("steps" | "images" | "repeats") => format!("{key} = 2"),
            _ => line.to_owned(),
        };
        let lines: Vec<String> = block.lines().map(less).collect();
        fs::write(folder.join(first.unwrap()), lines.join("\n")).unwrap();
    }
}

/// Pictures of one's own: three classes of two shapes, and two classes more.
fn write_photos(folder: &Path) {
    let classes = [
        "photos/cat",
        "photos/dog",
        "photos/bird",
        "more-photos/horse",
        "more-photos/cow",
    ];
    for (shade, class) in classes.into_iter().enumerate() {
        let place = folder.join(class);
        fs::create_dir_all(&place).unwrap();
        for number in 0..10u8 {
            let width = 40 + u32::from(number % 2) * 20;
            let image = Image::filled(width, 48, &[shade as u8 * 50, number * 20, 128]);
            let file = place.join(format!("{number}.png"));
            fs::write(file, encode_png(&image).unwrap()).unwrap();
        }
    }
}

/// The model that `quickstart` leaves, but for its training.
fn quickstarted(folder: &Path) {
    fs::create_dir(folder.join("learngene-quickstart")).unwrap();
    common::pretrain(folder, "learngene-quickstart/base", &["--steps", "2"]);
}

/// Runs every command of a text, and compares two files where it says `cmp`.
fn run_commands(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    quickstarted(here);
    write_photos(here);
    write_files(text, here);
    for command in commands(text) {
        if command[0] == "cmp" {
            let [one, other] = [1, 2].map(|at| fs::read(here.join(&command[at])).unwrap());
            assert!(one == other, "{command:?}");
        }
        let Some(arguments) = arguments(&command) else {
            continue;
        };
        let line = arguments.join(" ");
        if LEFT_OUT.iter().any(|(from, _)| line.starts_with(from)) {
            continue;
        }
        let reduced = reduced(arguments);
        let started = Instant::now();
        let words: Vec<&str> = reduced.iter().map(String::as_str).collect();
        let output = program(here, &words).output().unwrap();
        let code = output.status.code();
        let said = stderr(&output);
        assert_eq!(code, Some(0), "`{line}`, as `{}`: {said}", words.join(" "));
        eprintln!("{:5.1} s  {line}", started.elapsed().as_secs_f64());
    }
}

#[test]
fn the_commands_of_the_readme_run() {
    run_commands(&text("README.md"));
}

#[test]
fn the_commands_of_the_guide_run() {
    run_commands(&text("docs/guide.md"));
}
