//! What a configuration costs before it is built: parameters, multiply-accumulates, bytes.
//!
//! Counts follow from [`crate::params::layout`], so they cannot disagree with the model. Multiply-accumulates are those
//! of matrix products, per forward pass of one image. A configuration that [`DitConfig::validate`] accepts has counts far
//! below 2^64; only what a number of images is multiplied into can be more, and is `u64::MAX` then.

use crate::{
    config::{AdaLn, DitConfig, Prompts},
    embed::TIME_FEATURES,
    params::{Part, layout, projections},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Bytes of one f32.
const F32: u64 = 4;

/// Parameters, multiply-accumulates and bytes of one part of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Stored parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one forward pass of one image.
    pub macs: u64,
    /// Bytes of the stored parameters in f32, without the header of a file.
    pub bytes: u64,
}

/// The cost of a model by component and in total.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Components that every sample runs through: `N_G` of every matrix.
    pub learngene: Cost,
    /// One tailor in all matrices, running for one sample of its class.
    pub tailor: Cost,
    /// All tailors as stored; one of them runs for a sample, and those of its superclass where it has one.
    pub tailors: Cost,
    /// Dense projection matrices (dense models only).
    pub dense: Cost,
    /// Products of attention, which have no parameters.
    pub attention: Cost,
    /// Terms, bottlenecks and prompts. The multiply-accumulates of a term, which makes a weight, are spent once in a forward pass
    /// and counted as for a pass of one image.
    pub adapters: Cost,
    /// Biases, adaLN, embeddings and the output layer.
    pub rest: Cost,
    /// Everything; multiply-accumulates with the tailors of one sample on.
    pub total: Cost,
    /// Without any tailor: what the learngene alone stores and runs.
    pub learngene_only: Cost,
    /// Bytes while training: weights, gradients, two moments and the moving average, all f32.
    pub training_state_bytes: u64,
    /// Bytes of activations kept for the backward pass, per image (an estimate: see the source).
    pub activation_bytes_per_image: u64,
}

/// The cost of a model of that configuration.
pub fn plan(config: &DitConfig) -> Plan {
    let mut parameters: BTreeMap<Part, u64> = BTreeMap::new();
    let mut dense = 0;
    for (name, shape) in layout(config) {
        let count = shape.iter().product::<usize>() as u64;
        if shape.len() == 2 && is_projection_weight(&name) {
            dense += count;
        } else {
            *parameters.entry(Part::of(&name)).or_default() += count;
        }
    }
    let of = |part| parameters.get(&part).copied().unwrap_or(0);
    let (t, d, depth) = (
        config.tokens() as u64,
        config.hidden as u64,
        config.depth as u64,
    );
    let (mut sides, mut learngene_macs, mut dense_macs) = (0, 0, 0);
    let mut adapter_macs = depth * t * 2 * d * config.bottleneck as u64;
    if config.prompts == Prompts::Gated {
        adapter_macs += t * d;
    }
    for (site, n, m) in projections(config) {
        sides += (n + m) as u64;
        let making = config.form_at(site).map_or(0, |formula| formula.macs(m, n));
        adapter_macs += depth * making;
        match config.basis_of(n, m).rank() {
            Some(rank) => learngene_macs += depth * t * (rank * (n + m)) as u64,
            None => dense_macs += depth * t * (n * m) as u64,
        }
    }

    let patch_out = (config.patch * config.patch * config.out_channels()) as u64;
    let modulation = 6
        * d
        * d
        * if config.adaln == AdaLn::Shared {
            1
        } else {
            depth
        };
    let embed = (TIME_FEATURES as u64 + d) * d;
    let rest_macs =
        t * d * (config.patch_len() as u64 + patch_out) + modulation + 2 * d * d + embed;

    let cost = |parameters: u64, macs: u64| Cost {
        parameters,
        macs,
        bytes: parameters * F32,
    };
    let groups = config.groups as u64;
    let tailors = of(Part::Tailors);
    let tailor_macs = depth * t * sides * config.tailor_rank as u64;
    let learngene = cost(of(Part::Learngene), learngene_macs);
    let tailor = cost(tailors.checked_div(groups).unwrap_or(0), tailor_macs);
    let tailors = cost(tailors, config.switched_on() as u64 * tailor_macs);
    let dense = cost(dense, dense_macs);
    let attention = cost(0, depth * 2 * t * t * d);
    let adapters = cost(of(Part::Adapters) + of(Part::Fixed), adapter_macs);
    let rest = cost(
        of(Part::Rest) + of(Part::Biases) + of(Part::Labels),
        rest_macs,
    );
    let add = |parts: &[Cost]| {
        cost(
            parts.iter().map(|c| c.parameters).sum(),
            parts.iter().map(|c| c.macs).sum(),
        )
    };
    let learngene_only = add(&[learngene, dense, attention, rest]);
    let total = add(&[learngene_only, adapters, tailors]);
    Plan {
        learngene,
        tailor,
        tailors,
        dense,
        attention,
        adapters,
        rest,
        total,
        learngene_only,
        training_state_bytes: 5 * total.bytes,
        activation_bytes_per_image: activations(config) * F32,
    }
}

