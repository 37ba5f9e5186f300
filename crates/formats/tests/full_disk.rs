//! A disk that is really full: a small tmpfs, which only root may mount. Elsewhere the test says so and checks nothing.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::path::Path;
use std::process::Command;

use learngene_formats::atomic::write_bytes_atomically;
use learngene_formats::{CheckpointWriter, Content, FormatError, Retention};

/// A mounted tmpfs of 1 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "learngene-test"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays behind is a nuisance, not a failure.
        let _ignored = Command::new("umount").arg(self.path()).status();
    }
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
fn a_full_disk_costs_no_earlier_file() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: mounting a small tmpfs needs root");
        return;
    };
    let small = vec![1u8; 200_000];
    let large = vec![2u8; 700_000];

    let file = disk.path().join("model.safetensors");
    write_bytes_atomically(&file, &small).unwrap();
    let run = disk.path().join("checkpoints");
    let writer = CheckpointWriter::open(
        &run,
        Retention {
            last: 1,
            best: false,
        },
    )
    .unwrap();
    writer
        .save(10, None, &[("model", Content::Bytes(&small))])
        .unwrap();

    let error = write_bytes_atomically(&file, &large).unwrap_err();
    assert!(matches!(error, FormatError::StorageFull { .. }), "{error}");
    assert!(
        error.to_string().contains("free some disk space"),
        "{error}"
    );
    for step in [10, 20] {
        let files = [
            ("ema", Content::Bytes(&small[..])),
            ("model", Content::Bytes(&large)),
        ];
        let error = writer.save(step, None, &files).unwrap_err();
        assert!(matches!(error, FormatError::StorageFull { .. }), "{error}");
        assert!(error.to_string().contains("model"), "{error}");
    }

    assert!(fs::read(&file).unwrap() == small);
    assert_eq!(names(disk.path()), ["checkpoints", "model.safetensors"]);
    assert_eq!(names(&run), [".lock", "step-00000010"]);
    let latest = writer.checkpoints().latest().unwrap();
    assert!(latest.rejected.is_empty());
    assert_eq!(latest.checkpoint.unwrap().step(), 10);
    // With space again, the same writer goes on.
    fs::remove_file(&file).unwrap();
    writer
        .save(20, None, &[("model", Content::Bytes(&large))])
        .unwrap();
    assert_eq!(names(&run), [".lock", "step-00000020"]);
}
