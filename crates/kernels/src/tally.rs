//! How much the products of a thread multiply: what a formula of costs can be held against.

use std::cell::Cell;

thread_local! {
    static MACS: Cell<u64> = const { Cell::new(0) };
}

/// What `work` returns, and the multiply-accumulates of the matrix products that this crate's operators did in it on
/// the calling thread: projections, gated, dense or plain, and attention, forward and backward. To see all of them, call
/// it within a pool of one thread. Burn's own products, and those on other devices, are not counted.
pub fn counting_macs<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let before = MACS.get();
    let result = work();
    (result, MACS.get() - before)
}

/// Counts a product of `[rows, inner]` and `[inner, columns]`.
#[inline(always)]
pub(crate) fn count(rows: usize, inner: usize, columns: usize) {
    MACS.set(MACS.get() + (rows * inner * columns) as u64);
}
