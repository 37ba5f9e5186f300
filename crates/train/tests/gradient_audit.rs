//! What should train does, and nothing else: from the real start, in transfer, and for tailors whose class is absent.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{
    State, block, config, data, models::filled, quick, small, small_kind, small_tree, start, train,
};
use learngene_data::{Batches, Dataset};
use learngene_nn::{
    DitConfig, Sharing,
    params::{self, Part},
};
use learngene_train::{TrainConfig, Trainable};

const STEPS: u64 = 4;

/// Equal blocks of rows of a parameter that may or may not be trained by themselves.
fn blocks(name: &str, config: &DitConfig) -> usize {
    match Part::of(name) {
        Part::Tailors => config.groups,
        Part::Labels => config.num_classes + 1,
        _ => 1,
    }
}

/// The keys' biases, whose gradient is zero: they add the same to all scores of a query.
fn is_idle(name: &str) -> bool {
    name.ends_with("attention.k.bias")
}

/// Every block of the parameter has a first moment, so a gradient reached it.
fn assert_reached(state: &State, name: &str, config: &DitConfig) {
    let count = blocks(name, config);
    for index in 0..count {
        let moment = block(&state.moments[&format!("{name}/m")], index, count);
        assert!(moment.iter().any(|m| *m != 0.0), "{name}, block {index}");
    }
}

/// The start closes every gate (adaLN-Zero) and has a zero output, so a gradient needs steps to reach everything: the
/// output first, then the last modulation, then the blocks.
#[test]
fn with_all_open_everything_trains_from_the_start() {
    let dataset = data().load().unwrap();
    for model in [small(), small_kind(), small_tree()] {
        let config = config(model, quick(STEPS), &dataset);
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), &config, start(&config), &dataset).unwrap();
        let state = State::read(folder.path(), STEPS);
        let names: Vec<&String> = state.updates.keys().collect();
        assert_eq!(
            names,
            params::layout(&config.model).keys().collect::<Vec<_>>()
        );
        for (name, updates) in &state.updates {
            assert!(updates.iter().all(|u| *u == STEPS), "{name}: {updates:?}");
            if !is_idle(name) {
                assert_reached(&state, name, &config.model);
            }
        }
    }
}

