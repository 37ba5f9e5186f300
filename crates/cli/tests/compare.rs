//! `compare`: from a file to tables, through a kill, and what is refused or marked.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{fails, program, run, stderr, succeeds};
use learngene_data::{Image, image::encode_png};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Two methods, two rates, two seeds.
const WANTED: &str = r#"
seeds = [0, 1]
steps = 6

[data]
source = "builtin:emoji"
classes = "heart,bird"

[base]
kind = "runs/kind-{seed}"
dense = "runs/dense-{seed}"

[sweep]
factors = [1.0, 3.0]

[judge]
repeats = 1
images = 2
steps = 2

[train]
log_every = 1
ema = 0.5
warmup = 0

[[row]]
name = "KIND"
base = "kind"
method = "kind"

[[row]]
name = "LoRA, rank 2"
base = "dense"
method = "lora"
settings = { rank = 2 }
"#;

/// What a finished comparison writes.
const FILES: [&str; 6] = [
    "table.csv",
    "classes.csv",
    "seeds.csv",
    "table.tex",
    "results.json",
    "report.html",
];

/// Small bases of both kinds for these seeds.
fn bases(folder: &Path, seeds: &[u64]) {
    for seed in seeds {
        for (name, how) in [("kind", "--rank-split 16,4"), ("dense", "--dense")] {
            let args = format!(
                "pretrain --data builtin:emoji --classes face,flag,hand --size dit-micro/4 {how} --steps 8 --lr 1e-2 \
                 --seed {seed} --set train.warmup=0 --set train.ema=0.5 --set train.per_class=1 --set train.null=1 \
                 --set train.evaluate_every=0 --out runs/{name}-{seed}"
            );
            succeeds(
                folder,
                &args
                    .split(' ')
                    .filter(|a| !a.is_empty())
                    .collect::<Vec<_>>(),
            );
        }
    }
}

fn compare(folder: &Path, out: &str, wanted: &str) -> Value {
    fs::write(folder.join("wanted.toml"), wanted).unwrap();
    let text = succeeds(folder, &["compare", "wanted.toml", "--out", out, "--json"]);
    let mut document: Value = serde_json::from_str(&text).unwrap();
    // The paths of what was written are those of the folder.
    let wrote = document.as_object_mut().unwrap().remove("wrote").unwrap();
    let wrote = wrote.as_array().unwrap().iter();
    let wrote: Vec<PathBuf> = wrote.map(|path| path.as_str().unwrap().into()).collect();
    assert_eq!(wrote.len(), FILES.len(), "{wrote:?}");
    assert!(wrote.iter().all(|path| path.starts_with(out)), "{wrote:?}");
    document
}

fn files(folder: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let read = |name| (name, fs::read(folder.join(name)).unwrap());
    FILES.map(read).into()
}

/// The same without wall times.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.remove("seconds");
            map.values_mut().for_each(|v| *v = timeless(v.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| *v = timeless(v.take())),
        _ => {}
    }
    value
}

/// Every `training.json` and `result.json` below a folder.
fn kept(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for cell in fs::read_dir(out.join("cells")).unwrap() {
        let cell = cell.unwrap().path();
        for name in ["training.json", "result.json"] {
            if let Ok(bytes) = fs::read(cell.join(name)) {
                found.insert(format!("{}/{name}", cell.display()), bytes);
            }
        }
    }
    found
}

