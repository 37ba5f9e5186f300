//! Latents on disk and in a data set.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use learngene_data::latents::{Batch, Entry, Latent, LatentWriter, Recipe};
use learngene_data::{
    Content, Dataset, Fit, Image, LatentSpace, LoadOptions, Purpose, Split, Statistics, Stream,
    source,
};
use learngene_formats::container;
use std::fs;
use std::path::Path;

const SHAPE: [usize; 3] = [2, 3, 2];
const SIZE: usize = 12;

fn recipe() -> Recipe {
    Recipe {
        source: "made up".into(),
        classes: vec!["a".into(), "b".into()],
        base: vec!["a".into()],
        novel: vec!["b".into()],
        image_size: Some(4),
        fit: Fit::Crop,
        channels: 3,
        space: LatentSpace {
            encoder: "0123".into(),
            scaling_factor: 0.5,
            shift_factor: 2.0,
        },
    }
}

/// Ten images, the last two of class b, one of them for testing.
fn batch(first: usize) -> Batch {
    let entry = |i: usize| Entry {
        id: format!("image {}", first + i),
        class: i / 8,
        split: Some(if i == 9 { Split::Test } else { Split::Train }),
    };
    Batch {
        entries: (0..10).map(entry).collect(),
        images: (0..10)
            .map(|i| Image::filled(4, 4, &[i as u8, first as u8, 7]))
            .collect(),
    }
}

/// Of image `i`: means i, log-variances ln 4; of the mirror image -i and ln 0.25.
fn latents() -> Vec<Latent> {
    let latent = |i: usize| Latent {
        shape: SHAPE,
        values: [i as f32, 4f32.ln(), -(i as f32), 0.25f32.ln()]
            .iter()
            .flat_map(|v| [*v; SIZE])
            .collect(),
    };
    (0..10).map(latent).collect()
}

fn write(folder: &Path) {
    let mut writer = LatentWriter::open(folder, recipe(), SHAPE).unwrap();
    for first in [0, 10] {
        let batch = batch(first);
        if !writer.holds(&batch).unwrap() {
            writer.write(&batch, &latents()).unwrap();
        }
    }
    writer.finish().unwrap();
}

fn load(folder: &Path, options: &LoadOptions) -> learngene_data::Result<Dataset> {
    Dataset::load(folder.to_str().unwrap(), &"all".parse().unwrap(), options)
}

fn refused(folder: &Path, part: &str) {
    let error = load(folder, &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn latents_are_drawn_scaled_from_the_distribution_of_image_or_mirror_image() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let data = load(folder.path(), &LoadOptions::default()).unwrap();
    assert_eq!((data.shape(), data.classes().len()), (SHAPE, 2));
    assert_eq!(data.latent_space(), Some(&recipe().space));
    assert_eq!(data.len(Split::Train) + data.len(Split::Val), 18);
    assert_eq!(data.id(Split::Test, 1), "image 19");
    let mut out = [0.0; SIZE];
    let of_three = (0..data.len(Split::Train))
        .find(|&i| data.id(Split::Train, i) == "image 3")
        .unwrap();
    // (3 - 2) / 2 and (-3 - 2) / 2.
    for (flip, mean, deviation) in [(false, 0.5, 1.0), (true, -2.5, 0.25)] {
        data.write_chw(Split::Train, of_three, flip, None, &mut out)
            .unwrap();
        assert_eq!(out, [mean; SIZE]);
        let stream = |index| Some(Stream::new(5, index, Purpose::Posterior));
        data.write_chw(Split::Train, of_three, flip, stream(0), &mut out)
            .unwrap();
        let mut normal = [0.0; SIZE];
        Stream::new(5, 0, Purpose::Posterior).fill_normal(&mut normal);
        for (found, normal) in out.iter().zip(normal) {
            assert!((found - (mean + deviation * normal)).abs() < 1e-6);
        }
        let before = out;
        data.write_chw(Split::Train, of_three, flip, stream(1), &mut out)
            .unwrap();
        assert_ne!(out, before);
    }
    let refused = data.image(Split::Test, 0).unwrap_err().to_string();
    assert!(refused.contains("it holds latents"), "{refused}");
}

#[test]
fn few_latents_of_each_class_are_some_of_them() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let all = load(folder.path(), &LoadOptions::default()).unwrap();
    let few = all.clone().with_images(Split::Train, 2).unwrap();
    assert_ne!(few.fingerprint(), all.fingerprint());
    let of = |data: &Dataset, id: &str| {
        let i = (0..data.len(Split::Train)).find(|&i| data.id(Split::Train, i) == id);
        let mut out = [0.0; SIZE];
        data.write_chw(Split::Train, i.unwrap(), true, None, &mut out)
            .unwrap();
        out
    };
    assert_eq!(few.len(Split::Train), 4);
    for i in 0..4 {
        let id = few.id(Split::Train, i);
        assert_eq!(of(&few, id), of(&all, id));
    }
}

