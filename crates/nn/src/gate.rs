//! The class gate: which tailors each sample of a batch switches on, and how strongly.

use crate::error::{Error, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Per sample, the sparse list of (group, weight) that switches tailors on. Has no parameters; shared by all layers.
///
/// An empty list is the class-agnostic model: the learngene alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassGate {
    samples: Vec<Vec<(usize, f32)>>,
}

impl ClassGate {
    /// Any list per sample. Entries of weight zero are dropped.
    pub fn new(samples: Vec<Vec<(usize, f32)>>) -> Self {
        let kept = |list: Vec<(usize, f32)>| list.into_iter().filter(|e| e.1 != 0.0).collect();
        Self {
            samples: samples.into_iter().map(kept).collect(),
        }
    }

    /// One group at full weight per sample; `None` (the null label) switches nothing on.
    pub fn one_hot(groups: impl IntoIterator<Item = Option<usize>>) -> Self {
        let list = |g: Option<usize>| g.map(|g| (g, 1.0)).into_iter().collect();
        Self {
            samples: groups.into_iter().map(list).collect(),
        }
    }

    /// No tailor for any of `batch` samples.
    pub fn closed(batch: usize) -> Self {
        Self {
            samples: vec![Vec::new(); batch],
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether the gate is for no samples at all.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The groups that any sample switches on, ascending and without repeats.
    pub fn used_groups(&self) -> Vec<usize> {
        let mut used: Vec<usize> = self.samples.iter().flatten().map(|e| e.0).collect();
        used.sort_unstable();
        used.dedup();
        used
    }
}

/// A gate made ready for a batch: consecutive samples with equal lists are folded into runs of equal length, so that
/// the tailors of a run are one matrix product over all its tokens. Its cost follows the active rank, never the stored.
#[derive(Clone, Debug)]
pub struct GatePlan {
    /// Samples of the batch.
    pub(crate) batch: usize,
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
    /// Lays out a gate for a model with that many groups.
    pub fn new(gate: &ClassGate, groups: usize, device: &Device) -> Result<Self> {
        if let Some(&group) = gate.used_groups().last().filter(|&&g| g >= groups) {
            return Err(Error::Input {
                what: "class gate",
                expected: format!("groups below {groups}"),
                found: format!("group {group}"),
            });
        }
        let lists = &gate.samples;
        let batch = lists.len();
        let occupied = lists
            .iter()
            .rposition(|l| !l.is_empty())
            .map_or(0, |i| i + 1);
        let mut gated = occupied;
        let mut run_len = run_length(&lists[..gated]);
        let empty = batch - occupied;
        if empty as f64 <= EMPTY_SHARE_COMPUTED * batch as f64 && run_length(lists) == run_len {
            (gated, run_len) = (batch, run_length(lists));
        }
        let runs = if gated == 0 { 0 } else { gated / run_len };
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
        Ok(Self {
            batch,
            gated,
            runs,
            slots,
            groups: (runs > 0 && !in_order)
                .then(|| Tensor::from_data(TensorData::new(indices, [runs * slots]), device)),
            weights: (runs > 0 && weighted)
                .then(|| Tensor::from_data(TensorData::new(weights, [runs, slots]), device)),
        })
    }

    /// Whether no sample switches anything on.
    pub fn is_closed(&self) -> bool {
        self.runs == 0
    }
}

/// The greatest length such that every stretch of that many samples, from the start, has equal lists.
fn run_length(lists: &[Vec<(usize, f32)>]) -> usize {
    let mut divisor = lists.len();
    for i in 1..lists.len() {
        if lists[i] != lists[i - 1] {
            divisor = gcd(divisor, i);
        }
    }
    divisor
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(labels: &[Option<usize>], groups: usize) -> GatePlan {
        let gate = ClassGate::one_hot(labels.iter().copied());
        GatePlan::new(&gate, groups, &Device::flex()).unwrap()
    }

    #[test]
    fn a_stratified_batch_is_one_run_per_class() {
        let p = plan(&[Some(0), Some(0), Some(1), Some(1)], 2);
        assert_eq!((p.gated, p.runs, p.slots), (4, 2, 1));
        assert!(p.groups.is_none() && p.weights.is_none());
    }

    #[test]
    fn few_null_samples_become_a_run_of_weight_zero() {
        let labels: Vec<_> = (0..12).map(|i| (i < 9).then_some(i / 3)).collect();
        let p = plan(&labels, 3);
        assert_eq!((p.gated, p.runs), (12, 4));
        assert!(p.weights.is_some());
    }

    #[test]
    fn many_null_samples_are_left_out() {
        let p = plan(&[Some(1), Some(1), None, None], 3);
        assert_eq!((p.gated, p.runs), (2, 1));
    }

    #[test]
    fn a_mixed_batch_is_gathered_sample_by_sample() {
        let p = plan(&[Some(2), None, Some(0), Some(2), Some(1)], 3);
        assert_eq!((p.gated, p.runs, p.slots), (5, 5, 1));
    }

    #[test]
    fn a_closed_gate_and_an_unknown_group() {
        assert!(plan(&[None, None], 4).is_closed());
        let gate = ClassGate::one_hot([Some(4)]);
        assert!(GatePlan::new(&gate, 4, &Device::flex()).is_err());
    }
}
