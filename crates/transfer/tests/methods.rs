//! Every method that is registered: it starts at the base, trains what it says and nothing else, merges to the same
//! function, comes back from its file, and costs what its formulas say.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::{Device, Tensor, TensorData};
use learngene_data::{Dataset, Purpose, Stream};
use learngene_nn::{
    ClassGate, Conditions, Dit, DitConfig, FactorInit, Prompts, RankSplit, cost,
    params::{self, Part, Values},
};
use learngene_train::{DataConfig, RunConfig, TrainConfig, Trainable, Trainer};
use learngene_transfer::{Adapter, Fits, METHODS, Method, Settings, adapt, merge, method};
use std::collections::BTreeMap;

const HIDDEN: usize = 16;

fn data(classes: &str) -> DataConfig {
    DataConfig {
        classes: classes.into(),
        image_size: Some(8),
        ..DataConfig::of("builtin:emoji")
    }
}

fn normals(seed: u64, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Stream::new(seed, n as u64, Purpose::Test).fill_normal(&mut values);
    values
}

/// A model of three classes, none of its parameters at the zeros it starts with.
fn base(factorised: bool) -> (RunConfig, Dit) {
    let dense = DitConfig {
        hidden: HIDDEN,
        heads: 2,
        depth: 2,
        ..DitConfig::from_size("dit-micro/4", [3, 8, 8], 3).unwrap()
    };
    let split = RankSplit {
        learngene: 6,
        tailor: 3,
    };
    let model = match factorised {
        true => dense.with_rank_split(split).unwrap(),
        false => dense,
    };
    let config = RunConfig {
        data: data("face,flag,hand"),
        train: TrainConfig::default(),
        model,
        init: FactorInit::Orthogonal,
        classes: ["face", "flag", "hand"].map(String::from).to_vec(),
        method: None,
    };
    // As the program loads it.
    let device = Device::flex().autodiff();
    let start = Dit::init(&config.model, config.init, 3, &device).unwrap();
    (config, shaken(start, 0.2, |_| true))
}

/// Every parameter whose name `which` accepts, moved by noise of that size.
fn shaken(model: Dit, size: f32, which: impl Fn(&str) -> bool) -> Dit {
    let mut values = params::values(&model);
    values.retain(|name, _| which(name));
    for (seed, value) in values.values_mut().enumerate() {
        let noise = normals(seed as u64, value.values.len());
        value
            .values
            .iter_mut()
            .zip(noise)
            .for_each(|(v, z)| *v += size * z);
    }
    params::replace(model, values).unwrap()
}

/// Settings that fit matrices of 16 rows.
fn small(method: &dyn Method) -> BTreeMap<String, String> {
    let has = |name: &str| method.settings().iter().any(|s| s.name == name);
    [
        ("rank", "2"),
        ("factor", "4"),
        ("block", "4"),
        ("alpha", "3"),
        ("width", "5"),
        ("entries", "5"),
    ]
    .into_iter()
    .filter(|(name, _)| has(name))
    .map(|(name, value)| (name.into(), value.into()))
    .collect()
}

struct Case {
    method: &'static dyn Method,
    base: (RunConfig, Dit),
    given: BTreeMap<String, String>,
    /// What a run changes of what trains.
    trains: fn(&mut Trainable),
}

/// Every method on every base it goes with.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &method in METHODS {
        for factorised in [false, true] {
            let other = if factorised {
                Fits::Dense
            } else {
                Fits::Factorised
            };
            if method.fits() != other {
                let case = |more: &[(&str, &str)]| {
                    let more = more.iter().map(|(n, v)| ((*n).into(), (*v).into()));
                    Case {
                        method,
                        base: base(factorised),
                        given: small(method).into_iter().chain(more).collect(),
                        trains: |_| {},
                    }
                };
                cases.push(case(&[]));
                let more = [
                    ("shared", &["no", "4"][..]),
                    ("gate", &["yes"]),
                    ("sparsity", &["0.5"]),
                ];
                for (setting, values) in more {
                    if method.settings().iter().any(|s| s.name == setting) {
                        cases.extend(values.iter().map(|value| case(&[(setting, value)])));
                    }
                }
            }
        }
    }
    cases
}

