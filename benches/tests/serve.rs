//! Our side of a workload answers as `protocol` says. Its answers' numbers are not looked at.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// What `serve-ours` answers to these lines, and whether it ended well.
fn answers(arguments: &[&str], lines: &str) -> (Vec<serde_json::Value>, bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_side-by-side"))
        .arg("serve-ours")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = BufReader::new(child.stdout.take().unwrap());
    let parse = |line: std::io::Result<String>| serde_json::from_str(&line.unwrap()).unwrap();
    let answers = output.lines().map(parse).collect();
    (answers, child.wait().unwrap().success())
}

#[test]
fn training_steps_are_done_as_asked() {
    for arguments in [vec!["kind-12"], vec!["kind-12", "--dense"]] {
        let (answers, well) = answers(&arguments, "steps 1\nsteps 2\n");
        assert!(well && answers.len() == 3, "{answers:?}");
        assert!(answers[0]["flops_per_step"].as_f64().unwrap() > 1e9);
        assert!(answers[1..].iter().all(|a| a["seconds"].is_f64()));
    }
}

#[test]
fn what_is_not_understood_ends_it() {
    assert!(!answers(&["dense-nano-64"], "step 1\n").1);
    assert!(!answers(&["no-such-workload"], "").1);
}

#[test]
fn a_contender_that_says_nothing_is_reported_with_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("python");
    // One is killed, as by a system without memory; one says no more and lives on.
    for (script, ends) in [
        ("kill -KILL $$", "ended without a word (signal: 9"),
        (
            "exec >&-; exec sleep 60",
            "went on without a word and was killed",
        ),
    ] {
        std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&python, executable).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_side-by-side"))
            .args(["dense-nano-64", "--only", "eager", "--attention", "sdpa"])
            .args(["--python".as_ref(), python.as_os_str()])
            .args(["--runs".as_ref(), folder.path().as_os_str()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains(ends), "{said}");
    }
}
