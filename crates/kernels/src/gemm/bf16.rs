//! Products whose factors are rounded to bf16 and summed in 32 bits, by AVX512-BF16.
//!
//! `vdpbf16ps` multiplies twice as many pairs of numbers in a cycle as a 32-bit multiplication does. Both factors are
//! rounded (to nearest, ties to even, subnormal numbers to zero) while they are packed, so memory holds 32-bit numbers
//! throughout and no other part of a step has to know. The blocking is Goto's: a block of B stays in the second-level
//! cache, a panel of it in the first, and a tile of the result in registers.
//!
//! Packed numbers lie in pairs, two neighbours of the inner dimension in 32 bits, as the instruction takes them.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _mm512_add_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_epi32, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_storeu_si512,
};
use std::cell::RefCell;
use std::mem::transmute;

use super::{Target, View, ViewMut};

/// Lanes of a vector of 32-bit numbers.
const LANES: usize = 16;
/// Rows of a tile: with two vectors a row, 24 of the 32 registers are sums.
const ROWS: usize = 12;
/// Vectors of a row of a tile.
const VECTORS: usize = 2;
/// Pairs of the inner dimension that are packed at a time: a panel of B then fills three quarters of a first-level cache.
const PAIRS: usize = 192;
/// Columns of B that are packed at a time.
const COLUMNS: usize = 768;
/// Rows of A that are packed at a time, whole tiles.
const BLOCK: usize = 22 * ROWS;

/// Whether the processor has the instructions.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// Where a thread packs its factors.
#[derive(Default)]
struct Packed {
    a: Vec<u32>,
    b: Vec<u32>,
}

thread_local! {
    static PACKED: RefCell<Packed> = RefCell::default();
}

