//! Which implementation runs, and what is tracked: other element types, untracked devices, gradient checkpointing.

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::{numbers, outcome, plain};
use learngene_kernels::{
    Base, BlockSettings, BlockWeights, GatePlan, Mode, Projection, gelu_tanh, modulated_layer_norm,
    reference, transformer_block,
};

const SHAPE: [usize; 3] = [2, 3, 8];

fn tensor<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = numbers(seed, shape.iter().product(), 1.0);
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// A block of a transformer, its weights on an untracked device, behind another operator.
fn block(x: Tensor<3>, shift: Tensor<2>, scale: Tensor<2>, gate: Tensor<2>) -> Tensor<3> {
    let weights = |seed: u64| Projection {
        base: Base::Dense(tensor(seed, [8, 8], &Device::flex())),
        tailors: None,
        bias: tensor(seed + 1, [8], &Device::flex()),
    };
    let [q, k, v, o, input, output] = [10, 20, 30, 40, 50, 60].map(weights);
    let weights = BlockWeights {
        q,
        k,
        v,
        o,
        input,
        output,
    };
    let settings = BlockSettings {
        heads: 2,
        eps: [1e-6; 2],
        mode: Mode::default(),
    };
    let x = modulated_layer_norm(x, shift.clone(), scale.clone(), 1e-6);
    let six = [&shift, &scale, &gate, &scale, &shift, &gate].map(Tensor::clone);
    let modulation = Tensor::cat(six.to_vec(), 1);
    transformer_block(x, modulation, weights, &GatePlan::closed(2), settings)
}

#[test]
fn double_precision_runs_the_composition() {
    let fused = |x: &[Tensor<1>]| gelu_tanh(x[0].clone());
    let composed = |x: &[Tensor<1>]| reference::gelu_tanh(x[0].clone());
    let inputs = [numbers(1, 10, 3.0)];
    assert_eq!(
        outcome(&fused, &inputs, &[true], DType::F64),
        outcome(&composed, &inputs, &[true], DType::F64)
    );
}

#[test]
fn tensors_of_an_untracked_device_are_constants() {
    let plain_device = Device::flex();
    let device = Device::flex().autodiff();
    let rows = |device: &Device| [2, 3, 4].map(|seed| tensor(seed, [2, 8], device));
    let x = tensor(1, SHAPE, &device).require_grad();
    let [shift, scale, gate] = rows(&plain_device);
    let mixed = block(x.clone(), shift, scale, gate);
    let mixed_grad = x.grad(&mixed.clone().backward()).unwrap();
    let y = tensor(1, SHAPE, &device).require_grad();
    let [shift, scale, gate] = rows(&device);
    let tracked = block(y.clone(), shift, scale, gate);
    let tracked_grad = y.grad(&tracked.clone().backward()).unwrap();
    let flat = |x: Tensor<3>| plain(x.reshape([48]));
    assert_eq!(flat(mixed), flat(tracked.clone()));
    assert_eq!(flat(mixed_grad), flat(tracked_grad));

    let [shift, scale, gate] = rows(&plain_device);
    let untracked = block(tensor(1, SHAPE, &plain_device), shift, scale, gate);
    assert_eq!(flat(untracked), flat(tracked));
}

#[test]
fn gradient_checkpointing_changes_nothing() {
    let gradients = |device: Device| {
        let x = tensor(1, SHAPE, &device).require_grad();
        let rows = [2, 3, 4].map(|seed| tensor(seed, [2, 8], &device).require_grad());
        let [shift, scale, gate] = rows.clone();
        // Between the fused operators, one that checkpointing computes again.
        let grads = block(x.clone() * 2.0, shift, scale, gate).exp().backward();
        let mut all = vec![plain(x.grad(&grads).unwrap().reshape([48]))];
        all.extend(
            rows.iter()
                .map(|row| plain(row.grad(&grads).unwrap().reshape([16]))),
        );
        all
    };
    let device = Device::flex().autodiff();
    assert_eq!(
        gradients(device.clone()),
        gradients(device.gradient_checkpointing())
    );
}
