//! Bad input of every kind: the exit code that scripts rely on, a message that names the thing, and no file of the
//! user's touched. Exit codes: 2 usage or configuration, 3 data or file, 4 numerical.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, fails, pretrain, transfer};
use learngene_data::Image;
use learngene_data::image::encode_png;
use learngene_formats::ImageArchive;
use std::fs;
use std::path::Path;

fn png(side: u32) -> Vec<u8> {
    encode_png(&Image::filled(side, side, &[5, 90, 200])).unwrap()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Runs a table of `arguments | exit code | part; part` in `folder`: each call fails with its code, its message says
/// all the parts, and no file has changed after it.
fn refused(folder: &Path, table: &str) {
    let before = contents(folder);
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [arguments, code, parts] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let arguments = arguments
            .replace(
                "PRETRAIN",
                "pretrain --data builtin:emoji --classes face,flag SMALL",
            )
            .replace("SMALL", "--size dit-micro/4 --rank-split 8,2 --out run");
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let parts: Vec<&str> = parts.split("; ").collect();
        fails(folder, &arguments, code.parse().unwrap(), &parts);
        assert!(contents(folder) == before, "`{line}` changed a file");
    }
    assert!(
        !folder.join("run").exists(),
        "a refused run leaves no folder"
    );
}

#[test]
fn what_is_typed_wrong_is_named_with_the_next_step() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "broken.toml", b"[train\nsteps = 3");
    write(root.path(), "unknown.toml", b"[train]\nwarmpu = 3");
    write(root.path(), "no-source.toml", b"[data]\nclasses = \"all\"");
    write(
        root.path(),
        "typo.toml",
        b"[data]\nsource = \"builtin:emoji\"\nclases = \"all\"",
    );
    write(root.path(), "images.csv", b"name,class\n");
    refused(
        root.path(),
        "PRETRAIN --steps 0 | 2 | `train.steps` is 0; at least 1
        PRETRAIN --lr 0 | 2 | `train.lr` is 0; a positive number
        PRETRAIN --config broken.toml | 2 | broken.toml; line 1
        PRETRAIN --config missing.toml | 2 | missing.toml; No such file
        PRETRAIN --config unknown.toml | 2 | unknown.toml; did you mean `warmup`?
        PRETRAIN --config images.csv | 2 | images.csv; line 1
        pretrain --config typo.toml SMALL | 2 | typo.toml; did you mean `classes`?
        pretrain --config no-source.toml SMALL | 2 | no data source; --data
        PRETRAIN --set train.stpes=3 | 2 | did you mean `steps`?
        PRETRAIN --set train | 2 | `train`; section.key=value
        PRETRAIN --set data.classes=all | 2 | --set cannot change data; --classes
        PRETRAIN --set train.classes_per_step=5 | 2 | failed to set; classes
        PRETRAIN --set train.diffusion_steps=5 --set train.schedule=linear | 2 | linear schedule
        PRETRAIN --set train.trainable.rest=-1 | 2 | train.trainable; 0 or more
        PRETRAIN --set model.groups=4 | 2 | groups; expected 2
        PRETRAIN --device abacus | 2 | unknown device `abacus`; cpu
        --threads 0 PRETRAIN | 2 | --threads
        pretrain SMALL | 2 | --data
        pretrain --data builtin:emoji --size dit-micro/4 --rank-split 90,8 --out run | 2 | active rank 98; at most 96
        pretrain --data builtin:emoji --size dit-micro/4 --rank-split 8 --out run | 2 | two whole numbers such as 96,8
        pretrain --data builtin:emoji --size dit-mikro/4 --out run | 2 | `dit-mikro/4`; did you mean `dit-micro/4`
        pretrain --data builtin:emoji --classes face,flagg SMALL | 2 | `flagg`; did you mean `flag`
        pretrain --data builtin:emoji --classes face,face SMALL | 2 | class list
        pretrain --data builtin:emojy SMALL | 3 | builtin:emojy; did you mean `emoji`
        pretrain --data nowhere SMALL | 3 | nowhere; no such file or folder
        pretrain --data images.csv SMALL | 3 | images.csv; no known kind
        resume . | 3 | config.toml
        resume nowhere | 3 | nowhere; a run folder holds one
        inspect broken.toml | 3 | broken.toml; not a valid safetensors file
        sample nowhere --out x.png | 3 | nowhere; a run folder
        sample nowhere | 2 | --out
        sample nowhere --count 0 --out x.png | 2 | --count
        sample nowhere --sampler ddin --out x.png | 2 | ddin; ddim
        sample nowhere --cfg nan --out x.png | 2 | --cfg is NaN
        plan --size dit-s/2 --input 3x32 | 2 | 3x32; such as 3x32x32
        plan --size dit-s/2 --input 3xax32x32 | 2 | 3xax32x32
        plan --size dit-s/5 | 2 | patch; divides",
    );
}

