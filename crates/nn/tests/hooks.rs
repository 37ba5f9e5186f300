//! What a caller can do at points of a forward pass, on dense and factorised models under mixed gates: nothing, the keys
//! and values of a frozen twin, experts, prompts; and factors that layers share.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use common::{Batch, filled, normals, reference::Reference, relative, wide};
use learngene_nn::{
    ClassGate, Components, DenseProjection, Dit, DitConfig, FactorisedProjection, GatePlan, Hook,
    Mlp, Projection, Prompts, RankSplit,
    params::{self, Values, Visit},
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

/// Largest difference allowed, relative to the largest value: sums of a few hundred products in another order.
const TOLERANCE: f64 = 1e-4;
/// Blocks of the models.
const DEPTH: usize = 2;

fn dense() -> DitConfig {
    DitConfig {
        input: [2, 4, 6],
        hidden: 12,
        heads: 3,
        depth: DEPTH,
        mlp_ratio: 2,
        ..DitConfig::from_size("dit-micro/2", [2, 4, 6], 4).unwrap()
    }
}

/// Dense, KIND's, and KIND's with all that stands around a block.
fn configs() -> [DitConfig; 3] {
    let split = RankSplit {
        learngene: 5,
        tailor: 2,
    };
    let kind = dense().with_rank_split(split).unwrap();
    let more = DitConfig {
        bottleneck: 3,
        prompts: Prompts::Gated,
        mlp_norm_eps: Some(1e-2),
        ..kind.clone()
    };
    [dense(), kind, more]
}

fn model(config: &DitConfig) -> Dit {
    filled(config, 5, &Device::flex().autodiff())
}

/// Labels and gates of all kinds: one tailor, none, two of them weighed.
fn batch(config: &DitConfig) -> Batch {
    let on = |list: &[(usize, f32)]| match config.groups {
        0 => Vec::new(),
        _ => list.to_vec(),
    };
    let samples = vec![
        (Some(0), on(&[(0, 1.0)])),
        (Some(3), on(&[(3, 1.0)])),
        (None, Vec::new()),
        (Some(1), on(&[(1, 0.75), (2, -0.5)])),
        (Some(2), on(&[(2, 1.0)])),
    ];
    Batch::of(config, samples)
}

fn hooked(model: &Dit, batch: &Batch, hook: &dyn Hook) -> Tensor<4> {
    let conditions = batch.conditions(batch.lists.clone());
    model
        .forward_hooked(batch.images(model), &conditions, hook)
        .unwrap()
}

/// Gradients of the output's sum weighted with fixed random numbers.
fn backward(output: &Tensor<4>) -> Gradients {
    let weights = normals(5, output.dims().iter().product());
    let weights = TensorData::new(weights, output.dims());
    (output.clone() * Tensor::from_data(weights, &output.device()))
        .sum()
        .backward()
}

/// Those of the parameters that have one, by name.
fn by_name(model: &Dit, grads: &Gradients) -> BTreeMap<String, Vec<f64>> {
    struct Collect<'a>(&'a Gradients, BTreeMap<String, Vec<f64>>);
    impl Visit for Collect<'_> {
        fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
            if let Some(grad) = value.grad(self.0) {
                self.1.insert(name.into(), wide(grad));
            }
        }
    }
    let mut collect = Collect(grads, BTreeMap::new());
    params::visit(model, &mut collect);
    collect.1
}

/// The same gradients within float tolerance; those of the keys' biases are zero but for rounding.
fn assert_alike(found: &BTreeMap<String, Vec<f64>>, expected: &BTreeMap<String, Vec<f64>>) {
    assert!(found.keys().eq(expected.keys()));
    for (name, grad) in found.iter().filter(|g| !g.0.ends_with("attention.k.bias")) {
        let error = relative(grad, &expected[name]);
        assert!(error < TOLERANCE, "{name}: {error:e}");
    }
}

/// The whole of a block by its operators, with nothing changed.
struct Inside;

impl Hook for Inside {
    fn reaches_inside(&self, _: usize) -> bool {
        true
    }
}

