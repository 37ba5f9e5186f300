//! Superclasses: classes that share tailors besides the one each has for itself.

use crate::{
    config::{DitConfig, Sharing},
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::Range;

/// A superclass. Its tailors are on for every sample of its classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superclass {
    /// What it is called.
    pub name: String,
    /// Numbers of its classes.
    pub classes: Vec<usize>,
    /// How many tailors it has: all are of one rank, so this is its rank over theirs.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub tailors: NonZeroUsize,
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn is_one(count: &NonZeroUsize) -> bool {
    *count == NonZeroUsize::MIN
}

impl Superclass {
    /// One with a single tailor.
    pub fn new(name: impl Into<String>, classes: impl Into<Vec<usize>>) -> Self {
        Self {
            name: name.into(),
            classes: classes.into(),
            tailors: NonZeroUsize::MIN,
        }
    }
}

impl DitConfig {
    /// The same model with the tailors, of the rank of the others, of each superclass besides. Groups are the classes, then
    /// the superclasses.
    ///
    /// # Errors
    /// A model without tailors of classes, a class that is not there or in two superclasses, a superclass without classes.
    pub fn with_superclasses(mut self, superclasses: Vec<Superclass>) -> Result<Self> {
        self.superclasses = superclasses;
        self.groups = self.expected_groups();
        self.validate()?;
        Ok(self)
    }

    /// The groups that a class switches on besides its own: those of its superclass, or none.
    pub fn groups_shared_by(&self, class: usize) -> Range<usize> {
        let mut all = self.superclasses.iter();
        let superclass = all.position(|s| s.classes.contains(&class));
        superclass.map_or(0..0, |s| self.groups_of_superclass(s))
    }

    /// The groups of a superclass.
    pub fn groups_of_superclass(&self, superclass: usize) -> Range<usize> {
        // The last ones: a blend adds a class, and no tailor.
        let end = self.groups - tailors(&self.superclasses[superclass + 1..]);
        end - self.superclasses[superclass].tailors.get()..end
    }

    /// The most tailors that a sample of one class switches on.
    pub fn switched_on(&self) -> usize {
        let shared = self.superclasses.iter().map(|s| s.tailors.get()).max();
        match self.tailor_rank {
            0 => 0,
            _ => 1_usize.saturating_add(shared.unwrap_or(0)),
        }
    }
}

/// Tailors of those superclasses together.
pub(crate) fn tailors(superclasses: &[Superclass]) -> usize {
    let each = superclasses.iter().map(|s| s.tailors.get());
    each.fold(0, usize::saturating_add)
}

/// Refuses superclasses that are none.
pub(crate) fn validate(config: &DitConfig) -> Result<()> {
    let fail = |found: String, expected: &str| {
        Err(Error::Config {
            field: "superclasses",
            found,
            expected: expected.into(),
        })
    };
    let count = config.superclasses.len();
    if count > 0 && (config.tailor_rank == 0 || config.sharing != Sharing::Class) {
        let found = format!("{count} for a model without tailors of classes");
        return fail(found, "none, or a tailor for each class");
    }
    let mut taken = BTreeSet::new();
    for superclass in &config.superclasses {
        let name = &superclass.name;
        if superclass.classes.is_empty() {
            return fail(format!("`{name}` without classes"), "at least one class");
        }
        for &class in &superclass.classes {
            if class >= config.num_classes {
                let found = format!("`{name}` of class {class}");
                return fail(found, &format!("classes below {}", config.num_classes));
            }
            if !taken.insert(class) {
                let found = format!("class {class} twice, the second time in `{name}`");
                return fail(found, "each class once");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Superclass as S, *};
    use crate::{Blend, ClassGate, Dit, FactorInit, Form, params};
    use burn::tensor::Device;

    fn config() -> DitConfig {
        let dense = DitConfig::from_size("dit-micro/4", [3, 16, 16], 4).unwrap();
        dense.with_rank_split("80,8".parse().unwrap()).unwrap()
    }

    #[test]
    fn groups_are_classes_then_superclasses() {
        let tree = vec![S::new("x", [0, 2]), S::new("y", [1])];
        let config = config().with_superclasses(tree).unwrap();
        assert_eq!((config.groups, config.switched_on()), (6, 2));
        let groups = |class| config.groups_shared_by(class);
        assert_eq!([0, 1, 2, 3].map(groups), [4..5, 5..6, 4..5, 0..0]);
        // 80 + 2 * 8 is all there is; so it is in a file, and in a tree that is none no group is left.
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<DitConfig>(&text).unwrap(), config);
        let without = config.with_superclasses(Vec::new()).unwrap();
        assert_eq!((without.groups, without.switched_on()), (4, 1));
        assert!(!serde_json::to_string(&without).unwrap().contains("super"));
    }

    /// 80 + (1 + 1) * 8 is all there is, 64 + (1 + 3) * 8 as well.
    #[test]
    fn a_superclass_of_several_tailors_has_all_of_them_on() {
        let of_three = |config: DitConfig| {
            let tailors = NonZeroUsize::new(3).unwrap();
            let wide = S {
                tailors,
                ..S::new("x", [0, 2])
            };
            config.with_superclasses(vec![wide, S::new("y", [1])])
        };
        let text = of_three(config()).unwrap_err().to_string();
        assert!(text.contains("active rank 112"), "{text}");
        let narrow = config().with_rank_split("64,8".parse().unwrap()).unwrap();
        let config = of_three(narrow).unwrap();
        assert_eq!((config.groups, config.switched_on()), (8, 4));
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<DitConfig>(&text).unwrap(), config);
        let model = Dit::init(&config, FactorInit::ZeroStart, 0, &Device::flex()).unwrap();
        let gate = ClassGate::new(vec![vec![(0, 1.0)], vec![(1, 0.5), (2, 0.5)]]);
        let expected = vec![
            vec![(0, 1.0), (4, 1.0), (5, 1.0), (6, 1.0)],
            vec![(1, 0.5), (2, 0.5), (7, 0.5), (4, 0.5), (5, 0.5), (6, 0.5)],
        ];
        assert_eq!(
            model.fit_gate(gate.clone()),
            ClassGate::new(expected.clone())
        );
        // A blend is a class more, without a tailor of its own.
        let blend = Blend::new(vec![(1, 0.5), (2, 0.5)]).unwrap();
        let (blended, _) = model.with_blends(&[blend]).unwrap();
        assert_eq!(blended.fit_gate(gate), ClassGate::new(expected));
    }

    #[test]
    fn a_sample_switches_on_its_class_and_its_superclass() {
        let tree = vec![S::new("x", [0, 2]), S::new("y", [1])];
        let config = config().with_superclasses(tree).unwrap();
        let model = Dit::init(&config, FactorInit::ZeroStart, 0, &Device::flex()).unwrap();
        let gate = ClassGate::one_hot([Some(2), None, Some(1), Some(3)]);
        let expected = vec![
            vec![(2, 1.0), (4, 1.0)],
            vec![],
            vec![(1, 1.0), (5, 1.0)],
            vec![(3, 1.0)],
        ];
        assert_eq!(model.fit_gate(gate), ClassGate::new(expected));
        let blend = ClassGate::new(vec![vec![(0, 0.5), (2, 0.25)]]);
        let expected = vec![vec![(0, 0.5), (2, 0.25), (4, 0.75)]];
        assert_eq!(model.fit_gate(blend), ClassGate::new(expected));
    }

    /// Those of one class, its superclass and the learngene together: what a dense layer starts with, on average.
    #[test]
    fn an_active_weight_starts_with_the_energy_of_a_dense_one() {
        let tree = vec![S::new("x", [0, 2])];
        let dense = DitConfig::from_size("dit-micro/4", [3, 16, 16], 4).unwrap();
        let flat = dense.with_rank_split("32,16".parse().unwrap()).unwrap();
        let config = flat.with_superclasses(tree).unwrap();
        let model = Dit::init(&config, FactorInit::Orthogonal, 7, &Device::flex()).unwrap();
        let merged = model.specialise(&[(2, 1.0), (4, 1.0)], Some(Form::Merged));
        let values = params::values(&merged.unwrap());
        let weights = values.iter().filter(|(name, _)| {
            name.contains(".mlp.") && name.ends_with("weight") && !name.contains("modulation")
        });
        for (name, weight) in weights {
            let energy: f32 = weight.values.iter().map(|w| w * w).sum();
            let (m, n) = (weight.shape[0] as f32, weight.shape[1] as f32);
            let ratio = energy / (2.0 * m * n / (m + n));
            // Two tailors of one matrix are not orthogonal to each other.
            assert!((ratio - 1.0).abs() < 0.15, "{name}: {ratio}");
        }
    }

    #[test]
    fn trees_that_fit_no_model_are_refused() {
        let refused = |config: DitConfig, tree: &[(&str, &[usize])]| {
            let tree = tree.iter().map(|&(name, c)| S::new(name, c)).collect();
            config.with_superclasses(tree).unwrap_err().to_string()
        };
        let many = DitConfig {
            num_classes: usize::MAX,
            ..config()
        };
        assert!(many.validate().unwrap_err().to_string().contains("groups"));
        let (dense, narrow) = (config().with_tailors(0).unwrap(), config());
        let narrow = narrow.with_rank_split("81,8".parse().unwrap()).unwrap();
        for (text, part) in [
            (refused(config(), &[("x", &[0, 4])]), "classes below 4"),
            (
                refused(config(), &[("x", &[0]), ("y", &[1, 0])]),
                "class 0 twice, the second time in `y`",
            ),
            (refused(config(), &[("x", &[])]), "`x` without classes"),
            (refused(dense, &[("x", &[0])]), "without tailors of classes"),
            (refused(narrow, &[("x", &[0])]), "active rank 97"),
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }
}
