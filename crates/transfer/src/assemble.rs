//! A smaller model for a few classes, without training: rows of tensors are chosen, none is changed.

use crate::error::{Error, Result};
use learngene_nn::{
    Basis, Dit, FactorInit,
    params::{self, Part, Values},
};
use learngene_train::RunConfig;

/// The model for `classes`, in that order, and its configuration. With `components`, the learngene keeps only its first
/// so many components of every matrix.
///
/// The images of the kept classes do not change by a bit as long as the learngene is kept whole.
///
/// # Errors
/// A class the model does not have or that is named twice, no class at all, more components than there are.
pub fn assemble(
    config: &RunConfig,
    model: &Dit,
    classes: &[String],
    components: Option<usize>,
) -> Result<(RunConfig, Dit)> {
    let chosen = choose(config, classes)?;
    let mut smaller = config.clone();
    smaller.classes = classes.to_vec();
    smaller.model.num_classes = chosen.len();
    if smaller.model.groups > 0 {
        smaller.model.groups = chosen.len();
    }
    let kept = keep(config, components)?;
    if let Some(learngene) = kept {
        smaller.model.basis = Basis::Factorised { learngene };
    }
    smaller.model.validate()?;
    let null = config.model.null_label();
    let values = params::values(model)
        .into_iter()
        .map(|(name, value)| {
            let value = match (Part::of(&name), kept) {
                (Part::Tailors, _) => blocks(&value, &chosen, config.model.tailor_rank),
                (Part::Labels, _) => {
                    let rows: Vec<usize> = chosen.iter().copied().chain([null]).collect();
                    blocks(&value, &rows, 1)
                }
                (Part::Learngene, Some(kept)) => blocks(&value, &[0], kept),
                _ => value,
            };
            (name, value)
        })
        .collect();
    let start = Dit::init(&smaller.model, FactorInit::ZeroStart, 0, &model.device())?;
    Ok((smaller, params::replace(start, &values)?))
}

fn choose(config: &RunConfig, classes: &[String]) -> Result<Vec<usize>> {
    let known = &config.classes;
    let mut chosen = Vec::new();
    for class in classes {
        let Some(at) = known.iter().position(|k| k == class) else {
            let near = known
                .iter()
                .map(|k| (strsim::levenshtein(k, class), k))
                .min();
            return Err(Error::UnknownClass {
                found: class.clone(),
                known: known.join(", "),
                nearest: near.filter(|n| n.0 <= 3).map(|n| n.1.clone()),
            });
        };
        if chosen.contains(&at) {
            let found = format!("`{class}` twice");
            let expected = "each class once".into();
            return Err(Error::Request {
                what: "classes",
                found,
                expected,
            });
        }
        chosen.push(at);
    }
    if chosen.is_empty() {
        let expected = format!("at least one of {}", known.join(", "));
        return Err(Error::Request {
            what: "classes",
            found: "none".into(),
            expected,
        });
    }
    Ok(chosen)
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

/// The chosen blocks of `rows` rows each.
fn blocks(value: &Values, chosen: &[usize], rows: usize) -> Values {
    let per_row = value.values.len() / value.shape[0];
    let block = rows * per_row;
    let values = chosen
        .iter()
        .flat_map(|&b| value.values[b * block..(b + 1) * block].to_vec());
    let mut shape = value.shape.clone();
    shape[0] = chosen.len() * rows;
    Values {
        shape,
        values: values.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, Tensor};
    use learngene_nn::{ClassGate, Conditions, DitConfig, RankSplit};
    use learngene_train::{DataConfig, TrainConfig, generate::Request};

    fn model() -> (RunConfig, Dit) {
        let split = RankSplit {
            learngene: 12,
            tailor: 4,
        };
        let config = DitConfig::from_size("dit-micro/4", [3, 16, 16], 5).unwrap();
        let config = RunConfig {
            data: DataConfig {
                source: "builtin:emoji".into(),
                classes: "all".into(),
                image_size: None,
                channels: None,
                class_map: None,
            },
            train: TrainConfig::default(),
            model: config.with_rank_split(split).unwrap(),
            init: FactorInit::Orthogonal,
            classes: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
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
        (config.clone(), params::replace(model, &values).unwrap())
    }

    #[test]
    fn an_assembly_predicts_bit_for_bit_what_the_whole_does() {
        let (config, whole) = model();
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
                gate: ClassGate::new(lists),
            };
            params::to_vec(model.forward(x.clone(), &conditions).unwrap())
        };
        assert_eq!(run(&whole, [3, 1]), run(&part, [0, 1]));
        assert_ne!(run(&whole, [3, 1]), run(&part, [1, 0]));
    }

    #[test]
    fn fewer_components_make_a_smaller_file_and_wrong_requests_are_named() {
        let (config, whole) = model();
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
