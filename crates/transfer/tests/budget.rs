//! What is kept under a budget, and what factors say of learngene and tailors, on models whose factors are known.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::Device;
use learngene_formats::Kind;
use learngene_nn::{
    Dit, DitConfig, FactorInit, RankSplit, Superclass,
    params::{self, Part, Values},
    term::SITES,
};
use learngene_train::{DataConfig, RunConfig, TrainConfig, weights};
use learngene_transfer::{Anatomy, Budget, Fit, Matrix, Size, amount, assemble, fit, rungs};
use std::collections::BTreeMap;

const CLASSES: [&str; 4] = ["a", "b", "c", "d"];
const LEARNGENE: usize = 8;
const TAILOR: usize = 2;

/// A model whose factors are the start of training, edited by `edit` as (name, values).
fn model(edit: impl Fn(&str, &mut Values)) -> (RunConfig, Dit) {
    let split = RankSplit {
        learngene: LEARNGENE,
        tailor: TAILOR,
    };
    let config = DitConfig::from_size("dit-micro/4", [3, 8, 8], CLASSES.len()).unwrap();
    let config = RunConfig {
        data: DataConfig::of("builtin:emoji"),
        train: TrainConfig::default(),
        model: config.with_rank_split(split).unwrap(),
        init: FactorInit::Orthogonal,
        classes: CLASSES.map(String::from).to_vec(),
        method: None,
    };
    let model = Dit::init(&config.model, config.init, 3, &Device::flex()).unwrap();
    let mut values = params::values(&model);
    values
        .iter_mut()
        .for_each(|(name, value)| edit(name, value));
    (config.clone(), params::replace(model, values).unwrap())
}

/// Components of the learngene grow with their number, but the second of them is the strongest; tailor `c` has strength
/// `tailors[c]`.
fn graded(tailors: [f32; 4]) -> (RunConfig, Dit) {
    model(move |name, value| {
        if name.ends_with(".learngene.s") {
            for (i, s) in value.values.iter_mut().enumerate() {
                *s = if i == 1 { -9.0 } else { 1.0 + i as f32 };
            }
        }
        if name.ends_with(".tailors.s") {
            for (i, s) in value.values.iter_mut().enumerate() {
                *s = tailors[i / TAILOR];
            }
        }
    })
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).into()).collect()
}

fn rows(values: &BTreeMap<String, Values>, name: &str, rows: &[usize]) -> Vec<f32> {
    let value = &values[name];
    let length: usize = value.shape[1..].iter().product();
    let row = |&i: &usize| value.values[i * length..][..length].to_vec();
    rows.iter().flat_map(row).collect()
}

#[test]
fn an_assembly_of_everything_is_the_whole() {
    let (config, whole) = graded([1.0; 4]);
    let (same, part) = assemble(&config, &whole, &config.classes, Some(LEARNGENE)).unwrap();
    assert_eq!(same, config);
    assert_eq!(params::values(&part), params::values(&whole));
}

#[test]
fn components_that_were_trained_to_be_cut_are_left_out_from_the_last_on() {
    let (mut config, whole) = graded([1.0; 4]);
    config.train.thin_learngene = 0.5;
    let (_, part) = assemble(&config, &whole, &config.classes, Some(3)).unwrap();
    let (before, after) = (params::values(&whole), params::values(&part));
    for name in before.keys().filter(|name| name.contains(".learngene.")) {
        let first = rows(&before, name, &[0, 1, 2]);
        assert_eq!(after[name].values, first, "{name}");
    }
    let budget = Budget {
        macs: Some(Size::of(&config).unwrap().macs - 1),
        ..Budget::default()
    };
    let kept = fit(&config, &whole, &budget, false).unwrap();
    // Squares of 1, 9, 3, 4, 5, 6, 7 of those and of 8.
    assert_eq!(kept.components, LEARNGENE - 1);
    assert!(
        (kept.energy - 217.0 / 281.0).abs() < 1e-6,
        "{}",
        kept.energy
    );
}

/// Energies are those of s, because the rows of an orthogonal start have one length: 1, 9, 3, 4, 5, 6, 7, 8.
#[test]
fn the_components_of_least_energy_are_left_out_and_the_others_keep_their_order() {
    let (config, whole) = graded([1.0; 4]);
    let (_, part) = assemble(&config, &whole, &config.classes, Some(3)).unwrap();
    let (before, after) = (params::values(&whole), params::values(&part));
    for name in before.keys().filter(|name| name.contains(".learngene.")) {
        assert_eq!(
            after[name].values,
            rows(&before, name, &[1, 6, 7]),
            "{name}"
        );
    }
    for name in before.keys().filter(|name| !name.contains(".learngene.")) {
        assert_eq!(after[name], before[name], "{name}");
    }
}

