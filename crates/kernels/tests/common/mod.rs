//! Comparing an operator with another, value and gradients, on random inputs.

#![allow(dead_code, reason = "each test file uses its own part")]

use burn::tensor::{DType, Device, Tensor, TensorData};

/// An operator on flat inputs; it gives them their shapes itself.
pub type Operator<'a> = &'a (dyn Fn(&[Tensor<1>]) -> Tensor<1> + Sync);

/// Numbers between -`scale` and `scale`, the same for the same seed (a linear congruential generator).
pub fn numbers(seed: u64, n: usize, scale: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Rounded to f32, so that both precisions see the same input.
        f64::from((((state >> 33) as f64 / (1u64 << 30) as f64 - 1.0) * scale) as f32)
    };
    (0..n).map(|_| next()).collect()
}

/// The result of an operator and the gradient of its weighted sum in each tracked input.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub value: Vec<f64>,
    pub grads: Vec<Option<Vec<f64>>>,
}

/// Runs `operator` on inputs that are tracked or not; the loss is its result weighted with fixed random numbers.
pub fn outcome(
    operator: Operator<'_>,
    inputs: &[Vec<f64>],
    tracked: &[bool],
    dtype: DType,
) -> Outcome {
    weighted_outcome(operator, inputs, tracked, dtype, |n| numbers(99, n, 1.0))
}

/// The same with given weights, of which there are as many as the result has elements.
pub fn weighted_outcome(
    operator: Operator<'_>,
    inputs: &[Vec<f64>],
    tracked: &[bool],
    dtype: DType,
    weights: impl Fn(usize) -> Vec<f64>,
) -> Outcome {
    let device = Device::flex().autodiff();
    let tensor = |values: Vec<f64>| {
        let n = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [n]), (&device, dtype))
    };
    let leaf = |(values, &tracked): (&Vec<f64>, &bool)| {
        let leaf = tensor(values.clone());
        if tracked { leaf.require_grad() } else { leaf }
    };
    let leaves: Vec<_> = inputs.iter().zip(tracked).map(leaf).collect();
    let value = operator(&leaves);
    let grads = (value.clone() * tensor(weights(value.dims()[0])))
        .sum()
        .backward();
    Outcome {
        value: plain(value),
        grads: leaves
            .iter()
            .map(|leaf| leaf.grad(&grads).map(plain))
            .collect(),
    }
}

/// A tensor's elements as doubles.
pub fn plain(tensor: Tensor<1>) -> Vec<f64> {
    tensor
        .into_data()
        .convert::<f64>()
        .try_to_vec()
        .expect("doubles")
}

/// Largest difference, relative to the largest magnitude expected (at least `1e-3`).
pub fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
    found.iter().zip(expected).fold(0.0f64, |m, (a, b)| {
        let d = (a - b).abs();
        if d.is_nan() { f64::INFINITY } else { m.max(d) }
    }) / scale
}

/// Asserts that both operators agree, value and every gradient: within `bound` of the composition in double precision,
/// within four times as much of the composition in single precision (which rounds after every step), and whichever of
/// the inputs are tracked.
pub fn agree(
    fused: Operator<'_>,
    composed: Operator<'_>,
    inputs: &[Vec<f64>],
    bound: f64,
    case: &str,
) {
    let all = vec![true; inputs.len()];
    let found = outcome(fused, inputs, &all, DType::F32);
    for (dtype, bound) in [(DType::F32, 4.0 * bound), (DType::F64, bound)] {
        let expected = outcome(composed, inputs, &all, dtype);
        let d = distance(&found.value, &expected.value);
        assert!(d < bound, "{case}: value differs by {d:e} ({dtype:?})");
        for (i, (found, expected)) in found.grads.iter().zip(&expected.grads).enumerate() {
            let (found, expected) = (
                found.as_ref().expect("tracked"),
                expected.as_ref().expect("tracked"),
            );
            let d = distance(found, expected);
            assert!(
                d < bound,
                "{case}: gradient {i} differs by {d:e} ({dtype:?})"
            );
        }
    }
    for alone in 0..inputs.len() {
        let tracked: Vec<_> = (0..inputs.len()).map(|i| i == alone).collect();
        let partly = outcome(fused, inputs, &tracked, DType::F32);
        assert_eq!(partly.value, found.value, "{case}");
        for (i, grad) in partly.grads.iter().enumerate() {
            let expected = if i == alone {
                found.grads[i].as_ref()
            } else {
                None
            };
            assert_eq!(
                grad.as_ref(),
                expected,
                "{case}: input {i}, only {alone} tracked"
            );
        }
    }
}

/// Asserts that gradients agree with central differences of the composition in double precision.
pub fn differences(fused: Operator<'_>, composed: Operator<'_>, inputs: &[Vec<f64>], bound: f64) {
    const H: f64 = 1e-5;
    let device = Device::flex();
    let loss = |inputs: &[Vec<f64>]| -> f64 {
        let tensors: Vec<_> = inputs
            .iter()
            .map(|v| {
                Tensor::<1>::from_data(TensorData::new(v.clone(), [v.len()]), (&device, DType::F64))
            })
            .collect();
        let value = plain(composed(&tensors));
        value
            .iter()
            .zip(numbers(99, value.len(), 1.0))
            .map(|(v, w)| v * w)
            .sum()
    };
    let found = outcome(fused, inputs, &vec![true; inputs.len()], DType::F32);
    for (i, grad) in found.grads.iter().enumerate() {
        let expected: Vec<_> = (0..inputs[i].len())
            .map(|j| {
                let mut moved = inputs.to_vec();
                moved[i][j] = inputs[i][j] + H;
                let above = loss(&moved);
                moved[i][j] = inputs[i][j] - H;
                (above - loss(&moved)) / (2.0 * H)
            })
            .collect();
        let d = distance(grad.as_ref().expect("tracked"), &expected);
        assert!(
            d < bound,
            "gradient {i} differs from finite differences by {d:e}"
        );
    }
}

/// Asserts that one thread and two give the same bits.
pub fn any_threads(operator: Operator<'_>, inputs: &[Vec<f64>]) {
    let all = vec![true; inputs.len()];
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a pool");
        pool.install(|| outcome(operator, inputs, &all, DType::F32))
    };
    assert_eq!(with(1), with(2));
}
