//! The innermost part of a product on a processor with AMX: tiles of 16 rows of 16 pairs, or of 16 sums.
//!
//! One `tdpbf16ps` does the work of 256 `vdpbf16ps`. Rust has no stable intrinsics for it, so a block of the result, two by
//! two tiles, is one piece of assembly. The instructions are described in Intel's Software Developer's Manual, volume 1,
//! chapter 18.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _MM_HINT_ET0, _mm_prefetch};
use std::marker::PhantomData;
use std::sync::LazyLock;

use super::{Block, LANES, Target, VECTORS};

/// Rows of a block.
pub(super) const ROWS: usize = 2 * LANES;
/// Columns of a block.
pub(super) const COLUMNS: usize = VECTORS * LANES;
/// Pairs of the inner dimension in a tile.
pub(super) const STEP: usize = LANES;

/// Whether the processor has the instructions and the system lets this process use them.
pub(super) fn is_available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| is_in_processor() && is_permitted());
    *AVAILABLE
}

fn is_in_processor() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let features = __cpuid_count(7, 0).edx;
    features & AMX_BF16 != 0 && features & AMX_TILE != 0
}

/// Linux keeps room for the tiles of a process once that has asked for it.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const REQUEST_COMPONENT: libc::c_ulong = 0x1023; // ARCH_REQ_XCOMP_PERM
    const TILE_DATA: libc::c_ulong = 18; // XFEATURE_XTILEDATA
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: it touches no memory of this process; a kernel that does not know it returns an error.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_COMPONENT, TILE_DATA) };
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static ZEROS: [f32; COLUMNS] = [0.0; COLUMNS];

/// Eight tiles, as large as they can be.
static SHAPES: Shapes = {
    let mut shapes = Shapes {
        palette: 1,
        start: 0,
        reserved: [0; 14],
        row_bytes: [0; 16],
        rows: [0; 16],
    };
    let mut i = 0;
    while i < 8 {
        shapes.row_bytes[i] = 64;
        shapes.rows[i] = 16;
        i += 1;
    }
    shapes
};

/// Tiles ready for use, on the thread that made them so.
pub(super) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// # Panics
    /// If there are none.
    pub(super) fn new() -> Self {
        assert!(is_available(), "a processor with AMX");
        #[expect(unsafe_code, reason = "an instruction")]
        // SAFETY: the processor has it, as asserted, and reads 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly));
        }
        Self(PhantomData)
    }

    /// The product of [`ROWS`] rows of A, tile by tile, and a panel of B into `c`, whose rows are `stride` apart.
    fn multiply(&self, a: &[u32], b: &[u32], c: &mut [f32], stride: usize, target: Target<'_>) {
        let steps = b.len() / (STEP * COLUMNS);
        assert!(
            steps > 0
                && b.len() == steps * STEP * COLUMNS
                && a.len() == steps * STEP * ROWS
                && (ROWS - 1) * stride + COLUMNS <= c.len(),
            "panels of a block"
        );
        expect(c, stride);
        let (c, stride) = (c.as_mut_ptr(), 4 * stride);
        // A row that all rows start with is read again and again: rows are 0 apart.
        let (from, from_stride) = match target {
            Target::Set => (ZEROS.as_ptr(), 0),
            Target::Row(row) => (row[..COLUMNS].as_ptr(), 0),
            Target::Add => (c.cast_const(), stride),
        };
        #[expect(unsafe_code, reason = "instructions")]
        // SAFETY: `new` made the tiles ready. What is read and written lies within the slices, as asserted. Nothing but
        // this function uses tiles.
        unsafe {
            asm!(
                "tileloadd tmm0, [{from} + {from_stride}]",
                "tileloadd tmm1, [{from} + {from_stride} + 64]",
                "tileloadd tmm2, [{from_below} + {from_stride}]",
                "tileloadd tmm3, [{from_below} + {from_stride} + 64]",
                "2:",
                "tileloadd tmm6, [{b} + {b_row}]",
                "tileloadd tmm4, [{a} + {a_row}]",
                "tileloadd tmm7, [{b} + {b_row} + 64]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a_below} + {a_row}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, {tile}",
                "add {a_below}, {tile}",
                "add {b}, {panel}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{c} + {stride}], tmm0",
                "tilestored [{c} + {stride} + 64], tmm1",
                "tilestored [{c_below} + {stride}], tmm2",
                "tilestored [{c_below} + {stride} + 64], tmm3",
                from = in(reg) from,
                from_below = in(reg) from.byte_add(LANES * from_stride),
                from_stride = in(reg) from_stride,
                a = inout(reg) a.as_ptr() => _,
                a_below = inout(reg) a[a.len() / 2..].as_ptr() => _,
                a_row = in(reg) 4 * STEP,
                tile = const 4 * STEP * LANES,
                b = inout(reg) b.as_ptr() => _,
                b_row = in(reg) 4 * COLUMNS,
                panel = const 4 * STEP * COLUMNS,
                c = in(reg) c,
                c_below = in(reg) c.byte_add(LANES * stride),
                stride = in(reg) stride,
                steps = inout(reg) steps => _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "an instruction")]
        // SAFETY: there are tiles on this processor, or this would not exist.
        unsafe {
            asm!("tilerelease", options(nomem, nostack));
        }
    }
}

/// Fetches a block that will be written, while its product is being made.
fn expect(c: &[f32], stride: usize) {
    for row in c.chunks(stride).take(ROWS) {
        for at in [0, LANES] {
            #[expect(unsafe_code, reason = "an instruction")]
            // SAFETY: it changes nothing but what is in the cache.
            unsafe {
                _mm_prefetch::<_MM_HINT_ET0>(row[at..].as_ptr().cast());
            }
        }
    }
}

/// Sums of a block that reaches beyond the result.
#[repr(align(64))]
struct Sums([f32; ROWS * COLUMNS]);

impl Block<'_> {
    /// The product of all panels.
    pub(super) fn by_tiles(self, tiles: &Tiles, a: &[u32], b: &[u32]) {
        let Self { c, stride, .. } = self;
        let mut sums = Sums([0.0; ROWS * COLUMNS]);
        for (b, left) in b
            .chunks_exact(self.pairs * COLUMNS)
            .zip((0..self.columns).step_by(COLUMNS))
        {
            let columns = COLUMNS.min(self.columns - left);
            let target = match self.target {
                Target::Row(row) => Target::Row(&row[left..]),
                other => other,
            };
            for (a, top) in a
                .chunks_exact(self.pairs * ROWS)
                .zip((0..self.rows).step_by(ROWS))
            {
                let rows = ROWS.min(self.rows - top);
                let c = &mut c[top * stride + left..];
                if (rows, columns) == (ROWS, COLUMNS) {
                    tiles.multiply(a, b, c, stride, target);
                    continue;
                }
                tiles.multiply(a, b, &mut sums.0, COLUMNS, Target::Set);
                let rows = c.chunks_mut(stride).take(rows);
                for (c, sums) in rows.zip(sums.0.chunks_exact(COLUMNS)) {
                    let c = &mut c[..columns];
                    match target {
                        Target::Set => c.copy_from_slice(&sums[..columns]),
                        Target::Row(row) => add(c, row, sums),
                        Target::Add => c.iter_mut().zip(sums).for_each(|(c, s)| *c += s),
                    }
                }
            }
        }
    }
}

fn add(to: &mut [f32], a: &[f32], b: &[f32]) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = a + b;
    }
}
