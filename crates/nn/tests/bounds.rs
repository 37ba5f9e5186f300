//! Configurations of any numbers: refused, or counted without a wrap, a panic or an abort.

use learngene_nn::term::{Formula, TermConfig};
use learngene_nn::{
    AdaLn, AutoencoderConfig, Basis, DitConfig, Prompts, Sharing, Superclass, TimeCode, cost,
};
use proptest::prelude::*;
use std::num::NonZeroUsize;

/// Numbers of every magnitude, and those around powers of two.
fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![
        1_usize..64,
        (0_u32..64, 0_usize..3).prop_map(|(bits, less)| (1 << bits) - less.min(1 << bits)),
        any::<usize>(),
        Just(usize::MAX),
    ]
}

prop_compose! {
    fn shapes()(
        input in [any_size(), any_size(), any_size()],
        [patch, hidden, depth, heads] in [any_size(), any_size(), any_size(), any_size()],
        [mlp_ratio, num_classes, tailor_rank] in [any_size(), any_size(), any_size()],
        [rank, bottleneck, tailors, block] in [any_size(), any_size(), any_size(), any_size()],
        kinds in 0_u32..256,
    ) -> DitConfig {
        let on = |bit: u32| kinds >> bit & 1 == 1;
        let superclass = Superclass {
            tailors: NonZeroUsize::new(tailors).unwrap_or(NonZeroUsize::MIN),
            ..Superclass::new("some", [0])
        };
        let term = TermConfig {
            sites: vec!["mlp.output".into()],
            formula: Formula::Rotation { block },
        };
        DitConfig {
            input,
            patch,
            hidden,
            depth,
            heads,
            mlp_ratio,
            num_classes,
            adaln: if on(0) { AdaLn::Shared } else { AdaLn::PerBlock },
            learn_sigma: on(1),
            time_code: TimeCode::Dit,
            mlp_norm_eps: None,
            basis: if on(2) { Basis::Dense } else { Basis::Factorised { learngene: rank } },
            attention_basis: None,
            tailor_rank: if on(3) { tailor_rank } else { 0 },
            groups: 0,
            sharing: Sharing::Class,
            superclasses: if on(4) { vec![superclass] } else { Vec::new() },
            terms: if on(5) { vec![term] } else { Vec::new() },
            bottleneck: if on(6) { bottleneck } else { 0 },
            prompts: if on(7) { Prompts::Gated } else { Prompts::None },
        }
    }
}

/// A small model of which a few numbers are anything: most of [`shapes`] are refused for their first number.
fn nearly_usual() -> impl Strategy<Value = DitConfig> {
    let usual = |(vast, chosen): (DitConfig, u32)| {
        let pick = |bit: u32, usual: usize, vast: usize| match chosen >> bit & 1 {
            1 => vast,
            _ => usual,
        };
        DitConfig {
            input: [pick(0, 3, vast.input[0]), 32, 32],
            patch: 4,
            hidden: pick(1, 96, vast.hidden),
            depth: pick(2, 4, vast.depth),
            heads: 1,
            mlp_ratio: pick(3, 4, vast.mlp_ratio),
            num_classes: pick(4, 12, vast.num_classes),
            tailor_rank: vast.tailor_rank.min(pick(5, 4, vast.tailor_rank)),
            basis: match vast.basis {
                Basis::Dense => Basis::Dense,
                Basis::Factorised { learngene } => Basis::Factorised {
                    learngene: pick(6, 16, learngene),
                },
            },
            ..vast
        }
    };
    (shapes(), any::<u32>()).prop_map(usual)
}

fn counted(config: DitConfig, batch: usize) {
    // Fills in the number of groups; refuses what is none.
    let Ok(config) = config.clone().with_superclasses(config.superclasses) else {
        return;
    };
    let plan = cost::plan(&config);
    let parts = [
        plan.learngene,
        plan.tailors,
        plan.dense,
        plan.adapters,
        plan.rest,
    ];
    let of_parts: u128 = parts.iter().map(|part| u128::from(part.parameters)).sum();
    assert_eq!(u128::from(plan.total.parameters), of_parts);
    assert_eq!(plan.total.bytes / 4, plan.total.parameters);
    assert_eq!(plan.training_state_bytes / 20, plan.total.parameters);
    let macs = [
        plan.learngene,
        plan.tailors,
        plan.dense,
        plan.attention,
        plan.adapters,
        plan.rest,
    ];
    let of_parts: u128 = macs.iter().map(|part| u128::from(part.macs)).sum();
    assert_eq!(u128::from(plan.total.macs), of_parts);
    assert!(cost::step_bytes(&config, batch, false) >= 16 * plan.total.parameters);
    cost::step_bytes(&config, batch, true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_model_of_any_numbers_is_refused_or_counted(config in shapes(), batch in any_size()) {
        counted(config, batch);
    }

    #[test]
    fn a_model_with_some_vast_numbers_is_refused_or_counted(
        config in nearly_usual(),
        batch in any_size(),
    ) {
        counted(config, batch);
    }

    #[test]
    fn an_autoencoder_of_any_numbers_is_refused_or_counted(
        sizes in prop::collection::vec(any_size(), 5),
        channels in prop::collection::vec(any_size(), 0..20),
        image in [any_size(), any_size(), any_size()],
    ) {
        let config = AutoencoderConfig {
            image_channels: sizes[0],
            latent_channels: sizes[1],
            channels,
            layers: sizes[2],
            norm_groups: sizes[3],
            ..AutoencoderConfig::small(3, sizes[4])
        };
        if config.validate().is_ok() {
            prop_assert!(config.least_parameters() < 1 << 32);
            let _fits_or_not = config.latent_shape(image);
        }
    }
}
