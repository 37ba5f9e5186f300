//! Trouble while a run is under way: the exit code, the next step, and a last checkpoint that is whole.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{SMALL, fails, succeeds};
use learngene_formats::Checkpoints;
use std::fs;

#[test]
fn numbers_that_overflow_stop_the_run_and_leave_the_last_checkpoint_whole() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let more = "--steps 6 --checkpoint-every 5 --lr 1e30 --set train.warmup=0";
    let more: Vec<&str> = more.split(' ').collect();
    let args = [&["pretrain", "--out", "run"], SMALL, &more].concat();
    let next = ["run/config.toml", "learngene resume run"];
    fails(
        root,
        &args,
        4,
        &["is not finite", "step 0", next[0], next[1]],
    );
    let whole = Checkpoints::at(root.join("run/checkpoints"))
        .latest()
        .unwrap();
    assert!(whole.rejected.is_empty());
    assert_eq!(whole.checkpoint.unwrap().step(), 0);
    succeeds(root, &["inspect", "run"]);
    // It fails again where it failed, and comes to its end as the message says.
    fails(root, &["resume", "run"], 4, &["is not finite"]);
    let config = fs::read_to_string(root.join("run/config.toml")).unwrap();
    let mended = config.replace("lr = 1000000000000000000000000000000.0", "lr = 0.001");
    assert_ne!(config, mended);
    fs::write(root.join("run/config.toml"), mended).unwrap();
    succeeds(root, &["resume", "run"]);
    assert_eq!(common::json(root, &["inspect", "run", "--json"])["step"], 6);
}

/// A tmpfs of a few MiB, unmounted when dropped.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "learngene-test",
            ])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays behind is a nuisance, not a failure.
        let _ignored = std::process::Command::new("umount")
            .arg(self.0.path())
            .status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_while_checkpointing_costs_no_checkpoint() {
    // A checkpoint of the small model takes about 5 MB: the first two fit, the third does not.
    let Some(disk) = SmallDisk::mount("14m") else {
        println!("skipped: mounting a small tmpfs needs root");
        return;
    };
    let root = disk.0.path();
    let more = [
        "--steps",
        "9",
        "--checkpoint-every",
        "1",
        "--set",
        "train.keep_last=9",
    ];
    let args = [&["pretrain", "--out", "run"], SMALL, &more].concat();
    fails(root, &args, 3, &["no space left", "free some disk space"]);
    let found = common::json(root, &["inspect", "run", "--json"]);
    assert!(found["step"].as_u64().unwrap() >= 1);
}
