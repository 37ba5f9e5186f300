//! The report in a real browser: headless Chromium, when one is installed, takes pictures of the example
//! page at the width of a desktop and of a phone. `LEARNGENE_SCREENSHOTS` names a folder to keep them in.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::path::Path;

use common::browser::{browse, chromium, too_wide};
use image::RgbImage;

/// Chromium draws nothing narrower than 500 pixels, so the "phone" is a tall window of that width.
const WINDOWS: [(&str, u32, u32); 2] = [("desktop", 1100, 3000), ("phone", 500, 4200)];

fn share(picture: &RgbImage, wanted: impl Fn([u8; 3]) -> bool) -> f64 {
    let hits = picture.pixels().filter(|pixel| wanted(pixel.0)).count();
    hits as f64 / picture.pixels().len() as f64
}

#[test]
fn chromium_shows_the_whole_page() {
    let Some(browser) = chromium() else {
        println!("skipped: no chromium on the PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    std::fs::write(&page, common::example().to_html()).unwrap();
    for (name, width, height) in WINDOWS {
        for scheme in ["light", "dark"] {
            let shot = folder.path().join(format!("{name}-{scheme}.png"));
            let mut arguments = vec![
                format!("--window-size={width},{height}"),
                format!("--screenshot={}", shot.display()),
            ];
            if scheme == "dark" {
                arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
            }
            let (_, log) = browse(&browser, &folder.path().join("profile"), &page, &arguments);
            assert!(!log.contains("CONSOLE"), "{log}");
            let picture = image::open(&shot).unwrap().to_rgb8();
            if let Some(keep) = std::env::var_os("LEARNGENE_SCREENSHOTS") {
                std::fs::copy(&shot, Path::new(&keep).join(shot.file_name().unwrap())).unwrap();
            }
            assert_eq!(picture.dimensions(), (width, height), "{name} {scheme}");
            let paper = picture.get_pixel(2, 2).0;
            assert_eq!(
                paper[0] > 128,
                scheme == "light",
                "{name} {scheme}: paper is {paper:?}"
            );
            let ink = share(&picture, |pixel| pixel != paper);
            assert!(
                (0.05..0.7).contains(&ink),
                "{name} {scheme}: {ink} of the page is not paper"
            );
            // The marks cover 1/16 of every decoded picture: galleries, sheet and enlarged sample.
            let mark = share(&picture, |pixel| pixel == common::MARK);
            assert!(
                mark > 0.005,
                "{name} {scheme}: {mark} of the page is the mark in the pictures"
            );
        }
    }
}

#[test]
fn chromium_reads_the_page_as_it_was_meant() {
    let Some(browser) = chromium() else {
        println!("skipped: no chromium on the PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    std::fs::write(&page, common::example().to_html()).unwrap();
    let (dom, log) = browse(
        &browser,
        &folder.path().join("profile"),
        &page,
        &["--dump-dom".to_owned()],
    );
    assert!(!log.contains("CONSOLE"), "{log}");
    for (tag, count) in [
        ("<script", 0),
        ("<h1", 1),
        // Four sections, how to read, settings, and the words that the page uses.
        ("<h2", 7),
        ("<img", 14),
        ("<table", 3),
        ("role=\"img\"", 2),
    ] {
        assert_eq!(dom.matches(tag).count(), count, "{tag}");
    }
    assert!(dom.contains("&lt;script&gt;alert('class')&lt;/script&gt;"));
}

/// Tables of more columns than a page is wide go on below, heat maps turn their heads and then leave their numbers out,
/// galleries of large pictures shrink them: nothing needs a scroll bar in a window of 1,100 pixels.
#[test]
fn nothing_is_wider_than_a_window() {
    let Some(browser) = chromium() else {
        println!("skipped: no chromium on the PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    std::fs::write(&page, common::wide().to_html()).unwrap();
    let found = too_wide(&browser, folder.path(), &page, 1100);
    assert!(found.is_empty(), "{found:#?}");
    // And the test can fail: on a phone such things scroll.
    let found = too_wide(&browser, folder.path(), &page, 500);
    assert!(!found.is_empty());
}
