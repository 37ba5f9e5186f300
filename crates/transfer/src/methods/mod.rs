//! The methods: each says what it adds to a trained model, what of it trains, and how it starts.
//!
//! A method is one file with a type that implements [`Method`] and one line in [`METHODS`]; the command line, the files
//! and the tests take it from there. What it can add are the shapes that a `DitConfig` of `nn` can describe:
//!
//! * *tailors*: components beside every matrix, one set for each class or one that all samples share (`Sharing`). They
//!   run in the fused block, and never make a whole matrix. KIND's tailors, LoRA and PiSSA are these;
//! * *terms* (`nn::term`): the weight of a dense matrix as a function of the stored one and of a few parameters, as a
//!   `Reparameterization` of Burn's, so that whoever asks for the weight sees an ordinary one. DoRA, SVDiff, VeRA, LoHa,
//!   LoKr, OFT, BOFT, (IA)^3 and DSEE, a sparse change of a masked base, are these, each matrix with a formula of its own
//!   or none;
//! * *what stands between blocks*: bottlenecks, behind each block, and prompts, at the input of each;
//! * nothing: a part of the model itself trains.
//!
//! So the configuration of an adapted model is the whole description of its shape, and checkpoints, resuming, sampling
//! and evaluation know no method. Data flow one way: a method turns (base, settings) into a configuration, a start and
//! factors on the learning rate; training sees those alone; an adapter file holds what trained, and making the start
//! again from the same base makes the same model.
//!
//! A method that is none of these has its points in a forward pass: `nn::Hook` can add to a block's input, replace keys
//! and values by those of a frozen twin and the MLP by experts, and read what a block makes. Each of these is done, with
//! its gradients, in `nn/tests/hooks.rs`, and so are factors that layers share with a sigma of their own. A hook is the
//! caller's: for a method to be here, what it stores must become a part of `DitConfig`, as prompts are.
//!
//! A method is one run of training. What a paper does between runs (prune by what was learned, then train again) is not
//! described here.

mod adapters;
mod bitfit;
mod boft;
mod dora;
mod dsee;
mod full;
mod gated_tailors;
mod ia3;
mod kind;
mod labels;
mod loha;
mod lokr;
mod lora;
mod oft;
mod pissa;
mod prompts;
mod svdiff;
mod vera;

pub(crate) use kind::AUTO;

use crate::error::{Error, Result};
use crate::settings::{Setting, Settings};
use learngene_nn::{
    DitConfig,
    params::Values,
    term::{Formula, SITES, TermConfig},
};
use learngene_train::{RunConfig, Trainable, weights::Parameters};

/// Every method, those that come with KIND first.
pub static METHODS: &[&dyn Method] = &[
    &kind::Kind,
    &gated_tailors::GatedTailors,
    &full::Full,
    &bitfit::BitFit,
    &labels::Labels,
    &lora::Lora,
    &pissa::Pissa,
    &dora::Dora,
    &svdiff::SvDiff,
    &vera::Vera,
    &loha::Loha,
    &lokr::Lokr,
    &oft::Oft,
    &boft::Boft,
    &ia3::Ia3,
    &dsee::Dsee,
    &adapters::Adapters,
    &prompts::Prompts,
];

/// The method of that name.
///
/// # Errors
/// There is none.
pub fn method(name: &str) -> Result<&'static dyn Method> {
    let found = METHODS.iter().find(|m| m.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(|m| m.name()).collect();
        let nearest = names
            .iter()
            .min_by_key(|known| strsim::levenshtein(known, name));
        Error::UnknownMethod {
            found: name.into(),
            known: names.join(", "),
            nearest: nearest.copied().unwrap_or_default().into(),
        }
    })
}

/// What base a method goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// Any, which stays what it is made of.
    Any,
    /// A dense one alone.
    Dense,
    /// A factorised one alone.
    Factorised,
    /// One of whole weights: a factorised one is multiplied out first, and runs as a dense one from then on.
    Weights,
}

/// What a method adds to the cost of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Numbers that train, without the label table.
    pub trained: u64,
    /// Multiply-accumulates: for one image, or for one forward pass where a weight is made anew.
    pub macs: u64,
}

/// The values a model starts from: the base's, and what the method added at its own.
pub struct Start<'a> {
    /// By name; to be changed.
    pub values: &'a mut Parameters,
    /// The shape they belong to.
    pub config: &'a DitConfig,
    /// Of the method.
    pub settings: &'a Settings,
    /// The base as it was, with its tailors.
    pub base: &'a Parameters,
    /// Its configuration.
    pub base_config: &'a RunConfig,
}

