//! The three forms of the model are one model: on random shapes and gates, the gathered form equals a reference in f64
//! written from the formula, and the single-class and merged forms equal the gathered one.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use burn::tensor::Device;
use common::{Batch, Sample, filled, reference::Reference, relative, wide};
use learngene_nn::{AdaLn, Basis, Dit, DitConfig, Form, Prompts, Sharing, TimeCode, cost, params};
use proptest::prelude::*;

/// Largest difference allowed, relative to the largest output. Sums of a few hundred f32 products differ by 1e-6.
const TOLERANCE: f64 = 1e-4;

/// Small models of every kind: one token or several, dense or factorised, with tailors or without.
fn configs() -> impl Strategy<Value = DitConfig> {
    let shape = (1..=2usize, 1..=3usize, 1..=2usize, 1..=2usize, 1..=3usize);
    let kind = (any::<bool>(), any::<bool>(), 1..=4usize);
    let ranks = (0..=5usize, 0..=3usize);
    let prompts = prop_oneof![
        3 => Just(Prompts::None),
        1 => Just(Prompts::Plain),
        1 => Just(Prompts::Gated),
    ];
    (shape, kind, ranks, prompts).prop_map(
        |(
            (rows, columns, channels, depth, heads),
            (shared, learn_sigma, classes),
            ranks,
            prompts,
        )| {
            let (learngene, tailor_rank) = ranks;
            DitConfig {
                input: [channels, 2 * rows, 2 * columns],
                patch: 2,
                hidden: 4 * heads,
                depth,
                heads,
                mlp_ratio: 1 + classes % 4,
                num_classes: classes,
                adaln: if shared {
                    AdaLn::Shared
                } else {
                    AdaLn::PerBlock
                },
                learn_sigma,
                time_code: TimeCode::Dit,
                mlp_norm_eps: None,
                basis: match learngene.min(4 * heads - tailor_rank) {
                    0 => Basis::Dense,
                    learngene => Basis::Factorised { learngene },
                },
                attention_basis: None,
                tailor_rank,
                groups: if tailor_rank == 0 { 0 } else { classes },
                sharing: Sharing::Class,
                superclasses: Vec::new(),
                terms: Vec::new(),
                bottleneck: 0,
                prompts,
            }
        },
    )
}

/// Samples whose labels and groups [`batch`] reduces to those the model has.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let weight = prop_oneof![Just(1.0f32), -1.5..1.5f32];
    let list = prop::collection::vec((0..12usize, weight), 0..=3);
    let sample = (prop::option::of(0..12usize), list);
    // a short pool of samples that repeats, so that runs of equal gates come up as well as mixed ones
    (
        prop::collection::vec(sample, 1..=4),
        prop::collection::vec(0..4usize, 1..=7),
    )
        .prop_map(|(pool, order)| order.iter().map(|i| pool[i % pool.len()].clone()).collect())
}

fn batch(config: &DitConfig, samples: Vec<Sample>) -> Batch {
    let fit = |(label, list): Sample| {
        let label = label.map(|l| l % config.num_classes);
        let groups = list.into_iter().filter(|_| config.groups > 0);
        let list = groups.map(|(g, a)| (g % config.groups.max(1), a)).collect();
        (label, list)
    };
    Batch::of(config, samples.into_iter().map(fit).collect())
}

/// The prediction of the model specialised for a gate all samples share.
fn specialised(model: &Dit, batch: &Batch, form: Option<Form>) -> Vec<f64> {
    let special = model.specialise(&batch.lists[0], form).unwrap();
    assert_config_is_true(&special);
    let conditions = batch.conditions(vec![Vec::new(); batch.labels.len()]);
    wide(special.forward(batch.images(model), &conditions).unwrap())
}

/// The configuration implies exactly the parameters the model holds, and its cost counts them.
fn assert_config_is_true(model: &Dit) {
    let held = params::values(model);
    let shapes = held.iter().map(|(n, v)| (n.clone(), v.shape.clone()));
    assert_eq!(
        shapes.collect::<params::Layout>(),
        params::layout(model.config())
    );
    let count: usize = held.values().map(|v| v.values.len()).sum();
    assert_eq!(cost::plan(model.config()).total.parameters, count as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mixed_batch_is_what_the_formula_says(config in configs(), samples in samples()) {
        let model = filled(&config, 1, &Device::flex());
        let batch = batch(&config, samples);
        let expected = Reference::of(&model).forward(&batch);
        let error = relative(&wide(batch.predict(&model)), &expected);
        prop_assert!(error < TOLERANCE, "{error:e}");
    }

    #[test]
    fn the_three_forms_agree(config in configs(), samples in samples(), count in 1..=4usize) {
        let model = filled(&config, 2, &Device::flex());
        let one = batch(&config, vec![samples[0].clone(); count]);
        let gathered = wide(one.predict(&model));
        for form in [None, Some(Form::SingleClass), Some(Form::Merged)] {
            let error = relative(&specialised(&model, &one, form), &gathered);
            prop_assert!(error < TOLERANCE, "{form:?}: {error:e}");
        }
    }
}

/// Per matrix the cost model merges once R (m + n) > m n: for d x d above d / 2, for d x 4d above 4 d / 5.
#[test]
fn each_matrix_takes_the_cheaper_form_and_the_config_says_which() {
    let dense = DitConfig {
        input: [1, 4, 4],
        hidden: 40,
        heads: 2,
        depth: 2,
        ..DitConfig::from_size("dit-micro/2", [1, 4, 4], 3).unwrap()
    };
    let factorised = |learngene| Some(Basis::Factorised { learngene });
    for (learngene, basis, attention) in [
        (12, factorised(20), None),
        (13, factorised(21), Some(Basis::Dense)),
        (23, factorised(31), Some(Basis::Dense)),
        (25, Some(Basis::Dense), None),
    ] {
        let config = DitConfig {
            basis: Basis::Factorised { learngene },
            ..dense.clone()
        };
        let config = config.with_tailors(8).unwrap();
        let whole = filled(&config, 3, &Device::flex());
        let of = |form| whole.specialise(&[(1, 1.0)], form).unwrap();
        let special = of(None);
        assert_config_is_true(&special);
        let macs = |form| cost::plan(of(form).config()).total.macs;
        let forced = macs(Some(Form::SingleClass)).min(macs(Some(Form::Merged)));
        // a mixture is cheaper than either pure form
        assert_eq!(macs(None) < forced, attention.is_some(), "{learngene}");
        assert!(macs(None) <= forced, "{learngene}");
        let found = special.config();
        assert_eq!(
            (Some(found.basis), found.attention_basis),
            (basis, attention),
            "{learngene}"
        );
        found.validate().unwrap();
        let json = serde_json::to_string(found).unwrap();
        assert_eq!(serde_json::from_str::<DitConfig>(&json).unwrap(), *found);
        // what the configuration describes can be built and takes these parameters
        let start = filled(found, 4, &Device::flex());
        assert_eq!(
            params::values(&params::replace(start, params::values(&special)).unwrap()),
            params::values(&special)
        );
    }
}
