//! Gates that list several tailors: blends of classes, and superclasses from training to files.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{fails, json, pretrain, succeeds, transfer};
use learngene_data::Image;
use learngene_data::image::encode_png;
use learngene_formats::ImageArchive;
use std::fs;
use std::path::Path;

/// Enough to make images of different tailors differ.
const TRAINED: &[&str] = &["--steps", "12", "--lr", "1e-2", "--set", "train.warmup=0"];

const TREE: &str = "figure = ['face', 'hand', 'heart']\nsign = ['flag']\nanimal = ['bird']\n";

/// The pixels of two images, with guidance.
fn draw(folder: &Path, model: &str, what: &[&str]) -> ImageArchive {
    let how = "--count 2 --steps 4 --cfg 2 --seed 5 --npz drawn.npz";
    let how: Vec<&str> = how.split(' ').collect();
    succeeds(folder, &[&["sample", model], what, &how[..]].concat());
    ImageArchive::read(folder.join("drawn.npz")).unwrap()
}

#[test]
fn a_blend_of_one_class_is_that_class_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "run", TRAINED);
    let face = draw(folder, "run", &["--class", "face"]);
    let flag = draw(folder, "run", &["--class", "flag"]);
    let alone = draw(folder, "run", &["--blend", "face=1"]);
    assert_eq!(alone.pixels, face.pixels);
    assert!(alone.labels.is_none() && face.labels.is_some());
    let padded = draw(folder, "run", &["--blend", "flag=0, face=1.0"]);
    assert_eq!(padded.pixels, face.pixels);
    // The label of half a class is the class's; its tailor is half on.
    let half = draw(folder, "run", &["--blend", "face=0.5"]);
    let both = draw(folder, "run", &["--blend", "face=0.5,flag=0.5"]);
    for other in [&face, &flag, &half] {
        assert_ne!(other.pixels, both.pixels);
    }
    assert_ne!(half.pixels, face.pixels);
    // A row each, whatever else is drawn.
    let rows = draw(
        folder,
        "run",
        &["--blend", "face=0.5,flag=0.5", "--blend", "face=1"],
    );
    assert_eq!(rows.pixels, [both.pixels, face.pixels].concat());

    let refused = |blend: &str, parts: &[&str]| {
        let args = ["sample", "run", "--blend", blend, "--out", "x.png"];
        fails(folder, &args, 2, parts);
    };
    refused(
        "face=0.5,falg=0.5",
        &["no class `falg`", "did you mean `flag`"],
    );
    refused("face", &["`face`", "face=0.5"]);
    refused("face=much", &["`face=much`", "weight"]);
    refused("face=-1", &["weights of 0 or more", "-1"]);
    refused("face=inf", &["finite weights", "inf"]);
    refused("face=0", &["a weight above 0"]);
    refused("face=1,face=2", &["each class once"]);
    let both = ["--class", "face", "--blend", "face=1", "--out", "x.png"];
    fails(
        folder,
        &[&["sample", "run"], &both[..]].concat(),
        2,
        &["--blend"],
    );
    let unknown = ["sample", "run", "--class", "falg", "--out", "x.png"];
    fails(folder, &unknown, 2, &["did you mean `flag`"]);
    assert!(!folder.join("x.png").exists());
}

#[test]
fn superclasses_go_from_training_through_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("tree.toml"), TREE).unwrap();
    let tree = ["--class-tree", "tree.toml"];
    pretrain(folder, "base", &[TRAINED, &tree].concat());

    let base = json(folder, &["inspect", "base", "--json"]);
    let expected = serde_json::json!([
        {"name": "figure", "classes": [0, 2]}, {"name": "sign", "classes": [1]}
    ]);
    assert_eq!(base["model"]["superclasses"], expected);
    assert_eq!(base["model"]["groups"], 5);
    let tailor = base["cost"]["tailor"]["macs"].as_u64().unwrap();
    assert_eq!(base["cost"]["tailors"]["macs"], 2 * tailor);
    let said = succeeds(folder, &["inspect", "base"]);
    assert!(
        said.contains("2: figure (face, hand), sign (flag)"),
        "{said}"
    );
    assert!(said.contains("all tailors (2 run)"), "{said}");
    draw(folder, "base", &["--blend", "face=0.5,flag=0.5"]);

    // A run starts again from its configuration alone, with other classes only with a tree.
    let again = "pretrain --config base/config.toml --steps 1 --out again";
    let again: Vec<&str> = again.split(' ').collect();
    succeeds(folder, &again);
    let model = |name: &str| json(folder, &["inspect", name, "--json"])["model"].clone();
    assert_eq!(model("again"), model("base"));
    let others = "pretrain --config base/config.toml --classes flag,bird --out other";
    let others: Vec<&str> = others.split(' ').collect();
    fails(folder, &others, 2, &["superclasses", "--class-tree"]);
    succeeds(folder, &[&others[..], &["--steps", "1"], &tree].concat());
    assert_eq!(model("other")["superclasses"][1]["name"], "animal");

    // Images follow their class into a smaller model, and new classes into one with old ones.
    let assemble = |classes: &str, more: &[&str], out: &str| {
        let args = ["assemble", "base", "--classes", classes, "--out", out];
        succeeds(folder, &[&args[..], more].concat())
    };
    assemble("hand,flag", &[], "two.safetensors");
    assert_eq!(
        model("two.safetensors")["superclasses"][0]["classes"],
        serde_json::json!([0])
    );
    for class in ["hand", "flag"] {
        let of = |model| draw(folder, model, &["--class", class]).pixels;
        assert!(of("base") == of("two.safetensors"), "{class}");
    }
    transfer(folder, "novel", &tree);
    let tailors = ["--tailors", "novel/tailors.safetensors"];
    assemble("face,heart,bird", &tailors, "joined.safetensors");
    for (run, class) in [("base", "face"), ("novel", "heart"), ("novel", "bird")] {
        let of = |model| draw(folder, model, &["--class", class]).pixels;
        assert!(of(run) == of("joined.safetensors"), "{class}");
    }
    // Half of each of two classes of one superclass is all of the superclass.
    draw(folder, "base", &["--blend", "face=0.5,hand=0.5"]);
}

