//! The cut of a call into tasks: rows that share one list of tailors.

use std::ops::Range;

use burn::backend::TensorMetadata;

use super::Inputs;
use crate::flex::Values;
use crate::plan::GatePlan;

/// Rows of a task at most. Its input, output and components then stay in a core's second-level cache at the widths of
/// small and medium models, and the products are still large enough to run at full speed.
const ROWS: usize = 256;

/// Rows that share a list.
pub(super) struct Task<'a> {
    pub(super) rows: Range<usize>,
    pub(super) list: &'a [(usize, f32)],
}

/// Row-major values of one set of components.
pub(super) struct Components {
    pub(super) u: Values,
    pub(super) s: Values,
    pub(super) v: Values,
}

/// One call: its shapes, its values and its tasks.
pub(super) struct Call<'a> {
    /// Columns of x and of y.
    pub(super) n: usize,
    pub(super) m: usize,
    pub(super) x: Values,
    pub(super) bias: Values,
    pub(super) learngene: Components,
    pub(super) tailors: Option<Components>,
    /// `N_G`, and `N_T` (0 without tailors).
    pub(super) ranks: [usize; 2],
    pub(super) groups: usize,
    pub(super) tasks: Vec<Task<'a>>,
}

impl<'a> Call<'a> {
    pub(super) fn new<const N: usize>(inputs: &'a Inputs<N>) -> Self {
        let t = |i: usize| Values::new(inputs.tensors[i].clone());
        let components = |at: usize| Components {
            u: t(at),
            s: t(at + 1),
            v: t(at + 2),
        };
        let rows = inputs.tensors[0].shape()[0];
        let learngene = components(1);
        let tailors = (N == 8).then(|| components(5));
        let groups = inputs.gate.as_ref().map_or(0, |g| g.groups);
        let tailor_rank = tailors.as_ref().map_or(0, |t| t.s.len() / groups);
        Self {
            n: inputs.tensors[0].shape()[1],
            m: inputs.tensors[4].shape()[0],
            x: t(0),
            bias: t(4),
            ranks: [learngene.s.len(), tailor_rank],
            learngene,
            tailors,
            groups,
            tasks: cut(rows, inputs.gate.as_ref()),
        }
    }

    /// Components that run in a task.
    pub(super) fn rank(&self, task: &Task<'_>) -> usize {
        self.ranks[0] + task.list.len() * self.ranks[1]
    }

    /// Lengths of the pieces that each task has of a buffer with `width(task)` numbers per row.
    pub(super) fn split<'b>(
        &self,
        mut values: &'b mut [f32],
        width: impl Fn(&Task<'_>) -> usize,
    ) -> Vec<&'b mut [f32]> {
        let piece = |task: &Task<'_>| {
            let (piece, rest) =
                std::mem::take(&mut values).split_at_mut(task.rows.len() * width(task));
            values = rest;
            piece
        };
        self.tasks.iter().map(piece).collect()
    }

    /// Puts the components of a list side by side: `v` becomes `[R, n]`, and `su` `[R, m]` with sigma and the weights
    /// of the list multiplied in.
    pub(super) fn gather(&self, list: &[(usize, f32)], v: &mut Vec<f32>, su: &mut Vec<f32>) {
        let rank = self.ranks[0] + list.len() * self.ranks[1];
        v.clear();
        v.reserve(rank * self.n);
        su.clear();
        su.reserve(rank * self.m);
        v.extend_from_slice(&self.learngene.v);
        scale(su, &self.learngene.u, &self.learngene.s, self.m, 1.0);
        if let Some(tailors) = &self.tailors {
            let rank = self.ranks[1];
            for &(group, weight) in list {
                let [u, s, v_rows] =
                    [self.m, 1, self.n].map(|w| group * rank * w..(group + 1) * rank * w);
                v.extend_from_slice(&tailors.v[v_rows]);
                scale(su, &tailors.u[u], &tailors.s[s], self.m, weight);
            }
        }
    }
}

/// Appends the rows of `u`, each times its `s` and `weight`.
fn scale(to: &mut Vec<f32>, u: &[f32], s: &[f32], m: usize, weight: f32) {
    for (row, s) in u.chunks_exact(m).zip(s) {
        let factor = s * weight;
        to.extend(row.iter().map(|u| u * factor));
    }
}

/// Runs cut into pieces of nearly equal size, the same whatever the number of threads.
fn cut<'a>(rows: usize, plan: Option<&'a GatePlan>) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let mut push = |from: usize, count: usize, list: &'a [(usize, f32)]| {
        let size = count.div_ceil(count.div_ceil(ROWS).max(1)).max(1);
        for at in (0..count).step_by(size) {
            let rows = from + at..from + count.min(at + size);
            tasks.push(Task { rows, list });
        }
    };
    match plan {
        None => push(0, rows, &[]),
        Some(plan) => {
            let per_sample = rows / plan.batch;
            let mut from = 0;
            for run in plan.runs.iter() {
                push(from, run.samples * per_sample, &run.list);
                from += run.samples * per_sample;
            }
        }
    }
    tasks
}
