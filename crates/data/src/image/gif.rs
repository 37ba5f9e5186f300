//! GIF (GIF89a, CompuServe 1990): the first picture of a file, on its screen, which is white where nothing is drawn.

use weezl::BitOrder;
use weezl::decode::Decoder;

use super::Image;

/// The first picture of a file, before it is unpacked.
pub(super) struct Gif<'a> {
    /// The screen.
    pub width: usize,
    pub height: usize,
    left: usize,
    top: usize,
    columns: usize,
    rows: usize,
    colours: &'a [u8],
    transparent: Option<u8>,
    interlaced: bool,
    code_bits: u8,
    packed: Vec<u8>,
    /// Whether there are more pictures.
    pub several: bool,
}

impl<'a> Gif<'a> {
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let mut blocks = Blocks { bytes, at: 6 };
        let (width, height) = (blocks.short()?, blocks.short()?);
        let flags = blocks.byte()?;
        blocks.take(2)?;
        let screen_colours = blocks.colours(flags)?;
        let mut transparent = None;
        loop {
            match blocks.byte()? {
                0x21 => {
                    let label = blocks.byte()?;
                    let control = blocks.contents()?;
                    if let (0xf9, [flags, _, _, index, ..]) = (label, &control[..]) {
                        transparent = (flags & 1 == 1).then_some(*index);
                    }
                }
                0x2c => break,
                other => return Err(format!("a GIF block of kind {other}, expected a picture")),
            }
        }
        let [left, top] = [blocks.short()?, blocks.short()?];
        let [columns, rows] = [blocks.short()?, blocks.short()?];
        let flags = blocks.byte()?;
        let own_colours = blocks.colours(flags)?;
        let code_bits = blocks.byte()?;
        let packed = blocks.contents()?;
        if width == 0 || height == 0 || !(1..=11).contains(&code_bits) {
            return Err("a damaged GIF head".into());
        }
        Ok(Self {
            width,
            height,
            left,
            top,
            columns,
            rows,
            colours: if own_colours.is_empty() {
                screen_colours
            } else {
                own_colours
            },
            transparent,
            interlaced: flags & 0x40 != 0,
            code_bits,
            packed,
            several: blocks.has_picture().unwrap_or(false),
        })
    }

    /// Bytes of the indices and of the screen.
    pub(super) fn bytes_needed(&self) -> u64 {
        self.columns as u64 * self.rows as u64 + 3 * (self.width as u64 * self.height as u64)
    }

    /// # Errors
    /// A picture that ends early, an index without a colour.
    pub(super) fn read(&self) -> Result<Image, String> {
        let mut indices = vec![0; self.columns * self.rows];
        let mut decoder = Decoder::new(BitOrder::Lsb, self.code_bits);
        let (mut read, mut written) = (0, 0);
        while written < indices.len() {
            let step = decoder.decode_bytes(&self.packed[read..], &mut indices[written..]);
            read += step.consumed_in;
            written += step.consumed_out;
            let stands = step.consumed_in == 0 && step.consumed_out == 0;
            if step.status.is_err() || stands {
                return Err("the GIF picture ends early or is damaged".into());
            }
        }
        let mut image = Image::filled(self.width as u32, self.height as u32, &[255; 3]);
        for (row, y) in indices.chunks_exact(self.columns.max(1)).zip(self.order()) {
            for (index, x) in row.iter().zip(self.left..) {
                if Some(*index) == self.transparent || x >= self.width || y >= self.height {
                    continue;
                }
                let colour = self
                    .colours
                    .get(3 * usize::from(*index)..)
                    .and_then(|c| c.get(..3));
                let colour = colour.ok_or("an index without a colour")?;
                image.pixels[3 * (y * self.width + x)..][..3].copy_from_slice(colour);
            }
        }
        Ok(image)
    }

    /// The row of the screen that each row of the picture is.
    fn order(&self) -> impl Iterator<Item = usize> + '_ {
        let passes: &[(usize, usize)] = match self.interlaced {
            true => &[(0, 8), (4, 8), (2, 4), (1, 2)],
            false => &[(0, 1)],
        };
        let rows = |(first, step): &(usize, usize)| (*first..self.rows).step_by(*step);
        passes.iter().flat_map(rows).map(|row| self.top + row)
    }
}

/// A file that is gone through from the front.
struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Blocks<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken = self.bytes.get(self.at..self.at + count);
        self.at += count;
        taken.ok_or_else(|| "the GIF file ends early".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<usize, String> {
        let two = self.take(2)?;
        Ok(usize::from(u16::from_le_bytes([two[0], two[1]])))
    }

    /// A table of colours, if the flags say that there is one.
    fn colours(&mut self, flags: u8) -> Result<&'a [u8], String> {
        match flags & 0x80 {
            0 => Ok(&[]),
            _ => self.take(3 << ((flags & 7) + 1)),
        }
    }

    /// Contents in parts of up to 255 bytes, of which an empty one is the last.
    fn contents(&mut self) -> Result<Vec<u8>, String> {
        let mut contents = Vec::new();
        loop {
            match self.byte()? {
                0 => return Ok(contents),
                length => contents.extend(self.take(length.into())?),
            }
        }
    }

    /// Whether another picture follows.
    fn has_picture(&mut self) -> Result<bool, String> {
        loop {
            match self.byte()? {
                0x21 => {
                    self.byte()?;
                    self.contents()?;
                }
                kind => return Ok(kind == 0x2c),
            }
        }
    }
}
