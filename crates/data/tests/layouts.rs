//! How people lay out their images: folders and shards as other programs read and write them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use learngene_data::image::encode_png;
use learngene_data::source::{self, Source};
use learngene_data::{ClassSelection, Dataset, Error, Image, LoadOptions, Split, Statistics};

fn write(root: &Path, file: &str, bytes: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn png(shade: u8) -> Vec<u8> {
    encode_png(&Image::filled(4, 4, &[shade, 2, 3])).unwrap()
}

fn images(root: &Path, files: &[&str]) {
    for (file, shade) in files.iter().zip(0..) {
        write(root, file, &png(shade));
    }
}

fn open(path: &Path) -> Result<Box<dyn Source>, Error> {
    source::open(path.to_str().unwrap(), None)
}

/// The number of images of each class.
fn counts(source: &dyn Source) -> Vec<(String, usize)> {
    let mut counts = vec![0; source.class_names().len()];
    for sample in source.samples() {
        counts[sample.unwrap().class] += 1;
    }
    source.class_names().iter().cloned().zip(counts).collect()
}

fn expect(path: &Path, expected: &[(&str, usize)]) {
    let found = counts(&*open(path).unwrap());
    let found: Vec<(&str, usize)> = found.iter().map(|(name, n)| (&name[..], *n)).collect();
    assert_eq!(found, expected, "{}", path.display());
}

/// The files that a note of this kind names.
fn noted(source: &dyn Source, what: &str) -> Vec<String> {
    let notes = source
        .notes()
        .into_iter()
        .filter(|note| note.what.contains(what));
    let names = notes.flat_map(|note| note.of);
    names
        .map(|name| name.rsplit('/').next().unwrap().to_owned())
        .collect()
}

#[test]
fn images_below_a_class_folder_are_of_the_class_at_any_depth() {
    let root = tempfile::tempdir().unwrap();
    images(
        root.path(),
        &["a/0.png", "a/2023/1.png", "a/2024/x/2.png", "b/2023/3.png"],
    );
    expect(root.path(), &[("a", 3), ("b", 1)]);
    assert!(open(root.path()).unwrap().skipped().is_empty());
}

#[test]
fn what_systems_leave_lying_about_is_no_class_and_no_image() {
    let root = tempfile::tempdir().unwrap();
    images(root.path(), &["a/0.png", "b/0.png"]);
    for file in [
        "__MACOSX/a/._0.png",
        "a/._0.png",
        "a/.DS_Store",
        "b/Thumbs.db",
        "b/desktop.ini",
        "@eaDir/a/0.png",
    ] {
        write(root.path(), file, b"\0\x05\x16\x07");
    }
    expect(root.path(), &[("a", 1), ("b", 1)]);
    let source = open(root.path()).unwrap();
    assert!(source.skipped().is_empty() && source.notes().is_empty());
}

#[test]
fn a_flat_folder_is_one_class_of_its_name() {
    let root = tempfile::tempdir().unwrap();
    images(root.path(), &["flowers/0.png", "flowers/1.png"]);
    let flat = root.path().join("flowers");
    expect(&flat, &[("flowers", 2)]);
    assert!(source::is_flat(&flat).unwrap() && !source::is_flat(root.path()).unwrap());
    images(
        root.path(),
        &[
            "parted/train/0.png",
            "parted/train/1.png",
            "parted/test/2.png",
        ],
    );
    let parted = open(&root.path().join("parted")).unwrap();
    assert_eq!(parted.class_names(), ["parted"]);
    let tested = parted
        .samples()
        .filter(|s| s.as_ref().unwrap().split == Some(Split::Test));
    assert_eq!(tested.count(), 1);
    // Beside class folders, images of no class are named and not taken for text.
    images(
        root.path(),
        &["mixed/a/0.png", "mixed/b/1.png", "mixed/cover.png"],
    );
    let mixed = open(&root.path().join("mixed")).unwrap();
    assert_eq!(noted(&*mixed, "no class folder"), ["cover.png"]);
    assert!(mixed.skipped().is_empty());
}

#[test]
fn tiny_imagenet_is_read_and_its_unsorted_validation_images_are_named() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("tiny-imagenet-200");
    for i in 0..12 {
        for class in ["n01", "n02"] {
            images(&inner, &[&format!("train/{class}/images/{class}_{i}.png")]);
            write(
                &inner,
                &format!("train/{class}/{class}_boxes.txt"),
                b"0 0 9 9",
            );
        }
    }
    images(&inner, &["val/images/val_0.png", "test/images/test_0.png"]);
    write(&inner, "wnids.txt", b"n01\nn02\n");
    for path in [&inner, root.path()] {
        expect(path, &[("n01", 12), ("n02", 12)]);
        let source = open(path).unwrap();
        assert_eq!(
            noted(&*source, "none of whose folders"),
            ["test_0.png", "val_0.png"]
        );
        assert!(
            source
                .samples()
                .all(|s| s.unwrap().split == Some(Split::Train))
        );
    }
    // A validation class that is among those of train, and one that is not, are both classes.
    images(&inner, &["val/n01/0.png"]);
    let source = open(&inner).unwrap();
    assert_eq!(source.class_names(), ["images", "n01", "n02"]);
}

