//! Every kind of source, read from files made on the spot or embedded, through the public face only.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use learngene_data::image::encode_png;
use learngene_data::picture::ContactSheet;
use learngene_data::source;
use learngene_data::{ClassSelection, Dataset, Error, Image, LoadOptions, Split, Statistics};

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn write_png(path: &Path, width: u32, height: u32, colour: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(
        path,
        encode_png(&Image::filled(width, height, colour)).unwrap(),
    )
    .unwrap();
}

fn load(path: &Path) -> Result<Dataset, Error> {
    Dataset::load(
        path_text(path),
        &ClassSelection::All,
        &LoadOptions::default(),
    )
}

/// The code points of a drawing without vendor, skin tone and presentation selector.
fn drawing(id: &str) -> String {
    let points = id.split('/').nth(1).unwrap().split('-');
    points
        .filter(|p| *p != "fe0f" && !("1f3fb"..="1f3ff").contains(p))
        .collect::<Vec<_>>()
        .join("-")
}

#[test]
fn the_built_in_packs_have_20_classes_and_no_drawing_in_two_splits() {
    let mut split_of: HashMap<String, (usize, Split)> = HashMap::new();
    for (spec, counts) in [
        ("builtin:emoji", [1944, 220, 204]),
        ("builtin:emoji-fluent3d", [1389, 131, 148]),
    ] {
        let pack = source::open(spec, None).unwrap();
        let partition = pack.partition().unwrap();
        assert_eq!((partition.base.len(), partition.novel.len()), (12, 8));
        assert_eq!(
            [partition.base.clone(), partition.novel.clone()].concat(),
            pack.class_names()
        );
        let mut ids = HashSet::new();
        let mut found = [0; 3];
        for sample in pack.samples() {
            let sample = sample.unwrap();
            let split = sample.split.unwrap();
            found[split as usize] += 1;
            assert_eq!(sample.content.shape(), [3, 32, 32]);
            // Across vendors, skin tones and both packs.
            let first = *split_of
                .entry(drawing(&sample.id))
                .or_insert((sample.class, split));
            assert_eq!(first, (sample.class, split), "{}", sample.id);
            assert!(ids.insert(sample.id));
        }
        assert_eq!(found, counts);
        assert_eq!(pack.known_len(), Some(ids.len()));
    }
    assert_eq!(split_of.len(), 1354);
}

// Labels and tiles must stay together: the sums of a few tiles, by Pillow:
// sheet.crop((n % 64 * 32, n // 64 * 32, n % 64 * 32 + 32, n // 64 * 32 + 32)), numpy .sum((0, 1)).
#[test]
fn tiles_are_cut_where_pillow_cuts_them() {
    let pack = source::open("builtin:emoji", None).unwrap();
    let samples: Vec<_> = pack.samples().map(Result::unwrap).collect();
    for (number, id, expected) in REFERENCE_TILES {
        let image = samples[number].content.image().unwrap();
        let sum = |channel: usize| {
            image
                .pixels
                .iter()
                .skip(channel)
                .step_by(3)
                .map(|v| u32::from(*v))
                .sum::<u32>()
        };
        assert_eq!(
            (samples[number].id.as_str(), [sum(0), sum(1), sum(2)]),
            (id, expected)
        );
    }
}

const REFERENCE_TILES: [(usize, &str, [u32; 3]); 5] = [
    (0, "noto/1f609", [242565, 213681, 120348]),
    (63, "twemoji/1f480", [202277, 208928, 213514]),
    (64, "twemoji/1f643", [247901, 208207, 110187]),
    (1234, "twemoji/1f685", [181347, 203636, 220422]),
    (2367, "noto/1f986", [217359, 212345, 197728]),
];

#[test]
fn base_novel_and_named_classes_are_selected() {
    let options = LoadOptions::default();
    let base = Dataset::load("builtin:emoji", &"base".parse().unwrap(), &options).unwrap();
    assert_eq!((base.classes().len(), base.shape()), (12, [3, 32, 32]));
    assert_eq!(base.classes()[0], "face");
    let two = Dataset::load("builtin:emoji", &"bird, face".parse().unwrap(), &options).unwrap();
    assert_eq!(two.classes(), ["bird", "face"]);
    assert_eq!(
        [
            two.of_class(Split::Train, 0).len(),
            two.of_class(Split::Train, 1).len()
        ],
        [36, 128]
    );
    for class in 0..2 {
        assert!(
            two.of_class(Split::Val, class)
                .iter()
                .all(|i| two.class_of(Split::Val, *i) == class)
        );
    }
    let mut planes = vec![0.0; two.values_per_image()];
    two.write_chw(Split::Train, 5, true, None, &mut planes)
        .unwrap();
    assert_eq!(
        planes,
        two.image(Split::Train, 5).unwrap().flipped().to_chw()
    );
    assert_ne!(base.fingerprint(), two.fingerprint());
    let again = Dataset::load("builtin:emoji", &ClassSelection::Base, &options).unwrap();
    assert_eq!(base.fingerprint(), again.fingerprint());
    let small = LoadOptions {
        image_size: Some(16),
        channels: Some(1),
        ..LoadOptions::default()
    };
    let small = Dataset::load("builtin:emoji", &ClassSelection::Novel, &small).unwrap();
    assert_eq!((small.classes().len(), small.shape()), (8, [1, 16, 16]));
}

