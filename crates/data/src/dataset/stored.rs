//! Images, or latents, that stay where they are and are read when a batch wants them.

use std::sync::{Arc, PoisonError};

use super::Broken;
use super::shaping::Shaping;
use crate::error::{Error, Result};
use crate::latents::{Content, LatentSpace};
use crate::source::{Indexed, Source};

/// The samples of one split, each a number in a source. Copies share what they found broken.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    source: Arc<dyn Source>,
    numbers: Vec<usize>,
    shaping: Shaping,
    strict: bool,
    broken: Broken,
}

impl Stored {
    /// No image of an indexed source yet.
    pub fn none_of(
        source: Arc<dyn Source>,
        shaping: Shaping,
        strict: bool,
        broken: Broken,
    ) -> Self {
        Self {
            source,
            numbers: Vec::new(),
            shaping,
            strict,
            broken,
        }
    }

    /// No image of the same source yet.
    pub fn none(&self) -> Self {
        Self {
            numbers: Vec::new(),
            ..self.clone()
        }
    }

    /// Takes image `number` of the source as well.
    pub fn push(&mut self, number: usize) {
        self.numbers.push(number);
    }

    /// Takes image `i` of `other` as well.
    pub fn copy(&mut self, other: &Self, i: usize) {
        self.numbers.push(other.numbers[i]);
    }

    /// What the samples mean if they are latents.
    pub fn latent_space(&self) -> Option<&LatentSpace> {
        self.source.latent_space()
    }

    /// Which of the source's blocks image `i` lies in.
    pub fn block(&self, i: usize) -> usize {
        match self.source.indexed() {
            Some(samples) => samples.block(self.numbers[i]),
            None => 0,
        }
    }

    /// Bytes that all images take where they are stored, if that is known without reading them.
    pub fn bytes(&self) -> Option<u64> {
        let samples = self.source.indexed()?;
        let mut numbers = self.numbers.iter();
        numbers.try_fold(0, |sum: u64, &i| {
            Some(sum.saturating_add(samples.stored_bytes(i)?))
        })
    }

    /// Images that are best shuffled together.
    pub fn window(&self) -> usize {
        self.source.indexed().map_or(1, Indexed::window)
    }

    /// Image `i`, brought to size; if it is broken, the next of `alike` that is not, which is noted, unless broken images
    /// are to be refused.
    ///
    /// # Errors
    /// A file that cannot be read; a broken image where they are refused, or where all of `alike` are broken.
    pub fn content(&self, i: usize, alike: &[usize]) -> Result<Content> {
        let first = match self.read(i) {
            Err(error) if error.is_of_one_image() && !self.strict => error,
            other => return other,
        };
        self.note(i, &first);
        let place = alike.partition_point(|other| *other <= i);
        let (before, after) = alike.split_at(place);
        for &next in after.iter().chain(before).filter(|next| **next != i) {
            match self.read(next) {
                Err(error) if error.is_of_one_image() => self.note(next, &error),
                other => return other,
            }
        }
        Err(first)
    }

    fn read(&self, i: usize) -> Result<Content> {
        let samples = self.source.indexed().ok_or_else(|| Error::NoStream {
            origin: self.source.name().to_owned(),
        })?;
        Ok(match samples.content(self.numbers[i])? {
            Content::Image(image) => self.shaping.apply(image).into(),
            latent @ Content::Latent(_) => latent,
        })
    }

    fn note(&self, i: usize, error: &Error) {
        let number = self.numbers[i];
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.entry(number).or_insert_with(|| error.to_string());
    }
}