#[test]
fn a_comparison_is_the_same_whole_killed_or_called_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bases(folder, &[0, 1]);
    let whole = compare(folder, "whole", WANTED);

    // Called again, nothing is made anew and every file has the same bytes.
    let (before, cells) = (files(&folder.join("whole")), kept(&folder.join("whole")));
    let again = run(folder, &["compare", "wanted.toml", "--out", "whole"]);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(stderr(&again), "", "nothing was left to do");
    assert!(before == files(&folder.join("whole")));
    assert!(cells == kept(&folder.join("whole")));

    // Features are kept by content and spare time here; cells are made anew.
    let features = |out: &str| folder.join(out).join("features");
    fs::create_dir_all(features("killed")).unwrap();
    for file in fs::read_dir(features("whole")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), features("killed").join(file.file_name())).unwrap();
    }

    // Killed in the middle, it goes on without losing a finished cell and ends with the same numbers.
    let mut killed = program(folder, &["compare", "wanted.toml", "--out", "killed"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(killed.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("7/")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let done = kept(&folder.join("killed"));
    assert!(done.len() >= 4, "{done:?}");
    let after = compare(folder, "killed", WANTED);
    let all = kept(&folder.join("killed"));
    assert!(done.iter().all(|(name, bytes)| all[name] == *bytes));
    assert_eq!(timeless(after), timeless(whole.clone()));
    let classes = |out: &str| fs::read(folder.join(out).join("classes.csv")).unwrap();
    assert!(classes("whole") == classes("killed"));

    // Each line of the table is there, with the numbers of its cells.
    let rows = whole["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "KIND",
            "LoRA, rank 2",
            "dense, not adapted",
            "kind, not adapted"
        ]
    );
    let csv = String::from_utf8(before["table.csv"].clone()).unwrap();
    let line = csv.lines().nth(1).unwrap();
    assert!(
        line.contains(&format!(",{},", rows[0]["velocity"]["mean"])),
        "{line}"
    );
    for part in [
        "compare at equal numbers of images only",
        "coverage: not measured, for 6 generated images are needed and there are 4",
    ] {
        assert!(line.contains(part), "{line}");
    }
    // Two tailors and the one they share, of rank 4 in 4 blocks, and 3 label rows of 96.
    let tailors = 3 * 4 * 4 * (4 * (96 + 96 + 1) + 2 * (96 + 384 + 1)) + 3 * 96;
    assert_eq!(rows[0]["cost"]["trained_parameters"], tailors);
    let file = |cell: &str| {
        let cells = fs::read_dir(folder.join("whole/cells")).unwrap();
        let named = cells
            .map(|c| c.unwrap().path())
            .find(|c| c.to_str().unwrap().contains(cell));
        named.unwrap()
    };
    let chosen = if whole["sweep"][0]["chosen"] == true {
        1
    } else {
        3
    };
    let cell = file(&format!("kind-seed1-lr{chosen}-"));
    let shipped = fs::metadata(cell.join("tailors.safetensors"))
        .unwrap()
        .len();
    assert_eq!(rows[0]["cost"]["ship_bytes"], shipped);
    let value = |seed: u64| -> f64 {
        let cell = file(&format!("kind-seed{seed}-lr{chosen}-"));
        let text = fs::read(cell.join("result.json")).unwrap();
        let result: Value = serde_json::from_slice(&text).unwrap();
        result["losses"]["velocity"].as_f64().unwrap()
    };
    let (a, b) = (value(0), value(1));
    assert_ne!(a, b);
    let by_seed = String::from_utf8(before["seeds.csv"].clone()).unwrap();
    for (seed, value) in [(0, a), (1, b)] {
        let line = format!("KIND,0,{seed},v_loss,,{value},,");
        assert!(by_seed.lines().any(|l| l == line), "{line}");
    }
    let stat = &rows[0]["velocity"];
    assert!((stat["mean"].as_f64().unwrap() - (a + b) / 2.0).abs() < 1e-12);
    // LoRA beside KIND: each seed's losses, and the mean of both rises.
    assert!(rows[0]["against"].is_null());
    let against = &rows[1]["against"];
    assert_eq!(against["row"], "KIND");
    let rises: Vec<f64> = [0, 1]
        .map(|i| {
            let losses =
                [0, 1].map(|row: usize| rows[row]["by_seed"][i]["velocity"].as_f64().unwrap());
            let percent = 100.0 * (losses[1] / losses[0] - 1.0);
            let rise = &against["by_seed"][i];
            assert!(
                (rise["percent"].as_f64().unwrap() - percent).abs() < 1e-9,
                "{rise}"
            );
            let ends = ["low", "high"].map(|end| rise["interval"][end].as_f64().unwrap());
            assert!(ends[0] <= percent && percent <= ends[1], "{rise}");
            percent
        })
        .to_vec();
    let mean = against["percent"]["mean"].as_f64().unwrap();
    assert!((mean - (rises[0] + rises[1]) / 2.0).abs() < 1e-9);
    // The deviation of two values is their distance over the root of two.
    assert!((stat["sd"].as_f64().unwrap() - (a - b).abs() / 2f64.sqrt()).abs() < 1e-12);
    let page = String::from_utf8(before["report.html"].clone()).unwrap();
    for part in [
        "LoRA, rank 2",
        "caveat: every row: FD-Lite0",
        "12 by KIND, 18 by LoRA, rank 2",
        "column by column",
        "above that of KIND, with 95 % over the images",
        "data:image/png",
        "<svg",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let tex = String::from_utf8(before["table.tex"].clone()).unwrap();
    assert!(tex.contains("\\toprule") && tex.contains("KIND & 2 & ") && tex.contains("$\\pm$"));
}

/// The cell's images are judged once in the comparison and once by hand.
#[test]
fn what_a_cell_is_worth_is_what_eval_finds_of_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bases(folder, &[0]);
    let wanted = on("builtin:emoji")
        .replace("\"all\"", "\"heart,bird\"")
        .replace("[1.0, 3.0]", "[1.0]")
        .replace("images = 2", "images = 4\nguidance = [1.0]\nresamples = 10");
    let found = compare(folder, "out", &wanted);
    let drawn = &found["rows"][0]["by_seed"][0]["drawn"][0];
    let cells = fs::read_dir(folder.join("out/cells")).unwrap();
    let mut cells = cells.map(|cell| cell.unwrap().path());
    let cell = cells.find(|c| c.to_str().unwrap().contains("/kind-seed0"));
    let archive = cell.unwrap().join("drawn/guidance-1.npz");
    let line = format!(
        "eval --real builtin:emoji:train --classes heart,bird --generated {} --metrics fd,kid,prdc,probe --resamples 10 --json",
        archive.display()
    );
    let text = succeeds(folder, &line.split(' ').collect::<Vec<_>>());
    let eval: Value = serde_json::from_str(&text).unwrap();
    let measures = eval["measures"].as_array().unwrap();
    let (probe, others) = measures.split_at(6).1.split_first().unwrap();
    assert_eq!(probe["name"], "probe accuracy-Lite0");
    assert_eq!(probe["value"], drawn["probe"]["rate"]);
    assert_eq!(
        others[0]["value"],
        found["real"]["probe"]["overall"]["rate"]
    );
    let names: Vec<&Value> = measures[..6].iter().map(|m| &m["name"]).collect();
    assert_eq!(
        names,
        [
            "FD-Lite0",
            "KID-Lite0",
            "precision-Lite0",
            "recall-Lite0",
            "density-Lite0",
            "coverage-Lite0"
        ]
    );
    let close =
        |a: &Value, b: &Value| (a.as_f64().unwrap() / b.as_f64().unwrap() - 1.0).abs() < 1e-6;
    for (here, there) in drawn["measures"].as_array().unwrap().iter().zip(measures) {
        assert_eq!(here["name"], there["name"]);
        let same = |a: &Value, b: &Value| *a == *b || close(a, b);
        assert!(same(&here["value"], &there["value"]), "{here} {there}");
        for end in ["low", "high"] {
            let [a, b] = [here, there].map(|m| &m["interval"][end]);
            assert!(a.is_number() && same(a, b), "{here} {there}");
        }
    }
    // One seed: the table has the intervals instead of a deviation.
    let text = succeeds(folder, &["compare", "wanted.toml", "--out", "out"]);
    let lines = text.lines().filter(|l| l.starts_with("KIND "));
    let intervals: Vec<usize> = lines.map(|l| l.matches(" to ").count()).collect();
    assert_eq!(intervals, [0, 3, 4, 0], "{text}");

    let unknown = format!("against = \"Lora\"\n{wanted}");
    fs::write(folder.join("unknown.toml"), unknown).unwrap();
    let text = stderr(&run(folder, &["compare", "unknown.toml", "--out", "out"]));
    assert!(
        text.contains("`against` is `Lora`, which no row is called; rows are KIND"),
        "{text}"
    );
    let missing = wanted.replace("[judge]", "[judge]\ninception = \"none.safetensors\"");
    fs::write(folder.join("missing.toml"), missing).unwrap();
    let failed = run(folder, &["compare", "missing.toml", "--out", "out"]);
    let text = stderr(&failed);
    assert!(text.contains("none.safetensors"), "{text}");
}

/// Writes a folder of two classes with these numbers of training, validation and test images; `shade` changes the test
/// images alone.
fn pictures(folder: &Path, counts: [[u32; 3]; 2], shade: u8) {
    for (class, counts) in ["dark", "light"].iter().zip(counts) {
        for (split, count) in ["train", "val", "test"].iter().zip(counts) {
            let place = folder.join(split).join(class);
            fs::create_dir_all(&place).unwrap();
            for i in 0..count {
                let base = if *class == "dark" { 20 } else { 180 } + 9 * i;
                let shade = if *split == "test" { shade } else { 0 };
                let pixel = |k: usize| {
                    (base as u8)
                        .wrapping_add((k % 37) as u8)
                        .wrapping_add(shade)
                };
                let image = Image {
                    width: 32,
                    height: 32,
                    channels: 3,
                    pixels: (0..32 * 32 * 3).map(pixel).collect(),
                };
                fs::write(place.join(format!("{i}.png")), encode_png(&image).unwrap()).unwrap();
            }
        }
    }
}

/// One row on one seed over a folder of pictures.
fn on(pictures: &str) -> String {
    let row = WANTED.find("[[row]]\nname = \"LoRA").unwrap();
    WANTED[..row]
        .replace("builtin:emoji", pictures)
        .replace("heart,bird", "all")
        .replace("seeds = [0, 1]", "seeds = [0]")
}

#[test]
fn the_sweep_takes_the_lowest_validation_loss_and_never_looks_at_test_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bases(folder, &[0]);
    let found = [("a", 0), ("b", 30)].map(|(name, shade)| {
        pictures(&folder.join(name), [[4, 3, 3]; 2], shade);
        let found = compare(folder, &format!("out-{name}"), &on(name));
        let judged = |cell: &Path| cell.join("result.json").exists();
        let cells = fs::read_dir(folder.join(format!("out-{name}/cells"))).unwrap();
        let mut cells: Vec<_> = cells.map(|c| c.unwrap().path()).collect();
        cells.retain(|c| c.to_str().unwrap().contains("/kind-seed0"));
        assert_eq!(cells.len(), 2, "a cell for each rate");
        let chosen: Vec<_> = cells.iter().filter(|c| judged(c)).collect();
        assert_eq!(chosen.len(), 1, "only one saw test images");
        let other = cells.iter().find(|c| !judged(c)).unwrap();
        assert!(!other.join("drawn").exists() && !other.join("checkpoints").exists());
        assert!(other.join("training.json").exists());
        found
    });
    let points = found[0]["sweep"].as_array().unwrap();
    let loss = |p: &Value| p["validation"]["mean"].as_f64().unwrap();
    let lowest = points
        .iter()
        .min_by(|a, b| loss(a).total_cmp(&loss(b)))
        .unwrap();
    assert_ne!(loss(&points[0]), loss(&points[1]));
    assert_eq!(lowest["chosen"], true);
    assert_eq!(found[0]["rows"][0]["cost"]["factor"], lowest["factor"]);
    // Other test images change the result and nothing that it was chosen by.
    assert_eq!(found[0]["sweep"], found[1]["sweep"]);
    assert_ne!(
        found[0]["rows"][0]["velocity"],
        found[1]["rows"][0]["velocity"]
    );
}

