//! Weight files and checkpoints: what a run leaves on disk, loaded strictly and written atomically.
//!
//! * In: named `f32` tensors in row-major order, a JSON config, class names.
//! * Out: one self-contained safetensors file ([`WeightFile`]), or a folder of them with checksums ([`CheckpointWriter`]).
//!   Images go in and out as archives of NumPy's ([`ImageArchive`]).
//!   Named tensors of other programs come in from safetensors in [`shards`] and from files of `torch.save` ([`torch`]).
//! * Must not know: what a tensor means, how a model computes, which tensor engine holds it.
//!
//! Nothing here changes a file in place: a new file is written whole beside the old one and renamed over it
//! ([`write_atomically`]), so a full disk or a killed process leaves the old one as it was. A folder is made the same way
//! ([`FolderWriter`]).

pub mod atomic;
pub mod checkpoint;
pub mod checkpoint_writer;
pub mod container;
mod decode;
pub mod error;
pub mod folder;
pub mod header;
mod json_header;
pub mod manifest;
pub mod npz;
mod python_json;
pub mod retention;
pub mod rows;
pub mod shards;
pub mod text;
pub mod torch;
pub mod weights;
mod zip;

pub use atomic::write_atomically;
pub use checkpoint::{Checkpoint, Checkpoints, Found};
pub use checkpoint_writer::{CheckpointWriter, Content, Saved};
pub use decode::Take;
pub use error::{FormatError, Mismatch, Result};
pub use folder::FolderWriter;
pub use header::{FORMAT_VERSION, Header, Kind};
pub use npz::ImageArchive;
pub use retention::Retention;
pub use rows::Rows;
pub use text::read_text;
pub use weights::{
    TensorEntry, TensorSource, WeightFile, WeightWriter, fingerprint, fingerprint_of,
};
