//! Which images a training step sees: a pure function of (seed, step).
//!
//! Every list of images is visited in epochs, each a permutation keyed by (seed, list, epoch), so step `n` is known
//! without having run the steps before it.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::random::{Purpose, Stream};
use crate::split::Split;

/// One sample of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Number of the image in the training split.
    pub sample: usize,
    /// The class label the model is given; `None` is the null label.
    pub label: Option<usize>,
    /// The class of the image.
    pub class: usize,
    /// Whether the image is mirrored left to right.
    pub flip: bool,
    /// Global sample index, step * batch size + position: what its noise and timestep are keyed by.
    pub index: u64,
}

/// How a batch is put together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BatchOrder {
    /// Equal groups: `per_class` images of each class, sorted by class, then `null` images of any class with the null
    /// label. Every tailor gets a gradient each step, and tailors run as equal groups.
    Stratified {
        /// Images of each class of the step.
        per_class: usize,
        /// Images with the null label.
        null: usize,
        /// Classes in a step, chosen so that all classes come equally often; `None` takes every class each step.
        classes_per_step: Option<usize>,
    },
    /// All images shuffled together.
    Plain {
        /// Images in a batch.
        batch: usize,
        /// Probability that a sample gets the null label.
        label_drop: f64,
    },
}

/// The batches of a training run.
#[derive(Debug, Clone)]
pub struct Batches {
    order: BatchOrder,
    seed: u64,
    flip: bool,
    classes: Vec<usize>,
    /// One list for each class, then the list of all images.
    lists: Vec<List>,
    class_order: Cached,
}

/// Images visited once each epoch.
#[derive(Debug, Clone)]
struct List {
    samples: Vec<usize>,
    permutation: Cached,
}

/// The permutation used last, and what it was keyed by.
#[derive(Debug, Clone, Default)]
struct Cached {
    key: Option<u64>,
    order: Vec<usize>,
}

impl Batches {
    /// Plans batches over the training split. With `flip`, each sample is mirrored with probability 1/2.
    ///
    /// # Errors
    /// [`Error::Setting`] for an empty batch, more classes a step than there are, or a probability outside 0 to 1.
    pub fn new(dataset: &Dataset, order: BatchOrder, seed: u64, flip: bool) -> Result<Self> {
        let classes: Vec<usize> = (0..dataset.len(Split::Train))
            .map(|i| dataset.class_of(Split::Train, i))
            .collect();
        let by_class = (0..dataset.classes().len())
            .map(|class| dataset.of_class(Split::Train, class).to_vec())
            .collect();
        Self::over(classes, by_class, order, seed, flip)
    }

    fn over(
        classes: Vec<usize>,
        by_class: Vec<Vec<usize>>,
        order: BatchOrder,
        seed: u64,
        flip: bool,
    ) -> Result<Self> {
        check(order, by_class.len())?;
        let all = (0..classes.len()).collect();
        let lists = by_class.into_iter().chain([all]).map(|samples| List {
            samples,
            permutation: Cached::default(),
        });
        Ok(Self {
            order,
            seed,
            flip,
            classes,
            lists: lists.collect(),
            class_order: Cached::default(),
        })
    }

    /// Samples in every batch.
    pub fn batch_size(&self) -> usize {
        match self.order {
            BatchOrder::Stratified {
                per_class,
                null,
                classes_per_step,
            } => per_class * classes_per_step.unwrap_or(self.class_count()) + null,
            BatchOrder::Plain { batch, .. } => batch,
        }
    }

    /// The batch of a step, counted from 0. Only the permutations in use are kept between calls, so steps may be asked
    /// for in any order and give the same.
    pub fn batch(&mut self, step: u64) -> Vec<Draw> {
        let first = step * self.batch_size() as u64;
        let mut draws = match self.order {
            BatchOrder::Stratified {
                per_class, null, ..
            } => self.stratified(step, per_class as u64, null as u64),
            BatchOrder::Plain { label_drop, .. } => self.plain(first, label_drop),
        };
        for (draw, index) in draws.iter_mut().zip(first..) {
            draw.index = index;
            draw.flip = self.flip && Stream::new(self.seed, index, Purpose::Flip).uniform() < 0.5;
        }
        draws
    }

