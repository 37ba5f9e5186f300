//! Taking a model apart and putting it together: assemble, new tailors.
//!
//! In: a trained model and its configuration, the classes wanted or a data set of new ones.
//! Out: a smaller model with the same images for its classes; a model whose new tailors wait to be trained.
//! Must not know: the terminal, how a training step works.

mod assemble;
mod error;
mod tailors;

pub use assemble::assemble;
pub use error::{Error, Result};
pub use tailors::with_new_tailors;
