//! Libraries that may panic on a file that came from anyone.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What `run` gives; nothing if it panics. Nothing that the panic interrupts may be used again.
pub(crate) fn unless_it_panics<T>(run: impl FnOnce() -> T) -> Option<T> {
    let outside = INSIDE.replace(true);
    let done = catch_unwind(AssertUnwindSafe(run));
    INSIDE.set(outside);
    done.ok()
}

/// Whether a panic of this thread would be caught here and become an error. A panic hook that prints or ends the process
/// need do neither then.
pub fn catches_panics() -> bool {
    INSIDE.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_nothing_and_is_told_from_one_that_is_not_caught() {
        assert!(!catches_panics());
        assert_eq!(unless_it_panics(|| (3, catches_panics())), Some((3, true)));
        let panics = || -> u8 { std::panic::resume_unwind(Box::new("on purpose")) };
        let inner = unless_it_panics(|| (unless_it_panics(panics), catches_panics()));
        assert_eq!(inner, Some((None, true)));
        assert!(!catches_panics());
    }
}
