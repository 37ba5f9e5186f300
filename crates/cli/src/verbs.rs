//! The verbs: each turns what was typed into one call, and its result into text.

mod advise;
mod assemble;
mod autoencoder;
mod card;
mod compare;
mod curve;
mod data;
mod diversion;
mod drawn;
mod encode;
mod eval;
mod export;
mod factorise;
#[cfg(feature = "hub")]
mod hub;
mod import;
mod inspect;
mod merge;
mod plan;
mod quality;
mod resolve;
mod runs;
mod sample;

pub use assemble::assemble;
pub use autoencoder::autoencoder;
pub use card::card;
pub use compare::compare;
pub use curve::curve;
pub use data::data;
pub use encode::encode;
pub use eval::eval;
pub use export::export;
pub use factorise::factorise;
#[cfg(feature = "hub")]
pub use hub::hub;
pub use import::import;
pub use inspect::inspect;
pub use merge::merge;
pub use plan::{plan, rows as cost_rows};
pub use quality::machine;
pub use resolve::{Matrices, SIZE, load, start};
pub use runs::{pretrain, resume, transfer};
pub use sample::sample;
