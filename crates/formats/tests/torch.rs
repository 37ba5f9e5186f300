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

/// `a.t()` of the script.
#[test]
fn a_view_is_read_in_its_own_order() {
    let tensors = torch::read(&fixture("transposed"), None).unwrap();
    let a = [-0.25, 0.125, -0.125, 0.25, 0.0, 0.375];
    assert_eq!(tensors["a"], entry(&[3, 2], &a));
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

/// A file of the form before ZIP whose object is that pickle, and which has no storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    let head =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    [&head[..], b"\x80\x02", object, b".\x80\x02]."].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    [b"X", &length[..], text.as_bytes()].concat()
}

/// A storage of one value, remembered in place 0.
fn storage(key: &str) -> Vec<u8> {
    let kind = &b"ctorch\nFloatStorage\n"[..];
    let (tag, key, place) = (text("storage"), text(key), text("cpu"));
    [b"(", &tag[..], kind, &key, &place, b"K\x01tQq\x00"].concat()
}

/// A tensor of that storage, whose sides and strides are the tuple on top of the stack, remembered in place 1.
const TENSOR: &[u8] = b"q\x01ctorch._utils\n_rebuild_tensor_v2\n(h\x00K\x00h\x01h\x01tR";

#[test]
fn what_a_pickle_refers_to_again_and_again_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.pt");
    let sides = [b"(", &b"K\x01".repeat(9)[..], b"t"].concat();
    fs::write(&path, legacy(&[&storage("0"), &sides, TENSOR].concat())).unwrap();
    refused(&path, &["no list of up to 8 sizes"]);
    fs::write(&path, legacy(&storage(&"9".repeat(65)))).unwrap();
    refused(&path, &["no storage of tensors"]);
}

#[test]
fn many_names_of_one_dictionary_cost_no_more_than_they_are_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.pt");
    let long = "x".repeat(1 << 20);
    let name = [&text(&long)[..], b"q\x02"].concat();
    // 200,000 entries that are no tensors, in a dictionary that stands in another 200,000 times.
    let inner = [b"}q\x03(", &b"h\x02h\x02".repeat(200_000)[..], b"u"].concat();
    let outer = [b"}(", &b"h\x02h\x03".repeat(200_000)[..], b"u"].concat();
    fs::write(&path, legacy(&[&name[..], &inner, &outer].concat())).unwrap();
    refused(&path, &["it has no tensors"]);
    // The same with a tensor in it, so that an error says the names of all of them.
    let tensor = [&storage("0")[..], b")", TENSOR, b"q\x04"].concat();
    let inner = &b"}q\x03h\x02h\x04s"[..];
    fs::write(&path, legacy(&[&tensor, &name[..], inner, &outer].concat())).unwrap();
    let error = torch::read(&path, None).unwrap_err().to_string();
    assert!(
        error.contains("it has no part ema"),
        "{}",
        &error[..error.len().min(400)]
    );
    assert!(error.len() < 16 << 20, "{}", error.len());
}