#[test]
fn latents_that_stream_are_those_that_would_be_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let options = |stream| LoadOptions {
        stream,
        ..LoadOptions::default()
    };
    let [memory, stream] =
        [false, true].map(|stream| load(folder.path(), &options(stream)).unwrap());
    assert!(stream.streams() && !memory.streams());
    assert_eq!(stream.shape(), memory.shape());
    assert_eq!(stream.latent_space(), memory.latent_space());
    let same = |stream: &Dataset, memory: &Dataset| {
        for split in Split::ALL {
            assert_eq!(stream.len(split), memory.len(split));
            for i in (0..memory.len(split)).rev() {
                assert_eq!(stream.id(split, i), memory.id(split, i));
                for (flip, drawn) in [(false, false), (true, false), (false, true), (true, true)] {
                    let [found, expected] = [stream, memory].map(|data| {
                        let posterior = drawn.then(|| Stream::new(5, 1, Purpose::Posterior));
                        let mut out = [f32::NAN; SIZE];
                        data.write_chw(split, i, flip, posterior, &mut out).unwrap();
                        out.map(f32::to_bits)
                    });
                    assert_eq!(found, expected);
                }
            }
        }
    };
    same(&stream, &memory);
    let refused = stream.image(Split::Test, 0).unwrap_err().to_string();
    assert!(refused.contains("it holds latents"), "{refused}");
    let [few, few_in_memory] =
        [&stream, &memory].map(|data| data.clone().with_images(Split::Train, 2).unwrap());
    same(&few, &few_in_memory);

    // Names are the same where the encoder is another one: the fingerprint is not.
    let other = tempfile::tempdir().unwrap();
    let mut another = recipe();
    another.space.encoder = "4567".into();
    let mut writer = LatentWriter::open(other.path(), another, SHAPE).unwrap();
    for first in [0, 10] {
        writer.write(&batch(first), &latents()).unwrap();
    }
    writer.finish().unwrap();
    let another = load(other.path(), &options(true)).unwrap();
    assert_ne!(another.fingerprint(), stream.fingerprint());

    let wrong = LoadOptions {
        image_size: Some(32),
        ..options(true)
    };
    let error = load(folder.path(), &wrong).unwrap_err().to_string();
    assert!(error.contains("which these latents have"), "{error}");
    // What is damaged between listing and reading.
    fs::write(folder.path().join("latents-00000.safetensors"), b"cut").unwrap();
    let first = (0..stream.len(Split::Train)).find(|&i| stream.id(Split::Train, i) == "image 0");
    let mut out = [0.0; SIZE];
    let error = stream.write_chw(Split::Train, first.unwrap(), false, None, &mut out);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("latents-00000.safetensors"), "{error}");
}

#[test]
fn a_cache_is_a_source_with_classes_statistics_and_a_shape_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let spec = folder.path().to_str().unwrap();
    let cache = source::open(spec, None).unwrap();
    assert_eq!(cache.known_len(), Some(20));
    assert_eq!(cache.partition().unwrap().novel, ["b"]);
    let samples: Vec<_> = cache.samples().map(Result::unwrap).collect();
    assert_eq!(samples[13].content, Content::Latent(latents()[3].clone()));

    let found = Statistics::gather(&*cache).unwrap();
    assert_eq!((found.images, found.sizes.len()), (20, 1));
    // Of 0 to 9, shifted by 2 and halved; their variance is 8.25, that of each distribution 4.
    for (mean, std) in found.mean.iter().zip(&found.std) {
        assert!((mean - 1.25).abs() < 1e-6, "{mean}");
        assert!((std - 12.25f64.sqrt() / 2.0).abs() < 1e-6, "{std}");
    }
    for options in [
        LoadOptions {
            image_size: Some(32),
            ..LoadOptions::default()
        },
        LoadOptions {
            channels: Some(3),
            ..LoadOptions::default()
        },
    ] {
        let error = load(folder.path(), &options).unwrap_err().to_string();
        assert!(error.contains("which these latents have"), "{error}");
    }
    let map = folder.path().join("map.toml");
    fs::write(&map, "[classes]\nboth = [\"a\", \"b\"]\n").unwrap();
    let options = LoadOptions {
        class_map: Some(map),
        channels: Some(2),
        ..LoadOptions::default()
    };
    let merged = load(folder.path(), &options).unwrap();
    assert_eq!(
        (merged.classes(), merged.shape()),
        (&["both".to_owned()][..], SHAPE)
    );
}