#[test]
fn what_cannot_be_compared_is_refused_before_training_or_marked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bases(folder, &[0]);
    let good = on("builtin:emoji").replace("classes = \"all\"", "classes = \"heart,bird\"");
    let refused = |wanted: &str, code: i32, parts: &[&str]| {
        fs::write(folder.join("bad.toml"), wanted).unwrap();
        fails(
            folder,
            &["compare", "bad.toml", "--out", "bad"],
            code,
            parts,
        );
        assert!(!folder.join("bad/cells").exists(), "{parts:?}");
    };
    refused("seeds = [0", 2, &["bad.toml"]);
    refused(
        &good.replace("steps = 6", "stpes = 6"),
        2,
        &["`stpes`", "did you mean `steps`"],
    );
    refused(
        &good.replace("images = 2", "images = 0"),
        2,
        &["`judge.images`", "samples"],
    );
    refused(
        &good.replace("heart,bird", "heart,unicorn"),
        2,
        &["unicorn"],
    );
    refused(
        &good.replace("method = \"kind\"", "method = \"gated-tailors\""),
        2,
        &["row `KIND`", "`gated-tailors` needs a dense base"],
    );
    refused(
        &good.replace("base = \"kind\"", "base = \"dense\""),
        2,
        &[
            "row `KIND`",
            "`kind` needs a factorised base",
            "gated-tailors",
        ],
    );
    let wide = "method = \"lora\"\nsettings = { rank = 97 }";
    refused(
        &good.replace("method = \"kind\"", wide),
        2,
        &["row `KIND`", "at most 96"],
    );
    let unknown = "method = \"kind\"\ntrain = { emma = 0.5 }";
    refused(
        &good.replace("method = \"kind\"", unknown),
        2,
        &["row `KIND`", "`emma`", "`ema`"],
    );
    refused(
        &good.replace("seeds = [0]", "seeds = [5]"),
        3,
        &["runs/kind-5"],
    );

    // One image of each class trains and leaves nothing to choose or measure by.
    pictures(&folder.join("single"), [[1, 0, 0]; 2], 0);
    refused(&on("single"), 3, &["no val images", "more images"]);
    pictures(&folder.join("untested"), [[2, 2, 0]; 2], 0);
    refused(&on("untested"), 3, &["no test images"]);

    // A base whose training was not finished.
    let args = "pretrain --data builtin:emoji --classes face,flag --size dit-micro/4 --rank-split 16,4 --steps 2 \
                --checkpoint-every 1 --set train.keep_last=9 --set train.evaluate_every=0 --out runs/half";
    succeeds(folder, &args.split_whitespace().collect::<Vec<_>>());
    fs::remove_dir_all(folder.join("runs/half/checkpoints/step-00000002")).unwrap();
    let half = good.replace("runs/kind-{seed}", "runs/half");
    refused(&half, 3, &["step 1 of 2", "learngene resume runs/half"]);

    // Marked and not refused: a class without test images, a rate at which it diverges, a class the base knows.
    pictures(&folder.join("lacking"), [[2, 2, 2], [2, 2, 0]], 0);
    let wild = on("lacking").replace("[1.0, 3.0]", "[1e30]");
    let found = compare(folder, "marked", &wild);
    let general = found["caveats"].to_string();
    assert!(
        general.contains("no test images of light: losses leave them out"),
        "{general}"
    );
    let row = &found["rows"][0];
    assert!(
        row["velocity"].is_null() && row["cost"].is_null() && row["drawn"] == Value::Array(vec![])
    );
    let caveats = row["caveats"].to_string();
    assert!(caveats.contains("seed 0 diverged at step"), "{caveats}");
    let text = succeeds(folder, &["compare", "wanted.toml", "--out", "marked"]);
    assert!(
        text.contains("0 of 1") && text.contains("caveat: KIND: seed 0 diverged"),
        "{text}"
    );
    let known = good
        .replace("heart,bird", "heart,face")
        .replace("[1.0, 3.0]", "[1.0]");
    let known = compare(
        folder,
        "known",
        &known.replace("\nsteps = 6", "\nsteps = 2\nimages_per_class = [1, 0]"),
    );
    let general = known["caveats"].to_string();
    assert!(
        general.contains("base `kind` was pre-trained on face already"),
        "{general}"
    );
    assert!(known["sweep"].as_array().unwrap().is_empty());

    // A row for one image of each class and one for all, which learn different things.
    let rows = known["rows"].as_array().unwrap();
    let budgets: Vec<_> = rows
        .iter()
        .map(|r| r["images_per_class"].as_u64())
        .collect();
    assert_eq!(budgets, [Some(1), Some(0), Some(0)]);
    assert_ne!(rows[0]["velocity"], rows[1]["velocity"]);
    let mut cells = fs::read_dir(folder.join("known/cells")).unwrap();
    let few = cells.find_map(|c| {
        Some(c.unwrap().path()).filter(|c| c.to_str().unwrap().contains("-images1-"))
    });
    let config = fs::read_to_string(few.unwrap().join("config.toml")).unwrap();
    assert!(
        config.contains("[data.images_per_class]\ntrain = 1\n"),
        "{config}"
    );
}
