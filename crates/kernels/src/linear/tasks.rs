//! Work cut into pieces of a fixed size, the same whatever the number of threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Groups whose tailors run, with their weights.
pub(crate) type List = [(usize, f32)];

/// Rows of a task at most. Its input, output and components then stay in a core's second-level cache at the widths of
/// small and medium models, and the products are still large enough to run at full speed.
const ROWS: usize = 256;

/// Rows that share a list.
pub(crate) struct Task<'a> {
    pub(crate) rows: Range<usize>,
    pub(crate) list: &'a List,
}

/// Cuts runs of `count` units of `unit` rows into tasks of whole units and nearly equal size.
pub(crate) fn cut<'a>(
    runs: impl IntoIterator<Item = (usize, &'a List)>,
    unit: usize,
) -> Vec<Task<'a>> {
    let most = (ROWS / unit.max(1)).max(1);
    let mut tasks = Vec::new();
    let mut from = 0;
    for (count, list) in runs {
        let size = count.div_ceil(count.div_ceil(most).max(1)).max(1);
        for at in (0..count).step_by(size) {
            let rows = (from + at) * unit..(from + count.min(at + size)) * unit;
            tasks.push(Task { rows, list });
        }
        from += count;
    }
    tasks
}

/// Does `work` on every item and returns the results in the order of the items. Threads take the next item when they
/// are free; each makes its `scratch` once.
pub(crate) fn on_every_thread<I: Send, S, R: Send>(
    items: Vec<I>,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I) -> R + Sync,
) -> Vec<R> {
    let threads = rayon::current_num_threads().min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let of_thread = |_| {
        let mut own = None;
        let mut done = Vec::new();
        while let Some((at, item)) = next() {
            done.push((at, work(own.get_or_insert_with(&scratch), item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = (0..threads)
        .into_par_iter()
        .with_max_len(1)
        .flat_map_iter(of_thread)
        .collect();
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
