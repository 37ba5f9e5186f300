//! Bad input of every kind: the exit code that scripts rely on, a message that names the thing, and no file of the
//! user's touched. Exit codes: 2 usage or configuration, 3 data or file, 4 numerical.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{SMALL, contents, fails, pretrain, succeeds, transfer};
use learngene_data::Image;
use learngene_data::image::encode_png;
use learngene_formats::Checkpoints;
use std::fs;
use std::path::Path;

/// A square image.
fn png_of(side: u32) -> Vec<u8> {
    encode_png(&Image::filled(side, side, &[5, 90, 200])).unwrap()
}

fn png() -> Vec<u8> {
    png_of(4)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Each call fails with its code, says its parts, and changes nothing in the folder.
fn refused(folder: &Path, cases: &[(&str, i32, &[&str])]) {
    let before = contents(folder);
    for (line, code, parts) in cases {
        let args: Vec<&str> = line.split_whitespace().collect();
        fails(folder, &args, *code, parts);
        assert!(contents(folder) == before, "`{line}` changed a file");
    }
}

#[test]
fn what_is_typed_wrong_is_named_with_the_next_step() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "broken.toml", b"[train\nsteps = 3");
    write(root.path(), "unknown.toml", b"[train]\nwarmpu = 3");
    write(root.path(), "unknown-data.toml", b"[data]\nclases = \"all\"");
    write(root.path(), "images.csv", b"name,class\n");
    let small = "pretrain --data builtin:emoji --classes face,flag --size dit-micro/4 --rank-split 8,2 --out run";
    let with = |more: &str| format!("{small} {more}");
    let cases: Vec<(String, i32, Vec<&str>)> = vec![
        (with("--steps 0"), 2, vec!["`train.steps` is 0", "at least 1"]),
        (with("--config broken.toml"), 2, vec!["broken.toml", "line 1"]),
        (with("--config missing.toml"), 2, vec!["missing.toml", "No such file"]),
        (with("--config unknown.toml"), 2, vec!["unknown.toml", "did you mean `warmup`?"]),
        (with("--config unknown-data.toml"), 2, vec!["unknown-data.toml", "did you mean `classes`?"]),
        (with("--set train.stpes=3"), 2, vec!["did you mean `steps`?"]),
        (with("--set train"), 2, vec!["`train`", "section.key=value"]),
        (with("--set data.classes=all"), 2, vec!["--set cannot change data", "--classes"]),
        (with("--set train.classes_per_step=5"), 2, vec!["classes"]),
        (with("--set train.diffusion_steps=5 --set train.schedule=linear"), 2, vec!["linear schedule"]),
        (with("--device abacus"), 2, vec!["unknown device `abacus`", "cpu"]),
        (
            "pretrain --data builtin:emoji --size dit-micro/4 --rank-split 90,8 --out run".into(),
            2,
            vec!["rank split", "active rank 98", "at most 96"],
        ),
        (
            "pretrain --data builtin:emoji --size dit-mikro/4 --out run".into(),
            2,
            vec!["unknown size `dit-mikro/4`", "did you mean `dit-micro/4`"],
        ),
        (
            "pretrain --data builtin:emoji --classes face,flagg --out run".into(),
            2,
            vec!["`flagg`", "did you mean `flag`"],
        ),
        ("pretrain --data builtin:emoji --classes face,face --out run".into(), 2, vec!["class list"]),
        ("pretrain --data builtin:emojy --out run".into(), 3, vec!["builtin:emojy", "did you mean `emoji`"]),
        ("pretrain --data nowhere --out run".into(), 3, vec!["nowhere", "no such file or folder"]),
        ("pretrain --data images.csv --out run".into(), 3, vec!["images.csv", "no known kind"]),
        ("pretrain --out run".into(), 2, vec!["--data"]),
        ("pretrain --config images.csv --out run".into(), 2, vec!["images.csv"]),
        ("resume .".into(), 3, vec!["config.toml"]),
        ("resume nowhere".into(), 3, vec!["nowhere", "a run folder holds one"]),
        ("inspect broken.toml".into(), 3, vec!["broken.toml", "not a valid safetensors file"]),
        ("sample nowhere --out x.png".into(), 3, vec!["nowhere", "a run folder"]),
        ("sample nowhere --count 0 --out x.png".into(), 2, vec!["--count"]),
        ("sample nowhere --sampler ddin --out x.png".into(), 2, vec!["ddin", "ddim"]),
        ("sample nowhere --cfg nan --out x.png".into(), 2, vec!["--cfg is NaN"]),
        ("sample nowhere".into(), 2, vec!["--out"]),
        ("plan --size dit-s/2 --input 3x32".into(), 2, vec!["3x32", "such as 3x32x32"]),
        ("plan --size dit-s/2 --input 3xax32x32".into(), 2, vec!["3xax32x32"]),
        ("plan --size dit-s/5".into(), 2, vec!["patch", "divides"]),
        ("--threads 0 plan --size dit-s/2".into(), 2, vec!["--threads"]),
    ];
    let cases: Vec<_> = cases.iter().map(|(line, code, parts)| (&line[..], *code, &parts[..])).collect();
    refused(root.path(), &cases);
    assert!(!root.path().join("run").exists(), "a refused run leaves no folder");
}

