//! What the programs that others measure with make of our files, and what both find.
//!
//! FID needs the Python of `tests/python.rs`, archives one with NumPy, named by `LEARNGENE_TEST_PYTHON`; a test without its
//! Python says so and checks nothing. `LEARNGENE_DIFFUSERS_PYTHON=v/bin/python cargo test --release --workspace --test
//! evaluators -- --nocapture`.
//!
//! Measured with torch 2.15.0, torchvision 0.29.2, SciPy 1.17.1 and pytorch-fid 0.3.0 on 32 images each:
//! FID here 348.602140, of pytorch-fid 348.603179, relative difference 3.0e-6. A filter against aliasing when images are made
//! smaller would change it by 11 %, covariances divided by n by 2.4 %. With torch-fidelity 0.4.0, on 32 images each of the
//! network's own size: FID here 516.713666, there 516.710701 (5.7e-6), KID -24.192418 and -24.192467 (2.0e-6), inception
//! score 1.274990 and 1.274989 (6.4e-7).

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{diffusers_python, json, pretrain, run_python, succeeds};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of two programs' FID.
const TOLERANCE: f64 = 1e-3;

/// A script beside this file or in another crate.
fn script(path: &str) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let path = tests.join(path).canonicalize().unwrap();
    path.to_str().unwrap().to_owned()
}

