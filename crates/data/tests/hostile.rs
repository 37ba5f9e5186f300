//! Broken, hostile and mistyped input: a clear error that names the file and the next step, never a panic, never a huge
//! allocation.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::Write;
use std::path::Path;

use learngene_data::image::encode_png;
use learngene_data::source;
use learngene_data::{
    BatchOrder, Batches, ClassMap, ClassSelection, Dataset, Error, Image, LoadOptions, Split,
};

fn load(path: &Path) -> Result<Dataset, Error> {
    load_text(path.to_str().unwrap(), "all")
}

fn strict(path: &Path) -> Result<Dataset, Error> {
    let options = LoadOptions {
        strict: true,
        ..LoadOptions::default()
    };
    Dataset::load(path.to_str().unwrap(), &ClassSelection::All, &options)
}

fn load_text(spec: &str, classes: &str) -> Result<Dataset, Error> {
    Dataset::load(spec, &classes.parse()?, &LoadOptions::default())
}

fn png() -> Vec<u8> {
    encode_png(&Image::filled(8, 8, &[1, 2, 3])).unwrap()
}

/// The error's text, which must hold all of `parts`.
fn assert_says<T>(result: Result<T, Error>, parts: &[&str]) {
    let text = result.err().expect("an error").to_string();
    for part in parts {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

#[test]
fn unknown_sources_list_what_is_accepted() {
    assert_says(
        load_text("builtin:emojy", "all"),
        &["did you mean `emoji`", "builtin:emoji-fluent3d", "idx"],
    );
    assert_says(
        load_text("/no/such/folder", "all"),
        &["/no/such/folder", "no such file", "CIFAR-10"],
    );
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("notes.txt");
    fs::write(&file, "hello").unwrap();
    assert_says(load(&file), &["notes.txt", "no known kind"]);
}

#[test]
fn a_truncated_image_among_good_ones_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    fs::write(root.path().join("a/good.png"), png()).unwrap();
    fs::write(root.path().join("a/cut.png"), &png()[..40]).unwrap();
    assert_says(
        strict(root.path()),
        &["cut.png", "replace the file or remove it"],
    );
    fs::write(root.path().join("a/cut.png"), "text in a PNG's clothing").unwrap();
    assert_says(
        strict(root.path()),
        &["cut.png", "neither PNG nor JPEG nor WebP"],
    );
}

#[test]
fn empty_folders_and_empty_classes_are_errors() {
    let root = tempfile::tempdir().unwrap();
    assert_says(
        load(root.path()),
        &["holds no image", "one sub-folder for each class"],
    );
    fs::create_dir_all(root.path().join("full")).unwrap();
    fs::create_dir_all(root.path().join("void")).unwrap();
    assert_says(load(root.path()), &["holds no image"]);
    fs::write(root.path().join("full/1.png"), png()).unwrap();
    assert_says(load(root.path()), &["`void`", "no training image"]);
    assert!(load_text(root.path().to_str().unwrap(), "full").is_ok());
}

#[test]
fn a_class_with_one_image_trains_on_it() {
    let root = tempfile::tempdir().unwrap();
    for class in ["one", "two"] {
        fs::create_dir(root.path().join(class)).unwrap();
        fs::write(root.path().join(class).join("1.png"), png()).unwrap();
    }
    let data = load(root.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| data.len(split)), [2, 0, 0]);
    let order = BatchOrder::Stratified {
        per_class: 3,
        null: 2,
        classes_per_step: None,
    };
    let mut batches = Batches::new(&data, order, 0, false).unwrap();
    assert_eq!(batches.batch(7).len(), batches.batch_size());
    assert_eq!(batches.batch_size(), 8);
}

fn idx_folder(images: &[u8], labels: &[u8], suffix: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join(format!("train-images-idx3-ubyte{suffix}")),
        images,
    )
    .unwrap();
    fs::write(
        root.path().join(format!("train-labels-idx1-ubyte{suffix}")),
        labels,
    )
    .unwrap();
    root
}