/// And what else a run can ask of some of them: KIND with parts of its base training along, LoRA with a null branch
/// that does not have it.
fn audited() -> Vec<Case> {
    let case = |name: &str, factorised, setting: (&str, &str), trains| Case {
        method: method(name).unwrap(),
        base: base(factorised),
        given: BTreeMap::from([("rank", "2"), setting].map(|(n, v)| (n.into(), v.into()))),
        trains,
    };
    let along = |trainable: &mut Trainable| {
        trainable.learngene = 0.3;
        trainable.biases = Some(0.5);
    };
    let more = [
        case("kind", true, ("shared", "yes"), along),
        case("lora", false, ("null", "base"), |_| {}),
    ];
    cases().into_iter().chain(more).collect()
}

impl Case {
    fn name(&self) -> String {
        let factorised = self.base.0.model.learngene_rank().is_some();
        let made_of = if factorised { "factorised" } else { "dense" };
        let (name, given) = (self.method.name(), &self.given);
        format!("{name} {given:?} on a {made_of} base")
    }

    fn start(&self, device: &Device) -> (RunConfig, Dit) {
        let classes = ["heart", "bird"].map(String::from);
        let (config, model) = &self.base;
        let made = adapt(config, model, &classes, self.method, &self.given, 1, device);
        let (mut config, model) = made.unwrap();
        (self.trains)(&mut config.train.trainable);
        (config, model)
    }

    /// As after training: whatever trains has moved.
    fn trained(&self) -> (RunConfig, Dit) {
        let (config, start) = self.start(&Device::flex());
        let trains = |name: &str| config.train.trainable.factor(name) > 0.0;
        (config.clone(), shaken(start, 0.1, trains))
    }
}

/// What a model says of four noisy images under these labels, and their class gate.
fn predicted(model: &Dit, labels: [Option<usize>; 4], gate: ClassGate) -> Tensor<4> {
    let data = TensorData::new(normals(7, 4 * 3 * 64), [4, 3, 8, 8]);
    let conditions = Conditions {
        times: vec![50.0, 300.0, 600.0, 900.0],
        labels: labels.to_vec(),
        gate: model.fit_gate(gate),
    };
    let images = Tensor::from_data(data, &model.device());
    model.forward(images, &conditions).unwrap()
}

const LABELS: [Option<usize>; 4] = [Some(0), Some(1), Some(1), None];

fn of_labels(model: &Dit) -> Vec<f32> {
    params::to_vec(predicted(model, LABELS, ClassGate::one_hot(LABELS)))
}

/// The largest difference, over the largest value of `b`.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0f32, |m, v| m.max(v.abs()));
    a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

/// What the base without tailors says if the rows of all its classes are their mean.
fn of_base((config, model): &(RunConfig, Dit)) -> Vec<f32> {
    let table = params::values(model).remove("label.table").unwrap();
    let classes = config.model.num_classes;
    let mean = |j: usize| {
        let row = |i: usize| table.values[i * HIDDEN + j];
        (0..classes).map(row).sum::<f32>() / classes as f32
    };
    let mean: Vec<f32> = (0..HIDDEN).map(mean).collect();
    let null = table.values[classes * HIDDEN..].iter().copied();
    let rows = Values {
        values: mean.repeat(classes).into_iter().chain(null).collect(),
        shape: table.shape,
    };
    let model = params::replace(
        model.clone(),
        BTreeMap::from([("label.table".into(), rows)]),
    );
    let model = model.unwrap();
    params::to_vec(predicted(&model, LABELS, ClassGate::closed(4)))
}

