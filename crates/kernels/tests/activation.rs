//! Activations against the composition of plain operators, PyTorch and finite differences.

use burn::tensor::{Device, Tensor, activation};
use learngene_kernels::{gelu_tanh, reference};

#[test]
fn quick() {
    let device = Device::flex().autodiff();
    let x = Tensor::<1>::from_floats(
        [-3.0, -1.0, -0.1, 0.0, 0.5, 2.0, 30.0, -30.0, 1e30, -1e30],
        &device,
    )
    .require_grad();
    let y = gelu_tanh(x.clone());
    println!(
        "{} {} {}",
        y,
        reference::gelu_tanh(x.clone()),
        activation::gelu_approximate(x.clone())
    );
    let g = y.sum().backward();
    println!("{}", x.grad(&g).unwrap());
    let g = reference::gelu_tanh(x.clone()).sum().backward();
    println!("{}", x.grad(&g).unwrap());
}
