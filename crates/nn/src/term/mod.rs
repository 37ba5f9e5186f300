//! Terms: what stands between the stored weight W of a dense projection and the one it works with.
//!
//! A term is a [`Reparameterization`] of Burn's: the projection asks for its weight and gets a function of W and of the
//! term's own parameters, through which gradients flow. So nothing that uses a weight knows of terms; W is frozen or
//! trained like any parameter; and `Module::materialize` merges. The price is that the weight is made anew in every
//! forward pass, at [`Formula::macs`], and that its gradient is one of a whole matrix.
//!
//! Parameters of a term are named after their weight: `blocks.0.attention.q.weight.term.a`. What lies under `fixed` was
//! computed from W and never trains.

mod butterfly;
mod frozen;
mod hadamard;
mod kronecker;
mod renorm;
mod rotation;
mod scale;
mod sparse;
mod spectrum;

pub use renorm::row_norms;

use crate::{
    config::DitConfig,
    error::{Error, Result},
    init::Init,
    params::projections,
};
use burn::module::{Module, Param, Reparameterization, Reparameterizer};
use burn::tensor::{Shape, Tensor};
use butterfly::Butterfly;
use frozen::Frozen;
use hadamard::Hadamard;
use kronecker::Kronecker;
use renorm::Renorm;
use rotation::Rotation;
use scale::{Columns, Rows};
use serde::{Deserialize, Serialize};
use sparse::Sparse;
use spectrum::Spectrum;

/// The six matrices of a block, by the names under which a term is put on them.
pub const SITES: [&str; 6] = [
    "attention.q",
    "attention.k",
    "attention.v",
    "attention.o",
    "mlp.input",
    "mlp.output",
];

/// A formula and the matrices of every block whose weight it makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermConfig {
    /// Some of [`SITES`].
    pub sites: Vec<String>,
    /// What it makes of W.
    pub formula: Formula,
}

/// The weight that a projection works with, as a function of the stored W, `[m, n]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Formula {
    /// `g (W + scale B A) / |W + scale B A|`, the norm row by row.
    Renorm {
        /// Rows of A.
        rank: usize,
        /// See the formula.
        scale: f64,
    },
    /// `W + U (relu(s + d) - s) V`, with `W = U s V` its singular value decomposition.
    Spectrum,
    /// `W + diag(b) B diag(d) A`, with A and B drawn from the seed and the same in all layers.
    Frozen {
        /// Rows of A.
        rank: usize,
        /// Of A and B.
        seed: u64,
    },
    /// `W + scale (B1 A1) * (B2 A2)`, the products multiplied entry by entry.
    Hadamard {
        /// Rows of A1 and A2.
        rank: usize,
        /// See the formula.
        scale: f64,
    },
    /// `W + scale C (x) (B A)`, the Kronecker product with a square matrix C.
    Kronecker {
        /// Rows and columns of C; divides those of W.
        factor: usize,
        /// Rows of A.
        rank: usize,
        /// See the formula.
        scale: f64,
    },
    /// `W R`, with R of orthogonal blocks along its diagonal.
    Rotation {
        /// Rows and columns of a block; divides the columns of W.
        block: usize,
    },
    /// `diag(l) W R_1 R_2 ...`, with each R of orthogonal blocks of columns that lie further apart from factor to factor.
    Butterfly {
        /// Columns that a block rotates; even.
        block: usize,
        /// How many factors; `block 2^(factors - 1)` divides the columns of W.
        factors: usize,
    },
    /// `diag(l) W`.
    Rows,
    /// `W diag(l)`.
    Columns,
    /// `mask * W + scale B A + S`, entry by entry; S has values at places that stay, the mask no parameter.
    Sparse {
        /// Rows of A.
        rank: usize,
        /// See the formula.
        scale: f64,
        /// Places of S.
        entries: usize,
        /// The share of W, by magnitude its smallest, that the mask leaves out; below 1.
        sparsity: f64,
    },
}

