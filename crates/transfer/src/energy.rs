//! How much components contribute, computed from their factors without making a matrix.
//!
//! After training, factors are neither orthogonal nor of length one. The *energy* of a component is the squared
//! Frobenius norm of what it adds to its matrix, `(s |u| |v|)^2`; that of a set of components is the squared norm of
//! their sum, which takes their angles into account.

use learngene_nn::params::Values;
use std::collections::BTreeMap;
use std::ops::Range;

/// Some components of one matrix: rows `u` of length `m`, numbers `s`, rows `v` of length `n`.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    u: &'a [f32],
    s: &'a [f32],
    v: &'a [f32],
}

impl<'a> Factors<'a> {
    /// Those at `prefix`, such as `blocks.0.attention.q.learngene`, if the model has them.
    pub(crate) fn at(values: &'a BTreeMap<String, Values>, prefix: &str) -> Option<Self> {
        let of = |factor| Some(values.get(&format!("{prefix}.{factor}"))?.values.as_slice());
        Some(Self {
            u: of("u")?,
            s: of("s")?,
            v: of("v")?,
        })
    }

    /// Number of components.
    pub(crate) fn rank(self) -> usize {
        self.s.len()
    }

    /// The components of these numbers.
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        let (m, n) = self.sides();
        Self {
            u: &self.u[range.start * m..range.end * m],
            s: &self.s[range.clone()],
            v: &self.v[range.start * n..range.end * n],
        }
    }

    /// The energy of each component, `(s |u| |v|)^2`.
    pub(crate) fn energies(self) -> Vec<f64> {
        let square = |row: &[f32]| dot(row, row);
        let one = |i| {
            let (s, u, v) = self.component(i);
            s * s * square(u) * square(v)
        };
        (0..self.rank()).map(one).collect()
    }

    /// `<A, B>_F` of the matrices that two sets add up to: `sum of s_i s_j (u_i . u_j) (v_i . v_j)`.
    pub(crate) fn inner(self, other: Self) -> f64 {
        let pairs = (0..self.rank()).flat_map(|i| (0..other.rank()).map(move |j| (i, j)));
        let term = |(i, j)| {
            let ((s, u, v), (t, w, x)) = (self.component(i), other.component(j));
            s * t * dot(u, w) * dot(v, x)
        };
        pairs.map(term).sum()
    }

    /// How far the u and the v are from orthogonal: `|U^T U - I|_F / sqrt(r (r - 1))` with columns of length one, which
    /// is the root mean square of the cosines between two different ones. 0 is orthogonal, 1 is all parallel.
    pub(crate) fn drift(self) -> [f64; 2] {
        let (m, n) = self.sides();
        [cosine(self.u, m), cosine(self.v, n)]
    }

    fn component(self, i: usize) -> (f64, &'a [f32], &'a [f32]) {
        let (m, n) = self.sides();
        let (u, v) = (&self.u[i * m..][..m], &self.v[i * n..][..n]);
        (f64::from(self.s[i]), u, v)
    }

    fn sides(self) -> (usize, usize) {
        let r = self.rank().max(1);
        (self.u.len() / r, self.v.len() / r)
    }
}

/// The numbers of the `count` components of most energy, in the order in which they are stored.
pub(crate) fn strongest(energies: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..energies.len()).collect();
    order.sort_by(|&a, &b| energies[b].total_cmp(&energies[a]));
    order.truncate(count);
    order.sort_unstable();
    order
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

fn cosine(rows: &[f32], length: usize) -> f64 {
    let rows: Vec<&[f32]> = rows.chunks(length.max(1)).collect();
    let norms: Vec<f64> = rows.iter().map(|r| dot(r, r).sqrt()).collect();
    let (mut sum, mut pairs) = (0.0, 0usize);
    for i in 0..rows.len() {
        for j in 0..i {
            pairs += 1;
            // a row of zeros has no direction
            if norms[i] * norms[j] > 0.0 {
                sum += (dot(rows[i], rows[j]) / (norms[i] * norms[j])).powi(2);
            }
        }
    }
    (sum / pairs.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const U: [f32; 4] = [3.0, 4.0, 0.0, 1.0];
    const V: [f32; 6] = [1.0, 2.0, 2.0, 0.0, 0.0, 1.0];

    fn hand_made() -> Factors<'static> {
        Factors {
            u: &U,
            s: &[-2.0, 0.5],
            v: &V,
        }
    }

    /// `2 * 5 * 3 = 30` and `0.5 * 1 * 1`; the sum is `[[-6, -12, -12], [-8, -16, -15.5]]`.
    #[test]
    fn energies_are_those_of_the_matrices() {
        assert_eq!(hand_made().energies(), [900.0, 0.25]);
        let square = 36.0 + 144.0 + 144.0 + 64.0 + 256.0 + 15.5 * 15.5;
        assert!((hand_made().inner(hand_made()) - square).abs() < 1e-9);
        let second = hand_made().rows(1..2);
        assert_eq!(second.energies(), [0.25]);
        // the second matrix has its only entry, 0.5, where the first has -16
        assert!((hand_made().rows(0..1).inner(second) + 8.0).abs() < 1e-9);
    }

    /// Cosines 4/5 and 2/3.
    #[test]
    fn drift_is_the_cosine_of_two_and_nothing_for_one() {
        let [u, v] = hand_made().drift();
        assert!((u - 0.8).abs() < 1e-12 && (v - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(hand_made().rows(0..1).drift(), [0.0, 0.0]);
    }

    #[test]
    fn the_strongest_keep_their_order() {
        assert_eq!(strongest(&[1.0, 9.0, 3.0, 9.0], 3), [1, 2, 3]);
        assert_eq!(strongest(&[1.0, 9.0], 2), [0, 1]);
    }
}
