//! Attention against the composition, finite differences and closed forms.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{agree, any_threads, differences, numbers};
use learngene_kernels::{attention, reference};

/// Samples, queries, keys, heads, features per head; 70 and 130 queries take more than one block.
type Case = [usize; 5];

const CASES: [Case; 9] = [
    [1, 1, 1, 1, 1],
    [2, 1, 3, 2, 4],
    [2, 5, 5, 3, 7],
    [1, 9, 4, 2, 33],
    [3, 64, 64, 3, 64],
    [2, 70, 70, 2, 16],
    [1, 130, 67, 1, 32],
    [1, 256, 256, 2, 24],
    [5, 16, 16, 1, 48],
];

fn inputs([b, t, s, heads, width]: Case) -> Vec<Vec<f64>> {
    let d = heads * width;
    vec![
        numbers(1, b * t * d, 2.0),
        numbers(2, b * s * d, 2.0),
        numbers(3, b * s * d, 1.0),
    ]
}

type Form = fn(Tensor<3>, Tensor<3>, Tensor<3>, usize) -> Tensor<3>;

fn flat([b, t, s, heads, width]: Case, of: Form) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync {
    let d = heads * width;
    move |x| {
        let q = x[0].clone().reshape([b, t, d]);
        let [k, v] = [1, 2].map(|i| x[i].clone().reshape([b, s, d]));
        of(q, k, v, heads).reshape([b * t * d])
    }
}

#[test]
fn agrees_with_the_composition() {
    for case in CASES {
        let (fused, composed) = (flat(case, attention), flat(case, reference::attention));
        agree(&fused, &composed, &inputs(case), 5e-6, &format!("{case:?}"));
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let case = [2, 3, 4, 2, 3];
    differences(
        &flat(case, attention),
        &flat(case, reference::attention),
        &inputs(case),
        5e-6,
    );
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = [3, 70, 70, 2, 32];
    any_threads(&flat(case, attention), &inputs(case));
}

#[test]
fn views_need_no_copy_beforehand() {
    let [b, t, heads, d] = [2, 6, 2, 8];
    // Queries, keys and values side by side in one tensor, and tokens before samples.
    let viewed = |of: Form| {
        move |x: &[Tensor<1>]| {
            let qkv = x[0].clone().reshape([t, b, 3 * d]).swap_dims(0, 1);
            let [q, k, v] = [0, 1, 2].map(|i| qkv.clone().narrow(2, i * d, d));
            of(q, k, v, heads).reshape([b * t * d])
        }
    };
    agree(
        &viewed(attention),
        &viewed(reference::attention),
        &[numbers(1, b * t * 3 * d, 2.0)],
        5e-6,
        "views",
    );
}

/// Scores of 10^6 and their opposites: each query takes the value of the one key that matches it.
#[test]
fn large_scores_choose_one_key() {
    let device = Device::flex().autodiff();
    let tensor = |values: [f32; 4]| {
        Tensor::<3>::from_data(TensorData::new(values.to_vec(), [1, 2, 2]), &device).require_grad()
    };
    let q = tensor([1e3, 0.0, 0.0, 1e3]);
    let k = tensor([1e3, -1e3, -1e3, 1e3]);
    let v = tensor([1.0, 2.0, 3.0, 4.0]);
    let out = attention(q.clone(), k, v.clone(), 1);
    let grads = out.clone().sum().backward();
    let plain = |x: Tensor<3>| x.into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(plain(out), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(plain(v.grad(&grads).unwrap()), [1.0; 4]);
    assert_eq!(plain(q.grad(&grads).unwrap()), [0.0; 4]);
}

#[test]
#[should_panic(expected = "3 heads do not divide 8 features")]
fn heads_that_do_not_divide_are_refused() {
    let x = Tensor::<3>::zeros([1, 2, 8], &Device::flex());
    let _ = attention(x.clone(), x.clone(), x, 3);
}
