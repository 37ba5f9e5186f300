//! Views: tensors whose values do not lie one after another in their storage.

/// Sides of a tensor, and by how many values of the storage a step along each of them goes on.
pub(super) struct Layout<'a> {
    pub shape: &'a [usize],
    pub strides: &'a [usize],
}

impl Layout<'_> {
    /// How many values the tensor has, and how many lie from its first to its last in the storage; `None` if sides and
    /// strides do not belong together or a number is too large.
    pub fn span(&self) -> Option<(usize, usize)> {
        if self.shape.len() != self.strides.len() {
            return None;
        }
        let values = self
            .shape
            .iter()
            .try_fold(1usize, |n, &side| n.checked_mul(side))?;
        if values == 0 {
            return Some((0, 0));
        }
        let last = self.sides().try_fold(0usize, |last, (side, stride)| {
            last.checked_add((side - 1).checked_mul(stride)?)
        })?;
        Some((values, last.checked_add(1)?))
    }

    /// The values in row-major order, of those from the first to the last in the order of the storage.
    pub fn in_order(&self, stored: Vec<f32>) -> Vec<f32> {
        if self.is_contiguous() || stored.is_empty() {
            return stored;
        }
        let mut places = vec![0usize];
        for (side, stride) in self.sides() {
            let steps = (0..side).map(|step| step * stride);
            places = places
                .iter()
                .flat_map(|place| steps.clone().map(move |step| place + step))
                .collect();
        }
        places.into_iter().map(|place| stored[place]).collect()
    }

    fn sides(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let strides = self.strides.iter().copied();
        self.shape.iter().copied().zip(strides)
    }

    /// Whether values lie one after another; the stride along a side of 1 does not matter.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        self.sides().rev().all(|(side, stride)| {
            let good = side <= 1 || stride == expected;
            expected = expected.saturating_mul(side.max(1));
            good
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As torch.arange(12.0).as_strided(shape, strides).flatten() orders them.
    #[test]
    fn views_are_put_in_order() {
        for (shape, strides, span, expected) in [
            (&[2, 3][..], &[3, 1][..], 6, &[0., 1., 2., 3., 4., 5.][..]),
            (&[3, 2], &[1, 3], 6, &[0., 3., 1., 4., 2., 5.]),
            (&[2, 2], &[1, 1], 3, &[0., 1., 1., 2.]),
            (&[2, 1, 2], &[6, 99, 2], 9, &[0., 2., 6., 8.]),
            (&[3], &[0], 1, &[0., 0., 0.]),
            (&[], &[], 1, &[0.]),
        ] {
            let layout = Layout { shape, strides };
            assert_eq!(layout.span(), Some((expected.len(), span)));
            let stored = (0..span).map(|value| value as f32).collect();
            assert_eq!(layout.in_order(stored), expected);
        }
    }

    #[test]
    fn what_is_no_layout_has_no_span() {
        for (shape, strides) in [
            (&[2, 3][..], &[1][..]),
            (&[usize::MAX, 2], &[1, 1]),
            (&[3], &[usize::MAX]),
            (&[2, 2], &[usize::MAX - 1, 2]),
        ] {
            assert_eq!(Layout { shape, strides }.span(), None, "{shape:?}");
        }
        let none = Layout {
            shape: &[0, 4],
            strides: &[usize::MAX, 7],
        };
        assert_eq!(none.span(), Some((0, 0)));
    }
}
