//! A model for a few classes, without training: rows of tensors are chosen, none is changed.

use crate::energy::{Factors, strongest};
use crate::error::{Error, Result};
use crate::tailor_set::TailorSet;
use learngene_nn::{
    Basis, Dit, Sharing, Superclass,
    params::{self, Part, Values},
};
use learngene_train::{RunConfig, weights::Parameters};
use std::collections::BTreeMap;

/// The model for `classes`, in that order, and its configuration. With `components`, the learngene keeps only so many
/// components of every matrix: the first, if they were trained to be cut ([`learngene_train::TrainConfig::thin_learngene`]),
/// else those of most energy.
///
/// The images of the kept classes do not change by a bit as long as the learngene is kept whole. Classes take the tailor
/// of their superclass along.
///
/// # Errors
/// A class the model does not have or that is named twice, no class at all, more components than there are.
pub fn assemble(
    config: &RunConfig,
    model: &Dit,
    classes: &[String],
    components: Option<usize>,
) -> Result<(RunConfig, Dit)> {
    assemble_with(config, model, &[], classes, components)
}

/// As [`assemble`], with tailors that were trained on the same learngene besides the model's own.
///
/// # Errors
/// Also tailors of another learngene or of different ranks, and a class that is in two places.
pub fn assemble_with(
    config: &RunConfig,
    model: &Dit,
    tailors: &[TailorSet],
    classes: &[String],
    components: Option<usize>,
) -> Result<(RunConfig, Dit)> {
    if config.model.sharing != Sharing::Class {
        return Err(Error::Request {
            what: "model",
            found: "one whose classes share a tailor".into(),
            expected: "tailors of classes or none; `learngene merge` makes it an ordinary model"
                .into(),
        });
    }
    let own = TailorSet::of(config, model, "the model");
    for set in tailors {
        set.require_same_learngene(&own)?;
    }
    let sets: Vec<&TailorSet> = [&own].into_iter().chain(tailors).collect();
    let chosen = choose(&sets, classes)?;
    let kept = keep(config, components)?;

    let shared = superclasses(&chosen);
    let joined = shape(config, &chosen, kept)?;
    // Tailors come from the sets.
    let mut values = params::values_of(model, |name| Part::of(name) != Part::Tailors);
    let strong = strong(config, &values, kept);
    for (name, shape) in params::layout(&joined.model) {
        let rows = || chosen.iter().flat_map(|c| c.set.rows(&name, c.number));
        match (Part::of(&name), values.get_mut(&name), kept) {
            (Part::Tailors, _, _) => {
                let shared = shared.iter().flat_map(|s| s.rows(&name));
                let values_of = Values {
                    shape,
                    values: rows().chain(shared).copied().collect(),
                };
                values.insert(name.clone(), values_of);
            }
            (Part::Labels, Some(table), _) => {
                let null = table.values.len() - joined.model.hidden;
                table.values = rows().chain(&table.values[null..]).copied().collect();
                table.shape = shape;
            }
            (Part::Learngene, Some(components), Some(_)) => {
                let matrix = name.rsplit_once('.').map_or("", |(matrix, _)| matrix);
                let length: usize = shape[1..].iter().product();
                let row = |&i: &usize| &components.values[i * length..][..length];
                let rows = strong.get(matrix).into_iter().flatten().flat_map(row);
                components.values = rows.copied().collect();
                components.shape = shape;
            }
            _ => {}
        }
    }
    let made = Dit::of(&joined.model, values, &model.device())?;
    Ok((joined, made))
}

/// The configuration of an assembly: those classes with their superclasses, that many components.
pub(crate) fn shape(
    config: &RunConfig,
    chosen: &[Choice<'_>],
    components: Option<usize>,
) -> Result<RunConfig> {
    let rank = common_rank(chosen)?;
    let shared = superclasses(chosen);
    let mut joined = config.clone();
    joined.classes = chosen.iter().map(|c| c.class.to_owned()).collect();
    let model = &mut joined.model;
    model.num_classes = chosen.len();
    if let Some(learngene) = components {
        model.basis = Basis::Factorised { learngene };
    }
    model.superclasses = Vec::new();
    let flat = model.clone().with_tailors(rank)?;
    *model = flat.with_superclasses(shared.iter().map(Shared::described).collect())?;
    Ok(joined)
}

/// Which components of each matrix's learngene stay, by the name of the matrix's learngene.
fn strong(
    config: &RunConfig,
    values: &Parameters,
    components: Option<usize>,
) -> BTreeMap<String, Vec<usize>> {
    let Some(count) = components else {
        return BTreeMap::new();
    };
    let prefixes = values.keys().filter_map(|name| name.strip_suffix(".s"));
    let learngenes = prefixes.filter(|prefix| prefix.ends_with(".learngene"));
    let chosen = learngenes.filter_map(|prefix| {
        let kept = match is_ordered(config) {
            true => (0..count).collect(),
            false => strongest(&Factors::at(values, prefix)?.energies(), count),
        };
        Some((prefix.to_owned(), kept))
    });
    chosen.collect()
}

/// Whether components were trained to be left out from the last on.
pub(crate) fn is_ordered(config: &RunConfig) -> bool {
    config.train.thin_learngene > 0.0
}

/// A class and where its tailor is.
pub(crate) struct Choice<'a> {
    class: &'a str,
    set: &'a TailorSet,
    number: usize,
}