#[test]
fn broken_data_are_named_by_file_and_class() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for class in ["a", "b"] {
        (0..3).for_each(|i| write(root, &format!("cut/{class}/{i}.png"), &png()));
    }
    write(root, "cut/b/9.png", &png()[..60]);
    write(root, "text/a/1.png", b"a text in a picture's clothing");
    write(root, "void/a/1.png", &png());
    fs::create_dir_all(root.join("void/b")).unwrap();
    fs::create_dir_all(root.join("nothing")).unwrap();
    write(root, "sizes/a/1.png", &png());
    write(root, "sizes/a/2.png", &png_of(8));
    // An idx file of 1000 images of 28x28 that ends after its head, and its labels.
    let head = [0, 0, 8, 3, 0, 0, 3, 232, 0, 0, 0, 28, 0, 0, 0, 28];
    write(root, "idx/train-images-idx3-ubyte", &head);
    write(root, "idx/train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 3, 232]);
    write(root, "map.toml", b"[classes]\nx = [\"a\"\n");
    let model = "--size dit-micro/4 --rank-split 8,2 --out run";
    let of = |data: &str| format!("pretrain --data {data} {model}");
    let cases: Vec<(String, i32, Vec<&str>)> = vec![
        (of("cut"), 3, vec!["9.png", "replace the file or remove it"]),
        (of("text"), 3, vec!["1.png", "neither PNG nor JPEG nor WebP"]),
        (of("void"), 3, vec!["class `b`", "no training image", "data inspect"]),
        (of("nothing"), 3, vec!["nothing", "holds no image"]),
        (of("sizes"), 3, vec!["differ in size", "--image-size"]),
        (of("sizes --image-size 0"), 2, vec!["image size", "0"]),
        (of("idx"), 3, vec!["idx", "expected"]),
        (of("cut --class-map map.toml"), 2, vec!["map.toml"]),
        (of("cut --classes base"), 2, vec!["no base/novel partition"]),
        ("data inspect cut".into(), 3, vec!["9.png"]),
        ("data inspect nothing".into(), 3, vec!["holds no image"]),
        ("data inspect idx --json".into(), 3, vec!["idx"]),
    ];
    let cases: Vec<_> = cases.iter().map(|(line, code, parts)| (&line[..], *code, &parts[..])).collect();
    refused(root, &cases);
    assert!(!root.join("run").exists(), "a refused run leaves no folder");
}

#[test]
fn a_class_with_one_image_trains_and_a_text_among_images_is_left_out_by_name() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    (0..4).for_each(|i| write(root, &format!("photos/many/{i}.png"), &png()));
    write(root, "photos/single/1.png", &png());
    write(root, "photos/many/notes.txt", b"taken in May");
    let before = contents(&root.join("photos"));
    let line = "pretrain --data photos --size dit-micro/4 --rank-split 8,2 --steps 2 --set train.per_class=1 --out run";
    let output = common::run(root, &line.split(' ').collect::<Vec<_>>());
    let text = common::stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("warning: left out, no images:") && text.contains("notes.txt"), "{text}");
    let found = common::json(root, &["data", "inspect", "photos", "--json"]);
    assert!(found["skipped"][0].as_str().unwrap().ends_with("notes.txt"));
    assert_eq!(found["classes"][1]["train"], 1);
    assert!(contents(&root.join("photos")) == before);
}