#[test]
fn a_single_folder_around_classes_is_one_class_and_that_is_said() {
    let root = tempfile::tempdir().unwrap();
    images(root.path(), &["photos/cat/0.png", "photos/dog/1.png"]);
    expect(root.path(), &[("photos", 2)]);
    assert_eq!(
        noted(&*open(root.path()).unwrap(), "a single one"),
        ["photos"]
    );
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_are_an_error() {
    let root = tempfile::tempdir().unwrap();
    images(root.path(), &["a/0.png", "b/0.png"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("a/loop")).unwrap();
    let error = open(root.path()).unwrap_err().to_string();
    assert!(error.contains("circle"), "{error}");
}

#[test]
fn formats_that_are_not_read_are_named_and_are_never_no_images() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "a/1.avif",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    );
    write(
        root.path(),
        "a/2.HEIC",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    );
    let error = open(root.path()).unwrap_err().to_string();
    assert!(
        error.contains("2 pictures") && error.contains("(AVIF, HEIC)"),
        "{error}"
    );
    // One that is called otherwise is a broken image that is named.
    images(root.path(), &["a/0.png"]);
    write(
        root.path(),
        "a/3.jpg",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    );
    let source = open(root.path()).unwrap();
    assert!(source.skipped().is_empty());
    assert_eq!(noted(&*source, "(AVIF)"), ["1.avif"]);
    let found = Statistics::gather(&*source).unwrap();
    assert!(found.broken[0].contains("it is AVIF"), "{:?}", found.broken);
}

#[test]
fn numbers_have_one_order_everywhere() {
    let root = tempfile::tempdir().unwrap();
    let names = ["0", "2", "10", "11"];
    let mut shard = Vec::new();
    for (i, class) in names.iter().enumerate() {
        images(root.path(), &[&format!("folder/{class}/0.png")]);
        shard.push((format!("{i}.png"), png(0)));
        shard.push((format!("{i}.cls"), class.as_bytes().to_vec()));
    }
    write(root.path(), "one.tar", &tar(&shard));
    for place in ["folder", "one.tar"] {
        assert_eq!(
            open(&root.path().join(place)).unwrap().class_names(),
            names,
            "{place}"
        );
    }
    images(root.path(), &["folder/2b/0.png"]);
    let mixed = open(&root.path().join("folder")).unwrap();
    assert_eq!(mixed.class_names(), ["0", "10", "11", "2", "2b"]);
}

/// A tar of files, in their order.
fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        append(&mut tar, tar::EntryType::Regular, name, bytes);
    }
    tar.into_inner().unwrap()
}

fn append(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes).unwrap();
}

fn shard(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let files: Vec<_> = files
        .iter()
        .map(|(n, b)| ((*n).to_owned(), b.to_vec()))
        .collect();
    write(root.path(), "s.tar", &tar(&files));
    root
}

#[test]
fn files_that_begin_with_a_dot_or_belong_to_the_shard_are_no_samples() {
    let picture = png(1);
    let double = b"\0\x05\x16\x07".as_slice();
    let root = shard(&[
        ("__meta__", b"no json"),
        ("__meta__/x.cls", b"nothing"),
        ("./._0000.png", double),
        ("./0000.png", &picture),
        ("./._0000.cls", double),
        ("./0000.cls", b"4"),
        (".hidden.png", double),
        ("__MACOSX/._a.png", double),
    ]);
    expect(&root.path().join("s.tar"), &[("4", 1)]);
    assert!(open(root.path()).unwrap().skipped().is_empty());
}

#[test]
fn splits_stand_in_the_names_of_shards_and_of_their_folders() {
    let root = tempfile::tempdir().unwrap();
    let one = |name: &str| {
        tar(&[
            (format!("{name}.png"), png(0)),
            (format!("{name}.cls"), b"0".to_vec()),
        ])
    };
    for (file, split) in [
        ("imagenet-train-0000.tar", Split::Train),
        ("imagenet-validation-00.tar", Split::Val),
        ("test/0.tar", Split::Test),
        ("dev/0.tar", Split::Val),
    ] {
        write(root.path(), file, &one(file.trim_end_matches(".tar")));
        let source = open(root.path()).unwrap();
        let found: BTreeMap<String, Option<Split>> = source
            .samples()
            .map(|sample| sample.unwrap())
            .map(|sample| (sample.id, sample.split))
            .collect();
        let mine = found.iter().find(|(id, _)| id.starts_with(file)).unwrap();
        assert_eq!(*mine.1, Some(split), "{file}");
    }
}

