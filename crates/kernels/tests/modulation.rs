//! Modulated layer norm and gated residual against the compositions, finite differences and closed forms.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{agree, any_threads, differences, numbers};
use learngene_kernels::{gated_residual, modulated_layer_norm, reference};

type Shape = [usize; 3];

/// Vector widths divide some of these and not others; one token, one sample, one feature are among them.
const SHAPES: [Shape; 8] = [
    [1, 1, 1],
    [1, 1, 7],
    [2, 3, 5],
    [3, 33, 17],
    [1, 70, 96],
    [4, 64, 192],
    [2, 31, 100],
    [5, 1, 64],
];

fn norm_inputs([b, t, d]: Shape) -> Vec<Vec<f64>> {
    vec![
        numbers(1, b * t * d, 3.0),
        numbers(2, b * d, 1.0),
        numbers(3, b * d, 1.0),
    ]
}

fn residual_inputs([b, t, d]: Shape) -> Vec<Vec<f64>> {
    vec![
        numbers(1, b * t * d, 3.0),
        numbers(2, b * t * d, 1.0),
        numbers(3, b * d, 1.0),
    ]
}

fn norm(
    shape: Shape,
    of: fn(Tensor<3>, Tensor<2>, Tensor<2>, f64) -> Tensor<3>,
) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync {
    let [b, t, d] = shape;
    move |x| {
        let [x, shift, scale] = [&x[0], &x[1], &x[2]].map(Clone::clone);
        of(
            x.reshape(shape),
            shift.reshape([b, d]),
            scale.reshape([b, d]),
            1e-3,
        )
        .reshape([b * t * d])
    }
}

fn residual(
    shape: Shape,
    of: fn(Tensor<3>, Tensor<3>, Tensor<2>) -> Tensor<3>,
) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync {
    let [b, t, d] = shape;
    move |x| {
        let [x, y, gate] = [&x[0], &x[1], &x[2]].map(Clone::clone);
        of(x.reshape(shape), y.reshape(shape), gate.reshape([b, d])).reshape([b * t * d])
    }
}

#[test]
fn norm_agrees_with_the_composition() {
    for shape in SHAPES {
        let case = format!("{shape:?}");
        let (fused, composed) = (
            norm(shape, modulated_layer_norm),
            norm(shape, reference::modulated_layer_norm),
        );
        agree(&fused, &composed, &norm_inputs(shape), 5e-6, &case);
    }
}

#[test]
fn residual_agrees_with_the_composition() {
    for shape in SHAPES {
        let case = format!("{shape:?}");
        let (fused, composed) = (
            residual(shape, gated_residual),
            residual(shape, reference::gated_residual),
        );
        agree(&fused, &composed, &residual_inputs(shape), 2e-6, &case);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let shape = [2, 3, 5];
    let (fused, composed) = (
        norm(shape, modulated_layer_norm),
        norm(shape, reference::modulated_layer_norm),
    );
    differences(&fused, &composed, &norm_inputs(shape), 5e-6);
    let (fused, composed) = (
        residual(shape, gated_residual),
        residual(shape, reference::gated_residual),
    );
    differences(&fused, &composed, &residual_inputs(shape), 2e-6);
}

#[test]
fn threads_do_not_change_a_bit() {
    let shape = [3, 70, 96];
    any_threads(&norm(shape, modulated_layer_norm), &norm_inputs(shape));
    any_threads(&residual(shape, gated_residual), &residual_inputs(shape));
}

/// Centred numbers lose no digits to a large common offset: the variance is not taken as a difference of squares.
#[test]
fn norm_keeps_its_precision_under_an_offset() {
    let device = Device::flex();
    let x = Tensor::<3>::from_data(
        TensorData::new(vec![4095.0f32, 4096.0, 4097.0, 4096.0], [1, 1, 4]),
        &device,
    );
    let zero = Tensor::<2>::zeros([1, 4], &device);
    let y = modulated_layer_norm(x, zero.clone(), zero, 0.0)
        .into_data()
        .try_to_vec::<f32>()
        .unwrap();
    // Variance 1/2, so the outer two are -sqrt 2 and sqrt 2.
    for (found, expected) in y.iter().zip([
        -std::f32::consts::SQRT_2,
        0.0,
        std::f32::consts::SQRT_2,
        0.0,
    ]) {
        assert!((found - expected).abs() < 1e-6, "{y:?}");
    }
}

#[test]
fn views_need_no_copy_beforehand() {
    let shape = [2, 5, 6];
    let [b, t, d] = shape;
    // Inputs read through a transposition and through slices of a wider tensor.
    let viewed = |of: fn(Tensor<3>, Tensor<2>, Tensor<2>, f64) -> Tensor<3>| {
        move |x: &[Tensor<1>]| {
            let tokens = x[0].clone().reshape([b, d, t]).swap_dims(1, 2);
            let both = x[1].clone().reshape([b, 2 * d]);
            of(
                tokens,
                both.clone().narrow(1, d, d),
                both.narrow(1, 0, d),
                1e-3,
            )
            .reshape([b * t * d])
        }
    };
    let inputs = [numbers(1, b * t * d, 3.0), numbers(2, 2 * b * d, 1.0)];
    agree(
        &viewed(modulated_layer_norm),
        &viewed(reference::modulated_layer_norm),
        &inputs,
        5e-6,
        "norm",
    );

    let viewed = |of: fn(Tensor<3>, Tensor<3>, Tensor<2>) -> Tensor<3>| {
        move |x: &[Tensor<1>]| {
            let tokens = x[0].clone().reshape([b, d, t]).swap_dims(1, 2);
            let branch = x[1].clone().reshape([b, t + 3, d]).narrow(1, 2, t);
            let gate = x[2].clone().reshape([d, b]).swap_dims(0, 1);
            of(tokens, branch, gate).reshape([b * t * d])
        }
    };
    let inputs = [
        numbers(1, b * t * d, 3.0),
        numbers(2, b * (t + 3) * d, 1.0),
        numbers(3, b * d, 1.0),
    ];
    agree(
        &viewed(gated_residual),
        &viewed(reference::gated_residual),
        &inputs,
        2e-6,
        "residual",
    );
}

#[test]
#[should_panic(expected = "one gate per sample and feature")]
fn a_gate_of_another_shape_is_refused() {
    let device = Device::flex();
    let x = Tensor::<3>::zeros([2, 3, 4], &device);
    let _ = gated_residual(x.clone(), x, Tensor::zeros([1, 4], &device));
}
