//! Assembly under a budget, the curve and the diversion report, on a model of a few steps.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{contents, fails, json, pretrain, succeeds};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn total(folder: &Path, model: &str, what: &str) -> u64 {
    let inspected = json(folder, &["inspect", model, "--json"]);
    inspected["cost"]["total"][what].as_u64().unwrap()
}

#[test]
fn budgets_are_kept_measured_and_refused_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(
        folder,
        "base",
        &words("--steps 8 --lr 1e-2 --set train.warmup=0"),
    );

    let pretrain_dense = |name: &str, classes: &str| {
        let line = format!(
            "pretrain --data builtin:emoji --classes {classes} --size dit-micro/4 --dense --steps 1 \
             --set train.per_class=1 --set train.evaluate_every=0 --out {name}"
        );
        succeeds(folder, &words(&line));
    };
    pretrain_dense("alone", "face,flag,hand");
    let curve = words("curve base --data builtin:emoji --points 4");
    let more = words("--beside alone --beside base --json --out curve.html");
    let measured = json(folder, &[&curve[..], &more].concat());
    let points = measured["points"].as_array().unwrap();
    let of = |key: &str| {
        points
            .iter()
            .map(|p| p[key].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("components"), [4, 8, 12, 16]);
    assert!(of("bytes").is_sorted() && of("macs").is_sorted());
    assert_eq!(
        *of("parameters").last().unwrap(),
        total(folder, "base", "parameters")
    );
    let exact = serde_json::json!({ "percent": 0.0, "interval": { "low": 0.0, "high": 0.0 } });
    assert_eq!(points[3]["above_whole"], exact);
    assert_ne!(points[0]["velocity"], points[3]["velocity"]);
    let rise = |p: &Value, key: &str| p["above_whole"]["interval"][key].as_f64().unwrap();
    let percent = points[0]["above_whole"]["percent"].as_f64().unwrap();
    assert!(rise(&points[0], "low") < percent && percent < rise(&points[0], "high"));
    // Another model, and the same one again, on the same draws.
    let [alone, again] = [0, 1].map(|i| &measured["beside"][i]);
    assert_eq!(
        (&alone["model"], &again["model"]),
        (&"alone".into(), &"base".into())
    );
    assert_eq!(again["velocity"], points[3]["velocity"]);
    assert_ne!(alone["velocity"], points[3]["velocity"]);
    assert_eq!(alone["parameters"], total(folder, "alone", "parameters"));
    let page = fs::read_to_string(folder.join("curve.html")).unwrap();
    for part in ["<svg", "million MACs", "each trained by itself", ">alone<"] {
        assert!(page.contains(part), "{part}");
    }
    pretrain_dense("few", "face,flag");
    let call = [&curve[..], &words("--beside few")].concat();
    fails(folder, &call, 2, &["no class `hand`"]);
    fs::remove_dir_all(folder.join("few")).unwrap();

    // The budget of a point of the curve makes the model of that point, in a file of the size that the curve said.
    let bytes = of("bytes")[1];
    let limit = bytes.to_string();
    let assemble = words(
        "assemble base --classes face,flag,hand --check --data builtin:emoji --out small.safetensors",
    );
    let said = succeeds(folder, &[&assemble[..], &["--max-bytes", &limit]].concat());
    assert_eq!(
        fs::metadata(folder.join("small.safetensors"))
            .unwrap()
            .len(),
        bytes
    );
    assert!(
        said.contains("kept 3 of 3 classes (face, flag, hand) and 8 of 16"),
        "{said}"
    );
    let loss = |point: usize| format!("{:.4} in the", points[point]["velocity"].as_f64().unwrap());
    assert!(said.contains(&loss(3)) && said.contains(&loss(1)), "{said}");

    // Without classes, some of them may go.
    let few = total(folder, "small.safetensors", "parameters").to_string();
    succeeds(
        folder,
        &[
            &words("assemble base --out few.safetensors --max-params")[..],
            &[&few],
        ]
        .concat(),
    );
    assert!(total(folder, "few.safetensors", "parameters") <= few.parse().unwrap());
    succeeds(
        folder,
        &words("assemble base --classes face --learngene 5 --out five.safetensors"),
    );

    let before = contents(folder);
    for (arguments, parts) in [
        ("--max-params much", "expected a positive number such as"),
        (
            "--max-params 1",
            "no assembly fits into 1 parameters: the smallest keeps 1 of",
        ),
        (
            "--classes face,flag --max-bytes 1k",
            "or keep fewer classes",
        ),
        ("--max-macs 1M --check", "--data"),
        ("--max-macs 1M --learngene 3", "--learngene"),
        ("", "--classes"),
        ("--classes heart --max-params 1M", "no class `heart`"),
    ] {
        let call = [
            &words("assemble base --out refused.safetensors")[..],
            &words(arguments),
        ]
        .concat();
        fails(folder, &call, 2, &[parts]);
    }
    fails(folder, &words("curve base --data nowhere"), 3, &["nowhere"]);
    let other = "assemble base --max-params 1G --check --data builtin:emoji-fluent3d --class-map map.toml --out refused.safetensors";
    fs::write(
        folder.join("map.toml"),
        "base = [\"face\", \"flag\"]\n[classes]\nface = [\"face\"]\nflag = [\"flag\"]\n",
    )
    .unwrap();
    fails(folder, &words(other), 2, &["hand"]);
    fs::remove_file(folder.join("map.toml")).unwrap();
    assert!(contents(folder) == before);
}

