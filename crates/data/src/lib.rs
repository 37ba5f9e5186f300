//! Datasets, class lists and splits, transforms, and the order and randomness of samples.
//!
//! In: a source ([`source::open`]: the built-in pack, a folder, an idx or CIFAR file, a cache of [`latents`]), a choice
//! of classes and a seed.
//! Out: a [`Dataset`] in memory, the [`Batches`] that visit it, the random [`Stream`] of every
//! sample, and the pictures and [`Statistics`] a person looks at.
//!
//! This crate must not know tensors, models, noise schedules or where a training run writes its files: it hands out
//! `u8` and `f32` slices and sample numbers. Nothing here depends on time, thread count or hash-map order, so the same
//! arguments give the same bytes on every platform.

pub mod class_list;
mod class_map;
mod class_tree;
mod dataset;
mod error;
mod guard;
pub mod image;
pub mod latents;
mod order;
pub mod picture;
mod random;
pub mod source;
mod split;
mod stats;
mod wordnet;

pub use self::image::{Fit, Image};
pub use class_map::{ClassMap, ClassSelection};
pub use class_tree::ClassTree;
pub use dataset::{Dataset, LoadOptions};
pub use error::{Error, Result};
pub use guard::pass_over_caught_panics;
pub use latents::{Content, Latent, LatentSpace};
pub use order::{BatchOrder, Batches, Draw};
pub use random::{Purpose, Stream};
pub use source::{Partition, Sample, Source};
pub use split::{Shares, Split};
pub use stats::Statistics;
pub use wordnet::WordNet;
