//! Going on with a run: after it was stopped early or late, with other images or another base, for more steps, from the
//! weights of another one, and until validations are no better.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{SMALL, contents, fails, json, pretrain, program, run, stderr, succeeds};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn checkpoints(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("step-")).collect();
    names.sort();
    names
}

fn events(run: &Path, kind: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let events = text.lines().map(|l| serde_json::from_str(l).unwrap());
    events
        .filter(|e: &serde_json::Value| e["event"] == kind)
        .collect()
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Starts a call and waits until a file holds a text.
fn start_until(folder: &Path, args: &[&str], file: &str, text: &str) -> Child {
    let mut command = program(folder, args);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while !fs::read_to_string(folder.join(file)).is_ok_and(|found| found.contains(text)) {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "nothing happened"
        );
        sleep(Duration::from_millis(1));
    }
    child
}

/// A folder of images of the built-in set's size, three classes.
fn images(folder: &Path, name: &str, per_class: u8) {
    for class in ["a", "b", "c"] {
        let folder = folder.join(name).join(class);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..per_class {
            let image = learngene_data::Image {
                width: 16,
                height: 16,
                channels: 3,
                pixels: vec![number.wrapping_mul(17) ^ class.as_bytes()[0]; 768],
            };
            let png = learngene_data::image::encode_png(&image).unwrap();
            fs::write(folder.join(format!("{number}.png")), png).unwrap();
        }
    }
}

const OWN: &str = "pretrain --data images --size dit-micro/4 --rank-split 16,4 --set train.per_class=1 --set train.null=1";

#[test]
fn two_signals_within_a_moment_are_one_wish_and_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let more = words("pretrain --out run --steps 5000 --checkpoint-every 0");
    let args = [&more[..], SMALL].concat();
    let child = start_until(folder, &args, "run/events.jsonl", "\"step\":10");
    interrupt(&child);
    sleep(Duration::from_millis(20));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let newest = checkpoints(&folder.join("run")).pop().unwrap();
    assert!(newest.as_str() > "step-00000009", "{newest}");
}

/// What a kill leaves of a run before its first checkpoint is no run: the same command starts it.
#[test]
fn a_run_that_was_stopped_before_its_first_checkpoint_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "whole", &["--steps", "2"]);
    let config = fs::read(folder.join("whole/config.toml")).unwrap();
    // A configuration without a checkpoint is what older versions left; half a checkpoint what this one does.
    for (run, configured) in [("older", true), ("newer", false)] {
        let half = folder.join(run).join("checkpoints/.tmp-step-00000000");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("model.safetensors"), "half").unwrap();
        if configured {
            fs::write(folder.join(run).join("config.toml"), &config).unwrap();
        }
        let said = fails(folder, &["resume", run], 3, &["start with the command"]);
        assert!(!said.contains("another --out"), "{said}");
        pretrain(folder, run, &["--steps", "2"]);
        let [whole, again] =
            ["whole", run].map(|run| contents(&folder.join(run).join("checkpoints")));
        assert!(whole.values().eq(again.values()));
    }
    // A configuration that somebody wrote there is not overwritten.
    fs::create_dir(folder.join("mine")).unwrap();
    fs::write(folder.join("mine/config.toml"), &config).unwrap();
    let args = [&words("pretrain --out mine --steps 2")[..], SMALL].concat();
    fails(
        folder,
        &args,
        3,
        &["mine: holds a config.toml", "another --out"],
    );
    fails(folder, &["resume", "mine"], 3, &["start with the command"]);
}

#[test]
fn a_run_without_its_configuration_takes_it_from_the_checkpoint_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "run", &["--steps", "2"]);
    let path = folder.join("run/config.toml");
    let config = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let output = run(folder, &["resume", "run"]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("warning: config.toml was gone from run"),
        "{said}"
    );
    assert!(said.contains("finished: all 2 steps are done"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), config);
}

/// The samples of a step come after its checkpoint, so that what fails there costs no step.
#[test]
fn samples_that_cannot_be_written_cost_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("run")).unwrap();
    fs::write(folder.join("run/samples"), "in the way").unwrap();
    let more = words("pretrain --out run --steps 2 --checkpoint-every 1 --sample-every 1");
    fails(folder, &[&more[..], SMALL].concat(), 3, &["run/samples"]);
    assert_eq!(
        checkpoints(&folder.join("run")),
        ["step-00000000", "step-00000001"]
    );
}

