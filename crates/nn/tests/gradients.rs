//! Gradients of the whole model: equal to central differences of the f64 reference, present for every parameter that
//! should train and absent for every other one.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use common::{Batch, filled, normals, reference::Reference, wide};
use learngene_nn::{
    AdaLn, Dit, DitConfig, Prompts, RankSplit,
    params::{self, Part, Visit},
};
use std::collections::BTreeMap;

/// Elements of each parameter that are compared: the one of the largest gradient and some drawn at random.
const ELEMENTS: usize = 4;
/// Step of the differences; in f64 their error is about `STEP^2`.
const STEP: f64 = 1e-4;
/// Largest difference allowed, relative to the parameter's largest gradient: f32 sums over the batch.
const TOLERANCE: f64 = 1e-3;
/// A gradient no larger than this is compared with it instead. Those of the keys' biases are zero but for rounding:
/// a bias adds the same to all scores of a query, which the softmax takes out again.
const SMALL: f64 = 1e-3;

fn small() -> DitConfig {
    DitConfig {
        input: [2, 4, 6],
        hidden: 12,
        heads: 3,
        depth: 2,
        mlp_ratio: 2,
        ..DitConfig::from_size("dit-micro/2", [2, 4, 6], 4).unwrap()
    }
}

fn configs() -> [DitConfig; 5] {
    let split = RankSplit {
        learngene: 4,
        tailor: 2,
    };
    let kind = small().with_rank_split(split).unwrap();
    let per_block = DitConfig {
        adaln: AdaLn::PerBlock,
        learn_sigma: true,
        ..kind.clone()
    };
    let prompted = |prompts, config: &DitConfig| DitConfig {
        prompts,
        ..config.clone()
    };
    [
        prompted(Prompts::Plain, &per_block),
        prompted(Prompts::Gated, &kind),
        kind,
        per_block,
        small().with_tailors(2).unwrap(),
    ]
}

/// Two samples with their labels, one with the null label, one that blends two tailors; class 3 has no sample.
fn batch(config: &DitConfig) -> Batch {
    let samples = vec![
        (Some(0), vec![(0, 1.0)]),
        (Some(2), vec![(2, 1.0)]),
        (None, Vec::new()),
        (Some(1), vec![(1, 0.75), (2, -0.5)]),
    ];
    Batch::of(config, samples)
}

/// Gradients by name of the output's sum weighted with fixed random numbers.
fn gradients(model: &Dit, batch: &Batch) -> BTreeMap<String, Vec<f32>> {
    struct Collect(Gradients, BTreeMap<String, Vec<f32>>);
    impl Visit for Collect {
        fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
            if let Some(grad) = value.grad(&self.0) {
                self.1.insert(name.into(), params::to_vec(grad));
            }
        }
    }
    let output = batch.predict(model);
    let weights = normals(5, output.dims().iter().product());
    let weights = TensorData::new(weights, output.dims());
    let loss = (output.clone() * Tensor::from_data(weights, &output.device())).sum();
    let mut collect = Collect(loss.backward(), BTreeMap::new());
    params::visit(model, &mut collect);
    collect.1
}

/// The same loss in f64.
fn loss(reference: &Reference, batch: &Batch) -> f64 {
    let output = reference.forward(batch);
    let weights = normals(5, output.len());
    output
        .iter()
        .zip(weights)
        .map(|(o, w)| o * f64::from(w))
        .sum()
}

