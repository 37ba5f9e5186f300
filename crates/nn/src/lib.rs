//! The diffusion transformer whose projections are dense or factorised and gated by class.
//!
//! In: a [`DitConfig`], a batch of noisy images, their diffusion times, labels and [`ClassGate`].
//! Out: the network's prediction for the batch; parameters by name; the cost of any configuration.
//! Must not know: schedules, losses, optimisers, file formats, data sets.
//!
//! The one seam is [`Projection`]: dense or factorised, with or without tailors, its dense weight as it is stored or made
//! of it by a [`term`]. Everything above it (attention, MLP, blocks) is written once. What reaches into a pass from outside
//! is a [`Hook`]. Shape suffixes: `b` batch, `t` tokens, `d` hidden, `h` heads, `n` inputs and `m` outputs of a projection,
//! `r` components, `c` channels.

mod adaln;
mod attention;
mod autoencoder;
mod blend;
mod block;
mod bottleneck;
mod config;
pub mod cost;
mod dit;
mod embed;
mod error;
mod gate;
mod hook;
mod init;
mod mlp;
pub mod params;
mod projection;
mod prompt;
mod superclass;
pub mod term;

pub use adaln::NORM_EPS;
pub use autoencoder::{Autoencoder, AutoencoderConfig, Moments};
pub use blend::Blend;
pub use bottleneck::Bottleneck;
pub use config::{AdaLn, Basis, DitConfig, Prompts, RankSplit, SIZES, Sharing, TimeCode};
pub use dit::{Conditions, Dit};
pub use embed::fixed_positions;
pub use error::{Error, Result};
pub use gate::ClassGate;
pub use hook::Hook;
pub use init::FactorInit;
pub use learngene_kernels::{GatePlan, Mode, Precision, is_cpu};
pub use mlp::Mlp;
pub use projection::{Components, DenseProjection, FactorisedProjection, Form, Projection};
pub use prompt::{Prompt, PromptGate};
pub use superclass::Superclass;
