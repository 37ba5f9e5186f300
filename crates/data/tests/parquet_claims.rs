//! Parquet files that claim more than they hold: refused before anything of the claimed size is made.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "common/parquet_bytes.rs"]
mod parquet_bytes;

use std::fs;

use learngene_data::image::encode_png;
use learngene_data::{Error, Image, source};
use parquet_bytes::{Chunk, Group, Page, RLE_DICTIONARY, file, plain_bytes, plain_numbers};

const GIB: i64 = 1 << 30;

fn image(rows: usize) -> Chunk {
    let png = encode_png(&Image::filled(2, 2, &[1, 2, 3])).unwrap();
    Chunk::of(vec![Page::plain(
        rows as i64,
        plain_bytes(&vec![&png[..]; rows]),
    )])
}

fn labels(values: &[i64]) -> Chunk {
    Chunk::of(vec![Page::plain(
        values.len() as i64,
        plain_numbers(values),
    )])
}

fn group(values: &[i64]) -> Group {
    Group {
        rows: values.len() as i64,
        image: image(values.len()),
        label: labels(values),
    }
}

/// A page of `count` times the value 0 of a dictionary: a bit width and one run.
fn repeated(count: i64) -> Page {
    let (mut bytes, mut run) = (vec![1], (count as u64) << 1);
    while run >= 0x80 {
        bytes.push(run as u8 | 0x80);
        run >>= 7;
    }
    bytes.extend([run as u8, 0]);
    Page {
        encoding: RLE_DICTIONARY,
        ..Page::plain(count, bytes)
    }
}

fn dictionary(values: i64, bytes: Vec<u8>) -> Page {
    Page {
        dictionary: true,
        ..Page::plain(values, bytes)
    }
}

/// What becomes of a file: its number of images and classes, or the first error.
fn outcome(bytes: &[u8]) -> Result<(usize, Vec<String>), Error> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("claims.parquet");
    fs::write(&path, bytes).unwrap();
    let source = source::open(path.to_str().unwrap(), None)?;
    let samples: Result<Vec<_>, _> = source.samples().collect();
    Ok((samples?.len(), source.class_names().to_vec()))
}

fn assert_refused(bytes: &[u8], parts: &[&str]) {
    let error = outcome(bytes).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error:?}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

#[test]
fn what_claims_nothing_wrong_is_read() {
    let (count, classes) = outcome(&file(&[group(&[0, 1, 0]), group(&[1])], false, None)).unwrap();
    assert_eq!(
        (count, &classes[..]),
        (4, &["0".to_owned(), "1".to_owned()][..])
    );
    let coded = Group {
        label: Chunk::of(vec![dictionary(1, plain_numbers(&[7])), repeated(3)]),
        ..group(&[7, 7, 7])
    };
    let (count, classes) = outcome(&file(&[coded], false, None)).unwrap();
    assert_eq!((count, &classes[..]), (3, &["7".to_owned()][..]));
}

#[test]
fn a_row_group_without_rows_holds_none() {
    let (count, _) = outcome(&file(&[group(&[]), group(&[1, 0])], false, None)).unwrap();
    assert_eq!(count, 2);
    assert!(matches!(
        outcome(&file(&[group(&[])], false, None)),
        Err(Error::EmptySource { .. })
    ));
}

#[test]
fn a_dictionary_that_claims_more_values_than_it_has_bytes() {
    let vast = Group {
        image: Chunk::of(vec![
            dictionary(2 * GIB - 1, plain_bytes(&[b"x"])),
            repeated(1),
        ]),
        ..group(&[0])
    };
    assert_refused(
        &file(&[vast], false, None),
        &["claims.parquet", "2147483647"],
    );
    let vast = Group {
        label: Chunk::of(vec![
            dictionary(2 * GIB - 1, plain_numbers(&[1])),
            repeated(1),
        ]),
        ..group(&[0])
    };
    assert_refused(&file(&[vast], false, None), &["2147483647"]);
}