#[test]
fn a_hook_that_does_nothing_changes_nothing() {
    for config in configs() {
        let (model, batch) = (model(&config), batch(&config));
        let plain = batch.predict(&model);
        let expected = wide(plain.clone());
        assert_eq!(wide(hooked(&model, &batch, &())), expected);

        let inside = hooked(&model, &batch, &Inside);
        let error = relative(&wide(inside.clone()), &expected);
        assert!(error < TOLERANCE, "{error:e}");
        let grads = [plain, inside].map(|output| by_name(&model, &backward(&output)));
        assert!(grads[0].len() == params::layout(&config).len());
        assert_alike(&grads[1], &grads[0]);
    }
}

/// Keys and values of each block, as the model made them; and what left each block.
#[derive(Default)]
struct Record {
    keys_values: RefCell<Vec<(Tensor<3>, Tensor<3>)>>,
    outputs: RefCell<Vec<Tensor<3>>>,
}

impl Hook for Record {
    fn reaches_inside(&self, _: usize) -> bool {
        true
    }

    fn keys_values(&self, block: usize, k: Tensor<3>, v: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let mut all = self.keys_values.borrow_mut();
        assert_eq!(all.len(), block);
        all.push((k.clone().detach(), v.clone().detach()));
        (k, v)
    }

    fn block_output(&self, block: usize, x: &Tensor<3>) {
        let mut all = self.outputs.borrow_mut();
        assert_eq!(all.len(), block);
        all.push(x.clone());
    }
}

/// Keys and values of a twin in the blocks in which it speaks.
struct Twin {
    keys_values: Vec<(Tensor<3>, Tensor<3>)>,
    speaks: [bool; DEPTH],
}

impl Hook for Twin {
    fn reaches_inside(&self, block: usize) -> bool {
        self.speaks[block]
    }

    fn keys_values(&self, block: usize, _: Tensor<3>, _: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        assert!(self.speaks[block]);
        self.keys_values[block].clone()
    }
}

/// StochCA (arXiv 2402.16092): queries of the student, keys and values of the model that it was a copy of.
#[test]
fn keys_and_values_of_a_frozen_twin_take_the_place_of_the_students() {
    let of_keys_values =
        |name: &str| name.contains(".attention.k.") || name.contains(".attention.v.");
    for config in configs() {
        let (twin, batch) = (model(&config), batch(&config));
        let record = Record::default();
        let expected = wide(hooked(&twin, &batch, &record));
        assert_eq!(record.outputs.borrow().len(), DEPTH);
        let keys_values = record.keys_values.take();
        let with_twin = |student: &Dit, speaks: [bool; DEPTH]| {
            let keys_values = keys_values.clone();
            hooked(
                student,
                &batch,
                &Twin {
                    keys_values,
                    speaks,
                },
            )
        };
        let apart = |output: Tensor<4>| relative(&wide(output), &expected);
        assert!(apart(with_twin(&twin, [true; DEPTH])) < TOLERANCE);
        assert!(apart(batch.predict(&twin)) < TOLERANCE);

        let mut values = params::values(&twin);
        values.retain(|name, _| of_keys_values(name));
        for value in values.values_mut() {
            value.values.iter_mut().for_each(|x| *x = 0.1 - 0.5 * *x);
        }
        let student = params::replace(twin.clone(), values).unwrap();
        assert!(apart(batch.predict(&student)) > 1e-2);
        for speaks in [[true, false], [false, true]] {
            assert!(apart(with_twin(&student, speaks)) > 1e-2, "{speaks:?}");
        }
        let output = with_twin(&student, [true; DEPTH]);
        assert!(apart(output.clone()) < TOLERANCE);

        let grads = by_name(&student, &backward(&output));
        for name in params::layout(&config).keys() {
            let moved = grads.get(name).is_some_and(|g| g.iter().any(|g| *g != 0.0));
            assert_eq!(moved, !of_keys_values(name), "{name}");
        }
    }
}

/// A key that comes twice with the values v and 3 v counts as one with 2 v, but for the weight it takes from the others:
/// so every key comes twice.
#[test]
fn there_may_be_more_keys_than_queries() {
    struct Several(Vec<f32>);
    impl Hook for Several {
        fn reaches_inside(&self, _: usize) -> bool {
            true
        }
        fn keys_values(&self, _: usize, k: Tensor<3>, v: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
            let scaled = self.0.iter().map(|scale| v.clone() * *scale);
            let keys = vec![k; self.0.len()];
            (Tensor::cat(keys, 1), Tensor::cat(scaled.collect(), 1))
        }
    }
    for config in configs() {
        let (model, batch) = (model(&config), batch(&config));
        let with = |scales: &[f32]| wide(hooked(&model, &batch, &Several(scales.to_vec())));
        let (twice, once) = (with(&[1.0, 3.0]), with(&[2.0]));
        assert!(relative(&twice, &once) < TOLERANCE);
        assert!(relative(&once, &wide(batch.predict(&model))) > 1e-2);
    }
}

