//! Models whose every parameter counts, batches, and the model in f64 they are compared with.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod reference;

use burn::tensor::{Device, Tensor, TensorData};
use learngene_data::{Purpose, Stream};
use learngene_nn::{
    ClassGate, Conditions, Dit, DitConfig, FactorInit,
    params::{self, Values},
};

/// What one sample is asked for: a label, and the groups and weights of its gate.
pub type Sample = (Option<usize>, Vec<(usize, f32)>);

/// What a model is given.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[b, c, h, w]`, flat.
    pub images: Vec<f32>,
    pub times: Vec<f64>,
    pub labels: Vec<Option<usize>>,
    /// Groups and weights of each sample.
    pub lists: Vec<Vec<(usize, f32)>>,
}

impl Batch {
    /// Noise at spread-out times for samples with these labels and gates.
    pub fn of(config: &DitConfig, samples: Vec<Sample>) -> Self {
        let b = samples.len();
        let (labels, lists) = samples.into_iter().unzip();
        let size: usize = config.input.iter().product();
        Self {
            images: normals(11, b * size),
            times: (0..b).map(|i| 20.0 + 930.0 * i as f64 / b as f64).collect(),
            labels,
            lists,
        }
    }

    /// Each label with its own tailor.
    pub fn of_labels(config: &DitConfig, labels: &[Option<usize>]) -> Self {
        let own = |l: &Option<usize>| l.map(|l| (l, 1.0)).into_iter().collect();
        Self::of(config, labels.iter().map(|l| (*l, own(l))).collect())
    }

    pub fn images(&self, model: &Dit) -> Tensor<4> {
        let [c, h, w] = model.config().input;
        let data = TensorData::new(self.images.clone(), [self.labels.len(), c, h, w]);
        Tensor::from_data(data, &model.device())
    }

    pub fn conditions(&self, lists: Vec<Vec<(usize, f32)>>) -> Conditions {
        Conditions {
            times: self.times.clone(),
            labels: self.labels.clone(),
            gate: ClassGate::new(lists),
        }
    }

    /// The model's prediction for this batch, in the gathered form.
    pub fn predict(&self, model: &Dit) -> Tensor<4> {
        let conditions = self.conditions(self.lists.clone());
        model.forward(self.images(model), &conditions).unwrap()
    }
}

/// Standard normal numbers, the same for the same seed.
pub fn normals(seed: u64, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Stream::new(seed, n as u64, Purpose::Test).fill_normal(&mut values);
    values
}

/// A model that has no parameter at a start that hides it: gates are open, no tailor and no output is zero.
pub fn filled(config: &DitConfig, seed: u64, device: &Device) -> Dit {
    let model = Dit::init(config, FactorInit::Orthogonal, seed, device).unwrap();
    let mut values = params::values(&model);
    for (number, (name, value)) in values.iter_mut().enumerate() {
        let noise = normals(seed * 1000 + number as u64, value.values.len());
        fill(name, value, &noise);
    }
    params::replace(model, values).unwrap()
}

/// Matrices keep the size of what passes through them; sigma is about one and of either sign.
fn fill(name: &str, value: &mut Values, noise: &[f32]) {
    let (scale, sign) = match (name.rsplit('.').next(), value.shape.len()) {
        (Some("s"), _) => (0.3, 1.0),
        (_, 2) if !name.contains("label") => {
            ((*value.shape.last().unwrap() as f32).powf(-0.5), 0.0)
        }
        _ => (0.2, 0.0),
    };
    for (i, (v, z)) in value.values.iter_mut().zip(noise).enumerate() {
        *v = scale * z + if i % 3 == 2 { -sign } else { sign };
    }
}

/// The largest difference, over the largest value of `b`.
pub fn relative(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0f64, |m, v| m.max(v.abs()));
    let apart = a.iter().zip(b).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
    apart / largest.max(f64::MIN_POSITIVE)
}

/// The values of a tensor in f64.
pub fn wide<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    params::to_vec(tensor).into_iter().map(f64::from).collect()
}
