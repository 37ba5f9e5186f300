//! Second-order integration of the probability flow along v.

use burn::tensor::Tensor;

use super::euler::Point;
use super::{Observer, Predictor, backwards};
use crate::{DiffusionError, Schedule};

/// Heun's method for the same equation as [`super::euler`]: each step is corrected by the velocity found at
/// its end, for two evaluations a step. The last step takes the predicted clean image.
///
/// # Shapes
/// `x_bchw` and the result `[b, c, h, w]`.
///
/// # Errors
/// An output of the network of another shape.
pub fn heun(
    predictor: &Predictor<'_>,
    schedule: &Schedule,
    x_bchw: Tensor<4>,
    observer: &mut Observer<'_>,
) -> Result<Tensor<4>, DiffusionError> {
    let mut x = x_bchw;
    for (step, i) in backwards(schedule) {
        let here = Point::new(schedule, i);
        let said = here.ask(predictor, x.clone())?;
        x = match i.checked_sub(1) {
            None => said.clean(),
            Some(next) => {
                let next = Point::new(schedule, next);
                let turn = next.angle - here.angle;
                let trial = said.next(here.along(turn), None);
                // x + turn (v + v') / 2, where turn v is trial - x.
                let [of_trial, of_x0] = next.along(turn / 2.0);
                let corrected = next.ask(predictor, trial)?;
                corrected.next([of_trial - 0.5, of_x0], Some((x, 0.5)))
            }
        };
        observer(step, &x);
    }
    Ok(x)
}
