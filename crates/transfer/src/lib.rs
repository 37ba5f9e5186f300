//! Taking a model apart and putting it together: assemble, factorise, adapt, tailor and adapter files, models of other
//! programs.
//!
//! In: a trained model and its configuration, the classes wanted or a data set of new ones, tailors of the same learngene.
//! Out: a smaller model with the same images for its classes; a model that waits to be trained on new classes, by any of
//! [`METHODS`]; what was trained apart from what it was trained on.
//! Must not know: the terminal, how a training step works.

mod adapt;
mod adapter;
mod anatomy;
mod assemble;
mod budget;
mod energy;
mod error;
mod factorise;
mod factors;
pub mod interop;
mod methods;
mod settings;
mod ship;
mod superclasses;
mod tailor_set;

pub use adapt::{STEPS, adapt, merge, settings};
pub use adapter::Adapter;
pub use anatomy::{Anatomy, Matrix};
pub use assemble::{assemble, assemble_with};
pub use budget::{Budget, Fit, Size, amount, fit, rungs};
pub use error::{Error, Result};
pub use factorise::{Energy, Kept, factorise};
pub use methods::{Added, Fits, METHODS, Method, method};
pub use settings::{Setting, Settings};
pub use ship::{Shipped, TAILORS, ship, trained_parameters};
pub use superclasses::add_superclasses;
pub use tailor_set::TailorSet;