/// A superclass of chosen classes.
struct Shared<'a> {
    set: &'a TailorSet,
    number: usize,
    /// Places of its classes among the chosen.
    classes: Vec<usize>,
}

impl<'a> Shared<'a> {
    fn rows(&self, parameter: &str) -> &'a [f32] {
        self.set.superclass_rows(parameter, self.number)
    }

    fn described(&self) -> Superclass {
        Superclass {
            classes: self.classes.clone(),
            ..self.set.superclasses()[self.number].clone()
        }
    }
}

/// The superclasses that the chosen classes take along. Those of different origin stay apart, whatever they are called:
/// their tailors were trained apart.
fn superclasses<'a>(chosen: &[Choice<'a>]) -> Vec<Shared<'a>> {
    let mut found: Vec<Shared<'a>> = Vec::new();
    for (place, choice) in chosen.iter().enumerate() {
        let set = choice.set;
        let of_it = |s: &Superclass| s.classes.contains(&choice.number);
        let Some(number) = set.superclasses().iter().position(of_it) else {
            continue;
        };
        let same = |s: &&mut Shared<'_>| std::ptr::eq(s.set, set) && s.number == number;
        match found.iter_mut().find(same) {
            Some(shared) => shared.classes.push(place),
            None => found.push(Shared {
                set,
                number,
                classes: vec![place],
            }),
        }
    }
    found
}

/// Where the tailor of each class is.
pub(crate) fn choose<'a>(sets: &[&'a TailorSet], classes: &'a [String]) -> Result<Vec<Choice<'a>>> {
    let known = || sets.iter().flat_map(|set| set.classes());
    let listed = || known().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut chosen: Vec<Choice<'a>> = Vec::new();
    for class in classes {
        if chosen.iter().any(|c| c.class == class) {
            return Err(Error::Request {
                what: "classes",
                found: format!("`{class}` twice"),
                expected: "each class once".into(),
            });
        }
        let mut found = sets.iter().filter_map(|&set| {
            let number = set.classes().iter().position(|known| known == class)?;
            Some(Choice { class, set, number })
        });
        let Some(choice) = found.next() else {
            return Err(Error::unknown_class(class, known()));
        };
        if let Some(second) = found.next() {
            return Err(Error::AmbiguousClass {
                class: class.clone(),
                first: choice.set.path().into(),
                second: second.set.path().into(),
            });
        }
        chosen.push(choice);
    }
    if chosen.is_empty() {
        return Err(Error::Request {
            what: "classes",
            found: "none".into(),
            expected: format!("at least one of {}", listed()),
        });
    }
    Ok(chosen)
}

/// The number of a class.
pub(crate) fn number_of(classes: &[String], class: &str) -> Result<usize> {
    let found = classes.iter().position(|known| known == class);
    found.ok_or_else(|| Error::unknown_class(class, classes.iter()))
}

