//! A process that saves without pause is killed outright at many moments; what it reported as saved is always there.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use learngene_formats::{CheckpointWriter, Checkpoints, Content, Retention};

/// Names the folder in which the child saves; without it the child's test does nothing.
const FOLDER: &str = "LEARNGENE_FORMATS_KILL_FOLDER";
const ROUNDS: u64 = 20;
const KEEP: Retention = Retention {
    last: 2,
    best: true,
};

/// The bytes that step `step` saves; several writes long, so that a kill can fall between them.
fn weights(step: u64) -> Vec<u8> {
    (0..300_000u64)
        .map(|at| (at.wrapping_mul(step + 1) >> 3) as u8)
        .collect()
}

fn metric(step: u64) -> f64 {
    f64::from((step * 7919 % 101) as u32)
}

#[test]
fn child_that_saves_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let writer = CheckpointWriter::open(folder, KEEP).unwrap();
    let found = writer.checkpoints().latest().unwrap();
    assert!(found.rejected.is_empty(), "{:?}", found.rejected);
    let start = found.checkpoint.map_or(0, |checkpoint| checkpoint.step());
    for step in start + 1.. {
        let weights = weights(step);
        let stream = |out: &mut dyn Write| {
            weights
                .chunks(10_000)
                .try_for_each(|chunk| out.write_all(chunk))
        };
        let files = [
            ("model", Content::Stream(&stream)),
            ("ema", Content::Bytes(&weights)),
        ];
        writer.save(step, Some(metric(step)), &files).unwrap();
        // Now and then the same step once more, to be killed while replacing.
        if step % 3 == 0 {
            writer.save(step, Some(metric(step)), &files).unwrap();
        }
        println!("\nsaved {step}");
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_that_saves_until_it_is_killed",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_any_moment_the_last_reported_checkpoint_is_there() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut reported = 0;
    let mut leftovers = 0;
    for round in 0..ROUNDS {
        let mut child = start(folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Alive and past its start; then a different moment in each round.
        let saved = |line: String| line.strip_prefix("saved ")?.parse::<u64>().ok();
        reported = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(saved)
            .unwrap();
        sleep(Duration::from_micros(round * 37_321 % 150_000));
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        reported = lines
            .map_while(Result::ok)
            .filter_map(saved)
            .last()
            .unwrap_or(reported);

        let names = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        leftovers += names
            .filter(|name| name.to_string_lossy().starts_with(".tmp-"))
            .count();
        // The next run's view, after it has tidied up.
        let writer = CheckpointWriter::open(folder.path(), KEEP).unwrap();
        drop(writer);
        let found = Checkpoints::at(folder.path()).latest().unwrap();
        assert!(
            found.rejected.is_empty(),
            "round {round}: {:?}",
            found.rejected
        );
        let latest = found.checkpoint.unwrap();
        assert!(latest.step() >= reported, "{} < {reported}", latest.step());
        let expected = weights(latest.step());
        assert!(fs::read(latest.file("model").unwrap()).unwrap() == expected);
        assert!(fs::read(latest.file("ema").unwrap()).unwrap() == expected);

        let (all, rejected) = Checkpoints::at(folder.path()).list().unwrap();
        assert!(
            rejected.is_empty() && all.len() <= 4,
            "{all:?} {rejected:?}"
        );
        let lowest = (1..=reported).map(metric).fold(f64::INFINITY, f64::min);
        let best = Checkpoints::at(folder.path())
            .best()
            .unwrap()
            .checkpoint
            .unwrap();
        assert!(
            best.manifest.metric.unwrap() <= lowest,
            "the best was lost in round {round}"
        );
    }
    assert!(
        reported >= ROUNDS,
        "each round goes on where the one before ended"
    );
    eprintln!("{ROUNDS} kills, {reported} steps, {leftovers} unfinished folders found and removed");
}
