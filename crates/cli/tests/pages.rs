//! Pages of real runs, in headless Chromium where one is installed: what they show first, and that nothing needs a scroll bar
//! in a window of 1,100 pixels. `LEARNGENE_SCREENSHOTS` names a folder to keep the pages in.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

#[path = "../../eval/tests/common/browser.rs"]
mod browser;
mod common;

use browser::{chromium, too_wide};
use common::succeeds;
use std::fs;
use std::path::Path;

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Several methods, seeds and budgets on all built-in classes, so that every table is as wide as it gets.
const WANTED: &str = r#"
seeds = [0, 1]
steps = 1
images_per_class = [2, 0]

[data]
source = "builtin:emoji"
classes = "all"

[base]
kind = "base"

[judge]
repeats = 1
images = 2
steps = 1
shown = 1
guidance = [1.0, 2.0]

[train]
warmup = 0

[[row]]
name = "KIND, one shared tailor and eight components each"
base = "kind"
method = "kind"

[[row]]
name = "fine-tuning of everything"
base = "kind"
method = "full"
"#;

#[test]
fn pages_show_pictures_first_and_fit_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let base = "pretrain --data builtin:emoji --classes base --size dit-micro/4 --rank-split 16,4 --steps 2 \
                --set train.per_class=1 --set train.null=1 --set train.evaluate_every=0 --out base";
    succeeds(here, &words(base));
    let diversion = "inspect base --diversion --data builtin:emoji --count 2 --out diversion.html";
    let said = succeeds(here, &words(diversion));
    // Two steps have taught nothing, and the program says so.
    assert!(
        said.contains("note: ") && said.contains("blind guessing"),
        "{said}"
    );
    succeeds(
        here,
        &words("curve base --data builtin:emoji --points 3 --out curve.html"),
    );
    fs::write(here.join("wanted.toml"), WANTED).unwrap();
    succeeds(here, &words("compare wanted.toml --out compared"));
    succeeds(
        here,
        &words("quickstart --minutes 0.02 --control --out demo"),
    );
    let pages = [
        "diversion.html",
        "curve.html",
        "compared/report.html",
        "demo/report.html",
    ];
    for name in pages {
        let page = fs::read_to_string(here.join(name)).unwrap();
        if let Some(keep) = std::env::var_os("LEARNGENE_SCREENSHOTS") {
            fs::write(Path::new(&keep).join(name.replace('/', "-")), &page).unwrap();
        }
        assert!(
            page.contains("<h2>Words</h2>") && page.contains("<a href=\"#word-v-loss\">"),
            "{name}"
        );
        if name != "curve.html" {
            let first = ["<img", "class=\"figures\"", "<h2>"]
                .map(|part| page.find(part).unwrap_or(usize::MAX));
            assert!(
                first[0] < first[1] && first[0] < first[2],
                "{name} begins with {first:?}"
            );
            assert!(
                page.contains("real images") || page.contains("real test images"),
                "{name}"
            );
        }
    }
    let Some(browser) = chromium() else {
        println!("skipped: no chromium on the PATH");
        return;
    };
    for name in pages {
        let found = too_wide(&browser, here, &here.join(name), 1100);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}