#[test]
fn gradients_are_the_slopes_of_the_formula() {
    for config in configs() {
        let model = filled(&config, 7, &Device::flex().autodiff());
        let batch = batch(&config);
        let mut reference = Reference::of(&model);
        for (number, (name, grad)) in gradients(&model, &batch).into_iter().enumerate() {
            let size = |i: &usize| grad[*i].abs();
            let peak = (0..grad.len())
                .max_by(|a, b| size(a).total_cmp(&size(b)))
                .unwrap();
            let drawn = normals(number as u64, ELEMENTS - 1);
            let drawn = drawn.iter().map(|z| (z.abs() * 1e6) as usize % grad.len());
            for at in std::iter::once(peak).chain(drawn) {
                let start = reference.params[&name][at];
                let mut side = |step: f64| {
                    reference.params.get_mut(&name).unwrap()[at] = start + step;
                    loss(&reference, &batch)
                };
                let slope = (side(STEP) - side(-STEP)) / (2.0 * STEP);
                side(0.0);
                let scale = f64::from(grad[peak].abs()).max(SMALL);
                let apart = (f64::from(grad[at]) - slope).abs() / scale;
                assert!(
                    apart < TOLERANCE,
                    "{name}[{at}]: gradient {}, slope {slope}, apart by {apart:e} of the largest",
                    grad[at]
                );
            }
        }
    }
}

/// Rows of the blocks that belong to one class: tailors by group, label rows by label.
fn blocks(name: &str, grad: &[f32], config: &DitConfig) -> Vec<f64> {
    let count = match Part::of(name) {
        Part::Tailors => config.groups,
        Part::Labels => config.num_classes + 1,
        _ => 1,
    };
    let norm = |block: &[f32]| block.iter().map(|g| f64::from(*g).powi(2)).sum();
    grad.chunks(grad.len() / count).map(norm).collect()
}

#[test]
fn every_parameter_gets_a_gradient_and_classes_without_samples_get_none() {
    for config in configs() {
        let model = filled(&config, 8, &Device::flex().autodiff());
        let found = gradients(&model, &batch(&config));
        let names: Vec<&String> = found.keys().collect();
        assert_eq!(names, params::layout(&config).keys().collect::<Vec<_>>());
        for (name, grad) in found.iter().filter(|g| !g.0.ends_with("attention.k.bias")) {
            for (block, norm) in blocks(name, grad, &config).into_iter().enumerate() {
                let absent = block == 3 && matches!(Part::of(name), Part::Tailors | Part::Labels);
                assert_eq!(norm == 0.0, absent, "{name}, block {block}: {norm}");
            }
        }
    }
}

#[test]
fn what_is_frozen_gets_no_gradient_and_changes_no_other() {
    for config in configs() {
        let model = filled(&config, 9, &Device::flex().autodiff());
        let all = gradients(&model, &batch(&config));
        let trains = |name: &str| matches!(Part::of(name), Part::Tailors | Part::Labels);
        let some = gradients(&params::set_trainable(model, trains), &batch(&config));
        let expected: BTreeMap<_, _> = all.into_iter().filter(|(name, _)| trains(name)).collect();
        assert_eq!(some, expected);
    }
}

/// The model of some groups gives the same bits for them, and the gradients of their tailors alone.
#[test]
fn a_model_of_some_groups_is_the_whole_for_them() {
    let config = DitConfig::from_size("dit-micro/4", [3, 8, 8], 5).unwrap();
    let split = RankSplit {
        learngene: 6,
        tailor: 2,
    };
    let config = config.with_rank_split(split).unwrap();
    let labels = [Some(4), Some(1), None, Some(1)];
    let mut batch = Batch::of_labels(&config, &labels);
    let whole = filled(&config, 3, &Device::flex().autodiff());
    assert!(whole.of_groups(&[5]).is_err());
    let part = whole.of_groups(&[1, 4]).unwrap();
    let (predicted, found) = (wide(batch.predict(&whole)), gradients(&whole, &batch));

    let among = |l: &Option<usize>| l.map(|l| (usize::from(l == 4), 1.0));
    batch.lists = labels
        .iter()
        .map(|l| among(l).into_iter().collect())
        .collect();
    assert_eq!(wide(batch.predict(&part)), predicted);
    for (name, part) in gradients(&part, &batch) {
        let whole = &found[&name];
        let rows = whole.len() / 5;
        match Part::of(&name) {
            Part::Tailors => {
                assert_eq!([&whole[rows..2 * rows], &whole[4 * rows..]].concat(), part);
                assert!(whole[..rows].iter().all(|g| *g == 0.0), "{name}");
            }
            _ => assert_eq!(*whole, part, "{name}"),
        }
    }
}
