//! First-order integration of the probability flow along v.

use burn::tensor::Tensor;

use super::{Observer, Predictor, backwards, mix};
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
        x = match i.checked_sub(1) {
            None => here.x0(predictor, &x)?,
            Some(next) => {
                let turn = Point::new(schedule, next).angle - here.angle;
                let velocity = here.velocity(predictor, &x)?;
                mix(velocity, turn, x, 1.0)
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
        Self {
            time: schedule.times()[index],
            alpha_bar,
            angle: (1.0 - alpha_bar).sqrt().atan2(alpha_bar.sqrt()),
        }
    }

    /// The predicted clean image.
    pub(super) fn x0(
        &self,
        predictor: &Predictor<'_>,
        x: &Tensor<4>,
    ) -> Result<Tensor<4>, DiffusionError> {
        Ok(predictor.estimate(x, self.time, self.alpha_bar)?.x0)
    }

    /// The velocity that the predicted (and perhaps clipped) clean image implies: `(alpha x - x_0) / sigma`.
    pub(super) fn velocity(
        &self,
        predictor: &Predictor<'_>,
        x: &Tensor<4>,
    ) -> Result<Tensor<4>, DiffusionError> {
        let x0 = self.x0(predictor, x)?;
        let sigma = (1.0 - self.alpha_bar).sqrt();
        Ok(mix(
            x.clone(),
            self.alpha_bar.sqrt() / sigma,
            x0,
            -sigma.recip(),
        ))
    }
}
