//! What a training step needs of memory at once is what the plan says.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use burn::tensor::Device;
use common::{data, in_fours, quick};
use learngene_data::Dataset;
use learngene_nn::{Dit, DitConfig, FactorInit, RankSplit, Superclass, cost};
use learngene_train::{DataConfig, TrainConfig, Trainer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the bytes that are allocated, and the most there were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator has no safe interface")]
// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(
            NOW.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(
            NOW.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Most bytes at once of a step, beside the data.
fn measured(
    config: &DitConfig,
    batch: usize,
    recompute: bool,
    dataset: &Dataset,
    data: usize,
) -> f64 {
    let settings = TrainConfig {
        per_class: 0,
        batch,
        recompute,
        ..quick(4)
    };
    let device = Device::flex().autodiff();
    let model = Dit::init(config, FactorInit::Orthogonal, 0, &device).unwrap();
    let mut trainer = Trainer::new(model, settings, dataset).unwrap();
    trainer.step().unwrap();
    MOST.store(NOW.load(Relaxed), Relaxed);
    (0..2).for_each(|_| assert!(trainer.step().is_ok()));
    (MOST.load(Relaxed) - data) as f64
}

/// From the smallest to the largest: memory of the steps before is used again.
#[test]
fn a_step_needs_what_the_plan_says() {
    let source = DataConfig {
        image_size: None,
        ..data()
    };
    let dataset = source.load().unwrap();
    let data = NOW.load(Relaxed);
    let size = |size| DitConfig::from_size(size, [3, 32, 32], 12).unwrap();
    let split = |config: DitConfig, learngene, tailor| {
        let split = RankSplit { learngene, tailor };
        config.with_rank_split(split).unwrap()
    };
    let shared = |config: DitConfig| {
        let wide = Superclass {
            tailors: 3.try_into().unwrap(),
            ..Superclass::new("all", (0..12).collect::<Vec<_>>())
        };
        config.with_superclasses(vec![wide]).unwrap()
    };
    for (config, batch, recompute) in [
        (size("dit-micro/4"), 8, false),
        (split(size("dit-micro/4"), 48, 4), 8, false),
        (shared(split(size("dit-micro/4"), 48, 4)), 8, false),
        (split(size("dit-micro/4"), 48, 4), 32, true),
        (size("dit-micro/4"), 32, false),
        (split(size("dit-micro/4"), 48, 4), 32, false),
        (in_fours(split(size("dit-micro/4"), 48, 4)), 32, false),
        (split(size("dit-nano/4"), 96, 8), 8, false),
        (split(size("dit-nano/4"), 96, 8), 32, true),
        (size("dit-nano/4"), 32, false),
        (split(size("dit-nano/4"), 96, 8), 32, false),
    ] {
        let measured = measured(&config, batch, recompute, &dataset, data);
        let planned = cost::step_bytes(&config, batch, recompute) as f64;
        let without_libraries = planned - cost::LIBRARIES as f64;
        assert!(
            measured < 1.1 * planned && measured > 0.9 * without_libraries,
            "{config:?}, {batch} images, recompute {recompute}: {measured} bytes, planned {planned}"
        );
    }
}