#[test]
fn a_run_goes_on_with_other_images_only_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder, "images", 20);
    let args = [&words(OWN)[..], &words("--steps 2 --out run")].concat();
    succeeds(folder, &args);
    let more = ["resume", "run", "--steps", "4"];
    fs::remove_file(folder.join("images/a/3.png")).unwrap();
    let counts = "it was started with";
    fails(
        folder,
        &more,
        2,
        &[counts, "now there are", "--accept-changes"],
    );
    assert_eq!(
        checkpoints(&folder.join("run")).pop().unwrap(),
        "step-00000002",
        "a refusal changes nothing"
    );
    // As many, with another one in its place.
    let [one, other] = ["b/4.png", "a/3.png"].map(|name| folder.join("images").join(name));
    fs::copy(&one, &other).unwrap();
    fails(
        folder,
        &more,
        2,
        &["their pixels, classes or splits are others"],
    );
    let output = run(folder, &[&more[..], &["--accept-changes"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("warning: there are as many images"));
    // From there on these are its images.
    succeeds(folder, &["resume", "run", "--steps", "5"]);
    // A run from before this was noted goes on with a note.
    fs::remove_file(folder.join("run/inputs.json")).unwrap();
    let output = run(folder, &["resume", "run", "--steps", "6"]);
    assert!(output.status.success() && stderr(&output).contains("note: the run does not say"));
}

/// Of images that stream, names and sizes of files stand for pixels.
#[test]
fn images_that_stream_are_compared_by_names_and_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder, "images", 20);
    let more = "--stream --image-size 16 --steps 2 --out run";
    succeeds(folder, &[&words(OWN)[..], &words(more)].concat());
    let file = folder.join("images/a/3.png");
    let mut png = fs::read(&file).unwrap();
    png.extend([0; 9]);
    fs::write(&file, &png).unwrap();
    let more = ["resume", "run", "--steps", "3"];
    fails(
        folder,
        &more,
        2,
        &["their pixels, classes or splits are others"],
    );
    png.truncate(png.len() - 9);
    fs::write(&file, &png).unwrap();
    succeeds(folder, &more);
    fs::rename(&file, folder.join("images/a/other.png")).unwrap();
    fails(
        folder,
        &["resume", "run", "--steps", "4"],
        2,
        &["--accept-changes"],
    );
}

#[test]
fn a_transfer_says_that_its_base_was_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "2"]);
    let line = "transfer base --data builtin:emoji --classes heart,bird --steps 2 --out moved";
    succeeds(folder, &words(line));
    fs::remove_dir_all(folder.join("base")).unwrap();
    pretrain(folder, "base", &["--steps", "2", "--seed", "7"]);
    let more = ["resume", "moved", "--steps", "4"];
    fails(
        folder,
        &more,
        2,
        &["base, is another one now", "--accept-changes"],
    );
    // It has all it needs: without the base it goes on, and ends as any other.
    fs::remove_dir_all(folder.join("base")).unwrap();
    succeeds(folder, &more);
}

/// Steps of a run made longer are those of a run that was planned so: the learning rate follows the new number.
#[test]
fn a_run_trains_on_to_more_steps_and_refuses_fewer_than_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let constant = ["--set", "train.decay_share=0"];
    pretrain(
        folder,
        "whole",
        &[&constant[..], &["--steps", "5"]].concat(),
    );
    pretrain(folder, "run", &[&constant[..], &["--steps", "3"]].concat());
    fails(
        folder,
        &["resume", "run", "--steps", "2"],
        2,
        &["--steps is 2, and 3 steps are done"],
    );
    succeeds(folder, &["resume", "run", "--steps", "5"]);
    let weights = |run: &str| {
        let file = folder
            .join(run)
            .join("checkpoints/step-00000005/optimiser.safetensors");
        fs::read(file).unwrap()
    };
    assert!(weights("whole") == weights("run"));
    assert_eq!(
        json(folder, &["inspect", "run", "--json"])["train"]["steps"],
        5
    );
    let text = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert!(text.contains("steps = 5\n"), "{text}");
}

