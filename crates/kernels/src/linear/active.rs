//! A projection with the components of one list side by side.

use super::{Components, LANES, Linear, List};
use crate::buffer::Buffer;
use crate::gemm::{Factor, Target, View, ViewMut, gemm};
use crate::matmul::transpose;

/// Which way the rows go: each product reads the factor on its right row by row, so one of the two is kept transposed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// Components in a thread's own memory, the learngene's first, which are written once; sigma and the weights of the list
/// are multiplied into U. A dense base is made ready for all threads.
pub(crate) struct Active<'a> {
    linear: &'a Linear,
    direction: Direction,
    list: &'a List,
    /// V^T forward and (S U)^T backward: a component per column. What stands in the columns beyond the running rank comes
    /// from elsewhere; it is multiplied up to the next whole vector, and nothing reads what it makes.
    first: Buffer,
    stride: usize,
    /// S U forward and V backward: a component per row.
    second: Vec<f32>,
    /// W^T forward and W backward, of a dense base.
    base: Option<&'a Factor<'a>>,
    scaled: Vec<f32>,
}

impl<'a> Active<'a> {
    /// With an empty list, for lists of at most `longest` entries.
    pub(crate) fn new(
        linear: &'a Linear,
        base: Option<&'a Factor<'a>>,
        direction: Direction,
        longest: usize,
    ) -> Self {
        let components = linear.ranks[0];
        let stride = linear.stride(longest);
        let mut active = Self {
            linear,
            direction,
            list: &[],
            // The last columns of the last row are written as if there were another row.
            first: Buffer::new((linear.inputs(direction) + 1) * stride),
            stride,
            second: Vec::new(),
            base,
            scaled: Vec::new(),
        };
        if let Some(learngene) = &linear.learngene {
            active.put(learngene, 0, 0, components, 1.0);
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
        self.second
            .truncate(base * self.linear.outputs(self.direction));
        for (slot, &(group, weight)) in list.iter().enumerate() {
            self.put(tailors, group * rank, base + slot * rank, rank, weight);
        }
    }

    /// Puts `count` components from `first` on at place `at`.
    fn put(&mut self, from: &Components, first: usize, at: usize, count: usize, weight: f32) {
        let (n, m) = (self.linear.n, self.linear.m);
        let rows = first..first + count;
        let v = &from.v[rows.start * n..rows.end * n];
        let u = from.u[rows.start * m..rows.end * m].chunks_exact(m);
        self.scaled.clear();
        for (u, s) in u.zip(&from.s[rows]) {
            let factor = s * weight;
            self.scaled.extend(u.iter().map(|u| u * factor));
        }
        let (across, down, width) = match self.direction {
            Direction::Forward => (v, self.scaled.as_slice(), n),
            Direction::Backward => (self.scaled.as_slice(), v, m),
        };
        let columns = &mut self.first[at..][..width * self.stride];
        transpose(across, width, count, columns, self.stride);
        self.second.extend_from_slice(down);
    }

    /// `h = x V^T`, written with rows [`Linear::stride`] apart, and `y = b + base(x) + h (S U)`.
    pub(crate) fn forward(&self, x: View<'_>, h: &mut Buffer, mut y: ViewMut<'_>) {
        debug_assert!(self.direction == Direction::Forward);
        let mut target = Target::Row(&self.linear.bias);
        if let Some(base) = self.base {
            base.gemm(y.reborrow(), target, x);
            target = Target::Add;
        }
        self.product(x, h);
        self.expand(h, y, target);
    }

    /// `dh = dy (S U)^T`, written with rows [`Linear::stride`] apart, and `dx = dy W + dh V`, set or added.
    pub(crate) fn backward(
        &self,
        dy: View<'_>,
        dh: &mut Buffer,
        dx: Option<(ViewMut<'_>, Target<'_>)>,
    ) {
        debug_assert!(self.direction == Direction::Backward);
        self.product(dy, dh);
        let Some((mut dx, mut target)) = dx else {
            return;
        };
        if let Some(base) = self.base {
            base.gemm(dx.reborrow(), target, dy);
            target = Target::Add;
        }
        self.expand(dh, dx, target);
    }

    fn gemm(&self, to: ViewMut<'_>, target: Target<'_>, a: View<'_>, b: View<'_>) {
        gemm(self.linear.precision, to, target, a, b);
    }

    /// What [`Self::forward`] and [`Self::backward`] write between their products, as many columns as the list needs.
    fn product(&self, given: View<'_>, inner: &mut Buffer) {
        inner.resize(given.row_count() * self.stride);
        let columns = self.linear.rank(self.list).next_multiple_of(LANES);
        if columns > 0 {
            let first = &self.first[..self.linear.inputs(self.direction) * self.stride];
            let right = View::new(first, self.stride).columns(0, columns);
            let to = ViewMut::new(inner, self.stride).columns(0, columns);
            self.gemm(to, Target::Set, given, right);
        }
    }

    fn expand(&self, inner: &[f32], to: ViewMut<'_>, target: Target) {
        let rank = self.linear.rank(self.list);
        if rank > 0 {
            let inner = View::new(inner, self.stride).columns(0, rank);
            let second = View::new(&self.second, self.linear.outputs(self.direction));
            self.gemm(to, target, inner, second);
        }
    }
}
