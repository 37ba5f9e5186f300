//! Checkpoint folders: what stays, what is found again, what damage does.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use learngene_formats::{CheckpointWriter, Checkpoints, Content, FormatError, Retention};

const KEEP_ALL: Retention = Retention {
    last: usize::MAX,
    best: false,
};

fn save(writer: &CheckpointWriter, step: u64, metric: Option<f64>) -> Vec<u64> {
    let text = format!("weights of step {step}");
    let stream = |out: &mut dyn Write| {
        out.write_all(b"streamed ")?;
        out.write_all(text.as_bytes())
    };
    let files = [
        ("model", Content::Bytes(text.as_bytes())),
        ("ema", Content::Stream(&stream)),
    ];
    writer.save(step, metric, &files).unwrap().removed
}

fn steps(folder: &Path) -> Vec<u64> {
    let (checkpoints, rejected) = Checkpoints::at(folder).list().unwrap();
    assert!(rejected.is_empty(), "{rejected:?}");
    checkpoints
        .iter()
        .map(|checkpoint| checkpoint.step())
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_saved_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::open(folder.path().join("run/checkpoints"), KEEP_ALL).unwrap();
    assert!(writer.checkpoints().latest().unwrap().checkpoint.is_none());
    save(&writer, 5, Some(0.25));
    save(&writer, 123_456_789_012, None);
    let latest = writer.checkpoints().latest().unwrap();
    assert!(latest.rejected.is_empty());
    let latest = latest.checkpoint.unwrap();
    assert_eq!(latest.step(), 123_456_789_012);
    assert_eq!(latest.manifest.metric, None);
    let ema = fs::read_to_string(latest.file("ema").unwrap()).unwrap();
    assert_eq!(ema, "streamed weights of step 123456789012");
    assert!(matches!(
        latest.file("other"),
        Err(FormatError::Damaged { .. })
    ));
    let best = writer.checkpoints().best().unwrap().checkpoint.unwrap();
    assert_eq!((best.step(), best.manifest.metric), (5, Some(0.25)));
    // b3sum or python: blake3.blake3(b"weights of step 5").hexdigest()
    let record = &best.manifest.files["model"];
    assert_eq!(
        (record.bytes, record.blake3.as_str()),
        (17, BLAKE3_OF_STEP_5)
    );
}

const BLAKE3_OF_STEP_5: &str = "1b079066be6515eb2cbcad9776d07a645b1da5404c2fc36490c7bced2bfe3cf9";

#[test]
fn older_ones_go_once_the_new_one_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::open(
        folder.path(),
        Retention {
            last: 2,
            best: true,
        },
    )
    .unwrap();
    for (step, metric) in [
        (10, Some(0.5)),
        (20, Some(0.1)),
        (30, Some(f64::NAN)),
        (40, Some(0.3)),
    ] {
        save(&writer, step, metric);
    }
    assert_eq!(steps(folder.path()), [20, 30, 40]);
    assert_eq!(save(&writer, 50, Some(0.1)), [30, 20]);
    assert_eq!(steps(folder.path()), [40, 50]);
    assert_eq!(
        names(folder.path()),
        [".lock", "step-00000040", "step-00000050"]
    );
}

#[test]
fn saving_a_step_again_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::open(
        folder.path(),
        Retention {
            last: 1,
            best: false,
        },
    )
    .unwrap();
    save(&writer, 10, Some(0.5));
    save(&writer, 10, Some(0.25));
    fs::write(folder.path().join("step-00000010/ema"), "damaged").unwrap();
    save(&writer, 10, Some(0.125));
    let latest = writer.checkpoints().latest().unwrap().checkpoint.unwrap();
    assert_eq!(latest.manifest.metric, Some(0.125));
    assert_eq!(names(folder.path()), [".lock", "step-00000010"]);
}