/// Some columns of what components make, or of what they read.
fn columns(x: &Param<Tensor<2>>, units: &[Range<usize>]) -> Param<Tensor<2>> {
    rows_of(x.val().transpose(), units, |x| x.transpose())
}

fn rows(x: &Param<Tensor<2>>, units: &[Range<usize>]) -> Param<Tensor<2>> {
    rows_of(x.val(), units, |x| x)
}

/// A tensor in the place of a parameter: what is computed with it reaches what it was made of.
fn rows_of(
    x: Tensor<2>,
    units: &[Range<usize>],
    then: impl Fn(Tensor<2>) -> Tensor<2>,
) -> Param<Tensor<2>> {
    let [_, n] = x.dims();
    let some = units.iter().map(|u| x.clone().slice([u.clone(), 0..n]));
    Param::initialized(ParamId::new(), then(Tensor::cat(some.collect(), 0)))
}

/// The perceptron of some of the hidden units of another one, and its share of the bias.
fn expert(mlp: &Mlp, units: &[Range<usize>], share: f32) -> Mlp {
    type Side = fn(&Param<Tensor<2>>, &[Range<usize>]) -> Param<Tensor<2>>;
    let same: Side = |x, _| x.clone();
    let make = |projection: &Projection, weight: Side, u: Side, v: Side, bias: Param<Tensor<1>>| {
        let cut = |c: &Components| Components {
            u: u(&c.u, units),
            s: c.s.clone(),
            v: v(&c.v, units),
        };
        match projection {
            Projection::Dense(p) => Projection::Dense(DenseProjection {
                weight: weight(&p.weight, units),
                tailors: p.tailors.as_ref().map(cut),
                bias,
            }),
            Projection::Factorised(p) => Projection::Factorised(FactorisedProjection {
                learngene: cut(&p.learngene),
                tailors: p.tailors.as_ref().map(cut),
                bias,
            }),
        }
    };
    let bias = |p: &Projection| match p {
        Projection::Dense(p) => p.bias.val(),
        Projection::Factorised(p) => p.bias.val(),
    };
    let computed = |bias: Tensor<1>| Param::initialized(ParamId::new(), bias);
    let some = units.iter().map(|u| bias(&mlp.input).slice([u.clone()]));
    let hidden = computed(Tensor::cat(some.collect(), 0));
    let outer = computed(bias(&mlp.output) * share);
    Mlp {
        input: make(&mlp.input, rows, columns, same, hidden),
        output: make(&mlp.output, columns, same, columns, outer),
    }
}

/// Experts of each block, all for every sample, or each for the samples that are routed to it.
struct Experts {
    of_block: Vec<Vec<Mlp>>,
    plan: GatePlan,
    /// Samples of each expert and their gate; none where all experts add up.
    routes: Option<Vec<(Vec<usize>, GatePlan)>>,
}

impl Hook for Experts {
    fn reaches_inside(&self, _: usize) -> bool {
        true
    }

    fn mlp(&self, block: usize, normal: &Tensor<3>) -> Option<Tensor<3>> {
        let experts = &self.of_block[block];
        let Some(routes) = &self.routes else {
            let all = experts
                .iter()
                .map(|e| e.forward(normal.clone(), &self.plan));
            return all.reduce(|sum, one| sum + one);
        };
        let mut samples = vec![None; normal.dims()[0]];
        for (expert, (of_expert, plan)) in experts.iter().zip(routes) {
            let some = |x: &Tensor<3>| -> Vec<Tensor<3>> {
                let one = |&i: &usize| x.clone().narrow(0, i, 1);
                of_expert.iter().map(one).collect()
            };
            let made = expert.forward(Tensor::cat(some(normal), 0), plan);
            for (at, &sample) in of_expert.iter().enumerate() {
                samples[sample] = Some(made.clone().narrow(0, at, 1));
            }
        }
        Some(Tensor::cat(
            samples.into_iter().map(Option::unwrap).collect(),
            0,
        ))
    }
}

