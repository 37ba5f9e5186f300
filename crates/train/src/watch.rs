//! Telling whoever waits how far something is.

use std::sync::Arc;

type See = dyn Fn(&'static str, f64, usize) + Send + Sync;

/// Is told of what how many are done, a part of one as that part, and how many there are to be; nobody by default.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<See>>);

impl Watch {
    /// One who is told by the thread that does the work, and must not block it.
    pub fn new(see: impl Fn(&'static str, f64, usize) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(see)))
    }

    pub(crate) fn see(&self, what: &'static str, done: f64, of: usize) {
        if let Some(see) = &self.0 {
            see(what, done, of);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}