#[test]
fn any_flipped_bit_is_found_and_the_one_before_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::open(folder.path(), KEEP_ALL).unwrap();
    save(&writer, 10, Some(0.5));
    save(&writer, 20, Some(0.25));
    let newest = folder.path().join("step-00000020");
    for name in ["model", "ema", "manifest.json"] {
        let path = newest.join(name);
        let sound = fs::read(&path).unwrap();
        // Every byte, and over the bytes every bit.
        for bit in (0..sound.len() * 8).step_by(7) {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            for found in [writer.checkpoints().latest(), writer.checkpoints().best()] {
                let found = found.unwrap();
                assert_eq!(found.checkpoint.unwrap().step(), 10, "bit {bit} of {name}");
                let [reason] = &found.rejected[..] else {
                    panic!("bit {bit} of {name}: {:?}", found.rejected);
                };
                let text = reason.to_string();
                assert!(
                    text.contains("step-00000020 is damaged") && text.contains(name),
                    "{text}"
                );
            }
        }
        fs::write(&path, sound).unwrap();
    }
    assert_eq!(
        writer
            .checkpoints()
            .latest()
            .unwrap()
            .checkpoint
            .unwrap()
            .step(),
        20
    );
}

#[test]
fn folders_that_are_no_whole_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::open(folder.path(), KEEP_ALL).unwrap();
    for step in [1, 2, 3, 4] {
        save(&writer, step, None);
    }
    fs::remove_file(folder.path().join("step-00000002/ema")).unwrap();
    fs::remove_file(folder.path().join("step-00000003/manifest.json")).unwrap();
    fs::rename(
        folder.path().join("step-00000004"),
        folder.path().join("step-00000009"),
    )
    .unwrap();
    fs::write(folder.path().join("step-00000010"), "a file").unwrap();
    // Names that a save would not give are the user's own.
    for name in ["step-5", "step-+0000005", "step-0000000x", "notes"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let latest = writer.checkpoints().latest().unwrap();
    assert_eq!(latest.checkpoint.unwrap().step(), 1);
    let reasons: Vec<_> = latest.rejected.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(reasons[1].contains("is of step 4"), "{reasons:?}");
    assert!(matches!(
        Checkpoints::at(folder.path().join("none")).latest(),
        Err(FormatError::Io { .. })
    ));
}

#[test]
fn a_failing_save_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::open(
        folder.path(),
        Retention {
            last: 1,
            best: false,
        },
    )
    .unwrap();
    save(&writer, 10, None);
    let fail = |_: &mut dyn Write| Err(io::Error::from(io::ErrorKind::StorageFull));
    let files = [
        ("model", Content::Bytes(b"new")),
        ("ema", Content::Stream(&fail)),
    ];
    for step in [10, 20] {
        let error = writer.save(step, None, &files).unwrap_err();
        assert!(matches!(error, FormatError::StorageFull { .. }), "{error}");
    }
    for name in ["", ".", "..", "a/b", "../a", "/a", "a/", "manifest.json"] {
        let error = writer
            .save(20, None, &[(name, Content::Bytes(b""))])
            .unwrap_err();
        assert!(matches!(error, FormatError::Name { .. }), "{name}: {error}");
    }
    let twice = [("a", Content::Bytes(b"")), ("a", Content::Bytes(b""))];
    assert!(matches!(
        writer.save(20, None, &twice),
        Err(FormatError::Name { .. })
    ));
    assert_eq!(names(folder.path()), [".lock", "step-00000010"]);
    assert_eq!(
        writer
            .checkpoints()
            .latest()
            .unwrap()
            .checkpoint
            .unwrap()
            .step(),
        10
    );
}

#[test]
fn one_writer_at_a_time_and_what_a_killed_one_left_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let writer = CheckpointWriter::open(path, KEEP_ALL).unwrap();
    save(&writer, 10, None);
    save(&writer, 20, None);
    assert!(matches!(
        CheckpointWriter::open(path, KEEP_ALL),
        Err(FormatError::InUse { .. })
    ));
    drop(writer);

    fs::create_dir(path.join(".tmp-step-00000030")).unwrap();
    fs::write(path.join(".tmp-step-00000030/model"), "half").unwrap();
    // Killed between the two renames of a replacement, and after them.
    fs::rename(path.join("step-00000020"), path.join(".old-step-00000020")).unwrap();
    fs::create_dir(path.join(".old-step-00000010")).unwrap();
    let writer = CheckpointWriter::open(path, KEEP_ALL).unwrap();
    assert_eq!(names(path), [".lock", "step-00000010", "step-00000020"]);
    assert_eq!(steps(path), [10, 20]);
    drop(writer);
}
