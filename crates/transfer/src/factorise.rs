//! A dense model as learngene and tailors, without training.
//!
//! Every matrix is decomposed, `W = sum of s_i u_i v_i^T` from the largest s down. The first `N_G` components are the
//! learngene, and the next `N_T` the tailor that every class starts with: under a label the model is the best one of
//! rank `N_G + N_T`, without a label the best of rank `N_G`, and training can then make the tailors differ. Tailors that
//! a dense model has already are kept as they are.

use crate::error::{Error, Result};
use crate::factors::{Components, svd};
use burn::tensor::{Tensor, TensorData};
use learngene_data::{Purpose, Stream};
use learngene_nn::{
    ClassGate, Conditions, Dit, FactorInit, RankSplit, Sharing,
    params::{self, Values},
    term::SITES,
};
use learngene_train::{RunConfig, weights::Parameters};

/// Noisy images that the two models are compared on, and the most classes among them.
const COMPARED: usize = 4;

/// What a factorised model keeps of the dense one.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// By kind of matrix, over all blocks.
    pub energy: Vec<Energy>,
    /// Difference of the outputs for noise under labels, relative to that of the dense model in the root mean square.
    pub labelled: f64,
    /// The same without labels, where the learngene works alone.
    pub unlabelled: f64,
}

/// Share of the sum of squared singular values.
#[derive(Clone, Debug, PartialEq)]
pub struct Energy {
    /// The matrix of a block.
    pub matrix: &'static str,
    /// In the learngene.
    pub learngene: f64,
    /// In the learngene and the tailor that a class starts with.
    pub with_tailor: f64,
}

/// The factorised model, its configuration, and what it keeps of the dense one.
///
/// # Errors
/// A model that is factorised already or adapted; ranks that do not fit its matrices or its tailors; a decomposition
/// that does not converge.
pub fn factorise(
    config: &RunConfig,
    model: &Dit,
    split: RankSplit,
) -> Result<(RunConfig, Dit, Kept)> {
    let shape = &config.model;
    let request = |what, found: String, expected: &str| Error::Request {
        what,
        found,
        expected: expected.into(),
    };
    let adapted = shape.beside_matrices().is_some() || !shape.terms.is_empty();
    let shares_a_tailor = shape.sharing != Sharing::Class;
    if shape.learngene_rank().is_some() || shape.attention_basis.is_some() {
        return Err(request("model", "a factorised one".into(), "a dense one"));
    }
    if adapted || shares_a_tailor {
        let expected = "an ordinary one, such as `learngene merge` makes";
        return Err(request("model", "an adapted one".into(), expected));
    }
    let keeps_tailors = shape.groups > 0;
    if keeps_tailors && split.tailor != shape.tailor_rank {
        let found = format!("N_T = {}", split.tailor);
        let expected = format!(
            "{}, the rank of the tailors that the model has",
            shape.tailor_rank
        );
        return Err(request("rank split", found, &expected));
    }
    let mut joined = RunConfig {
        model: shape.clone().with_rank_split(split)?,
        method: None,
        ..config.clone()
    };
    joined.init = FactorInit::ZeroStart;
    let mut values = params::values(model);
    let mut energy = Vec::new();
    for site in SITES {
        let mut sums = [0.0; 3];
        for l in 0..shape.depth {
            let of = |parameter: &str| format!("blocks.{l}.{site}.{parameter}");
            let Some(weight) = values.remove(&of("weight")) else {
                continue;
            };
            let all = svd(&weight, split.learngene + split.tailor)?;
            let squares =
                |values: &[f32]| -> f64 { values.iter().map(|v| f64::from(*v).powi(2)).sum() };
            sums[0] += squares(&all.s[..split.learngene]);
            sums[1] += squares(&all.s);
            sums[2] += squares(&weight.values);
            insert(&mut values, &of("learngene"), &all, 0..split.learngene, 1);
            if split.tailor > 0 && !keeps_tailors {
                let rows = split.learngene..split.learngene + split.tailor;
                insert(&mut values, &of("tailors"), &all, rows, shape.num_classes);
            }
        }
        let [learngene, with_tailor, whole] = sums;
        let share = |part: f64| if whole > 0.0 { part / whole } else { 1.0 };
        energy.push(Energy {
            matrix: site,
            learngene: share(learngene),
            with_tailor: match keeps_tailors {
                true => share(learngene),
                false => share(with_tailor),
            },
        });
    }
    let factorised = Dit::of(&joined.model, values, &model.device())?;
    let kept = Kept {
        energy,
        labelled: difference(model, &factorised, true)?,
        unlabelled: difference(model, &factorised, false)?,
    };
    Ok((joined, factorised, kept))
}

/// Some components under the name of a part, `copies` times.
fn insert(
    values: &mut Parameters,
    part: &str,
    all: &Components,
    rows: std::ops::Range<usize>,
    copies: usize,
) {
    let rank = all.s.len();
    for (name, stored) in [("u", &all.u), ("s", &all.s), ("v", &all.v)] {
        let width = stored.len() / rank.max(1);
        let chosen = stored[rows.start * width..rows.end * width].repeat(copies);
        let count = rows.len() * copies;
        let shape = match name {
            "s" => vec![count],
            _ => vec![count, width],
        };
        let value = Values {
            shape,
            values: chosen,
        };
        values.insert(format!("{part}.{name}"), value);
    }
}

/// How far the outputs of two models lie apart, for the noise that images are drawn from at times from the first to the
/// last.
fn difference(dense: &Dit, factorised: &Dit, labelled: bool) -> Result<f64> {
    let shape = dense.config();
    let [c, h, w] = shape.input;
    let mut noise = vec![0.0; COMPARED * c * h * w];
    for (i, image) in noise.chunks_exact_mut(c * h * w).enumerate() {
        Stream::new(0, i as u64, Purpose::SampleNoise).fill_normal(image);
    }
    let labels: Vec<Option<usize>> = (0..COMPARED)
        .map(|i| labelled.then_some(i % shape.num_classes))
        .collect();
    let outputs = [dense, factorised].map(|model| {
        let conditions = Conditions {
            times: (0..COMPARED).map(|i| (i * 333) as f64).collect(),
            labels: labels.clone(),
            gate: model.fit_gate(ClassGate::one_hot(labels.clone())),
        };
        let x = TensorData::new(noise.clone(), [COMPARED, c, h, w]);
        let x = Tensor::from_data(x, &model.device());
        Ok::<_, Error>(params::to_vec(model.forward(x, &conditions)?))
    });
    let [expected, found] = outputs;
    let (expected, found) = (expected?, found?);
    let mut sums = [0.0f64; 2];
    for (a, b) in expected.iter().zip(&found) {
        sums[0] += f64::from(a - b).powi(2);
        sums[1] += f64::from(*a).powi(2);
    }
    Ok((sums[0] / sums[1].max(f64::MIN_POSITIVE)).sqrt())
}