#[test]
fn what_was_begun_is_gone_on_with_and_ends_as_the_same_files() {
    let [whole, begun] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    write(whole.path());
    let mut writer = LatentWriter::open(begun.path(), recipe(), SHAPE).unwrap();
    writer.write(&batch(0), &latents()).unwrap();
    drop(writer);
    refused(begun.path(), "not encoded to the end");
    write(begun.path());
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(whole.path()), names(begun.path()));
    assert_eq!(names(whole.path()).len(), 3);
    for name in names(whole.path()) {
        let read = |folder: &Path| fs::read(folder.join(&name)).unwrap();
        assert_eq!(read(whole.path()), read(begun.path()), "{name:?}");
    }

    // Other pixels, another encoder, fewer images.
    let mut other = batch(0);
    other.images[3].pixels[0] = 99;
    let mut writer = LatentWriter::open(begun.path(), recipe(), SHAPE).unwrap();
    let error = writer.holds(&other).unwrap_err().to_string();
    assert!(error.contains("other images"), "{error}");
    let mut another = recipe();
    another.space.encoder = "4567".into();
    let mut writer = LatentWriter::open(begun.path(), another, SHAPE).unwrap();
    assert!(writer.holds(&batch(0)).is_err());
    let mut writer = LatentWriter::open(begun.path(), recipe(), SHAPE).unwrap();
    assert!(writer.holds(&batch(0)).unwrap());
    let error = writer.finish().unwrap_err().to_string();
    assert!(error.contains("no more images"), "{error}");
}

#[test]
fn a_cache_that_is_not_what_it_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder);
    let (manifest, shard) = (
        folder.join("latents.json"),
        folder.join("latents-00001.safetensors"),
    );
    let text = fs::read_to_string(&manifest).unwrap();
    for (from, to, part) in [
        ("\"0123\"", "\"0124\"", "checksum"),
        ("\"version\": 1", "\"version\": 2", "version 2"),
        ("\"recipe\"", "\"recipes\"", "unknown field"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&manifest, text.replacen(from, to, 1)).unwrap();
        refused(folder, part);
    }
    // More images than the shard has; a shape that overflows.
    let shards = text.rfind("10").unwrap();
    let more = format!("{}11{}", &text[..shards], &text[shards + 2..]);
    fs::write(&manifest, more).unwrap();
    refused(folder, "expected 11 images");
    let side = text.rfind("3,").unwrap();
    let huge = format!("{}{}{}", &text[..side], usize::MAX, &text[side + 1..]);
    fs::write(&manifest, huge).unwrap();
    refused(folder, "more than there can be");
    let count = format!("{}{}{}", &text[..shards], usize::MAX, &text[shards + 2..]);
    fs::write(&manifest, count).unwrap();
    refused(folder, "more than there can be");
    fs::write(&manifest, &text).unwrap();

    let good = container::read(&shard).unwrap();
    let mut bad = good.clone();
    bad.tensors.get_mut("mirrored.mean").unwrap().values[5] = f32::NAN;
    container::write(&shard, &bad).unwrap();
    refused(folder, "NaN or infinite");
    let mut bad = good.clone();
    bad.metadata.insert("recipe".into(), "0".into());
    container::write(&shard, &bad).unwrap();
    refused(folder, "another cache");
    let mut bad = good.clone();
    let entries = bad.metadata["entries"].replace("\"class\":1", "\"class\":2");
    bad.metadata.insert("entries".into(), entries);
    container::write(&shard, &bad).unwrap();
    refused(folder, "10 images of 2 classes");
    let mut bad = good.clone();
    bad.tensors.get_mut("mean").unwrap().values[5] = 0.25;
    container::write(&shard, &bad).unwrap();
    refused(
        folder,
        "the values of its latent 0 are not those that were written",
    );
    // A cache of an older version has no hashes.
    bad.metadata.remove("hashes").unwrap();
    container::write(&shard, &bad).unwrap();
    assert!(load(folder, &LoadOptions::default()).is_ok());
    fs::write(&shard, b"cut").unwrap();
    refused(folder, "too few to hold a header");
    fs::remove_file(&shard).unwrap();
    refused(folder, "latents-00001.safetensors");

    let empty = text.replace("10,\n", "").replace("10\n", "");
    fs::write(&manifest, empty).unwrap();
    refused(folder, "holds no image");
}
