//! Samplers against the mean and covariance of a Gaussian, many points at once.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use burn::tensor::Tensor;
use common::{Gaussian, TILTED, no_noise, normal, values};
use learngene_diffusion::{
    Clip, DiffusionError, FixedVariance, Predictor, SamplerKind, Sampling, Schedule, ScheduleKind,
    Target, ddim, ddpm, sample,
};

const POINTS: usize = 20_000;
/// Five standard errors of a mean or covariance entry of `POINTS` values of variance 1 at most: covariance
/// entries have variance at most 2 / `POINTS`.
const CHANCE: f64 = 0.05;

fn noise(seed: u64) -> impl FnMut(usize, [usize; 4]) -> Tensor<4> {
    move |step, shape| normal(seed, step, shape)
}

fn start() -> Tensor<4> {
    normal(1, 0, [POINTS, 2, 1, 1])
}

fn cosine() -> Schedule {
    Schedule::new(ScheduleKind::Cosine, 1000).unwrap()
}

fn moments(x: &Tensor<4>) -> ([f64; 2], [[f64; 2]; 2]) {
    let values = values(x);
    let points: Vec<[f64; 2]> = values.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
    let count = points.len() as f64;
    let mean = [0, 1].map(|i| points.iter().map(|p| p[i]).sum::<f64>() / count);
    let entry = |i: usize, j: usize| {
        points
            .iter()
            .map(|p| (p[i] - mean[i]) * (p[j] - mean[j]))
            .sum::<f64>()
            / count
    };
    (
        mean,
        [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]],
    )
}

/// Every entry within chance, plus what the sampler's own step size is allowed.
fn assert_reproduces(x: &Tensor<4>, expected: &Gaussian, bias: f64, what: &str) {
    let (mean, covariance) = moments(x);
    let exact = expected.covariance();
    for i in 0..2 {
        assert!(
            (mean[i] - expected.mean[i]).abs() < CHANCE,
            "{what}: mean {mean:?}"
        );
        for j in 0..2 {
            let gap = (covariance[i][j] - exact[i][j]).abs();
            assert!(
                gap < CHANCE + bias,
                "{what}: covariance {covariance:?}, exact {exact:?}"
            );
        }
    }
}

#[test]
fn every_sampler_reproduces_mean_and_covariance() {
    let schedule = cosine();
    let network = TILTED.network(&schedule, Target::Velocity);
    for name in SamplerKind::names() {
        for eta in [0.0, 0.7] {
            let kind = name.parse().unwrap();
            let sampling = Sampling {
                kind,
                steps: 200,
                eta,
                ..Sampling::default()
            };
            let target = Target::Velocity;
            let (mut noise, mut observer) = (noise(2), |_: usize, _: &Tensor<4>| ());
            let x = sample(
                &network,
                &schedule,
                target,
                &sampling,
                start(),
                &mut noise,
                &mut observer,
            );
            assert_reproduces(&x.unwrap(), &TILTED, 0.0, name);
        }
    }
}

#[test]
fn all_thousand_ancestral_steps_reproduce_it_with_either_variance() {
    let schedule = cosine();
    let network = TILTED.network(&schedule, Target::Velocity);
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    for variance in [FixedVariance::Small, FixedVariance::Large] {
        let x = ddpm(
            &predictor,
            &schedule,
            variance,
            start(),
            &mut noise(3),
            &mut |_, _| (),
        );
        assert_reproduces(&x.unwrap(), &TILTED, 0.0, variance.name());
    }
}

/// For standard normal data every reverse step has variance beta exactly, however few there are; the small
/// variance then falls short, which shows that the test can tell them apart.
#[test]
fn the_large_variance_is_exact_for_standard_normal_data() {
    let schedule = cosine();
    let standard = Gaussian {
        mean: [0.0; 2],
        deviations: [1.0; 2],
        turn: 0.0,
    };
    let network = standard.network(&schedule, Target::Velocity);
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    let kept = schedule.respace(7).unwrap();
    let run = |variance| {
        ddpm(
            &predictor,
            &kept,
            variance,
            start(),
            &mut noise(4),
            &mut |_, _| (),
        )
        .unwrap()
    };
    assert_reproduces(&run(FixedVariance::Large), &standard, 0.0, "large");
    let (_, covariance) = moments(&run(FixedVariance::Small));
    assert!(covariance[0][0] < 1.0 - 2.0 * CHANCE, "{covariance:?}");
}

