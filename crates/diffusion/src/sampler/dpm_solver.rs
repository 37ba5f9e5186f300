//! A second-order solver that remembers its last prediction.

use burn::tensor::Tensor;

use super::{Observer, Predictor, backwards};
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
        let said = predictor.ask(x, schedule.times()[i], alpha_bar)?;
        let Some(previous) = i.checked_sub(1) else {
            x = said.clean();
            observer(step, &x);
            return Ok(x);
        };
        let before = schedule.alpha_bars()[previous];
        let stride = (log_snr(before) - log_snr(alpha_bar)) / 2.0;
        let kept = ((1.0 - before) / (1.0 - alpha_bar)).sqrt();
        let gain = -before.sqrt() * (-stride).exp_m1();
        // The direction is the line through the last two clean images, half a stride ahead.
        let (lead, last) = match memory {
            None => (0.0, None),
            Some((last_x0, last_stride)) => {
                let lead = stride / (2.0 * last_stride);
                (lead, Some((last_x0, -gain * lead)))
            }
        };
        let (next, x0) = said.next_and_clean([kept, gain * (1.0 + lead)], last);
        memory = Some((x0, stride));
        x = next;
        observer(step, &x);
    }
    Ok(x)
}
