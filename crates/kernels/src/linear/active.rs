//! A projection with the components of one list side by side.

use super::{Components, Linear, List};
use crate::gemm::{Target, View, ViewMut, gemm};

/// Components in a thread's own memory: `v` is `[R, n]`, and `su` is `[R, m]` with sigma and the weights of the list
/// multiplied in. The learngene's come first and are written once.
pub(crate) struct Active<'a> {
    pub(super) linear: &'a Linear,
    list: &'a List,
    v: Vec<f32>,
    su: Vec<f32>,
}

impl<'a> Active<'a> {
    /// With an empty list.
    pub(crate) fn new(linear: &'a Linear) -> Self {
        let mut active = Self {
            linear,
            list: &[],
            v: Vec::new(),
            su: Vec::new(),
        };
        if let Some(learngene) = &linear.learngene {
            active.append(learngene, 0, linear.ranks[0], 1.0);
        }
        active
    }

    /// Changes to another list.
    pub(crate) fn switch(&mut self, list: &'a List) {
        let [base, rank] = self.linear.ranks;
        let Some(tailors) = self.linear.tailors.as_ref().filter(|_| list != self.list) else {
            return;
        };
        self.list = list;
        self.v.truncate(base * self.linear.n);
        self.su.truncate(base * self.linear.m);
        for &(group, weight) in list {
            self.append(tailors, group * rank, rank, weight);
        }
    }

    fn append(&mut self, from: &Components, first: usize, count: usize, weight: f32) {
        let (n, m) = (self.linear.n, self.linear.m);
        let rows = first..first + count;
        self.v
            .extend_from_slice(&from.v[rows.start * n..rows.end * n]);
        let u = from.u[rows.start * m..rows.end * m].chunks_exact(m);
        for (u, s) in u.zip(&from.s[rows]) {
            let factor = s * weight;
            self.su.extend(u.iter().map(|u| u * factor));
        }
    }

    /// Components that run.
    pub(crate) fn rank(&self) -> usize {
        self.linear.rank(self.list)
    }

    /// `h = x V^T`, written as `[rows, R]`, and `y = b + base(x) + h (S U)`.
    pub(crate) fn forward(&self, x: View<'_>, h: &mut Vec<f32>, mut y: ViewMut<'_>) {
        let (n, m, rank) = (self.linear.n, self.linear.m, self.rank());
        y.fill_rows(&self.linear.bias);
        h.resize(x.row_count() * rank, 0.0);
        if let Some(weight) = &self.linear.weight {
            gemm(
                y.reborrow(),
                Target::Add,
                x,
                View::new(weight, n).transposed(),
            );
        }
        if rank > 0 {
            let v = View::new(&self.v, n).transposed();
            gemm(ViewMut::new(h, rank), Target::Set, x, v);
            gemm(y, Target::Add, View::new(h, rank), View::new(&self.su, m));
        }
    }

    /// `dh = dy (S U)^T`, written as `[rows, R]`, and `dx = dy W + dh V`, set or added.
    pub(crate) fn backward(
        &self,
        dy: View<'_>,
        dh: &mut Vec<f32>,
        dx: Option<(ViewMut<'_>, Target)>,
    ) {
        let (n, m, rank) = (self.linear.n, self.linear.m, self.rank());
        dh.resize(dy.row_count() * rank, 0.0);
        if rank > 0 {
            let su = View::new(&self.su, m).transposed();
            gemm(ViewMut::new(dh, rank), Target::Set, dy, su);
        }
        let Some((mut dx, mut target)) = dx else {
            return;
        };
        if let Some(weight) = &self.linear.weight {
            gemm(dx.reborrow(), target, dy, View::new(weight, n));
            target = Target::Add;
        }
        if rank > 0 {
            gemm(dx, target, View::new(dh, rank), View::new(&self.v, n));
        }
    }
}
