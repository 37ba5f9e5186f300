//! Files of the real `torch.save` (`reference/torch_files.py`), and hostile ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use learngene_formats::container::TensorEntry;
use learngene_formats::torch;

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch");
    folder.join(format!("{name}.pt"))
}

fn entry(shape: &[usize], values: &[f32]) -> TensorEntry {
    TensorEntry {
        shape: shape.to_vec(),
        values: values.to_vec(),
    }
}

/// `a` and `b` of the script, plus a number.
fn state(plus: f32) -> BTreeMap<String, TensorEntry> {
    let a = [-0.25, -0.125, 0.0, 0.125, 0.25, 0.375].map(|v| v + plus);
    let b = [1.5, -2.0].map(|v| v + plus);
    BTreeMap::from([
        ("a".into(), entry(&[2, 3], &a)),
        ("b".into(), entry(&[2], &b)),
    ])
}

#[test]
fn state_dictionaries_are_read_whichever_way_they_were_saved() {
    for name in ["state", "legacy", "parameters"] {
        assert!(torch::is_one(&fixture(name)).unwrap());
        assert_eq!(
            torch::read(&fixture(name), None).unwrap(),
            state(0.0),
            "{name}"
        );
    }
    let types = torch::read(&fixture("types"), None).unwrap();
    assert_eq!(types.len(), 4);
    assert!(
        types
            .values()
            .all(|tensor| *tensor == entry(&[2], &[1.5, -2.0]))
    );
}

#[test]
fn of_a_training_checkpoint_the_average_is_taken_or_the_part_asked_for() {
    for name in ["training", "training-legacy"] {
        assert_eq!(
            torch::read(&fixture(name), None).unwrap(),
            state(0.0),
            "{name}"
        );
        assert_eq!(
            torch::read(&fixture(name), Some("model")).unwrap(),
            state(1.0),
            "{name}"
        );
        let error = torch::read(&fixture(name), Some("opt"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no part opt; it has model, ema"), "{error}");
    }
    let error = torch::read(&fixture("state"), Some("ema"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("it has one set of tensors"), "{error}");
}

#[test]
fn what_is_written_is_read_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    let mut tensors = state(0.0);
    tensors.insert(
        "nan and so on".into(),
        entry(&[3], &[f32::MIN_POSITIVE, -0.0, f32::INFINITY]),
    );
    tensors.insert("scalar".into(), entry(&[], &[3.0]));
    tensors.insert("empty".into(), entry(&[0, 4], &[]));
    torch::write(&path, &tensors).unwrap();
    assert_eq!(torch::read(&path, None).unwrap(), tensors);
    let bytes = fs::read(&path).unwrap();
    torch::write(&path, &tensors).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

fn refused(path: &Path, parts: &[&str]) {
    let error = torch::read(path, None).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "`{error}` does not say `{part}`");
    }
    assert!(error.contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_pickle_that_calls_a_command_is_refused_and_the_command_not_run() {
    for name in ["system", "system-legacy"] {
        refused(
            &fixture(name),
            &["names posix.system", "nothing of it was run"],
        );
    }
    for place in [Path::new("PWNED"), &fixture("PWNED")] {
        assert!(!place.exists());
    }
}

#[test]
fn what_would_unfold_in_memory_is_refused() {
    refused(
        &fixture("bomb"),
        &["`archive/data.pkl` is compressed", "save it again"],
    );
    refused(&fixture("compressed"), &["is compressed"]);
    refused(
        &fixture("expanded"),
        &["`a` of shape [1073741824] is larger than its storage"],
    );
    refused(&fixture("shared"), &["more than twice over"]);
    refused(
        &fixture("transposed"),
        &["`a` is a view with strides [1, 3]"],
    );
    refused(
        &fixture("numbers"),
        &["`a` is a torch.LongStorage, expected floats"],
    );
    refused(&fixture("list"), &["no dictionary of named tensors"]);
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pt");
    for name in ["state", "legacy", "training-legacy"] {
        let whole = fs::read(fixture(name)).unwrap();
        let step = (whole.len() / 100).max(1);
        for length in (0..whole.len()).step_by(step) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(
                torch::read(&path, None).is_err(),
                "{name} of {length} bytes"
            );
        }
    }
}

#[test]
fn no_changed_byte_makes_the_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.pt");
    let whole = fs::read(fixture("legacy")).unwrap();
    for at in (0..whole.len()).step_by(3) {
        for value in [0, 0x28, 0x51, 0x52, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            fs::write(&path, &bytes).unwrap();
            drop(torch::read(&path, None));
        }
    }
}
