//! Factors rounded to bf16 and packed into panels.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _mm512_cvtne2ps_pbh, _mm512_loadu_ps,
    _mm512_maskz_loadu_ps, _mm512_permutex2var_epi32, _mm512_permutexvar_epi16,
    _mm512_storeu_si512,
};
use std::mem::transmute;

use super::super::View;
use super::{LANES, VECTORS};

/// What follows the start of a cache line.
pub(super) fn aligned(memory: &[u32]) -> &[u32] {
    &memory[start(memory)..]
}

/// The same to write to.
pub(super) fn aligned_mut(memory: &mut [u32]) -> &mut [u32] {
    let start = start(memory);
    &mut memory[start..]
}

fn start(memory: &[u32]) -> usize {
    memory.as_ptr().align_offset(4 * LANES).min(LANES - 1)
}

/// Rows `from..from + depth`, columns `left..left + columns` of the right factor, in panels of [`VECTORS`] vectors of
/// `pairs` pairs; what pads those is zero, and what pads the last vector makes results nobody reads.
///
/// # Panics
/// If neither rows nor columns lie without gaps in memory.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack_b(
    b: View<'_>,
    from: usize,
    depth: usize,
    pairs: usize,
    left: usize,
    columns: usize,
    to: &mut [u32],
) {
    if b.column_stride != 1 {
        assert_eq!(b.row_stride, 1, "rows or columns side by side in memory");
        let column = |j: usize| match j {
            j if j < columns => &b.data[from + (left + j) * b.column_stride..][..depth],
            _ => &[],
        };
        for (panel, j) in to
            .chunks_mut(pairs * VECTORS * LANES)
            .zip((0..columns).step_by(VECTORS * LANES))
        {
            let width = panel.len() / pairs;
            for first in (0..pairs).step_by(LANES) {
                for v in (0..width).step_by(LANES) {
                    let rows = std::array::from_fn(|i| {
                        let column = column(j + v + i);
                        rounded(load(column, 2 * first), load(column, 2 * first + LANES))
                    });
                    for (p, row) in across(rows).into_iter().enumerate().take(pairs - first) {
                        store(row, panel, (first + p) * width + v);
                    }
                }
            }
        }
        return;
    }
    // Rows from their first to their last column, as they lie in memory: panels fill side by side.
    for p in 0..pairs {
        let row = |p: usize| match p {
            p if p < depth => &b.data[(from + p) * b.row_stride + left..][..columns],
            _ => &[],
        };
        let (low, high) = (row(2 * p), row(2 * p + 1));
        for (panel, j) in to
            .chunks_mut(pairs * VECTORS * LANES)
            .zip((0..columns).step_by(VECTORS * LANES))
        {
            let width = panel.len() / pairs;
            for v in (0..width).step_by(LANES) {
                let pair = interleaved(load(low, j + v), load(high, j + v));
                store(pair, panel, p * width + v);
            }
        }
    }
}

/// Where the pairs of a left factor lie, 16 rows and 16 pairs at a time.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// From one row to the next.
    pub(super) row: usize,
    /// From 16 pairs to the next 16.
    pub(super) step: usize,
    /// From 16 rows to the next 16.
    pub(super) rows: usize,
}

impl Layout {
    /// Room for so many rows.
    pub(super) fn len(self, rows: usize) -> usize {
        rows / LANES * self.rows + rows % LANES * self.row
    }
}

