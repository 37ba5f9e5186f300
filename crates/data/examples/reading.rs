//! How fast a source streams: opens it, then reads batches in the order of training on a number of threads.
//!
//!     cargo run --release -p learngene-data --example reading -- SHARDS 64 2
//!
//! SHARDS is any source, 64 the side images are brought to, 2 the number of threads; the last line has the sum of all
//! that was read, the same on any number of threads.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use learngene_data::{BatchOrder, Batches, ClassSelection, Dataset, LoadOptions, Split};
use std::error::Error;
use std::time::Instant;

const BATCH: usize = 256;
const BATCHES: u64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, side, threads] = &arguments[..] else {
        return Err("SOURCE SIDE THREADS".into());
    };
    let threads: usize = threads.parse()?;
    let start = Instant::now();
    let options = LoadOptions {
        image_size: Some(side.parse()?),
        stream: true,
        ..LoadOptions::default()
    };
    let data = Dataset::load(source, &ClassSelection::All, &options)?;
    println!(
        "opened in {:.2} s: {} training images of {} classes, {} MiB in use",
        start.elapsed().as_secs_f64(),
        data.len(Split::Train),
        data.classes().len(),
        peak_mib()
    );
    let order = BatchOrder::Plain {
        batch: BATCH,
        label_drop: 0.0,
    };
    let mut batches = Batches::new(&data, order, 0, true)?;
    let mut images = vec![0.0; BATCH * data.values_per_image()];
    let (start, mut sum) = (Instant::now(), 0.0);
    for step in 0..BATCHES {
        let draws = batches.batch(step);
        let each = BATCH.div_ceil(threads);
        let parts = images.chunks_mut(each * data.values_per_image());
        std::thread::scope(|scope| {
            let readers: Vec<_> = parts
                .zip(draws.chunks(each))
                .map(|(images, draws)| {
                    let data = &data;
                    scope.spawn(move || {
                        let places = images.chunks_mut(data.values_per_image());
                        draws.iter().zip(places).try_for_each(|(draw, out)| {
                            data.write_chw(Split::Train, draw.sample, draw.flip, None, out)
                        })
                    })
                })
                .collect();
            let done = readers.into_iter().map(|reader| reader.join());
            done.map(|done| done.map_err(|_| "a reader panicked")?.map_err(Box::from))
                .collect::<Result<Vec<()>, Box<dyn Error>>>()
        })?;
        sum += images.iter().map(|value| f64::from(*value)).sum::<f64>();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} images in {seconds:.2} s: {:.0} a second on {threads} threads, at most {} MiB in use, {} broken",
        BATCH as u64 * BATCHES,
        (BATCH as u64 * BATCHES) as f64 / seconds,
        peak_mib(),
        data.broken().len()
    );
    println!("sum {sum}");
    Ok(())
}

/// The most memory in use so far, where the system says so.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    number.unwrap_or_default() / 1024
}
