//! Products whose factors are rounded to bf16 and summed in 32 bits, by AVX512-BF16.
//!
//! `vdpbf16ps` multiplies twice as many pairs of numbers in a cycle as a 32-bit multiplication does. Both factors are
//! rounded (to nearest, ties to even, subnormal numbers to zero) while they are packed, so memory holds 32-bit numbers
//! and no other part of a step has to know; only a right factor of many products is packed beforehand. A panel of B stays
//! in the first-level cache, a block of A in the second, and a tile of the result in registers.
//!
//! Packed numbers lie in pairs, two neighbours of the inner dimension in 32 bits, as the instruction takes them.

mod pack;
mod tile;

use std::cell::RefCell;

use super::{Target, View, ViewMut};

use pack::{pack_a, pack_b, room};
use tile::Block;

/// Lanes of a vector of 32-bit numbers.
const LANES: usize = 16;
/// Rows of a tile: with two vectors a row, 24 of the 32 registers are sums.
const ROWS: usize = 12;
/// Vectors of a row of a tile.
const VECTORS: usize = 2;
/// Most pairs of the inner dimension in a panel: one of B then fills three quarters of a first-level cache.
const PAIRS: usize = 192;
/// Rows of A that are packed at a time, whole tiles.
const BLOCK: usize = 22 * ROWS;
/// Columns of B in a [`Piece`], whole panels.
const COLUMNS: usize = 8 * VECTORS * LANES;

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
    PACKED.with_borrow_mut(|packed| {
        let right = room(&mut packed.b, packed_len(b));
        pieces(b, right).for_each(Piece::pack);
        multiply(to, target, a, right, &mut packed.a);
    });
}

/// The same with a right factor that has been packed.
///
/// # Panics
/// If the processor lacks the instructions, or no side of the left factor lies without gaps in memory.
pub(super) fn gemm_packed(to: ViewMut<'_>, target: Target, a: View<'_>, right: &[u32]) {
    PACKED.with_borrow_mut(|packed| multiply(to, target, a, right, &mut packed.a));
}

fn multiply(to: ViewMut<'_>, target: Target, a: View<'_>, right: &[u32], left: &mut Vec<u32>) {
    assert!(is_available(), "a processor with AVX512-BF16");
    #[expect(unsafe_code, reason = "the instructions are there, as asserted above")]
    // SAFETY: see the reason.
    unsafe {
        product(to, target, a, right, left);
    }
}

/// Pairs in a right factor once it is packed.
pub(super) fn packed_len(b: View<'_>) -> usize {
    b.rows.div_ceil(2) * b.columns.next_multiple_of(LANES)
}

/// Rows of a right factor whose panels lie together: blocks as equal as can be, of whole pairs.
fn depth(inner: usize) -> usize {
    let blocks = inner.div_ceil(2 * PAIRS).max(1);
    inner.div_ceil(blocks).next_multiple_of(2).max(2)
}

/// A part of a right factor and the place of its panels.
pub(super) struct Piece<'a> {
    b: View<'a>,
    from: usize,
    depth: usize,
    left: usize,
    columns: usize,
    to: &'a mut [u32],
}

/// All pieces of a right factor; they are packed in any order.
pub(super) fn pieces<'a>(b: View<'a>, to: &'a mut [u32]) -> impl Iterator<Item = Piece<'a>> {
    let (width, block) = (b.columns.next_multiple_of(LANES), depth(b.rows));
    let blocks = (0..b.rows).step_by(block);
    let places = to.chunks_mut((block / 2 * width).max(1));
    blocks.zip(places).flat_map(move |(from, place)| {
        let depth = block.min(b.rows - from);
        let lefts = (0..b.columns).step_by(COLUMNS);
        let places = place.chunks_mut(depth.div_ceil(2) * COLUMNS);
        lefts.zip(places).map(move |(left, to)| Piece {
            b,
            from,
            depth,
            left,
            columns: COLUMNS.min(b.columns - left),
            to,
        })
    })
}

impl Piece<'_> {
    /// # Panics
    /// As [`gemm`].
    pub(super) fn pack(self) {
        assert!(is_available(), "a processor with AVX512-BF16");
        #[expect(unsafe_code, reason = "the instructions are there, as asserted above")]
        // SAFETY: see the reason.
        unsafe {
            pack_b(
                self.b,
                self.from,
                self.depth,
                self.left,
                self.columns,
                self.to,
            );
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn product(to: ViewMut<'_>, target: Target, a: View<'_>, right: &[u32], left: &mut Vec<u32>) {
    let inner = a.columns;
    if inner == 0 {
        if target == Target::Set {
            for row in to.data.chunks_mut(to.stride).take(to.rows) {
                row[..to.columns].fill(0.0);
            }
        }
        return;
    }
    let (width, block) = (to.columns.next_multiple_of(LANES), depth(inner));
    for (from, right) in (0..inner)
        .step_by(block)
        .zip(right.chunks(block / 2 * width))
    {
        let depth = block.min(inner - from);
        let add = target == Target::Add || from > 0;
        for top in (0..a.rows).step_by(BLOCK) {
            let rows = BLOCK.min(a.rows - top);
            let (layout, panels) = pack_a(a, top, rows, from, depth, left);
            let block = Block {
                c: &mut to.data[top * to.stride..],
                stride: to.stride,
                rows,
                columns: to.columns,
                pairs: depth.div_ceil(2),
                add,
            };
            block.multiply(layout, panels, right);
        }
    }
}