/// Rows `top..top + rows`, columns `from..from + depth`; the last pairs of a row are padded with zeros to 16. `to` may
/// have more rows: they are multiplied, and the results not stored.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack_a(
    a: View<'_>,
    top: usize,
    rows: usize,
    from: usize,
    depth: usize,
    layout: Layout,
    to: &mut [u32],
) {
    let steps = depth.div_ceil(2 * LANES);
    let row_at = |i: usize| i / LANES * layout.rows + i % LANES * layout.row;
    if a.column_stride == 1 {
        for i in 0..rows {
            let row = &a.data[(top + i) * a.row_stride + from..][..depth];
            for step in 0..steps {
                let at = 2 * step * LANES;
                store(
                    rounded(load(row, at), load(row, at + LANES)),
                    to,
                    row_at(i) + step * layout.step,
                );
            }
        }
        return;
    }
    assert_eq!(a.row_stride, 1, "rows or columns side by side in memory");
    let column = |p: usize| match p {
        p if p < depth => &a.data[(from + p) * a.column_stride + top..][..rows],
        _ => &[],
    };
    for step in 0..steps {
        for i in (0..rows).step_by(LANES) {
            let pairs = std::array::from_fn(|p| {
                let p = 2 * (step * LANES + p);
                interleaved(load(column(p), i), load(column(p + 1), i))
            });
            for (row, pairs) in across(pairs).into_iter().enumerate().take(rows - i) {
                store(pairs, to, row_at(i + row) + step * layout.step);
            }
        }
    }
}

/// Rows become columns: halves are shuffled into each other like cards, four times.
#[target_feature(enable = "avx512f")]
fn across(mut rows: [__m512i; LANES]) -> [__m512i; LANES] {
    const LOW: [u32; LANES] = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
    const HIGH: [u32; LANES] = [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31];
    #[expect(unsafe_code, reason = "512 bits are 512 bits")]
    // SAFETY: both types are 64 bytes of which any values are valid.
    let orders = unsafe { [LOW, HIGH].map(|order| transmute::<[u32; LANES], __m512i>(order)) };
    for _ in 0..4 {
        rows = std::array::from_fn(|i| {
            _mm512_permutex2var_epi32(rows[i / 2], orders[i % 2], rows[i / 2 + LANES / 2])
        });
    }
    rows
}

/// 32 floats as 16 pairs of neighbours.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn rounded(low: __m512, high: __m512) -> __m512i {
    #[expect(unsafe_code, reason = "512 bits are 512 bits")]
    // SAFETY: both types are 64 bytes of which any values are valid.
    unsafe {
        transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Writes 16 numbers from `at` on.
#[target_feature(enable = "avx512f")]
fn store(pairs: __m512i, to: &mut [u32], at: usize) {
    let to = &mut to[at..at + LANES];
    #[expect(unsafe_code, reason = "writes within the slice")]
    // SAFETY: `to` is 16 numbers of 32 bits.
    unsafe {
        _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs);
    }
}

/// Two vectors of floats as 16 pairs, `low` first in each.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn interleaved(low: __m512, high: __m512) -> __m512i {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = (i / 2 + 16 * (i % 2)) as u16;
            i += 1;
        }
        order
    };
    #[expect(unsafe_code, reason = "512 bits are 512 bits")]
    // SAFETY: both types are 64 bytes of which any values are valid.
    unsafe {
        let order = transmute::<[u16; 32], __m512i>(ORDER);
        _mm512_permutexvar_epi16(order, rounded(low, high))
    }
}

/// The first `count` of 16 lanes.
pub(super) fn lanes(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

/// The 16 floats from `at` on; zeros beyond the end.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn load(values: &[f32], at: usize) -> __m512 {
    if let Some(values) = values.get(at..at + LANES) {
        #[expect(unsafe_code, reason = "reads within the slice")]
        // SAFETY: `values` is 16 floats.
        return unsafe { _mm512_loadu_ps(values.as_ptr()) };
    }
    load_rest(values.get(at..).unwrap_or(&[]))
}

/// Fewer than 16 floats.
#[target_feature(enable = "avx512f")]
#[cold]
fn load_rest(values: &[f32]) -> __m512 {
    #[expect(unsafe_code, reason = "reads within the slice")]
    // SAFETY: the mask lets only lanes within `values` be read.
    unsafe {
        _mm512_maskz_loadu_ps(lanes(values.len()), values.as_ptr())
    }
}
