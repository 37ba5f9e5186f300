//! What each verb prints and writes.

mod common;

use common::{contents, fails, json, pretrain, program, succeeds, transfer};
use learngene_data::image::encode_png;
use learngene_data::{Dataset, Image, LoadOptions, Split};
use learngene_formats::ImageArchive;
use std::fs;

#[test]
fn data_inspect_prints_a_table_or_one_document_and_draws_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let found = json(folder, &["data", "inspect", "builtin:emoji", "--json"]);
    assert_eq!(found["images"], 2368);
    assert_eq!(found["base"].as_array().unwrap().len(), 12);
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        0,
        "nothing is written unasked"
    );

    let text = succeeds(
        folder,
        &[
            "data",
            "inspect",
            "builtin:emoji",
            "--contact-sheet",
            "out/sheet.png",
        ],
    );
    let of = |name: &str| {
        text.lines()
            .find(|l| l.starts_with(name))
            .map(|l| l.split_whitespace().collect::<Vec<_>>())
    };
    let class = &found["classes"][0];
    let counts: Vec<String> = ["train", "val", "test"]
        .iter()
        .map(|s| class[s].to_string())
        .collect();
    assert_eq!(
        of("face").unwrap(),
        ["face", &counts[0], &counts[1], &counts[2], "base"]
    );
    assert_eq!(of("heart").unwrap()[4], "novel");
    for part in [
        "2368 images, 20 classes",
        "32x32x3 (2368)",
        "mean of each channel",
        "duplicates",
        "out/sheet.png",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    // 20 rows of 10 images of 32 pixels, labels and margins around them.
    let sheet = fs::read(folder.join("out/sheet.png")).unwrap();
    let side = |at: usize| u32::from_be_bytes(sheet[at..at + 4].try_into().unwrap());
    assert!(
        side(16) > 340 && side(20) > 680,
        "{}x{}",
        side(16),
        side(20)
    );
}

#[test]
fn inspect_tells_what_a_model_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "3"]);
    let text = succeeds(folder, &["inspect", "base"]);
    for part in [
        "model (moving average of its weights)",
        "3: face, flag, hand",
        "rank split 16,4",
        "3 of 3",
        "3x32x32 in patches of 4x4",
        "one tailor",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    let found = json(folder, &["inspect", "base", "--json"]);
    assert_eq!(found["step"], 3);
    assert!(text.contains(found["learngene_blake3"].as_str().unwrap()));
    // The parameters of one factorised matrix from 96 to 96 are N (96 + 96 + 1); of the MLP's, N (96 + 384 + 1).
    let per_component = 4 * (4 * 193 + 2 * 481);
    assert_eq!(found["cost"]["learngene"]["parameters"], 16 * per_component);
    assert_eq!(
        found["cost"]["tailors"]["parameters"],
        3 * 4 * per_component
    );
    // A checkpoint folder and the file itself name the same model.
    let step = "base/checkpoints/step-00000003";
    assert_eq!(json(folder, &["inspect", step, "--json"]), found);
    assert_eq!(
        json(
            folder,
            &["inspect", &format!("{step}/ema.safetensors"), "--json"]
        ),
        found
    );
}

