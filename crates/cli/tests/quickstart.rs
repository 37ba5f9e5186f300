//! The whole story at its shortest: every stage runs and what it leaves fits together. What it shows about the method
//! takes the real length; see docs/results.md.

mod common;

use common::{contents, fails, json, stderr, succeeds};
use std::fs;

#[test]
fn every_stage_leaves_what_the_next_one_needs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let args = [
        "quickstart",
        "--minutes",
        "0.05",
        "--control",
        "--out",
        "demo",
    ];
    let output = common::run(here, &args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let summary = String::from_utf8(output.stdout).unwrap();
    for line in [
        "base validation v loss",
        "control, dense",
        "report: demo/report.html",
    ] {
        assert!(summary.contains(line), "no `{line}` in {summary}");
    }
    assert!(text.contains("6/6 report"), "{text}");

    let results = fs::read(here.join("demo/results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    let assembly = &results["assembly"];
    assert_eq!(assembly["equal"], true);
    assert_eq!(
        assembly["tensor_bytes"],
        assembly["plans"][1]["total"]["bytes"]
    );
    assert_eq!(results["novel"]["learngene_bit_identical"], true);
    assert_eq!(results["control"]["novel"]["learngene_bit_identical"], true);
    // Wrong tailors are judged by their own class too, right ones are not judged twice.
    let verdicts = results["base"]["probe"].as_array().unwrap();
    let swapped = |v: &&serde_json::Value| !v["tailor"].is_null();
    assert_eq!(
        (verdicts.len(), verdicts.iter().filter(swapped).count()),
        (6, 2)
    );

    let page = fs::read_to_string(here.join("demo/report.html")).unwrap();
    for name in [
        "face",
        "office",
        "heart",
        "bird",
        "wrong tailor",
        "class-gated tailors",
    ] {
        assert!(page.contains(name), "the page does not say `{name}`");
    }
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));

    let inspected = json(here, &["inspect", "demo/assembly.safetensors", "--json"]);
    assert_eq!(inspected["classes"].as_array().unwrap().len(), 4);
    let join = "assemble demo/base --classes face,heart --tailors demo/novel/tailors.safetensors --out two.safetensors";
    succeeds(here, &join.split(' ').collect::<Vec<_>>());

    let before = contents(here);
    fails(here, &args, 3, &["demo: exists already", "--out"]);
    assert_eq!(contents(here), before);
}
