//! A list of images and the order of each of its epochs.

use crate::random::{Purpose, Stream};

/// Images visited once each epoch.
#[derive(Debug, Clone)]
pub(super) struct List {
    samples: Vec<usize>,
    /// Where the blocks of the list begin.
    blocks: Vec<usize>,
    /// Samples that are shuffled together if there are several blocks.
    window: usize,
    order: Cached,
}

/// The order used last, and what it was keyed by.
#[derive(Debug, Clone, Default)]
pub(super) struct Cached {
    key: Option<u64>,
    order: Vec<usize>,
}

impl List {
    /// A list of samples, of which neighbours of the same `block` are best read together, and `window` of them shuffled
    /// together.
    pub fn new(samples: Vec<usize>, block: impl Fn(usize) -> usize, window: usize) -> Self {
        let begins = |i: &usize| *i == 0 || block(samples[*i - 1]) != block(samples[*i]);
        let mut blocks: Vec<usize> = (0..samples.len()).filter(begins).collect();
        if blocks.len() == samples.len() {
            blocks.truncate(1);
        }
        Self {
            samples,
            blocks,
            window: window.max(1),
            order: Cached::default(),
        }
    }

    pub const fn len(&self) -> usize {
        self.samples.len()
    }

    /// The sample at `place` of an epoch, which is keyed by the seed, `key` and `purpose`.
    pub fn at(&mut self, place: usize, seed: u64, key: u64, purpose: Purpose) -> usize {
        let (blocks, count, window) = (&self.blocks, self.samples.len(), self.window);
        let order = self.order.get(key, || {
            let mut stream = Stream::new(seed, key, purpose);
            match blocks.len() {
                0 | 1 => stream.permutation(count),
                _ => by_blocks(&mut stream, blocks, count, window),
            }
        });
        self.samples[order[place]]
    }
}

impl Cached {
    /// The order of that key, made if it is not the one used last.
    pub fn get(&mut self, key: u64, make: impl FnOnce() -> Vec<usize>) -> &[usize] {
        if self.key != Some(key) {
            self.order = make();
            self.key = Some(key);
        }
        &self.order
    }
}

/// The numbers `0..count`: blocks in random order, then windows of the result shuffled one by one, so that neighbours
/// in the result come from few blocks.
fn by_blocks(stream: &mut Stream, blocks: &[usize], count: usize, window: usize) -> Vec<usize> {
    let ends = blocks[1..].iter().copied().chain([count]);
    let ranges: Vec<_> = blocks
        .iter()
        .zip(ends)
        .map(|(&from, to)| from..to)
        .collect();
    let shuffled = stream.permutation(ranges.len());
    let joined: Vec<usize> = (shuffled.into_iter())
        .flat_map(|block| ranges[block].clone())
        .collect();
    let windows = joined.chunks(window);
    let shuffled = windows.flat_map(|window| {
        let order = stream.permutation(window.len());
        order
            .into_iter()
            .map(|place| window[place])
            .collect::<Vec<_>>()
    });
    shuffled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn an_epoch_by_blocks_visits_all_and_reads_few_blocks_at_a_time(
            sizes in prop::collection::vec(1..9usize, 2..20), seed: u64, window in 1..30usize,
        ) {
            let count = sizes.iter().sum();
            let of: Vec<usize> = (sizes.iter().enumerate())
                .flat_map(|(block, size)| std::iter::repeat_n(block, *size))
                .collect();
            let list = List::new((0..count).collect(), |i| of[i], window);
            let mut stream = Stream::new(seed, 0, Purpose::AllOrder);
            let order = by_blocks(&mut stream, &list.blocks, count, window);
            prop_assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), count);
            // A window of w samples touches at most w blocks, and no block that another does but at its two ends.
            let mut windows_of = vec![0; sizes.len()];
            for window in order.chunks(window) {
                let touched: BTreeSet<usize> = window.iter().map(|i| of[*i]).collect();
                touched.into_iter().for_each(|block| windows_of[block] += 1);
            }
            for (size, windows) in sizes.iter().zip(windows_of) {
                prop_assert!(windows <= size.div_ceil(window) + 1);
            }
        }
    }

    #[test]
    fn where_every_image_is_a_block_or_all_are_one_they_are_shuffled_together() {
        let order = |block: fn(usize) -> usize, epoch| -> Vec<usize> {
            let mut list = List::new((0..100).collect(), block, 30);
            (0..100)
                .map(|i| list.at(i, 3, epoch, Purpose::AllOrder))
                .collect()
        };
        assert_eq!(order(|i| i, 0), order(|_| 0, 0));
        assert_ne!(order(|i| i / 10, 0), order(|_| 0, 0));
        assert_ne!(order(|i| i / 10, 0), order(|i| i / 10, 1));
    }
}