#[test]
fn broken_data_are_named_by_file_and_class() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for class in ["a", "b"] {
        (0..3).for_each(|i| write(root, &format!("cut/{class}/{i}.png"), &png(4)));
    }
    write(root, "cut/b/9.png", &png(4)[..60]);
    write(root, "text/a/1.png", b"a text in a picture's clothing");
    write(root, "void/a/1.png", &png(4));
    fs::create_dir_all(root.join("void/b")).unwrap();
    fs::create_dir_all(root.join("nothing")).unwrap();
    write(root, "sizes/a/1.png", &png(4));
    write(root, "sizes/a/2.png", &png(8));
    // An idx file of 1000 images of 28x28 that ends after its head, and its labels.
    let head = [0, 0, 8, 3, 0, 0, 3, 232, 0, 0, 0, 28, 0, 0, 0, 28];
    write(root, "idx/train-images-idx3-ubyte", &head);
    write(
        root,
        "idx/train-labels-idx1-ubyte",
        &[0, 0, 8, 1, 0, 0, 3, 232],
    );
    write(root, "map.toml", b"[classes]\nx = [\"a\"\n");
    refused(
        root,
        "pretrain --data cut --strict SMALL | 3 | 9.png; replace the file or remove it
        pretrain --data text SMALL | 3 | 1.png; neither PNG nor JPEG nor WebP
        pretrain --data void SMALL | 3 | class `b`; no training image; learngene data inspect
        pretrain --data nothing SMALL | 3 | nothing; holds no image
        pretrain --data sizes SMALL | 3 | differ in size; --image-size
        pretrain --data sizes --image-size 0 SMALL | 2 | image size; 0
        pretrain --data idx SMALL | 3 | idx; expected
        pretrain --data cut --class-map map.toml SMALL | 2 | map.toml
        pretrain --data cut --classes base SMALL | 2 | no base/novel partition
        data inspect nothing | 3 | holds no image
        data inspect idx --json | 3 | idx",
    );
}

#[test]
fn a_class_with_one_image_trains_and_a_text_among_images_is_left_out_by_name() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    (0..4).for_each(|i| write(root, &format!("photos/many/{i}.png"), &png(4)));
    write(root, "photos/single/1.png", &png(4));
    write(root, "photos/many/notes.txt", b"taken in May");
    let before = contents(&root.join("photos"));
    let line = "pretrain --data photos --size dit-micro/4 --rank-split 8,2 --steps 2 --set train.per_class=1 --out run";
    let output = common::run(root, &line.split(' ').collect::<Vec<_>>());
    let text = common::stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("warning: left out, no images:"), "{text}");
    assert!(text.contains("notes.txt"), "{text}");
    let found = common::json(root, &["data", "inspect", "photos", "--json"]);
    let skipped = found["skipped"][0].as_str().unwrap();
    assert!(skipped.ends_with("notes.txt"), "{skipped}");
    assert_eq!(found["classes"][1]["train"], 1);
    assert!(contents(&root.join("photos")) == before);
}