#[test]
fn the_start_is_the_base_with_new_label_rows() {
    // A pruned base is another one: see below.
    let whole = |case: &Case| !case.given.contains_key("sparsity");
    for case in cases().into_iter().filter(whole) {
        let (_, start) = case.start(&Device::flex());
        let (found, expected) = (of_labels(&start), of_base(&case.base));
        let factorised = case.base.0.model.learngene_rank().is_some();
        if case.method.is_exact_at_start() && !(factorised && case.method.fits() == Fits::Weights) {
            assert!(
                found == expected,
                "{}: {}",
                case.name(),
                apart(&found, &expected)
            );
        } else {
            // sums of a few hundred products in another order
            let error = apart(&found, &expected);
            assert!(error < 1e-5, "{}: {error}", case.name());
        }
    }
}

/// The smallest entries of the named matrices are zero and nothing else moves; S lies on the largest.
#[test]
fn a_pruned_start_lacks_its_share_of_smallest_entries() {
    let site = "mlp.input";
    for (sparsity, dropped) in [("0", 0), ("1e-4", 0), ("0.3", 307), ("0.999999", 1024)] {
        let given = [("sparsity", sparsity), ("entries", "9"), ("sites", site)];
        let case = Case {
            method: method("dsee").unwrap(),
            base: base(false),
            given: given.map(|(n, v)| (n.into(), v.into())).into(),
            trains: |_| {},
        };
        let (config, start) = case.start(&Device::flex());
        let (_, merged) = merge(&config, &start).unwrap();
        let [of_base, parts, made] = [&case.base.1, &start, &merged].map(params::values);
        for (name, values) in &made {
            let before = &of_base[name].values;
            if !name.ends_with("mlp.input.weight") {
                assert!(name == "label.table" || values.values == *before, "{name}");
                continue;
            }
            let mut order: Vec<usize> = (0..before.len()).collect();
            order.sort_by(|&i, &j| before[i].abs().partial_cmp(&before[j].abs()).unwrap());
            let mut expected = before.clone();
            order[..dropped].iter().for_each(|&i| expected[i] = 0.0);
            assert!(values.values == expected, "{sparsity}: {name}");

            let of = |part: &str| &parts[&format!("{name}.term.fixed.{part}")].values;
            let places = of("rows").iter().zip(of("columns"));
            let mut places: Vec<usize> = places
                .map(|(&i, &j)| i as usize * HIDDEN + j as usize)
                .collect();
            places.sort_unstable();
            let mut largest = order[order.len() - 9..].to_vec();
            largest.sort_unstable();
            assert_eq!(places, largest, "{name}");
        }
    }
}

#[test]
fn what_trains_has_a_gradient_and_the_rest_is_not_tracked() {
    struct Audit<'a> {
        case: String,
        config: &'a RunConfig,
        grads: &'a burn::tensor::Gradients,
    }
    impl params::Visit for Audit<'_> {
        fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
            let (case, trainable) = (&self.case, &self.config.train.trainable);
            if trainable.factor(name) == 0.0 {
                assert!(!value.is_require_grad(), "{case}: {name} is tracked");
                return;
            }
            let grad = value.grad(self.grads);
            let grad = params::to_vec(grad.unwrap_or_else(|| panic!("{case}: {name} has none")));
            // The keys' biases add the same to all scores of a query.
            if name.ends_with("attention.k.bias") {
                return;
            }
            // Not every row of the table is looked up with every method, but each class's is.
            let model = &self.config.model;
            let blocks = match Part::of(name) {
                Part::Tailors => model.groups,
                Part::Labels => model.num_classes + 1,
                _ => 1,
            };
            for block in grad.chunks(grad.len() / blocks) {
                assert!(
                    block.iter().any(|g| *g != 0.0),
                    "{case}: {name} has a zero gradient"
                );
            }
        }
    }
    for case in audited() {
        let (config, start) = case.start(&Device::flex().autodiff());
        let trainable = config.train.trainable;
        let trains = |name: &str| trainable.factor(name) > 0.0;
        let model = params::set_trainable(shaken(start, 0.1, trains), trains);
        let loss = predicted(&model, LABELS, ClassGate::one_hot(LABELS))
            .square()
            .mean();
        let mut audit = Audit {
            case: case.name(),
            config: &config,
            grads: &loss.backward(),
        };
        params::visit(&model, &mut audit);
    }
}