/// The script that `eval --help` shows for converting pytorch-fid's weights.
fn conversion(folder: &Path) -> String {
    let help = succeeds(folder, &["eval", "--help"]);
    let lines = help.lines().map(str::trim);
    let lines = lines.skip_while(|line| *line != "import torch");
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// What `eval` finds with the weights of pytorch-fid that `fid.py` has made in `folder`, converted as its help says.
fn found_with_inception(python: &str, folder: &Path, metrics: &str) -> serde_json::Value {
    let weights = folder.join("hub/checkpoints");
    run_python(python, &weights, &["-c", &conversion(folder)]);
    let line = format!(
        "eval --real real --generated generated --metrics {metrics} --resamples 0 --json \
         --inception hub/checkpoints/inception.safetensors"
    );
    json(folder, &line.split_whitespace().collect::<Vec<_>>())
}

/// The real weights cannot be part of this project: random ones take their place in both programs.
#[test]
fn fid_is_what_pytorch_fid_finds() {
    let Some(python) = diffusers_python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let make = script("../../eval/tests/reference/fid.py");
    run_python(&python, folder, &[&make, ".", "32"]);
    let line = "-m pytorch_fid real generated --device cpu --num-workers 0 --batch-size 8";
    let printed = run_python(&python, folder, &line.split(' ').collect::<Vec<_>>());
    let theirs = printed.lines().find_map(|line| line.strip_prefix("FID:"));
    let theirs: f64 = theirs.unwrap().trim().parse().unwrap();

    let found = found_with_inception(&python, folder, "fd");
    let measure = &found["measures"][0];
    assert_eq!(measure["name"], "FID");
    let ours = measure["value"].as_f64().unwrap();
    let apart = (ours - theirs).abs() / theirs;
    eprintln!("FID here {ours:.6}, of pytorch-fid {theirs:.6}: relative difference {apart:.1e}");
    assert!(theirs > 1.0 && apart < TOLERANCE, "{ours} and {theirs}");
}

/// A comparison's InceptionV3 is that of `eval`, which the test above holds against pytorch-fid.
#[test]
fn inception_in_a_comparison_is_that_of_eval() {
    let Some(python) = diffusers_python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let make = script("../../eval/tests/reference/fid.py");
    run_python(&python, folder, &[&make, ".", "9", "32"]);
    let weights = folder.join("hub/checkpoints");
    run_python(&python, &weights, &["-c", &conversion(folder)]);
    // Those among the first nine that are not grey.
    for (split, numbers) in [
        ("train", [0, 1, 5, 6]),
        ("val", [2, 3, 7, 8]),
        ("test", [2, 3, 7, 8]),
    ] {
        for number in numbers {
            let class = if number < 4 { "a" } else { "b" };
            let place = folder.join("set").join(split).join(class);
            fs::create_dir_all(&place).unwrap();
            let name = format!("{number:04}.png");
            fs::copy(folder.join("real").join(&name), place.join(&name)).unwrap();
        }
    }
    pretrain(folder, "base", &["--steps", "1"]);
    let wanted = r#"
steps = 1
data = { source = "set" }
base = { kind = "base" }
sweep = { factors = [1.0] }
train = { warmup = 0, ema = 0.5 }
[judge]
repeats = 1
images = 2
guidance = [1.0]
steps = 2
inception = "hub/checkpoints/inception.safetensors"
[[row]]
name = "labels"
base = "kind"
method = "labels"
"#;
    fs::write(folder.join("wanted.toml"), wanted).unwrap();
    let found = json(
        folder,
        &["compare", "wanted.toml", "--out", "out", "--json"],
    );
    let drawn = found["rows"][0]["by_seed"][0]["drawn"][0]["measures"]
        .as_array()
        .unwrap();
    let of = |measures: &[serde_json::Value], name: &str| {
        let found = measures.iter().find(|m| m["name"] == name);
        found.unwrap()["value"].as_f64().unwrap()
    };
    let mut cells = fs::read_dir(folder.join("out/cells")).unwrap();
    let cell = cells.find_map(|c| {
        let path = c.unwrap().path();
        path.join("drawn").exists().then_some(path)
    });
    let drawn_images = cell.unwrap().join("drawn/guidance-1.npz");
    let line = format!(
        "eval --real set:train --generated {} --metrics fd,sfid,kid,is --resamples 0 --json \
         --inception hub/checkpoints/inception.safetensors",
        drawn_images.display()
    );
    let eval = json(folder, &line.split_whitespace().collect::<Vec<_>>());
    let eval = eval["measures"].as_array().unwrap();
    for name in ["FID", "sFID", "KID", "inception score"] {
        let (here, there) = (of(drawn, name), of(eval, name));
        assert!((here / there - 1.0).abs() < 1e-6, "{name} {here} {there}");
    }
    assert!(of(drawn, "FD-Lite0") > 0.0);
}

/// Scores that torch-fidelity computes from images to numbers, where its way to the network's pixels is made the same.
#[test]
fn fid_kid_and_inception_score_are_what_torch_fidelity_finds() {
    let Some(python) = diffusers_python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [make, score] =
        ["fid.py", "fidelity.py"].map(|name| script(&format!("../../eval/tests/reference/{name}")));
    run_python(&python, folder, &[&make, ".", "32", "299"]);
    let printed = run_python(&python, folder, &[&score, ".", "32"]);
    let theirs: serde_json::Value = serde_json::from_str(&printed).unwrap();

    let found = found_with_inception(&python, folder, "fd,kid,is");
    for (name, of_theirs) in [
        ("FID", "frechet_inception_distance"),
        ("KID", "kernel_inception_distance_mean"),
        ("inception score", "inception_score_mean"),
    ] {
        let measures = found["measures"].as_array().unwrap();
        let measure = measures.iter().find(|m| m["name"] == name).unwrap();
        let ours = measure["value"].as_f64().unwrap();
        let theirs = theirs[of_theirs].as_f64().unwrap();
        let apart = ((ours - theirs) / theirs).abs();
        eprintln!(
            "{name} here {ours:.6}, of torch-fidelity {theirs:.6}: relative difference {apart:.1e}"
        );
        assert!(apart < TOLERANCE, "{name}: {ours} and {theirs}");
    }
}

/// A Python that has NumPy, if there is one: `LEARNGENE_TEST_PYTHON`, or the system's.
fn python_with_numpy() -> Option<PathBuf> {
    let candidates = [
        std::env::var_os("LEARNGENE_TEST_PYTHON").map(PathBuf::from),
        Some("python3".into()),
    ];
    candidates.into_iter().flatten().find(|python| {
        let found = Command::new(python).args(["-c", "import numpy"]).output();
        found.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn the_numpy_archive_holds_images_as_the_reader_of_adm_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    let line = "sample base --class hand,face --count 3 --steps 2 --npz out/a.npz";
    succeeds(folder, &line.split(' ').collect::<Vec<_>>());
    let bytes = fs::read(folder.join("out/a.npz")).unwrap();
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(bytes.starts_with(b"PK\x03\x04") && has(b"arr_0.npy") && has(b"arr_1.npy"));
    assert!(has(b"'shape': (6, 32, 32, 3), }"));
    let labels: Vec<u8> = [2i64, 2, 2, 0, 0, 0]
        .iter()
        .flat_map(|l| l.to_le_bytes())
        .collect();
    assert!(has(&labels), "class numbers are those of the model");

    let Some(python) = python_with_numpy() else {
        eprintln!(
            "skipped: reading it with NumPy needs a python3 with numpy (name one in LEARNGENE_TEST_PYTHON)"
        );
        return;
    };
    let args = [&script("adm_reader.py"), "out/a.npz", "4"];
    let read = run_python(python.to_str().unwrap(), folder, &args);
    assert_eq!(
        read.trim(),
        "[4, 2] [6, 32, 32, 3] [2, 2, 2, 0, 0, 0]",
        "batches, shape and labels"
    );
}