/// The most bytes that a training step needs at once on the CPU, beside program and data: weights, two moments and the
/// average; gradients; what blocks keep for the backward pass and what that needs in one of them; [`LIBRARIES`]. Of
/// tailors, those that a batch of `batch` images of as many classes and superclasses switches on have gradients, and a
/// copy if these are not all.
///
/// Within 10 % of what is allocated (`crates/train/tests/peak.rs`), the libraries aside, of which a
/// small model may notice that they keep less; a process holds more, as its allocator keeps what was freed.
pub fn step_bytes(config: &DitConfig, batch: usize, recompute: bool) -> u64 {
    let plan = plan(config);
    let (total, tailors) = (plan.total.parameters, plan.tailors.parameters);
    let mut shared: Vec<usize> = config
        .superclasses
        .iter()
        .map(|s| s.tailors.get())
        .collect();
    shared.sort_unstable_by(|a, b| b.cmp(a));
    let groups = config.groups.max(1);
    let of_classes = groups - shared.iter().sum::<usize>();
    let used = batch.min(of_classes) + shared.iter().take(batch).sum::<usize>();
    let groups = groups as u64;
    let of_batch = match used as u64 {
        all if all == groups => tailors,
        // The rows of a tailor are whole numbers of parameters, so nothing is lost by dividing first.
        some => 2 * (tailors / groups) * some,
    };
    let kept = match recompute {
        true => per_token(config) + (config.depth * config.hidden) as u64,
        false => config.depth as u64 * per_token(config),
    };
    let d = config.hidden as u64;
    // Of one block, the gradients of every result, the normalised tokens and the activated hidden units; around the
    // blocks, three times the tokens.
    let once = 7 * d + 2 * config.mlp_hidden() as u64 + inner(config) + 3 * d;
    let tokens = (batch as u64).saturating_mul(config.tokens() as u64);
    let images = tokens.saturating_mul(kept + once);
    (4 * total + (total - tailors + of_batch))
        .saturating_add(images)
        .saturating_mul(F32)
        .saturating_add(LIBRARIES)
}

/// Bytes that the libraries of products and decompositions keep at most: it depends on the processor's caches, on which
/// threads they used, and on whether a model that has factors was started.
pub const LIBRARIES: u64 = 12 << 20;

/// Numbers kept per image for the backward pass.
fn activations(config: &DitConfig) -> u64 {
    (config.depth * config.tokens()) as u64 * per_token(config)
}

/// Numbers that the fused block of `kernels` keeps for each token: its input, q, k, v, the result of attention before
/// and after its projection, the sum of the two, the hidden units, the result of the MLP, the inner products of the
/// factors, two numbers for each norm and each head.
fn per_token(config: &DitConfig) -> u64 {
    let d = config.hidden as u64;
    8 * d + config.mlp_hidden() as u64 + inner(config) + 4 + 2 * config.heads as u64
}

/// Inner products of the factors for each token, in rows of a multiple of 16.
fn inner(config: &DitConfig) -> u64 {
    let tailors = config.switched_on() * config.tailor_rank;
    let row = |(_, n, m): (&str, usize, usize)| {
        let rank = config.basis_of(n, m).rank().unwrap_or(0) + tailors;
        rank.next_multiple_of(16) as u64
    };
    projections(config).map(row).into_iter().sum()
}