#[test]
fn labels_are_taken_as_webdataset_and_datasets_take_them() {
    let picture = png(1);
    let root = shard(&[
        // A byte order mark, which json.loads passes over.
        ("0.png", &picture),
        ("0.json", b"\xef\xbb\xbf{\"cls\": 7}"),
        ("1.png", &picture),
        ("1.cls", b"\xef\xbb\xbf7\n"),
        // `datasets` means no class by -1.
        ("2.png", &picture),
        ("2.cls", b"-1"),
        ("3.png", &picture),
        ("3.json", b"{\"label\": null}"),
        // Both are there: the .cls is taken, and that is said.
        ("4.png", &picture),
        ("4.json", b"{\"label\": 3}"),
        ("4.cls", b"11"),
        // A name beside a number is no contradiction.
        ("5.cls", b"11"),
        ("5.json", b"{\"label\": \"cat\"}"),
        ("5.png", &picture),
        // The only image has an extension in parts; a mask beside an image is none.
        ("6.left.png", &picture),
        ("6.cls", b"7"),
        ("7.seg.png", b"a mask"),
        ("7.png", &picture),
        ("7.cls", b"7"),
    ]);
    let path = root.path().join("s.tar");
    expect(&path, &[("7", 4), ("11", 2)]);
    let source = open(&path).unwrap();
    assert_eq!(source.skipped().len(), 1);
    assert!(source.skipped()[0].ends_with("2 samples without a class"));
    assert_eq!(noted(&*source, "different classes"), ["4"]);
}

#[test]
fn a_file_that_stands_twice_in_a_sample_is_refused_as_by_webdataset() {
    let picture = png(1);
    let root = shard(&[("0.png", &picture), ("0.PNG", &picture), ("0.cls", b"1")]);
    let error = open(root.path()).unwrap_err().to_string();
    assert!(
        error.contains("`0.PNG` twice") && error.contains("s.tar"),
        "{error}"
    );
}

#[test]
fn links_are_named_and_files_with_holes_refused() {
    let mut links = tar::Builder::new(Vec::new());
    append(&mut links, tar::EntryType::Regular, "0.png", &png(1));
    append(&mut links, tar::EntryType::Regular, "0.cls", b"5");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    links.append_link(&mut header, "1.png", "0.png").unwrap();
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "s.tar", &links.into_inner().unwrap());
    expect(root.path(), &[("5", 1)]);
    assert_eq!(noted(&*open(root.path()).unwrap(), "links"), ["1.png"]);

    let refused = |bytes: Vec<u8>| {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "s.tar", &bytes);
        let error = open(root.path()).unwrap_err().to_string();
        assert!(
            error.contains("holes") && error.contains("--sparse"),
            "{error}"
        );
    };
    let mut named = tar::Builder::new(Vec::new());
    append(
        &mut named,
        tar::EntryType::Regular,
        "GNUSparseFile.7/0.png",
        b"1\n0\n4\n",
    );
    refused(named.into_inner().unwrap());
    let mut keyed = tar::Builder::new(Vec::new());
    keyed
        .append_pax_extensions([("GNU.sparse.major", &b"1"[..])])
        .unwrap();
    append(&mut keyed, tar::EntryType::Regular, "0.png", b"1\n0\n4\n");
    refused(keyed.into_inner().unwrap());
}

#[test]
fn shares_set_the_splits_of_a_flat_set() {
    let root = tempfile::tempdir().unwrap();
    for i in 0..60 {
        images(root.path(), &[&format!("a/{i}.png")]);
    }
    let load = |val, test| {
        let options = LoadOptions {
            shares: learngene_data::Shares { val, test },
            ..LoadOptions::default()
        };
        Dataset::load(
            root.path().to_str().unwrap(),
            &ClassSelection::All,
            &options,
        )
    };
    let all = load(Some(0.0), Some(0.0)).unwrap();
    assert_eq!(Split::ALL.map(|split| all.len(split)), [60, 0, 0]);
    assert!(all.split_rule().contains("100/0/0"), "{}", all.split_rule());
    let plain = load(None, None).unwrap();
    let shared = load(Some(0.1), Some(0.1)).unwrap();
    assert_eq!(plain.fingerprint(), shared.fingerprint());
    let error = load(Some(0.6), Some(0.6)).unwrap_err().to_string();
    assert!(error.contains("less than 1 together"), "{error}");
}