/// `to = a b` or `to += a b`, the factors rounded to bf16. Shapes and bounds are the caller's to check.
///
/// # Panics
/// If the processor lacks the instructions, or no side of a factor lies without gaps in memory.
pub(super) fn gemm(to: ViewMut<'_>, target: Target, a: View<'_>, b: View<'_>) {
    assert!(is_available(), "a processor with AVX512-BF16");
    PACKED.with_borrow_mut(|packed| {
        #[expect(unsafe_code, reason = "the instructions are there, as asserted above")]
        // SAFETY: see the reason.
        unsafe {
            product(to, target, a, b, packed);
        }
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn product(to: ViewMut<'_>, target: Target, a: View<'_>, b: View<'_>, packed: &mut Packed) {
    let inner = a.columns;
    if inner == 0 {
        if target == Target::Set {
            for row in to.data.chunks_mut(to.stride).take(to.rows) {
                row[..to.columns].fill(0.0);
            }
        }
        return;
    }
    // Blocks of the inner dimension as equal as can be, of whole pairs.
    let blocks = inner.div_ceil(2 * PAIRS);
    let depth = inner.div_ceil(blocks).next_multiple_of(2);
    for left in (0..b.columns).step_by(COLUMNS) {
        let columns = COLUMNS.min(b.columns - left);
        for from in (0..inner).step_by(depth) {
            let depth = depth.min(inner - from);
            let right = pack_b(b, from, depth, left, columns, &mut packed.b);
            let add = target == Target::Add || from > 0;
            for top in (0..a.rows).step_by(BLOCK) {
                let rows = BLOCK.min(a.rows - top);
                let (layout, panels) = pack_a(a, top, rows, from, depth, &mut packed.a);
                let first = top * to.stride + left;
                let block = Block {
                    c: &mut to.data[first..],
                    stride: to.stride,
                    rows,
                    columns,
                    pairs: depth.div_ceil(2),
                    add,
                };
                block.multiply(layout, panels, right);
            }
        }
    }
}

/// How the pairs of a panel of A lie.
#[derive(Clone, Copy)]
enum Layout {
    /// A row's pairs side by side, rows [`PAIRS`] apart.
    Rows,
    /// The same pair of all rows side by side, pairs [`ROWS`] apart.
    Pairs,
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
fn lanes(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

/// The 16 floats from `at` on; zeros beyond the end.
#[target_feature(enable = "avx512f")]
fn load(values: &[f32], at: usize) -> __m512 {
    let values = values.get(at..).unwrap_or(&[]);
    #[expect(unsafe_code, reason = "reads within the slice")]
    // SAFETY: the mask lets only lanes within `values` be read.
    unsafe {
        _mm512_maskz_loadu_ps(lanes(values.len()), values.as_ptr())
    }
}

/// The first `len` numbers, whatever they are.
fn room(memory: &mut Vec<u32>, len: usize) -> &mut [u32] {
    if memory.len() < len {
        memory.resize(len, 0);
    }
    &mut memory[..len]
}

/// Rows `from..from + depth`, columns `left..left + columns`, in panels of [`VECTORS`] vectors; what pads the last vector
/// and the last pair is zero.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_b<'a>(
    b: View<'_>,
    from: usize,
    depth: usize,
    left: usize,
    columns: usize,
    to: &'a mut Vec<u32>,
) -> &'a [u32] {
    let pairs = depth.div_ceil(2);
    let vectors = columns.div_ceil(LANES);
    let to = room(to, pairs * vectors * LANES);
    if b.column_stride != 1 {
        let value = |p: usize, j: usize| {
            let inside = p < depth && j < columns;
            let at = (from + p) * b.row_stride + (left + j) * b.column_stride;
            if inside { round(b.data[at]) } else { 0 }
        };
        panels(to, pairs, |p, j| {
            value(2 * p, j) | value(2 * p + 1, j) << 16
        });
        return to;
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
    to
}

/// Every number of the panels of B, by pair and column.
fn panels(to: &mut [u32], pairs: usize, value: impl Fn(usize, usize) -> u32) {
    let mut first = 0;
    for panel in to.chunks_mut(pairs * VECTORS * LANES) {
        let width = panel.len() / pairs;
        for (at, out) in panel.iter_mut().enumerate() {
            *out = value(at / width, first + at % width);
        }
        first += width;
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

/// Rows `top..top + rows`, columns `from..from + depth`, in panels of [`ROWS`] rows. What lies beyond the last row is
/// multiplied and not stored.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_a<'a>(
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

/// A block of the result.
struct Block<'a> {
    c: &'a mut [f32],
    stride: usize,
    rows: usize,
    columns: usize,
    pairs: usize,
    add: bool,
}

impl Block<'_> {
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn multiply(mut self, layout: Layout, a: &[u32], b: &[u32]) {
        for (b, left) in b
            .chunks(self.pairs * VECTORS * LANES)
            .zip((0..self.columns).step_by(VECTORS * LANES))
        {
            for (a, top) in a
                .chunks_exact(ROWS * PAIRS)
                .zip((0..self.rows).step_by(ROWS))
            {
                match (layout, b.len() / self.pairs / LANES) {
                    (Layout::Rows, VECTORS) => self.tiles::<VECTORS, PAIRS, 1>(a, b, top, left),
                    (Layout::Rows, _) => self.tiles::<1, PAIRS, 1>(a, b, top, left),
                    (Layout::Pairs, VECTORS) => self.tiles::<VECTORS, 1, ROWS>(a, b, top, left),
                    (Layout::Pairs, _) => self.tiles::<1, 1, ROWS>(a, b, top, left),
                }
            }
        }
    }

    /// A tile of as few rows as hold the rest.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn tiles<const V: usize, const ROW: usize, const PAIR: usize>(
        &mut self,
        a: &[u32],
        b: &[u32],
        top: usize,
        left: usize,
    ) {
        match self.rows - top {
            1..=4 => self.tile::<4, V, ROW, PAIR>(a, b, top, left),
            5..=8 => self.tile::<8, V, ROW, PAIR>(a, b, top, left),
            _ => self.tile::<ROWS, V, ROW, PAIR>(a, b, top, left),
        }
    }

    /// `M` rows and `V` vectors at row `top` and column `left`; pair `p` of row `i` of A lies at `i ROW + p PAIR`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn tile<const M: usize, const V: usize, const ROW: usize, const PAIR: usize>(
        &mut self,
        a: &[u32],
        b: &[u32],
        top: usize,
        left: usize,
    ) {
        let pairs = self.pairs;
        assert!(
            (M - 1) * ROW + (pairs - 1) * PAIR < a.len() && pairs * V * LANES <= b.len(),
            "panels of a tile"
        );
        let mut sums = [[_mm512_setzero_ps(); V]; M];
        for p in 0..pairs {
            #[expect(unsafe_code, reason = "reads within the bounds asserted above")]
            // SAFETY: the largest places read are the ones asserted; any 512 bits are 32 bf16 numbers.
            unsafe {
                let b: [__m512bh; V] = std::array::from_fn(|v| {
                    let at = b.as_ptr().add((p * V + v) * LANES);
                    transmute::<__m512i, __m512bh>(_mm512_loadu_si512(at.cast()))
                });
                for (i, sums) in sums.iter_mut().enumerate() {
                    let pair = *a.get_unchecked(i * ROW + p * PAIR);
                    let pair = transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair as i32));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm512_dpbf16_ps(*sum, pair, b);
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate().take(self.rows - top) {
            let row = &mut self.c[(top + i) * self.stride..][..self.columns];
            for (v, &sum) in sums.iter().enumerate() {
                let at = left + v * LANES;
                let count = LANES.min(self.columns.saturating_sub(at));
                if count == 0 {
                    continue;
                }
                let out = &mut row[at..at + count];
                let before = if self.add {
                    load(out, 0)
                } else {
                    _mm512_setzero_ps()
                };
                #[expect(unsafe_code, reason = "writes within the slice")]
                // SAFETY: the mask lets only lanes within `out` be written.
                unsafe {
                    let sum = _mm512_add_ps(before, sum);
                    _mm512_mask_storeu_ps(out.as_mut_ptr(), lanes(count), sum);
                }
            }
        }
    }
}
