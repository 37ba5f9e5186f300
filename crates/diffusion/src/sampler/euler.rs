//! First-order integration of the probability flow along v.

use burn::tensor::Tensor;

use super::predictor::Answer;
use super::{Observer, Predictor, backwards};
use crate::target::amplitudes;
use crate::{DiffusionError, Schedule};

/// Euler's method for the probability flow in the angle `phi = atan2(sigma, alpha)`.
///
/// With `x = cos(phi) x_0 + sin(phi) noise` the flow is `dx / dphi = v` (Salimans & Ho 2022, appendix D): it
/// is regular from pure noise (`pi / 2`) to the clean image (0), unlike the forms in sigma or time, and the
/// cosine schedule's angle is all but linear in time. Euler's method in `sigma / alpha` would be DDIM
/// once more. The last step takes the predicted clean image.
///
/// # Shapes
/// `x_bchw` and the result `[b, c, h, w]`.
///
/// # Errors
/// An output of the network of another shape.
pub fn euler(
    predictor: &Predictor<'_>,
    schedule: &Schedule,
    x_bchw: Tensor<4>,
    observer: &mut Observer<'_>,
) -> Result<Tensor<4>, DiffusionError> {
    let mut x = x_bchw;
    for (step, i) in backwards(schedule) {
        let here = Point::new(schedule, i);
        let said = here.ask(predictor, x)?;
        x = match i.checked_sub(1) {
            None => said.clean(),
            Some(next) => {
                let turn = Point::new(schedule, next).angle - here.angle;
                said.next(here.along(turn), None)
            }
        };
        observer(step, &x);
    }
    Ok(x)
}

/// A point of the schedule as the flow sees it.
pub(super) struct Point {
    time: f64,
    alpha_bar: f64,
    /// `atan2(sigma, alpha)`.
    pub angle: f64,
}

impl Point {
    pub(super) fn new(schedule: &Schedule, index: usize) -> Self {
        let alpha_bar = schedule.alpha_bars()[index];
        let (alpha, sigma) = amplitudes(alpha_bar);
        Self {
            time: schedule.times()[index],
            alpha_bar,
            angle: sigma.atan2(alpha),
        }
    }

    /// Evaluates the network there.
    pub(super) fn ask(
        &self,
        predictor: &Predictor<'_>,
        x: Tensor<4>,
    ) -> Result<Answer, DiffusionError> {
        predictor.ask(x, self.time, self.alpha_bar)
    }

    /// Weights of x and of the clean image (perhaps clipped) in `x + turn v`, with the velocity that they imply:
    /// `v = (alpha x - x_0) / sigma`.
    pub(super) fn along(&self, turn: f64) -> [f64; 2] {
        let (alpha, sigma) = amplitudes(self.alpha_bar);
        [1.0 + turn * alpha / sigma, -turn / sigma]
    }
}
