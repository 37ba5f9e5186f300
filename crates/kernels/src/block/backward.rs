//! Backward through a block: first some samples at a time, then the weights.

use burn_flex::FlexTensor;

use super::Inputs;
use super::forward::{Kept, norm};
use crate::activation::gelu_and_back;
use crate::attention::{by_head, head};
use crate::buffer::Buffer;
use crate::flex::{self, Values};
use crate::gemm::{Target, View, ViewMut};
use crate::layer_norm::{self, Moments};
use crate::linear::{Active, Direction, Pass, Piece, Task, gradients, on_every_thread};
use crate::{residual, simd};

/// What the gradients of the weights need of a task: the inputs of the projections that are not kept, and the
/// gradients of their results.
#[derive(Default)]
struct Slopes {
    /// Results of the two norms, `[rows, d]`.
    normal: [Buffer; 2],
    /// After the GELU, `[rows, hidden]`.
    active: Buffer,
    /// Of q, k and v side by side, `[rows, 3 d]`.
    qkv: Buffer,
    attended: Buffer,
    hidden: Buffer,
    refined: Buffer,
    /// `dy (S U)^T` of each projection, `[rows, R]`.
    inner: [Buffer; 6],
}

/// Memory that a thread uses again for its next task.
struct Worker<'a> {
    active: [Active<'a>; 6],
    /// Gradient of what a projection was given.
    given: Buffer,
    moments: Vec<Moments>,
    head: head::Scratch,
}

/// The gradients of x, of the modulation and of the tensors of the projections, each if it is wanted.
pub(super) fn backward(
    inputs: &Inputs<'_>,
    kept: &[Kept],
    grad: FlexTensor,
    wanted: &[bool],
) -> Vec<Option<Vec<f32>>> {
    let d = inputs.d;
    let grad = Values::new(grad);
    let mut dx = vec![0.0; inputs.x.len()];
    let mut modulation = vec![0.0; inputs.modulation.len()];
    let tasks = flex::pieces(&mut dx, inputs.tasks(), |task| task.rows.len() * d);
    let six = |(task, _): &(Task<'_>, _)| task.rows.len() / inputs.tokens * 6 * d;
    let tasks = flex::pieces(&mut modulation, tasks, six);
    let bases = inputs.bases(Direction::Backward);
    let worker = || Worker {
        active: inputs.active(&bases, Direction::Backward),
        given: Buffer::default(),
        moments: Vec::new(),
        head: head::Scratch::default(),
    };
    let tasks = tasks.into_iter().zip(kept).collect();
    let slopes = on_every_thread(tasks, worker, |worker, (((task, dx), six), kept)| {
        let rows = task.rows.start * d..task.rows.end * d;
        dx.copy_from_slice(&grad[rows]);
        samples(inputs, &task, worker, kept, dx, six)
    });
    drop(bases);
    let weights = weights(inputs, kept, &slopes, &wanted[2..]);
    let first = [(dx, wanted[0]), (modulation, wanted[1])];
    let first = first.map(|(values, wanted)| wanted.then_some(values));
    first.into_iter().chain(weights).collect()
}

/// Turns `dx`, the gradient of the result, into that of x; writes the gradient of the modulation.
fn samples<'a>(
    inputs: &'a Inputs<'_>,
    task: &Task<'a>,
    worker: &mut Worker<'a>,
    kept: &Kept,
    dx: &mut [f32],
    six: &mut [f32],
) -> Slopes {
    let (d, wide, rows) = (inputs.d, inputs.hidden, task.rows.len());
    let x = &inputs.x[task.rows.start * d..task.rows.end * d];
    let Worker {
        active,
        given,
        moments,
        head,
    } = worker;
    active.iter_mut().for_each(|a| a.switch(task.list));
    let [q, k, v, o, input, output] = active;
    let mut to = Slopes {
        refined: branch(inputs, task, 5, &kept.refined, dx, six),
        ..Slopes::default()
    };
    to.hidden.resize(rows * wide);
    let dy = View::new(&to.refined, d);
    let into = (ViewMut::new(&mut to.hidden, wide), Target::Set);
    output.backward(dy, &mut to.inner[5], Some(into));
    to.active.resize(rows * wide);
    gelu_and_back(&kept.hidden, &mut to.active, &mut to.hidden);
    given.resize(rows * d);
    let dy = View::new(&to.hidden, wide);
    let into = (ViewMut::new(given, d), Target::Set);
    input.backward(dy, &mut to.inner[4], Some(into));
    norm(inputs, task, 3, &kept.middle, &mut to.normal[1], moments);
    norm_back(inputs, task, 3, &kept.middle, &kept.moments[1], given, six);
    add(dx, given);

    to.attended = branch(inputs, task, 2, &kept.attended, dx, six);
    let dy = View::new(&to.attended, d);
    let into = (ViewMut::new(given, d), Target::Set);
    o.backward(dy, &mut to.inner[3], Some(into));
    to.qkv = attend_back(inputs, kept, given, head);
    let mut target = Target::Set;
    for (i, p) in [q, k, v].into_iter().enumerate() {
        let dy = View::new(&to.qkv, 3 * d).columns(i * d, d);
        p.backward(dy, &mut to.inner[i], Some((ViewMut::new(given, d), target)));
        target = Target::Add;
    }
    norm(inputs, task, 0, x, &mut to.normal[0], moments);
    norm_back(inputs, task, 0, x, &kept.moments[0], given, six);
    add(dx, given);
    to
}