#[test]
fn training_moves_what_trains_and_nothing_else() {
    let dataset: Dataset = data("heart,bird").load().unwrap();
    for case in audited() {
        let (mut config, start) = case.start(&Device::flex().autodiff());
        config.train.per_class = 1;
        config.train.null = config.train.null.min(1);
        (config.train.steps, config.train.warmup, config.train.ema) = (3, 0, 0.0);
        let before = params::values(&start);
        let mut trainer = Trainer::new(start, config.train.clone(), &dataset).unwrap();
        for _ in 0..3 {
            trainer.step().unwrap();
        }
        for (name, value) in params::values(&trainer.averaged().unwrap()) {
            let moved = before[&name] != value;
            let trains = config.train.trainable.factor(&name) > 0.0;
            // See above.
            if !name.ends_with("attention.k.bias") {
                assert_eq!(moved, trains, "{}: {name}", case.name());
            }
        }
    }
}

#[test]
fn merged_weights_compute_the_same() {
    for case in cases() {
        let (config, trained) = case.trained();
        let name = case.name();
        let expected = of_labels(&trained);
        let start = of_labels(&case.start(&Device::flex()).1);
        assert!(
            apart(&expected, &start) > 1e-3,
            "{name}: training would change nothing"
        );
        match merge(&config, &trained) {
            Ok((merged, model)) => {
                assert_eq!(
                    params::layout(&merged.model).len(),
                    params::values(&model).len()
                );
                let plan = cost::plan(&merged.model);
                assert_eq!(
                    (plan.adapters.parameters, plan.tailors.parameters),
                    (0, 0),
                    "{name}"
                );
                let error = apart(&of_labels(&model), &expected);
                assert!(error < 1e-5, "{name}: {error}");
            }
            Err(error) => {
                let unmergeable = ["kind", "gated-tailors", "adapters", "prompts"];
                assert!(unmergeable.contains(&case.method.name()), "{name}: {error}");
            }
        }
    }
    let lora = method("lora").unwrap();
    let case = Case {
        method: lora,
        base: base(false),
        given: BTreeMap::from([("null".into(), "base".into())]),
        trains: |_| {},
    };
    let (config, trained) = case.trained();
    let text = merge(&config, &trained).unwrap_err().to_string();
    assert!(text.contains("null label"), "{text}");
}

#[test]
fn an_adapter_file_and_the_base_make_the_model_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.safetensors");
    for case in cases() {
        let name = case.name();
        let (config, trained) = case.trained();
        let adapter = Adapter::of(&config, &trained, &path).unwrap();
        adapter.write(&path).unwrap();
        let read = Adapter::read(&path).unwrap();
        assert!(read == adapter, "{name}");
        assert_eq!(read.method().unwrap().name(), case.method.name());
        let (base_config, base_model) = &case.base;
        let (again, model) = read
            .attach(base_config, base_model, &Device::flex())
            .unwrap();
        assert_eq!(again, config, "{name}");
        assert!(params::values(&model) == params::values(&trained), "{name}");

        // Numbers that train, by the method's formula and in the file; the labels are in every file.
        let labels = (config.model.num_classes + 1) * HIDDEN;
        let known = Settings::new(case.method.name(), case.method.settings(), &case.given).unwrap();
        let added = case.method.added(&config.model, &known).unwrap();
        assert_eq!(adapter.numbers(), added.trained as usize + labels, "{name}");
        let size = std::fs::metadata(&path).unwrap().len() as usize;
        let values = 4 * adapter.numbers();
        assert!(
            (values..values + 30_000).contains(&size),
            "{name}: {size} bytes for {values}"
        );

        // Multiply-accumulates, by the method's formula and by the plan of the model.
        let total = |model: &DitConfig| cost::plan(model).total.macs;
        let mut plain = config.model.clone().with_tailors(0).unwrap();
        plain.terms.clear();
        (plain.bottleneck, plain.prompts) = (0, Prompts::None);
        assert_eq!(total(&config.model) - total(&plain), added.macs, "{name}");

        let other = shaken(base_model.clone(), 0.1, |name| name == "output.bias");
        let text = read
            .attach(base_config, &other, &Device::flex())
            .unwrap_err()
            .to_string();
        assert!(text.contains("belongs to learngene"), "{name}: {text}");
    }
}

