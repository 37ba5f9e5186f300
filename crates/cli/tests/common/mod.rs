//! Running the program in folders of its own, on models small enough for seconds.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests may say why they skip, and panic as tests do"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What makes a run small: a tiny model on three classes, one image of each a step.
pub const SMALL: &[&str] = &[
    "--data",
    "builtin:emoji",
    "--classes",
    "face,flag,hand",
    "--size",
    "dit-micro/4",
    "--rank-split",
    "16,4",
    "--set",
    "train.evaluate_every=0",
    "--set",
    "train.per_class=1",
    "--set",
    "train.null=1",
];

/// The program with these arguments, to be run in `folder`.
pub fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_learngene"));
    command
        .current_dir(folder)
        .args(args)
        .env_remove("NO_COLOR");
    command
}

/// What the program did.
pub fn run(folder: &Path, args: &[&str]) -> Output {
    program(folder, args).output().unwrap()
}

/// Standard output of a call that must succeed.
pub fn succeeds(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        stderr(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a call that must fail with this exit code, saying all of `parts` on one line that starts with
/// `error: ` and a lower-case letter or a path.
pub fn fails(folder: &Path, args: &[&str], code: i32, parts: &[&str]) -> String {
    let output = run(folder, args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    let report = text
        .find("error: ")
        .map(|at| &text[at..])
        .unwrap_or_default();
    assert!(!report.is_empty(), "{args:?}: no report in `{text}`");
    assert!(
        !text.contains("panicked") && !text.contains('\u{1b}'),
        "{text}"
    );
    for part in parts {
        assert!(
            report.contains(part),
            "{args:?}: `{report}` does not say `{part}`"
        );
    }
    text
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Pre-trains a small model for a few steps into `folder/NAME`.
pub fn pretrain(folder: &Path, name: &str, more: &[&str]) -> String {
    let args = [&["pretrain", "--out", name], SMALL, more].concat();
    succeeds(folder, &args)
}

/// Trains tailors for two new classes on `folder/base` into `folder/NAME`.
pub fn transfer(folder: &Path, name: &str, more: &[&str]) -> String {
    let args = [
        "transfer",
        "base",
        "--data",
        "builtin:emoji",
        "--classes",
        "heart,bird",
        "--steps",
        "4",
        "--out",
        name,
    ];
    succeeds(folder, &[&args, more].concat())
}

/// Every file below a folder and its bytes, but for the lock.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != ".lock") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The one JSON document that a call prints on standard output.
pub fn json(folder: &Path, args: &[&str]) -> serde_json::Value {
    let text = succeeds(folder, args);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error} in {text}"))
}

/// The Python with diffusers, PEFT, pytorch-fid and torch-fidelity, if one is named; else says what to name.
pub fn diffusers_python() -> Option<String> {
    let named = std::env::var("LEARNGENE_DIFFUSERS_PYTHON").ok();
    if named.is_none() {
        eprintln!(
            "skipped: set LEARNGENE_DIFFUSERS_PYTHON to a Python with torch, diffusers, peft, pytorch-fid and \
             torch-fidelity"
        );
    }
    named
}

/// What a call of Python in `folder`, which must succeed, prints. Of models it sees only those below `folder`.
pub fn run_python(python: &str, folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new(python);
    command
        .current_dir(folder)
        .args(args)
        .env("HF_HUB_OFFLINE", "1")
        .env("TORCH_HOME", folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}