impl Formula {
    /// Name and shape of the parameters for a weight of `m` rows and `n` columns.
    pub fn shapes(&self, m: usize, n: usize) -> Vec<(&'static str, Vec<usize>)> {
        match *self {
            Self::Renorm { rank, .. } => renorm::shapes(rank, m, n),
            Self::Spectrum => spectrum::shapes(m, n),
            Self::Frozen { rank, .. } => frozen::shapes(rank, m),
            Self::Hadamard { rank, .. } => hadamard::shapes(rank, m, n),
            Self::Kronecker { factor, rank, .. } => kronecker::shapes(factor, rank, m, n),
            Self::Rotation { block } => rotation::shapes(block, n),
            Self::Butterfly { block, factors } => butterfly::shapes(block, factors, m, n),
            Self::Rows => scale::shapes(m),
            Self::Columns => scale::shapes(n),
            Self::Sparse {
                rank,
                entries,
                sparsity,
                ..
            } => sparse::shapes([rank, entries], sparsity > 0.0, m, n),
        }
    }

    /// Multiply-accumulates of the matrix products that make one weight, once in a forward pass whatever the batch.
    pub fn macs(&self, m: usize, n: usize) -> u64 {
        let macs = match *self {
            Self::Renorm { rank, .. } | Self::Frozen { rank, .. } | Self::Sparse { rank, .. } => {
                rank * m * n
            }
            Self::Spectrum => m.min(n) * m * n,
            Self::Hadamard { rank, .. } => 2 * rank * m * n,
            Self::Kronecker { factor, rank, .. } => rank * (m / factor) * (n / factor),
            Self::Rotation { block } => rotation::macs(block, m, n),
            Self::Butterfly { block, factors } => butterfly::macs(block, factors, m, n),
            Self::Rows | Self::Columns => 0,
        };
        macs as u64
    }

    /// What is wrong with it for a weight of that shape, and what would be right.
    fn fault(&self, m: usize, n: usize) -> Option<(String, String)> {
        let bounded = |what: &str, value: usize, most: usize| {
            let bad = value == 0 || value > most;
            bad.then(|| (format!("{what} {value}"), format!("1 to {most}")))
        };
        let divides = |what: &str, value: usize, of: &[usize]| {
            let bad = value == 0 || of.iter().any(|side| !side.is_multiple_of(value));
            bad.then(|| {
                (
                    format!("{what} {value}"),
                    format!("a number that divides {of:?}"),
                )
            })
        };
        match *self {
            Self::Renorm { rank, .. } | Self::Frozen { rank, .. } | Self::Hadamard { rank, .. } => {
                bounded("rank", rank, m.min(n))
            }
            Self::Kronecker { factor, rank, .. } => divides("factor", factor, &[m, n])
                .or_else(|| bounded("rank", rank, (m / factor).min(n / factor))),
            Self::Rotation { block } => divides("block", block, &[n])
                .or_else(|| (block < 2).then(|| ("block 1".into(), "2 or more".into()))),
            Self::Butterfly { block, factors } => butterfly::fault(block, factors, n),
            Self::Sparse {
                rank,
                entries,
                sparsity,
                ..
            } => bounded("rank", rank, m.min(n))
                .or_else(|| bounded("entries", entries, m * n))
                .or_else(|| {
                    let bad = !(0.0..1.0).contains(&sparsity);
                    bad.then(|| (format!("sparsity {sparsity}"), "0 or more, below 1".into()))
                }),
            Self::Spectrum | Self::Rows | Self::Columns => None,
        }
    }
}

impl DitConfig {
    /// The formula of that matrix's weight, if it has one.
    pub fn form_at(&self, site: &str) -> Option<&Formula> {
        let has = |term: &&TermConfig| term.sites.iter().any(|s| s == site);
        self.terms.iter().find(has).map(|term| &term.formula)
    }
}

/// Refuses terms on matrices that are not there, not dense or taken, and numbers that do not fit them.
pub(crate) fn validate(config: &DitConfig) -> Result<()> {
    let fail = |found: String, expected: String| {
        Err(Error::Config {
            field: "terms",
            found,
            expected,
        })
    };
    let mut taken: Vec<&str> = Vec::new();
    for term in &config.terms {
        for site in &term.sites {
            let all = projections(config);
            let Some((_, n, m)) = all.into_iter().find(|p| p.0 == site) else {
                return fail(format!("`{site}`"), format!("one of {}", SITES.join(", ")));
            };
            if taken.contains(&site.as_str()) {
                return fail(format!("`{site}` twice"), "each matrix once".into());
            }
            if config.basis_of(n, m).rank().is_some() {
                let expected = "dense projections; merge a factorised model first";
                return fail(
                    format!("given for `{site}`, which is factorised"),
                    expected.into(),
                );
            }
            if let Some((found, expected)) = term.formula.fault(m, n) {
                return fail(format!("{found} for `{site}`"), expected);
            }
            taken.push(site);
        }
    }
    Ok(())
}

