//! From a source to a data set: samples are read or listed, brought to one shape and put into their splits.

use std::sync::{Arc, PoisonError};

use super::shaping::{Shaping, fits};
use super::stored::Stored;
use super::values::{PER_VALUE, Values};
use super::{Broken, Dataset, LoadOptions, Part, broken_in, fingerprint};
use crate::error::{Error, Result};
use crate::latents::{Content, Entry};
use crate::source::{self, Indexed, Source};
use crate::split::{self, Item, Shares, Split};

/// The most bytes a data set may decode to.
const MAX_BYTES: u64 = 8 << 30;

impl Dataset {
    /// The data set of what a source holds, read into memory.
    pub(super) fn read(
        source: &dyn Source,
        classes: Vec<String>,
        renumbered: &[Option<usize>],
        options: &LoadOptions,
    ) -> Result<Self> {
        let broken = Broken::default();
        let loaded = read(source, renumbered, options, MAX_BYTES, &broken)?;
        let channels = (loaded.iter().map(|(_, content)| content.shape()[0])).max();
        let [_, height, width] = loaded.first().map_or([0; 3], |(_, one)| one.shape());
        let shape = [channels.unwrap_or(3), height, width];
        let none = Values::empty(source.latent_space());
        Self::divided(
            source,
            (classes, shape, none, broken),
            (loaded, options.shares),
            |to, content| to.push(content, shape[0] as u32),
        )
    }

    /// The data set of what a source holds, left there.
    pub(super) fn listed(
        source: Arc<dyn Source>,
        classes: Vec<String>,
        renumbered: &[Option<usize>],
        options: &LoadOptions,
    ) -> Result<Self> {
        let Some(samples) = source.indexed() else {
            return Err(Error::NoStream {
                origin: source.name().to_owned(),
            });
        };
        let (shape, shaping) = match source.latent_space() {
            Some(_) => (shape_of_latents(samples, options)?, Shaping::default()),
            None => Shaping::fixed(options)?,
        };
        let listed = (0..samples.count()).filter_map(|number| {
            let entry = samples.entry(number);
            let class = renumbered.get(entry.class).copied().flatten()?;
            Some((Entry { class, ..entry }, number))
        });
        let broken = Broken::default();
        let none = Stored::none_of(
            Arc::clone(&source),
            shaping,
            options.strict,
            Arc::clone(&broken),
        );
        Self::divided(
            &*source,
            (classes, shape, Values::Stored(none), broken),
            (listed.collect(), options.shares),
            |to, number| to.list(number),
        )
    }

    /// Puts samples into their splits.
    fn divided<T>(
        source: &dyn Source,
        (classes, shape, none, broken): (Vec<String>, [usize; 3], Values, Broken),
        (samples, shares): (Vec<(Entry, T)>, Shares),
        push: impl Fn(&mut Values, T),
    ) -> Result<Self> {
        let items: Vec<Item<'_>> = (samples.iter())
            .map(|(one, _)| Item {
                id: &one.id,
                class: one.class,
                official: one.split,
            })
            .collect();
        let (splits, rule) = split::assign(&items, classes.len(), shares);
        let mut trained = vec![false; classes.len()];
        for (item, split) in items.iter().zip(&splits) {
            trained[item.class] |= *split == Split::Train;
        }
        if let Some((class, _)) = classes.iter().zip(trained).find(|(_, trained)| !trained) {
            return Err(Error::EmptyClass {
                class: class.clone(),
                origin: source.name().to_owned(),
                broken: broken_in(&broken).first().cloned(),
            });
        }
        let mut parts = [(); 3].map(|()| Part::empty(none.clone(), classes.len()));
        for ((one, value), split) in samples.into_iter().zip(splits) {
            let part = &mut parts[split as usize];
            part.by_class[one.class].push(part.labels.len());
            part.labels.push(one.class);
            part.ids.push(one.id);
            push(&mut part.values, value);
        }
        Ok(Self {
            latents: source.latent_space().cloned(),
            name: source.name().to_owned(),
            fingerprint: fingerprint(&classes, shape, &parts),
            classes,
            shape,
            parts,
            broken,
            rule,
            notes: source.notes(),
        })
    }
}

