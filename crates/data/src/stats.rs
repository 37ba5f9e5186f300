//! What a person asks of a data set before training on it.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::dataset::{LoadOptions, Shaping};
use crate::error::{Error, Result};
use crate::latents::{Content, Latent, LatentSpace};
use crate::source::{self, Note, Sample, Source};
use crate::split::{self, Item, Split};

/// The images of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The class.
    pub name: String,
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
    /// Test images.
    pub test: usize,
}

/// An image and its split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// Its name in the source.
    pub id: String,
    /// Its split.
    pub split: Split,
}

/// How many images have one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SizeCount {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 1 for grey, 3 for colour; any number for latents.
    pub channels: u32,
    /// Images.
    pub count: usize,
}

/// The statistics of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// The source's name.
    pub source: String,
    /// Images in all.
    pub images: usize,
    /// Images of each class in each split.
    pub classes: Vec<ClassCount>,
    /// Names of the classes of pre-training, empty if the source does not say.
    pub base: Vec<String>,
    /// Names of the classes of transfer, empty if the source does not say.
    pub novel: Vec<String>,
    /// What the samples mean if they are latents.
    pub latents: Option<LatentSpace>,
    /// Image sizes, the most frequent first; latents have sizes of their own.
    pub sizes: Vec<SizeCount>,
    /// Mean of each channel over all pixels, 0 to 1; grey images count as three equal channels beside colour ones. Of
    /// latents over all means, shifted and scaled as a model sees them.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel over the same; of latents with the variance of their distributions, so it is
    /// what a model sees.
    pub std: Vec<f64>,
    /// Images equal, pixel for pixel, to an earlier one of the same split.
    pub duplicates: usize,
    /// Images equal, pixel for pixel, to one of another split: test results are worth less for each.
    pub leaked: usize,
    /// Those images: for each that is in several splits, the names it has there.
    pub leaks: Vec<Vec<Placed>>,
    /// How images came into their splits, in a sentence.
    pub split_rule: String,
    /// Images that are no squares.
    pub oblong: usize,
    /// The part of all images' areas that cropping to squares cuts off, mean over images.
    pub cut: f64,
    /// Files that are no images and were left out.
    pub skipped: Vec<String>,
    /// What else was left out, or taken otherwise than one may expect.
    pub notes: Vec<Note>,
    /// Broken images: which, and why. None of them is counted above.
    pub broken: Vec<String>,
}

impl Statistics {
    /// Reads the whole source once; images are let go as they are counted.
    ///
    /// # Errors
    /// Whatever the source reports, and [`Error::EmptySource`] if it holds nothing.
    pub fn gather(source: &dyn Source) -> Result<Self> {
        Self::gather_with(source, |_| {})
    }

    /// As [`Statistics::gather`], and shows every sample to `observe` on the way (for a
    /// [`ContactSheet`](crate::picture::ContactSheet), say), so that a stream is read once for both.
    ///
    /// # Errors
    /// As [`Statistics::gather`].
    pub fn gather_with(source: &dyn Source, observe: impl FnMut(&Sample)) -> Result<Self> {
        Self::gather_as(source, &LoadOptions::default(), observe)
    }

    /// As [`Statistics::gather_with`], of images as training sees them: in the size and the splits that `options` say.
    /// `sizes`, `oblong` and `cut` are of the images as they are.
    ///
    /// # Errors
    /// As [`Statistics::gather`]; options out of range.
    pub fn gather_as(
        source: &dyn Source,
        options: &LoadOptions,
        mut observe: impl FnMut(&Sample),
    ) -> Result<Self> {
        options.shares.validate()?;
        let shaping = Shaping::of(options)?;
        let (mut oblong, mut cut) = (0, 0.0);
        let mut entries: Vec<Seen> = Vec::new();
        let mut sizes: BTreeMap<(u32, u32, u32), usize> = BTreeMap::new();
        let mut moments = Moments::default();
        let mut of_latents = LatentMoments::default();
        let mut broken = Vec::new();
        for sample in source::whole(source, false, |_, error| broken.push(error.to_string())) {
            let mut sample = sample?;
            let [channels, height, width] = sample.content.shape().map(|side| side as u32);
            *sizes.entry((width, height, channels)).or_default() += 1;
            let mut hasher = blake3::Hasher::new();
            hasher
                .update(&width.to_le_bytes())
                .update(&channels.to_le_bytes());
            match &sample.content {
                Content::Image(image) => {
                    hasher.update(&image.pixels);
                    oblong += usize::from(width != height);
                    cut += 1.0 - f64::from(width.min(height)) / f64::from(width.max(height));
                }
                Content::Latent(latent) => {
                    of_latents.add(latent);
                    latent.values.iter().for_each(|value| {
                        hasher.update(&value.to_le_bytes());
                    });
                }
            }
            if let Content::Image(image) = sample.content {
                let image = shaping.apply(image);
                moments.add(&image.pixels, image.channels as usize);
                sample.content = Content::Image(image);
            }
            observe(&sample);
            entries.push((sample.id, sample.class, sample.split, hasher.finalize()));
        }
        if entries.is_empty() {
            return Err(Error::EmptySource {
                origin: source.name().to_owned(),
                hint: "there is nothing to count",
            });
        }
        let items: Vec<Item<'_>> = entries
            .iter()
            .map(|(id, class, official, _)| Item {
                id,
                class: *class,
                official: *official,
            })
            .collect();
        let (splits, rule) = split::assign(&items, source.class_names().len(), options.shares);
        let mut classes: Vec<ClassCount> = source
            .class_names()
            .iter()
            .map(|name| ClassCount {
                name: name.clone(),
                train: 0,
                val: 0,
                test: 0,
            })
            .collect();
        for (item, split) in items.iter().zip(&splits) {
            let class = &mut classes[item.class];
            *match split {
                Split::Train => &mut class.train,
                Split::Val => &mut class.val,
                Split::Test => &mut class.test,
            } += 1;
        }
        let (duplicates, leaks) = repeated(&entries, &splits);
        let images = entries.len();
        let mut sizes: Vec<SizeCount> = sizes
            .into_iter()
            .map(|((width, height, channels), count)| SizeCount {
                width,
                height,
                channels,
                count,
            })
            .collect();
        sizes.sort_by_key(|size| std::cmp::Reverse(size.count));
        let space = source.latent_space();
        let (mean, std) = match space {
            Some(space) => of_latents.finish(space),
            None => moments.finish(),
        };
        let partition = source.partition().cloned().unwrap_or_default();
        Ok(Self {
            source: source.name().to_owned(),
            images,
            classes,
            base: partition.base,
            novel: partition.novel,
            latents: space.cloned(),
            sizes,
            mean,
            std,
            duplicates,
            leaked: leaks.iter().map(Vec::len).sum(),
            leaks,
            split_rule: rule.text(),
            oblong,
            cut: cut / images as f64,
            notes: source.notes(),
            skipped: source
                .skipped()
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            broken,
        })
    }
}

