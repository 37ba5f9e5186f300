//! A data set: images or latents of equal shape, by split and class, in memory or read as they are wanted.

mod loading;
mod shaping;
mod stored;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::class_map::{ClassSelection, places};
use crate::error::{Error, Result};
use crate::image::{self, Fit, Image};
use crate::latents::{Content, LatentSpace};
use crate::random::Stream;
use crate::source::{self, Note, Source};
use crate::split::{Rule, Shares, Split};
pub(crate) use shaping::Shaping;
use values::{PER_VALUE, Values, draw, scale};

/// How to read images and bring them to one shape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOptions {
    /// Side of the square that images become ([`Image::fitted`]), pixels; `None` takes images as they are, which must then
    /// be of one size.
    pub image_size: Option<usize>,
    /// How they become that square.
    pub fit: Fit,
    /// Which parts of the images without an official split validate and test.
    pub shares: Shares,
    /// 1 for grey, 3 for RGB; `None` keeps grey only if every image is grey.
    pub channels: Option<usize>,
    /// A class map to lay over the source ([`crate::ClassMap`]).
    pub class_map: Option<PathBuf>,
    /// Whether images stay where they are and are read for each batch that wants them, instead of once into memory.
    /// Needs a source whose samples can be read alone: a folder of images, WebDataset shards, Parquet files, latents; and,
    /// if they are images, a size.
    pub stream: bool,
    /// Whether a broken image is an error. Otherwise it is left out, or, of images that are read as they are wanted, the
    /// next of its class and split takes its place; [`Dataset::broken`] says which.
    pub strict: bool,
}

/// Images that could not be read, by their number in the source: which, and why not.
type Broken = Arc<Mutex<BTreeMap<usize, String>>>;

/// The samples of one split.
#[derive(Debug, Clone, Default)]
struct Part {
    values: Values,
    labels: Vec<usize>,
    ids: Vec<String>,
    by_class: Vec<Vec<usize>>,
}

/// Labelled images, or latents of images, of one shape.
#[derive(Debug, Clone)]
pub struct Dataset {
    name: String,
    classes: Vec<String>,
    shape: [usize; 3],
    parts: [Part; 3],
    latents: Option<LatentSpace>,
    fingerprint: String,
    broken: Broken,
    rule: Rule,
    notes: Vec<Note>,
}

impl Part {
    fn empty(values: Values, classes: usize) -> Self {
        Self {
            values,
            by_class: vec![Vec::new(); classes],
            ..Self::default()
        }
    }
}

impl Dataset {
    /// Reads the selected classes of `spec` (see [`source::open`]) into memory, or lists them if they are to stream.
    ///
    /// A class needs a training image. One with a single image trains on it and has neither validation nor test images,
    /// so code that goes through the other splits must not count on every class being there.
    ///
    /// # Errors
    /// Whatever the source reports; unknown or empty classes; images of different sizes without `image_size`; settings
    /// out of range; more than 8 GiB of pixels; broken images if `strict`; streaming from a source that cannot.
    pub fn load(spec: &str, selection: &ClassSelection, options: &LoadOptions) -> Result<Self> {
        let source = source::open(spec, options.class_map.as_deref())?;
        Self::from_source(source, selection, options)
    }