/// The shape that all latents of a source have, which must be the one that is asked for, if one is.
fn shape_of_latents(samples: &dyn Indexed, options: &LoadOptions) -> Result<[usize; 3]> {
    let first = match samples.count() {
        0 => return Ok([0; 3]),
        _ => samples.content(0)?,
    };
    if let Content::Latent(latent) = &first {
        fits(latent, options)?;
    }
    Ok(first.shape())
}

/// The least bytes that the images of the selected classes will take, where that is known before they are read.
fn expected_bytes(
    source: &dyn Source,
    renumbered: &[Option<usize>],
    shaping: Shaping,
) -> Option<u64> {
    let side = u64::from(shaping.size?);
    let is_selected = |class: usize| renumbered.get(class).is_some_and(Option::is_some);
    let images = match source.indexed() {
        Some(samples) => {
            let selected = |i: &usize| is_selected(samples.entry(*i).class);
            (0..samples.count()).filter(selected).count()
        }
        None if renumbered.iter().all(Option::is_some) => source.known_len()?,
        None => return None,
    };
    let area = side * side * u64::from(shaping.channels.unwrap_or(1));
    area.checked_mul(images as u64).or(Some(u64::MAX))
}

/// Reads the images of the selected classes and brings them to one size.
fn read(
    source: &dyn Source,
    renumbered: &[Option<usize>],
    options: &LoadOptions,
    max_bytes: u64,
    broken: &Broken,
) -> Result<Vec<(Entry, Content)>> {
    let shaping = match source.latent_space() {
        None => Shaping::of(options)?,
        // Latents are of the shape they have: see `fits`.
        Some(_) => Shaping::default(),
    };
    let mut loaded: Vec<(Entry, Content)> = Vec::new();
    let too_much = || Error::TooMuchMemory {
        origin: source.name().to_owned(),
        limit_mib: max_bytes >> 20,
    };
    if expected_bytes(source, renumbered, shaping).is_some_and(|bytes| bytes > max_bytes) {
        return Err(too_much());
    }
    let mut bytes = 0;
    let note = |number, error: Error| {
        let mut broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.insert(number, error.to_string());
    };
    for sample in source::whole(source, options.strict, note) {
        let sample = sample?;
        let Some(class) = renumbered.get(sample.class).copied().flatten() else {
            continue;
        };
        let content = match sample.content {
            Content::Image(image) => Content::Image(shaping.apply(image)),
            Content::Latent(latent) => {
                fits(&latent, options)?;
                Content::Latent(latent)
            }
        };
        let [channels, height, width] = content.shape();
        if let Some((first, of_first)) = loaded.first() {
            let [_, first_height, first_width] = of_first.shape();
            let sides = |width: usize, height: usize| [width as u32, height as u32];
            let (first_size, other) = (sides(first_width, first_height), sides(width, height));
            if first_size != other {
                let first_id = first.id.clone();
                return Err(Error::MixedSizes {
                    first_id,
                    first: first_size,
                    other_id: sample.id,
                    other,
                });
            }
        }
        let each = match content {
            Content::Image(_) => 1,
            Content::Latent(_) => PER_VALUE * size_of::<f32>(),
        };
        bytes += (each * channels * height * width) as u64;
        if bytes > max_bytes {
            return Err(too_much());
        }
        let entry = Entry {
            id: sample.id,
            class,
            split: sample.split,
        };
        loaded.push((entry, content));
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_when_the_memory_set_aside_is_full() {
        let source = source::open("builtin:emoji", None).unwrap();
        let renumbered: Vec<_> = (0..20).map(Some).collect();
        let (options, broken) = (LoadOptions::default(), Broken::default());
        let read = |limit| read(&*source, &renumbered, &options, limit, &broken);
        assert!(matches!(
            read(1 << 20),
            Err(Error::TooMuchMemory { limit_mib: 1, .. })
        ));
        assert_eq!(read(8 << 20).unwrap().len(), 2368);
    }
}
