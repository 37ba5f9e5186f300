//! The squared error of samples against the composition, finite differences and a closed form.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{agree, any_threads, differences, numbers, plain};
use learngene_kernels::{mean_squared_error, reference};

const BOUND: f64 = 2e-6;

/// The last takes several tasks a sample and leaves a remainder.
const SHAPES: [[usize; 4]; 6] = [
    [1, 1, 1, 1],
    [1, 3, 5, 7],
    [2, 1, 4, 4],
    [5, 2, 3, 11],
    [9, 3, 16, 16],
    [2, 3, 105, 107],
];

type Form = fn(Tensor<4>, Tensor<4>, Tensor<4>, &[[f64; 2]]) -> Tensor<1>;

fn flat(shape: [usize; 4], of: Form) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync {
    let weights = numbers(7, 2 * shape[0], 1.5);
    let weights = weights.as_chunks::<2>().0.to_vec();
    move |x| {
        let [y, x, z] = [0, 1, 2].map(|i| x[i].clone().reshape(shape));
        of(y, x, z, &weights)
    }
}

fn inputs(shape: [usize; 4]) -> Vec<Vec<f64>> {
    let n = shape.iter().product();
    (1..=3).map(|seed| numbers(seed, n, 2.0)).collect()
}

#[test]
fn agrees_with_the_composition() {
    for shape in SHAPES {
        let (fused, composed) = (
            flat(shape, mean_squared_error),
            flat(shape, reference::mean_squared_error),
        );
        agree(
            &fused,
            &composed,
            &inputs(shape),
            BOUND,
            &format!("{shape:?}"),
        );
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let shape = [3, 2, 3, 3];
    differences(
        &flat(shape, mean_squared_error),
        &flat(shape, reference::mean_squared_error),
        &inputs(shape),
        BOUND,
    );
}

#[test]
fn threads_do_not_change_a_bit() {
    let shape = [3, 3, 80, 80];
    any_threads(&flat(shape, mean_squared_error), &inputs(shape));
}

/// A prediction that is the first half of the channels, and images whose sides are exchanged.
#[test]
fn views_need_no_copy_beforehand() {
    let viewed = |of: Form| {
        move |x: &[Tensor<1>]| {
            let y = x[0].clone().reshape([2, 6, 4, 5]).narrow(1, 0, 3);
            let [x, z] = [1, 2].map(|i| x[i].clone().reshape([2, 3, 5, 4]).swap_dims(2, 3));
            of(y, x, z, &[[0.3, -0.8], [1.0, 0.0]])
        }
    };
    let inputs = [
        numbers(1, 240, 2.0),
        numbers(2, 120, 2.0),
        numbers(3, 120, 2.0),
    ];
    agree(
        &viewed(mean_squared_error),
        &viewed(reference::mean_squared_error),
        &inputs,
        BOUND,
        "views",
    );
}

/// Many equal errors: nothing is lost by adding them up in single precision.
#[test]
fn a_constant_error_is_its_own_square() {
    let device = Device::flex();
    let full = |value: f64| Tensor::<2>::full([2, 1_000_003], value, &device);
    let found = mean_squared_error(full(1.1), full(0.0), full(1.0), &[[1.0, 0.0], [0.0, 1.0]]);
    let [far, near] = plain(found).try_into().expect("two samples");
    assert!((far / 1.21 - 1.0).abs() < 1e-6, "{far}");
    assert!((near / 0.01 - 1.0).abs() < 1e-5, "{near}");
}

#[test]
fn not_a_number_stays_visible() {
    let device = Device::flex();
    let values = vec![f32::NAN, 1.0, 2.0, 3.0];
    let y = Tensor::<2>::from_data(TensorData::new(values, [2, 2]), &device);
    let found = plain(mean_squared_error(
        y.clone(),
        y.zeros_like(),
        y.zeros_like(),
        &[[1.0; 2]; 2],
    ));
    assert!(found[0].is_nan());
    assert_eq!(found[1], 6.5);
}

#[test]
#[should_panic(expected = "one pair of weights per sample")]
fn a_missing_pair_of_weights_is_refused() {
    let x = Tensor::<2>::zeros([2, 3], &Device::flex());
    let _ = mean_squared_error(x.clone(), x.clone(), x, &[[1.0; 2]]);
}
