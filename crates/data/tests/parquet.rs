//! Parquet files: what `datasets` and pyarrow wrote is read, damaged and foreign ones are refused.
//!
//! `reference/parquet.py` made the files: image i is 5x4 pixels of (20 i, 7, 9), but for the first, (255, i, 0).

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::path::Path;

use learngene_data::{
    BatchOrder, Batches, ClassSelection, Dataset, Error, Image, LoadOptions, Split, source,
};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/parquet");

fn image(i: u8) -> Image {
    let mut image = Image::filled(5, 4, &[20 * i, 7, 9]);
    image.pixels[..3].copy_from_slice(&[255, i, 0]);
    image
}

fn load(path: &str, options: &LoadOptions) -> Result<Dataset, Error> {
    Dataset::load(path, &ClassSelection::All, options)
}

#[test]
fn a_set_of_datasets_is_read_with_its_classes_and_splits() {
    let source = source::open(&format!("{FILES}/set"), None).unwrap();
    assert_eq!(source.class_names(), ["owl", "cat", "dog"]);
    assert_eq!(source.known_len(), Some(12));
    let skipped = source.skipped();
    assert!(
        skipped.len() == 1 && skipped[0].ends_with("1 rows without a class"),
        "{skipped:?}"
    );
    let samples: Vec<_> = source.samples().map(Result::unwrap).collect();
    for (i, sample) in samples.iter().enumerate() {
        let (split, of) = if i < 10 {
            (Split::Train, i)
        } else {
            (Split::Val, i - 10)
        };
        let file = if i < 10 { "train" } else { "validation" };
        assert_eq!(sample.content.image(), Some(&image(of as u8)));
        assert_eq!((sample.class, sample.split), (of % 3, Some(split)));
        assert_eq!(
            sample.id,
            format!("data/{file}-00000-of-00001.parquet/{of}")
        );
    }
    let one = format!("{FILES}/set/data/train-00000-of-00001.parquet");
    let one = source::open(&one, None).unwrap();
    assert_eq!(one.known_len(), Some(10));
}

#[test]
fn row_groups_stream_in_whatever_order_they_are_asked_for() {
    let options = LoadOptions {
        image_size: Some(4),
        channels: Some(3),
        ..LoadOptions::default()
    };
    let set = format!("{FILES}/set");
    let memory = load(&set, &options).unwrap();
    let stream = LoadOptions {
        stream: true,
        ..options
    };
    let stream = load(&set, &stream).unwrap();
    assert!(stream.streams());
    let order = BatchOrder::Plain {
        batch: 20,
        label_drop: 0.0,
    };
    let mut batches = Batches::new(&stream, order, 3, false).unwrap();
    for draw in batches.batch(0) {
        assert_eq!(
            stream.image(Split::Train, draw.sample).unwrap(),
            memory.image(Split::Train, draw.sample).unwrap()
        );
    }
    // Eight threads ask for the images of the same row groups.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for i in (0..stream.len(Split::Train)).rev() {
                    assert_eq!(
                        stream.image(Split::Train, i).unwrap(),
                        memory.image(Split::Train, i).unwrap()
                    );
                }
            });
        }
    });
}

#[test]
fn names_of_classes_in_the_rows_and_a_missing_image() {
    let path = format!("{FILES}/plain.parquet");
    let source = source::open(&path, None).unwrap();
    assert_eq!(source.class_names(), ["a", "b"]);
    let samples: Vec<_> = source.samples().collect();
    assert_eq!(samples.len(), 5);
    for (i, sample) in samples.into_iter().enumerate() {
        match sample {
            Ok(sample) => {
                assert_eq!(sample.content.image(), Some(&image(i as u8)));
                assert_eq!(sample.class, (i + 1) % 2);
                assert_eq!(sample.id, format!("plain.parquet/{i}"));
            }
            Err(error) => {
                let text = error.to_string();
                assert!(i == 2 && error.is_of_one_image(), "{text}");
                assert!(
                    text.contains("plain.parquet/2: the row has no image"),
                    "{text}"
                );
            }
        }
    }
    let data = load(&path, &LoadOptions::default()).unwrap();
    assert_eq!(data.broken().len(), 1);
}

/// As `datasets` decodes the same rows: 8x16 red, 2x3 of (10, 200, 30).
#[test]
fn pictures_are_turned_tiff_is_read_and_a_row_that_has_only_a_path_says_so() {
    let source = source::open(&format!("{FILES}/kinds/pictures.parquet"), None).unwrap();
    let samples: Vec<_> = source.samples().collect();
    let turned = samples[0].as_ref().unwrap().content.image().unwrap();
    assert_eq!((turned.width, turned.height), (8, 16));
    let green = samples[1].as_ref().unwrap().content.image().unwrap();
    assert_eq!(*green, Image::filled(2, 3, &[10, 200, 30]));
    let text = samples[2].as_ref().unwrap_err().to_string();
    assert!(text.contains("only its path, `photos/3.jpg`"), "{text}");
}

