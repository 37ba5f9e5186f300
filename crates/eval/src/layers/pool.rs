//! Pooling.

use super::{Map, Padding};

/// Side of the window.
const SIDE: usize = 3;

/// Largest values of 3x3 windows; what is outside does not count.
pub(crate) fn max3(input: &Map, stride: usize, padding: Padding, output: &mut Map) {
    let before = usize::from(padding == Padding::Same);
    let size = (input.size + 2 * before - SIDE) / stride + 1;
    output.reshape(size, input.channels);
    let windows = Windows {
        input,
        before,
        stride,
    };
    windows.each(output, |pixel, window| {
        pixel.fill(f32::NEG_INFINITY);
        for values in window {
            for (largest, value) in pixel.iter_mut().zip(values) {
                *largest = largest.max(*value);
            }
        }
    });
}

/// Averages of the 3x3 windows around every position; what is outside does not count.
pub(crate) fn average3(input: &Map, output: &mut Map) {
    output.reshape(input.size, input.channels);
    let windows = Windows {
        input,
        before: 1,
        stride: 1,
    };
    windows.each(output, |pixel, window| {
        pixel.fill(0.0);
        let mut count = 0.0;
        for values in window {
            count += 1.0;
            for (sum, value) in pixel.iter_mut().zip(values) {
                *sum += value;
            }
        }
        pixel.iter_mut().for_each(|sum| *sum /= count);
    });
}

/// Average over all positions, one value per channel.
pub(crate) fn global_average(input: &Map, averages: &mut [f32]) {
    let share = 1.0 / (input.size * input.size) as f32;
    averages.fill(0.0);
    for pixel in input.values.chunks_exact(input.channels) {
        for (average, value) in averages.iter_mut().zip(pixel) {
            *average += value * share;
        }
    }
}

/// The windows of a pooling layer.
struct Windows<'a> {
    input: &'a Map,
    before: usize,
    stride: usize,
}

impl Windows<'_> {
    /// Calls `pool` with every pixel of `output` and the pixels of the input that are in its window.
    fn each<'a>(
        &'a self,
        output: &mut Map,
        pool: impl Fn(&mut [f32], &mut dyn Iterator<Item = &'a [f32]>),
    ) {
        let (size, channels) = (output.size, output.channels);
        for (index, pixel) in output.values.chunks_exact_mut(channels).enumerate() {
            let columns = self.range(index % size);
            let mut window = self.range(index / size).flat_map(|y| {
                columns.clone().map(move |x| {
                    let start = (y * self.input.size + x) * channels;
                    &self.input.values[start..start + channels]
                })
            });
            pool(pixel, &mut window);
        }
    }

    /// Positions of window `index` along an axis.
    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let first = index * self.stride;
        let end = (first + SIDE - self.before).min(self.input.size);
        first.saturating_sub(self.before)..end
    }
}