#[test]
fn more_rows_than_the_file_has_bytes() {
    for rows in [2 * GIB - 1, 1 << 60, i64::MAX, -1] {
        let vast = Group {
            rows,
            label: Chunk::of(vec![
                dictionary(1, plain_numbers(&[7])),
                repeated(2 * GIB - 1),
            ]),
            ..group(&[0])
        };
        assert_refused(&file(&[vast], false, None), &[&rows.to_string(), "rows"]);
    }
    let twice = || Group {
        rows: i64::MAX,
        ..group(&[0])
    };
    assert_refused(&file(&[twice(), twice()], false, None), &["rows"]);
}

#[test]
fn columns_that_claim_to_unpack_to_more_than_is_read() {
    for size in [1 << 60, i64::MAX, -1] {
        let mut vast = group(&[0]);
        vast.image.unpacked = Some(size);
        assert_refused(
            &file(&[vast], false, None),
            &[&size.to_string(), "smaller row groups"],
        );
    }
}

#[test]
fn pages_that_unpack_to_more_than_their_column_claims() {
    // 8 MiB of zeros: empty images, by a run of one byte in each block of a zstd frame.
    let (size, block) = (8 << 20, 128 << 10);
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend((size as u32).to_le_bytes());
    for at in (0..size).step_by(block) {
        let head = u32::from(at + block == size) | 1 << 1 | (block as u32) << 3;
        frame.extend(&head.to_le_bytes()[..3]);
        frame.push(0);
    }
    let mut vast = group(&[0]);
    vast.image = Chunk {
        codec: 6,
        unpacked: Some(100),
        pages: vec![Page {
            unpacked: Some(size as i64),
            ..Page::plain(1, frame)
        }],
    };
    assert_refused(&file(&[vast], false, None), &["claims.parquet", "100"]);
}

#[test]
fn one_long_name_of_many_rows_stays_one() {
    let name = "n".repeat(1 << 20);
    let rows = 30_000;
    let many = Group {
        rows,
        image: Chunk::of(vec![dictionary(1, plain_bytes(&[b"x"])), repeated(rows)]),
        label: Chunk::of(vec![
            dictionary(1, plain_bytes(&[name.as_bytes()])),
            repeated(rows),
        ]),
    };
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("claims.parquet");
    fs::write(&path, file(&[many], true, None)).unwrap();
    let source = source::open(path.to_str().unwrap(), None).unwrap();
    assert_eq!(source.class_names(), [name]);
    assert_eq!(source.known_len(), Some(rows as usize));
}

#[test]
fn names_that_are_no_names() {
    let names = |names: &str| {
        format!(
            r#"{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#
        )
    };
    let bytes = |text: &str| file(&[group(&[1, 0])], false, Some(text));
    for good in [r#"["owl", "cat"]"#, r#"{"0": "owl", "1": "cat"}"#] {
        let (_, classes) = outcome(&bytes(&names(good))).unwrap();
        assert_eq!(classes, ["owl", "cat"], "{good}");
    }
    for bad in [
        "[]",
        r#"["a", "a"]"#,
        r#"["a", 1]"#,
        r#"{"0": "a", "2": "b"}"#,
        "3",
    ] {
        assert_refused(&bytes(&names(bad)), &["claims.parquet", "names"]);
    }
    let few = bytes(&names(r#"["owl"]"#));
    assert_refused(&few, &["claims.parquet/0", "0 to 0", "found 1"]);
    let root = tempfile::tempdir().unwrap();
    for (file, text) in [("a", r#"["owl", "cat"]"#), ("b", r#"["cat", "owl"]"#)] {
        let path = root.path().join(format!("{file}.parquet"));
        fs::write(path, bytes(&names(text))).unwrap();
    }
    let error = source::open(root.path().to_str().unwrap(), None).unwrap_err();
    assert!(error.to_string().contains("class names of"), "{error}");
}
