//! Products whose factors are rounded to bf16 and summed in 32 bits, by AVX512-BF16 or, where there is that too, AMX.
//!
//! In a cycle `vdpbf16ps` multiplies up to twice as many pairs of numbers as a 32-bit multiplication does, and a unit for
//! tiles ([`amx`]) 16 times as many. Both factors are rounded (to nearest, ties to even, subnormal numbers to zero) while
//! they are packed, so memory holds 32-bit numbers and no other part of a step has to know; only a right factor of many
//! products is packed beforehand. A panel of B stays in the first-level cache, a block of A in the second, and a tile of
//! the result in registers.
//!
//! Packed numbers lie in pairs, two neighbours of the inner dimension in 32 bits, as the instruction takes them.

mod amx;
mod avx512;
mod pack;

use std::cell::RefCell;

use pulp::bytemuck::{cast_slice, cast_slice_mut};

use super::{Target, View, ViewMut, check_against};
use crate::buffer::Buffer;

use amx::Tiles;
use pack::{Layout, aligned, aligned_mut, pack_a, pack_b};

/// Lanes of a vector of 32-bit numbers.
const LANES: usize = 16;
/// Vectors of a row of a tile.
const VECTORS: usize = 2;
/// Most pairs of the inner dimension in a panel: one of B then fills three quarters of a first-level cache.
const PAIRS: usize = 192;
/// Columns of B in a [`Piece`], whole panels.
const COLUMNS: usize = 8 * VECTORS * LANES;

/// Whether the processor has the instructions.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// What multiplies. Factors are packed for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Vectors of AVX-512.
    Vectors,
    /// Tiles of AMX.
    Tiles,
}

impl Unit {
    /// The fastest there is.
    pub(super) fn best() -> Self {
        if amx::is_available() {
            Self::Tiles
        } else {
            Self::Vectors
        }
    }

    /// Rows of A that are multiplied together.
    fn rows(self) -> usize {
        match self {
            Self::Vectors => avx512::ROWS,
            Self::Tiles => amx::ROWS,
        }
    }

    /// Rows of A that are packed at a time.
    fn block(self) -> usize {
        256 / self.rows() * self.rows()
    }

    /// What the columns of B are padded to.
    fn columns(self) -> usize {
        match self {
            Self::Vectors => LANES,
            Self::Tiles => amx::COLUMNS,
        }
    }

    /// Pairs of `depth` numbers, and what pads them.
    fn pairs(self, depth: usize) -> usize {
        let step = match self {
            Self::Vectors => 1,
            Self::Tiles => amx::STEP,
        };
        depth.div_ceil(2).next_multiple_of(step)
    }

    /// Where pairs of the left factor lie.
    fn layout(self, pairs: usize) -> Layout {
        match self {
            Self::Vectors => Layout {
                row: PAIRS,
                step: LANES,
                rows: LANES * PAIRS,
            },
            Self::Tiles => Layout {
                row: LANES,
                step: LANES * LANES,
                rows: LANES * pairs,
            },
        }
    }

    /// Rows of a right factor whose panels lie together: blocks as equal as can be, of whole steps.
    fn depth(self, inner: usize) -> usize {
        let blocks = inner.div_ceil(2 * PAIRS).max(1);
        2 * self.pairs(inner.div_ceil(blocks).max(1))
    }
}

thread_local! {
    /// Where a thread packs its left factors.
    static LEFT: RefCell<Buffer> = RefCell::default();
    /// Where it packs right factors that are of one product.
    static RIGHT: RefCell<Panels> = RefCell::default();
}

/// `to = a b` or `to += a b`, the factors rounded to bf16. Shapes and bounds are the caller's to check.
///
/// # Panics
/// If the processor lacks the instructions, or no side of a factor lies without gaps in memory.
pub(super) fn gemm(to: ViewMut<'_>, target: Target<'_>, a: View<'_>, b: View<'_>) {
    gemm_by(Unit::best(), to, target, a, b);
}

/// The same on a unit that the processor has.
pub(super) fn gemm_by(unit: Unit, to: ViewMut<'_>, target: Target<'_>, a: View<'_>, b: View<'_>) {
    RIGHT.with_borrow_mut(|right| {
        right.unit = unit;
        right.pack(b);
        right.multiply(0, to, target, a);
    });
}

/// A right factor, rounded and packed once for several products.
pub(crate) struct Panels {
    unit: Unit,
    shape: [usize; 2],
    /// With room to start at a cache line.
    memory: Buffer,
}

impl Default for Panels {
    fn default() -> Self {
        Self {
            unit: Unit::best(),
            shape: [0, 0],
            memory: Buffer::default(),
        }
    }
}

impl Panels {
    /// Becomes another factor, in memory that is still as large.
    ///
    /// # Panics
    /// As [`Piece::pack`].
    pub(crate) fn pack(&mut self, b: View<'_>) {
        self.pieces(b).for_each(Piece::pack);
    }

