//! Event files read back by the real `tensorboard` of PyPI.
//!
//! The Python that has it is named by `LEARNGENE_TEST_PYTHON`, else `python3` is tried; where neither has it the test
//! says so and checks nothing. To run it: `python3 -m venv v && v/bin/pip install tensorboard` and
//! `LEARNGENE_TEST_PYTHON=v/bin/python cargo test --release -p learngene-train --test tensorboard`.

mod common;

use std::fs::OpenOptions;
use std::process::Command;

use learngene_train::tensorboard::EventWriter;
use learngene_train::{Run, TrainConfig};

/// Prints every scalar, image and text of a run folder, one per line.
const READ: &str = r#"
import sys
from tensorboard.backend.event_processing import event_accumulator as ea
from tensorboard.util import tensor_util
run = ea.EventAccumulator(sys.argv[1], size_guidance={ea.SCALARS: 0, ea.IMAGES: 0, ea.TENSORS: 0})
run.Reload()
print("file_version", run.file_version)
for tag in sorted(run.Tags()["scalars"]):
    for e in run.Scalars(tag):
        print("scalar", tag, e.step, repr(e.value), repr(e.wall_time))
for tag in run.Tags()["images"]:
    for e in run.Images(tag):
        print("image", tag, e.step, e.width, e.height, e.encoded_image_string.hex(), repr(e.wall_time))
for tag in run.Tags()["tensors"]:
    plugin = run.SummaryMetadata(tag).plugin_data.plugin_name
    for e in run.Tensors(tag):
        print(plugin, tag, e.step, tensor_util.make_ndarray(e.tensor_proto).item().decode())
"#;

/// A Python with tensorboard, if there is one.
fn python() -> Option<String> {
    let named = std::env::var("LEARNGENE_TEST_PYTHON").ok();
    named
        .into_iter()
        .chain(["python3".to_owned()])
        .find(|python| {
            let tried = Command::new(python)
                .args(["-c", "import tensorboard"])
                .output();
            tried.is_ok_and(|output| output.status.success())
        })
}

#[test]
fn tensorboard_reads_a_run_that_was_killed_and_resumed() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with tensorboard; set LEARNGENE_TEST_PYTHON to one");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run/tb");

    // Signature, IHDR: enough of a PNG for a reader that passes it on.
    let png = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13];
    let mut first = EventWriter::create(&run, 0, 1_700_000_000.25).unwrap();
    first.scalar("loss/v", 1, 0.5, 1_700_000_001.5).unwrap();
    first
        .scalar("loss/v", 300, 0.137_1, 1_700_000_002.5)
        .unwrap();
    first.scalar("loss/v", 301, 9.0, 1_700_000_003.0).unwrap();
    first
        .image_png("samples", 300, 40, 30, &png, 1_700_000_003.0)
        .unwrap();
    first
        .text("config", 0, "seed = 7 \u{e9}", 1_700_000_003.0)
        .unwrap();
    first.scalar("loss/v", 302, 9.0, 1_700_000_003.5).unwrap();
    first.flush().unwrap();
    // Killed within its last record.
    let file = OpenOptions::new().write(true).open(first.path()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 3).unwrap();
    drop(first);

    let mut second = EventWriter::create(&run, 301, 1_700_000_100.0).unwrap();
    second.scalar("loss/v", 301, 0.25, 1_700_000_101.0).unwrap();
    second
        .scalar("lr", 5_000_000_000, f32::NAN, 1_700_000_101.0)
        .unwrap();
    drop(second);

    let output = Command::new(python)
        .args(["-c", READ])
        .arg(&run)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let expected = "file_version 2.0\n\
        scalar loss/v 1 0.5 1700000001.5\n\
        scalar loss/v 300 0.1370999962091446 1700000002.5\n\
        scalar loss/v 301 0.25 1700000101.0\n\
        scalar lr 5000000000 nan 1700000101.0\n\
        image samples 300 40 30 89504e470d0a1a0a0000000d 1700000003.0\n\
        text config 0 seed = 7 \u{e9}\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// Prints for each of TensorBoard's three readers the steps of a curve of a run folder: the accumulator of one run, the
/// multiplexer behind the program's slow path, and the data server behind its fast one.
const STEPS: &str = r#"
import os, sys, time
from tensorboard.backend.event_processing import event_accumulator, plugin_event_multiplexer
from tensorboard.data import server_ingester
from tensorboard.data.provider import RunTagFilter
from tensorboard import context
from tensorboard.util import grpc_util
folder, tags = sys.argv[1], sys.argv[2:]
accumulator = event_accumulator.EventAccumulator(folder, size_guidance={event_accumulator.SCALARS: 0})
accumulator.Reload()
multiplexer = plugin_event_multiplexer.EventMultiplexer(size_guidance={"tensors": 0}, tensor_size_guidance={"scalars": 0})
multiplexer.AddRun(folder, "run")
multiplexer.Reload()
run = multiplexer.GetAccumulator("run")
server = server_ingester.SubprocessServerDataIngester(
    server_binary=server_ingester.get_server_binary(), logdir=folder, reload_interval=0, channel_creds_type=grpc_util.ChannelCredsType.LOCAL,
    samples_per_plugin={"scalars": 1000, "images": 100})
server.start()
served = server.data_provider
for tag in tags:
    print("accumulator", tag, *[e.step for e in accumulator.Scalars(tag)])
    print("multiplexer", tag, *[e.step for e in run.Tensors(tag)])
    found = {}
    for _ in range(50):
        found = served.read_scalars(context.RequestContext(), experiment_id="", plugin_name="scalars", downsample=1000,
            run_tag_filter=RunTagFilter(tags=[tag]))
        if found: break
        time.sleep(0.1)
    for points in found.values():
        print("server", tag, *[p.step for p in points[tag]])
"#;

/// A run that went on to step 10 and was killed is resumed from step 4: no reader lacks the loss and the validation of
/// step 4, or shows a step twice.
#[test]
fn all_readers_of_tensorboard_show_every_step_of_a_resumed_run_once() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with tensorboard; set LEARNGENE_TEST_PYTHON to one");
        return;
    };
    let dataset = common::data().load().unwrap();
    let settings = TrainConfig {
        evaluate_every: 2,
        checkpoint_every: 4,
        keep_last: 9,
        ..common::quick(10)
    };
    let config = common::config(common::small(), settings, &dataset);
    let folder = tempfile::tempdir().unwrap();
    let start = common::start(&config);
    common::train(folder.path(), &config, start, &dataset).unwrap();
    for step in [8, 10] {
        std::fs::remove_dir_all(common::checkpoint(folder.path(), step)).unwrap();
    }
    let (run, _) = Run::resume(folder.path(), &common::device()).unwrap();
    assert_eq!(run.done(), 4);
    common::go_on(run, &dataset, None).unwrap();
    let output = Command::new(python)
        .args(["-c", STEPS])
        .arg(folder.path().join("tb"))
        .args(["train/loss", "validation/v_loss"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let curves = [
        ("train/loss", "1 2 3 4 5 6 7 8 9 10"),
        ("validation/v_loss", "2 4 6 8 10"),
    ];
    let readers = ["accumulator", "multiplexer", "server"];
    let lines =
        curves.map(|(tag, steps)| readers.map(|reader| format!("{reader} {tag} {steps}\n")));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        lines.concat().concat()
    );
}

#[test]
fn two_starts_within_a_second_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let first = EventWriter::create(folder.path(), 0, 1_700_000_000.0).unwrap();
    let second = EventWriter::create(folder.path(), 0, 1_700_000_000.9).unwrap();
    assert!(first.path() < second.path());
}
