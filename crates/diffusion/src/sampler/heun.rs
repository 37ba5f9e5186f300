//! Second-order integration of the probability flow along v.

use burn::tensor::Tensor;

use super::euler::Point;
use super::{Observer, Predictor, backwards, mix};
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
        x = match i.checked_sub(1) {
            None => here.x0(predictor, &x)?,
            Some(next) => {
                let next = Point::new(schedule, next);
                let turn = next.angle - here.angle;
                let velocity = here.velocity(predictor, &x)?;
                let trial = mix(velocity.clone(), turn, x.clone(), 1.0);
                let correction = next.velocity(predictor, &trial)?;
                x + (velocity + correction) * (turn / 2.0)
            }
        };
        observer(step, &x);
    }
    Ok(x)
}