#[test]
fn image_folders_are_read_and_other_files_are_skipped() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..20 {
        write_png(
            &root.path().join(format!("red/{number}.png")),
            6,
            4,
            &[250, 0, 0],
        );
        write_png(
            &root.path().join(format!("blue/{number}.PNG")),
            6,
            4,
            &[0, 0, 250],
        );
    }
    fs::write(root.path().join("red/notes.txt"), "not an image").unwrap();
    fs::write(root.path().join("readme.md"), "about").unwrap();
    fs::write(root.path().join("red/.DS_Store"), "hidden").unwrap();
    fs::create_dir(root.path().join(".git")).unwrap();
    let data = load(root.path()).unwrap();
    assert_eq!(
        (data.classes(), data.shape()),
        (&["blue".to_owned(), "red".to_owned()][..], [3, 4, 6])
    );
    assert_eq!(
        Split::ALL
            .map(|split| data.len(split))
            .iter()
            .sum::<usize>(),
        40
    );
    let i = data.of_class(Split::Train, 1)[0];
    assert_eq!(
        &data.image(Split::Train, i).unwrap().pixels[..3],
        [250, 0, 0]
    );
    assert!(data.id(Split::Train, i).starts_with("red/"));
    let source = source::open(path_text(root.path()), None).unwrap();
    let skipped: Vec<_> = source
        .skipped()
        .iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(skipped, ["readme.md", "notes.txt"]);
    let stats = Statistics::gather(&*source).unwrap();
    assert_eq!(
        (stats.images, stats.skipped.len(), stats.sizes[0].count),
        (40, 2, 40)
    );
    assert_eq!(stats.mean, [125.0 / 255.0, 0.0, 125.0 / 255.0]);
    assert_eq!(stats.std, [125.0 / 255.0, 0.0, 125.0 / 255.0]);
    // Every image of a class is the same: all but the first of each split are duplicates, and all have leaked.
    assert_eq!(stats.leaked, 40);
    assert!(
        serde_json::to_string(&stats)
            .unwrap()
            .contains("\"leaked\":40")
    );
}

/// Shards that the webdataset package wrote: `reference/shards.py`.
#[test]
fn webdataset_shards_are_read_from_their_places() {
    let shards = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/shards");
    let check = |spec: &str, classes: [&str; 2], prefix: &str| {
        let source = source::open(spec, None).unwrap();
        assert_eq!(source.class_names(), classes);
        assert_eq!(source.known_len(), Some(6));
        let samples: Vec<_> = source.samples().map(Result::unwrap).collect();
        assert_eq!(samples.len(), 6);
        for (i, sample) in samples.iter().enumerate() {
            assert_eq!(sample.class, 1 - i % 2, "7 comes before 11");
            assert_eq!(
                sample.id,
                format!("{prefix}tiny-{:06}.tar/photos/{i:04}", i / 4)
            );
            let image = sample.content.image().unwrap();
            assert_eq!((image.width, image.height, image.channels), (5, 4, 3));
            assert_eq!(
                image.pixels[..6],
                [255, i as u8, 0, 40 * i as u8, 40 * i as u8, 40 * i as u8]
            );
        }
    };
    check(shards, ["7", "11"], "");
    // The same below train/, with names for the numbers.
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("train")).unwrap();
    for name in ["tiny-000000.tar", "tiny-000001.tar"] {
        fs::copy(
            Path::new(shards).join(name),
            root.path().join("train").join(name),
        )
        .unwrap();
    }
    check(path_text(root.path()), ["7", "11"], "train/");
    let names: Vec<String> = (0..12).map(|n| format!("class {n}")).collect();
    fs::write(root.path().join("classes.txt"), names.join("\n")).unwrap();
    let source = source::open(path_text(root.path()), None).unwrap();
    assert_eq!(source.class_names(), names);
    for (i, sample) in source.samples().map(Result::unwrap).enumerate() {
        assert_eq!(
            (sample.class, sample.split),
            (if i % 2 == 1 { 7 } else { 11 }, Some(Split::Train))
        );
    }
    let one = root.path().join("train/tiny-000001.tar");
    let source = source::open(path_text(&one), None).unwrap();
    let ids: Vec<String> = source.samples().map(|sample| sample.unwrap().id).collect();
    assert_eq!(
        ids,
        ["tiny-000001.tar/photos/0004", "tiny-000001.tar/photos/0005"]
    );
}

