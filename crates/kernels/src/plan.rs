//! A class gate laid out for a batch.

use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Consecutive samples that switch on the same groups.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) samples: usize,
    /// (group, weight).
    pub(crate) list: Vec<(usize, f32)>,
}

/// A gate made ready for a batch: consecutive samples with equal lists are folded into runs, so that the tailors of a
/// run are one matrix product over all its tokens. Its cost follows the active rank, never the stored.
#[derive(Clone, Debug)]
pub struct GatePlan {
    pub(crate) batch: usize,
    /// Groups of the model it was made for.
    pub(crate) groups: usize,
    pub(crate) runs: Arc<[Run]>,
    /// For the composition, which every layer of a forward pass runs with the same plan.
    folded: Arc<OnceLock<Option<Folded>>>,
}

/// Runs of equal length, the form a batched product takes.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    /// Leading samples the tailors run on; those behind them have empty lists.
    pub(crate) gated: usize,
    /// Number of runs among the gated samples.
    pub(crate) runs: usize,
    /// Lists of a run, padded with weight zero to `slots`.
    pub(crate) slots: usize,
    /// `[runs * slots]` groups; absent when run `i` is exactly group `i` of all groups, which needs no gathering.
    pub(crate) groups: Option<Tensor<1, Int>>,
    /// `[runs, slots]` weights; absent when all are one.
    pub(crate) weights: Option<Tensor<2>>,
}

/// Empty samples at the end of a batch are computed with weight zero instead of being cut off when they are at most
/// this share of it: cutting costs a copy of every activation, computing costs their share of the tailors' work.
const EMPTY_SHARE_COMPUTED: f64 = 0.25;

impl GatePlan {
    /// Lays out one list of (group, weight) per sample for a model with that many groups.
    ///
    /// # Panics
    /// If a list names a group that does not exist.
    pub fn new(lists: &[Vec<(usize, f32)>], groups: usize) -> Self {
        assert!(
            lists.iter().flatten().all(|e| e.0 < groups),
            "every group is below {groups}"
        );
        let mut runs: Vec<Run> = Vec::new();
        for list in lists {
            match runs.last_mut().filter(|run| run.list == *list) {
                Some(run) => run.samples += 1,
                None => runs.push(Run {
                    samples: 1,
                    list: list.clone(),
                }),
            }
        }
        Self {
            batch: lists.len(),
            groups,
            runs: runs.into(),
            folded: Arc::default(),
        }
    }

    /// Nothing switched on, for a batch of that size.
    pub fn closed(batch: usize) -> Self {
        let run = Run {
            samples: batch,
            list: Vec::new(),
        };
        Self {
            batch,
            groups: 0,
            runs: [run].into(),
            folded: Arc::default(),
        }
    }

    /// Runs of equal length on that device, laid out at the first call; nothing when no sample switches anything on.
    pub(crate) fn folded(&self, device: &Device) -> Option<&Folded> {
        self.folded
            .get_or_init(|| Folded::new(self, device))
            .as_ref()
    }

    /// Entries of the longest list.
    pub(crate) fn longest(&self) -> usize {
        let lengths = self.runs.iter().map(|run| run.list.len());
        lengths.max().unwrap_or(0)
    }

    /// Whether no sample switches anything on.
    pub fn is_closed(&self) -> bool {
        self.runs.iter().all(|run| run.list.is_empty())
    }
}

impl Folded {
    fn new(plan: &GatePlan, device: &Device) -> Option<Self> {
        let (batch, groups) = (plan.batch, plan.groups);
        let of_run = |run: &Run| std::iter::repeat_n(run.list.clone(), run.samples);
        let lists: Vec<_> = plan.runs.iter().flat_map(of_run).collect();
        let lists = lists.as_slice();
        let occupied = lists.iter().rposition(|l| !l.is_empty())? + 1;
        let mut gated = occupied;
        let mut run_len = run_length(&lists[..gated]);
        let empty = batch - occupied;
        if empty as f64 <= EMPTY_SHARE_COMPUTED * batch as f64 && run_length(lists) == run_len {
            (gated, run_len) = (batch, run_length(lists));
        }
        let runs = gated / run_len;
        let of_run = |run: usize| &lists[run * run_len];
        let slots = (0..runs).map(|r| of_run(r).len()).max().unwrap_or(0);
        let in_order = runs == groups
            && slots == 1
            && (0..runs).all(|r| of_run(r).first().is_some_and(|e| e.0 == r));
        let entry = |i: usize| {
            of_run(i / slots)
                .get(i % slots)
                .copied()
                .unwrap_or((0, 0.0))
        };
        let entries: Vec<(usize, f32)> = (0..runs * slots).map(entry).collect();
        let weighted = entries.iter().any(|e| e.1 != 1.0);
        let indices: Vec<i64> = entries.iter().map(|e| e.0 as i64).collect();
        let weights: Vec<f32> = entries.iter().map(|e| e.1).collect();
        Some(Self {
            gated,
            runs,
            slots,
            groups: (!in_order)
                .then(|| Tensor::from_data(TensorData::new(indices, [runs * slots]), device)),
            weights: weighted
                .then(|| Tensor::from_data(TensorData::new(weights, [runs, slots]), device)),
        })
    }
}

/// The greatest length such that every stretch of that many samples, from the start, has equal lists.
fn run_length(lists: &[Vec<(usize, f32)>]) -> usize {
    let changes = (1..lists.len()).filter(|&i| lists[i] != lists[i - 1]);
    changes.fold(lists.len(), gcd)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(labels: &[Option<usize>], groups: usize) -> GatePlan {
        let list = |l: &Option<usize>| l.map(|g| (g, 1.0)).into_iter().collect();
        let lists: Vec<Vec<_>> = labels.iter().map(list).collect();
        GatePlan::new(&lists, groups)
    }

    fn folded(labels: &[Option<usize>], groups: usize) -> Folded {
        Folded::new(&plan(labels, groups), &Device::flex()).unwrap()
    }

    #[test]
    fn a_stratified_batch_is_one_run_per_class() {
        let f = folded(&[Some(0), Some(0), Some(1), Some(1)], 2);
        assert_eq!((f.gated, f.runs, f.slots), (4, 2, 1));
        assert!(f.groups.is_none() && f.weights.is_none());
        let p = plan(&[Some(1), Some(1), Some(0), None, None], 2);
        let runs: Vec<_> = p.runs.iter().map(|r| (r.samples, r.list.len())).collect();
        assert_eq!(runs, [(2, 1), (1, 1), (2, 0)]);
    }

    #[test]
    fn few_null_samples_become_a_run_of_weight_zero() {
        let labels: Vec<_> = (0..12).map(|i| (i < 9).then_some(i / 3)).collect();
        let f = folded(&labels, 3);
        assert_eq!((f.gated, f.runs), (12, 4));
        assert!(f.weights.is_some());
    }

    #[test]
    fn many_null_samples_are_left_out() {
        let f = folded(&[Some(1), Some(1), None, None], 3);
        assert_eq!((f.gated, f.runs), (2, 1));
    }

    #[test]
    fn a_mixed_batch_is_gathered_sample_by_sample() {
        let f = folded(&[Some(2), None, Some(0), Some(2), Some(1)], 3);
        assert_eq!((f.gated, f.runs, f.slots), (5, 5, 1));
    }

    #[test]
    fn a_gate_without_entries_is_closed() {
        assert!(plan(&[None, None], 4).is_closed());
        assert!(plan(&[], 4).is_closed());
    }
}