#[test]
fn a_run_starts_from_a_model_whose_label_rows_go_by_class() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "3"]);
    let init = "pretrain --data builtin:emoji --init base/raw --steps 1 --set train.per_class=1 --set train.null=1";
    // Two of the three, in the order of the data set.
    let line = format!("{init} --classes flag,hand --out part");
    succeeds(folder, &words(&line));
    let assembled = "assemble base/raw --classes flag,hand --out part.safetensors";
    succeeds(folder, &words(assembled));
    let start = folder.join("part/checkpoints/step-00000000/model.safetensors");
    let [start, part] = [start, folder.join("part.safetensors")]
        .map(|path| learngene_formats::WeightFile::read(path).unwrap());
    assert_eq!(start.header.class_names, ["flag", "hand"]);
    assert!(start.tensors == part.tensors);
    let line = format!("{init} --classes flag,heart --out x");
    fails(
        folder,
        &words(&line),
        2,
        &["has no class heart", "learngene transfer"],
    );
    let line = format!("{init} --classes face,flag,hand --rank-split 16,8 --out x");
    fails(
        folder,
        &words(&line),
        2,
        &["tailor_rank is 8, the model's is 4"],
    );
    assert!(!folder.join("x").exists());
}

#[test]
fn the_best_checkpoint_is_kept_named_and_the_end_where_nothing_gets_better() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // At this rate every validation is as good as the first, to the bit; of equal ones the newest is kept.
    let more = "--steps 40 --lr 1e-30 --checkpoint-every 0 --set train.warmup=0 --set train.evaluate_every=1 \
                --set train.patience=3 --set train.ema=0";
    let said = pretrain(folder, "run", &words(more));
    assert!(said.contains("stopped early at step "), "{said}");
    let losses: Vec<f64> = events(&folder.join("run"), "validation")
        .iter()
        .map(|e| e["velocity"].as_f64().unwrap())
        .collect();
    assert!(losses.len() < 40);
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let first = losses.iter().position(|loss| *loss == best).unwrap() + 1;
    assert_eq!(losses.len(), first + 3);
    let step = losses.iter().rposition(|loss| *loss == best).unwrap() + 1;
    let line = format!("best checkpoint: step {step}, validation v loss {best:.4}: run/best");
    assert!(said.contains(&line), "{line} is not in {said}");
    let told = events(&folder.join("run"), "best");
    assert_eq!(told.last().unwrap()["step"], first);
    let found = json(folder, &["inspect", "run/best", "--json"]);
    assert_eq!(found["step"], step);
    assert_eq!(found["best"]["step"], step);
    let text = succeeds(folder, &["inspect", "run"]);
    assert!(
        text.contains(&format!("step {step}, validation v loss")),
        "{text}"
    );
    // Going on needs more patience.
    let said = succeeds(folder, &["resume", "run"]);
    assert!(said.contains("stopped early at step "), "{said}");
}

#[test]
fn images_of_a_step_stand_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "run", &["--steps", "1"]);
    // One of each of three classes, and one without a label.
    let train = &json(folder, &["inspect", "run", "--json"])["train"];
    assert_eq!(train["batch"], 4);
    let text = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert!(text.contains("batch = 4\n"), "{text}");
}

/// An autoencoder that was interrupted ends as one that was not.
#[test]
fn the_training_of_an_autoencoder_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder, "images", 20);
    let line = "autoencoder train --data images --batch 4 --steps 120 --checkpoint-every 3 --out";
    let args = |out| [&words(line)[..], &[out]].concat();
    succeeds(folder, &args("whole"));
    assert!(!folder.join("whole.checkpoints").exists());
    let manifest = "part.checkpoints/step-00000003/manifest.json";
    let child = start_until(folder, &args("part"), manifest, "step");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("checkpointed in part.checkpoints"), "{said}");
    assert!(said.contains("the same command goes on"), "{said}");
    assert!(!folder.join("part").exists());
    let other = [&args("part")[..], &["--lr", "0.01"]].concat();
    fails(folder, &other, 3, &["part.checkpoints", "(--lr)"]);
    succeeds(folder, &args("part"));
    let [whole, part] = ["whole", "part"].map(|out| contents(&folder.join(out)));
    assert!(whole.len() >= 2 && whole.values().eq(part.values()));
}
