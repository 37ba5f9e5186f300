//! Deterministic samplers against the exact probability flow of a Gaussian.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use burn::tensor::{DType, Tensor};
use common::{Gaussian, TILTED, no_noise, normal, start, values};
use learngene_diffusion::{
    Clip, Conditional, Guided, Predictor, SamplerKind, Sampling, Schedule, ScheduleKind, Target,
    ddim, dpm_solver_2m, euler, heun, sample,
};

const KINDS: [ScheduleKind; 2] = [ScheduleKind::Linear, ScheduleKind::Cosine];

fn largest(gap: Tensor<4>) -> f64 {
    values(&gap)
        .into_iter()
        .fold(0.0, |worst, gap| worst.max(gap.abs()))
}

/// Largest error of a sampler on `steps` evenly spaced times, against the exact flow down to the first time and
/// the predicted clean image there, which is where all of them end.
fn error(kind: SamplerKind, schedule: &Schedule, target: Target, steps: usize) -> f64 {
    let network = TILTED.network(schedule, target);
    let predictor = Predictor::new(&network, target, Clip::Off);
    let kept = schedule.respace_evenly(steps).unwrap();
    let mut noise = no_noise;
    let mut observer = |_: usize, _: &Tensor<4>| ();
    let x = match kind {
        SamplerKind::Ddim => ddim(&predictor, &kept, 0.0, start(), &mut noise, &mut observer),
        SamplerKind::DpmSolver2M => dpm_solver_2m(&predictor, &kept, start(), &mut observer),
        SamplerKind::Euler => euler(&predictor, &kept, start(), &mut observer),
        SamplerKind::Heun => heun(&predictor, &kept, start(), &mut observer),
        SamplerKind::Ddpm => unreachable!("not deterministic"),
    };
    let bars = schedule.alpha_bars();
    let (first, last) = (bars[0], bars[bars.len() - 1]);
    let exact = TILTED
        .x0(first)
        .apply(TILTED.flow(last, first).apply(start()));
    largest(x.unwrap() - exact)
}

/// Halving the step divides the error by 2 to the order. Grids are nested: 1024 = 128 * 8 = 256 * 4.
#[test]
fn order_of_convergence_shows() {
    use SamplerKind::{Ddim, DpmSolver2M, Euler, Heun};
    for kind in KINDS {
        let schedule = Schedule::new(kind, 1025).unwrap();
        for target in [Target::Velocity, Target::Epsilon] {
            for (sampler, order) in [(Ddim, 1), (Euler, 1), (Heun, 2), (DpmSolver2M, 2)] {
                let [coarse, fine] = [129, 257].map(|n| error(sampler, &schedule, target, n));
                let (ratio, expected) = (coarse / fine, f64::from(1 << order));
                // Measured: 1.97 to 1.99 for order 1, 3.95 to 4.05 for order 2.
                let gap = (ratio / expected - 1.0).abs();
                assert!(
                    gap < 0.04,
                    "{sampler} {kind} {target}: {coarse:e} / {fine:e} = {ratio}"
                );
            }
        }
    }
}

/// As a person calls it: few steps, against the flow to the clean image itself.
#[test]
fn thirty_steps_come_near_the_flow() {
    use SamplerKind::{Ddim, DpmSolver2M, Euler, Heun};
    let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
    let last = schedule.alpha_bars()[999];
    let exact = TILTED.flow(last, 1.0).apply(start());
    let network = TILTED.network(&schedule, Target::Velocity);
    // Measured: 0.054, 0.0035, 0.018, 0.0017 on values up to 2.
    for (kind, bound) in [
        (Ddim, 0.06),
        (DpmSolver2M, 5e-3),
        (Euler, 0.025),
        (Heun, 3e-3),
    ] {
        let sampling = Sampling {
            kind,
            steps: 30,
            ..Sampling::default()
        };
        let mut steps_seen = Vec::new();
        let x = sample(
            &network,
            &schedule,
            Target::Velocity,
            &sampling,
            start(),
            &mut no_noise,
            &mut |step, _| steps_seen.push(step),
        );
        let gap = largest(x.unwrap() - exact.clone());
        assert!(gap < bound, "{kind}: {gap}");
        assert_eq!(steps_seen, (0..30).collect::<Vec<_>>(), "{kind}");
    }
}

