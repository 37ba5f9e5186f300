//! A run that is killed or interrupted, however often, ends with the bytes of the run that was not.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{SMALL, contents, pretrain, program, succeeds};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Kills in a row.
const KILLS: u64 = 10;
/// Steps of a run: more than ten kills can use up, each of which comes after a checkpoint or during one.
const STEPS: &[&str] = &["--steps", "70", "--checkpoint-every", "2"];
/// Superclasses, and images that show the model half their class at random.
const TREE: &[&str] = &[
    "--class-tree",
    "tree.toml",
    "--set",
    "train.gate_dropout=0.2",
    "--set",
    "train.hide_label=0.2",
];

fn start(folder: &Path, args: &[&str]) -> Child {
    let mut command = program(folder, args);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn start_run(folder: &Path, more: &[&str]) -> Child {
    start(
        folder,
        &[&["pretrain", "--out", "run"], SMALL, STEPS, more].concat(),
    )
}

/// Waits until `seen`, or until the process has ended.
fn wait_until(child: &mut Child, mut seen: impl FnMut() -> bool) {
    let since = Instant::now();
    while !seen() && child.try_wait().unwrap().is_none() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "nothing happened in a minute"
        );
        sleep(Duration::from_micros(200));
    }
}

/// Names in the checkpoint folder that start so, in order.
fn saves(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.join("run/checkpoints"))
        .into_iter()
        .flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

fn last_save(folder: &Path) -> Option<String> {
    saves(folder, "step-").pop()
}

/// Every file of the checkpoints and the configuration, by its path in the run folder.
fn state(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = contents(&run.join("checkpoints"));
    files.insert(
        run.join("config.toml"),
        fs::read(run.join("config.toml")).unwrap(),
    );
    let name = |path: PathBuf| path.strip_prefix(run).unwrap().to_path_buf();
    files
        .into_iter()
        .map(|(path, bytes)| (name(path), bytes))
        .collect()
}

/// Steps and measured numbers of the step events, which time has no part in; steps of all events must not fall.
fn losses(run: &Path) -> Vec<[String; 5]> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let steps: Vec<u64> = events.iter().map(|e| e["step"].as_u64().unwrap()).collect();
    assert!(steps.is_sorted(), "{steps:?}");
    let kept = ["step", "loss", "epsilon", "grad_norm", "lr"];
    let numbers = |event: &serde_json::Value| kept.map(|key| event[key].to_string());
    events
        .iter()
        .filter(|event| event["event"] == "step")
        .map(numbers)
        .collect()
}

fn assert_same_end(folder: &Path) {
    let (a, b) = (state(&folder.join("whole")), state(&folder.join("run")));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    a.iter()
        .for_each(|(path, bytes)| assert!(b[path] == *bytes, "{} differs", path.display()));
    assert!(
        a.len() >= 5,
        "weights, their average, the optimiser, the manifest, the configuration"
    );
    assert_eq!(losses(&folder.join("whole")), losses(&folder.join("run")));
}

#[test]
fn killed_ten_times_also_while_saving_a_run_ends_byte_for_byte_as_the_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tree = "figure = ['face', 'hand']\nsign = ['flag']\n";
    fs::write(folder.join("tree.toml"), tree).unwrap();
    pretrain(folder, "whole", &[STEPS, TREE].concat());
    let mut unfinished = 0;
    for kill in 0..KILLS {
        let mut child = match kill {
            0 => start_run(folder, TREE),
            _ => start(folder, &["resume", "run"]),
        };
        let before = last_save(folder);
        // Every second kill comes while a save is under way, the others so many milliseconds after one.
        wait_until(&mut child, || last_save(folder) > before);
        if kill % 2 == 0 {
            wait_until(&mut child, || !saves(folder, ".tmp-step-").is_empty());
        } else {
            sleep(Duration::from_micros(kill * 7_919 % 40_000));
        }
        // SIGKILL.
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert!(
            !ended.success(),
            "kill {kill} came after the end: make the run longer"
        );
        unfinished += saves(folder, ".tmp-step-").len();
    }
    println!("{KILLS} kills, {unfinished} of them while saving");
    assert!(unfinished > 0, "no kill fell into a save");
    succeeds(folder, &["resume", "run"]);
    assert!(saves(folder, ".tmp-").is_empty());
    assert_same_end(folder);
}

#[test]
fn ctrl_c_checkpoints_exits_with_5_and_resume_ends_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "whole", STEPS);
    let mut child = start_run(folder, &[]);
    let log = folder.join("run/events.jsonl");
    wait_until(&mut child, || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("\"step\":10"))
    });
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let text = common::stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(
        text.contains("error: interrupted at step")
            && text.contains("help: go on with `learngene resume run`"),
        "{text}"
    );
    succeeds(folder, &["resume", "run"]);
    assert_same_end(folder);
    // A finished run has nothing left to do, and resuming it changes nothing.
    succeeds(folder, &["resume", "run"]);
    assert_same_end(folder);
}

#[test]
fn weights_do_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let more = ["--steps", "4", "--set", "train.per_class=8"];
    pretrain(folder, "whole", &[&more[..], &["--threads", "1"]].concat());
    pretrain(folder, "run", &[&more[..], &["--threads", "2"]].concat());
    assert_same_end(folder);
}
