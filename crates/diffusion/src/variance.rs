//! Learned variances: how channels `c..2c` of a network's output become variances, and what they cost.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

use burn::tensor::Tensor;

use crate::target::column;
use crate::{DiffusionError, NoiseLevels, Schedule, Target};

/// Splits `[b, 2c, h, w]` into prediction and raw variances, `[b, c, h, w]` each.
pub(crate) fn split(output: Tensor<4>, channels: usize) -> (Tensor<4>, Tensor<4>) {
    let prediction = output.clone().narrow(1, 0, channels);
    (prediction, output.narrow(1, channels, channels))
}

/// Log variances from the network's raw values (Nichol & Dhariwal 2021, equation 15): -1 means the posterior
/// variance of step `t`, 1 means its beta, geometric in between. `steps` holds one index per sample, or one for all.
pub(crate) fn log_variance(raw: Tensor<4>, schedule: &Schedule, steps: &[usize]) -> Tensor<4> {
    let (mut centres, mut halves) = (Vec::new(), Vec::new());
    for &i in steps {
        let low = schedule.posterior(i).log_variance_clipped;
        let high = schedule.betas()[i].ln();
        centres.push((high + low) / 2.0);
        halves.push((high - low) / 2.0);
    }
    let (centres, halves) = (column(&centres, &raw), column(&halves, &raw));
    raw * halves + centres
}

/// The variational bound's term of each sample in bits per dimension, `[b]` (Nichol & Dhariwal 2021,
/// equations 4 to 7): the divergence of the model's step from the posterior, and for `t = 0` the negative
/// log-likelihood of the 8-bit image. Only `raw` is differentiated.
///
/// All tensors `[b, c, h, w]`; `t` holds a valid index per sample.
pub(crate) fn bound_bits(
    target: Target,
    schedule: &Schedule,
    prediction: Tensor<4>,
    raw: Tensor<4>,
    x0: Tensor<4>,
    noise: Tensor<4>,
    t: &[usize],
) -> Result<Tensor<1>, DiffusionError> {
    let [prediction, x0, noise] = [prediction, x0, noise].map(Tensor::without_autodiff);
    let levels = NoiseLevels::at(schedule, t)?;
    let x_t = levels.diffuse(x0.clone(), noise);
    let predicted_x0 = target.x0(prediction, x_t.clone(), &levels);
    let log_variance = log_variance(raw, schedule, t);

    let posteriors: Vec<_> = t.iter().map(|&i| schedule.posterior(i)).collect();
    let weights = |f: fn(&crate::Posterior) -> f64| {
        column(&posteriors.iter().map(f).collect::<Vec<_>>(), &x0)
    };
    // Both means weigh x_t alike, so their difference needs only the images.
    let shift = (predicted_x0.clone() - x0.clone()) * weights(|p| p.x0);
    let divergence = gaussian_divergence(
        weights(|p| p.log_variance_clipped),
        shift,
        log_variance.clone(),
    );
    if t.iter().all(|&i| i != 0) {
        return Ok(per_sample_mean(divergence) / LN_2);
    }
    // The mean at t = 0 is the predicted image: the posterior's weights are 1 and 0 there.
    let likelihood = gaussian_bin_log_likelihood(x0.clone(), predicted_x0, log_variance);
    let first: Vec<_> = t.iter().map(|&i| f64::from(i == 0)).collect();
    let first = column(&first, &x0).bool().expand(likelihood.dims());
    Ok(per_sample_mean(divergence.mask_where(first, likelihood.neg())) / LN_2)
}

/// `KL(N(m, exp(known)) || N(m + shift, exp(learned)))` per element, in nats.
fn gaussian_divergence(known: Tensor<4>, shift: Tensor<4>, learned: Tensor<4>) -> Tensor<4> {
    let gap = learned.clone() - known;
    let spread = gap.clone().neg().exp();
    let distance = shift.square() * learned.neg().exp();
    (gap + spread + distance - 1.0) * 0.5
}

/// Half the width of one of the 256 grey levels on the scale from -1 to 1.
const HALF_BIN: f64 = 1.0 / 255.0;
/// Floor under probabilities before their logarithm.
const SMALLEST_PROBABILITY: f64 = 1e-12;

/// Log-likelihood per element, in nats, of 8-bit images under a Gaussian (Ho et al. 2020, equation 13): the
/// probability of the grey level's bin, the first and the last reaching to infinity, at least 1e-12.
///
/// # Shapes
/// `x0_bchw` (values from -1 to 1), `mean_bchw`, `log_variance_bchw` and the result `[b, c, h, w]`.
#[must_use]
pub fn gaussian_bin_log_likelihood(
    x0_bchw: Tensor<4>,
    mean_bchw: Tensor<4>,
    log_variance_bchw: Tensor<4>,
) -> Tensor<4> {
    let precision = (log_variance_bchw * -0.5).exp();
    let centred = x0_bchw.clone() - mean_bchw;
    let below = |edge: Tensor<4>| ((edge * FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
    let upper = below((centred.clone() + HALF_BIN) * precision.clone());
    let lower = below((centred - HALF_BIN) * precision);
    // Half-way between the last two levels on each side, to be safe from rounding.
    let first = x0_bchw.clone().lower_elem(-1.0 + HALF_BIN);
    let last = x0_bchw.greater_elem(1.0 - HALF_BIN);
    let probability = upper.mask_fill(last, 1.0) - lower.mask_fill(first, 0.0);
    probability.clamp_min(SMALLEST_PROBABILITY).log()
}

/// Mean over channels and pixels: `[b, c, h, w]` to `[b]`.
pub(crate) fn per_sample_mean(x: Tensor<4>) -> Tensor<1> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c * h * w]).mean_dim(1).reshape([b])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleKind;
    use burn::tensor::{DType, Device};

    fn full(shape: [usize; 4], value: f64) -> Tensor<4> {
        Tensor::full(shape, value, (&Device::flex(), DType::F64))
    }

    /// However the Gaussian lies, one of the 256 grey levels must occur.
    #[test]
    fn probabilities_of_all_grey_levels_sum_to_one() {
        for (mean, log_variance) in [(0.0, -1.0), (0.93, -4.0), (-1.4, 0.5), (0.2, -11.0)] {
            let total: f64 = (0..256)
                .map(|level| {
                    let x0 = full([1, 1, 1, 1], f64::from(level) / 127.5 - 1.0);
                    let mean = full([1, 1, 1, 1], mean);
                    let log_variance = full([1, 1, 1, 1], log_variance);
                    let likelihood = gaussian_bin_log_likelihood(x0, mean, log_variance);
                    likelihood.into_scalar::<f64>().exp()
                })
                .sum();
            assert!((total - 1.0).abs() < 1e-6, "{mean} {log_variance}: {total}");
        }
    }

    #[test]
    fn raw_values_span_posterior_variance_to_beta() {
        let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
        let ends = [-1.0, 1.0].map(|raw| {
            let found = log_variance(full([1, 1, 1, 1], raw), &schedule, &[300]);
            found.into_scalar::<f64>().exp()
        });
        assert!((ends[0] / schedule.posterior(300).variance - 1.0).abs() < 1e-12);
        assert!((ends[1] / schedule.betas()[300] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn equal_gaussians_do_not_diverge() {
        let known = full([1, 1, 1, 2], -3.0);
        let zero = known.zeros_like();
        let found = gaussian_divergence(known.clone(), zero, known);
        assert!(found.abs().max().into_scalar::<f64>() < 1e-15);
    }
}
