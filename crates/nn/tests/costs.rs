//! The plan of costs beside what a forward pass multiplies.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::{Device, Distribution, Tensor};
use learngene_kernels::counting_macs;
use learngene_nn::{
    ClassGate, Conditions, Dit, DitConfig, FactorInit, Prompts, Sharing, Superclass, cost,
};

/// Multiply-accumulates of a forward pass of an image of each label.
fn measured(model: &Dit, labels: &[Option<usize>]) -> u64 {
    let [c, h, w] = model.config().input;
    let shape = [labels.len(), c, h, w];
    let noise = Distribution::Normal(0.0, 1.0);
    let images = Tensor::<4>::random(shape, noise, &Device::flex());
    let conditions = Conditions {
        times: vec![300.0; labels.len()],
        labels: labels.to_vec(),
        gate: model.fit_gate(ClassGate::one_hot(labels.iter().copied())),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pass = || counting_macs(|| model.forward(images, &conditions).unwrap()).1;
    pool.unwrap().install(pass)
}

/// What vectors add to that: inner products come sixteen at a time, and those beyond the active rank are nobody's.
fn padding(config: &DitConfig, tailors: usize) -> u64 {
    let rank = config.learngene_rank().unwrap_or(0) + tailors * config.tailor_rank;
    // Inputs of the six matrices of a block: the four of attention and the first of the MLP, and its second.
    let inputs = 5 * config.hidden + config.mlp_hidden();
    let passes = config.depth * config.tokens();
    (passes * inputs * (rank.next_multiple_of(16) - rank)) as u64
}

fn model(config: &DitConfig) -> Dit {
    Dit::init(config, FactorInit::Orthogonal, 1, &Device::flex()).unwrap()
}

/// Two classes, one of them twice: what is gathered, a run, and an image that switches nothing on.
const LABELS: [Option<usize>; 4] = [Some(0), Some(2), Some(2), None];

#[test]
fn a_pass_multiplies_what_the_plan_says() {
    let dense = DitConfig::from_size("dit-micro/4", [3, 16, 16], 3).unwrap();
    let kind = |split: &str| {
        dense
            .clone()
            .with_rank_split(split.parse().unwrap())
            .unwrap()
    };
    let shared = Superclass {
        tailors: 2.try_into().unwrap(),
        ..Superclass::new("all", [0, 1, 2])
    };
    let tree = kind("40,4").with_superclasses(vec![shared]).unwrap();
    let lora = dense
        .clone()
        .with_shared_tailor(16, Sharing::Every)
        .unwrap();
    let control = dense.clone().with_tailors(5).unwrap();
    let adapters = DitConfig {
        bottleneck: 5,
        ..dense.clone()
    };
    let prompts = |prompts, config: DitConfig| DitConfig { prompts, ..config };
    for config in [
        prompts(Prompts::Plain, dense.clone()),
        prompts(Prompts::Gated, kind("24,8")),
        dense.clone(),
        kind("24,8"),
        kind("37,3"),
        tree,
        lora,
        control,
        adapters,
    ] {
        let plan = cost::plan(&config);
        let of = |label: &Option<usize>| match (label, config.sharing) {
            (None, Sharing::Class) if config.groups > 0 => {
                plan.learngene_only.macs + plan.adapters.macs + padding(&config, 0)
            }
            _ => plan.total.macs + padding(&config, config.switched_on()),
        };
        let expected: u64 = LABELS.iter().map(of).sum();
        let (basis, groups) = (config.basis, config.groups);
        assert_eq!(
            measured(&model(&config), &LABELS),
            expected,
            "{basis:?}, {groups} groups"
        );
    }
}

/// Neither what is stored for other classes nor what training would need is computed.
#[test]
fn a_model_for_one_gate_multiplies_what_its_plan_says() {
    let dense = DitConfig::from_size("dit-micro/4", [3, 16, 16], 3).unwrap();
    for split in ["24,8", "80,8"] {
        let kind = dense
            .clone()
            .with_rank_split(split.parse().unwrap())
            .unwrap();
        let special = model(&kind).specialise(&[(1, 1.0)], None).unwrap();
        let shape = special.config();
        let expected = cost::plan(shape).total.macs + padding(shape, 0);
        assert_eq!(measured(&special, &[Some(1)]), expected, "{split}");
    }
}
