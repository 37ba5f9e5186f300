//! Factors rounded to bf16 and packed into panels.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _mm512_cvtne2ps_pbh, _mm512_loadu_ps,
    _mm512_mask_storeu_epi32, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_storeu_si512,
};
use std::mem::transmute;

use super::super::View;
use super::{LANES, PAIRS, ROWS, VECTORS};
use crate::matmul::transpose;

/// How the pairs of a panel of A lie.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// A row's pairs side by side, rows [`PAIRS`] apart.
    Rows,
    /// The same pair of all rows side by side, pairs [`ROWS`] apart.
    Pairs,
}

/// The first `len` numbers, whatever they are.
pub(super) fn room(memory: &mut Vec<u32>, len: usize) -> &mut [u32] {
    if memory.len() < len {
        memory.resize(len, 0);
    }
    &mut memory[..len]
}

/// Rows `from..from + depth`, columns `left..left + columns` of the right factor, in panels of [`VECTORS`] vectors; what
/// pads the last pair is zero, and what pads the last vector makes results nobody reads.
///
/// # Panics
/// If neither rows nor columns lie without gaps in memory.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack_b(
    b: View<'_>,
    from: usize,
    depth: usize,
    left: usize,
    columns: usize,
    to: &mut [u32],
) {
    let pairs = depth.div_ceil(2);
    if b.column_stride != 1 {
        assert_eq!(b.row_stride, 1, "rows or columns side by side in memory");
        let mut rows = [0; VECTORS * LANES * PAIRS];
        for (panel, j) in to
            .chunks_mut(pairs * VECTORS * LANES)
            .zip((left..left + columns).step_by(VECTORS * LANES))
        {
            let count = (VECTORS * LANES).min(left + columns - j);
            for (i, row) in rows.chunks_exact_mut(PAIRS).enumerate().take(count) {
                let column = &b.data[from + (j + i) * b.column_stride..][..depth];
                pack_row(column, &mut row[..pairs]);
            }
            let width = panel.len() / pairs;
            transpose(&rows, PAIRS, count, panel, width);
        }
        return;
    }
    // Rows from their first to their last column, as they lie in memory: panels fill side by side.
    for p in 0..pairs {
        let row = |p: usize| &b.data[(from + p) * b.row_stride + left..][..columns];
        let low = row(2 * p);
        let high = if 2 * p + 1 < depth {
            row(2 * p + 1)
        } else {
            &[]
        };
        for (panel, j) in to
            .chunks_mut(pairs * VECTORS * LANES)
            .zip((0..columns).step_by(VECTORS * LANES))
        {
            let width = panel.len() / pairs;
            for (v, out) in panel[p * width..][..width]
                .chunks_exact_mut(LANES)
                .enumerate()
            {
                let pair = interleaved(load(low, j + v * LANES), load(high, j + v * LANES));
                #[expect(unsafe_code, reason = "writes within the slice")]
                // SAFETY: `out` is 16 numbers of 32 bits.
                unsafe {
                    _mm512_storeu_si512(out.as_mut_ptr().cast(), pair);
                }
            }
        }
    }
}

/// Rows `top..top + rows`, columns `from..from + depth`, in panels of [`ROWS`] rows. What lies beyond the last row is
/// multiplied and not stored.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack_a<'a>(
    a: View<'_>,
    top: usize,
    rows: usize,
    from: usize,
    depth: usize,
    to: &'a mut Vec<u32>,
) -> (Layout, &'a [u32]) {
    let pairs = depth.div_ceil(2);
    let to = room(to, rows.next_multiple_of(ROWS) * PAIRS);
    if a.column_stride == 1 {
        for (i, out) in to.chunks_exact_mut(PAIRS).enumerate().take(rows) {
            let row = &a.data[(top + i) * a.row_stride + from..][..depth];
            pack_row(row, &mut out[..pairs]);
        }
        return (Layout::Rows, to);
    }
    assert_eq!(a.row_stride, 1, "rows or columns side by side in memory");
    for p in 0..pairs {
        let column = |p: usize| &a.data[(from + p) * a.column_stride + top..][..rows];
        let low = column(2 * p);
        let high = if 2 * p + 1 < depth {
            column(2 * p + 1)
        } else {
            &[]
        };
        for (panel, i) in to
            .chunks_exact_mut(ROWS * PAIRS)
            .zip((0..rows).step_by(ROWS))
        {
            let pair = interleaved(load(low, i), load(high, i));
            let out = &mut panel[p * ROWS..][..ROWS];
            #[expect(unsafe_code, reason = "writes within the slice")]
            // SAFETY: the mask lets only the 12 numbers of `out` be written.
            unsafe {
                _mm512_mask_storeu_epi32(out.as_mut_ptr().cast(), lanes(ROWS), pair);
            }
        }
    }
    (Layout::Pairs, to)
}

/// Neighbours of a row become pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_row(row: &[f32], out: &mut [u32]) {
    let (blocks, rest) = row.as_chunks::<{ 2 * LANES }>();
    let (outs, last) = out.split_at_mut(blocks.len() * LANES);
    for (block, out) in blocks.iter().zip(outs.chunks_exact_mut(LANES)) {
        #[expect(unsafe_code, reason = "reads and writes within the slices")]
        // SAFETY: `block` is 32 floats, `out` 16 numbers of 32 bits.
        unsafe {
            let low = _mm512_loadu_ps(block.as_ptr());
            let high = _mm512_loadu_ps(block[LANES..].as_ptr());
            let pairs = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), pairs);
        }
    }
    for (out, pair) in last.iter_mut().zip(rest.chunks(2)) {
        *out = round(pair[0]) | pair.get(1).map_or(0, |&x| round(x) << 16);
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
    // SAFETY: all three types are 64 bytes of which any values are valid.
    unsafe {
        let rounded = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
        _mm512_permutexvar_epi16(transmute::<[u16; 32], __m512i>(ORDER), rounded)
    }
}

/// The first `count` of 16 lanes.
pub(super) fn lanes(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

/// The 16 floats from `at` on; zeros beyond the end.
#[target_feature(enable = "avx512f")]
pub(super) fn load(values: &[f32], at: usize) -> __m512 {
    let values = values.get(at..).unwrap_or(&[]);
    #[expect(unsafe_code, reason = "reads within the slice")]
    // SAFETY: the mask lets only lanes within `values` be read.
    unsafe {
        _mm512_maskz_loadu_ps(lanes(values.len()), values.as_ptr())
    }
}

/// A float's bits as bf16, rounded as the instruction rounds.
fn round(x: f32) -> u32 {
    if x.is_nan() {
        return x.to_bits() >> 16 | 0x40;
    }
    let x = if x.is_subnormal() {
        0.0f32.copysign(x)
    } else {
        x
    };
    let bits = x.to_bits();
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}
