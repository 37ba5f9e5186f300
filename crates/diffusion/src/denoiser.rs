//! The networks this crate knows, seen from outside, and classifier-free guidance over them.

use burn::tensor::Tensor;

use crate::DiffusionError;

/// Anything that predicts from a noisy image. Closures `Fn(Tensor<4>, f64) -> Tensor<4>` do.
pub trait Denoiser {
    /// The network's raw output for `x_bchw`, all of it at time `t` in units of training timesteps
    /// (fractional for some samplers).
    ///
    /// # Shapes
    /// `x_bchw` `[b, c, h, w]`; the result the same, or `[b, 2c, h, w]` if it also says variances.
    fn predict(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4>;
}

impl<F: Fn(Tensor<4>, f64) -> Tensor<4>> Denoiser for F {
    fn predict(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4> {
        self(x_bchw, t)
    }
}

/// A network that can answer with its condition and without. The condition is its own affair.
///
/// Shapes and time as in [`Denoiser::predict`].
pub trait Conditional {
    /// The output under the condition.
    fn conditional(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4>;

    /// The outputs under the condition and under none, in this order; one method, so that an implementor may
    /// run them as one batch.
    fn both(&self, x_bchw: Tensor<4>, t: f64) -> (Tensor<4>, Tensor<4>);
}

impl<M: Conditional + ?Sized> Conditional for &M {
    fn conditional(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4> {
        (**self).conditional(x_bchw, t)
    }

    fn both(&self, x_bchw: Tensor<4>, t: f64) -> (Tensor<4>, Tensor<4>) {
        (**self).both(x_bchw, t)
    }
}

/// Classifier-free guidance (Ho & Salimans 2022): `null + scale (conditional - null)` on all channels of the
/// prediction; learned variances come from the conditional branch.
///
/// Guiding v guides the noise and the clean image by the same scale, as they follow linearly from it.
/// Scale 1 is the condition alone and never evaluates the null branch.
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
    fn predict(&self, x_bchw: Tensor<4>, t: f64) -> Tensor<4> {
        if !self.guides(t) {
            return self.inner.conditional(x_bchw, t);
        }
        let channels = x_bchw.dims()[1];
        let (conditional, null) = self.inner.both(x_bchw, t);
        let output_channels = conditional.dims()[1];
        if output_channels <= channels {
            return self.mix(conditional, null);
        }
        let variances = conditional
            .clone()
            .narrow(1, channels, output_channels - channels);
        let guided = self.mix(
            conditional.narrow(1, 0, channels),
            null.narrow(1, 0, channels),
        );
        Tensor::cat(vec![guided, variances], 1)
    }
}

impl<M> Guided<M> {
    fn mix(&self, conditional: Tensor<4>, null: Tensor<4>) -> Tensor<4> {
        conditional * self.scale + null * (1.0 - self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

        fn both(&self, x: Tensor<4>, _: f64) -> (Tensor<4>, Tensor<4>) {
            assert!(self.null_allowed, "the null branch was evaluated");
            (self.say(&x, 3.0), self.say(&x, 1.0))
        }
    }

    fn predict(guided: &Guided<&Constant>, t: f64) -> Vec<f32> {
        let x = Tensor::zeros([1, 1, 1, 1], &Device::flex());
        guided.predict(x, t).try_into_vec_as::<f32>().unwrap()
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
