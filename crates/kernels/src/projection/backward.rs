//! Gradients of the gated projection.
//!
//! With `h = x V^T` and `y = b + h (S U)` for the components of a task: `dh = dy (S U)^T`, `dx = dh V`, `dV = dh^T x`,
//! and from `P = h^T dy`: `dU_i = s_i P_i`, `ds_i = P_i . u_i`. Each task finds its own share; shares are added in the
//! order of the tasks.

use burn::backend::TensorMetadata;
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::Inputs;
use super::task::{Call, Components, Task};
use crate::flex::{self, Values};
use crate::gemm::{Target, View, gemm};
use crate::simd;

/// What a task adds to the gradients of the components from row `first` of its own on.
struct Share {
    /// `P`, `[R - first, m]`.
    p: Vec<f32>,
    /// `dV`, `[R - first, n]`.
    v: Vec<f32>,
    /// `[m]`.
    bias: Vec<f32>,
}

/// Buffers a thread uses again for its next task.
#[derive(Default)]
struct Scratch {
    v: Vec<f32>,
    su: Vec<f32>,
    dh: Vec<f32>,
    selected: Vec<f32>,
}

/// A gradient for every input that is wanted.
pub(super) fn backward<const N: usize>(
    inputs: &Inputs<N>,
    inner: &[f32],
    grad: FlexTensor,
    wanted: [bool; N],
) -> [Option<FlexTensor>; N] {
    let call = Call::new(inputs);
    let (n, m) = (call.n, call.m);
    let grad = Values::new(grad);
    let base_wanted = wanted[1..4].contains(&true);
    // A frozen learngene costs nothing here: only the rows of the tailors are multiplied.
    let first = if base_wanted { 0 } else { call.ranks[0] };
    let mut dx = vec![0.0; if wanted[0] { call.x.len() } else { 0 }];
    let dx_width = if wanted[0] { n } else { 0 };
    let mut at = 0;
    let inner: Vec<&[f32]> = call
        .tasks
        .iter()
        .map(|t| {
            let len = t.rows.len() * call.rank(t);
            at += len;
            &inner[at - len..at]
        })
        .collect();
    let shares: Vec<Share> = call
        .split(&mut dx, |_| dx_width)
        .into_par_iter()
        .zip(&call.tasks)
        .zip(inner)
        .map_init(Scratch::default, |scratch, ((dx, task), h)| {
            share(&call, task, h, &grad, dx, first, scratch)
        })
        .collect();

    let shape = |i: usize| inputs.tensors[i].shape();
    let mut found: [Option<FlexTensor>; N] = std::array::from_fn(|_| None);
    let mut give = |i: usize, values: Vec<f32>| {
        if wanted[i] {
            found[i] = Some(flex::tensor(values, shape(i)));
        }
    };
    give(0, dx);
    if base_wanted {
        let all: Vec<Source> = (0..shares.len())
            .map(|task| Source {
                task,
                row: 0,
                weight: 1.0,
            })
            .collect();
        let [u, s, v] = add_up(&call.learngene, &[all], call.ranks[0], &shares, [m, n]);
        give(1, u);
        give(2, s);
        give(3, v);
    }
    if wanted[4] {
        let mut bias = vec![0.0; m];
        shares.iter().for_each(|share| {
            simd::run(Add {
                to: &mut bias,
                from: &share.bias,
                weight: 1.0,
            })
        });
        give(4, bias);
    }
    // Tailors come last, if there are any.
    let tailors_wanted = wanted[N - 3..].contains(&true);
    if let Some(tailors) = call.tailors.as_ref().filter(|_| tailors_wanted) {
        let mut sources: Vec<Vec<Source>> = vec![Vec::new(); call.groups];
        for (at, task) in call.tasks.iter().enumerate() {
            for (slot, &(group, weight)) in task.list.iter().enumerate() {
                let row = call.ranks[0] + slot * call.ranks[1] - first;
                sources[group].push(Source {
                    task: at,
                    row,
                    weight,
                });
            }
        }
        let [u, s, v] = add_up(tailors, &sources, call.ranks[1], &shares, [m, n]);
        give(N - 3, u);
        give(N - 2, s);
        give(N - 1, v);
    }
    found
}

