//! Times each operator, forward and backward, beside its composition:
//! `cargo run --release -p learngene-kernels --example compare [NAME]`.
//!
//! Prints the faster of several rounds and the ratio. The sizes are those of a small transformer's training step.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, Tensor};
use learngene_kernels as fused;
use learngene_kernels::reference;

const SAMPLES: usize = 39;
const TOKENS: usize = 64;
const FEATURES: usize = 192;
const HEADS: usize = 3;
const ROUNDS: usize = 20;

/// The fastest of some rounds of `f`, forward and backward.
fn best(inputs: &[Tensor<3>], f: impl Fn(&[Tensor<3>]) -> Tensor<3>) -> [Duration; 2] {
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let leaves: Vec<_> = inputs.iter().map(|x| x.clone().require_grad()).collect();
        let start = Instant::now();
        let y = f(&leaves);
        let forward = start.elapsed();
        let start = Instant::now();
        black_box(y.backward());
        let backward = start.elapsed();
        best = [best[0].min(forward), best[1].min(backward)];
    }
    best
}

fn compare(
    name: &str,
    inputs: &[Tensor<3>],
    f: impl Fn(&[Tensor<3>]) -> Tensor<3>,
    g: impl Fn(&[Tensor<3>]) -> Tensor<3>,
) {
    if std::env::args()
        .nth(1)
        .is_some_and(|wanted| !name.contains(&wanted))
    {
        return;
    }
    let [ours, theirs] = [best(inputs, f), best(inputs, g)];
    let total = |times: [Duration; 2]| times.iter().map(Duration::as_secs_f64).sum::<f64>();
    println!(
        "{name:<22} fused {:>8.2?} + {:>8.2?}   composed {:>8.2?} + {:>8.2?}   {:>5.1} times faster",
        ours[0],
        ours[1],
        theirs[0],
        theirs[1],
        total(theirs) / total(ours)
    );
}

fn main() {
    let device = Device::flex().autodiff();
    let random =
        |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let tokens = |d| random([SAMPLES, TOKENS, d]);
    let per_sample = || random([SAMPLES, 1, FEATURES]);
    let row = |x: &Tensor<3>| x.clone().reshape([SAMPLES, FEATURES]);

    let hidden = [tokens(4 * FEATURES)];
    compare(
        "gelu_tanh",
        &hidden,
        |x| fused::gelu_tanh(x[0].clone()),
        |x| reference::gelu_tanh(x[0].clone()),
    );
    compare(
        "gelu_tanh (Burn's)",
        &hidden,
        |x| fused::gelu_tanh(x[0].clone()),
        |x| burn::tensor::activation::gelu_approximate(x[0].clone()),
    );
    compare(
        "silu",
        &hidden,
        |x| fused::silu(x[0].clone()),
        |x| reference::silu(x[0].clone()),
    );
    let inputs = [tokens(FEATURES), per_sample(), per_sample()];
    compare(
        "modulated_layer_norm",
        &inputs,
        |x| fused::modulated_layer_norm(x[0].clone(), row(&x[1]), row(&x[2]), 1e-6),
        |x| reference::modulated_layer_norm(x[0].clone(), row(&x[1]), row(&x[2]), 1e-6),
    );
    let inputs = [tokens(FEATURES), tokens(FEATURES), per_sample()];
    compare(
        "gated_residual",
        &inputs,
        |x| fused::gated_residual(x[0].clone(), x[1].clone(), row(&x[2])),
        |x| reference::gated_residual(x[0].clone(), x[1].clone(), row(&x[2])),
    );
    let inputs = [tokens(FEATURES), tokens(FEATURES), tokens(FEATURES)];
    compare(
        "attention",
        &inputs,
        |x| fused::attention(x[0].clone(), x[1].clone(), x[2].clone(), HEADS),
        |x| reference::attention(x[0].clone(), x[1].clone(), x[2].clone(), HEADS),
    );
}