    /// Reads the selected classes of an opened source; `options.class_map` is not looked at.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn from_source(
        source: Box<dyn Source>,
        selection: &ClassSelection,
        options: &LoadOptions,
    ) -> Result<Self> {
        options.shares.validate()?;
        let classes = selection.resolve(&*source)?;
        let numbers = places(&classes);
        let renumbered: Vec<Option<usize>> = (source.class_names().iter())
            .map(|name| numbers.get(name.as_str()).copied())
            .collect();
        match options.stream {
            true => Self::listed(source.into(), classes, &renumbered, options),
            false => Self::read(&*source, classes, &renumbered, options),
        }
    }

    /// The same with at most `count` images of each class in a split, evenly spaced in their order; the other splits
    /// stay. The images of a count that divides another are among that one's.
    ///
    /// # Errors
    /// A count of 0.
    pub fn with_images(mut self, split: Split, count: usize) -> Result<Self> {
        if count == 0 {
            return Err(Error::Setting {
                name: "images per class",
                value: "0".to_owned(),
                expected: "at least 1".to_owned(),
            });
        }
        let old = self.part(split);
        let mut chosen: Vec<usize> = (old.by_class.iter())
            .flat_map(|of_class| {
                let few = count.min(of_class.len());
                (0..few).map(move |k| of_class[k * of_class.len() / few])
            })
            .collect();
        chosen.sort_unstable();
        let mut part = Part::empty(old.values.none(), self.classes.len());
        for i in chosen {
            part.by_class[old.labels[i]].push(part.labels.len());
            part.labels.push(old.labels[i]);
            part.ids.push(old.ids[i].clone());
            part.values.copy(&old.values, self.values_per_image(), i);
        }
        self.parts[split as usize] = part;
        self.fingerprint = fingerprint(&self.classes, self.shape, &self.parts);
        Ok(self)
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Class names in the order of their numbers.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What the samples mean if they are latents; `None` if they are images.
    pub const fn latent_space(&self) -> Option<&LatentSpace> {
        self.latents.as_ref()
    }

    /// Channels, height, width of every image or latent.
    pub const fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Channels times height times width.
    pub const fn values_per_image(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// The number of images of a split; 0 is possible for validation and test.
    pub const fn len(&self, split: Split) -> usize {
        self.part(split).labels.len()
    }

    /// Whether a split has no image.
    pub const fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// The class of image `i` of a split.
    ///
    /// # Panics
    /// If `i` is not below [`Dataset::len`], as in every method that takes an image number.
    pub fn class_of(&self, split: Split, i: usize) -> usize {
        self.part(split).labels[i]
    }

    /// The image numbers of a class in a split, rising.
    pub fn of_class(&self, split: Split, class: usize) -> &[usize] {
        &self.part(split).by_class[class]
    }

    /// The name of image `i`, unique in the source.
    pub fn id(&self, split: Split, i: usize) -> &str {
        &self.part(split).ids[i]
    }

    /// Whether images are read as they are wanted.
    pub const fn streams(&self) -> bool {
        matches!(self.parts[0].values, Values::Stored(_))
    }

    /// Bytes that the images of a split take where they are stored, of images that are read as they are wanted and whose
    /// source knows it: files of a folder, entries of a tar. It looks at each file.
    pub fn stored_bytes(&self, split: Split) -> Option<u64> {
        match &self.part(split).values {
            Values::Stored(stored) => stored.bytes(),
            _ => None,
        }
    }

    /// The images that could not be read, as far as they have been tried, in the order of the source: which, and why not.
    pub fn broken(&self) -> Vec<String> {
        broken_in(&self.broken)
    }

    /// How images came into their splits, in a sentence.
    pub fn split_rule(&self) -> String {
        self.rule.text()
    }

    /// What the source left out or took otherwise than a person may expect, as far as it was read when this was made.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// A number that image `i` of a split shares with its neighbours if they are best read together; one for all that
    /// are in memory.
    pub(crate) fn block(&self, split: Split, i: usize) -> usize {
        match &self.part(split).values {
            Values::Stored(stored) => stored.block(i),
            _ => 0,
        }
    }

    /// Images of a split that are best shuffled together where those of a block are read together.
    pub(crate) fn window(&self, split: Split) -> usize {
        match &self.part(split).values {
            Values::Stored(stored) => stored.window(),
            _ => usize::MAX,
        }
    }

    /// Writes image `i` as model input: planes (CHW) of x / 127.5 - 1, mirrored left to right if `flip`. Of a latent
    /// it is one drawn from the distribution of the image, or of the mirror image, with the numbers of `posterior`, shifted
    /// and scaled; the mean without.
    ///
    /// # Errors
    /// Of images that are read as they are wanted: a file that cannot be read, a broken image if they are refused.
    ///
    /// # Panics
    /// If `out` does not hold [`Dataset::values_per_image`] numbers.
    pub fn write_chw(
        &self,
        split: Split,
        i: usize,
        flip: bool,
        posterior: Option<Stream>,
        out: &mut [f32],
    ) -> Result<()> {
        let size = self.values_per_image();
        assert_eq!(out.len(), size, "room for one image");
        let half = PER_VALUE / 2 * size;
        let mirrored = if flip { half } else { 0 };
        match &self.part(split).values {
            Values::Bytes(bytes) => {
                let pixels = &bytes[i * size..][..size];
                image::write_chw(pixels, self.shape[2], self.shape[0], flip, out);
            }
            Values::Stored(stored) => {
                let alike = self.of_class(split, self.class_of(split, i));
                match (stored.content(i, alike)?, &self.latents) {
                    (Content::Latent(latent), Some(space)) => {
                        let mut normals = Vec::with_capacity(half);
                        scale(
                            &latent.values[mirrored..][..half],
                            size,
                            space,
                            &mut normals,
                        );
                        draw(&normals, posterior, out);
                    }
                    (Content::Image(image), _) => {
                        image::write_chw(&image.pixels, self.shape[2], self.shape[0], flip, out);
                    }
                    (Content::Latent(_), None) => return Err(self.no_images()),
                }
            }
            Values::Normals { numbers, .. } => {
                draw(
                    &numbers[PER_VALUE * i * size + mirrored..][..half],
                    posterior,
                    out,
                );
            }
        }
        Ok(())
    }

    /// Image `i` as an image.
    ///
    /// # Errors
    /// [`Error::NoImages`] for latents; as [`Dataset::write_chw`].
    pub fn image(&self, split: Split, i: usize) -> Result<Image> {
        let bytes = match &self.part(split).values {
            Values::Bytes(bytes) => bytes,
            Values::Stored(stored) => {
                let alike = self.of_class(split, self.class_of(split, i));
                return match stored.content(i, alike)? {
                    Content::Image(image) => Ok(image),
                    Content::Latent(_) => Err(self.no_images()),
                };
            }
            Values::Normals { .. } => return Err(self.no_images()),
        };
        let size = self.values_per_image();
        let [channels, height, width] = self.shape.map(|side| side as u32);
        Ok(Image {
            width,
            height,
            channels,
            pixels: bytes[i * size..][..size].to_vec(),
        })
    }

    /// A BLAKE3 hash (hex) of pixels or latents, labels, splits and class names: equal for equal data, whatever its path.
    /// Of what is read as it is wanted, it is of names instead of pixels or latents.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn no_images(&self) -> Error {
        Error::NoImages {
            origin: self.name.clone(),
        }
    }

    const fn part(&self, split: Split) -> &Part {
        &self.parts[split as usize]
    }
}

