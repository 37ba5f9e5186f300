//! Gradients of the weights of projections.
//!
//! With `h = x V^T`, `dh = dy (S U)^T` and `P = h^T dy`: `dU_i = s_i P_i`, `ds_i = P_i . u_i`, `dV = dh^T x`,
//! `dW = dy^T x`, and `db` is the sum of the rows of `dy`. Each task owns some columns of `dy` or of `x` for all rows of
//! a projection, so sums are added in the order of the rows on any number of threads.

use pulp::{Simd, WithSimd};

use super::tasks::{List, on_every_thread};
use super::{Components, Linear};
use crate::gemm::{Factor, Precision, Target, View, ViewMut, gemm};
use crate::simd;

/// Columns of a task in 32 bits, so few that the product reads its left factor where it is instead of packing it.
const COLUMNS: usize = 128;
/// Most columns of a task in bf16, where each packs what is on its left for itself.
const COLUMNS_BF16: usize = 256;
/// Columns of a dense weight's gradient that are summed over all rows before the next, whole panels: they stay in a
/// core's second-level cache.
const SUMMED: usize = 384;

/// Columns of a task, of `width` in all.
fn columns_of_task(precision: Precision, width: usize) -> usize {
    match precision {
        Precision::F32 => COLUMNS,
        Precision::Bf16 => width.div_ceil(width.div_ceil(COLUMNS_BF16)),
    }
}

/// Rows that share a list: what went into a projection and what came back.
pub(crate) struct Piece<'a> {
    pub(crate) x: View<'a>,
    pub(crate) dy: View<'a>,
    /// The components that run are its first columns.
    pub(crate) h: View<'a>,
    /// The components that run are its first columns.
    pub(crate) dh: View<'a>,
    pub(crate) list: &'a List,
}

/// A projection whose gradients are wanted.
pub(crate) struct Pass<'a> {
    pub(crate) linear: &'a Linear,
    pub(crate) pieces: Vec<Piece<'a>>,
    /// Whether each tensor's gradient is wanted, in the order of [`super::Kind`].
    pub(crate) wanted: &'a [bool],
}