fn is_projection_weight(name: &str) -> bool {
    let matrix = name.starts_with("blocks.") && name.ends_with(".weight");
    matrix && Part::of(name) == Part::Rest && !name.contains(".modulation.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::RankSplit, superclass::Superclass};

    fn imagenet(size: &str) -> DitConfig {
        let config = DitConfig::from_size(size, [4, 32, 32], 1000).unwrap();
        DitConfig {
            learn_sigma: true,
            ..config
        }
    }

    /// DiT (arXiv 2212.09748), table of models: DiT-B/2 130M and 23.0 G, DiT-L/2 458M and 80.7 G, DiT-S/2 33M and
    /// 6.06 G, DiT-XL/2 675M and 118.6 G (its "Gflops" are multiply-accumulates); DiT-L/2 to four digits from the
    /// design of this project: 457.8M.
    #[test]
    fn dense_models_cost_what_the_paper_says() {
        for (size, millions, gmacs) in [
            ("dit-s/2", 33.0, 6.06),
            ("dit-b/2", 130.5, 23.0),
            ("dit-l/2", 457.8, 80.7),
            ("dit-xl/2", 675.1, 118.6),
        ] {
            let total = plan(&imagenet(size)).total;
            let (p, m) = (total.parameters as f64 / 1e6, total.macs as f64 / 1e9);
            assert!(
                (p / millions - 1.0).abs() < 5e-3,
                "{size}: {p} M parameters"
            );
            assert!((m / gmacs - 1.0).abs() < 3e-3, "{size}: {m} GMAC");
        }
    }

    #[test]
    fn an_active_rank_of_370_saves_35_giga_of_dit_l() {
        let dense = imagenet("dit-l/2");
        let split = RankSplit {
            learngene: 340,
            tailor: 30,
        };
        let kind = dense.clone().with_rank_split(split).unwrap();
        let saved = plan(&dense).total.macs - plan(&kind).total.macs;
        assert!((saved as f64 / 1e9 - 35.4).abs() < 0.05, "{saved}");
    }

    /// Two superclasses add two tailors to store, and one to run for each sample.
    #[test]
    fn superclasses_cost_their_tailors() {
        let dense = DitConfig::from_size("dit-nano/4", [3, 32, 32], 12).unwrap();
        let flat = dense.with_rank_split("96,8".parse().unwrap()).unwrap();
        let superclass = |name, classes: std::ops::Range<usize>| {
            Superclass::new(name, classes.collect::<Vec<_>>())
        };
        let both = vec![superclass("x", 0..4), superclass("y", 4..12)];
        let tree = plan(&flat.clone().with_superclasses(both).unwrap());
        let flat = plan(&flat);
        assert_eq!(tree.tailor, flat.tailor);
        assert_eq!(tree.tailors.parameters, 14 * flat.tailor.parameters);
        assert_eq!(tree.total.macs, flat.total.macs + flat.tailor.macs);
        assert_eq!(tree.learngene_only, flat.learngene_only);
    }

    /// The calibration study's model: 4.41 M stored, 138 MMAC in the factorised matrices against 170 dense.
    #[test]
    fn the_small_model_of_the_calibration() {
        let dense = DitConfig::from_size("dit-nano/4", [3, 32, 32], 12).unwrap();
        let split = RankSplit {
            learngene: 96,
            tailor: 8,
        };
        let kind = plan(&dense.clone().with_rank_split(split).unwrap());
        let dense = plan(&dense);
        assert_eq!((kind.learngene.macs + kind.tailor.macs) / 1_000_000, 138);
        assert_eq!(dense.dense.macs / 1_000_000, 169);
        assert!((kind.total.parameters as f64 / 4.41e6 - 1.0).abs() < 0.01);
        assert!((dense.total.parameters as f64 / 3.07e6 - 1.0).abs() < 0.01);
        assert_eq!(kind.tailor.parameters * 12, kind.tailors.parameters);
    }
}
