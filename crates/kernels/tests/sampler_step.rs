//! The step of a sampler against the composition, in single and in double precision.

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::{distance, numbers, plain};
use learngene_kernels::{SamplerStep, reference, sampler_step, sampler_step_and_clean};

const BOUND: f64 = 2e-6;

/// The last takes several tasks and leaves a remainder.
const SHAPES: [[usize; 4]; 5] = [
    [1, 1, 1, 1],
    [1, 3, 5, 7],
    [4, 2, 3, 11],
    [3, 3, 16, 16],
    [5, 3, 57, 61],
];

fn steps() -> Vec<SamplerStep> {
    let mut all = Vec::new();
    for guidance in [None, Some(2.5), Some(-0.5)] {
        for limit in [None, Some(1.0)] {
            all.push(SamplerStep {
                guidance,
                clean: [0.7, -0.6],
                limit,
                next: [0.4, 0.9],
            });
        }
    }
    all
}

fn tensor(seed: u64, shape: [usize; 4], options: (&Device, DType)) -> Tensor<4> {
    let values = numbers(seed, shape.iter().product(), 2.0);
    Tensor::from_data(TensorData::new(values, shape), options)
}

/// x, a prediction as guidance wants it, and a third term if asked for.
fn inputs(
    [b, c, h, w]: [usize; 4],
    step: SamplerStep,
    third: bool,
    options: (&Device, DType),
) -> (Tensor<4>, Tensor<4>, Option<(Tensor<4>, f64)>) {
    let twice = if step.guidance.is_some() { 2 * b } else { b };
    let other = third.then(|| (tensor(3, [b, c, h, w], options), -0.3));
    (
        tensor(1, [b, c, h, w], options),
        tensor(2, [twice, c, h, w], options),
        other,
    )
}

fn flat(x: Tensor<4>) -> Vec<f64> {
    let n = x.shape().num_elements();
    plain(x.reshape([n]))
}

#[test]
fn agrees_with_the_composition() {
    let device = Device::flex();
    for shape in SHAPES {
        for step in steps() {
            for third in [false, true] {
                let single = || inputs(shape, step, third, (&device, DType::F32));
                let (x, prediction, other) = single();
                let (next, clean) = sampler_step_and_clean(x, prediction, other, step);
                let (x, prediction, other) = single();
                let alone = flat(sampler_step(x, prediction, other, step));
                let (next, clean) = (flat(next), flat(clean));
                assert_eq!(alone, next, "{shape:?} {step:?}");
                for (dtype, bound) in [(DType::F32, 4.0 * BOUND), (DType::F64, BOUND)] {
                    let (x, prediction, other) = inputs(shape, step, third, (&device, dtype));
                    let expected = reference::sampler_step_and_clean(x, prediction, other, step);
                    for (found, expected) in [(&next, expected.0), (&clean, expected.1)] {
                        let d = distance(found, &flat(expected));
                        assert!(d < bound, "{shape:?} {step:?} {dtype:?}: {d:e}");
                    }
                }
            }
        }
    }
}

/// A prediction that is the first half of the channels of two branches, and an image whose sides are exchanged.
#[test]
fn views_need_no_copy_beforehand() {
    let device = Device::flex();
    let options = (&device, DType::F32);
    let step = steps()[2];
    let x = || tensor(1, [2, 3, 5, 4], options).swap_dims(2, 3);
    let prediction = || tensor(2, [4, 6, 4, 5], options).narrow(1, 0, 3);
    let found = sampler_step(x(), prediction(), None, step);
    let expected = reference::sampler_step_and_clean(x(), prediction(), None, step).0;
    let d = distance(&flat(found), &flat(expected));
    assert!(d < 4.0 * BOUND, "{d:e}");
}

#[test]
fn threads_do_not_change_a_bit() {
    let device = Device::flex();
    let step = steps()[3];
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a pool");
        pool.install(|| {
            let (x, prediction, other) = inputs([5, 3, 57, 61], step, true, (&device, DType::F32));
            flat(sampler_step(x, prediction, other, step))
        })
    };
    assert_eq!(with(1), with(2));
}

/// The step works in the memory of x, but only where no one else reads it, nor a part of it.
#[test]
fn what_is_read_elsewhere_is_not_changed() {
    let device = Device::flex();
    let step = steps()[0];
    let shape = [2, 3, 5, 4];
    let x = tensor(1, [4, 3, 5, 4], (&device, DType::F32));
    let (_, prediction, _) = inputs(shape, step, false, (&device, DType::F32));
    let before = flat(x.clone());
    let part = || x.clone().narrow(0, 1, 2);
    let found = sampler_step(part(), prediction.clone(), Some((part(), 0.1)), step);
    let third = Some((part(), 0.1));
    let expected = reference::sampler_step_and_clean(part(), prediction, third, step).0;
    assert!(distance(&flat(found), &flat(expected)) < 4.0 * BOUND);
    assert_eq!(flat(x), before);
}

/// Whoever differentiates through a step gets the composition's gradients.
#[test]
fn tracked_tensors_keep_their_gradients() {
    let device = Device::flex().autodiff();
    let step = SamplerStep {
        limit: None,
        ..steps()[0]
    };
    let (x, prediction, _) = inputs([1, 1, 2, 2], step, false, (&device, DType::F32));
    let (x, prediction) = (x.require_grad(), prediction.require_grad());
    let grads = sampler_step(x.clone(), prediction.clone(), None, step)
        .sum()
        .backward();
    for (leaf, expected) in [(x, 0.4 + 0.9 * 0.7), (prediction, -0.9 * 0.6)] {
        let found = flat(leaf.grad(&grads).expect("tracked"));
        let d = distance(&found, &[expected; 4]);
        assert!(d < BOUND, "{d:e}");
    }
}

#[test]
fn not_a_number_stays_visible() {
    let data = TensorData::new(vec![f32::NAN, 5.0], [1, 2]);
    let said = Tensor::<2>::from_data(data, &Device::flex());
    let step = steps()[1];
    let (next, clean) = sampler_step_and_clean(said.zeros_like(), said, None, step);
    let [next, clean] = [next, clean].map(|x| plain(x.reshape([2])));
    assert!(next[0].is_nan() && clean[0].is_nan());
    assert_eq!(clean[1], -1.0);
}

#[test]
#[should_panic(expected = "one prediction per sample, or two with guidance")]
fn a_missing_branch_is_refused() {
    let x = Tensor::<2>::zeros([2, 3], &Device::flex());
    let _ = sampler_step(x.clone(), x, None, steps()[2]);
}