/// The gradients that are wanted of each projection, in the order of its tensors.
pub(crate) fn gradients(passes: &[Pass<'_>]) -> Vec<Vec<Option<Vec<f32>>>> {
    let mut found: Vec<Found> = passes.iter().map(Found::new).collect();
    let mut inputs: Vec<Vec<Factor<'_>>> = passes.iter().map(inputs).collect();
    Factor::fill(inputs.iter_mut().flatten());
    let mut jobs = Vec::new();
    for (owner, (pass, found)) in passes.iter().zip(&mut found).enumerate() {
        found.jobs(pass, &inputs[owner], owner, &mut jobs);
    }
    let sigmas = on_every_thread(jobs, Vec::new, |product, job| (job.owner, job.run(product)));
    for (owner, partial) in sigmas {
        found[owner].add_sigmas(&partial);
    }
    let finish = |(found, pass): (Found, &Pass<'_>)| found.finish(pass);
    found.into_iter().zip(passes).map(finish).collect()
}

/// What went into a dense projection whose weight's gradient is wanted, piece by piece, blank.
fn inputs<'a>(pass: &'a Pass<'_>) -> Vec<Factor<'a>> {
    let wanted = pass.linear.weight.is_some() && Wanted::of(pass).base_out;
    let pieces = pass.pieces.iter().filter(|_| wanted);
    pieces
        .map(|piece| Factor::blank(pass.linear.precision, piece.x))
        .collect()
}

/// Which of the sums over rows are needed.
#[derive(Clone, Copy)]
struct Wanted {
    /// `P`, or `dW` of a dense base.
    base_out: bool,
    base_in: bool,
    bias: bool,
    tailors_out: bool,
    tailors_in: bool,
}

impl Wanted {
    fn of(pass: &Pass<'_>) -> Self {
        let dense = pass.linear.weight.is_some();
        let base = if dense { 1 } else { 3 };
        let tailor = |i: usize| pass.linear.tailors.is_some() && pass.wanted[base + 1 + i];
        Self {
            base_out: pass.wanted[0] || !dense && pass.wanted[1],
            base_in: !dense && pass.wanted[2],
            bias: pass.wanted[base],
            tailors_out: tailor(0) || tailor(1),
            tailors_in: tailor(2),
        }
    }

    fn out_side(self) -> bool {
        self.base_out || self.bias || self.tailors_out
    }

    fn in_side(self) -> bool {
        self.base_in || self.tailors_in
    }
}

/// Gradients being found; empty where they are not wanted.
struct Found {
    weight: Vec<f32>,
    bias: Vec<f32>,
    learngene: [Vec<f32>; 3],
    tailors: [Vec<f32>; 3],
}

impl Found {
    fn new(pass: &Pass<'_>) -> Self {
        let (linear, wanted) = (pass.linear, Wanted::of(pass));
        let zeros = |wanted: bool, len: usize| vec![0.0; if wanted { len } else { 0 }];
        let components = |c: &Option<Components>, out: bool, input: bool| match c {
            Some(c) => [
                zeros(out, c.u.len()),
                zeros(out, c.s.len()),
                zeros(input, c.v.len()),
            ],
            None => Default::default(),
        };
        let weight = linear.weight.as_ref().map_or(0, |w| w.len());
        Self {
            weight: zeros(wanted.base_out, weight),
            bias: zeros(wanted.bias, linear.m),
            learngene: components(&linear.learngene, wanted.base_out, wanted.base_in),
            tailors: components(&linear.tailors, wanted.tailors_out, wanted.tailors_in),
        }
    }

    fn jobs<'a>(
        &'a mut self,
        pass: &'a Pass<'a>,
        inputs: &'a [Factor<'a>],
        owner: usize,
        jobs: &mut Vec<Job<'a>>,
    ) {
        let (linear, wanted) = (pass.linear, Wanted::of(pass));
        let [base_u, _, base_v] = &mut self.learngene;
        let [tailor_u, _, tailor_v] = &mut self.tailors;
        let side = |out: bool, width: usize, base: &'a mut [f32], tailors: &'a mut [f32]| {
            let columns = columns_of_task(linear.precision, width);
            let base = by_columns(base, width, columns).into_iter();
            let tailors = by_columns(tailors, width, columns).into_iter();
            let firsts = (0..width).step_by(columns);
            firsts
                .zip(base.zip(tailors))
                .map(move |(first, (base, tailors))| Job {
                    pass,
                    inputs,
                    owner,
                    out,
                    first,
                    count: columns.min(width - first),
                    wants: [
                        if out { wanted.base_out } else { wanted.base_in },
                        if out {
                            wanted.tailors_out
                        } else {
                            wanted.tailors_in
                        },
                    ],
                    base,
                    tailors,
                    weight: &mut [],
                    bias: &mut [],
                })
        };
        if wanted.out_side() {
            let columns = columns_of_task(linear.precision, linear.m);
            let mut weight = self.weight.chunks_mut(columns * linear.n);
            let mut bias = self.bias.chunks_mut(columns);
            jobs.extend(side(true, linear.m, base_u, tailor_u).map(|job| Job {
                weight: weight.next().unwrap_or_default(),
                bias: bias.next().unwrap_or_default(),
                ..job
            }));
        }
        if wanted.in_side() {
            jobs.extend(side(false, linear.n, base_v, tailor_v));
        }
    }

    fn add_sigmas(&mut self, partial: &[Vec<f32>; 2]) {
        for (sum, partial) in [&mut self.learngene[1], &mut self.tailors[1]]
            .into_iter()
            .zip(partial)
        {
            for (sum, part) in sum.iter_mut().zip(partial) {
                *sum += part;
            }
        }
    }

    fn finish(self, pass: &Pass<'_>) -> Vec<Option<Vec<f32>>> {
        let base = match pass.linear.weight {
            Some(_) => vec![self.weight],
            None => self.learngene.into(),
        };
        let tailors = pass.linear.tailors.as_ref().map(|_| self.tailors);
        let all = base
            .into_iter()
            .chain([self.bias])
            .chain(tailors.into_iter().flatten());
        let keep = |(values, &wanted): (Vec<f32>, &bool)| wanted.then_some(values);
        all.zip(pass.wanted).map(keep).collect()
    }
}

/// Rows of a row-major matrix cut into blocks of columns: for each block, its part of every row.
fn by_columns(values: &mut [f32], width: usize, columns: usize) -> Vec<Vec<&mut [f32]>> {
    let rows = values.len() / width;
    let mut blocks: Vec<Vec<_>> = (0..width.div_ceil(columns))
        .map(|_| Vec::with_capacity(rows))
        .collect();
    for row in values.chunks_exact_mut(width) {
        for (block, part) in blocks.iter_mut().zip(row.chunks_mut(columns)) {
            block.push(part);
        }
    }
    blocks
}

/// Some columns of the output side (`dU`, `dW`, `db`) or of the input side (`dV`).
struct Job<'a> {
    pass: &'a Pass<'a>,
    /// What went in, piece by piece, if the gradient of a dense weight is wanted.
    inputs: &'a [Factor<'a>],
    /// Its place among the passes.
    owner: usize,
    out: bool,
    first: usize,
    count: usize,
    /// Whether the base's and the tailors' sums are needed.
    wants: [bool; 2],
    base: Vec<&'a mut [f32]>,
    tailors: Vec<&'a mut [f32]>,
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

