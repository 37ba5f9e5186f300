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

/// Passes over the panic hook that is set for a panic that becomes an error here: it need neither be printed nor end the
/// process. Call it once, when the program starts.
pub fn pass_over_caught_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !INSIDE.get() {
            hook(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_nothing_and_is_told_from_one_that_is_not_caught() {
        assert!(!INSIDE.get());
        assert_eq!(unless_it_panics(|| (3, INSIDE.get())), Some((3, true)));
        let panics = || -> u8 { std::panic::resume_unwind(Box::new("on purpose")) };
        let inner = unless_it_panics(|| (unless_it_panics(panics), INSIDE.get()));
        assert_eq!(inner, Some((None, true)));
        assert!(!INSIDE.get());
    }
}