fn fitted(model: &(RunConfig, Dit), budget: Budget, free: bool) -> Fit {
    let fit = fit(&model.0, &model.1, &budget, free).unwrap();
    let (config, part) = assemble(&model.0, &model.1, &fit.classes, Some(fit.components)).unwrap();
    // What is predicted is what the file has, to the byte.
    let file = weights::file(Kind::Model, &config, weights::of_model(&part));
    assert_eq!(fit.size, Size::of(&config).unwrap());
    assert_eq!(fit.size.bytes, file.to_bytes().unwrap().len() as u64);
    fit
}

#[test]
fn budgets_are_met_by_as_little_loss_as_it_takes() {
    let model = graded([1.0; 4]);
    let whole = fitted(&model, Budget::default(), false);
    assert_eq!(
        (whole.components, whole.classes.len(), whole.energy),
        (8, 4, 1.0)
    );
    for limit in [
        Budget {
            bytes: Some(whole.size.bytes - 1),
            ..Budget::default()
        },
        Budget {
            macs: Some(whole.size.macs - 1),
            ..Budget::default()
        },
        Budget {
            parameters: Some(whole.size.parameters - 1),
            ..Budget::default()
        },
    ] {
        let less = fitted(&model, limit, false);
        assert_eq!((less.components, less.classes.len()), (7, 4));
        // 1 of 1 + 81 + 9 + 16 + 25 + 36 + 49 + 64 is lost
        assert!(
            (less.energy - 280.0 / 281.0).abs() < 1e-4,
            "{}",
            less.energy
        );
    }
}

#[test]
fn the_class_of_least_energy_goes_first_and_only_where_that_frees_something() {
    let weak = graded([5.0, 0.01, 5.0, 0.02]);
    let whole = fitted(&weak, Budget::default(), true).size;
    let stored = |parameters| Budget {
        parameters: Some(parameters),
        ..Budget::default()
    };
    let one = fitted(&weak, stored(whole.parameters - 1), true);
    assert_eq!(
        (one.classes, one.components),
        (strings(&["a", "c", "d"]), 8)
    );
    let two = fitted(&weak, stored(one.size.parameters - 1), true);
    assert_eq!((two.classes, two.components), (strings(&["a", "c"]), 8));
    // The others are worth more than the weakest component of the learngene.
    let three = fitted(&weak, stored(two.size.parameters - 1), true);
    assert_eq!((three.classes, three.components), (strings(&["a", "c"]), 7));
    let macs = Budget {
        macs: Some(whole.macs - 1),
        ..Budget::default()
    };
    assert_eq!(fitted(&weak, macs, true).classes.len(), 4);
    assert_eq!(
        fitted(&weak, stored(whole.parameters - 1), false)
            .classes
            .len(),
        4
    );
}

#[test]
fn a_budget_below_the_smallest_names_it_and_that_one_is_met() {
    let model = graded([1.0; 4]);
    let smallest = Size::of(
        &assemble(&model.0, &model.1, &strings(&["a"]), Some(1))
            .unwrap()
            .0,
    );
    let parameters = smallest.unwrap().parameters;
    let budget = |parameters| Budget {
        parameters: Some(parameters),
        ..Budget::default()
    };
    let met = fitted(&model, budget(parameters), true);
    assert_eq!((met.classes.len(), met.components), (1, 1));
    let error = fit(&model.0, &model.1, &budget(parameters - 1), true).unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&format!("{parameters} parameters")), "{said}");
    assert!(said.contains("raise the budget"), "{said}");
    let error = fit(&model.0, &model.1, &budget(parameters), false).unwrap_err();
    assert!(error.to_string().contains("fewer classes"), "{error}");
}

#[test]
fn amounts_are_read_as_people_write_them() {
    assert_eq!(amount("4200000"), Ok(4_200_000));
    assert_eq!(amount("4.2M"), Ok(4_200_000));
    assert_eq!(amount("80G"), Ok(80_000_000_000));
    assert_eq!(amount("3k"), Ok(3000));
    for bad in ["", "much", "-3", "0", "M", "inf", "nan", "3T", "é"] {
        assert!(amount(bad).is_err(), "{bad}");
    }
    assert_eq!(rungs(8, 4), [2, 4, 6, 8]);
    assert_eq!(rungs(3, 9), [1, 2, 3]);
}