fn broken_in(broken: &Broken) -> Vec<String> {
    let broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
    broken.values().cloned().collect()
}

fn fingerprint(classes: &[String], shape: [usize; 3], parts: &[Part; 3]) -> String {
    let mut hasher = blake3::Hasher::new();
    let number = |hasher: &mut blake3::Hasher, number: usize| {
        hasher.update(&(number as u64).to_le_bytes());
    };
    hasher.update(b"learngene data set 1");
    shape
        .into_iter()
        .chain([classes.len()])
        .for_each(|side| number(&mut hasher, side));
    for class in classes {
        number(&mut hasher, class.len());
        hasher.update(class.as_bytes());
    }
    for part in parts {
        number(&mut hasher, part.labels.len());
        part.labels
            .iter()
            .for_each(|label| number(&mut hasher, *label));
        part.values.hash(&mut hasher, &part.ids);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_training_images_are_spread_out_and_leave_the_other_splits_alone() {
        let all = Dataset::load(
            "builtin:emoji",
            &"heart,bird".parse().unwrap(),
            &LoadOptions::default(),
        )
        .unwrap();
        let few = [2, 4].map(|count| all.clone().with_images(Split::Train, count).unwrap());
        let ids = |data: &Dataset, split, class| -> Vec<String> {
            let of = data.of_class(split, class).iter();
            of.map(|&i| data.id(split, i).to_owned()).collect()
        };
        for class in 0..2 {
            let whole = ids(&all, Split::Train, class);
            let n = whole.len();
            let quarters: Vec<_> = (0..4).map(|k| whole[k * n / 4].clone()).collect();
            assert_eq!(ids(&few[1], Split::Train, class), quarters);
            let halves = [quarters[0].clone(), quarters[2].clone()];
            assert_eq!(ids(&few[0], Split::Train, class), halves);
            let place = few[0].of_class(Split::Train, class)[1];
            let there = whole.iter().position(|id| *id == halves[1]).unwrap();
            let first = all.of_class(Split::Train, class)[there];
            assert_eq!(
                few[0].image(Split::Train, place).unwrap(),
                all.image(Split::Train, first).unwrap()
            );
            for split in [Split::Val, Split::Test] {
                assert_eq!(ids(&few[0], split, class), ids(&all, split, class));
            }
        }
        assert_ne!(few[0].fingerprint(), few[1].fingerprint());
        let many = all.clone().with_images(Split::Train, 1_000_000).unwrap();
        assert_eq!(many.fingerprint(), all.fingerprint());
        assert!(all.clone().with_images(Split::Train, 0).is_err());
        let tested = all.clone().with_images(Split::Test, 3).unwrap();
        assert_eq!(tested.len(Split::Test), 6);
        for split in [Split::Train, Split::Val] {
            assert_eq!(ids(&tested, split, 1), ids(&all, split, 1));
        }
    }

    #[test]
    fn the_fingerprint_tells_names_labels_splits_and_pixels_apart() {
        let part = |labels: &[usize], pixels: &[u8]| Part {
            labels: labels.to_vec(),
            values: Values::Bytes(pixels.to_vec()),
            ..Part::default()
        };
        let of = |names: [&str; 2], train: Part, val: Part| {
            fingerprint(
                &names.map(str::to_owned),
                [1, 1, 1],
                &[train, val, Part::default()],
            )
        };
        let prints = [
            of(["a", "b"], part(&[0, 1], &[5, 6]), Part::default()),
            of(["ab", ""], part(&[0, 1], &[5, 6]), Part::default()),
            of(["a", "b"], part(&[1, 0], &[5, 6]), Part::default()),
            of(["a", "b"], part(&[0, 1], &[5, 7]), Part::default()),
            of(["a", "b"], part(&[0], &[5]), part(&[1], &[6])),
        ];
        for (number, print) in prints.iter().enumerate() {
            assert!(!prints[..number].contains(print), "{number}");
        }
    }
}
