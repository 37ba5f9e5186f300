//! Singular value decompositions, in f64.

use faer::Mat;
use learngene_nn::{Error, params::Values};

/// `sum of s_i u_i v_i^T`, from the largest s down; one component a row.
pub(crate) struct Components {
    /// `[k, m]`.
    pub u: Vec<f32>,
    /// `[k]`.
    pub s: Vec<f32>,
    /// `[k, n]`.
    pub v: Vec<f32>,
}

/// The first `rank` components of an `[m, n]` matrix.
pub(crate) fn svd(weight: &Values, rank: usize) -> Result<Components, Error> {
    let (m, n) = (weight.shape[0], weight.shape[1]);
    decompose(
        Mat::from_fn(m, n, |i, j| f64::from(weight.values[i * n + j])),
        rank,
    )
}

/// The first `rank` components of `sum of s_i u_i v_i^T` over rows `u_i` of length `m` and `v_i` of length `n`.
pub(crate) fn svd_of_sum(all: &Components, rank: usize) -> Result<Components, Error> {
    let k = all.s.len();
    let (m, n) = (all.u.len() / k.max(1), all.v.len() / k.max(1));
    let u = Mat::from_fn(m, k, |i, j| {
        f64::from(all.u[j * m + i]) * f64::from(all.s[j])
    });
    let v = Mat::from_fn(k, n, |i, j| f64::from(all.v[i * n + j]));
    decompose(u * v, rank)
}

fn decompose(matrix: Mat<f64>, rank: usize) -> Result<Components, Error> {
    let svd = matrix
        .thin_svd()
        .map_err(|_| Error::NoConvergence("the singular value decomposition"))?;
    let rank = rank.min(matrix.nrows()).min(matrix.ncols());
    let rows = |side: faer::MatRef<'_, f64>| -> Vec<f32> {
        let row = |i: usize| (0..side.nrows()).map(move |j| side[(j, i)] as f32);
        (0..rank).flat_map(row).collect()
    };
    Ok(Components {
        u: rows(svd.U()),
        s: (0..rank).map(|i| svd.S()[i] as f32).collect(),
        v: rows(svd.V()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[[3, 0], [0, -2], [0, 0]]`: singular values 3 and 2.
    #[test]
    fn components_come_largest_first_and_add_up_to_the_matrix() {
        let weight = Values {
            shape: vec![3, 2],
            values: vec![3.0, 0.0, 0.0, -2.0, 0.0, 0.0],
        };
        let all = svd(&weight, 9).unwrap();
        assert!((all.s[0] - 3.0).abs() < 1e-6 && (all.s[1] - 2.0).abs() < 1e-6);
        for again in [&all, &svd_of_sum(&all, 2).unwrap()] {
            for i in 0..3 {
                for j in 0..2 {
                    let sum: f32 = (0..2)
                        .map(|c| again.s[c] * again.u[c * 3 + i] * again.v[c * 2 + j])
                        .sum();
                    assert!((sum - weight.values[i * 2 + j]).abs() < 1e-6);
                }
            }
        }
        assert_eq!(svd(&weight, 1).unwrap().s.len(), 1);
    }
}
