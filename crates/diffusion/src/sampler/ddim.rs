//! Denoising diffusion implicit models.

use burn::tensor::Tensor;

use super::{NoiseSource, Observer, Predictor, backwards, draw};
use crate::{DiffusionError, Schedule};

/// DDIM (Song et al. 2021, equations 12 and 16): rebuilds the next image from the predicted clean image and
/// noise. `eta` 0 is deterministic and follows the probability flow to first order; `eta` 1 is DDPM
/// with the small variance.
///
/// # Shapes
/// `x_bchw` and the result `[b, c, h, w]`.
///
/// # Errors
/// An `eta` outside 0 to 1; outputs of the network or the noise source of another shape.
pub fn ddim(
    predictor: &Predictor<'_>,
    schedule: &Schedule,
    eta: f64,
    x_bchw: Tensor<4>,
    noise: &mut NoiseSource<'_>,
    observer: &mut Observer<'_>,
) -> Result<Tensor<4>, DiffusionError> {
    if !(0.0..=1.0).contains(&eta) {
        return Err(DiffusionError::Setting {
            setting: "eta",
            found: eta.to_string(),
            expected: "a number from 0 to 1",
        });
    }
    let mut x = x_bchw;
    let shape = x.dims();
    for (step, i) in backwards(schedule) {
        let alpha_bar = schedule.alpha_bars()[i];
        let before = schedule.alpha_bar_before(i);
        let said = predictor.ask(x, schedule.times()[i], alpha_bar)?;
        let deviation = eta * schedule.posterior(i).variance.sqrt();
        // The predicted noise is (x_t - alpha x_0) / sigma: no need to form it.
        let kept_noise = (1.0 - before - deviation * deviation).max(0.0).sqrt();
        let noise_per_x = kept_noise / (1.0 - alpha_bar).sqrt();
        let image = before.sqrt() - noise_per_x * alpha_bar.sqrt();
        let fresh = match deviation > 0.0 {
            true => Some((draw(noise, step, shape)?, deviation)),
            false => None,
        };
        x = said.next([noise_per_x, image], fresh);
        observer(step, &x);
    }
    Ok(x)
}
