//! Sources of images, gone through as training would.

use std::path::Path;

use learngene_data::image::Image;
use learngene_data::latents::Content;
use learngene_data::{
    BatchOrder, Batches, ClassSelection, Dataset, LoadOptions, Purpose, Source, Split, Stream,
    source,
};

/// Opens whatever lies at `path` and reads all of it, one by one and as a data set.
pub fn read(path: &Path) {
    let spec = path.to_str().expect("a path of our own is text");
    match source::open(spec, None) {
        Ok(source) => go_through(source),
        Err(error) => drop(error.to_string()),
    }
}

/// Reads all samples of a source, which must be what its trait promises.
pub fn go_through(source: Box<dyn Source>) {
    let classes = source.class_names().len();
    let (mut count, mut whole) = (0, true);
    for sample in source.samples() {
        match sample {
            Ok(sample) => {
                assert!(sample.class < classes, "{sample:?} of {classes} classes");
                check(&sample.content);
            }
            Err(error) => {
                drop(error.to_string());
                whole &= error.is_of_one_image();
            }
        }
        if !whole {
            break;
        }
        count += 1;
    }
    if whole && let Some(known) = source.known_len() {
        assert_eq!(known, count);
    }
    let latents = source.latent_space().is_some();
    let options = LoadOptions {
        image_size: (!latents).then_some(4),
        // Half of those that can be read as they are wanted are; the others are read into memory.
        stream: source.indexed().is_some() && count % 2 == 0,
        ..LoadOptions::default()
    };
    match Dataset::from_source(source, &ClassSelection::All, &options) {
        Ok(data) => draw(&data, classes),
        Err(error) => drop(error.to_string()),
    }
}

/// Draws two batches in the order of training.
fn draw(data: &Dataset, classes: usize) {
    for i in 0..data.len(Split::Train) {
        assert!(data.class_of(Split::Train, i) < classes);
    }
    let order = BatchOrder::Plain {
        batch: 4,
        label_drop: 0.5,
    };
    let mut batches = Batches::new(data, order, 0, true).expect("an order that is possible");
    let mut out = vec![0.0; data.values_per_image()];
    for draw in (0..2).flat_map(|step| batches.batch(step)) {
        let posterior = Some(Stream::new(0, draw.index, Purpose::Posterior));
        let written = data.write_chw(Split::Train, draw.sample, draw.flip, posterior, &mut out);
        match written {
            Ok(()) if data.latent_space().is_none() => {
                assert!(out.iter().all(|value| value.abs() <= 1.0));
            }
            Ok(()) => {}
            Err(error) => drop(error.to_string()),
        }
    }
    drop(data.broken());
}

/// An image or latent has as many values as its shape says.
fn check(content: &Content) {
    match content {
        Content::Image(image) => check_image(image),
        Content::Latent(latent) => {
            assert_eq!(
                latent.values.len(),
                4 * latent.shape.iter().product::<usize>()
            );
        }
    }
}

/// An image has a pixel, 1 or 3 channels, and as many bytes as it says.
pub fn check_image(image: &Image) {
    assert!(matches!(image.channels, 1 | 3));
    assert!(image.byte_count() > 0);
    assert_eq!(image.pixels.len(), image.byte_count());
}

/// Decodes an image file and brings it to size.
pub fn decode(bytes: &[u8]) {
    match learngene_data::image::decode(bytes, Path::new("image")) {
        Ok(image) => {
            check_image(&image);
            check_image(&image.centre_crop(8));
        }
        Err(error) => drop(error.to_string()),
    }
}
