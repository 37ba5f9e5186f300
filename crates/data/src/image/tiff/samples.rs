//! Samples of a TIFF file as levels from 0 to 255.

use super::tags::{Layout, Number};

/// Levels, one plane or several.
pub(super) struct Samples {
    planes: Vec<Vec<u8>>,
    /// Samples of a pixel that lie together.
    together: usize,
}

impl Samples {
    /// - planes: their bytes as they are stored, rows without gaps
    pub(super) fn of(planes: Vec<Vec<u8>>, layout: &Layout) -> Result<Self, String> {
        let planes = planes.into_iter().map(|bytes| levels(bytes, layout));
        Ok(Self {
            planes: planes.collect::<Result<_, _>>()?,
            together: layout.together(),
        })
    }

    /// A sample of a pixel.
    pub(super) fn at(&self, pixel: usize, sample: usize) -> u8 {
        match &self.planes[..] {
            [one] => one[pixel * self.together + sample],
            planes => planes[sample][pixel],
        }
    }
}

fn levels(bytes: Vec<u8>, layout: &Layout) -> Result<Vec<u8>, String> {
    let is_index = layout.palette.is_some();
    let mut levels = match (layout.number, layout.bits) {
        (Number::Unsigned, 8) => bytes,
        (Number::Unsigned, 1 | 2 | 4) => unpacked(&bytes, layout),
        (Number::Unsigned, 16) if !is_index => words(&bytes, layout)
            .map(|word| ((word + 128) / 257) as u8)
            .collect(),
        (Number::Unsigned, 32) if !is_index => whole(words(&bytes, layout).map(i64::from))?,
        (Number::Signed, 8) => whole(bytes.iter().map(|byte| i64::from(*byte as i8)))?,
        (Number::Signed, 16) => {
            whole(words(&bytes, layout).map(|word| i64::from(word as u16 as i16)))?
        }
        (Number::Signed, 32) => whole(words(&bytes, layout).map(|word| i64::from(word as i32)))?,
        (Number::Float, _) => floats(|| words(&bytes, layout).map(f32::from_bits))?,
        (number, bits) => {
            return Err(format!(
                "TIFF samples of {bits} bits that are {number:?} are not read"
            ));
        }
    };
    if layout.photometric == 0 {
        // Here white is 0.
        levels.iter_mut().for_each(|level| *level = 255 - *level);
    }
    Ok(levels)
}

/// Numbers of 16 or 32 bits, in the order of bytes that the file has.
fn words<'a>(bytes: &'a [u8], layout: &Layout) -> impl Iterator<Item = u32> + 'a {
    let big_endian = layout.big_endian;
    bytes.chunks_exact(layout.bits / 8).map(move |bytes| {
        let join = |n: u32, byte: &u8| n << 8 | u32::from(*byte);
        match big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        }
    })
}

/// Samples of which several share a byte; a row begins with a byte. They are scaled unless they are indices.
fn unpacked(bytes: &[u8], layout: &Layout) -> Vec<u8> {
    let bits = layout.bits;
    let row = layout.width * layout.together();
    let most = (1u8 << bits) - 1;
    let factor = if layout.palette.is_some() {
        1
    } else {
        255 / most
    };
    let in_byte = 8 / bits;
    let sample = |bytes: &[u8], i: usize| {
        let shift = 8 - bits * (1 + i % in_byte);
        (bytes[i / in_byte] >> shift & most) * factor
    };
    let rows = bytes.chunks_exact(row.div_ceil(in_byte).max(1));
    rows.flat_map(|bytes| (0..row).map(move |i| sample(bytes, i)))
        .collect()
}

fn whole(values: impl Iterator<Item = i64>) -> Result<Vec<u8>, String> {
    let level = |value: i64| {
        u8::try_from(value).map_err(|_| {
            format!(
                "it holds the whole number {value}, and such numbers are read from 0 to 255: write it with 8 or 16 bits"
            )
        })
    };
    values.map(level).collect()
}

/// As Pillow converts them: cut to 0 to 255, fractions dropped.
fn floats<I: Iterator<Item = f32>>(values: impl Fn() -> I) -> Result<Vec<u8>, String> {
    let fractions = values().any(|value| value > 0.0 && value.fract() != 0.0);
    if fractions && values().all(|value| value <= 1.0) {
        return Err(
            "it holds numbers from 0 to 1, and floats are read from 0 to 255, as Pillow does: multiply them by 255".into(),
        );
    }
    Ok(values().map(|value| value as u8).collect())
}

/// The colours of indices: all reds, then greens, then blues, of 16 bits of which the upper 8 count, as for Pillow.
pub(super) fn looked_up(of: &Samples, colours: &[usize], bits: usize) -> Result<Vec<u8>, String> {
    let count = 1 << bits.min(8);
    let [indices] = &of.planes[..] else {
        return Err("a palette and several planes".into());
    };
    if colours.len() != 3 * count || of.together != 1 {
        return Err(format!(
            "a palette of {} numbers, expected {}",
            colours.len(),
            3 * count
        ));
    }
    let colour =
        |index: &u8| [0, 1, 2].map(|c| (colours[c * count + usize::from(*index)] >> 8) as u8);
    Ok(indices.iter().flat_map(colour).collect())
}
