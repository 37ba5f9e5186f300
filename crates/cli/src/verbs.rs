//! The verbs: each turns what was typed into one call, and its result into text.

mod assemble;
mod data;
mod inspect;
mod plan;
mod resolve;
mod runs;
mod sample;

pub use assemble::assemble;
pub use data::data;
pub use inspect::inspect;
pub use plan::plan;
pub use resolve::{RANK_SPLIT, SIZE, start};
pub use runs::{TAILORS, pretrain, resume, transfer};
pub use sample::sample;