/// Tailors that start at zero on a trained model, factorised or dense.
#[test]
fn in_transfer_only_tailors_and_label_rows_train() {
    let dataset = data().load().unwrap();
    for model in [small_kind(), small().with_tailors(2).unwrap()] {
        let settings = TrainConfig {
            trainable: Trainable::added_only(),
            weight_decay: 0.1,
            ..quick(STEPS)
        };
        let config = config(model, settings, &dataset);
        let trained = filled(&config.model, 1, &common::device());
        let mut values = params::values(&trained);
        for (name, value) in &mut values {
            if name.ends_with(".tailors.u") {
                value.values.fill(0.0);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let model = params::replace(trained, values.clone()).unwrap();
        train(folder.path(), &config, model, &dataset).unwrap();
        let state = State::read(folder.path(), STEPS);
        let mut trained = 0;
        for (name, value) in &values {
            if matches!(Part::of(name), Part::Tailors | Part::Labels) {
                trained += 1;
                assert_reached(&state, name, &config.model);
                assert_ne!(state.model[name].values, value.values, "{name}");
            } else {
                assert_eq!(state.model[name].values, value.values, "{name} is frozen");
                assert_eq!(
                    state.ema[name].values, value.values,
                    "{name} has no average"
                );
            }
        }
        // no slot for what is frozen
        assert_eq!(
            (state.updates.len(), state.moments.len()),
            (trained, 2 * trained)
        );
    }
}

/// It belongs to no class, so it rests with none.
#[test]
fn a_shared_tailor_trains_in_every_step() {
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        trainable: Trainable {
            tailor_sigmas: Some(0.0),
            ..Trainable::added_only()
        },
        classes_per_step: Some(1),
        null: 0,
        ..quick(STEPS)
    };
    let model = small().with_shared_tailor(2, Sharing::Every).unwrap();
    let config = config(model, settings, &dataset);
    let folder = tempfile::tempdir().unwrap();
    let model = filled(&config.model, 2, &common::device());
    train(folder.path(), &config, model, &dataset).unwrap();
    let state = State::read(folder.path(), STEPS);
    let tailors = state
        .updates
        .iter()
        .filter(|u| Part::of(u.0) == Part::Tailors);
    let tailors: Vec<_> = tailors.collect();
    // U and V of six matrices in two blocks; their sigmas are frozen.
    assert_eq!(tailors.len(), 2 * 6 * 2);
    for (name, updates) in tailors {
        assert_eq!(*updates, [STEPS], "{name}");
        assert_reached(&state, name, &config.model);
    }
}

/// Weights, moments and update counts of a tailor without samples stay bit for bit, weight decay or not.
#[test]
fn tailors_of_absent_classes_are_left_alone() {
    assert_absent_rest(small_kind(), 4, |class| vec![class]);
}

/// A superclass is there with any of its classes.
#[test]
fn tailors_of_absent_superclasses_are_left_alone() {
    assert_absent_rest(small_tree(), 1, |class| vec![class, 12 + class / 4]);
}

/// With that many classes a step, tailors train that a class which is there switches on, and no others.
fn assert_absent_rest(model: DitConfig, classes: usize, switched_on: fn(usize) -> Vec<usize>) {
    let dataset: Dataset = data().load().unwrap();
    let settings = TrainConfig {
        classes_per_step: Some(classes),
        weight_decay: 0.1,
        checkpoint_every: 1,
        keep_last: 10,
        ..quick(STEPS)
    };
    let config = config(model, settings, &dataset);
    let folder = tempfile::tempdir().unwrap();
    let model = filled(&config.model, 2, &common::device());
    train(folder.path(), &config, model, &dataset).unwrap();
    let mut batches =
        Batches::new(&dataset, config.train.order(), config.train.seed, false).unwrap();
    let groups = config.model.groups;
    let mut expected = vec![0; groups];
    for step in 0..STEPS {
        let labels = batches.batch(step).into_iter().filter_map(|d| d.label);
        let used: Vec<usize> = labels.flat_map(switched_on).collect();
        let (before, after) = (
            State::read(folder.path(), step),
            State::read(folder.path(), step + 1),
        );
        (0..groups).for_each(|g| expected[g] += u64::from(used.contains(&g)));
        for (name, tensor) in after
            .model
            .iter()
            .filter(|t| Part::of(t.0) == Part::Tailors)
        {
            assert_eq!(after.updates[name], expected, "{name} after step {step}");
            for group in 0..groups {
                let same = |of: fn(&State) -> &common::Tensors, name: &str| {
                    let [old, new] = [&before, &after].map(|s| block(&of(s)[name], group, groups));
                    old.iter().zip(new).all(|(a, b)| a.to_bits() == b.to_bits())
                };
                let at = format!(
                    "{name}, group {group}, step {step}, shape {:?}",
                    tensor.shape
                );
                let absent = !used.contains(&group);
                assert_eq!(same(|s| &s.model, name), absent, "weights of {at}");
                for moment in ["m", "v"] {
                    let key = format!("{name}/{moment}");
                    assert_eq!(same(|s| &s.moments, &key), absent, "{moment} of {at}");
                }
            }
        }
    }
    let used = expected.iter().filter(|&&u| u > 0).count();
    assert!(
        (classes + 1..=groups).contains(&used),
        "the classes change from step to step"
    );
}

/// A gate that never opens leaves tailors as they were; a label that always hides leaves the rows of classes as they
/// were; and the other side of the class trains as ever.
#[test]
fn what_an_image_does_not_show_does_not_train() {
    let dataset = data().load().unwrap();
    for (gate_dropout, hide_label) in [(1.0, 0.0), (0.0, 1.0)] {
        let settings = TrainConfig {
            gate_dropout,
            hide_label,
            ..quick(STEPS)
        };
        let config = config(small_tree(), settings, &dataset);
        let folder = tempfile::tempdir().unwrap();
        let model = filled(&config.model, 2, &common::device());
        let before = params::values(&model);
        train(folder.path(), &config, model, &dataset).unwrap();
        let state = State::read(folder.path(), STEPS);
        let null = config.model.null_label();
        for (name, updates) in &state.updates {
            let count = blocks(name, &config.model);
            for (index, &updates) in updates.iter().enumerate() {
                let rests = match Part::of(name) {
                    Part::Tailors => gate_dropout == 1.0,
                    Part::Labels => hide_label == 1.0 && index != null,
                    _ => false,
                };
                assert_eq!(updates, if rests { 0 } else { STEPS }, "{name}, {index}");
                let after = block(&state.model[name], index, count);
                let size = after.len();
                let before = &before[name].values[index * size..(index + 1) * size];
                if !is_idle(name) {
                    assert_eq!(after == before, rests, "{name}, {index}");
                }
            }
        }
    }
}

/// The pressure on what labels say without tailors reaches everything but tailors and the null row: tailors do not run, and
/// the null branch is the goal.
#[test]
fn pressure_on_the_null_branch_reaches_no_tailor_and_no_null_row() {
    let dataset = data().load().unwrap();
    let one_step = |null_pressure| {
        let settings = TrainConfig {
            null_pressure,
            clip: 0.0,
            ..quick(1)
        };
        let config = config(small_kind(), settings, &dataset);
        let folder = tempfile::tempdir().unwrap();
        let model = filled(&config.model, 2, &common::device());
        train(folder.path(), &config, model, &dataset).unwrap();
        (State::read(folder.path(), 1).moments, config.model)
    };
    let ((free, model), (pressed, _)) = (one_step(None), one_step(Some(1.0)));
    for (name, moment) in free.iter().filter(|(name, _)| name.ends_with("/m")) {
        let parameter = name.trim_end_matches("/m");
        if is_idle(parameter) {
            continue;
        }
        let count = blocks(parameter, &model);
        for index in 0..count {
            let same = block(moment, index, count) == block(&pressed[name], index, count);
            let spared = match Part::of(parameter) {
                Part::Tailors => true,
                Part::Labels => index == model.null_label(),
                _ => false,
            };
            assert_eq!(same, spared, "{name}, {index}");
        }
    }
}

/// In thin steps alone, the last component of every matrix never runs, the first always does, and none runs more often
/// than the one before it; what never ran is as it was.
#[test]
fn components_that_do_not_run_do_not_train() {
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        thin_learngene: 1.0,
        weight_decay: 0.1,
        ..quick(STEPS)
    };
    let config = config(small_kind(), settings, &dataset);
    let rank = config.model.learngene_rank().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = filled(&config.model, 2, &common::device());
    let before = params::values(&model);
    train(folder.path(), &config, model, &dataset).unwrap();
    let state = State::read(folder.path(), STEPS);
    let learngenes = |name: &&String| Part::of(name) == Part::Learngene;
    for name in state.updates.keys().filter(learngenes) {
        let updates = &state.updates[name];
        assert_eq!((updates.len(), updates[0]), (rank, STEPS), "{name}");
        assert!(updates.is_sorted_by(|a, b| a >= b), "{name}: {updates:?}");
        assert_eq!(updates[rank - 1], 0, "{name}");
        for (index, &updates) in updates.iter().enumerate() {
            let after = block(&state.model[name], index, rank);
            let size = after.len();
            let before = &before[name].values[index * size..(index + 1) * size];
            assert_eq!(after == before, updates == 0, "{name}, {index}");
        }
    }
}
