//! Images that stay where they are: the same as in memory, whatever the order they are read in, and broken ones passed
//! over or refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use learngene_data::image::encode_png;
use learngene_data::{
    BatchOrder, Batches, ClassSelection, Dataset, Error, Image, LoadOptions, Split,
};

const CLASSES: [&str; 3] = ["cat", "dog", "owl"];

/// A picture that no other number has.
fn picture(number: usize) -> Vec<u8> {
    let mut image = Image::filled(10, 8, &[number as u8, 7, 9]);
    image.pixels[0] = 200;
    encode_png(&image).unwrap()
}

/// Thirty images of each class in folders.
fn folder(root: &Path) {
    for (class, name) in CLASSES.iter().enumerate() {
        let folder = root.join(name);
        fs::create_dir(&folder).unwrap();
        for i in 0..30 {
            fs::write(folder.join(format!("{i:02}.png")), picture(30 * class + i)).unwrap();
        }
    }
}

/// The same in shards of nine.
fn shards(root: &Path) {
    for shard in 0..10 {
        let file = fs::File::create(root.join(format!("{shard:03}.tar"))).unwrap();
        let mut tar = tar::Builder::new(file);
        for number in 9 * shard..9 * shard + 9 {
            let class = CLASSES[number % 3].as_bytes().to_vec();
            for (end, bytes) in [("png", picture(number)), ("cls", class)] {
                let mut header = tar::Header::new_ustar();
                header.set_size(bytes.len() as u64);
                let path = format!("{number:04}.{end}");
                tar.append_data(&mut header, path, &bytes[..]).unwrap();
            }
        }
        tar.finish().unwrap();
    }
}

fn load(root: &Path, stream: bool, strict: bool) -> Result<Dataset, Error> {
    let options = LoadOptions {
        image_size: Some(6),
        channels: Some(3),
        stream,
        strict,
        ..LoadOptions::default()
    };
    Dataset::load(root.to_str().unwrap(), &ClassSelection::All, &options)
}

fn planes(data: &Dataset, split: Split, i: usize, flip: bool) -> Vec<f32> {
    let mut out = vec![f32::NAN; data.values_per_image()];
    data.write_chw(split, i, flip, None, &mut out).unwrap();
    out
}

#[test]
fn what_streams_is_what_would_be_in_memory() {
    for fill in [folder, shards] {
        let root = tempfile::tempdir().unwrap();
        fill(root.path());
        let [memory, stream] = [false, true].map(|stream| load(root.path(), stream, true).unwrap());
        assert!(stream.streams() && !memory.streams());
        assert_eq!(stream.shape(), memory.shape());
        assert_eq!(stream.classes(), memory.classes());
        for split in Split::ALL {
            assert_eq!(stream.len(split), memory.len(split));
            // Backwards, so that nothing depends on the order of reading.
            for i in (0..memory.len(split)).rev() {
                assert_eq!(stream.id(split, i), memory.id(split, i));
                assert_eq!(stream.class_of(split, i), memory.class_of(split, i));
                assert_eq!(
                    stream.image(split, i).unwrap(),
                    memory.image(split, i).unwrap()
                );
                let flip = i % 2 == 1;
                assert_eq!(
                    planes(&stream, split, i, flip),
                    planes(&memory, split, i, flip)
                );
            }
        }
        let [few_in_memory, few] =
            [memory, stream].map(|d| d.with_images(Split::Train, 4).unwrap());
        assert_eq!(few.len(Split::Train), 12);
        for i in 0..12 {
            assert_eq!(
                few.image(Split::Train, i).unwrap(),
                few_in_memory.image(Split::Train, i).unwrap()
            );
        }
    }
}

#[test]
fn the_fingerprint_goes_by_names_and_says_that_it_does() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    folder(a.path());
    folder(b.path());
    let print = |root: &Path, stream| load(root, stream, true).unwrap().fingerprint().to_owned();
    assert_eq!(print(a.path(), true), print(b.path(), true));
    assert_ne!(print(a.path(), true), print(a.path(), false));
    fs::rename(b.path().join("cat/00.png"), b.path().join("cat/0x.png")).unwrap();
    assert_ne!(print(a.path(), true), print(b.path(), true));
}

