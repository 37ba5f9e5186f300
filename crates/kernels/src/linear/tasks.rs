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

/// The last part of all rows is cut finer, so that no thread is left with a large task when the others have finished.
const FINE_PART: usize = 5;
const FINER: usize = 4;

/// Cuts runs of `count` units of `unit` rows into tasks of whole units.
pub(crate) fn cut<'a>(
    runs: impl IntoIterator<Item = (usize, &'a List)>,
    unit: usize,
) -> Vec<Task<'a>> {
    let runs: Vec<_> = runs.into_iter().collect();
    let total: usize = runs.iter().map(|(count, _)| count).sum();
    let fine_from = total - total / FINE_PART;
    let coarse = (ROWS / unit.max(1)).max(1);
    let mut tasks = Vec::new();
    let mut from = 0;
    for (count, list) in runs {
        let end = from + count;
        let parts = [
            (from..end.min(fine_from), coarse),
            (from.max(fine_from)..end, (coarse / FINER).max(1)),
        ];
        for (part, most) in parts {
            let size = part.len().div_ceil(part.len().div_ceil(most).max(1)).max(1);
            for at in part.clone().step_by(size) {
                let rows = at * unit..part.end.min(at + size) * unit;
                tasks.push(Task { rows, list });
            }
        }
        from = end;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(runs: &[usize], unit: usize) -> Vec<usize> {
        let tasks = cut(runs.iter().map(|&count| (count, &[][..])), unit);
        let mut at = 0;
        for task in &tasks {
            assert_eq!(task.rows.start, at, "one after another");
            at = task.rows.end;
        }
        assert_eq!(at, runs.iter().sum::<usize>() * unit);
        tasks.iter().map(|task| task.rows.len()).collect()
    }

    #[test]
    fn tasks_are_whole_units_of_one_run_and_small_at_the_end() {
        assert_eq!(
            sizes(&[3, 3, 3, 3, 3], 64),
            [192, 192, 192, 192, 64, 64, 64]
        );
        assert_eq!(sizes(&[600], 1), [240, 240, 60, 60]);
        assert_eq!(sizes(&[2], 300), [300, 300]);
        assert_eq!(sizes(&[0, 5], 10), [40, 10]);
        assert_eq!(sizes(&[], 64), [0; 0]);
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let found = on_every_thread((0..1000).collect(), || (), |(), i: u32| i * i);
        assert_eq!(found, (0..1000).map(|i| i * i).collect::<Vec<_>>());
    }
}