#[test]
fn broken_weights_and_occupied_folders_are_refused_untouched() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    pretrain(root, "base", &["--steps", "1"]);
    transfer(root, "novel", &[]);
    let whole = fs::read(root.join("base/checkpoints/step-00000001/ema.safetensors")).unwrap();
    write(root, "cut.safetensors", &whole[..whole.len() - 100]);
    write(root, "stub.safetensors", &whole[..5]);
    let mut claim = (1u64 << 60).to_le_bytes().to_vec();
    claim.extend(b"{}");
    write(root, "claim.safetensors", &claim);
    let json = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let overlap = [&(json.len() as u64).to_le_bytes()[..], json, &[0; 12]].concat();
    write(root, "overlap.safetensors", &overlap);
    // The last four bytes are a value of the last tensor in the order of names.
    let nan = [&whole[..whole.len() - 4], &f32::NAN.to_le_bytes()].concat();
    write(root, "nan.safetensors", &nan);
    fs::create_dir_all(root.join("empty-run/checkpoints")).unwrap();
    fs::copy(root.join("base/config.toml"), root.join("empty-run/config.toml")).unwrap();

    refused(
        root,
        &[
            ("inspect cut.safetensors", 3, &["cut.safetensors", "not a valid safetensors file"]),
            ("inspect stub.safetensors", 3, &["stub.safetensors", "too few to hold a header"]),
            ("inspect claim.safetensors", 3, &["claim.safetensors", "1152921504606846976"]),
            ("inspect overlap.safetensors", 3, &["overlap.safetensors"]),
            ("inspect base/checkpoints/step-00000001/optimiser.safetensors", 3, &["holds optimiser"]),
            ("sample cut.safetensors --out x.png", 3, &["cut.safetensors"]),
            ("sample novel/tailors.safetensors --out x.png", 3, &["holds tailor, expected model"]),
            ("sample nan.safetensors --out x.png", 4, &["nan.safetensors", "`time.output.weight`", "NaN"]),
            ("sample base --class fase --out x.png", 2, &["no class `fase`", "face, flag, hand"]),
            ("sample base --steps 0 --out x.png", 2, &["zero steps"]),
            ("assemble claim.safetensors --classes face --out x.safetensors", 3, &["claim.safetensors"]),
            ("assemble base --classes fase --out x.safetensors", 2, &["did you mean `face`"]),
            ("assemble base --classes face --tailors cut.safetensors --out x.safetensors", 3, &["cut.safetensors"]),
            ("assemble base --classes face --tailors nan.safetensors --out x.safetensors", 3, &["holds ema, expected tailor"]),
            ("assemble nan.safetensors --classes face --out nan.safetensors", 4, &["NaN"]),
            ("transfer cut.safetensors --data builtin:emoji --classes novel --out run", 3, &["cut.safetensors"]),
            ("transfer base --data builtin:emoji --classes novel --tailor-rank 99 --out run", 2, &["rank split"]),
            ("transfer base --data builtin:emoji --classes novel --out base", 3, &["base", "already holds a run"]),
            ("resume empty-run", 3, &["no complete checkpoint"]),
        ],
    );
    let again = [&["pretrain", "--out", "base"], SMALL].concat();
    let before = contents(root);
    fails(root, &again, 3, &["already holds a run", "learngene resume"]);
    let model = "base/checkpoints/step-00000001/ema.safetensors";
    fails(
        root,
        &["assemble", model, "--classes", "face", "--out", model],
        2,
        &["what the model is made from"],
    );
    assert!(contents(root) == before);
}

#[test]
fn numbers_that_overflow_stop_the_run_and_leave_the_last_checkpoint_whole() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let more = ["--steps", "20", "--checkpoint-every", "1", "--lr", "1e30", "--set", "train.warmup=0"];
    let args = [&["pretrain", "--out", "run"], SMALL, &more].concat();
    fails(root, &args, 4, &["is not finite", "checkpoint", "run/config.toml", "learngene resume run"]);
    succeeds(root, &["inspect", "run"]);
    fails(root, &["resume", "run"], 4, &["is not finite"]);
    let whole = Checkpoints::at(root.join("run/checkpoints")).latest().unwrap();
    assert!(whole.rejected.is_empty() && whole.checkpoint.is_some());
}

/// A tmpfs of a few MiB, unmounted when dropped.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "learngene-test"])
            .arg(folder.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays behind is a nuisance, not a failure.
        let _ignored = std::process::Command::new("umount").arg(self.0.path()).status();
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
    let more = ["--steps", "9", "--checkpoint-every", "1", "--set", "train.keep_last=9"];
    let args = [&["pretrain", "--out", "run"], SMALL, &more].concat();
    fails(root, &args, 3, &["no space left", "free some disk space"]);
    let found = common::json(root, &["inspect", "run", "--json"]);
    assert!(found["step"].as_u64().unwrap() >= 1);
}