#[test]
fn requests_that_make_no_model_are_refused() {
    let (kind, dense) = (base(true), base(false));
    let refused = |(config, model): &(RunConfig, Dit), name: &str, set: &[(&str, &str)]| {
        let given = set
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect();
        let classes = ["heart".to_string()];
        let method = method(name).unwrap();
        adapt(config, model, &classes, method, &given, 1, &Device::flex())
            .unwrap_err()
            .to_string()
    };
    let says = |text: String, parts: &[&str]| {
        parts
            .iter()
            .for_each(|part| assert!(text.contains(part), "`{part}` is not in {text}"));
    };
    says(
        refused(&dense, "kind", &[]),
        &["factorised base", "`gated-tailors`"],
    );
    says(
        refused(&kind, "gated-tailors", &[]),
        &["dense base", "`kind`"],
    );
    says(
        refused(&dense, "full", &[("rank", "2")]),
        &["`full` has no setting `rank`", "it has none"],
    );
    says(
        refused(&dense, "lora", &[("rnak", "2")]),
        &["did you mean `rank`"],
    );
    says(refused(&dense, "lora", &[("rank", "17")]), &["at most 16"]);
    says(
        refused(&dense, "dora", &[("rank", "17")]),
        &["rank 17", "1 to 16"],
    );
    says(
        refused(&dense, "oft", &[("block", "5")]),
        &["block 5", "divides"],
    );
    says(
        refused(&dense, "svdiff", &[("sites", "attention.x")]),
        &["attention.x", "attention.q"],
    );
    for sparsity in ["1", "1.5", "-0.1", "nan", "half"] {
        says(
            refused(&dense, "dsee", &[("sparsity", sparsity)]),
            &["`method.sparsity`", sparsity, "0 or more, below 1"],
        );
    }
    says(
        refused(&dense, "dsee", &[("entries", "257")]),
        &["entries 257 for `attention.q`", "1 to 256"],
    );
    says(
        refused(&dense, "dsee", &[("entries", "0")]),
        &["`method.entries`", "1 or more"],
    );
    says(
        refused(&dense, "prompts", &[("gate", "maybe")]),
        &["`method.gate`", "no or yes"],
    );
    says(
        refused(&kind, "kind", &[("warm", "dog")]),
        &["`method.warm`", "face,flag,hand"],
    );
    says(
        refused(&dense, "gated-tailors", &[("warm", "mean")]),
        &["no tailors"],
    );
    let error = method("lroa").err().unwrap().to_string();
    says(error, &["unknown method `lroa`", "did you mean `lora`"]);

    let lora = Case {
        method: method("lora").unwrap(),
        base: dense,
        given: BTreeMap::new(),
        trains: |_| {},
    };
    let prompts = Case {
        method: method("prompts").unwrap(),
        base: base(false),
        given: BTreeMap::from([("gate".into(), "yes".into())]),
        trains: |_| {},
    };
    for adapted in [lora.trained(), prompts.trained()] {
        let text = refused(&adapted, "lora", &[]);
        says(text, &["an adapted model", "learngene merge"]);
    }
}

