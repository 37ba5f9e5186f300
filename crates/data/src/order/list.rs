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

/// The numbers `0..count`: blocks in random order, as many together as have `window` samples at most, those of them shuffled.
/// So neighbours come from few blocks, and no block is wanted again when those after it are.
fn by_blocks(stream: &mut Stream, blocks: &[usize], count: usize, window: usize) -> Vec<usize> {
    let ends = blocks[1..].iter().copied().chain([count]);
    let ranges: Vec<_> = blocks
        .iter()
        .zip(ends)
        .map(|(&from, to)| from..to)
        .collect();
    let mut order = Vec::with_capacity(count);
    // Where the window begins that is being filled.
    let mut first = 0;
    for block in stream.permutation(ranges.len()) {
        let range = ranges[block].clone();
        if order.len() + range.len() - first > window {
            shuffle(&mut order[first..], stream);
            first = order.len();
        }
        order.extend(range);
    }
    shuffle(&mut order[first..], stream);
    order
}

fn shuffle(samples: &mut [usize], stream: &mut Stream) {
    let places = stream.permutation(samples.len());
    let shuffled: Vec<usize> = places.into_iter().map(|place| samples[place]).collect();
    samples.copy_from_slice(&shuffled);
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
            // Samples of a block lie together with those of few others, and no further apart than a window.
            for block in 0..sizes.len() {
                let places = (0..count).filter(|place| of[order[*place]] == block);
                let places: Vec<usize> = places.collect();
                let (first, last) = (places[0], places[places.len() - 1]);
                prop_assert!(last - first < window.max(sizes[block]));
                let between: BTreeSet<usize> = (first..=last).map(|place| of[order[place]]).collect();
                let together: usize = between.into_iter().map(|block| sizes[block]).sum();
                prop_assert!(together <= window.max(sizes[block]));
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
