//! Rows of numbers, one per image: features, scores or logits.

use crate::error::EvalError;

/// A dense `[rows, columns]` matrix of `f32`, stored row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowMatrix {
    columns: usize,
    values: Vec<f32>,
}

impl RowMatrix {
    /// Forms rows of `columns` values from `values`, which are laid out row after row.
    ///
    /// # Errors
    /// [`EvalError::RaggedRows`] if the values do not fill whole rows.
    pub fn new(columns: usize, values: Vec<f32>) -> Result<Self, EvalError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(EvalError::RaggedRows {
                columns,
                values: values.len(),
            });
        }
        Ok(Self { columns, values })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Rows from first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.columns)
    }

    /// The rows at `indices`, in that order; indices past the end are left out.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let rows = indices.iter().filter_map(|&row| {
            let start = row.checked_mul(self.columns)?;
            self.values.get(start..start + self.columns)
        });
        Self {
            columns: self.columns,
            values: rows.flatten().copied().collect(),
        }
    }

    /// For each row, the number of the row of `others` at the smallest Euclidean distance (the first of equals); none where
    /// `others` has no rows or none of as many columns.
    pub fn nearest(&self, others: &Self) -> Vec<Option<usize>> {
        let distance = |a: &[f32], b: &[f32]| -> f64 {
            let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum()
        };
        let nearest = |row: &[f32]| {
            let all = others.iter().map(|other| distance(row, other)).enumerate();
            all.min_by(|a, b| a.1.total_cmp(&b.1))
                .map(|(number, _)| number)
        };
        match others.columns == self.columns {
            true => self.iter().map(nearest).collect(),
            false => vec![None; self.rows()],
        }
    }

    /// Position of the largest value of each row (the first of equals).
    pub fn argmax(&self) -> Vec<usize> {
        self.iter()
            .map(|row| {
                let mut best = 0;
                for (column, value) in row.iter().enumerate() {
                    if *value > row[best] {
                        best = column;
                    }
                }
                best
            })
            .collect()
    }
}

/// Refuses the first row with a NaN or an infinity.
pub(crate) fn check_finite(features: &RowMatrix) -> Result<(), EvalError> {
    let bad = features
        .iter()
        .position(|row| row.iter().any(|value| !value.is_finite()));
    bad.map_or(Ok(()), |row| Err(EvalError::NotFinite { row }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The rows of `generated` in `tests/reference/metrics.py`.
    pub(crate) fn generated(rows: usize, columns: usize) -> RowMatrix {
        let hash = |row: usize, column: usize| {
            let mut h = (row as u32).wrapping_mul(2_654_435_761);
            h = h.wrapping_add((column as u32).wrapping_mul(40_503).wrapping_add(97));
            h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
            h = (h ^ (h >> 13)).wrapping_mul(3_266_489_917);
            ((h ^ (h >> 16)) >> 16) as f32 / 65_536.0
        };
        let places = (0..rows).flat_map(|r| (0..columns).map(move |c| (r + 5_000, c)));
        let values = places.map(|(r, c)| hash(r, c) * 0.75 + 0.125 + (c % 3) as f32 * 0.0625);
        RowMatrix::new(columns, values.collect()).unwrap()
    }

    #[test]
    fn rows_are_cut_selected_and_ranked() {
        let matrix = RowMatrix::new(3, vec![0.0, 2.0, 1.0, 5.0, 5.0, 4.0]).unwrap();
        assert_eq!((matrix.rows(), matrix.columns()), (2, 3));
        assert_eq!(matrix.argmax(), [1, 0]);
        assert_eq!(
            matrix.select(&[1, 0]).values(),
            [5.0, 5.0, 4.0, 0.0, 2.0, 1.0]
        );
        assert_eq!(matrix.select(&[7, usize::MAX]).rows(), 0);
    }

    #[test]
    fn an_incomplete_row_is_refused() {
        assert!(RowMatrix::new(3, vec![0.0; 4]).is_err());
        assert!(RowMatrix::new(0, vec![]).is_err());
    }

    #[test]
    fn the_nearest_row_is_the_first_at_the_smallest_distance() {
        let rows = |values: &[f32]| RowMatrix::new(2, values.to_vec()).unwrap();
        let others = rows(&[0.0, 0.0, 3.0, 4.0, 3.0, 4.0]);
        let found = rows(&[1.0, 1.0, 2.0, 2.5, 3.0, 4.0]).nearest(&others);
        assert_eq!(found, [Some(0), Some(1), Some(1)]);
        assert_eq!(others.nearest(&rows(&[])), [None; 3]);
        assert_eq!(
            others.nearest(&RowMatrix::new(3, vec![0.0; 3]).unwrap()),
            [None; 3]
        );
    }
}