/// Of a round Gaussian the exact variance of a reverse step is known, for any step size: what the posterior
/// leaves open, plus its mean's share of the doubt about the image.
#[test]
fn a_learned_variance_is_exact_in_few_steps() {
    let deviation = 0.5;
    let round = Gaussian {
        mean: [0.3, -0.2],
        deviations: [deviation; 2],
        turn: 0.0,
    };
    let schedule = cosine();
    let kept = schedule.respace(8).unwrap();
    let mean = round.network(&schedule, Target::Velocity);
    let network = |x: Tensor<4>, t: f64| {
        let i = kept.times().iter().position(|&time| time == t).unwrap();
        let (p, alpha_bar) = (kept.posterior(i), kept.alpha_bars()[i]);
        let doubt = 1.0 / (alpha_bar / (1.0 - alpha_bar) + deviation.powi(-2));
        let exact = (p.variance + p.x0 * p.x0 * doubt).ln();
        let (low, high) = (p.log_variance_clipped, kept.betas()[i].ln());
        let raw = 2.0 * (exact - low) / (high - low) - 1.0;
        Tensor::cat(vec![mean(x.clone(), t), x.full_like(raw)], 1)
    };
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    let mut draws = noise(5);
    let x = ddpm(
        &predictor,
        &kept,
        FixedVariance::Small,
        start(),
        &mut draws,
        &mut |_, _| (),
    )
    .unwrap();
    let (_, covariance) = moments(&x);
    // Relative standard error of a variance: sqrt(2 / POINTS) = 1 %.
    for i in 0..2 {
        let ratio = covariance[i][i] / (deviation * deviation);
        assert!((ratio - 1.0).abs() < 0.04, "{covariance:?}");
    }
    assert_reproduces(&x, &round, 0.0, "learned");
}

#[test]
fn full_eta_is_ancestral_sampling() {
    let schedule = cosine();
    let network = TILTED.network(&schedule, Target::Velocity);
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    let kept = schedule.respace(20).unwrap();
    let start = || normal(1, 0, [10, 2, 1, 1]);
    let implicit = ddim(
        &predictor,
        &kept,
        1.0,
        start(),
        &mut noise(6),
        &mut |_, _| (),
    )
    .unwrap();
    let small = FixedVariance::Small;
    let ancestral = ddpm(
        &predictor,
        &kept,
        small,
        start(),
        &mut noise(6),
        &mut |_, _| (),
    )
    .unwrap();
    let gap = (implicit - ancestral).abs().max().into_scalar::<f64>();
    assert!(gap < 1e-10, "{gap}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let schedule = cosine();
    let network = TILTED.network(&schedule, Target::Velocity);
    let run = |sampling: Sampling| {
        let (target, start) = (Target::Velocity, normal(1, 0, [1, 2, 1, 1]));
        sample(
            &network,
            &schedule,
            target,
            &sampling,
            start,
            &mut no_noise,
            &mut |_, _| (),
        )
        .unwrap_err()
    };
    let default = Sampling::default();
    let none = run(Sampling {
        steps: 0,
        ..default
    });
    assert_eq!(
        none.to_string(),
        "sampling with zero steps; give at least one"
    );
    let many = run(Sampling {
        steps: 1001,
        kind: SamplerKind::DpmSolver2M,
        ..default
    });
    assert!(matches!(
        many,
        DiffusionError::TooManySteps {
            steps: 1001,
            training: 1000
        }
    ));
    for eta in [-0.1, 1.1, f64::NAN] {
        let error = run(Sampling { eta, ..default });
        assert!(matches!(
            error,
            DiffusionError::Setting { setting: "eta", .. }
        ));
    }
}

#[test]
fn noise_of_another_shape_is_refused() {
    let schedule = cosine();
    let network = TILTED.network(&schedule, Target::Velocity);
    let sampling = Sampling {
        kind: SamplerKind::Ddpm,
        ..Sampling::default()
    };
    let mut wrong = |step, _| normal(1, step, [1, 2, 1, 1]);
    let (target, start) = (Target::Velocity, normal(1, 0, [3, 2, 1, 1]));
    let error = sample(
        &network,
        &schedule,
        target,
        &sampling,
        start,
        &mut wrong,
        &mut |_, _| (),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "noise has shape [1, 2, 1, 1], expected [3, 2, 1, 1]"
    );
}
