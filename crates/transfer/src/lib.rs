//! Taking a model apart and putting it together: assemble, new tailors, tailor files.
//!
//! In: a trained model and its configuration, the classes wanted or a data set of new ones, tailors of the same learngene.
//! Out: a smaller model with the same images for its classes; a model whose new tailors wait to be trained; tailors apart
//! from their learngene.
//! Must not know: the terminal, how a training step works.

mod assemble;
mod error;
mod tailor_set;
mod tailors;

pub use assemble::{assemble, assemble_with};
pub use error::{Error, Result};
pub use tailor_set::TailorSet;
pub use tailors::{LEARNING_RATE, STEPS, with_new_tailors};