/// What is known of an image when its pixels are let go: name, class, official split, hash of the pixels.
type Seen = (String, usize, Option<Split>, blake3::Hash);

/// Counts repetitions inside a split, and gathers images that occur in more than one split.
fn repeated(images: &[Seen], splits: &[Split]) -> (usize, Vec<Vec<Placed>>) {
    let mut occurrences: HashMap<blake3::Hash, Vec<usize>> = HashMap::new();
    for (i, (.., hash)) in images.iter().enumerate() {
        occurrences.entry(*hash).or_default().push(i);
    }
    let mut groups: Vec<Vec<usize>> = occurrences.into_values().filter(|g| g.len() > 1).collect();
    groups.sort_unstable();
    let (mut duplicates, mut leaks) = (0, Vec::new());
    for group in groups {
        let count = |split| group.iter().filter(|i| splits[**i] == split).count();
        let counts = Split::ALL.map(count);
        duplicates += counts
            .iter()
            .map(|count| count.saturating_sub(1))
            .sum::<usize>();
        if counts.iter().filter(|count| **count > 0).count() > 1 {
            let placed = |&i: &usize| Placed {
                id: images[i].0.clone(),
                split: splits[i],
            };
            leaks.push(group.iter().map(placed).collect());
        }
    }
    (duplicates, leaks)
}

/// Exact integer sums of bytes and their squares, for grey images and for each channel of colour ones.
#[derive(Default)]
struct Moments {
    grey: [u128; 3],
    colour: [[u128; 3]; 3],
}

impl Moments {
    fn add(&mut self, pixels: &[u8], channels: usize) {
        for channel in 0..channels {
            let mut sums = [0u64; 3];
            for byte in pixels.iter().skip(channel).step_by(channels) {
                let value = u64::from(*byte);
                sums = [sums[0] + 1, sums[1] + value, sums[2] + value * value];
            }
            let total = if channels == 1 {
                &mut self.grey
            } else {
                &mut self.colour[channel]
            };
            total
                .iter_mut()
                .zip(sums)
                .for_each(|(total, sum)| *total += u128::from(sum));
        }
    }

    fn finish(&self) -> (Vec<f64>, Vec<f64>) {
        let channels: Vec<[u128; 3]> = if self.colour[0][0] == 0 {
            vec![self.grey]
        } else {
            self.colour
                .iter()
                .map(|sums| [0, 1, 2].map(|power| sums[power] + self.grey[power]))
                .collect()
        };
        let moment = |[count, sum, squares]: [u128; 3]| {
            let mean = sum as f64 / count as f64;
            (
                mean / 255.0,
                (squares as f64 / count as f64 - mean * mean)
                    .max(0.0)
                    .sqrt()
                    / 255.0,
            )
        };
        channels.into_iter().map(moment).unzip()
    }
}

/// Sums over the distributions of latents, for each channel: of values, of means, of mean squares.
#[derive(Default)]
struct LatentMoments(Vec<[f64; 3]>);

impl LatentMoments {
    fn add(&mut self, latent: &Latent) {
        let [channels, height, width] = latent.shape;
        self.0.resize(channels, [0.0; 3]);
        let (area, size) = (height * width, channels * height * width);
        let Some((means, rest)) = latent.values.split_at_checked(size) else {
            return;
        };
        let means = means.chunks_exact(area.max(1));
        let planes = means.zip(rest.chunks_exact(area.max(1)));
        for (sums, (means, log_variances)) in self.0.iter_mut().zip(planes) {
            for (mean, log_variance) in means.iter().zip(log_variances) {
                let mean = f64::from(*mean);
                sums[0] += 1.0;
                sums[1] += mean;
                sums[2] += mean * mean + libm::exp(f64::from(*log_variance));
            }
        }
    }

    fn finish(&self, space: &LatentSpace) -> (Vec<f64>, Vec<f64>) {
        let (scale, shift) = (space.scaling_factor, space.shift_factor);
        let moment = |[count, sum, squares]: &[f64; 3]| {
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            ((mean - shift) * scale, variance.sqrt() * scale)
        };
        self.0.iter().map(moment).unzip()
    }
}