#[test]
fn train_and_test_folders_are_honoured() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..100 {
        write_png(
            &root.path().join(format!("train/a/{number}.png")),
            4,
            4,
            &[1],
        );
    }
    for number in 0..7 {
        write_png(
            &root.path().join(format!("test/a/{number}.png")),
            4,
            4,
            &[2],
        );
    }
    let data = load(root.path()).unwrap();
    assert_eq!(
        (data.classes().len(), data.shape(), data.len(Split::Test)),
        (1, [1, 4, 4], 7)
    );
    assert_eq!(data.len(Split::Train) + data.len(Split::Val), 100);
    assert!((1..25).contains(&data.len(Split::Val)));
    write_png(&root.path().join("val/a/0.png"), 4, 4, &[3]);
    assert_eq!(
        Split::ALL.map(|split| load(root.path()).unwrap().len(split)),
        [100, 1, 7]
    );
}

#[test]
fn images_of_different_sizes_need_a_size_and_grey_joins_colour() {
    let root = tempfile::tempdir().unwrap();
    write_png(&root.path().join("a/1.png"), 40, 30, &[7]);
    write_png(&root.path().join("b/1.png"), 9, 90, &[7, 8, 9]);
    let error = load(root.path()).unwrap_err();
    assert!(matches!(error, Error::MixedSizes { .. }));
    assert!(error.to_string().contains("--image-size"), "{error}");
    let options = LoadOptions {
        image_size: Some(8),
        ..LoadOptions::default()
    };
    let data = Dataset::load(path_text(root.path()), &ClassSelection::All, &options).unwrap();
    assert_eq!((data.shape(), data.len(Split::Train)), ([3, 8, 8], 2));
    assert_eq!(
        data.image(Split::Train, 0).unwrap(),
        Image::filled(8, 8, &[7, 7, 7])
    );
}

/// An idx file: magic, dimensions, bytes.
fn idx(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
    let magic = 0x0800 + dimensions.len() as u32;
    let mut file: Vec<u8> = [magic]
        .iter()
        .chain(dimensions)
        .flat_map(|number| number.to_be_bytes())
        .collect();
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_folders_and_files_are_read_plain_and_gzipped() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).unwrap();
    let images: Vec<u8> = (0..60 * 6).map(|n| n as u8).collect();
    let labels: Vec<u8> = (0..60).map(|n| [3, 8][n % 2]).collect();
    file("train-images-idx3-ubyte", &idx(&[60, 2, 3], &images));
    file("train-labels-idx1-ubyte", &idx(&[60], &labels));
    file(
        "t10k-images-idx3-ubyte.gz",
        &gzip(&idx(&[2, 2, 3], &images[..12])),
    );
    file("t10k-labels-idx1-ubyte.gz", &gzip(&idx(&[2], &labels[..2])));
    let data = load(root.path()).unwrap();
    assert_eq!(
        (data.classes(), data.shape()),
        (&["3".to_owned(), "8".to_owned()][..], [1, 2, 3])
    );
    assert_eq!(
        (
            data.len(Split::Test),
            data.len(Split::Train) + data.len(Split::Val)
        ),
        (2, 60)
    );
    assert_eq!(
        data.image(Split::Test, 1).unwrap().pixels,
        [6, 7, 8, 9, 10, 11]
    );
    assert_eq!(data.class_of(Split::Test, 1), 1);
    let one = load(&root.path().join("train-images-idx3-ubyte")).unwrap();
    assert_eq!(
        Split::ALL.map(|split| one.len(split)).iter().sum::<usize>(),
        60
    );
}