/// A way to adapt a trained model to new classes.
///
/// Label rows are new with every method and train with every method: a class without a row cannot be asked for.
pub trait Method: Sync {
    /// What it is called on the command line and in files.
    fn name(&self) -> &'static str;

    /// One line for a list.
    fn about(&self) -> &'static str;

    /// The settings it has.
    fn settings(&self) -> &'static [Setting] {
        &[]
    }

    /// Defaults that depend on the base.
    fn defaults(&self, _base: &DitConfig) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What base it goes with.
    fn fits(&self) -> Fits;

    /// Whether its start equals the base to the bit (settings that say otherwise aside).
    fn is_exact_at_start(&self) -> bool {
        true
    }

    /// A peak learning rate to start from.
    fn rate(&self) -> f64;

    /// What trains, and how fast.
    fn trains(&self) -> Trainable {
        Trainable::added_only()
    }

    /// Whether an image without a label trains anything but the null row.
    ///
    /// # Errors
    /// A setting that cannot be.
    fn reached_without_label(&self, _settings: &Settings) -> Result<bool> {
        Ok(true)
    }

    /// The base's configuration, already for the new classes and without tailors, with what the method adds.
    ///
    /// # Errors
    /// A setting that cannot be.
    fn shape(&self, config: DitConfig, _settings: &Settings, _seed: u64) -> Result<DitConfig> {
        Ok(config)
    }

    /// Sets what depends on the base's values.
    ///
    /// # Errors
    /// A decomposition that does not converge, a setting that cannot be.
    fn start(&self, _start: &mut Start<'_>) -> Result<()> {
        Ok(())
    }

    /// What it adds to a model of that (adapted) configuration, by formula.
    ///
    /// # Errors
    /// A setting that cannot be.
    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added>;
}

/// Rows and columns of the six matrices of a block, in the order of [`SITES`].
fn shapes(config: &DitConfig) -> [(&'static str, usize, usize); 6] {
    let (d, hidden) = (config.hidden, config.mlp_hidden());
    let shape = |site| match site {
        "mlp.input" => (site, hidden, d),
        "mlp.output" => (site, d, hidden),
        _ => (site, d, d),
    };
    SITES.map(shape)
}

/// `f(m, n)` over all matrices of all blocks.
fn over_matrices(config: &DitConfig, f: impl Fn(usize, usize) -> usize) -> u64 {
    let block: usize = shapes(config).iter().map(|&(_, m, n)| f(m, n)).sum();
    (config.depth * block) as u64
}

/// `f(m, n)` over the matrices that have a term.
fn over_terms(config: &DitConfig, f: impl Fn(usize, usize) -> usize) -> u64 {
    let with = |site: &str| config.form_at(site).is_some();
    let sites = shapes(config).into_iter().filter(|s| with(s.0));
    let block: usize = sites.map(|(_, m, n)| f(m, n)).sum();
    (config.depth * block) as u64
}

/// The setting of methods that put a formula on weights: which.
const SITES_SETTING: Setting = Setting {
    name: "sites",
    default: "all",
    about: "matrices, such as attention.q,attention.v",
};

/// The setting of methods with a pair of factors.
const RANK: Setting = Setting {
    name: "rank",
    default: "8",
    about: "rank of the change",
};

/// The model with that formula on the matrices the settings name.
fn with_formula(mut config: DitConfig, settings: &Settings, formula: Formula) -> DitConfig {
    let sites = match settings.text("sites") {
        "all" => SITES.map(String::from).to_vec(),
        some => some.split(',').map(|site| site.trim().into()).collect(),
    };
    config.terms = vec![TermConfig { sites, formula }];
    config
}

/// A parameter of matrix `site` in block `l`.
fn name(l: usize, site: &str, parameter: &str) -> String {
    format!("blocks.{l}.{site}.{parameter}")
}

impl Start<'_> {
    /// The values of a parameter that the layout has.
    fn of(&mut self, name: &str) -> Result<&mut Values> {
        let lacks = || learngene_nn::Error::Parameters(vec![format!("`{name}` is missing")]);
        Ok(self.values.get_mut(name).ok_or_else(lacks)?)
    }

    fn set(&mut self, name: &str, values: Vec<f32>) -> Result<()> {
        self.of(name)?.values = values;
        Ok(())
    }
}