/// Tailor b is a's with its components in another order and signs changed in pairs; u of c is orthogonal to both;
/// d is a's turned around.
#[test]
fn similarity_knows_equal_opposite_and_orthogonal_tailors() {
    let (config, model) = model(|name, value| {
        let Some(factor) = name
            .rsplit('.')
            .next()
            .filter(|_| name.contains(".tailors."))
        else {
            return;
        };
        let width = value.values.len() / (4 * TAILOR);
        let tailor = TAILOR * width;
        if factor == "u" {
            let half = width / 2;
            for (i, row) in value.values.chunks_mut(width).enumerate() {
                let silent = if i / TAILOR == 2 {
                    0..half
                } else {
                    half..width
                };
                row[silent].fill(0.0);
            }
        }
        let a = value.values[..tailor].to_vec();
        let sign = |negative: bool| if negative { -1.0 } else { 1.0 };
        for (i, row) in a.chunks(width).rev().enumerate() {
            let changed = row.iter().map(|x| x * sign(factor != "s"));
            value
                .values
                .splice(tailor + i * width..tailor + (i + 1) * width, changed);
        }
        let turned = a.iter().map(|x| x * sign(factor == "s"));
        value.values.splice(3 * tailor.., turned);
    });
    let anatomy = Anatomy::of(&config, &model).unwrap();
    for similarity in anatomy
        .similarity_by_matrix
        .iter()
        .chain([&anatomy.similarity])
    {
        for (other, expected) in [(0, 1.0), (1, 1.0), (2, 0.0), (3, -1.0)] {
            let found = similarity[0][other];
            assert!((found - expected).abs() < 1e-5, "{other}: {found}");
            assert_eq!(found, similarity[other][0]);
        }
    }
    assert_eq!(anatomy.matrices.len(), 6 * config.model.depth);
    for matrix in &anatomy.matrices {
        // A start of orthogonal rows has not drifted.
        let [u, v] = matrix.base_drift.unwrap();
        assert!(u < 1e-5 && v < 1e-5, "{matrix:?}");
        let mean = matrix.tailors.iter().sum::<f64>() / 4.0;
        assert!((matrix.share - mean / (mean + matrix.base)).abs() < 1e-12);
    }
}

/// The superclass has the rows of a and b, one tailor after the other, so it adds what they add together.
#[test]
fn a_superclass_is_compared_with_all_its_tailors() {
    let (config, flat) = model(|_, _| {});
    let superclass = Superclass {
        tailors: 2.try_into().unwrap(),
        ..Superclass::new("x", [0, 3])
    };
    let shape = config.model.clone().with_superclasses(vec![superclass]);
    let config = RunConfig {
        model: shape.unwrap(),
        ..config
    };
    let mut values = params::values(&flat);
    for (name, value) in &mut values {
        if Part::of(name) == Part::Tailors {
            let both = value.values[..value.values.len() / 2].to_vec();
            value.values.extend(both);
            value.shape[0] += 2 * TAILOR;
        }
    }
    let start = Dit::init(&config.model, FactorInit::ZeroStart, 0, &Device::flex()).unwrap();
    let model = params::replace(start, values).unwrap();
    let anatomy = Anatomy::of(&config, &model).unwrap();
    assert_eq!(anatomy.superclasses, ["x"]);
    assert_eq!(anatomy.similarity.len(), 5);
    // |a + b|^2 = |a|^2 + |b|^2 + 2 <a, b>, in sum over the matrices of one name.
    for (site, similarity) in SITES.iter().zip(&anatomy.similarity_by_matrix) {
        let of_site = || anatomy.matrices.iter().filter(|m| m.name == *site);
        let sum = |of: fn(&Matrix) -> f64| of_site().map(of).sum::<f64>();
        let (a, b) = (sum(|m| m.tailors[0]), sum(|m| m.tailors[1]));
        let both = sum(|m| m.superclasses[0]);
        let expected = a + b + 2.0 * similarity[0][1] * (a * b).sqrt();
        assert!(
            (both / expected - 1.0).abs() < 1e-6,
            "{site}: {both}, {expected}"
        );
    }
    for matrix in &anatomy.matrices {
        let share = matrix.superclasses[0] / (matrix.superclasses[0] + matrix.base);
        assert!((matrix.superclass_share.unwrap() - share).abs() < 1e-12);
    }
    // <a + b, a> = <a, a> + <a, b>, with norms from the cosines; a and b are drawn alike, so |a| = |b| but for a little
    let ab = anatomy.similarity[0][1];
    let expected = (1.0 + ab) / (2.0 + 2.0 * ab).sqrt();
    let found = anatomy.similarity[0][4];
    assert!((found - expected).abs() < 1e-3, "{found}, {expected}");
}

#[test]
fn dense_models_have_nothing_to_choose_or_to_compare() {
    let (config, _) = graded([1.0; 4]);
    let dense = DitConfig::from_size("dit-micro/4", [3, 8, 8], 4).unwrap();
    let config = RunConfig {
        model: dense,
        ..config
    };
    let model = Dit::init(&config.model, config.init, 3, &Device::flex()).unwrap();
    let error = fit(&config, &model, &Budget::default(), true).unwrap_err();
    assert!(error.to_string().contains("a dense model"), "{error}");
    let error = Anatomy::of(&config, &model).unwrap_err();
    assert!(error.to_string().contains("without a tailor"), "{error}");
}
