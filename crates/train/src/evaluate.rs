//! Losses on images the model was not trained on, with times and noise that never change.

use crate::{
    batch::{Images, Item, Keys, losses},
    error::Result,
    watch::Watch,
};
use learngene_data::{Dataset, Purpose, Split, Stream};
use learngene_diffusion::{Objective, Schedule};
use learngene_nn::{ClassGate, Dit, params};
use serde::{Deserialize, Serialize};

/// Seed of the evaluation's draws: the same for every model, so that losses can be compared.
const SEED: u64 = 0;
/// Images evaluated at once.
const BATCH: usize = 48;

/// Which tailor runs for an image of class `c`, with that of its superclass if it has one; the label always stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gating {
    /// That of `c`.
    Right,
    /// None: the learngene alone.
    None,
    /// That of another class, cycling through all others.
    Wrong,
}

/// Mean squared errors over a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// (time, noise) draws, all images together.
    pub draws: usize,
    /// Error of v.
    pub velocity: f64,
    /// Error of the noise.
    pub epsilon: f64,
    /// Error of v by class; absent for a class without images in the split.
    pub velocity_by_class: Vec<Option<f64>>,
    /// Error of v of each image, class after class: what an interval is made of. It is in no file.
    #[serde(skip)]
    pub velocity_by_image: Vec<f64>,
}

/// How losses are measured.
#[derive(Clone, Debug)]
pub struct Measuring<'a> {
    /// How noise is added.
    pub schedule: &'a Schedule,
    /// What the model predicts.
    pub objective: &'a Objective,
    /// (time, noise) draws of each image.
    pub repeats: usize,
    /// Is told of `draws`.
    pub watch: Watch,
}

/// Evaluates fixed (time, noise) draws of every image, and of a latent as many fixed draws of its distribution; times are
/// stratified over all draws.
///
/// # Errors
/// Images that are not those of the model.
pub fn evaluate(
    model: &Dit,
    dataset: &Dataset,
    split: Split,
    gating: Gating,
    how: &Measuring<'_>,
) -> Result<Evaluation> {
    let Measuring {
        schedule,
        objective,
        repeats,
        ref watch,
    } = *how;
    let classes = dataset.classes().len();
    // sorted by class, so that the tailors run as few large products
    let of_class = |class| {
        dataset
            .of_class(split, class)
            .iter()
            .map(move |&i| (class, i))
    };
    let each = (0..classes).flat_map(of_class);
    let draws: Vec<(usize, usize)> = each.flat_map(|d| std::iter::repeat_n(d, repeats)).collect();
    let slices =
        Stream::new(SEED, draws.len() as u64, Purpose::EvaluationTimestep).permutation(draws.len());
    let steps = schedule.len();
    let device = model.device();
    let (mut velocity, mut epsilon) = (vec![0.0; classes], vec![0.0; classes]);
    let mut velocity_by_image = vec![0.0; draws.len() / repeats.max(1)];
    let mut counts = vec![0usize; classes];
    for (start, part) in draws.chunks(BATCH).enumerate().map(|(k, p)| (k * BATCH, p)) {
        let item = |(k, &(_, sample)): (usize, &(usize, usize))| Item {
            sample,
            flip: false,
            index: (start + k) as u64,
        };
        let items: Vec<Item> = part.iter().enumerate().map(item).collect();
        let images = Images::read(dataset, split, &items, Keys::evaluation(SEED))?;
        let images = images.tensors(0..items.len(), &device);
        let time = |slice: &usize| {
            let middle = (*slice as f64 + 0.5) / draws.len() as f64;
            ((middle * steps as f64) as usize).min(steps - 1)
        };
        let times: Vec<usize> = slices[start..][..part.len()].iter().map(time).collect();
        let gate = |(k, &(class, _)): (usize, &(usize, usize))| match gating {
            Gating::Right => Some(class),
            Gating::None => None,
            Gating::Wrong if classes < 2 => None,
            Gating::Wrong => Some((class + 1 + (start + k) % (classes - 1)) % classes),
        };
        let classes_on = part.iter().enumerate().map(gate);
        let labels = part.iter().map(|d| Some(d.0)).collect();
        let gate = model.fit_gate(ClassGate::one_hot(classes_on));
        let found = losses(model, schedule, objective, images, &times, labels, gate)?;
        let (v, e) = (
            params::to_vec(found.velocity),
            params::to_vec(found.epsilon),
        );
        for (k, &(class, _)) in part.iter().enumerate() {
            velocity[class] += f64::from(v[k]);
            velocity_by_image[(start + k) / repeats] += f64::from(v[k]) / repeats as f64;
            epsilon[class] += f64::from(e[k]);
            counts[class] += 1;
        }
        watch.see("draws", (start + part.len()) as f64, draws.len());
    }
    let total = draws.len().max(1) as f64;
    Ok(Evaluation {
        draws: draws.len(),
        velocity: velocity.iter().sum::<f64>() / total,
        epsilon: epsilon.iter().sum::<f64>() / total,
        velocity_by_class: (0..classes)
            .map(|k| (counts[k] > 0).then(|| velocity[k] / counts[k] as f64))
            .collect(),
        velocity_by_image,
    })
}

