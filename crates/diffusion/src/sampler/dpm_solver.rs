//! A second-order solver that remembers its last prediction.

use burn::tensor::Tensor;

use super::{Observer, Predictor, backwards, mix};
use crate::schedule::log_snr;
use crate::{DiffusionError, Schedule};

/// DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): a linear multistep method for the predicted clean image in
/// lambda, half the log signal-to-noise ratio. The first step has no memory and the last goes to an
/// infinite lambda; both are first order.
///
/// # Shapes
/// `x_bchw` and the result `[b, c, h, w]`.
///
/// # Errors
/// An output of the network of another shape.
pub fn dpm_solver_2m(
    predictor: &Predictor<'_>,
    schedule: &Schedule,
    x_bchw: Tensor<4>,
    observer: &mut Observer<'_>,
) -> Result<Tensor<4>, DiffusionError> {
    let mut x = x_bchw;
    let mut memory: Option<(Tensor<4>, f64)> = None;
    for (step, i) in backwards(schedule) {
        let alpha_bar = schedule.alpha_bars()[i];
        let x0 = predictor.estimate(&x, schedule.times()[i], alpha_bar)?.x0;
        let Some(previous) = i.checked_sub(1) else {
            observer(step, &x0);
            return Ok(x0);
        };
        let before = schedule.alpha_bars()[previous];
        let stride = (log_snr(before) - log_snr(alpha_bar)) / 2.0;
        let direction = match memory {
            None => x0.clone(),
            Some((last_x0, last_stride)) => {
                let lead = stride / (2.0 * last_stride);
                mix(x0.clone(), 1.0 + lead, last_x0, -lead)
            }
        };
        memory = Some((x0, stride));
        let kept = ((1.0 - before) / (1.0 - alpha_bar)).sqrt();
        x = mix(direction, -before.sqrt() * (-stride).exp_m1(), x, kept);
        observer(step, &x);
    }
    Ok(x)
}
