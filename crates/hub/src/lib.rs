//! Model folders from and to the [Hugging Face Hub](https://huggingface.co), by its own Rust client, `hf-hub`.
//!
//! * In: a repository `OWNER/NAME` and a revision, or a folder as `learngene card` makes it.
//! * Out: the files of that revision in a folder (`pull`), or one commit with the files of the folder (`push`).
//! * Must not know: what the weights mean, how a model computes, who prints.
//!
//! The token comes from `HF_TOKEN`, from the file that `HF_TOKEN_PATH` names or from the file that `hf auth login` leaves,
//! the address of the Hub from `HF_ENDPOINT`; all of this is the client's doing. Whoever answers is not trusted: names that
//! lead out of the folder are refused before anything is written ([`names`]), and a file takes its name only when length
//! and hash are those that the revision's tree lists ([`landing`]).
//!
//! `pull` and `push` need the feature `client`; the rest stands without it.

#[cfg(feature = "client")]
mod client;
pub mod error;
#[cfg(feature = "client")]
mod hash;
pub mod landing;
pub mod model_folder;
pub mod names;
#[cfg(feature = "client")]
mod pull;
#[cfg(feature = "client")]
mod push;
pub mod repo;
pub mod watch;

#[cfg(feature = "client")]
pub use client::Hub;
pub use error::{Error, Result};
pub use model_folder::ModelFolder;
#[cfg(feature = "client")]
pub use pull::Pulled;
#[cfg(feature = "client")]
pub use push::{Push, Pushed};
pub use repo::RepoId;
pub use watch::{Step, Watch};