/// What a model loses that predicts nothing, as one does before its first step, when its output is zero.
///
/// # Errors
/// As [`evaluate`].
pub fn untrained(
    model: &Dit,
    dataset: &Dataset,
    split: Split,
    how: &Measuring<'_>,
) -> Result<Evaluation> {
    let mut values = params::values(model);
    values.retain(|name, _| name.starts_with("output."));
    for value in values.values_mut() {
        value.values.fill(0.0);
    }
    let silent = params::replace(model.clone(), values)?;
    evaluate(&silent, dataset, split, Gating::Right, how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DataConfig, TrainConfig};
    use burn::tensor::Device;
    use learngene_nn::{DitConfig, FactorInit};

    /// Classes of different numbers of images, each drawn three times: means of images are means of classes and of all.
    #[test]
    fn losses_of_images_are_parts_of_those_of_classes() {
        let data = DataConfig {
            classes: "heart,bird".into(),
            image_size: Some(8),
            ..DataConfig::of("builtin:emoji")
        };
        let dataset = data.load().unwrap();
        let config = DitConfig {
            hidden: 8,
            heads: 2,
            depth: 1,
            ..DitConfig::from_size("dit-micro/4", dataset.shape(), 2).unwrap()
        };
        let model = Dit::init(&config, FactorInit::Orthogonal, 1, &Device::flex()).unwrap();
        let train = TrainConfig::default();
        let schedule = Schedule::new(train.schedule, train.diffusion_steps).unwrap();
        let of = |repeats| {
            let how = Measuring {
                schedule: &schedule,
                objective: &train.objective,
                repeats,
                watch: Watch::default(),
            };
            evaluate(&model, &dataset, Split::Test, Gating::Right, &how)
        };
        let found = of(3).unwrap();
        let counts = [0, 1].map(|class| dataset.of_class(Split::Test, class).len());
        assert_eq!(found.velocity_by_image.len(), counts[0] + counts[1]);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (first, second) = found.velocity_by_image.split_at(counts[0]);
        for (images, class) in [first, second].into_iter().zip(&found.velocity_by_class) {
            assert!((mean(images) / class.unwrap() - 1.0).abs() < 1e-9);
        }
        assert!((mean(&found.velocity_by_image) / found.velocity - 1.0).abs() < 1e-9);
        // At one draw each, an image's loss is that draw's: all differ, as times and noise do.
        let single = of(1).unwrap();
        assert_eq!(single.draws, single.velocity_by_image.len());
        let mut distinct = single.velocity_by_image.clone();
        distinct.dedup();
        assert_eq!(distinct.len(), single.draws);
        // The model starts with an output of zero: to the bit what one that predicts nothing loses. Of noise that is its
        // variance, 1; of v no more, as images lie between -1 and 1.
        let how = Measuring {
            schedule: &schedule,
            objective: &train.objective,
            repeats: 3,
            watch: Watch::default(),
        };
        let nothing = untrained(&model, &dataset, Split::Test, &how).unwrap();
        assert_eq!(nothing, found);
        assert!((0.5..1.05).contains(&nothing.velocity), "{nothing:?}");
    }
}
