//! Sources of images, gone through as training would.

use std::path::Path;

use learngene_data::image::Image;
use learngene_data::latents::Content;
use learngene_data::{ClassSelection, Dataset, LoadOptions, Source, Split, source};

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
    let streams = source.indexed().is_some();
    let options = LoadOptions {
        image_size: (!latents).then_some(4),
        stream: streams,
        ..LoadOptions::default()
    };
    match Dataset::from_source(source, &ClassSelection::All, &options) {
        Ok(data) => {
            for i in 0..data.len(Split::Train) {
                assert!(data.class_of(Split::Train, i) < classes);
            }
            drop(data.broken());
        }
        Err(error) => drop(error.to_string()),
    }
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