/// With as many components as the mean of the old tailors has, the new tailor is that mean.
#[test]
fn a_warm_start_adds_what_related_tailors_add_on_average() {
    let (config, model) = base(true);
    let given = [("rank", "6"), ("warm", "flag,face")].map(|(n, v)| (n.into(), v.into()));
    let classes = ["heart", "bird"].map(String::from);
    let kind = method("kind").unwrap();
    let device = Device::flex();
    let given = BTreeMap::from(given);
    let (_, warm) = adapt(&config, &model, &classes, kind, &given, 1, &device).unwrap();
    let merged = |model: &Dit, gate: &[(usize, f32)]| {
        let merged = model
            .specialise(gate, Some(learngene_nn::Form::Merged))
            .unwrap();
        let values = params::values(&merged);
        ["blocks.1.mlp.input.weight", "blocks.0.attention.k.weight"]
            .map(|name| values[name].values.clone())
            .concat()
    };
    let expected = merged(&model, &[(0, 0.5), (1, 0.5)]);
    for group in 0..2 {
        let error = apart(&merged(&warm, &[(group, 1.0)]), &expected);
        assert!(error < 1e-5, "{error}");
    }
    assert!(apart(&merged(&model, &[]), &expected) > 1e-2);
}

/// Guidance against the base: for the null label a LoRA with `null=base` is the base, to the bit.
#[test]
fn a_lora_can_leave_the_null_label_to_the_base() {
    for (null, same) in [("base", true), ("adapted", false)] {
        let case = Case {
            method: method("lora").unwrap(),
            base: base(false),
            given: BTreeMap::from([("rank".into(), "2".into()), ("null".into(), null.into())]),
            trains: |_| {},
        };
        let (config, start) = case.start(&Device::flex());
        assert_eq!(config.train.null == 0, same);
        let moved = shaken(start, 0.1, |name| Part::of(name) == Part::Tailors);
        let without_label =
            |model: &Dit| params::to_vec(predicted(model, [None; 4], ClassGate::closed(4)));
        let equal = without_label(&moved) == without_label(&case.base.1);
        assert_eq!(equal, same, "null={null}");
    }
}

/// A dense model whose `mlp.input` is the `[16, 8]` matrix of `nn/tests/reference/peft_weights.py`.
fn base_of_reference() -> (RunConfig, Dit) {
    let (mut config, _) = base(false);
    (
        config.model.hidden,
        config.model.depth,
        config.model.mlp_ratio,
    ) = (8, 1, 2);
    let start = Dit::init(&config.model, config.init, 3, &Device::flex()).unwrap();
    let weight = Values {
        shape: vec![16, 8],
        values: (0..128)
            .map(|i| (0.4 * (0.9 * f64::from(i) + 0.1).sin()) as f32)
            .collect(),
    };
    let new = BTreeMap::from([("blocks.0.mlp.input.weight".into(), weight)]);
    (config, params::replace(start, new).unwrap())
}

/// What PEFT 0.21.2 leaves of W after taking its largest component out (every 17th number), by that script; and W again
/// from all components.
#[test]
fn singular_components_are_those_of_the_weight() {
    let at_start = |name: &str, given: &[(&str, &str)]| {
        let case = Case {
            method: method(name).unwrap(),
            base: base_of_reference(),
            given: given
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            trains: |_| {},
        };
        let (_, start) = case.start(&Device::flex());
        move |part: &str| {
            params::values(&start)[&format!("blocks.0.mlp.input.{part}")]
                .values
                .clone()
        }
    };
    let pissa = at_start("pissa", &[("rank", "1")]);
    let expected = [
        -0.087468,
        -0.1519196,
        -0.2399863,
        0.2344534,
        -0.01010007,
        0.3567101,
        -0.1437795,
        -0.06927246,
    ];
    for (found, expected) in pissa("weight").iter().step_by(17).zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    let (u, v) = (pissa("tailors.u"), pissa("tailors.v"));
    let length = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>();
    assert!(
        (length(&u) - length(&v)).abs() < 1e-5,
        "both take the root of sigma"
    );

    let svdiff = at_start("svdiff", &[]);
    let [u, s, v] = ["u", "s", "v"].map(|part| svdiff(&format!("weight.term.fixed.{part}")));
    for (place, w) in svdiff("weight").iter().enumerate() {
        let (i, j) = (place / 8, place % 8);
        let sum: f32 = (0..8).map(|k| s[k] * u[k * 16 + i] * v[k * 8 + j]).sum();
        assert!((sum - w).abs() < 1e-5, "{sum} {w}");
    }
}
