//! Forward through a block, some samples at a time.

use burn::tensor::Shape;
use burn_flex::FlexTensor;

use super::Inputs;
use crate::activation::gelu_into;
use crate::attention::{by_head, head};
use crate::buffer::Buffer;
use crate::flex;
use crate::gemm::{View, ViewMut};
use crate::layer_norm::{self, Moments};
use crate::linear::{Active, Direction, Task, on_every_thread};
use crate::{residual, simd};

/// What the backward pass needs of a task's samples.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Moments of the two norms.
    pub(super) moments: [Vec<Moments>; 2],
    /// Queries, keys and values side by side, `[rows, 3 d]`.
    pub(super) qkv: Buffer,
    /// For each sample and head, its queries.
    pub(super) softmax: Vec<head::RowSoftmax>,
    /// Result of the attention before the projection `o` and after it, `[rows, d]`.
    pub(super) mixed: Buffer,
    pub(super) attended: Buffer,
    /// After the first residual, `[rows, d]`.
    pub(super) middle: Buffer,
    /// Before the GELU, `[rows, hidden]`.
    pub(super) hidden: Buffer,
    /// Result of the perceptron, `[rows, d]`.
    pub(super) refined: Buffer,
    /// `x V^T` of each projection, `[rows, R]`.
    pub(super) inner: [Buffer; 6],
}

/// Memory that a thread uses again for its next task.
struct Worker<'a> {
    active: [Active<'a>; 6],
    normal: Buffer,
    wide: Buffer,
    head: head::Scratch,
}

/// The result, and what each task kept if it was to keep something.
pub(super) fn forward(inputs: &Inputs<'_>, keep: bool) -> (FlexTensor, Vec<Kept>) {
    let (t, d) = (inputs.tokens, inputs.d);
    let mut out = vec![0.0; inputs.x.len()];
    let tasks = flex::pieces(&mut out, inputs.tasks(), |task| task.rows.len() * d);
    let bases = inputs.bases(Direction::Forward);
    let spare = || {
        let worker = Worker {
            active: inputs.active(&bases, Direction::Forward),
            normal: Buffer::default(),
            wide: Buffer::default(),
            head: head::Scratch::default(),
        };
        (worker, Kept::default())
    };
    let kept = on_every_thread(tasks, spare, |(worker, spare), (task, out)| {
        if keep {
            let mut kept = Kept::default();
            samples(inputs, &task, worker, &mut kept, out);
            kept
        } else {
            samples(inputs, &task, worker, spare, out);
            Kept::default()
        }
    });
    let shape = Shape::new([inputs.x.len() / (t * d), t, d]);
    (flex::tensor(out, shape), kept)
}

fn samples<'a>(
    inputs: &'a Inputs<'_>,
    task: &Task<'a>,
    worker: &mut Worker<'a>,
    kept: &mut Kept,
    out: &mut [f32],
) {
    let (d, rows) = (inputs.d, task.rows.len());
    let x = &inputs.x[task.rows.start * d..task.rows.end * d];
    let Worker {
        active,
        normal,
        wide,
        head,
    } = worker;
    active.iter_mut().for_each(|a| a.switch(task.list));
    let [q, k, v, o, input, output] = active;

    norm(inputs, task, 0, x, normal, &mut kept.moments[0]);
    kept.qkv.resize(rows * 3 * d);
    for (i, p) in [q, k, v].into_iter().enumerate() {
        let to = ViewMut::new(&mut kept.qkv, 3 * d).columns(i * d, d);
        p.forward(View::new(normal, d), &mut kept.inner[i], to);
    }
    attend(inputs, rows, kept, head);
    kept.attended.resize(rows * d);
    let to = ViewMut::new(&mut kept.attended, d);
    o.forward(View::new(&kept.mixed, d), &mut kept.inner[3], to);
    kept.middle.resize(rows * d);
    add(inputs, task, 2, x, &kept.attended, &mut kept.middle);

    let (middle, moments) = (&kept.middle, &mut kept.moments[1]);
    norm(inputs, task, 3, middle, normal, moments);
    kept.hidden.resize(rows * inputs.hidden);
    let to = ViewMut::new(&mut kept.hidden, inputs.hidden);
    input.forward(View::new(normal, d), &mut kept.inner[4], to);
    wide.resize(rows * inputs.hidden);
    gelu_into(&kept.hidden, wide);
    kept.refined.resize(rows * d);
    let to = ViewMut::new(&mut kept.refined, d);
    output.forward(View::new(wide, inputs.hidden), &mut kept.inner[5], to);
    add(inputs, task, 5, &kept.middle, &kept.refined, out);
}

/// Norm and modulation, the `first` of the six vectors being the shift.
pub(super) fn norm(
    inputs: &Inputs<'_>,
    task: &Task<'_>,
    first: usize,
    x: &[f32],
    normal: &mut Buffer,
    moments: &mut Vec<Moments>,
) {
    let (t, d) = (inputs.tokens, inputs.d);
    let eps = inputs.call.settings.eps[usize::from(first > 0)] as f32;
    normal.resize(x.len());
    moments.resize(x.len() / d, Moments::default());
    let samples = normal
        .chunks_exact_mut(t * d)
        .zip(x.chunks_exact(t * d))
        .zip(moments.chunks_exact_mut(t));
    for (((y, x), moments), six) in samples.zip(inputs.six(task)) {
        simd::run(layer_norm::Forward {
            x,
            shift: six[first],
            scale: six[first + 1],
            eps,
            y,
            moments,
        });
    }
}

/// The gated residual with the gate at place `gate` of the six vectors.
fn add(inputs: &Inputs<'_>, task: &Task<'_>, gate: usize, x: &[f32], y: &[f32], out: &mut [f32]) {
    let len = inputs.tokens * inputs.d;
    let samples = x
        .chunks_exact(len)
        .zip(y.chunks_exact(len))
        .zip(out.chunks_exact_mut(len));
    for (((x, y), out), six) in samples.zip(inputs.six(task)) {
        let gate = six[gate];
        simd::run(residual::Forward { x, y, gate, out });
    }
}

fn attend(inputs: &Inputs<'_>, rows: usize, kept: &mut Kept, scratch: &mut head::Scratch) {
    let (t, d, heads) = (inputs.tokens, inputs.d, inputs.call.settings.heads);
    kept.mixed.resize(rows * d);
    kept.softmax.resize(rows * heads, Default::default());
    let samples = kept
        .mixed
        .chunks_exact_mut(t * d)
        .zip(kept.softmax.chunks_exact_mut(t * heads))
        .zip(kept.qkv.chunks_exact(t * 3 * d));
    for ((out, softmax), qkv) in samples {
        let parts = by_head(out, d, heads).into_iter();
        for (head, (mut out, rows)) in parts.zip(softmax.chunks_exact_mut(t)).enumerate() {
            let [q, k, v] = [0, 1, 2].map(|i| &qkv[i * d + head * (d / heads)..]);
            simd::run(head::Forward {
                q,
                k,
                v,
                d: 3 * d,
                keys: t,
                out: &mut out,
                rows,
                precision: inputs.call.settings.mode.precision,
                scratch,
            });
        }
    }
}
