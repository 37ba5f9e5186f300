//! What can be timed: a model, its data, a task, and who does the same.

use crate::Result;
use crate::contender::{Contender, Variant};
use crate::synthetic::Synthetic;
use learngene_data::{BatchOrder, ClassSelection, Dataset, LoadOptions};
use learngene_nn::{DitConfig, RankSplit};

/// One thing to time.
pub struct Workload {
    /// What it is called on the command line and in file names.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// The size as [`DitConfig::from_size`] takes it.
    size: &'static str,
    /// Factorised and gated with that split; dense without.
    split: Option<RankSplit>,
    data: Data,
    /// What a step is.
    pub task: Task,
    /// Who else does it.
    pub rivals: &'static [Contender],
}

#[derive(Clone, Copy)]
enum Data {
    /// The twelve base classes of the built-in images, 3 x 32 x 32.
    BuiltIn,
    /// That many classes of random images, 3 x 32 x 32.
    Random(usize),
}

/// What a step is.
#[derive(Clone, Copy)]
pub enum Task {
    /// One training step on a batch of that order.
    Train(BatchOrder),
    /// That many images by DDIM.
    Sample(usize),
}

/// Steps of DDIM.
pub const DDIM_STEPS: usize = 50;
/// Scale of classifier-free guidance while sampling.
pub const GUIDANCE: f64 = 2.0;

const PYTORCH: &[Contender] = &[
    Contender::OursBf16,
    Contender::PyTorch(Variant::Eager),
    Contender::PyTorch(Variant::Compile),
    Contender::PyTorch(Variant::Bf16),
    Contender::PyTorch(Variant::Bf16Compile),
];
const EAGER: &[Contender] = &[Contender::OursBf16, Contender::PyTorch(Variant::Eager)];

const NANO_SPLIT: RankSplit = RankSplit {
    learngene: 96,
    tailor: 8,
};
/// An active rank of a third of d = 384.
const THIRD: RankSplit = RankSplit {
    learngene: 112,
    tailor: 16,
};

const fn plain(batch: usize) -> Task {
    Task::Train(BatchOrder::Plain {
        batch,
        label_drop: 0.1,
    })
}

const fn stratified(per_class: usize, null: usize, classes_per_step: Option<usize>) -> Task {
    Task::Train(BatchOrder::Stratified {
        per_class,
        null,
        classes_per_step,
    })
}

/// `dense-nano-64` with one thing changed, beside PyTorch's eager step.
const fn grown(
    name: &'static str,
    about: &'static str,
    size: &'static str,
    task: Task,
) -> Workload {
    Workload {
        name,
        about,
        size,
        split: None,
        data: Data::BuiltIn,
        task,
        rivals: EAGER,
    }
}

/// KIND 96,8 with one number changed, dit-nano/4, 32 images drawn over all of so many classes.
const fn grown_kind(
    name: &'static str,
    about: &'static str,
    [learngene, tailor]: [usize; 2],
    classes: usize,
) -> Workload {
    Workload {
        name,
        about,
        size: "dit-nano/4",
        split: Some(RankSplit { learngene, tailor }),
        data: Data::Random(classes),
        task: plain(32),
        rivals: EAGER,
    }
}

