//! The allocator. A training step frees and asks for the same large buffers again and again; given back to the operating
//! system and fetched anew, they cost a quarter of the time of a step.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate does not name.
const PURGE_DELAY: mi_option_t = 15;

/// Never: after any delay, all that is free is given back at once, and between two steps that is every gradient.
const MILLISECONDS: std::ffi::c_long = -1;

/// Keeps freed memory; `MIMALLOC_PURGE_DELAY` in the environment comes first. To be called before there is a
/// second thread.
pub fn keep() {
    #[expect(unsafe_code, reason = "the option has no safe interface")]
    // SAFETY: the option exists, and no other thread does yet.
    unsafe {
        mi_option_set_default(PURGE_DELAY, MILLISECONDS);
    }
}