#[test]
fn a_card_is_a_folder_with_the_model_and_what_to_know_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "3"]);
    let card = ["card", "base", "--count", "1", "--out", "shown/tiny"];
    let lacking = [&card[..], &["--data", "builtin:nothing"]].concat();
    fails(folder, &lacking, 3, &["builtin:nothing"]);
    assert!(!folder.join("shown").exists());
    let measured = [&card[..], &["--data", "builtin:emoji", "--license", "mit"]].concat();
    succeeds(folder, &measured);
    let text = fs::read_to_string(folder.join("shown/tiny/README.md")).unwrap();
    assert!(
        text.starts_with("---\nlibrary_name: learngene\nlicense: \"mit\"\n"),
        "{text}"
    );
    let compared = succeeds(
        folder,
        &[
            "assemble",
            "base",
            "--classes",
            "face,flag,hand",
            "--check",
            "--data",
            "builtin:emoji",
            "--out",
            "whole.safetensors",
        ],
    );
    let loss = compared.split("validation v loss ").nth(1).unwrap();
    for part in [
        "# tiny",
        "face, flag, hand",
        "learngene of 16 components",
        "![samples of every class](samples.png)",
        "| builtin:emoji, classes face,flag,hand |".trim_start_matches("| "),
        "| steps | 3 |",
        &format!("the v loss is {}", &loss[..6]),
        "without tailors",
        "Twemoji",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    let plan = json(folder, &["inspect", "base", "--json"]);
    let total = &plan["cost"]["total"];
    let row = format!(
        "| total | {} | {} | {} |",
        total["parameters"], total["macs"], total["bytes"]
    );
    assert!(text.contains(&row), "{text}");
    let png = fs::read(folder.join("shown/tiny/samples.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("shown/tiny/config.json")).unwrap()).unwrap();
    assert_eq!(config["run"]["model"], plan["model"]);
    let again = json(
        folder,
        &["inspect", "shown/tiny/model.safetensors", "--json"],
    );
    assert_eq!(again["learngene_blake3"], plan["learngene_blake3"]);
    fails(folder, &card, 2, &["shown/tiny", "holds something"]);
}

#[test]
fn plan_prints_one_document_with_the_published_size_of_dit_l_2() {
    let folder = tempfile::tempdir().unwrap();
    let line =
        "plan --size dit-l/2 --num-classes 1000 --input 4x32x32 --learn-sigma --dense --json";
    let plan = json(folder.path(), &line.split(' ').collect::<Vec<_>>());
    // DiT, arXiv 2212.09748, table 4 and its released models: DiT-L/2 has 458 M parameters and 80.7 GMAC.
    let parameters = plan["cost"]["total"]["parameters"].as_f64().unwrap();
    let macs = plan["cost"]["total"]["macs"].as_f64().unwrap();
    assert!((parameters / 1e6 - 458.0).abs() < 1.0, "{parameters}");
    assert!((macs / 1e9 - 80.7).abs() < 0.2, "{macs}");
}

#[test]
fn completions_and_help_name_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let verbs = [
        "quickstart",
        "data",
        "pretrain",
        "resume",
        "inspect",
        "assemble",
        "curve",
        "transfer",
        "merge",
        "factorise",
        "import",
        "export",
        "card",
        "sample",
        "eval",
        "compare",
        "plan",
    ];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeds(folder, &["completions", shell]);
        verbs
            .iter()
            .for_each(|verb| assert!(script.contains(verb), "{shell}: {verb}"));
    }
    let help = succeeds(folder, &["--help"]);
    assert!(help.contains("Exit codes") && help.contains("learngene quickstart"));
    for verb in verbs {
        assert!(help.contains(verb));
        let nested: &[&str] = if verb == "data" {
            &["data", "inspect"]
        } else {
            &[verb]
        };
        for flag in ["-h", "--help"] {
            let help = succeeds(folder, &[nested, &[flag]].concat());
            assert!(
                help.contains("Example") && help.contains(&format!("learngene {verb}")),
                "{verb}: {help}"
            );
        }
    }
}

#[test]
fn a_config_file_stands_for_options_which_win_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = "[data]\nsource = \"builtin:emoji\"\nclasses = \"face,flag\"\n\
                [train]\nsteps = 3\nper_class = 1\nnull = 1\nevaluate_every = 0\nseed = 4\nema = 0.9\n\
                [model]\nmlp_ratio = 2\n";
    fs::write(folder.join("small.toml"), text).unwrap();
    let line = "pretrain --config small.toml --size dit-micro/4 --rank-split 8,2 --seed 5 --set train.ema=0.8 --out a";
    // --size sets the ratio too, and an option wins.
    succeeds(folder, &line.split(' ').collect::<Vec<_>>());
    let saved = fs::read_to_string(folder.join("a/config.toml")).unwrap();
    let a: toml::Table = saved.parse().unwrap();
    let train = &a["train"];
    assert_eq!(train["steps"].as_integer(), Some(3));
    assert_eq!(
        (train["seed"].as_integer(), train["ema"].as_float()),
        (Some(5), Some(0.8))
    );
    assert_eq!(a["classes"].as_array().unwrap().len(), 2);
    assert_eq!(a["model"]["mlp_ratio"].as_integer(), Some(4));

    // The configuration that a run leaves makes the same run again, bit for bit, or one with more classes.
    succeeds(
        folder,
        &["pretrain", "--config", "a/config.toml", "--out", "b"],
    );
    let last = "checkpoints/step-00000003/model.safetensors";
    let read = |run: &str| fs::read(folder.join(run).join(last)).unwrap();
    assert!(read("a") == read("b"));
    // The default split fits no model this narrow: that of the file counts.
    let line = "pretrain --config a/config.toml --size dit-micro/4 --steps 1 --out d";
    succeeds(folder, &line.split(' ').collect::<Vec<_>>());
    succeeds(
        folder,
        &[
            "pretrain",
            "--config",
            "a/config.toml",
            "--classes",
            "face,flag,hand",
            "--dense",
            "--out",
            "c",
        ],
    );
    let c = json(folder, &["inspect", "c", "--json"]);
    assert_eq!(
        (&c["model"]["num_classes"], &c["model"]["tailor_rank"]),
        (&3.into(), &0.into())
    );
    assert_eq!(c["train"]["seed"], 5);
}

