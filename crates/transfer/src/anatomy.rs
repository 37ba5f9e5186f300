//! What training has put into learngene and tailors, read off their factors.

use crate::energy::Factors;
use crate::error::{Error, Result};
use learngene_nn::{Dit, Sharing, params, term::SITES};
use learngene_train::RunConfig;
use serde::Serialize;
use std::ops::Range;

/// Energies, drifts and similarities of a whole model.
#[derive(Clone, Debug, Serialize)]
pub struct Anatomy {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Names of the superclasses.
    pub superclasses: Vec<String>,
    /// Block after block, in each the order of [`SITES`].
    pub matrices: Vec<Matrix>,
    /// By pair of classes and, after them, superclasses; all matrices together.
    pub similarity: Vec<Vec<f64>>,
    /// The same for the matrices of one name in all blocks, in the order of [`SITES`].
    pub similarity_by_matrix: Vec<Vec<Vec<f64>>>,
}

/// One matrix of one block.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// Number of the block.
    pub block: usize,
    /// One of [`SITES`].
    pub name: &'static str,
    /// Squared Frobenius norm of what the learngene adds up to, or of the weights of a dense matrix.
    pub base: f64,
    /// That of what each class's tailor adds up to.
    pub tailors: Vec<f64>,
    /// That of what the tailors of each superclass add up to.
    pub superclasses: Vec<f64>,
    /// Mean of the classes' energies over base and that mean together.
    pub share: f64,
    /// The same for superclasses; none without any.
    pub superclass_share: Option<f64>,
    /// Root mean square cosine between two components of the learngene, of u and of v; none for a dense matrix.
    pub base_drift: Option<[f64; 2]>,
    /// The same between components of one class or superclass, mean over all.
    pub tailor_drift: [f64; 2],
}

impl Anatomy {
    /// Of a model whose classes have a tailor each.
    ///
    /// The similarity of two classes or superclasses is the cosine of what their tailors add to the weights,
    /// `<A, B>_F / (|A| |B|)`, with sums over the matrices. It does not depend on the order or the signs of components. 1 is the same change, 0 have
    /// nothing in common; a tailor that adds nothing has similarity 0 to every other.
    ///
    /// # Errors
    /// A model without tailors, or whose classes share one.
    pub fn of(config: &RunConfig, model: &Dit) -> Result<Self> {
        let shape = &config.model;
        if shape.tailor_rank == 0 || shape.sharing != Sharing::Class {
            return Err(Error::Request {
                what: "model",
                found: "one without a tailor for each class".into(),
                expected: "one with; pre-train with --rank-split N_G,N_T".into(),
            });
        }
        let values = params::values(model);
        let rank = shape.tailor_rank;
        let classes = (0..config.classes.len()).map(|c| c..c + 1);
        let superclasses = (0..shape.superclasses.len()).map(|s| shape.groups_of_superclass(s));
        let groups: Vec<Range<usize>> = classes.chain(superclasses).collect();
        let count = groups.len();
        let mut products = vec![vec![vec![0.0; count]; count]; SITES.len()];
        let mut matrices = Vec::new();
        for block in 0..shape.depth {
            for (kind, name) in SITES.into_iter().enumerate() {
                let prefix = format!("blocks.{block}.{name}");
                let Some(all) = Factors::at(&values, &format!("{prefix}.tailors")) else {
                    continue;
                };
                let tailor = |i: usize| all.rows(groups[i].start * rank..groups[i].end * rank);
                for (a, row) in products[kind].iter_mut().enumerate() {
                    for (b, sum) in row.iter_mut().enumerate() {
                        // in one order, so that both halves are equal to the bit
                        *sum += tailor(a.min(b)).inner(tailor(a.max(b)));
                    }
                }
                let mut energies: Vec<f64> =
                    (0..count).map(|i| tailor(i).inner(tailor(i))).collect();
                let superclasses = energies.split_off(config.classes.len());
                let learngene = Factors::at(&values, &format!("{prefix}.learngene"));
                let base = match (learngene, values.get(&format!("{prefix}.weight"))) {
                    (Some(learngene), _) => learngene.inner(learngene),
                    (None, Some(w)) => w.values.iter().map(|x| f64::from(*x).powi(2)).sum(),
                    (None, None) => 0.0,
                };
                let share = |energies: &[f64]| {
                    let mean = energies.iter().sum::<f64>() / energies.len().max(1) as f64;
                    ratio(mean, base + mean)
                };
                let drifts: Vec<[f64; 2]> = (0..count).map(|i| tailor(i).drift()).collect();
                let drift =
                    [0, 1].map(|i| drifts.iter().map(|d| d[i]).sum::<f64>() / count.max(1) as f64);
                matrices.push(Matrix {
                    block,
                    name,
                    base,
                    share: share(&energies),
                    superclass_share: (!superclasses.is_empty()).then(|| share(&superclasses)),
                    tailors: energies,
                    superclasses,
                    base_drift: learngene.map(Factors::drift),
                    tailor_drift: drift,
                });
            }
        }
        let total = |a: usize, b: usize| products.iter().map(|p| p[a][b]).sum::<f64>();
        let sum: Vec<Vec<f64>> = (0..count)
            .map(|a| (0..count).map(|b| total(a, b)).collect())
            .collect();
        Ok(Self {
            classes: config.classes.clone(),
            superclasses: shape.superclasses.iter().map(|s| s.name.clone()).collect(),
            matrices,
            similarity: cosines(&sum),
            similarity_by_matrix: products.iter().map(|p| cosines(p)).collect(),
        })
    }
}

/// Inner products as cosines.
fn cosines(products: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let norm = |i: usize| products[i][i].max(0.0).sqrt();
    let row = |a: usize| {
        let cosine = |b: usize| match a == b {
            true => 1.0,
            false => ratio(products[a][b], norm(a) * norm(b)),
        };
        (0..products.len()).map(cosine).collect()
    };
    (0..products.len()).map(row).collect()
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