/// The parameters of a term.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful for each block, of handles to tensors"
)]
pub enum Term {
    /// See [`Formula::Renorm`].
    Renorm(Renorm),
    /// See [`Formula::Spectrum`].
    Spectrum(Spectrum),
    /// See [`Formula::Frozen`].
    Frozen(Frozen),
    /// See [`Formula::Hadamard`].
    Hadamard(Hadamard),
    /// See [`Formula::Kronecker`].
    Kronecker(Kronecker),
    /// See [`Formula::Rotation`].
    Rotation(Rotation),
    /// See [`Formula::Butterfly`].
    Butterfly(Butterfly),
    /// See [`Formula::Rows`].
    Rows(Rows),
    /// See [`Formula::Columns`].
    Columns(Columns),
    /// See [`Formula::Sparse`].
    Sparse(Sparse),
}

impl Term {
    /// A term that makes W itself of W, but for what is to be set by the values of W: the norms of [`Formula::Renorm`]
    /// and the mask of [`Formula::Sparse`].
    fn init(formula: &Formula, [m, n]: [usize; 2], widest: usize, init: &mut Init) -> Self {
        match *formula {
            Formula::Renorm { rank, scale } => Self::Renorm(Renorm::init(rank, scale, m, n, init)),
            Formula::Spectrum => Self::Spectrum(Spectrum::init(m, n, init)),
            Formula::Frozen { rank, seed } => {
                let device = init.device().clone();
                Self::Frozen(Frozen::init(
                    rank,
                    [m, n],
                    widest,
                    &mut Init::fixed(seed, &device),
                    init,
                ))
            }
            Formula::Hadamard { rank, scale } => {
                Self::Hadamard(Hadamard::init(rank, scale, m, n, init))
            }
            Formula::Kronecker {
                factor,
                rank,
                scale,
            } => Self::Kronecker(Kronecker::init(factor, rank, scale, [m, n], init)),
            Formula::Rotation { block } => Self::Rotation(Rotation::init(block, n, init)),
            Formula::Butterfly { block, factors } => {
                Self::Butterfly(Butterfly::init(block, factors, [m, n], init))
            }
            Formula::Rows => Self::Rows(Rows::init(m, init)),
            Formula::Columns => Self::Columns(Columns::init(n, init)),
            Formula::Sparse {
                rank,
                scale,
                entries,
                sparsity,
            } => {
                let masked = sparsity > 0.0;
                Self::Sparse(Sparse::init([rank, entries], scale, masked, [m, n], init))
            }
        }
    }
}

impl Reparameterization for Term {
    const NAME: &'static str = "term";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let dims = base.dims();
        let weight = base.reshape([dims[0], dims[1]]);
        let weight = match self {
            Self::Renorm(term) => term.apply(weight),
            Self::Spectrum(term) => term.apply(weight),
            Self::Frozen(term) => term.apply(weight),
            Self::Hadamard(term) => term.apply(weight),
            Self::Kronecker(term) => term.apply(weight),
            Self::Rotation(term) => term.apply(weight),
            Self::Butterfly(term) => term.apply(weight),
            Self::Rows(term) => term.apply(weight),
            Self::Columns(term) => term.apply(weight),
            Self::Sparse(term) => term.apply(weight),
        };
        weight.reshape(Shape::from(dims.to_vec()))
    }
}

/// Puts the terms of a configuration on the weights of a model.
pub(crate) struct Attach<'a> {
    pub config: &'a DitConfig,
    pub init: &'a mut Init,
}

impl Reparameterizer for Attach<'_> {
    type Reparam = Term;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Term>) {
        // `blocks.0.attention.q.Dense.weight`: the variant of the projection stands in this path.
        let parts: Vec<&str> = path.split('.').collect();
        let formula = match parts[..] {
            ["blocks", _, part, matrix, _, "weight"] => {
                self.config.form_at(&format!("{part}.{matrix}"))
            }
            _ => None,
        };
        let term = formula.map(|formula| {
            let dims = param.dims();
            Term::init(
                formula,
                [dims[0], dims[1]],
                self.config.mlp_hidden(),
                self.init,
            )
        });
        (param, term)
    }
}