#[test]
fn a_dense_model_has_no_budget_no_curve_and_no_diversion() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeds(
        folder,
        &words(
            "pretrain --data builtin:emoji --classes face,flag --size dit-micro/4 --dense --steps 1 --set train.per_class=1 --set train.evaluate_every=0 --out dense",
        ),
    );
    fails(
        folder,
        &words("assemble dense --max-params 1M --out no.safetensors"),
        2,
        &["a dense model", "--rank-split"],
    );
    fails(
        folder,
        &words("curve dense --data builtin:emoji"),
        2,
        &["a dense model", "--rank-split"],
    );
    fails(
        folder,
        &words("inspect dense --diversion --data builtin:emoji"),
        2,
        &["without a tailor", "--rank-split"],
    );
    fails(folder, &words("inspect dense --diversion"), 2, &["--data"]);
    fails(
        folder,
        &words("inspect dense --data builtin:emoji"),
        2,
        &["--diversion"],
    );
}

#[test]
fn the_diversion_report_has_every_class_and_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(
        folder,
        "base",
        &words("--steps 4 --lr 1e-2 --set train.warmup=0"),
    );
    let call = words(
        "inspect base --diversion --data builtin:emoji --count 1 --out diversion.html --json",
    );
    let found = json(folder, &call);
    assert_eq!(found["right"]["draws"], found["wrong"]["draws"]);
    assert_ne!(found["right"]["velocity"], found["none"]["velocity"]);
    let loss = |gate: &str| found[gate]["velocity"].as_f64().unwrap();
    let rise = &found["rises"]["wrong"];
    let percent = rise["percent"].as_f64().unwrap();
    assert!((percent - 100.0 * (loss("wrong") / loss("right") - 1.0)).abs() < 1e-9);
    let ends = ["low", "high"].map(|end| rise["interval"][end].as_f64().unwrap());
    assert!(ends[0] < percent && percent < ends[1], "{rise}");
    assert_eq!(found["verdicts"].as_array().unwrap().len(), 6);
    assert_eq!(found["anatomy"]["matrices"].as_array().unwrap().len(), 24);
    assert_eq!(found["anatomy"]["similarity"].as_array().unwrap().len(), 3);
    let page = fs::read_to_string(folder.join("diversion.html")).unwrap();
    // Losses, similarity in all and by six matrices, energy, four of drift.
    assert_eq!(page.matches("class=\"heat\"").count(), 13);
    fails(
        folder,
        &words("inspect base --diversion --data builtin:emoji --count 0"),
        2,
        &["--count is 0"],
    );
}
