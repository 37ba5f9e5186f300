//! What a source tells a person who would not expect it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Something that happened to files of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What happened.
    pub what: String,
    /// To which files or samples, in the order of their names.
    pub of: Vec<String>,
}

/// Notes that are gathered while samples are read, by whatever threads.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<BTreeMap<String, BTreeSet<String>>>);

/// Of a file with several pictures.
pub(super) const SEVERAL: &str =
    "files with several pictures (an animation, pages), of which the first is taken";

impl Notes {
    /// Notes that something happened to a file.
    pub(super) fn add(&self, what: impl Into<String>, of: impl Into<String>) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.entry(what.into()).or_default().insert(of.into());
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Note> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let note = |(what, of): (&String, &BTreeSet<String>)| Note {
            what: what.clone(),
            of: of.iter().cloned().collect(),
        };
        notes.iter().map(note).collect()
    }
}