/// Velocity and noise are two names for the same knowledge, and f32 is enough for either at every sampler.
#[test]
fn targets_and_precisions_agree() {
    let schedule = Schedule::new(ScheduleKind::Linear, 1000).unwrap();
    for kind in ["ddim", "dpm++2m", "euler", "heun"] {
        let sampling = Sampling {
            kind: kind.parse().unwrap(),
            ..Sampling::default()
        };
        let run = |target: Target, x: Tensor<4>| {
            let network = TILTED.network(&schedule, target);
            sample(
                &network,
                &schedule,
                target,
                &sampling,
                x,
                &mut no_noise,
                &mut |_, _| (),
            )
            .unwrap()
        };
        let velocity = run(Target::Velocity, start());
        let epsilon = run(Target::Epsilon, start());
        assert!(largest(velocity.clone() - epsilon) < 1e-9, "{kind}");
        let single = run(Target::Velocity, start().cast(DType::F32));
        assert_eq!(single.dtype(), DType::F32);
        let gap = largest(velocity - single.cast(DType::F64));
        assert!(gap < 1e-5, "{kind}: {gap}");
    }
}

/// A perfect network of one Gaussian under its condition and of another under none.
struct Pair<'a>(&'a Schedule);

impl Conditional for Pair<'_> {
    fn conditional(&self, x: Tensor<4>, t: f64) -> Tensor<4> {
        TILTED.network(self.0, Target::Velocity)(x, t)
    }

    fn both(&self, x: Tensor<4>, t: f64) -> Tensor<4> {
        let wide = Gaussian {
            mean: [0.0; 2],
            deviations: [1.1, 0.8],
            turn: 0.0,
        };
        let null = wide.network(self.0, Target::Velocity)(x.clone(), t);
        Tensor::cat(vec![self.conditional(x, t), null], 0)
    }
}

/// In f64 every step is a composition of plain operators, in f32 it is one pass.
#[test]
fn guided_and_clipped_steps_agree_in_both_precisions() {
    let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
    let guided = Guided::new(Pair(&schedule), 2.0).unwrap();
    for name in SamplerKind::names() {
        for clip in [Clip::Off, Clip::Range, Clip::Dynamic] {
            let sampling = Sampling {
                kind: name.parse().unwrap(),
                steps: 20,
                eta: 0.5,
                clip,
                ..Sampling::default()
            };
            let run = |x: Tensor<4>| {
                let dtype = x.dtype();
                let mut noise = |step, shape| normal(1, step, shape).cast(dtype);
                let target = Target::Velocity;
                let observer = &mut |_: usize, _: &Tensor<4>| ();
                sample(
                    &guided, &schedule, target, &sampling, x, &mut noise, observer,
                )
                .unwrap()
            };
            let (double, single) = (run(start()), run(start().cast(DType::F32)));
            assert_eq!(single.dtype(), DType::F32);
            let gap = largest(double - single.cast(DType::F64));
            assert!(gap < 2e-5, "{name} {clip}: {gap}");
        }
    }
}

#[test]
fn one_step_is_the_predicted_image() {
    let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
    let network = TILTED.network(&schedule, Target::Velocity);
    let expected = TILTED.x0(schedule.alpha_bars()[999]).apply(start());
    for name in SamplerKind::names() {
        let sampling = Sampling {
            kind: name.parse().unwrap(),
            steps: 1,
            ..Sampling::default()
        };
        let target = Target::Velocity;
        let x = sample(
            &network,
            &schedule,
            target,
            &sampling,
            start(),
            &mut no_noise,
            &mut |_, _| (),
        );
        assert!(largest(x.unwrap() - expected.clone()) < 1e-12, "{name}");
    }
}