    fn stratified(&mut self, step: u64, per_class: u64, null: u64) -> Vec<Draw> {
        let mut draws = Vec::with_capacity(self.batch_size());
        for (class, visit) in self.classes_of(step) {
            for serial in visit * per_class..(visit + 1) * per_class {
                let sample = self.sample(class, serial);
                draws.push(Draw {
                    sample,
                    label: Some(class),
                    class,
                    flip: false,
                    index: 0,
                });
            }
        }
        for serial in step * null..(step + 1) * null {
            let sample = self.sample(self.class_count(), serial);
            draws.push(Draw {
                sample,
                label: None,
                class: self.classes[sample],
                flip: false,
                index: 0,
            });
        }
        draws
    }

    fn plain(&mut self, first: u64, label_drop: f64) -> Vec<Draw> {
        let end = first + self.batch_size() as u64;
        let draw = |index| {
            let sample = self.sample(self.class_count(), index);
            let class = self.classes[sample];
            let dropped = Stream::new(self.seed, index, Purpose::LabelDrop).uniform() < label_drop;
            Draw {
                sample,
                label: (!dropped).then_some(class),
                class,
                flip: false,
                index,
            }
        };
        (first..end).map(draw).collect()
    }

    /// The classes of a step, rising, each with how often it came before.
    ///
    /// With c of C classes a step, a round is the least number of steps in which every class comes equally often,
    /// C / gcd(C, c), and goes c / gcd(C, c) times through one permutation of the classes. Neighbours c apart on a circle
    /// of C are distinct, so no class comes twice in a step.
    fn classes_of(&mut self, step: u64) -> Vec<(usize, u64)> {
        let count = self.class_count() as u64;
        let chosen = match self.order {
            BatchOrder::Stratified {
                classes_per_step: Some(chosen),
                ..
            } => chosen as u64,
            _ => count,
        };
        if chosen == count {
            return (0..count as usize).map(|class| (class, step)).collect();
        }
        let divisor = gcd(count, chosen);
        let (round, step_of_round) = (step / (count / divisor), step % (count / divisor));
        let order = self
            .class_order
            .get(self.seed, round, Purpose::ClassOrder, count as usize);
        let slots = step_of_round * chosen..(step_of_round + 1) * chosen;
        let mut classes: Vec<(usize, u64)> = slots
            .map(|slot| {
                (
                    order[(slot % count) as usize],
                    round * (chosen / divisor) + slot / count,
                )
            })
            .collect();
        classes.sort_unstable();
        classes
    }

    /// The image at place `serial` of the endless sequence of epochs of a list.
    fn sample(&mut self, list: usize, serial: u64) -> usize {
        let purpose = if list == self.class_count() {
            Purpose::AllOrder
        } else {
            Purpose::Order
        };
        let List {
            samples,
            permutation,
        } = &mut self.lists[list];
        let (epoch, place) = (serial / samples.len() as u64, serial % samples.len() as u64);
        // 2^40 epochs of 2^24 classes; both are far beyond use.
        let key = (list as u64) << 40 | epoch;
        samples[permutation.get(self.seed, key, purpose, samples.len())[place as usize]]
    }

    const fn class_count(&self) -> usize {
        self.lists.len() - 1
    }
}

impl Cached {
    fn get(&mut self, seed: u64, key: u64, purpose: Purpose, len: usize) -> &[usize] {
        if self.key != Some(key) {
            self.order = Stream::new(seed, key, purpose).permutation(len);
            self.key = Some(key);
        }
        &self.order
    }
}

fn check(order: BatchOrder, class_count: usize) -> Result<()> {
    let wrong = |name, value: String, expected: String| {
        Err(Error::Setting {
            name,
            value,
            expected,
        })
    };
    match order {
        BatchOrder::Stratified { per_class: 0, .. } => {
            wrong("images per class", "0".to_owned(), "at least 1".to_owned())
        }
        BatchOrder::Stratified {
            classes_per_step: Some(chosen),
            ..
        } if !(1..=class_count).contains(&chosen) => wrong(
            "classes per step",
            chosen.to_string(),
            format!("1 to {class_count}, the number of classes"),
        ),
        BatchOrder::Plain { batch: 0, .. } => {
            wrong("batch", "0".to_owned(), "at least 1".to_owned())
        }
        BatchOrder::Plain { label_drop, .. } if !(0.0..=1.0).contains(&label_drop) => wrong(
            "label drop",
            label_drop.to_string(),
            "a probability, 0 to 1".to_owned(),
        ),
        _ => Ok(()),
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
