//! The networks this crate knows, seen from outside, and classifier-free guidance over them.

use burn::tensor::Tensor;

use crate::DiffusionError;

/// What a network said about a batch of noisy images, before guidance.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The raw output: `[b, c, h, w]`, or `[b, 2c, h, w]` with variances. With guidance it has `2b` samples, those
    /// under the condition first, then those under none.
    pub output: Tensor<4>,
    /// Scale of guidance, if there is any.
    pub guidance: Option<f64>,
}

impl From<Tensor<4>> for Prediction {
    /// An answer without guidance.
    fn from(output: Tensor<4>) -> Self {
        Self {
            output,
            guidance: None,
        }
    }
}

/// Anything that predicts from a noisy image. Closures `Fn(Tensor<4>, f64) -> Tensor<4>` do.
pub trait Denoiser {
    /// What the network says to `x_bchw`, all of it at time `t` in units of training timesteps (fractional for
    /// some samplers).
    ///
    /// # Shapes
    /// `x_bchw` `[b, c, h, w]`; the result as [`Prediction::output`] says.
    fn predict(&self, x_bchw: Tensor<4>, t: f64) -> Prediction;
}

impl<F: Fn(Tensor<4>, f64) -> Tensor<4>> Denoiser for F {
    fn predict(&self, x_bchw: Tensor<4>, t: f64) -> Prediction {
        self(x_bchw, t).into()
    }
}

