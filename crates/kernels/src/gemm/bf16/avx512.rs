//! The innermost part of a product on a processor with AVX512-BF16: a tile of 12 rows of two vectors of sums.

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
    _mm512_set1_epi32, _mm512_setzero_ps,
};
use std::mem::transmute;

use super::pack::{lanes, load};
use super::{Block, LANES, PAIRS, Target, VECTORS};

/// Rows of a tile: with two vectors a row, 24 of the 32 registers are sums.
pub(super) const ROWS: usize = 12;

impl Block<'_> {
    /// The product of all panels.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn by_vectors(mut self, a: &[u32], b: &[u32]) {
        for (b, left) in b
            .chunks(self.pairs * VECTORS * LANES)
            .zip((0..self.columns).step_by(VECTORS * LANES))
        {
            for (a, top) in a
                .chunks_exact(ROWS * PAIRS)
                .zip((0..self.rows).step_by(ROWS))
            {
                match b.len() / self.pairs / LANES {
                    VECTORS => self.tiles::<VECTORS>(a, b, top, left),
                    _ => self.tiles::<1>(a, b, top, left),
                }
            }
        }
    }

    /// A tile of as few rows as hold the rest.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn tiles<const V: usize>(&mut self, a: &[u32], b: &[u32], top: usize, left: usize) {
        match self.rows - top {
            1..=4 => self.tile::<4, V>(a, b, top, left),
            5..=8 => self.tile::<8, V>(a, b, top, left),
            _ => self.tile::<ROWS, V>(a, b, top, left),
        }
    }

    /// `M` rows and `V` vectors at row `top` and column `left`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn tile<const M: usize, const V: usize>(
        &mut self,
        a: &[u32],
        b: &[u32],
        top: usize,
        left: usize,
    ) {
        let pairs = self.pairs;
        assert!(
            (M - 1) * PAIRS + pairs <= a.len() && pairs * V * LANES <= b.len(),
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
                    let pair = *a.get_unchecked(i * PAIRS + p);
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
                let before = match self.target {
                    Target::Set => _mm512_setzero_ps(),
                    Target::Row(row) => load(row, at),
                    Target::Add => load(out, 0),
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
