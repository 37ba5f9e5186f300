//! BMP: pixels of 1, 4 and 8 bits with a palette, and colours of 16, 24 and 32 bits, not compressed.

use super::Image;

/// A file whose head was read.
pub(super) struct Bmp<'a> {
    bytes: &'a [u8],
    pub width: usize,
    pub height: usize,
    top_down: bool,
    bits: usize,
    at: usize,
    /// Blue, green and red of each index.
    palette: Vec<[u8; 3]>,
    /// Bits of red, green and blue in a pixel of 16 or 32.
    masks: [u32; 3],
}

impl<'a> Bmp<'a> {
    /// # Errors
    /// What is wrong with the file, or of a kind that is not read.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let number = |at: usize, width: usize| -> Result<usize, String> {
            let bytes = bytes.get(at..at + width).ok_or("the BMP file ends early")?;
            Ok(bytes
                .iter()
                .rev()
                .fold(0, |n, byte| n << 8 | usize::from(*byte)))
        };
        let head = number(14, 4)?;
        if !(40..=256).contains(&head) {
            return Err(format!("a BMP head of {head} bytes is not read"));
        }
        let height = number(22, 4)? as u32 as i32;
        let (bits, compression) = (number(28, 2)?, number(30, 4)?);
        if !matches!(
            (bits, compression),
            (1 | 4 | 8 | 16 | 24 | 32, 0) | (16 | 32, 3 | 6)
        ) {
            return Err(format!(
                "BMP pixels of {bits} bits with compression {compression} are not read"
            ));
        }
        let masks = match (bits, compression) {
            (_, 3 | 6) => [54, 58, 62].map(|at| number(at, 4).unwrap_or_default() as u32),
            (16, _) => [0x7c00, 0x03e0, 0x001f],
            _ => [0x00ff_0000, 0xff00, 0xff],
        };
        if masks.contains(&0) {
            return Err("a BMP colour without bits".into());
        }
        let colours = match (bits, number(46, 4)?) {
            (9.., _) => 0,
            (_, 0) => 1 << bits,
            (_, count) => count.min(256),
        };
        let colour = |i: usize| {
            let at = 14 + head + 4 * i;
            let bytes = bytes.get(at..at + 3).ok_or("the BMP file ends early")?;
            Ok([bytes[0], bytes[1], bytes[2]])
        };
        Ok(Self {
            bytes,
            width: number(18, 4)?,
            height: height.unsigned_abs() as usize,
            top_down: height < 0,
            bits,
            at: number(10, 4)?,
            palette: (0..colours).map(colour).collect::<Result<_, String>>()?,
            masks,
        })
    }

    /// # Errors
    /// A file that ends early, an index without a colour.
    pub(super) fn read(&self) -> Result<Image, String> {
        let stride = (self.width * self.bits).div_ceil(32) * 4;
        let end = (stride * self.height).checked_add(self.at);
        let all = end.and_then(|end| self.bytes.get(self.at..end));
        let all = all.ok_or("the BMP file ends early")?;
        let mut pixels = Vec::with_capacity(3 * self.width * self.height);
        for y in 0..self.height {
            let row = if self.top_down {
                y
            } else {
                self.height - 1 - y
            };
            let row = &all[row * stride..][..stride];
            for x in 0..self.width {
                pixels.extend(self.pixel(row, x)?);
            }
        }
        Ok(Image {
            width: self.width as u32,
            height: self.height as u32,
            channels: 3,
            pixels,
        })
    }

    fn pixel(&self, row: &[u8], x: usize) -> Result<[u8; 3], String> {
        let in_order = |[blue, green, red]: [u8; 3]| [red, green, blue];
        match self.bits {
            24 => Ok(in_order([row[3 * x], row[3 * x + 1], row[3 * x + 2]])),
            16 | 32 => {
                let width = self.bits / 8;
                let bytes = row[width * x..][..width].iter().rev();
                let value = bytes.fold(0u32, |n, byte| n << 8 | u32::from(*byte));
                Ok(self.masks.map(|mask| {
                    let shift = mask.trailing_zeros();
                    let (found, most) = ((value & mask) >> shift, mask >> shift);
                    (u64::from(found) * 255 / u64::from(most)) as u8
                }))
            }
            bits => {
                let in_byte = 8 / bits;
                let shift = 8 - bits * (1 + x % in_byte);
                let index = usize::from(row[x / in_byte] >> shift) & ((1 << bits) - 1);
                let colour = self.palette.get(index).copied();
                Ok(in_order(colour.ok_or("an index without a colour")?))
            }
        }
    }
}
