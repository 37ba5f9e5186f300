//! The validations of a run so far: which was the best, and whether it is time to stop.

/// Validations of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Course {
    best: Option<f64>,
    /// Validations since the best.
    since: u64,
}

impl Course {
    /// After validations with those v losses.
    pub fn after(losses: impl IntoIterator<Item = f64>) -> Self {
        let mut course = Self::default();
        for loss in losses {
            course.add(loss);
        }
        course
    }

    /// One more validation; whether it is better than all before. A loss that is no number never is.
    pub fn add(&mut self, loss: f64) -> bool {
        let better = loss.is_finite() && self.best.is_none_or(|best| loss < best);
        match better {
            true => (self.best, self.since) = (Some(loss), 0),
            false => self.since += 1,
        }
        better
    }

    /// Whether so many validations in a row were no better than the best before them.
    pub fn is_exhausted(&self, patience: Option<u64>) -> bool {
        patience.is_some_and(|patience| self.since >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_with_as_many_validations_that_are_no_better_than_the_best() {
        let mut course = Course::after([0.5, 0.3, 0.3]);
        assert!(!course.is_exhausted(None) && !course.is_exhausted(Some(2)));
        assert!(course.is_exhausted(Some(1)), "as good is no better");
        assert!(!course.add(f64::NAN));
        assert!(course.is_exhausted(Some(2)));
        assert!(course.add(0.2) && !course.is_exhausted(Some(1)));
    }
}
