//! Latents of the images of a source, for models to be trained on: where an autoencoder meets data.

use crate::error::{Error, Result};
use crate::weights;
use burn::tensor::{Tensor, TensorData};
use learngene_data::image::MAX_SIDE;
use learngene_data::latents::{Batch, Entry, Latent, LatentWriter, Recipe, SHARD};
use learngene_data::source::whole;
use learngene_data::{Image, LatentSpace, LoadOptions, Sample, Source};
use learngene_formats::{TensorEntry, fingerprint};
use learngene_nn::{Autoencoder, Moments, params};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pixels that are encoded at once; with the network of Stable Diffusion a pixel takes half a kilobyte a layer.
const PIXELS: usize = 1 << 18;

/// What the latents of an autoencoder mean: those of another encoder, or scaled otherwise, are of another space.
pub fn latent_space(autoencoder: &Autoencoder) -> LatentSpace {
    let config = autoencoder.config();
    let (scaling_factor, shift_factor) = (config.scaling_factor, config.shift_factor);
    let mut tensors: Vec<(String, TensorEntry)> = weights::entries(&params::values(autoencoder))
        .into_iter()
        .filter(|(name, _)| name.starts_with("encoder.") || name.starts_with("quant_conv."))
        .collect();
    let factors = TensorEntry {
        shape: vec![2],
        values: vec![scaling_factor as f32, shift_factor as f32],
    };
    tensors.push(("factors".into(), factors));
    LatentSpace {
        encoder: fingerprint(tensors.iter().map(|(name, tensor)| (name, tensor))),
        scaling_factor,
        shift_factor,
    }
}

/// What was encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Images whose latents are in the cache.
    pub images: u64,
    /// Broken images that were left out: which, and why.
    pub broken: Vec<String>,
}

/// Encodes all images of a source, and their mirror images, into a cache in `folder`
/// ([`learngene_data::latents`]), or goes on with it.
///
/// - options: the image size, without which images must be of one size, and whether broken ones are refused
/// - stop: looked at between batches; what is whole by then stays
/// - observe: gets the number of images that are done
///
/// Returns what was encoded, or nothing if it was stopped.
///
/// # Errors
/// Images that do not fit the autoencoder; what the source reports; a folder of other latents.
pub fn encode(
    source: &dyn Source,
    autoencoder: &Autoencoder,
    options: &LoadOptions,
    folder: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(u64),
) -> Result<Option<Encoded>> {
    let image_size = options.image_size;
    if source.latent_space().is_some() {
        let origin = source.name().to_owned();
        return Err(learngene_data::Error::NoImages { origin }.into());
    }
    if let Some(size) = image_size.filter(|size| !(1..=MAX_SIDE as usize).contains(size)) {
        return Err(learngene_data::Error::Setting {
            name: "image size",
            value: size.to_string(),
            expected: format!("1 to {MAX_SIDE} pixels"),
        }
        .into());
    }
    let partition = source.partition().cloned().unwrap_or_default();
    let recipe = Recipe {
        source: source.name().to_owned(),
        classes: source.class_names().to_vec(),
        base: partition.base,
        novel: partition.novel,
        image_size,
        fit: options.fit,
        channels: autoencoder.config().image_channels,
        space: latent_space(autoencoder),
    };
    let mut broken = Vec::new();
    let mut samples = whole(source, options.strict, |_, error| {
        broken.push(error.to_string())
    });
    let mut writer: Option<LatentWriter> = None;
    let mut first: Option<(String, [u32; 2])> = None;
    let mut done = 0;
    loop {
        let mut batch = Batch {
            entries: Vec::new(),
            images: Vec::new(),
        };
        while let Some(sample) = (batch.images.len() < SHARD)
            .then(|| samples.next())
            .flatten()
        {
            let (entry, image) = prepared(sample?, &recipe)?;
            let size = [image.width, image.height];
            let (first_id, first) = first.get_or_insert((entry.id.clone(), size));
            if *first != size {
                let (first_id, first) = (first_id.clone(), *first);
                let (other_id, other) = (entry.id, size);
                return Err(learngene_data::Error::MixedSizes {
                    first_id,
                    first,
                    other_id,
                    other,
                }
                .into());
            }
            batch.entries.push(entry);
            batch.images.push(image);
        }
        let Some(image) = batch.images.first() else {
            break;
        };
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                let shape = [image.channels, image.height, image.width].map(|side| side as usize);
                let shape = autoencoder.config().latent_shape(shape)?;
                writer.insert(LatentWriter::open(folder, recipe.clone(), shape)?)
            }
        };
        if !writer.holds(&batch)? {
            match latents(autoencoder, &batch.images, stop)? {
                Some(latents) => writer.write(&batch, &latents)?,
                None => return Ok(None),
            }
        }
        done += batch.images.len() as u64;
        observe(done);
    }
    match writer {
        Some(writer) => writer.finish()?,
        None => {
            return Err(learngene_data::Error::EmptySource {
                origin: source.name().to_owned(),
                hint: "there is nothing to encode",
            }
            .into());
        }
    }
    drop(samples);
    Ok(Some(Encoded {
        images: done,
        broken,
    }))
}

/// A sample as it is encoded.
fn prepared(sample: Sample, recipe: &Recipe) -> Result<(Entry, Image)> {
    let entry = Entry {
        id: sample.id,
        class: sample.class,
        split: sample.split,
    };
    let image = sample.content.image();
    let image = image.ok_or_else(|| learngene_data::Error::NoImages {
        origin: entry.id.clone(),
    })?;
    let image = match recipe.image_size {
        Some(size) => image.fitted(size as u32, recipe.fit),
        None => image.clone(),
    };
    Ok((entry, image.with_channels(recipe.channels as u32)))
}

/// The latents of images of one size, or none if it is asked to stop.
fn latents(
    autoencoder: &Autoencoder,
    images: &[Image],
    stop: &AtomicBool,
) -> Result<Option<Vec<Latent>>> {
    let mut all = Vec::with_capacity(images.len());
    let area = images
        .first()
        .map_or(1, |i| i.width as usize * i.height as usize);
    for part in images.chunks((PIXELS / area.max(1)).max(1)) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mirrored: Vec<Image> = part.iter().map(Image::flipped).collect();
        let (plain, mirrored) = (
            moments(autoencoder, part)?,
            moments(autoencoder, &mirrored)?,
        );
        let [_, c, h, w] = plain.mean.dims();
        let parts = [
            plain.mean,
            plain.log_variance,
            mirrored.mean,
            mirrored.log_variance,
        ];
        let parts = parts.map(params::to_vec);
        let size = c * h * w;
        all.extend((0..part.len()).map(|i| {
            Latent {
                shape: [c, h, w],
                values: (parts.iter())
                    .flat_map(|values| &values[i * size..][..size])
                    .copied()
                    .collect(),
            }
        }));
    }
    Ok(Some(all))
}

fn moments(autoencoder: &Autoencoder, images: &[Image]) -> Result<Moments> {
    let shape = images
        .first()
        .map_or([0; 3], |i| [i.channels, i.height, i.width]);
    let [c, h, w] = shape.map(|side| side as usize);
    let values: Vec<f32> = images.iter().flat_map(Image::to_chw).collect();
    let data = TensorData::new(values, [images.len(), c, h, w]);
    let images = Tensor::<4>::from_data(data, &autoencoder.device());
    autoencoder.encode(images).map_err(Error::from)
}
