//! The allocator. A training step frees and asks for the same large buffers again and again; given back to the operating
//! system and fetched anew, they cost a quarter of the time of a step.

use libmimalloc_sys::{mi_option_large_os_pages, mi_option_set_default, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate does not name.
const PURGE_DELAY: mi_option_t = 15;

/// Memory that is free for so long is given back.
const MILLISECONDS: std::ffi::c_long = 5000;

/// Keeps freed memory for a while, in large pages where the system has them. `MIMALLOC_PURGE_DELAY` and
/// `MIMALLOC_ALLOW_LARGE_OS_PAGES` in the environment come first. To be called before there is a second thread.
pub fn keep() {
    #[expect(unsafe_code, reason = "the options have no safe interface")]
    // SAFETY: both options exist, and no other thread does yet.
    unsafe {
        mi_option_set_default(PURGE_DELAY, MILLISECONDS);
        mi_option_set_default(mi_option_large_os_pages, 1);
    }
}