#[test]
fn a_file_of_other_columns_is_refused_with_those_it_has() {
    let refused = source::open(&format!("{FILES}/other.parquet"), None).unwrap_err();
    let text = refused.to_string();
    for part in [
        "other.parquet",
        "encoded images",
        "image, img",
        "x (DOUBLE), y (DOUBLE)",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn files_of_other_writers_are_read() {
    for (name, classes) in [
        ("snappy", ["0", "1"]),
        ("pages_v2", ["a", "b"]),
        ("large", ["a", "b"]),
        ("empty_group", ["0", "1"]),
    ] {
        let source = source::open(&format!("{FILES}/kinds/{name}.parquet"), None).unwrap();
        assert_eq!(source.class_names(), classes, "{name}");
        let samples: Vec<_> = source.samples().map(Result::unwrap).collect();
        assert_eq!(samples.len(), 6, "{name}");
        for (i, sample) in samples.iter().enumerate() {
            assert_eq!(sample.content.image(), Some(&image(i as u8)), "{name}");
            let class = if classes[0] == "a" {
                (i + 1) % 2
            } else {
                i % 2
            };
            assert_eq!(sample.class, class, "{name}");
        }
    }
}

#[test]
fn columns_of_other_kinds_are_refused_by_name() {
    for (name, parts) in [
        ("gzip", ["GZIP", "snappy, zstd or neither"]),
        ("front_coded", ["DELTA_BYTE_ARRAY", "RLE_DICTIONARY"]),
        // Another column of numbers is no class, nor is a caption.
        (
            "other_label",
            ["a column of classes", "label (FLOAT), id (INT64)"],
        ),
        (
            "nested",
            ["a column of classes", "label.list.element (INT64)"],
        ),
        ("captions", ["a column of classes", "text (text)"]),
        ("paths", ["encoded images", "image (text)"]),
        ("two", ["encoded images", "a (BYTE_ARRAY), b (BYTE_ARRAY)"]),
    ] {
        let refused = source::open(&format!("{FILES}/kinds/{name}.parquet"), None).unwrap_err();
        assert!(matches!(refused, Error::Format { .. }), "{refused:?}");
        let text = refused.to_string();
        for part in parts {
            assert!(
                text.contains(part),
                "{name}: `{text}` does not say `{part}`"
            );
        }
    }
}

#[test]
fn splits_stand_in_names_of_folders_and_files() {
    let file = format!("{FILES}/kinds/snappy.parquet");
    for (path, split) in [
        ("train/0000.parquet", Some(Split::Train)),
        ("validation/0000.parquet", Some(Split::Val)),
        ("val/0000.parquet", Some(Split::Val)),
        ("test/train-0.parquet", Some(Split::Test)),
        ("test-00000-of-00001.parquet", Some(Split::Test)),
        ("data/train-00003-of-00004.parquet", Some(Split::Train)),
        ("trained.parquet", None),
    ] {
        let root = tempfile::tempdir().unwrap();
        let to = root.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, &to).unwrap();
        let source = source::open(root.path().to_str().unwrap(), None).unwrap();
        let sample = source.samples().next().unwrap().unwrap();
        assert_eq!((sample.split, sample.id), (split, format!("{path}/0")));
    }
}

/// Whatever becomes of a file, reading it ends, in images or in an error.
fn survives(path: &Path, bytes: &[u8]) {
    // A file that is written over may be brought to the disk at once, a new one waits.
    let _was_there = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    if let Ok(source) = source::open(path.to_str().unwrap(), None) {
        source.samples().for_each(drop);
    }
}

#[test]
fn a_page_that_claims_to_unpack_to_far_more_is_refused_before_memory_is_made() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("claims.parquet");
    let mut bytes = fs::read(Path::new(FILES).join("plain.parquet")).unwrap();
    // The head of the dictionary of classes: its kind, what it unpacks to (10 bytes) and what it takes (19).
    let head = [0x15, 0x04, 0x15, 0x14, 0x15, 0x26];
    let mut places = bytes.windows(head.len());
    let at = places.position(|window| window == head).unwrap();
    // 1.4 GB, in as many bytes as a number of 32 bits takes.
    bytes[at + 3..][..5].copy_from_slice(&[0xec, 0xea, 0xd9, 0xb3, 0x0a]);
    fs::write(&path, bytes).unwrap();
    let error = source::open(path.to_str().unwrap(), None).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("unpack to at most"), "{text}");
}

/// Found by fuzzing: the head of a page claims a list that does not end with the file.
#[test]
fn a_head_that_goes_on_behind_the_end_of_the_file_is_refused_at_once() {
    let path = Path::new(FILES).join("endless-header.parquet");
    let source = source::open(path.to_str().unwrap(), None);
    if let Ok(source) = source {
        assert!(source.samples().any(|sample| sample.is_err()));
    }
}

#[test]
fn no_changed_byte_and_no_lost_end_makes_the_reader_panic() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("damaged.parquet");
    // What is caught is still reported by the hook, thousands of times.
    std::panic::set_hook(Box::new(|_| {}));
    for file in [
        "plain.parquet",
        "set/data/validation-00000-of-00001.parquet",
    ] {
        let whole = fs::read(Path::new(FILES).join(file)).unwrap();
        for end in 0..whole.len() {
            survives(&path, &whole[..end]);
        }
        for at in 0..whole.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                survives(&path, &bytes);
            }
        }
    }
    let _ = std::panic::take_hook();
}
