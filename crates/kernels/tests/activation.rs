//! Activations against the compositions, Burn's own, and finite differences.

mod common;

use burn::tensor::{DType, Tensor, activation};
use common::{agree, any_threads, differences, numbers, outcome};
use learngene_kernels::{gelu_tanh, reference, silu};

type Form = fn(Tensor<1>) -> Tensor<1>;

fn flat(of: Form) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync {
    move |x| of(x[0].clone())
}

/// The last takes several tasks and leaves a remainder.
const LENGTHS: [usize; 6] = [1, 7, 16, 100, 1000, 3 * 16384 + 5];

#[test]
fn agree_with_the_compositions_and_with_burn() {
    for n in LENGTHS {
        let inputs = [numbers(n as u64, n, 6.0)];
        for (fused, composed) in [
            (gelu_tanh::<1> as Form, reference::gelu_tanh::<1> as Form),
            (gelu_tanh::<1>, activation::gelu_approximate::<1>),
            (silu::<1>, reference::silu::<1>),
            (silu::<1>, activation::silu::<1>),
        ] {
            agree(&flat(fused), &flat(composed), &inputs, 1e-6, &n.to_string());
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let inputs = [numbers(5, 50, 5.0)];
    differences(&flat(gelu_tanh), &flat(reference::gelu_tanh), &inputs, 1e-6);
    differences(&flat(silu), &flat(reference::silu), &inputs, 1e-6);
}

#[test]
fn threads_do_not_change_a_bit() {
    let inputs = [numbers(6, 100_000, 5.0)];
    any_threads(&flat(gelu_tanh), &inputs);
    any_threads(&flat(silu), &inputs);
}

#[test]
fn views_need_no_copy_beforehand() {
    let viewed = |of: fn(Tensor<2>) -> Tensor<2>| {
        move |x: &[Tensor<1>]| {
            of(x[0]
                .clone()
                .reshape([6, 10])
                .swap_dims(0, 1)
                .narrow(0, 2, 7))
            .reshape([42])
        }
    };
    let inputs = [numbers(7, 60, 5.0)];
    agree(
        &viewed(gelu_tanh),
        &viewed(reference::gelu_tanh),
        &inputs,
        1e-6,
        "views",
    );
}

#[test]
fn far_out_the_functions_are_zero_or_the_identity() {
    let far = vec![1e4, 1e15, 1e30, 3e38];
    let opposite: Vec<f64> = far.iter().map(|x| -x).collect();
    for of in [gelu_tanh::<1> as Form, silu::<1>] {
        let weights = |inputs: Vec<f64>| {
            common::weighted_outcome(&flat(of), &[inputs], &[true], DType::F32, |n| vec![1.0; n])
        };
        let above = weights(far.clone());
        for (found, &expected) in above.value.iter().zip(&far) {
            assert!((found / expected - 1.0).abs() < 1e-7);
        }
        assert_eq!(above.grads, [Some(vec![1.0; 4])]);
        let below = weights(opposite.clone());
        assert_eq!(below.value, [0.0; 4]);
        assert!(
            below.grads[0]
                .as_ref()
                .unwrap()
                .iter()
                .all(|slope| slope.abs() < 1e-30)
        );
    }
}

#[test]
fn not_a_number_stays_visible() {
    for of in [gelu_tanh::<1> as Form, silu::<1>] {
        let found = outcome(&flat(of), &[vec![f64::NAN, 1.0]], &[true], DType::F32);
        assert!(found.value[0].is_nan() && found.grads[0].as_ref().unwrap()[0].is_nan());
        assert!(found.value[1].is_finite() && found.grads[0].as_ref().unwrap()[1].is_finite());
    }
}

#[test]
fn nothing_in_nothing_out() {
    let empty = Tensor::<2>::zeros([0, 3], &burn::tensor::Device::flex());
    assert_eq!(gelu_tanh(empty).dims(), [0, 3]);
}