fn header(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn broken_idx_files_are_errors() {
    let labels = [header(&[0x0801, 2]), vec![0, 1]].concat();
    let whole = [header(&[0x0803, 2, 2, 2]), vec![0; 8]].concat();
    assert!(load(idx_folder(&whole, &labels, "").path()).is_ok());
    let images = "train-images-idx3-ubyte";
    for (bytes, said) in [
        (whole[..whole.len() - 1].to_vec(), "24 bytes"),
        (whole[..10].to_vec(), "no whole header"),
        (Vec::new(), "no whole header"),
        ([whole.clone(), vec![0]].concat(), "24 bytes"),
        (header(&[0x0803, 1 << 31, 28, 28]), "at most"),
        (header(&[0x0803, u32::MAX, u32::MAX, u32::MAX]), "at most"),
        (header(&[0x0803, 0, 28, 28]), "at least one"),
        (header(&[0x0d03, 2, 2, 2]), "0x00000d03"),
    ] {
        assert_says(
            load(idx_folder(&bytes, &labels, "").path()),
            &[images, said],
        );
    }
    let three = [header(&[0x0801, 3]), vec![0, 1, 1]].concat();
    assert_says(
        load(idx_folder(&whole, &three, "").path()),
        &["train-labels-idx1-ubyte", "2 labels"],
    );
    let root = idx_folder(&whole, &labels, "");
    fs::remove_file(root.path().join("train-labels-idx1-ubyte")).unwrap();
    assert_says(load(root.path()), &[images, "its labels beside it"]);
}

#[test]
fn gzip_bombs_are_unpacked_no_further_than_the_header_claims() {
    let labels = gzip(&[header(&[0x0801, 2]), vec![0, 1]].concat());
    // 256 MiB of zeros in 256 kB, behind a header that claims 8 bytes.
    let bomb = gzip(&[header(&[0x0803, 2, 2, 2]), vec![0; 256 << 20]].concat());
    assert_says(
        load(idx_folder(&bomb, &labels, ".gz").path()),
        &["8 bytes after the header", "more"],
    );
    let claims = gzip(&header(&[0x0803, 1 << 31, 28, 28]));
    assert_says(
        load(idx_folder(&claims, &labels, ".gz").path()),
        &["at most"],
    );
    let whole = gzip(&[header(&[0x0803, 2, 2, 2]), vec![0; 8]].concat());
    assert_says(
        load(idx_folder(&whole[..whole.len() - 9], &labels, ".gz").path()),
        &["train-images-idx3-ubyte.gz"],
    );
    assert_says(
        load(idx_folder(b"no gzip at all, really", &labels, ".gz").path()),
        &["train-images-idx3-ubyte.gz"],
    );
}

#[test]
fn class_lists_that_make_no_sense_are_errors() {
    assert_says(
        load_text("builtin:emoji", "face,brid"),
        &["`brid`", "did you mean `bird`", "portrait"],
    );
    assert_says(
        load_text("builtin:emoji", "face,face"),
        &["`face` stands there twice"],
    );
    assert_says(
        load_text("builtin:emoji", "face,,bird"),
        &["a name is empty"],
    );
    assert_says(load_text("builtin:emoji", ""), &["a name is empty"]);
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    fs::write(root.path().join("a/1.png"), png()).unwrap();
    let spec = root.path().to_str().unwrap();
    for which in ["base", "novel"] {
        assert_says(
            load_text(spec, which),
            &[&format!("select the {which} classes"), "class map"],
        );
    }
}

#[test]
fn class_maps_that_make_no_sense_are_errors() {
    let read = |text: &str| ClassMap::parse(text, Path::new("map.toml"));
    assert_says(
        read("bsae = ['face']"),
        &["map.toml", "unknown key `bsae`", "did you mean `base`"],
    );
    assert_says(read("base = ["), &["map.toml"]);
    assert_says(read("base = 'face'"), &["`base` must be a list"]);
    assert_says(read("[classes]\na = []"), &["`a` must be a list"]);
    assert_says(read("classes = ['a']"), &["`classes` must be a table"]);
    assert_says(
        read("[classes]\na = ['x']\nb = ['x']"),
        &["`x` is used twice"],
    );
    assert_says(read("base = ['x']\nnovel = ['x']"), &["`x` stands twice"]);
    let apply = |text: &str| {
        read(text)
            .unwrap()
            .apply(source::open("builtin:emoji", None).unwrap())
    };
    assert_says(
        apply("[classes]\na = ['clocks']"),
        &["`clocks`", "did you mean `clock`", "map.toml"],
    );
    assert_says(
        apply("base = ['b']\n[classes]\na = ['clock']"),
        &["`b`", "map.toml"],
    );
    let missing = source::open("builtin:emoji", Some(Path::new("/no/map.toml")));
    assert_says(missing, &["/no/map.toml"]);
}

#[test]
fn sizes_and_channels_out_of_range_are_errors() {
    for (options, said) in [
        (
            LoadOptions {
                image_size: Some(0),
                ..LoadOptions::default()
            },
            "image size",
        ),
        (
            LoadOptions {
                image_size: Some(1 << 40),
                ..LoadOptions::default()
            },
            "image size",
        ),
        (
            LoadOptions {
                channels: Some(4),
                ..LoadOptions::default()
            },
            "channels",
        ),
    ] {
        assert_says(
            Dataset::load("builtin:emoji", &ClassSelection::All, &options),
            &[said],
        );
    }
}

/// A tar of these files, in this order; a size replaces that in the header of the last one.
fn tar_of(path: &Path, files: &[(&str, &[u8])], claimed: Option<u64>) {
    let mut bytes = Vec::new();
    for (i, (name, content)) in files.iter().enumerate() {
        let mut header = tar::Header::new_ustar();
        // Written past the checks of `set_path`, as a hostile writer would.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        let last = i + 1 == files.len();
        header.set_size(claimed.filter(|_| last).unwrap_or(content.len() as u64));
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    fs::write(path, bytes).unwrap();
}

#[test]
fn hostile_shards_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let shard = root.path().join("s.tar");
    let png = png();
    let image = ("a.png", &png[..]);
    for (files, claimed, parts) in [
        (
            vec![("../a.png", &png[..])],
            None,
            &["`../a.png`", "stay inside"][..],
        ),
        (vec![("/tmp/a.png", &png[..])], None, &["`/tmp/a.png`"]),
        (vec![("b/../../a.cls", &b"1"[..])], None, &["stay inside"]),
        (vec![image], None, &["a class for `a`", ".cls"]),
        (
            vec![image, ("a.cls", b" \n")],
            None,
            &["a class in `a.cls`", "nothing"],
        ),
        (
            vec![image, ("a.cls", b"\xff\xfe")],
            None,
            &["a.cls", "utf-8"],
        ),
        (
            vec![image, ("a.json", b"{\"label\": ")],
            None,
            &["a.json", "EOF"],
        ),
        (
            vec![image, ("a.json", b"{\"caption\": \"x\"}")],
            None,
            &["a class for `a`"],
        ),
        (
            vec![("a.cls", b"1"), image],
            Some(1 << 40),
            &["the end of the file"],
        ),
        (
            vec![image, ("a.cls", b"1")],
            Some(1 << 33),
            &["the end of the file"],
        ),
        (vec![("a.txt", b"words")], None, &["no image"]),
    ] {
        tar_of(&shard, &files, claimed);
        assert_says(load(root.path()), parts);
    }
    tar_of(&shard, &[image, ("a.cls", b"3")], None);
    fs::write(root.path().join("classes.txt"), "cat\ndog").unwrap();
    assert_says(load(root.path()), &["classes.txt", "up to 3", "2 lines"]);
    fs::write(root.path().join("classes.txt"), "cat\ncat").unwrap();
    assert_says(load(root.path()), &["classes.txt", "`cat`", "once"]);
    fs::remove_file(root.path().join("classes.txt")).unwrap();
    fs::write(
        &shard,
        b"not a tar at all, but long enough to hold a header".repeat(20),
    )
    .unwrap();
    assert_says(load(root.path()), &["s.tar", "tar"]);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

/// Of it the decoder makes a panic, on a processor with AVX2: its tables and its scans do not go together. Found by fuzzing.
#[test]
fn an_image_that_makes_its_decoder_panic_is_broken_like_any_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/contradicting.jpg");
    let bytes = fs::read(&path).unwrap();
    let error = learngene_data::image::decode(&bytes, &path).unwrap_err();
    assert!(error.is_of_one_image(), "{error}");
    assert_says::<()>(Err(error), &["contradicting.jpg"]);
}