#[test]
fn results_go_to_standard_output_and_all_else_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let said = pretrain(folder, "base", &["--steps", "2", "--sample-every", "2"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("validation v loss") && lines[1] == "run folder: base",
        "{said}"
    );
    assert!(folder.join("base/samples/step-00000002.png").exists());
    // A reader that goes away early is no panic.
    let mut child = program(folder, &["plan", "--size", "dit-s/2"]);
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().code() != Some(101));
    // A transfer brings images to the size of the model.
    transfer(folder, "novel", &[]);
    fails(
        folder,
        &["transfer", "base", "--data", "builtin:emoji"],
        2,
        &["--out"],
    );
}

/// Half of the real test images as if they were generated, in an archive and as files: judged alike, and closer to the real
/// ones than flat colours are.
#[test]
fn generated_images_are_judged_and_features_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let selection = "face,flag,hand".parse().unwrap();
    let dataset = Dataset::load("builtin:emoji", &selection, &LoadOptions::default()).unwrap();
    let count = dataset.len(Split::Test) / 2;
    let images: Vec<Image> = (0..count)
        .map(|i| dataset.image(Split::Test, 2 * i).unwrap())
        .collect();
    let labels = (0..count).map(|i| dataset.class_of(Split::Test, 2 * i) as i64);
    let [channels, height, width] = dataset.shape();
    let archive = |images: &[Image], labels| ImageArchive {
        height,
        width,
        channels,
        pixels: images.iter().flat_map(|i| &i.pixels).copied().collect(),
        labels,
    };
    let labels = Some(labels.collect());
    archive(&images, labels)
        .write(folder.join("drawn.npz"))
        .unwrap();
    let flat = |i| {
        Image::filled(
            width as u32,
            height as u32,
            &[i as u8 * 5, 90, 200 - i as u8],
        )
    };
    let flat: Vec<Image> = (0..count).map(flat).collect();
    archive(&flat, None).write(folder.join("flat.npz")).unwrap();
    fs::create_dir(folder.join("files")).unwrap();
    for (i, image) in images.iter().enumerate() {
        fs::write(
            folder.join(format!("files/{i:04}.png")),
            encode_png(image).unwrap(),
        )
        .unwrap();
    }

    let call = |generated: &str, more: &[&str]| {
        let start = "eval --real builtin:emoji:test --classes face,flag,hand --resamples 20 --cache kept --json --generated";
        let args: Vec<&str> = start
            .split(' ')
            .chain([generated])
            .chain(more.iter().copied())
            .collect();
        json(folder, &args)
    };
    let found = call("drawn.npz", &["--metrics", "fd,kid,prdc,probe"]);
    let measures = found["measures"].as_array().unwrap();
    let names: Vec<&str> = measures
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    let expected = "FD KID precision recall density coverage probe_accuracy";
    let expected: Vec<String> = expected
        .split(' ')
        .map(|n| format!("{}-Lite0", n.replace('_', " ")))
        .collect();
    assert_eq!(names[..7], expected);
    assert_eq!(names[7..], ["probe accuracy-Lite0, real test images"]);
    for measure in &measures[..6] {
        assert_eq!(measure["real"], dataset.len(Split::Test));
        assert_eq!(measure["generated"], count);
        let [low, high] = ["low", "high"].map(|end| measure["interval"][end].as_f64().unwrap());
        let value = measure["value"].as_f64().unwrap();
        assert!(low <= value && value <= high, "{measure}");
    }
    assert_eq!(
        measures[0]["caveats"][0]["kind"],
        "fewer_images_than_features"
    );
    // Every generated image is a real one.
    assert_eq!(measures[2]["value"], 1.0);
    assert!(
        measures[6]["value"].as_f64().unwrap() > 0.7,
        "{}",
        measures[6]
    );

    let distance = |found: &serde_json::Value| found["measures"][0]["value"].as_f64().unwrap();
    let kept = contents(&folder.join("kept"));
    assert_eq!(kept.len(), 4, "drawn, and three splits");
    let again = call("files", &["--metrics", "fd,kid,prdc"]);
    assert_eq!(again["measures"].as_array().unwrap()[..], measures[..6]);
    assert!(
        contents(&folder.join("kept")) == kept,
        "the same images have the same features"
    );
    let flat = call("flat.npz", &["--metrics", "fd"]);
    assert!(distance(&flat) > 3.0 * distance(&found), "{flat}");

    let args = "eval --real builtin:emoji:test --classes face,flag,hand --generated files --cache kept --metrics fd";
    let text = succeeds(folder, &args.split(' ').collect::<Vec<_>>());
    for part in [
        "FD-Lite0",
        "95 % interval",
        "images for 1280 features",
        "bicubic 224",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
