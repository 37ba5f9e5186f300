//! Depthwise convolution.

use super::{Map, Weights, relu6, same_padding};

/// Channels that are computed together; every channel count must be a multiple of it.
const LANES: usize = 16;

/// One `kernel` x `kernel` filter per channel, then ReLU6.
#[derive(Debug)]
pub(crate) struct Depthwise {
    kernel: usize,
    stride: usize,
    /// `[channels / LANES]` groups of `[kernel, kernel]` weights for [`LANES`] channels.
    weight: Vec<Vec<[f32; LANES]>>,
    bias: Vec<[f32; LANES]>,
}

impl Depthwise {
    /// Takes `name.weight` `[channels, 1, kernel, kernel]` and `name.bias` out of `weights`.
    pub(crate) fn read(
        weights: &mut Weights<'_>,
        name: &str,
        channels: usize,
        kernel: usize,
        stride: usize,
    ) -> Self {
        let taps = kernel * kernel;
        let weight = weights.take(&format!("{name}.weight"), &[channels, 1, kernel, kernel]);
        let group = |filters: &[f32]| {
            let lanes = |tap: usize| std::array::from_fn(|lane| filters[lane * taps + tap]);
            (0..taps).map(lanes).collect()
        };
        Self {
            kernel,
            stride,
            weight: weight.chunks_exact(LANES * taps).map(group).collect(),
            bias: weights
                .take(&format!("{name}.bias"), &[channels])
                .as_chunks()
                .0
                .to_vec(),
        }
    }

    pub(crate) fn forward(&self, input: &Map, output: &mut Map) {
        // The same code, compiled for each instruction set and chosen at run time.
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || match self.kernel {
                3 => self.filter::<3>(input, output),
                _ => self.filter::<5>(input, output),
            },
        );
    }

    #[inline(always)]
    fn filter<const K: usize>(&self, input: &Map, output: &mut Map) {
        let (size, before) = same_padding(input.size, K, self.stride);
        let channels = input.channels;
        output.reshape(size, channels);
        for (y, row) in output.values.chunks_exact_mut(size * channels).enumerate() {
            let (top, ys) = self.window(y, before, input.size);
            for (group, (weight, bias)) in self.weight.iter().zip(&self.bias).enumerate() {
                let weight = weight.as_chunks::<K>().0;
                for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                    let (left, xs) = self.window(x, before, input.size);
                    let at = |ky: usize, kx: usize| {
                        let pixel = (top + ky - before) * input.size + left + kx - before;
                        &input.values[pixel * channels + group * LANES..][..LANES]
                    };
                    let mut sum = *bias;
                    if ys.len() == K && xs.len() == K {
                        // Away from the edges the number of taps is known to the compiler.
                        for (ky, taps) in weight.iter().enumerate().take(K) {
                            for (kx, tap) in taps.iter().enumerate() {
                                add_product(&mut sum, tap, at(ky, kx));
                            }
                        }
                    } else {
                        for ky in ys.clone() {
                            for kx in xs.clone() {
                                add_product(&mut sum, &weight[ky][kx], at(ky, kx));
                            }
                        }
                    }
                    pixel[group * LANES..][..LANES].copy_from_slice(&sum.map(relu6));
                }
            }
        }
    }

    /// First position of output `index` on an axis that is padded by `before`, and the taps from there on
    /// that fall on the input and not on the padding.
    #[inline(always)]
    fn window(&self, index: usize, before: usize, size: usize) -> (usize, std::ops::Range<usize>) {
        let first = index * self.stride;
        (
            first,
            before.saturating_sub(first)..self.kernel.min(size + before - first),
        )
    }
}

#[inline(always)]
fn add_product(sum: &mut [f32; LANES], weight: &[f32; LANES], values: &[f32]) {
    for ((sum, weight), value) in sum.iter_mut().zip(weight).zip(values) {
        *sum += weight * value;
    }
}