/// The gradient of a gated branch's result `y`; that of its gate goes to place `gate` of the six vectors.
fn branch(
    inputs: &Inputs<'_>,
    task: &Task<'_>,
    gate: usize,
    y: &[f32],
    grad: &[f32],
    to: &mut [f32],
) -> Buffer {
    let (len, d) = (inputs.tokens * inputs.d, inputs.d);
    let mut found = Buffer::new(y.len());
    let samples = found
        .chunks_exact_mut(len)
        .zip(y.chunks_exact(len).zip(grad.chunks_exact(len)))
        .zip(to.chunks_exact_mut(6 * d));
    for (((y_grad, (y, grad)), to), six) in samples.zip(inputs.six(task)) {
        let [sum] = simd::run(residual::Back {
            y,
            gate: six[gate],
            grad,
            y_grad,
        });
        to[gate * d..][..d].copy_from_slice(&sum);
    }
    found
}

/// Turns `grad`, the gradient of a norm's result, into that of its input; those of shift and scale go to places `first`
/// and `first + 1` of the six vectors.
fn norm_back(
    inputs: &Inputs<'_>,
    task: &Task<'_>,
    first: usize,
    x: &[f32],
    moments: &[Moments],
    grad: &mut [f32],
    to: &mut [f32],
) {
    let (t, d) = (inputs.tokens, inputs.d);
    let samples = grad
        .chunks_exact_mut(t * d)
        .zip(x.chunks_exact(t * d))
        .zip(moments.chunks_exact(t))
        .zip(to.chunks_exact_mut(6 * d));
    for ((((grad, x), moments), to), six) in samples.zip(inputs.six(task)) {
        let sums = simd::run(layer_norm::Back {
            x,
            scale: six[first + 1],
            moments,
            grad,
        });
        for (to, sum) in to[first * d..].chunks_exact_mut(d).zip(sums) {
            to.copy_from_slice(&sum);
        }
    }
}

/// The gradient of q, k and v side by side from that of the attention's result.
fn attend_back(
    inputs: &Inputs<'_>,
    kept: &Kept,
    grad: &[f32],
    scratch: &mut head::Scratch,
) -> Buffer {
    let (t, d, heads) = (inputs.tokens, inputs.d, inputs.call.settings.heads);
    let mut found = Buffer::new(kept.qkv.len());
    let samples = found
        .chunks_exact_mut(t * 3 * d)
        .zip(kept.qkv.chunks_exact(t * 3 * d))
        .zip(grad.chunks_exact(t * d))
        .zip(kept.softmax.chunks_exact(t * heads));
    for (((found, qkv), grad), softmax) in samples {
        let mut parts = by_head(found, 3 * d, 3 * heads).into_iter();
        let mut third = || -> Vec<_> { parts.by_ref().take(heads).collect() };
        let (dq, dk, dv) = (third(), third(), third());
        let heads = dq.into_iter().zip(dk.into_iter().zip(dv));
        let rows = softmax.chunks_exact(t);
        for (head, ((mut dq, (mut dk, mut dv)), rows)) in heads.zip(rows).enumerate() {
            let first = head * (d / inputs.call.settings.heads);
            let [q, k, v] = [0, 1, 2].map(|i| &qkv[i * d + first..]);
            simd::run(head::Back {
                q,
                k,
                v,
                d: 3 * d,
                grad: &grad[first..],
                grad_d: d,
                rows,
                dq: &mut dq,
                dk: &mut dk,
                dv: &mut dv,
                precision: inputs.call.settings.mode.precision,
                scratch,
            });
        }
    }
    found
}

fn add(to: &mut [f32], from: &[f32]) {
    simd::run(simd::Add { to, from });
}

fn weights(
    inputs: &Inputs<'_>,
    kept: &[Kept],
    slopes: &[Slopes],
    mut wanted: &[bool],
) -> Vec<Option<Vec<f32>>> {
    let (d, wide) = (inputs.d, inputs.hidden);
    let (tasks, longest) = (inputs.tasks(), inputs.call.gate.longest());
    let mut passes = Vec::new();
    for (i, (linear, kind)) in inputs.projections.iter().zip(inputs.call.kinds).enumerate() {
        let (own, rest) = wanted.split_at(kind.len());
        wanted = rest;
        let stride = linear.stride(longest);
        let pieces = tasks
            .iter()
            .zip(kept)
            .zip(slopes)
            .map(|((task, kept), slopes)| {
                let (x, dy) = match i {
                    0..3 => (
                        View::new(&slopes.normal[0], d),
                        View::new(&slopes.qkv, 3 * d).columns(i * d, d),
                    ),
                    3 => (View::new(&kept.mixed, d), View::new(&slopes.attended, d)),
                    4 => (
                        View::new(&slopes.normal[1], d),
                        View::new(&slopes.hidden, wide),
                    ),
                    _ => (
                        View::new(&slopes.active, wide),
                        View::new(&slopes.refined, d),
                    ),
                };
                Piece {
                    x,
                    dy,
                    h: View::new(&kept.inner[i], stride),
                    dh: View::new(&slopes.inner[i], stride),
                    list: task.list,
                }
            });
        passes.push(Pass {
            linear,
            pieces: pieces.collect(),
            wanted: own,
        });
    }
    gradients(&passes).into_iter().flatten().collect()
}
