//! Which checkpoints stay once a new one is complete.

/// How many checkpoints are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest this many. The one just saved always stays, so 0 means 1.
    pub last: usize,
    /// Besides them, the one with the lowest metric (of equal ones the newest).
    pub best: bool,
}

impl Retention {
    /// The steps to remove from `all` (pairs of step and metric) after `saved` was saved.
    ///
    /// Steps after `saved` are left alone: they stem from a time before the run was taken back to an earlier step,
    /// and are replaced one by one when training gets there again.
    pub(crate) fn superseded(self, saved: u64, all: &[(u64, Option<f64>)]) -> Vec<u64> {
        let mut past: Vec<_> = all.iter().filter(|(step, _)| *step <= saved).collect();
        past.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
        let best = self
            .best
            .then(|| best_first(&past))
            .and_then(|order| order.first().copied());
        past.into_iter()
            .skip(self.last.max(1))
            .map(|(step, _)| *step)
            .filter(|step| Some(*step) != best && *step != saved)
            .collect()
    }
}

/// Steps that have a metric, from the lowest metric up, of equal ones the newest first.
pub(crate) fn best_first(all: &[&(u64, Option<f64>)]) -> Vec<u64> {
    let mut measured: Vec<(u64, f64)> = all
        .iter()
        .filter_map(|(step, metric)| Some((*step, (*metric)?)))
        .collect();
    measured.sort_by(|(step, metric), (other_step, other)| {
        metric.total_cmp(other).then(other_step.cmp(step))
    });
    measured.into_iter().map(|(step, _)| step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(u64, Option<f64>); 5] = [
        (10, Some(0.9)),
        (20, Some(0.2)),
        (30, None),
        (40, Some(0.2)),
        (50, Some(0.5)),
    ];

    #[test]
    fn the_newest_and_the_newest_of_the_best_stay() {
        let keep = |last, best| Retention { last, best }.superseded(50, &ALL);
        assert_eq!(keep(2, false), [30, 20, 10]);
        assert_eq!(keep(1, true), [30, 20, 10], "40 is as good as 20 and newer");
        assert_eq!(keep(3, true), [20, 10]);
        assert_eq!(
            keep(0, false),
            [40, 30, 20, 10],
            "what was just saved stays"
        );
        assert_eq!(keep(9, true), [0u64; 0]);
    }

    #[test]
    fn a_run_taken_back_to_an_earlier_step_does_not_lose_its_new_checkpoint() {
        let retention = Retention {
            last: 1,
            best: false,
        };
        assert_eq!(retention.superseded(30, &ALL), [20, 10]);
    }
}