#[test]
fn a_batch_of_shards_comes_from_few_of_them_and_an_epoch_from_all() {
    let root = tempfile::tempdir().unwrap();
    shards(root.path());
    let data = load(root.path(), true, true).unwrap();
    let plain = BatchOrder::Plain {
        batch: data.len(Split::Train),
        label_drop: 0.0,
    };
    let epoch = |seed, step| -> Vec<usize> {
        let mut batches = Batches::new(&data, plain, seed, false).unwrap();
        batches.batch(step).iter().map(|draw| draw.sample).collect()
    };
    let all: BTreeSet<usize> = (0..data.len(Split::Train)).collect();
    assert_eq!(epoch(1, 0).into_iter().collect::<BTreeSet<_>>(), all);
    assert_eq!(epoch(1, 5), epoch(1, 5));
    assert_ne!(epoch(1, 5), epoch(1, 6));
    assert_ne!(epoch(1, 5), epoch(2, 5));
}

#[test]
fn a_broken_image_is_left_out_or_refused() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let broken = root.path().join("dog/11.png");
    fs::write(&broken, &picture(41)[..50]).unwrap();

    let memory = load(root.path(), false, false).unwrap();
    assert_eq!(Split::ALL.iter().map(|s| memory.len(*s)).sum::<usize>(), 89);
    let said = memory.broken();
    assert!(
        said.len() == 1 && said[0].contains("dog/11.png"),
        "{said:?}"
    );
    let refused = load(root.path(), false, true).unwrap_err().to_string();
    assert!(refused.contains("dog/11.png"), "{refused}");

    let stream = load(root.path(), true, false).unwrap();
    let place = |data: &Dataset, id: &str| {
        let all = Split::ALL.into_iter();
        all.flat_map(|split| (0..data.len(split)).map(move |i| (split, i)))
            .find(|(split, i)| data.id(*split, *i) == id)
            .unwrap()
    };
    let (split, i) = place(&stream, "dog/11.png");
    assert!(stream.broken().is_empty(), "nothing was read yet");
    let instead = stream.image(split, i).unwrap();
    let of_class = stream.of_class(split, stream.class_of(split, i));
    let next = of_class
        .iter()
        .find(|other| **other > i)
        .unwrap_or(&of_class[0]);
    assert_eq!(instead, stream.image(split, *next).unwrap());
    assert_eq!(stream.broken(), said);
    let strict = load(root.path(), true, true).unwrap();
    let mut out = vec![0.0; strict.values_per_image()];
    let refused = strict
        .write_chw(split, i, false, None, &mut out)
        .unwrap_err();
    assert!(refused.to_string().contains("dog/11.png"), "{refused}");

    // A file that is gone is no broken image: the data set is not the one that was listed.
    fs::remove_file(&broken).unwrap();
    assert!(matches!(stream.image(split, i), Err(Error::Io { .. })));
}

#[test]
fn where_all_of_a_class_is_broken_there_is_nothing_to_take_its_place() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    for i in 0..30 {
        fs::write(root.path().join(format!("owl/{i:02}.png")), "no image").unwrap();
    }
    let data = load(root.path(), true, false).unwrap();
    let owl = data.of_class(Split::Train, 2)[0];
    assert!(data.image(Split::Train, owl).unwrap_err().is_of_one_image());
    assert_eq!(data.broken().len(), data.of_class(Split::Train, 2).len());
    let read = load(root.path(), false, false).unwrap_err().to_string();
    assert!(read.contains("`owl`"), "{read}");
}

#[test]
fn what_cannot_stream_says_so() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let options = LoadOptions {
        stream: true,
        ..LoadOptions::default()
    };
    let path = root.path().to_str().unwrap();
    let error = |spec: &str, options: &LoadOptions| {
        let loaded = Dataset::load(spec, &ClassSelection::All, options);
        loaded.unwrap_err().to_string()
    };
    assert!(error(path, &options).contains("--image-size"));
    assert!(error("builtin:emoji", &options).contains("leave out --stream"));
}

#[test]
fn a_class_map_lies_over_what_streams() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let map = root.path().join("map.toml");
    fs::write(&map, "[classes]\nbird = ['owl']\n").unwrap();
    let load = |stream| {
        let options = LoadOptions {
            image_size: Some(6),
            channels: Some(3),
            class_map: Some(map.clone()),
            stream,
            ..LoadOptions::default()
        };
        Dataset::load(
            root.path().to_str().unwrap(),
            &ClassSelection::All,
            &options,
        )
        .unwrap()
    };
    let [memory, stream] = [false, true].map(load);
    assert_eq!(stream.classes(), ["bird"]);
    assert_eq!(stream.len(Split::Train), memory.len(Split::Train));
    for i in 0..stream.len(Split::Train) {
        assert_eq!(
            stream.image(Split::Train, i).unwrap(),
            memory.image(Split::Train, i).unwrap()
        );
    }
}