/// MoEBERT (arXiv 2204.07675): the MLP's units dealt out to experts, which may have some of them in common.
#[test]
fn experts_take_the_place_of_the_mlp() {
    for config in configs() {
        let (model, batch) = (model(&config), batch(&config));
        let half = config.mlp_hidden() / 2;
        let plain = batch.predict(&model);
        let expected = by_name(&model, &backward(&plain));
        let per_sample = |output: Tensor<4>| -> Vec<Vec<f64>> {
            let size = output.dims()[1..].iter().product();
            wide(output).chunks(size).map(<[f64]>::to_vec).collect()
        };
        let plan =
            |lists: &[Vec<(usize, f32)>]| model.plan(&ClassGate::new(lists.to_vec())).unwrap();
        let experts = |units: &[&[Range<usize>]], share| -> Vec<Vec<Mlp>> {
            let of = |mlp: &Mlp| units.iter().map(|u| expert(mlp, u, share)).collect();
            model.blocks.iter().map(|block| of(&block.mlp)).collect()
        };
        let run = |of_block, routes| {
            let plan = plan(&batch.lists);
            let hook = Experts {
                of_block,
                plan,
                routes,
            };
            hooked(&model, &batch, &hook)
        };

        let [first, second, whole] = [0..half, half..2 * half, 0..2 * half].map(|units| [units]);
        let sums = [experts(&[&whole], 1.0), experts(&[&first, &second], 0.5)];
        for of_block in sums {
            let output = run(of_block, None);
            let error = relative(&wide(output.clone()), &wide(plain.clone()));
            assert!(error < TOLERANCE, "{error:e}");
            assert_alike(&by_name(&model, &backward(&output)), &expected);
        }

        // Half of the first half is in both; even labels go to one expert, odd ones and the null label to the other.
        let (shared, rest) = (0..half / 2, half / 2..half);
        let [second] = second;
        let both = experts(&[&[shared.clone(), rest], &[shared, second]], 1.0);
        let even = |label: &Option<usize>| label.is_some_and(|l| l % 2 == 0);
        let route = |want: bool| {
            let samples = 0..batch.labels.len();
            let samples: Vec<usize> = samples
                .filter(|&i| even(&batch.labels[i]) == want)
                .collect();
            let lists: Vec<_> = samples.iter().map(|&i| batch.lists[i].clone()).collect();
            (samples, plan(&lists))
        };
        let routed = per_sample(run(both.clone(), Some(vec![route(true), route(false)])));
        let alone = [0, 1].map(|e| {
            let of_block = both.iter().map(|all| vec![all[e].clone()]).collect();
            per_sample(run(of_block, None))
        });
        let plain = per_sample(plain);
        for (i, label) in batch.labels.iter().enumerate() {
            let [own, other] = if even(label) { [0, 1] } else { [1, 0] };
            assert!(
                relative(&routed[i], &alone[own][i]) < TOLERANCE,
                "{label:?}"
            );
            assert!(relative(&routed[i], &alone[other][i]) > 1e-3, "{label:?}");
            assert!(relative(&routed[i], &plain[i]) > 1e-3, "{label:?}");
        }
    }
}

/// A prompt that a caller adds is, to the bit and in its gradients, the one that a model can have of its own.
#[test]
fn a_prompt_of_a_hook_is_that_of_a_model() {
    struct Prompt(Vec<Tensor<2>>);
    impl Hook for Prompt {
        fn block_input(&self, block: usize, x: Tensor<3>, condition: &Tensor<2>) -> Tensor<3> {
            assert_eq!(condition.dims(), [x.dims()[0], x.dims()[2]]);
            x + self.0[block].clone().unsqueeze::<3>()
        }
    }
    let [dense, kind, _] = configs();
    for config in [dense, kind] {
        let prompted = DitConfig {
            prompts: Prompts::Plain,
            ..config.clone()
        };
        let (with, batch) = (model(&prompted), batch(&config));
        let mut values = params::values(&with);
        let own: Vec<Values> = (0..DEPTH)
            .map(|l| values.remove(&format!("blocks.{l}.prompt.tokens")).unwrap())
            .collect();
        let without = params::replace(model(&config), values).unwrap();
        let tensor = |v: &Values| {
            let data = TensorData::new(v.values.clone(), v.shape.clone());
            Tensor::from_data(data, &without.device()).require_grad()
        };
        let prompts: Vec<Tensor<2>> = own.iter().map(tensor).collect();
        let output = hooked(&without, &batch, &Prompt(prompts.clone()));
        let native = batch.predict(&with);
        assert_eq!(wide(output.clone()), wide(native.clone()));
        assert!(relative(&wide(output.clone()), &wide(batch.predict(&without))) > 1e-2);

        let expected = by_name(&with, &backward(&native));
        let grads = backward(&output);
        for (l, prompt) in prompts.iter().enumerate() {
            let grad = wide(prompt.grad(&grads).unwrap());
            assert!(grad.iter().any(|g| *g != 0.0));
            assert_eq!(grad, expected[&format!("blocks.{l}.prompt.tokens")]);
        }
    }
}

