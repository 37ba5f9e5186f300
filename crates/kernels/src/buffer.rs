//! Memory of a step that the next step uses again.
//!
//! What a block keeps for its backward pass is as large from step to step, and fresh memory for it would be cleared by
//! the operating system or by the allocator only to be overwritten.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Floats whose memory goes to the next buffer of that length once they are dropped. They start as whatever was in it.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// `len` floats to be overwritten.
    pub(crate) fn new(len: usize) -> Self {
        Self(idle().take(len).unwrap_or_else(|| vec![0.0; len]))
    }

    /// Becomes at least `len` floats to be overwritten.
    pub(crate) fn grow(&mut self, len: usize) {
        if self.len() < len {
            *self = Self::new(len);
        }
    }

    /// Becomes `len` floats to be overwritten.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.len() != len {
            *self = Self::new(len);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            idle().put(std::mem::take(&mut self.0));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// Memory that no buffer holds, by length.
struct Idle(BTreeMap<usize, Vec<Vec<f32>>>);

static IDLE: Mutex<Idle> = Mutex::new(Idle(BTreeMap::new()));

fn idle() -> MutexGuard<'static, Idle> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idle {
    /// Memory of that length. If there is none, as much of other lengths is given back as will be allocated instead, so
    /// that there is never more memory than was in use at one time.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        if let Some(found) = self.0.get_mut(&len).and_then(Vec::pop) {
            return Some(found);
        }
        let mut freed = 0;
        while freed < len
            && let Some(mut largest) = self.0.last_entry()
        {
            freed += largest.get_mut().pop().map_or(0, |memory| memory.len());
            if largest.get().is_empty() {
                largest.remove();
            }
        }
        None
    }

    fn put(&mut self, memory: Vec<f32>) {
        self.0.entry(memory.len()).or_default().push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_to_the_next_of_its_length() {
        let mut idle = Idle(BTreeMap::new());
        assert!(idle.take(5).is_none());
        idle.put(vec![7.0; 5]);
        assert!(idle.take(5).is_some_and(|memory| memory == [7.0; 5]));
        assert!(idle.take(5).is_none());
    }

    #[test]
    fn what_is_allocated_is_given_back_from_other_lengths() {
        let mut idle = Idle(BTreeMap::new());
        (0..4).for_each(|_| idle.put(vec![0.0; 10]));
        idle.put(vec![0.0; 3]);
        assert!(idle.take(15).is_none());
        let left = |idle: &Idle, len| idle.0.get(&len).map_or(0, Vec::len);
        assert_eq!((left(&idle, 10), left(&idle, 3)), (2, 1));
        assert!(idle.take(100).is_none());
        assert!(idle.0.is_empty());
    }

    #[test]
    fn buffers_have_the_length_asked_for() {
        let mut buffer = Buffer::default();
        for len in [4, 9, 4, 0] {
            buffer.resize(len);
            assert_eq!(buffer.len(), len);
        }
    }
}