/// All workloads, in the order of `--list`.
pub const ALL: &[Workload] = &[
    Workload {
        name: "dense-s-256",
        about: "training, dense, d 384, 12 blocks, 256 tokens (dit-s/2), batch 8",
        size: "dit-s/2",
        split: None,
        data: Data::BuiltIn,
        task: plain(8),
        rivals: PYTORCH,
    },
    Workload {
        name: "dense-s-64",
        about: "training, dense, d 384, 12 blocks, 64 tokens (dit-s/4), batch 32",
        size: "dit-s/4",
        split: None,
        data: Data::BuiltIn,
        task: plain(32),
        rivals: PYTORCH,
    },
    Workload {
        name: "dense-nano-64",
        about: "training, dense, d 192, 6 blocks, 64 tokens (dit-nano/4), batch 32",
        size: "dit-nano/4",
        split: None,
        data: Data::BuiltIn,
        task: plain(32),
        rivals: PYTORCH,
    },
    Workload {
        name: "kind-12",
        about: "training, KIND 96,8, dit-nano/4, 12 classes, batch 39: 3 of each class and 3 null, as `pretrain`",
        size: "dit-nano/4",
        split: Some(NANO_SPLIT),
        data: Data::BuiltIn,
        task: stratified(3, 3, None),
        rivals: PYTORCH,
    },
    Workload {
        name: "kind-150",
        about: "training, KIND 112,16 (a third of d), dit-s/4, 150 classes, batch 32 drawn over all classes",
        size: "dit-s/4",
        split: Some(THIRD),
        data: Data::Random(150),
        task: plain(32),
        rivals: PYTORCH,
    },
    Workload {
        name: "kind-150-stratified",
        about: "the same, with 2 of each of 15 classes and 2 null in a batch",
        size: "dit-s/4",
        split: Some(THIRD),
        data: Data::Random(150),
        task: stratified(2, 2, Some(15)),
        rivals: PYTORCH,
    },
    Workload {
        name: "kind-or-dense",
        about: "training, KIND 112,16 (a third of d) beside our own dense step, dit-s/4, 12 classes, batch 39",
        size: "dit-s/4",
        split: Some(THIRD),
        data: Data::BuiltIn,
        task: stratified(3, 3, None),
        rivals: &[Contender::OursDense],
    },
    grown(
        "grow-batch-8",
        "batch 8 instead of 32",
        "dit-nano/4",
        plain(8),
    ),
    grown(
        "grow-batch-128",
        "batch 128 instead of 32",
        "dit-nano/4",
        plain(128),
    ),
    grown(
        "grow-tokens-256",
        "256 tokens instead of 64, batch 8",
        "dit-nano/2",
        plain(8),
    ),
    grown(
        "grow-tokens-1024",
        "1024 tokens instead of 64, batch 2",
        "dit-nano/1",
        plain(2),
    ),
    grown(
        "grow-width-96",
        "d 96 (dit-micro/4, 4 blocks)",
        "dit-micro/4",
        plain(32),
    ),
    grown(
        "grow-width-768",
        "d 768 (dit-b/4, 12 blocks), batch 8",
        "dit-b/4",
        plain(8),
    ),
    grown_kind(
        "grow-kind",
        "KIND 96,8, 12 classes, batch 32: where the next start",
        [96, 8],
        12,
    ),
    grown_kind("grow-learngene-48", "N_G 48", [48, 8], 12),
    grown_kind("grow-learngene-144", "N_G 144", [144, 8], 12),
    grown_kind("grow-tailor-4", "N_T 4", [96, 4], 12),
    grown_kind("grow-tailor-32", "N_T 32", [96, 32], 12),
    grown_kind("grow-classes-3", "3 classes", [96, 8], 3),
    grown_kind("grow-classes-48", "48 classes", [96, 8], 48),
    grown_kind("grow-classes-192", "192 classes", [96, 8], 192),
    Workload {
        name: "sample-nano",
        about: "sampling, dense dit-nano/4, 16 images, DDIM of 50 steps with guidance",
        size: "dit-nano/4",
        split: None,
        data: Data::BuiltIn,
        task: Task::Sample(16),
        rivals: EAGER,
    },
    Workload {
        name: "sample-s",
        about: "sampling, dense dit-s/4, 16 images, DDIM of 50 steps with guidance",
        size: "dit-s/4",
        split: None,
        data: Data::BuiltIn,
        task: Task::Sample(16),
        rivals: &[
            Contender::OursBf16,
            Contender::PyTorch(Variant::Eager),
            Contender::PyTorch(Variant::Diffusers),
        ],
    },
    Workload {
        name: "sample-kind",
        about: "sampling, KIND 96,8, dit-nano/4, 16 images of 12 classes, DDIM of 50 steps with guidance",
        size: "dit-nano/4",
        split: Some(NANO_SPLIT),
        data: Data::BuiltIn,
        task: Task::Sample(16),
        rivals: EAGER,
    },
    Workload {
        name: "threads-dense",
        about: "training, ours on all threads beside ours on one: dense dit-s/4, batch 32",
        size: "dit-s/4",
        split: None,
        data: Data::BuiltIn,
        task: plain(32),
        rivals: &[Contender::OursOneThread],
    },
    Workload {
        name: "threads-kind",
        about: "training, ours on all threads beside ours on one: KIND as in kind-12",
        size: "dit-nano/4",
        split: Some(NANO_SPLIT),
        data: Data::BuiltIn,
        task: stratified(3, 3, None),
        rivals: &[Contender::OursOneThread],
    },
];

/// The workload of that name.
pub fn find(name: &str) -> Result<&'static Workload> {
    let found = ALL.iter().find(|w| w.name == name);
    found.ok_or_else(|| format!("there is no workload `{name}`; --list shows them").into())
}

impl Workload {
    /// Its images.
    pub fn load(&self) -> Result<Dataset> {
        let options = LoadOptions::default();
        Ok(match self.data {
            Data::BuiltIn => Dataset::load("builtin:emoji", &"base".parse()?, &options)?,
            Data::Random(classes) => {
                let source = Synthetic::new(classes, [3, 32, 32]);
                let all: ClassSelection = "all".parse()?;
                Dataset::from_source(Box::new(source), &all, &options)?
            }
        })
    }

    /// Its model, or the dense model of its shape.
    pub fn model(&self, dataset: &Dataset, dense: bool) -> Result<DitConfig> {
        let config = DitConfig::from_size(self.size, dataset.shape(), dataset.classes().len())?;
        Ok(match self.split.filter(|_| !dense) {
            Some(split) => config.with_rank_split(split)?,
            None => config,
        })
    }

    /// Images of a step.
    pub fn batch(&self, classes: usize) -> usize {
        match self.task {
            Task::Train(order) => order.images(classes),
            Task::Sample(images) => images,
        }
    }

    /// What a step is called in texts.
    pub fn unit(&self) -> &'static str {
        match self.task {
            Task::Train(_) => "step",
            Task::Sample(_) => "batch of images",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_workload_has_a_name_of_its_own_images_and_a_model() {
        let names: BTreeSet<&str> = ALL.iter().map(|w| w.name).collect();
        assert_eq!(names.len(), ALL.len());
        for workload in ALL {
            let dataset = workload.load().unwrap();
            let kind = workload.model(&dataset, false).unwrap();
            let dense = workload.model(&dataset, true).unwrap();
            assert_eq!(dense.groups, 0);
            assert_eq!(
                kind.tokens() * kind.patch * kind.patch,
                32 * 32,
                "{}",
                workload.name
            );
            assert!(workload.batch(kind.num_classes) > 0);
        }
        assert!(find("dense-s-512").is_err());
    }

    #[test]
    fn batches_are_as_large_as_the_text_says() {
        let batch = |name| find(name).unwrap().batch(12);
        assert_eq!((batch("kind-12"), batch("kind-150-stratified")), (39, 32));
    }
}