fn share(
    call: &Call<'_>,
    task: &Task<'_>,
    h: &[f32],
    grad: &[f32],
    dx: &mut [f32],
    first: usize,
    scratch: &mut Scratch,
) -> Share {
    let (n, m, rank) = (call.n, call.m, call.rank(task));
    let rows = task.rows.len();
    call.gather(task.list, &mut scratch.v, &mut scratch.su);
    let x = View::new(&call.x[task.rows.start * n..task.rows.end * n], n);
    let dy_values = &grad[task.rows.start * m..task.rows.end * m];
    let dy = View::new(dy_values, m);
    scratch.dh.resize(rows * rank, 0.0);
    gemm(
        &mut scratch.dh,
        Target::Set,
        dy,
        View::new(&scratch.su, m).transposed(),
    );
    if !dx.is_empty() {
        gemm(
            dx,
            Target::Set,
            View::new(&scratch.dh, rank),
            View::new(&scratch.v, n),
        );
    }
    let mut found = Share {
        p: vec![0.0; (rank - first) * m],
        v: vec![0.0; (rank - first) * n],
        bias: simd::run(simd::ColumnSums {
            values: dy_values,
            columns: m,
        }),
    };
    let mut product = |to: &mut [f32], left: &[f32], right: View<'_>| {
        let left = columns_from(left, rank, first, &mut scratch.selected);
        gemm(
            to,
            Target::Set,
            View::new(left, rank - first).transposed(),
            right,
        );
    };
    if rank > first {
        product(&mut found.p, h, dy);
        product(&mut found.v, &scratch.dh, x);
    }
    found
}

/// The columns from `first` on of a matrix `[rows, rank]`, copied only if there are fewer.
fn columns_from<'a>(
    values: &'a [f32],
    rank: usize,
    first: usize,
    to: &'a mut Vec<f32>,
) -> &'a [f32] {
    if first == 0 {
        return values;
    }
    to.clear();
    values
        .chunks_exact(rank)
        .for_each(|row| to.extend_from_slice(&row[first..]));
    to
}

/// Rows of a share that belong to a block of components.
#[derive(Clone, Copy)]
struct Source {
    task: usize,
    row: usize,
    weight: f32,
}

/// Gradients of `u`, `s` and `v` of blocks of `rank` components, block `k` from `sources[k]`.
fn add_up(
    components: &Components,
    sources: &[Vec<Source>],
    rank: usize,
    shares: &[Share],
    [m, n]: [usize; 2],
) -> [Vec<f32>; 3] {
    let count = sources.len() * rank;
    let (mut u, mut s, mut v) = (vec![0.0; count * m], vec![0.0; count], vec![0.0; count * n]);
    u.par_chunks_exact_mut(m)
        .zip(v.par_chunks_exact_mut(n))
        .zip(s.par_iter_mut())
        .enumerate()
        .with_min_len(8)
        .for_each(|(i, ((du, dv), ds))| {
            for source in &sources[i / rank] {
                let (share, row) = (&shares[source.task], source.row + i % rank);
                simd::run(Add {
                    to: du,
                    from: &share.p[row * m..][..m],
                    weight: source.weight,
                });
                // dh holds the weight already
                simd::run(Add {
                    to: dv,
                    from: &share.v[row * n..][..n],
                    weight: 1.0,
                });
            }
            *ds = simd::run(Finish {
                p: du,
                u: &components.u[i * m..][..m],
                s: components.s[i],
            });
        });
    [u, s, v]
}

/// `to += weight * from`.
struct Add<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    weight: f32,
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to += self.weight * from;
        }
    }
}

/// `P` becomes `dU`; the result is `ds`.
struct Finish<'a> {
    p: &'a mut [f32],
    u: &'a [f32],
    s: f32,
}

impl WithSimd for Finish<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let ds = simd::dot(self.p, self.u);
        for p in self.p {
            *p *= self.s;
        }
        ds
    }
}
