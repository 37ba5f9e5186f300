//! Deterministic samplers against the exact probability flow of a Gaussian.

mod common;

use common::{TILTED, no_noise, start, values};
use learngene_diffusion::{SamplerKind, Sampling, Schedule, ScheduleKind, Target, sample};

/// Largest error of `steps` steps against the flow to the first time followed by the predicted clean image,
/// which is where all of them end.
fn error(kind: SamplerKind, schedule: &Schedule, target: Target, steps: usize) -> f64 {
    let network = TILTED.network(schedule, target);
    let sampling = Sampling {
        kind,
        steps,
        ..Sampling::default()
    };
    let x = sample(
        &network,
        schedule,
        target,
        &sampling,
        start(),
        &mut no_noise,
        &mut |_, _| (),
    );
    let bars = schedule.alpha_bars();
    let (first, last) = (bars[0], bars[bars.len() - 1]);
    let exact = TILTED
        .x0(first)
        .apply(TILTED.flow(last, first).apply(start()));
    let gaps = values(&(x.unwrap() - exact));
    gaps.into_iter()
        .fold(0.0, |worst, gap| worst.max(gap.abs()))
}

#[test]
fn show() {
    for kind in ["linear", "cosine"] {
        let schedule = Schedule::new(kind.parse().unwrap(), 1025).unwrap();
        for name in ["ddim", "euler", "heun", "dpm++2m"] {
            let e: Vec<_> = [9, 17, 33, 65, 129, 257]
                .map(|n| error(name.parse().unwrap(), &schedule, Target::Velocity, n))
                .to_vec();
            let r: Vec<_> = e.windows(2).map(|w| w[0] / w[1]).collect();
            println!("{kind} {name} {e:?} {r:.2?}");
        }
    }
    let _ = ScheduleKind::Cosine;
}