/// A network that can answer with its condition and without. The condition is its own affair.
///
/// Time as in [`Denoiser::predict`]; outputs are `[b, c, h, w]`, or `[b, 2c, h, w]` with variances.
pub trait Conditional {
    /// The output under the condition.
    fn conditional(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4>;

    /// The outputs under the condition, then those under none, as one batch of `2b`.
    fn both(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4>;
}

impl<M: Conditional + ?Sized> Conditional for &M {
    fn conditional(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4> {
        (**self).conditional(x_bchw, t)
    }

    fn both(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4> {
        (**self).both(x_bchw, t)
    }
}

/// Classifier-free guidance (Ho & Salimans 2022): `null + scale (conditional - null)` on all channels of the
/// prediction; learned variances come from the conditional branch.
///
/// Guiding v guides the noise and the clean image by the same scale, as they follow linearly from it.
/// Scale 1 is the condition alone and never evaluates the null branch. The arithmetic is the sampler's, which does it
/// on the way to the next image.
#[derive(Debug, Clone)]
pub struct Guided<M> {
    inner: M,
    scale: f64,
    interval: Option<(f64, f64)>,
}

impl<M: Conditional> Guided<M> {
    /// Guides `inner` by `scale` at every timestep.
    ///
    /// # Errors
    /// A scale that is not a finite number.
    pub fn new(inner: M, scale: f64) -> Result<Self, DiffusionError> {
        if !scale.is_finite() {
            return Err(DiffusionError::Setting {
                setting: "guidance scale",
                found: scale.to_string(),
                expected: "a finite number (1 means no guidance)",
            });
        }
        Ok(Self {
            inner,
            scale,
            interval: None,
        })
    }

    /// Guides only at times from `first` to `last`, both included, in units of training timesteps; elsewhere
    /// the condition alone speaks (Kynkäänniemi et al. 2024).
    ///
    /// # Errors
    /// An interval whose first time exceeds its last.
    pub fn within(mut self, first: f64, last: f64) -> Result<Self, DiffusionError> {
        if first.is_nan() || last.is_nan() || first > last {
            return Err(DiffusionError::Setting {
                setting: "guidance interval",
                found: format!("{first} to {last}"),
                expected: "two times, the smaller one first",
            });
        }
        self.interval = Some((first, last));
        Ok(self)
    }

    fn guides(&self, t: f64) -> bool {
        let inside = self
            .interval
            .is_none_or(|(first, last)| (first..=last).contains(&t));
        self.scale != 1.0 && inside
    }
}

impl<M: Conditional> Denoiser for Guided<M> {
    fn predict(&self, x_bchw: Tensor<4>, t: f64) -> Prediction {
        if !self.guides(t) {
            return self.inner.conditional(x_bchw, t).into();
        }
        Prediction {
            output: self.inner.both(x_bchw, t),
            guidance: Some(self.scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clip, Predictor, Target};
    use burn::tensor::Device;

    /// Says 3 under its condition and 1 under none; its variance channel says 30 and 10.
    #[derive(Debug)]
    struct Constant {
        variances: bool,
        null_allowed: bool,
    }

    impl Constant {
        fn say(&self, x: &Tensor<4>, value: f64) -> Tensor<4> {
            let [b, c, h, w] = x.dims();
            let mean = Tensor::full([b, c, h, w], value, &x.device());
            if !self.variances {
                return mean;
            }
            Tensor::cat(vec![mean.clone(), mean * 10.0], 1)
        }
    }

    impl Conditional for Constant {
        fn conditional(&self, x: Tensor<4>, _: f64) -> Tensor<4> {
            self.say(&x, 3.0)
        }

        fn both(&self, x: Tensor<4>, _: f64) -> Tensor<4> {
            assert!(self.null_allowed, "the null branch was evaluated");
            Tensor::cat(vec![self.say(&x, 3.0), self.say(&x, 1.0)], 0)
        }
    }

    /// The noise that a sampler hears, and the variance if there is one.
    fn predict(guided: &Guided<&Constant>, t: f64) -> Vec<f32> {
        let x = Tensor::zeros([1, 1, 1, 1], &Device::flex());
        let predictor = Predictor::new(guided, Target::Epsilon, Clip::Off);
        // Alpha equals sigma here, so that the clean image is the noise, negated.
        let mut said = predictor.ask(x, t, 0.5).unwrap();
        let variance = said.raw_variance.take();
        let values = [Some(said.clean().neg()), variance];
        let values = values.into_iter().flatten();
        values
            .flat_map(|x| x.try_into_vec_as::<f32>().unwrap())
            .collect()
    }

    #[test]
    fn scale_one_is_the_condition_alone() {
        let inner = Constant {
            variances: true,
            null_allowed: false,
        };
        assert_eq!(
            predict(&Guided::new(&inner, 1.0).unwrap(), 0.0),
            [3.0, 30.0]
        );
    }

    #[test]
    fn guidance_is_linear_in_its_scale_and_leaves_variances_alone() {
        let inner = Constant {
            variances: true,
            null_allowed: true,
        };
        for (scale, expected) in [
            (0.0, 1.0),
            (0.5, 2.0),
            (2.0, 5.0),
            (7.5, 16.0),
            (-1.0, -1.0),
        ] {
            let guided = Guided::new(&inner, scale).unwrap();
            assert_eq!(predict(&guided, 500.0), [expected, 30.0], "scale {scale}");
        }
        let inner = Constant {
            variances: false,
            null_allowed: true,
        };
        assert_eq!(predict(&Guided::new(&inner, 2.0).unwrap(), 0.0), [5.0]);
    }

    #[test]
    fn outside_the_interval_the_condition_is_alone() {
        let inner = Constant {
            variances: false,
            null_allowed: true,
        };
        let guided = Guided::new(&inner, 2.0)
            .unwrap()
            .within(100.0, 700.0)
            .unwrap();
        for (t, expected) in [(99.9, 3.0), (100.0, 5.0), (700.0, 5.0), (700.1, 3.0)] {
            assert_eq!(predict(&guided, t), [expected], "t {t}");
        }
        let inner = Constant {
            variances: false,
            null_allowed: false,
        };
        let guided = Guided::new(&inner, 2.0)
            .unwrap()
            .within(100.0, 700.0)
            .unwrap();
        assert_eq!(predict(&guided, 800.0), [3.0]);
    }

    #[test]
    fn senseless_settings_are_refused() {
        let inner = Constant {
            variances: false,
            null_allowed: true,
        };
        assert!(Guided::new(&inner, f64::NAN).is_err());
        let guided = Guided::new(&inner, 2.0).unwrap();
        let error = guided.clone().within(7.0, 3.0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "guidance interval is 7 to 3, expected two times, the smaller one first"
        );
        assert!(guided.within(f64::NAN, 3.0).is_err());
    }
}