#[test]
fn cifar_binary_batches_are_read() {
    let root = tempfile::tempdir().unwrap();
    let record = |label: u8| [vec![label], vec![10; 1024], vec![20; 1024], vec![30; 1024]].concat();
    let batch: Vec<u8> = (0..40).flat_map(|n| record(n % 2)).collect();
    fs::write(root.path().join("data_batch_1.bin"), &batch).unwrap();
    fs::write(root.path().join("test_batch.bin"), record(1)).unwrap();
    fs::write(root.path().join("batches.meta.txt"), "plane\ncar\n\n").unwrap();
    let data = load(root.path()).unwrap();
    assert_eq!(
        (data.classes(), data.shape()),
        (&["plane".to_owned(), "car".to_owned()][..], [3, 32, 32])
    );
    assert_eq!(
        (data.len(Split::Test), data.class_of(Split::Test, 0)),
        (1, 1)
    );
    assert_eq!(
        data.image(Split::Test, 0).unwrap(),
        Image::filled(32, 32, &[10, 20, 30])
    );
    fs::write(root.path().join("test_batch.bin"), record(2)).unwrap();
    assert!(
        load(root.path())
            .unwrap_err()
            .to_string()
            .contains("label 2")
    );
    fs::write(root.path().join("test_batch.bin"), &record(1)[..3000]).unwrap();
    assert!(load(root.path()).unwrap_err().to_string().contains("3073"));
}

#[test]
fn cifar_sheets_are_read_row_by_row() {
    let root = tempfile::tempdir().unwrap();
    let mut sheet = Image::filled(1024, 20, &[5, 6, 7]);
    sheet.pixels[3 * 1024..2 * 3 * 1024].fill(99);
    fs::write(
        root.path().join("data_batch_1.png"),
        encode_png(&sheet).unwrap(),
    )
    .unwrap();
    let labels: Vec<u8> = (0..20).map(|n| n % 2).collect();
    fs::write(
        root.path().join("train_lables.json"),
        serde_json::to_string(&labels).unwrap(),
    )
    .unwrap();
    let selection: ClassSelection = "automobile,airplane".parse().unwrap();
    let data = Dataset::load(path_text(root.path()), &selection, &LoadOptions::default()).unwrap();
    assert_eq!(
        (data.shape(), data.len(Split::Train) + data.len(Split::Val)),
        ([3, 32, 32], 20)
    );
    let (split, i) = [Split::Train, Split::Val]
        .into_iter()
        .find_map(|split| {
            (0..data.len(split))
                .find(|i| data.id(split, *i) == "train-1")
                .map(|i| (split, i))
        })
        .unwrap();
    assert_eq!(
        (data.class_of(split, i), data.image(split, i).unwrap()),
        (0, Image::filled(32, 32, &[99; 3]))
    );
    fs::write(root.path().join("train_lables.json"), "[1, 0]").unwrap();
    assert!(
        load(root.path())
            .unwrap_err()
            .to_string()
            .contains("as many labels")
    );
}

#[test]
fn class_maps_merge_rename_and_partition() {
    let root = tempfile::tempdir().unwrap();
    let map = root.path().join("map.toml");
    fs::write(&map, "base = ['person']\nnovel = ['sign']\n[classes]\nsign = ['flag', 'button']\nperson = ['portrait', 'face']\n")
        .unwrap();
    let options = LoadOptions {
        class_map: Some(map),
        ..LoadOptions::default()
    };
    let all = Dataset::load("builtin:emoji", &ClassSelection::All, &options).unwrap();
    assert_eq!(all.classes(), ["sign", "person"]);
    assert_eq!(all.of_class(Split::Train, 0).len(), 134 + 134);
    let base = Dataset::load("builtin:emoji", &ClassSelection::Base, &options).unwrap();
    assert_eq!(
        (base.classes().len(), base.len(Split::Train)),
        (1, 128 + 130)
    );
}

#[test]
fn statistics_of_the_built_in_pack_and_its_contact_sheet() {
    let pack = source::open("builtin:emoji", None).unwrap();
    let mut sheet = ContactSheet::new(pack.class_names(), 12, 64);
    let stats = Statistics::gather_with(&*pack, |sample| sheet.add(sample)).unwrap();
    assert_eq!(
        (
            stats.images,
            stats.base.len(),
            stats.leaked,
            stats.sizes.len()
        ),
        (2368, 12, 0, 1)
    );
    assert_eq!(
        (
            stats.classes[0].train,
            stats.classes[0].val,
            stats.classes[0].test
        ),
        (128, 21, 11)
    );
    let picture = sheet.into_grid(2).paint().unwrap();
    // Twenty rows of 64 pixels and a gap of 2, a margin of 6 on both sides.
    assert_eq!(picture.height, 20 * 66 - 2 + 12);
    if let Some(path) = std::env::var_os("LEARNGENE_CONTACT_SHEET") {
        fs::write(path, encode_png(&picture).unwrap()).unwrap();
    }
}