#[test]
fn broken_weights_and_occupied_folders_are_refused_untouched() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    pretrain(root, "base", &["--steps", "1"]);
    transfer(root, "novel", &[]);
    let model = "base/checkpoints/step-00000001/ema.safetensors";
    let whole = fs::read(root.join(model)).unwrap();
    write(root, "cut.safetensors", &whole[..whole.len() - 100]);
    write(root, "stub.safetensors", &whole[..5]);
    let claim = (1u64 << 60).to_le_bytes();
    write(root, "claim.safetensors", &[&claim[..], b"{}"].concat());
    let json = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let length = (json.len() as u64).to_le_bytes();
    write(
        root,
        "overlap.safetensors",
        &[&length[..], json, &[0; 12]].concat(),
    );
    // The last four bytes are a value of the last tensor in the order of names.
    let nan = [&whole[..whole.len() - 4], &f32::NAN.to_le_bytes()].concat();
    write(root, "nan.safetensors", &nan);
    fs::create_dir_all(root.join("empty-run/checkpoints")).unwrap();
    fs::copy(
        root.join("base/config.toml"),
        root.join("empty-run/config.toml"),
    )
    .unwrap();
    refused(
        root,
        "inspect cut.safetensors | 3 | cut.safetensors; not a valid safetensors file
        inspect stub.safetensors | 3 | stub.safetensors; too few to hold a header
        inspect claim.safetensors | 3 | claim.safetensors; 1152921504606846976
        inspect overlap.safetensors | 3 | overlap.safetensors; not a valid safetensors file
        inspect base/checkpoints/step-00000001/optimiser.safetensors | 3 | holds optimiser
        sample cut.safetensors --out x.png | 3 | cut.safetensors
        sample novel/tailors.safetensors --out x.png | 3 | holds tailor, expected model
        sample nan.safetensors --out x.png | 4 | nan.safetensors; `time.output.weight`; NaN
        sample base --class fase --out x.png | 2 | no class `fase`; face, flag, hand
        sample base --steps 0 --out x.png | 2 | zero steps
        assemble claim.safetensors --classes face --out x.safetensors | 3 | claim.safetensors
        assemble base --classes fase --out x.safetensors | 2 | did you mean `face`
        assemble base --classes face --tailors cut.safetensors --out x.safetensors | 3 | cut.safetensors
        assemble base --classes face --tailors nan.safetensors --out x.safetensors | 3 | holds ema, expected tailor
        assemble nan.safetensors --classes face --out nan.safetensors | 4 | NaN
        assemble base --classes face --out base/checkpoints/step-00000001/ema.safetensors | 2 | what the model is made from
        transfer cut.safetensors --data builtin:emoji --classes novel --out run | 3 | cut.safetensors
        transfer base --data builtin:emoji --classes novel --tailor-rank 99 --out run | 2 | rank split
        transfer base --data builtin:emoji --classes novel --out base | 3 | base; already holds a run
        transfer base --data builtin:emoji --classes novel --set model.heads=1 --out run | 2 | --set cannot change [model]
        transfer base --data builtin:emoji --classes novel --set train.trainable.tailors=0 --set train.trainable.labels=0 --out run | 2 | train.trainable; at least one above 0
        pretrain --data builtin:emoji --classes face --size dit-micro/4 --dense --out base | 3 | already holds a run; learngene resume
        resume empty-run | 3 | no complete checkpoint",
    );
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    (0..8).for_each(|i| write(root, &format!("real/a/{i}.png"), &png(4)));
    (0..8).for_each(|i| write(root, &format!("drawn/{i}.png"), &png(4)));
    (0..3).for_each(|i| write(root, &format!("three/{i}.png"), &png(4)));
    write(root, "one/1.png", &png(4));
    write(root, "cut/1.png", &png(4));
    write(root, "cut/2.png", &png(4)[..50]);
    write(root, "text.npz", b"a text in an archive's clothing");
    write(root, "weights.safetensors", b"no weights");
    let lite0 = include_bytes!("../../../assets/lite0/efficientnet-lite0-f16.safetensors");
    write(root, "lite0.safetensors", lite0);
    let empty = ImageArchive {
        height: 4,
        width: 4,
        channels: 3,
        ..ImageArchive::default()
    };
    empty.write(root.join("empty.npz")).unwrap();
    fs::create_dir_all(root.join("nothing")).unwrap();
    refused(
        root,
        "eval --real real | 2 | --generated
        eval --real real --generated drawn --metrics fod | 2 | fod; fd
        eval --real real --generated drawn --metrics sfid | 2 | sfid; --inception
        eval --real real --generated drawn --metrics fd,is | 2 | InceptionV3; --inception
        eval --real real --generated drawn --metrics probe | 2 | class of each generated image; arr_1
        eval --real drawn --generated drawn --metrics probe | 2 | classes and splits; SOURCE
        eval --real real --classes b --generated drawn | 2 | `b`
        eval --real drawn --classes a --generated drawn | 2 | drawn; no class names
        eval --real drawn:test --generated drawn | 2 | no splits
        eval --real nowhere --generated drawn | 3 | nowhere; no such file
        eval --real real --generated nowhere | 3 | nowhere; no such file
        eval --real real --generated nothing | 3 | nothing; holds no image
        eval --real real --generated cut | 3 | 2.png; replace the file
        eval --real real --generated text.npz | 3 | text.npz; no ZIP file; arr_0
        eval --real real --generated empty.npz | 3 | 0 images of the generated set; at least 2
        eval --real real --generated one | 3 | 1 images of the generated set; at least 2
        eval --real real --generated three --metrics prdc | 3 | 3 images of the generated set; at least 6
        eval --real real --generated drawn --inception none | 3 | none; No such file
        eval --real real --generated drawn --inception weights.safetensors | 3 | weights.safetensors; damaged
        eval --real real --generated drawn --inception lite0.safetensors | 3 | lite0.safetensors; missing; not InceptionV3",
    );
}
