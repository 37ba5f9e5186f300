//! What docs/data.md says is what is done.

#![expect(clippy::panic, reason = "helpers of tests may panic as tests do")]

use std::fs;

use learngene_data::image::{MAX_SIDE, decode};
use learngene_data::{Split, source};

const PAGE: &str = include_str!("../../../docs/data.md");

/// The cells of the rows of the table below a heading, or below the first line that begins with `head`.
fn table(head: &str) -> Vec<Vec<String>> {
    let from = PAGE
        .find(head)
        .unwrap_or_else(|| panic!("`{head}` is not in docs/data.md"));
    let lines = PAGE[from..]
        .lines()
        .skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|c| c.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn the_formats_of_the_table_are_read_and_the_others_named() {
    let rows = table("## Pictures");
    let names = |row: &[String]| row[0].split(", ").map(str::to_owned).collect::<Vec<_>>();
    let read = rows.iter().filter(|row| row[1].starts_with("read"));
    let mut read: Vec<String> = read.flat_map(|row| names(row)).collect();
    read.sort();
    assert_eq!(read, ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WebP"]);
    let unread = rows
        .iter()
        .find(|row| row[1].starts_with("not read"))
        .unwrap();
    let heads: [(&str, &[u8]); 6] = [
        ("AVIF", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("JPEG XL", b"\xff\x0a\xfa\x07"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("PPM", b"P6\n1 1\n255\n"),
        ("PSD", b"8BPS\0\x01"),
    ];
    for (name, head) in heads {
        assert!(unread[0].contains(name), "{name}");
        let error = decode(head, "x".as_ref()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("it is {name}, a format that is not read")),
            "{error}"
        );
    }
}

#[test]
fn words_and_limits_are_those_of_the_page() {
    for (split, words) in [
        (Split::Train, &["train", "training"][..]),
        (Split::Val, &["val", "valid", "validation", "dev"]),
        (Split::Test, &["test", "testing", "eval", "evaluation"]),
    ] {
        for word in words {
            assert_eq!(Split::from_name(word), Some(split));
            assert!(PAGE.contains(&format!("`{word}`")), "{word}");
        }
    }
    assert_eq!(MAX_SIDE, 16_384);
    assert_eq!(learngene_formats::text::MAX_TEXT_BYTES, 8 << 20);
    for limit in [
        "16,384 pixels",
        "512 MiB",
        "256 MiB",
        "8 MiB",
        "64 times",
        "80 %",
    ] {
        assert!(PAGE.contains(limit), "{limit}");
    }
}

#[test]
fn what_the_page_calls_passed_over_is() {
    let row = &table("## What is left out")[0];
    assert_eq!(row[1], "passed over");
    let root = tempfile::tempdir().unwrap();
    let picture = learngene_data::Image::filled(2, 2, &[1]);
    fs::create_dir(root.path().join("a")).unwrap();
    fs::write(
        root.path().join("a/0.png"),
        learngene_data::image::encode_png(&picture).unwrap(),
    )
    .unwrap();
    let names = row[0].split('`').skip(1).step_by(2);
    for name in names.map(|name| name.replace('*', "0.png")) {
        fs::write(root.path().join("a").join(&name), "clutter").unwrap();
    }
    let source = source::open(root.path().to_str().unwrap(), None).unwrap();
    assert!(source.skipped().is_empty() && source.notes().is_empty());
    assert_eq!(source.known_len(), Some(1));
}