#[test]
fn trees_that_fit_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("tree.toml"), TREE).unwrap();
    fs::write(folder.join("typo.toml"), TREE.replace("flag", "flagg")).unwrap();
    fs::write(folder.join("twice.toml"), format!("{TREE}other = ['face']")).unwrap();
    fs::write(folder.join("flat.toml"), "face = 'figure'").unwrap();
    let start = "pretrain --data builtin:emoji --classes face,flag --size dit-micro/4 --out run";
    let start: Vec<&str> = start.split(' ').collect();
    let refused = |more: &str, code: i32, parts: &[&str]| {
        let more: Vec<&str> = more.split(' ').collect();
        fails(folder, &[&start[..], &more].concat(), code, parts);
        assert!(!folder.join("run").exists());
    };
    let split = "--rank-split 8,2 --class-tree";
    refused(
        &format!("{split} typo.toml"),
        2,
        &["`flag` is in no superclass", "`flagg`"],
    );
    refused(
        &format!("{split} twice.toml"),
        2,
        &["`face` stands there twice"],
    );
    refused(&format!("{split} flat.toml"), 2, &["`face` must be a list"]);
    refused(&format!("{split} none.toml"), 3, &["none.toml"]);
    refused("--dense --class-tree tree.toml", 2, &["--class-tree"]);
    refused(
        "--rank-split 80,16 --class-tree tree.toml",
        2,
        &["active rank 112", "2 N_T"],
    );
    refused(
        "--rank-split 8,0 --class-tree tree.toml",
        2,
        &["superclasses", "tailor"],
    );
    refused(
        "--rank-split 8,2 --set train.gate_dropout=1.5",
        2,
        &["gate_dropout", "0 to 1"],
    );
    refused(
        "--rank-split 8,2 --set train.hide_label=-1",
        2,
        &["hide_label", "0 to 1"],
    );
    refused(
        "--rank-split 8,2 --set train.null_pressure=-1",
        2,
        &["null_pressure", "a positive weight"],
    );
    refused(
        "--rank-split 8,0 --set train.null_pressure=1",
        2,
        &["without tailors", "--rank-split"],
    );

    let plan = "plan --size dit-micro/4 --rank-split 8,2 --class-tree tree.toml --json";
    let plan = json(folder, &plan.split(' ').collect::<Vec<_>>());
    assert_eq!(plan["model"]["num_classes"], 5);
    assert_eq!(plan["model"]["groups"], 8);
    let both = "plan --size dit-micro/4 --rank-split 8,2 --class-tree tree.toml --num-classes 5";
    fails(
        folder,
        &both.split(' ').collect::<Vec<_>>(),
        2,
        &["--class-tree"],
    );
}

/// Lines of WordNet's form, cut down to what the classes of a small data set need.
const NOUNS: &str = "  1 a licence
00000001 03 n 01 thing 0 000 | all there is
00000002 05 n 02 animal 0 beast 0 001 @ 00000001 n 0000 | moves
00000003 05 n 01 dog 0 001 @ 00000002 n 0000 | barks
00000004 05 n 01 cat 0 001 @ 00000002 n 0000 | does not
00000005 06 n 01 car 0 001 @ 00000001 n 0000 | honks
";

#[test]
fn a_tree_comes_from_wordnet() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = Image::filled(8, 8, &[5, 90, 200]);
    for class in ["n00000003", "n00000004", "n00000005"] {
        fs::create_dir_all(folder.join("photos").join(class)).unwrap();
        let png = encode_png(&pixels).unwrap();
        fs::write(folder.join("photos").join(class).join("1.png"), png).unwrap();
    }
    fs::write(folder.join("data.noun"), NOUNS).unwrap();
    let tree = "data tree photos --wordnet data.noun --depth 1 --out tree.toml";
    let said = succeeds(folder, &tree.split(' ').collect::<Vec<_>>());
    assert!(said.contains("animal-n00000002"), "{said}");
    let text = fs::read_to_string(folder.join("tree.toml")).unwrap();
    assert!(
        text.contains("animal-n00000002 = [\"n00000003\", \"n00000004\"]"),
        "{text}"
    );

    let train = "pretrain --data photos --size dit-micro/4 --rank-split 8,2 --class-tree tree.toml \
                 --steps 1 --set train.per_class=1 --out run";
    succeeds(folder, &train.split_whitespace().collect::<Vec<_>>());
    let model = json(folder, &["inspect", "run", "--json"])["model"].clone();
    assert_eq!(
        model["superclasses"][0]["classes"],
        serde_json::json!([0, 1])
    );

    let other = "data tree builtin:emoji --wordnet data.noun --out other.toml";
    let other: Vec<&str> = other.split(' ').collect();
    fails(folder, &other, 2, &["such as n02084071"]);
    let wrong = "data tree photos --wordnet tree.toml --out other.toml";
    let wrong: Vec<&str> = wrong.split(' ').collect();
    fails(folder, &wrong, 3, &["tree.toml", "data.noun", "line 1"]);
    assert!(!folder.join("other.toml").exists());
}
