//! The class gate: which tailors each sample of a batch switches on, and how strongly.

use crate::error::{Error, Result};
use learngene_kernels::GatePlan;
use std::ops::Range;

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

    /// Group 0 at full weight for every sample that switches any group on.
    pub fn shared(&self) -> Self {
        Self::one_hot(
            self.samples
                .iter()
                .map(|list| (!list.is_empty()).then_some(0)),
        )
    }

    /// With the groups besides that `shared` names for a class. What the classes of a sample give to a group that they
    /// share adds up.
    pub fn with_superclasses(&self, shared: impl Fn(usize) -> Range<usize>) -> Self {
        let extended = |list: &Vec<(usize, f32)>| {
            let mut all = list.clone();
            for &(class, weight) in list {
                for group in shared(class) {
                    match all.iter_mut().find(|entry| entry.0 == group) {
                        Some(entry) => entry.1 += weight,
                        None => all.push((group, weight)),
                    }
                }
            }
            all
        };
        Self {
            samples: self.samples.iter().map(extended).collect(),
        }
    }

    /// No tailor for any of `batch` samples.
    pub fn closed(batch: usize) -> Self {
        Self {
            samples: vec![Vec::new(); batch],
        }
    }

    /// The gate laid out for a model with that many groups.
    ///
    /// # Errors
    /// A group that the model does not have.
    pub fn plan(&self, groups: usize) -> Result<GatePlan> {
        if let Some(&group) = self.used_groups().last().filter(|&&g| g >= groups) {
            return Err(Error::Input {
                what: "class gate",
                expected: format!("groups below {groups}"),
                found: format!("group {group}"),
            });
        }
        Ok(GatePlan::new(&self.samples, groups))
    }

    /// The same gate on a model that has `groups` only, in that order ([`crate::Dit::of_groups`]).
    ///
    /// # Errors
    /// A group that is not among them.
    pub fn among(&self, groups: &[usize]) -> Result<Self> {
        let place = |&(group, weight): &(usize, f32)| {
            let at = groups.iter().position(|&g| g == group);
            at.map(|at| (at, weight)).ok_or_else(|| Error::Input {
                what: "class gate",
                expected: format!("groups among {groups:?}"),
                found: format!("group {group}"),
            })
        };
        let list = |list: &Vec<_>| list.iter().map(place).collect::<Result<_>>();
        Ok(Self {
            samples: self.samples.iter().map(list).collect::<Result<_>>()?,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_and_an_unknown_group() {
        assert!(ClassGate::closed(2).plan(4).unwrap().is_closed());
        assert!(ClassGate::one_hot([Some(4)]).plan(4).is_err());
    }

    #[test]
    fn groups_are_counted_anew_among_some() {
        let gate = ClassGate::new(vec![vec![(5, 1.0), (2, 0.5)], vec![], vec![(2, 1.0)]]);
        let among = gate.among(&[2, 5]).unwrap();
        assert_eq!(
            among.samples,
            [vec![(1, 1.0), (0, 0.5)], vec![], vec![(0, 1.0)]]
        );
        let error = gate.among(&[5]).unwrap_err().to_string();
        assert!(error.contains("group 2"), "{error}");
    }

    #[test]
    fn a_superclass_is_on_as_much_as_its_classes_together() {
        let gate = ClassGate::new(vec![
            vec![(0, 0.5), (2, 0.25)],
            vec![(1, 1.0), (2, 0.5)],
            vec![],
        ]);
        let all = gate.with_superclasses(|class| [4..5, 0..0, 4..5][class].clone());
        let expected = [
            vec![(0, 0.5), (2, 0.25), (4, 0.75)],
            vec![(1, 1.0), (2, 0.5), (4, 0.5)],
            vec![],
        ];
        assert_eq!(all.samples, expected);
    }

    #[test]
    fn used_groups_are_listed_once_and_weight_zero_is_none() {
        let gate = ClassGate::new(vec![
            vec![(2, 1.0), (0, 0.5)],
            vec![(1, 0.0)],
            vec![(2, 1.0)],
        ]);
        assert_eq!(gate.used_groups(), [0, 2]);
    }
}