/// The rank that the tailors of all chosen classes have.
fn common_rank(chosen: &[Choice<'_>]) -> Result<usize> {
    let Some((first, others)) = chosen.split_first() else {
        return Ok(0);
    };
    match others.iter().find(|c| c.set.rank() != first.set.rank()) {
        None => Ok(first.set.rank()),
        Some(other) => Err(Error::Rank {
            class: other.class.to_owned(),
            found: other.set.rank(),
            other: first.class.to_owned(),
            expected: first.set.rank(),
        }),
    }
}

fn keep(config: &RunConfig, components: Option<usize>) -> Result<Option<usize>> {
    match (components, config.model.learngene_rank()) {
        (None, _) => Ok(None),
        (Some(n), Some(rank)) if (1..=rank).contains(&n) => Ok(Some(n)),
        (Some(n), rank) => Err(Error::Request {
            what: "learngene components",
            found: n.to_string(),
            expected: match rank {
                Some(rank) => format!("1 to {rank}"),
                None => "a factorised model; this one is dense".into(),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, Tensor};
    use learngene_nn::{ClassGate, Conditions, DitConfig, RankSplit};
    use learngene_train::{DataConfig, TrainConfig, generate::Request};
    use std::num::NonZeroUsize;

    fn model(tree: Vec<Superclass>) -> (RunConfig, Dit) {
        let split = RankSplit {
            learngene: 12,
            tailor: 4,
        };
        let config = DitConfig::from_size("dit-micro/4", [3, 16, 16], 5).unwrap();
        let config = RunConfig {
            data: DataConfig::of("builtin:emoji"),
            train: TrainConfig::default(),
            model: config
                .with_rank_split(split)
                .and_then(|flat| flat.with_superclasses(tree))
                .unwrap(),
            init: learngene_nn::FactorInit::Orthogonal,
            classes: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
            method: None,
        };
        let device = Device::flex();
        let model = Dit::init(&config.model, config.init, 3, &device).unwrap();
        // adaLN-Zero starts with closed gates and a zero output: open them, or nothing could differ
        let mut values = params::values(&model);
        for (name, value) in &mut values {
            if name.contains("modulation") || name.starts_with("output") {
                let shape = [value.values.len()];
                let noise = Tensor::<1>::random(shape, Distribution::Normal(0.0, 0.1), &device);
                value.values = params::to_vec(noise);
            }
        }
        (config.clone(), params::replace(model, values).unwrap())
    }

    #[test]
    fn an_assembly_predicts_bit_for_bit_what_the_whole_does() {
        assert_assembles(model(Vec::new()));
    }

    #[test]
    fn classes_take_the_tailor_of_their_superclass_along() {
        let wide = |classes: &[usize]| Superclass {
            tailors: NonZeroUsize::new(2).unwrap(),
            ..Superclass::new("y", classes)
        };
        let tree = vec![Superclass::new("x", [0, 1]), wide(&[3, 4])];
        let (config, whole) = model(tree);
        assert_assembles((config.clone(), whole.clone()));
        let wanted = ["e", "c", "d"].map(String::from);
        let (smaller, part) = assemble(&config, &whole, &wanted, None).unwrap();
        assert_eq!(smaller.model.superclasses, [wide(&[0, 2])]);
        assert_eq!(part.config().groups, 5);
    }

    fn assert_assembles((config, whole): (RunConfig, Dit)) {
        let wanted = ["d", "b"].map(String::from);
        let (smaller, part) = assemble(&config, &whole, &wanted, None).unwrap();
        assert_eq!(smaller.model.num_classes, 2);
        let x = Tensor::<4>::random(
            [6, 3, 16, 16],
            Distribution::Normal(0.0, 1.0),
            &Device::flex(),
        );
        let run = |model: &Dit, labels: [usize; 2]| {
            let of = |l: usize| Request::of_class(l, 0);
            let requests = [of(labels[0]), of(labels[0]), of(labels[1]), of(labels[1])];
            let mut lists: Vec<_> = requests.iter().map(|r| r.tailors.clone()).collect();
            let mut labels: Vec<_> = requests.iter().map(|r| r.label).collect();
            lists.resize(6, Vec::new());
            labels.resize(6, None);
            let conditions = Conditions {
                times: vec![300.0; 6],
                labels,
                gate: model.fit_gate(ClassGate::new(lists)),
            };
            params::to_vec(model.forward(x.clone(), &conditions).unwrap())
        };
        assert_eq!(run(&whole, [3, 1]), run(&part, [0, 1]));
        assert_ne!(run(&whole, [3, 1]), run(&part, [1, 0]));
    }

    #[test]
    fn fewer_components_make_a_smaller_file_and_wrong_requests_are_named() {
        let (config, whole) = model(Vec::new());
        let one = ["a".to_string()];
        let (smaller, part) = assemble(&config, &whole, &one, Some(6)).unwrap();
        assert_eq!(part.config().learngene_rank(), Some(6));
        assert_eq!(
            params::layout(&smaller.model).len(),
            params::values(&part).len()
        );
        let fails = |classes: &[&str], n| {
            let classes: Vec<String> = classes.iter().map(|c| (*c).into()).collect();
            assemble(&config, &whole, &classes, n)
                .unwrap_err()
                .to_string()
        };
        assert!(fails(&["x"], None).contains("no class `x`"));
        assert!(fails(&[], None).contains("at least one of a, b"));
        assert!(fails(&["a", "a"], None).contains("twice"));
        assert!(fails(&["a"], Some(13)).contains("1 to 12"));
    }
}
