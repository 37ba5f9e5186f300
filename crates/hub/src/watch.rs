//! Telling a person how a transfer goes.

use std::sync::Arc;

/// What just happened. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// What the transfer is made of.
    Whole {
        /// Number of files.
        files: usize,
        /// All their bytes.
        bytes: u64,
    },
    /// So many bytes of the whole are done.
    Bytes(u64),
    /// A file of a download lies at its place.
    Landed {
        /// Its name in the repository.
        name: &'a str,
        /// Its size.
        bytes: u64,
        /// It was there already, from a pull that was interrupted.
        kept: bool,
    },
    /// All bytes of an upload are there; they become a commit.
    Committing,
}

/// Is called with every step, from any thread, and must not block.
pub type Watch = Arc<dyn Fn(Step<'_>) + Send + Sync>;