impl Job<'_> {
    /// Writes the columns; returns this task's share of the gradients of sigma, of learngene and tailors. `product` is
    /// memory that is used again.
    fn run(mut self, product: &mut Vec<f32>) -> [Vec<f32>; 2] {
        let linear = self.pass.linear;
        let [base_rank, _] = linear.ranks;
        let longest = self.pass.pieces.iter().map(|p| linear.rank(p.list)).max();
        product.clear();
        product.resize(longest.unwrap_or(0) * self.count, 0.0);
        self.sum_directly();
        let mut list: &List = &[];
        for piece in &self.pass.pieces {
            let whole = if self.out { piece.dy } else { piece.x };
            let right = whole.columns(self.first, self.count);
            if piece.list != list {
                self.deal_out(list, product);
                list = piece.list;
            }
            let first = if self.wants[0] { 0 } else { base_rank };
            let end = if self.wants[1] {
                linear.rank(list)
            } else {
                base_rank
            };
            if first < end {
                let left = if self.out { piece.h } else { piece.dh };
                let to = &mut product[first * self.count..end * self.count];
                gemm(
                    linear.precision,
                    ViewMut::new(to, self.count),
                    Target::Add,
                    left.columns(first, end - first).transposed(),
                    right,
                );
            }
        }
        self.deal_out(list, product);
        for (row, sums) in self.base.iter_mut().zip(product.chunks_exact(self.count)) {
            row.copy_from_slice(sums);
        }
        if self.out {
            self.finish()
        } else {
            Default::default()
        }
    }

    /// What needs no components: the bias and a dense base.
    fn sum_directly(&mut self) {
        let pieces = self.pass.pieces.iter();
        let dy: Vec<View<'_>> = pieces
            .map(|piece| piece.dy.columns(self.first, self.count))
            .collect();
        if !self.bias.is_empty() {
            for &rows in &dy {
                let to = &mut *self.bias;
                simd::run(SumRows { to, rows });
            }
        }
        if self.weight.is_empty() {
            return;
        }
        let n = self.pass.linear.n;
        let columns = match self.pass.linear.precision {
            Precision::F32 => COLUMNS,
            Precision::Bf16 => SUMMED,
        };
        for first in (0..n).step_by(columns) {
            let count = columns.min(n - first);
            for (dy, x) in dy.iter().zip(self.inputs) {
                let to = ViewMut::new(self.weight, n).columns(first, count);
                x.gemm_columns(first, to, Target::Add, dy.transposed());
            }
        }
    }

    /// Adds the rows of a list's tailors to their groups, and clears them.
    fn deal_out(&mut self, list: &List, product: &mut [f32]) {
        let [base_rank, rank] = self.pass.linear.ranks;
        if !self.wants[1] || rank == 0 {
            return;
        }
        let mut sums = product[base_rank * self.count..].chunks_exact_mut(self.count);
        for &(group, weight) in list {
            // dh holds the weight already
            let weight = if self.out { weight } else { 1.0 };
            let rows = &mut self.tailors[group * rank..(group + 1) * rank];
            for (row, sums) in rows.iter_mut().zip(&mut sums) {
                for (to, sum) in row.iter_mut().zip(&mut *sums) {
                    *to += weight * *sum;
                    *sum = 0.0;
                }
            }
        }
    }

    /// Turns `P` into `dU`.
    fn finish(self) -> [Vec<f32>; 2] {
        let linear = self.pass.linear;
        let sides = [
            (self.base, &linear.learngene),
            (self.tailors, &linear.tailors),
        ];
        sides.map(|(rows, components)| {
            let Some(components) = components else {
                return Vec::new();
            };
            let us = components.u.chunks_exact(linear.m);
            let finish = |((p, u), &s): ((&mut [f32], &[f32]), &f32)| {
                let u = &u[self.first..][..self.count];
                simd::run(Finish { p, u, s })
            };
            rows.into_iter()
                .zip(us)
                .zip(components.s.iter())
                .map(finish)
                .collect()
        })
    }
}

/// `to` plus the sum of the rows.
struct SumRows<'a> {
    to: &'a mut [f32],
    rows: View<'a>,
}

impl WithSimd for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.iter_rows() {
            for (to, from) in self.to.iter_mut().zip(row) {
                *to += from;
            }
        }
    }
}

/// `P` becomes `dU`; the result is the share of `ds`.
struct Finish<'a> {
    p: &'a mut [f32],
    u: &'a [f32],
    s: f32,
}

impl WithSimd for Finish<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let ds = simd::dot(self.p, self.u, |u| u);
        for p in self.p {
            *p *= self.s;
        }
        ds
    }
}