/// FINE (arXiv 2409.19289): U and V of a matrix are one parameter in all layers, sigma is each layer's own. What reaches
/// U and V is the sum over layers.
#[test]
fn factors_that_layers_share_get_the_gradient_of_all_of_them() {
    const STEP: f64 = 1e-4;
    let [_, config, _] = configs();
    let (mut shared, batch) = (model(&config), batch(&config));
    let mut rest = shared.blocks.split_off(1);
    let first = &shared.blocks[0];
    for block in &mut rest {
        let pairs = [
            (&mut block.attention.q, &first.attention.q),
            (&mut block.attention.k, &first.attention.k),
            (&mut block.attention.v, &first.attention.v),
            (&mut block.attention.o, &first.attention.o),
            (&mut block.mlp.input, &first.mlp.input),
            (&mut block.mlp.output, &first.mlp.output),
        ];
        for pair in pairs {
            let (Projection::Factorised(to), Projection::Factorised(from)) = pair else {
                panic!("a factorised model");
            };
            to.learngene.u = from.learngene.u.clone();
            to.learngene.v = from.learngene.v.clone();
        }
    }
    shared.blocks.extend(rest);

    let found = by_name(&shared, &backward(&batch.predict(&shared)));
    // The same values, each layer with parameters of its own.
    let apart = params::replace(model(&config), params::values(&shared)).unwrap();
    let of_layers = by_name(&apart, &backward(&batch.predict(&apart)));
    let mut reference = Reference::of(&shared);
    let mut slope = |names: &[String], at: usize| {
        let mut side = |step: f64| {
            let all = &mut reference.params;
            names
                .iter()
                .for_each(|n| all.get_mut(n).unwrap()[at] += step);
            let output = reference.forward(&batch);
            let weights = normals(5, output.len());
            let products = output.iter().zip(weights).map(|(o, w)| o * f64::from(w));
            products.sum::<f64>()
        };
        let (up, down) = (side(STEP), side(-2.0 * STEP));
        side(STEP);
        (up - down) / (2.0 * STEP)
    };
    for site in learngene_nn::term::SITES {
        for factor in ["u", "v", "s"] {
            let name = |l: usize| format!("blocks.{l}.{site}.learngene.{factor}");
            let names: Vec<String> = (0..DEPTH).map(name).collect();
            let layers: Vec<&Vec<f64>> = names.iter().map(|n| &of_layers[n]).collect();
            if factor == "s" {
                for (name, expected) in names.iter().zip(layers) {
                    assert!(relative(&found[name], expected) < TOLERANCE, "{name}");
                }
                continue;
            }
            let pairs = layers[0].iter().zip(layers[1]);
            let sum: Vec<f64> = pairs.map(|(a, b)| a + b).collect();
            assert!(relative(layers[0], &sum) > 1e-2, "{site}.{factor}");
            let peak = sum.iter().fold(0f64, |m, g| m.max(g.abs()));
            for name in &names {
                let error = relative(&found[name], &sum);
                assert!(error < TOLERANCE, "{name}: {error:e}");
            }
            for at in [0, sum.len() / 2, sum.len() - 1] {
                let error = (found[&names[0]][at] - slope(&names, at)).abs() / peak;
                assert!(error < 1e-3, "{site}.{factor}[{at}]: {error:e}");
            }
        }
    }
}
