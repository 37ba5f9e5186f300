//! A dense model factorised: what is kept, and what the numbers about it say.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use burn::tensor::{Device, Tensor};
use common::{WIDTH, difference, filled, shape};
use learngene_nn::{ClassGate, Conditions, Dit, DitConfig, Prompts, RankSplit, params};
use learngene_train::RunConfig;
use learngene_transfer::factorise;

fn said(model: &Dit, class: Option<usize>) -> Vec<f32> {
    let conditions = Conditions {
        times: vec![400.0],
        labels: vec![class],
        gate: model.fit_gate(ClassGate::one_hot([class])),
    };
    let x = Tensor::<4>::full([1, 3, 8, 8], 0.3, &Device::flex());
    params::to_vec(model.forward(x, &conditions).unwrap())
}

fn split(learngene: usize, tailor: usize) -> RankSplit {
    RankSplit { learngene, tailor }
}

#[test]
fn all_components_are_the_model_whether_a_tailor_has_some_of_them_or_not() {
    let (config, model) = filled(shape());
    let (whole, same, kept) = factorise(&config, &model, split(WIDTH, 0)).unwrap();
    assert_eq!(whole.model.learngene_rank(), Some(WIDTH));
    assert!(difference(&said(&same, Some(1)), &said(&model, Some(1))) < 1e-4);
    assert!(kept.labelled < 1e-4 && kept.unlabelled < 1e-4, "{kept:?}");
    assert!(kept.energy.iter().all(|e| (e.learngene - 1.0).abs() < 1e-5));

    let (_, gated, kept) = factorise(&config, &model, split(WIDTH - 4, 4)).unwrap();
    assert!(difference(&said(&gated, Some(1)), &said(&model, Some(1))) < 1e-4);
    assert!(difference(&said(&gated, None), &said(&model, None)) > 1e-3);
    assert!(kept.labelled < 1e-4 && kept.unlabelled > 1e-3, "{kept:?}");
}

/// The energy of a truncation is one less the squared distance from the matrix (Eckart and Young).
#[test]
fn energy_is_what_the_distance_of_the_matrices_says() {
    let (config, model) = filled(shape());
    let (_, small, kept) = factorise(&config, &model, split(6, 3)).unwrap();
    let before = params::values(&model);
    for (active, energy) in [
        (vec![], kept.energy[4].learngene),
        (vec![(2, 1.0)], kept.energy[4].with_tailor),
    ] {
        let merged = small
            .specialise(&active, Some(learngene_nn::Form::Merged))
            .unwrap();
        let after = params::values(&merged);
        let (mut distance, mut size) = (0.0, 0.0);
        for l in 0..2 {
            let name = format!("blocks.{l}.mlp.input.weight");
            for (a, b) in before[&name].values.iter().zip(&after[&name].values) {
                distance += f64::from(a - b).powi(2);
                size += f64::from(*a).powi(2);
            }
        }
        assert_eq!(kept.energy[4].matrix, "mlp.input");
        assert!((energy - (1.0 - distance / size)).abs() < 1e-5, "{energy}");
        assert!((0.2..0.9).contains(&energy), "{energy}");
    }
}

#[test]
fn tailors_are_kept_and_what_is_no_dense_model_is_refused() {
    let (config, model) = filled(shape().with_tailors(4).unwrap());
    let (joined, same, _) = factorise(&config, &model, split(WIDTH - 4, 4)).unwrap();
    let (before, after) = (params::values(&model), params::values(&same));
    let tailors = |name: &&String| name.contains(".tailors.");
    assert_eq!(before.keys().filter(tailors).count(), 2 * 6 * 3);
    for name in before.keys().filter(tailors) {
        assert_eq!(before[name], after[name], "{name}");
    }
    let refused = |config: &RunConfig, model: &Dit, split, part: &str| {
        let error = factorise(config, model, split).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&config, &model, split(8, 2), "found N_T = 2, expected 4");
    refused(&config, &model, split(WIDTH, 4), "active rank 28");
    refused(
        &joined,
        &same,
        split(8, 4),
        "found a factorised one, expected a dense one",
    );
    let prompted = DitConfig {
        prompts: Prompts::Gated,
        ..shape()
    };
    let (config, model) = filled(prompted);
    refused(&config, &model, split(8, 4), "an adapted one");
}