    /// Becomes another factor once all of these are packed, in any order.
    ///
    /// # Panics
    /// If the view reaches beyond its slice.
    pub(super) fn pieces<'a>(&'a mut self, b: View<'a>) -> impl Iterator<Item = Piece<'a>> {
        assert!(b.end() <= b.data.len(), "a view inside its slice");
        let unit = self.unit;
        let width = b.columns.next_multiple_of(unit.columns());
        self.shape = [b.rows, b.columns];
        self.memory.grow(unit.pairs(b.rows) * width + LANES - 1);
        let places = aligned_mut(cast_slice_mut(&mut self.memory));
        let block = unit.depth(b.rows);
        let blocks = (0..b.rows).step_by(block);
        let places = places.chunks_mut((block / 2 * width).max(1));
        blocks.zip(places).flat_map(move |(from, place)| {
            let depth = block.min(b.rows - from);
            let pairs = unit.pairs(depth);
            let lefts = (0..b.columns).step_by(COLUMNS);
            let places = place[..pairs * width].chunks_mut(pairs * COLUMNS);
            lefts.zip(places).map(move |(left, to)| Piece {
                b,
                from,
                depth,
                pairs,
                left,
                columns: COLUMNS.min(b.columns - left),
                to,
            })
        })
    }

    /// `to = a b` or `to += a b`, this being `b`.
    ///
    /// # Panics
    /// If the shapes do not fit together, or neither rows nor columns of the left factor lie without gaps in memory.
    pub(crate) fn gemm(&self, to: ViewMut<'_>, target: Target<'_>, a: View<'_>) {
        if check_against(&to, target, a, self.shape) {
            self.multiply(0, to, target, a);
        }
    }

    /// The same for as many of the columns as the result has, from `first` on.
    ///
    /// # Panics
    /// Also if `first` is not the first column of a panel.
    pub(crate) fn gemm_columns(
        &self,
        first: usize,
        to: ViewMut<'_>,
        target: Target<'_>,
        a: View<'_>,
    ) {
        let [rows, columns] = self.shape;
        let count = to.columns.min(columns.saturating_sub(first));
        if check_against(&to, target, a, [rows, count]) {
            self.multiply(first, to, target, a);
        }
    }

    fn multiply(&self, first: usize, to: ViewMut<'_>, target: Target<'_>, a: View<'_>) {
        assert!(
            first.is_multiple_of(VECTORS * LANES),
            "the start of a panel"
        );
        let right = Right {
            panels: aligned(cast_slice(&self.memory)),
            width: self.shape[1].next_multiple_of(self.unit.columns()),
            first,
        };
        LEFT.with_borrow_mut(|left| multiply(self.unit, to, target, a, right, left));
    }
}

/// A part of a right factor and the place of its panels.
pub(super) struct Piece<'a> {
    b: View<'a>,
    from: usize,
    depth: usize,
    pairs: usize,
    left: usize,
    columns: usize,
    to: &'a mut [u32],
}

impl Piece<'_> {
    /// # Panics
    /// If the processor lacks the instructions, or neither rows nor columns lie without gaps in memory.
    pub(super) fn pack(self) {
        assert!(is_available(), "a processor with AVX512-BF16");
        #[expect(unsafe_code, reason = "the instructions are there, as asserted above")]
        // SAFETY: see the reason.
        unsafe {
            pack_b(
                self.b,
                self.from,
                self.depth,
                self.pairs,
                self.left,
                self.columns,
                self.to,
            );
        }
    }
}

/// Packed columns of a right factor.
struct Right<'a> {
    panels: &'a [u32],
    /// Of the whole factor, padded.
    width: usize,
    first: usize,
}

fn multiply(
    unit: Unit,
    mut to: ViewMut<'_>,
    target: Target<'_>,
    a: View<'_>,
    right: Right<'_>,
    left: &mut Buffer,
) {
    assert!(is_available(), "a processor with AVX512-BF16");
    let tiles = (unit == Unit::Tiles).then(Tiles::new);
    let inner = a.columns;
    if inner == 0 {
        to.start(target);
        return;
    }
    let columns = to.columns.next_multiple_of(unit.columns());
    let columns = right.first..right.first + columns;
    let depth = unit.depth(inner);
    let blocks = right.panels.chunks(depth / 2 * right.width);
    for (from, right) in (0..inner).step_by(depth).zip(blocks) {
        let depth = depth.min(inner - from);
        let pairs = unit.pairs(depth);
        for top in (0..a.rows).step_by(unit.block()) {
            let rows = unit.block().min(a.rows - top);
            let layout = unit.layout(pairs);
            let len = layout.len(rows.next_multiple_of(unit.rows()));
            left.grow(len + LANES - 1);
            let left = &mut aligned_mut(cast_slice_mut(left))[..len];
            let block = Block {
                c: &mut to.data[top * to.stride..],
                stride: to.stride,
                rows,
                columns: to.columns,
                pairs,
                target: if from == 0 { target } else { Target::Add },
            };
            let right = &right[columns.start * pairs..columns.end * pairs];
            #[expect(unsafe_code, reason = "the instructions are there, as asserted above")]
            // SAFETY: see the reason.
            unsafe {
                pack_a(a, top, rows, from, depth, layout, left);
                match &tiles {
                    Some(tiles) => block.by_tiles(tiles, left, right),
                    None => block.by_vectors(left, right),
                }
            }
        }
    }
}

/// A block of the result.
struct Block<'a> {
    c: &'a mut [f32],
    stride: usize,
    rows: usize,
    columns: usize,
    pairs: usize,
    target: Target<'a>,
}
