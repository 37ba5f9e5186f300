//! `h = x V^T`, `y = b + h (S U)`, task by task.

use burn::tensor::Shape;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::Inputs;
use super::task::Call;
use crate::flex;
use crate::gemm::{Target, View, gemm};

/// The result, and `h` of every task one after another.
pub(super) fn forward<const N: usize>(inputs: &Inputs<N>) -> (FlexTensor, Vec<f32>) {
    let call = Call::new(inputs);
    let (n, m) = (call.n, call.m);
    let rows = call.x.len() / n;
    let active: usize = call.tasks.iter().map(|t| t.rows.len() * call.rank(t)).sum();
    let mut y = vec![0.0; rows * m];
    let mut inner = vec![0.0; active];
    let pieces = call.split(&mut y, |_| m).into_par_iter();
    pieces
        .zip(call.split(&mut inner, |t| call.rank(t)))
        .zip(&call.tasks)
        .for_each_init(
            Default::default,
            |(v, su): &mut (Vec<f32>, Vec<f32>), ((y, h), task)| {
                call.gather(task.list, v, su);
                let x = View::new(&call.x[task.rows.start * n..task.rows.end * n], n);
                gemm(h, Target::Set, x, View::new(v, n).transposed());
                for row in y.chunks_exact_mut(m) {
                    row.copy_from_slice(&call.bias);
                }
                gemm(
                    y,
                    Target::Add,
                    View::new(h, call.rank(task)),
                    View::new(su, m),
                );
            },
        );
    (flex::tensor(y, Shape::new([rows, m])), inner)
}
