//! The directory of a TIFF file: its tags, and what they say of the pixels.

/// The tags of the first picture of a file.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// Tag, type and number of its values, and where they stand.
    entries: Vec<(u16, u16, usize, usize)>,
    several: bool,
}

/// The most values of a tag that are read: one for each row of the highest picture, in four planes.
const MAX_VALUES: usize = 1 << 17;

impl<'a> Directory<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let big_endian = bytes.starts_with(b"MM");
        let mut directory = Self {
            bytes,
            big_endian,
            entries: Vec::new(),
            several: false,
        };
        match directory.number(2, 2) {
            Some(42) => {}
            Some(43) => return Err("BigTIFF is not read: write it as plain TIFF".into()),
            _ => return Err("a damaged head".into()),
        }
        let cut = "its directory lies behind the end of the file";
        let at = directory.number(4, 4).ok_or(cut)?;
        let count = directory.number(at, 2).ok_or(cut)?;
        for i in 0..count {
            let at = at + 2 + 12 * i;
            let number = |at, width| directory.number(at, width).ok_or(cut);
            let (tag, kind, values) = (number(at, 2)?, number(at + 2, 2)?, number(at + 4, 4)?);
            let inside = width(kind as u16) * values <= 4;
            let place = if inside { at + 8 } else { number(at + 8, 4)? };
            directory
                .entries
                .push((tag as u16, kind as u16, values, place));
        }
        let next = directory.number(at + 2 + 12 * count, 4);
        directory.several = next.is_some_and(|next| next > 0);
        Ok(directory)
    }

    /// A whole number of so many bytes.
    fn number(&self, at: usize, width: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?.iter();
        let join = |n: usize, byte: &u8| n << 8 | usize::from(*byte);
        Some(match self.big_endian {
            true => bytes.fold(0, join),
            false => bytes.rev().fold(0, join),
        })
    }

    /// The whole numbers of a tag; none where it is not there.
    fn all(&self, tag: u16) -> Result<Vec<usize>, String> {
        let Some((_, kind, count, place)) = self.entries.iter().find(|entry| entry.0 == tag) else {
            return Ok(Vec::new());
        };
        let width = width(*kind);
        let damaged = || format!("a damaged tag {tag}");
        if *count > MAX_VALUES || !matches!(kind, 1 | 3 | 4) {
            return Err(damaged());
        }
        let value = |i: usize| self.number(place + i * width, width).ok_or_else(damaged);
        (0..*count).map(value).collect()
    }

    fn first(&self, tag: u16) -> Result<Option<usize>, String> {
        Ok(self.all(tag)?.first().copied())
    }
}

/// Bytes of a value of that type.
fn width(kind: u16) -> usize {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 => 4,
        5 | 10 | 12 => 8,
        _ => 1,
    }
}

/// What the samples of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Unsigned,
    Signed,
    Float,
}

/// How the pixels lie in the file.
pub(super) struct Layout {
    pub width: usize,
    pub height: usize,
    pub bits: usize,
    /// Samples of a pixel, and those of them that are no colours.
    pub samples: usize,
    pub extra: usize,
    pub alpha: bool,
    pub associated_alpha: bool,
    /// 1 if the samples of a pixel lie together, else as many as there are samples.
    pub planes: usize,
    pub number: Number,
    pub big_endian: bool,
    pub photometric: usize,
    pub palette: Option<Vec<usize>>,
    pub compression: u32,
    pub predictor: usize,
    pub tiled: bool,
    pub piece_width: usize,
    pub piece_height: usize,
    pub offsets: Vec<usize>,
    pub counts: Vec<usize>,
    pub orientation: Option<u32>,
    pub several: bool,
}

impl Layout {
    pub(super) fn of(of: &Directory<'_>) -> Result<Self, String> {
        let needed = |tag: u16, what: &str| match of.first(tag)? {
            Some(value) if value > 0 => Ok(value),
            _ => Err(format!("it says no {what}")),
        };
        let (width, height) = (needed(256, "width")?, needed(257, "height")?);
        let samples = of.first(277)?.unwrap_or(1);
        let depths = of.all(258)?;
        let bits = depths.first().copied().unwrap_or(1);
        if depths.iter().any(|depth| *depth != bits) || !matches!(bits, 1 | 2 | 4 | 8 | 16 | 32) {
            return Err(format!("TIFF samples of {depths:?} bits are not read"));
        }
        if !(1..=16).contains(&samples) {
            return Err(format!("{samples} samples in a pixel"));
        }
        let formats = of.all(339)?;
        let number = match formats.first() {
            None | Some(1 | 4) => Number::Unsigned,
            Some(2) => Number::Signed,
            Some(3) if bits == 32 => Number::Float,
            other => return Err(format!("TIFF numbers of kind {other:?} are not read")),
        };
        if formats.iter().any(|format| Some(format) != formats.first()) {
            return Err("TIFF samples of several kinds are not read".into());
        }
        let photometric = of
            .first(262)?
            .ok_or("it says no photometric interpretation")?;
        let palette = match photometric {
            3 => Some(of.all(320)?),
            _ => None,
        };
        let tiled = of.first(322)?.is_some();
        let (piece_width, piece_height) = match tiled {
            true => (
                needed(322, "width of tiles")?,
                needed(323, "height of tiles")?,
            ),
            false => (width, of.first(278)?.unwrap_or(height).clamp(1, height)),
        };
        // A tile may be as large as a picture.
        let most = 1 << 15;
        if piece_width > most.max(width) || piece_height > most.max(height) {
            return Err("its tiles are larger than the picture".into());
        }
        if tiled && piece_width * bits * samples % 8 != 0 {
            return Err("tiles that end within a byte are not read".into());
        }
        let extra = of.all(338)?;
        let missing = match photometric {
            2 => samples == 4 && extra.is_empty(),
            0 | 1 => samples == 2 && extra.is_empty(),
            _ => false,
        };
        Ok(Self {
            width,
            height,
            bits,
            samples,
            extra: extra.len(),
            alpha: missing || matches!(extra.first(), Some(1 | 2)),
            associated_alpha: extra.first() == Some(&1),
            planes: if of.first(284)? == Some(2) {
                samples
            } else {
                1
            },
            number,
            big_endian: of.big_endian,
            photometric,
            palette,
            compression: of.first(259)?.map_or(1, |method| method as u32),
            predictor: of.first(317)?.unwrap_or(1),
            tiled,
            piece_width,
            piece_height,
            offsets: of.all(if tiled { 324 } else { 273 })?,
            counts: of.all(if tiled { 325 } else { 279 })?,
            orientation: of
                .first(super::orientation::TAG)?
                .map(|number| number as u32),
            several: of.several,
        })
    }

    /// Whether the sample behind the colours is an alpha.
    pub(super) fn has_alpha(&self) -> bool {
        self.alpha
    }

    /// Samples that lie together.
    pub(super) fn together(&self) -> usize {
        self.samples / self.planes
    }

    /// Bytes of a row of so many pixels in a plane.
    pub(super) fn row_bytes(&self, pixels: usize) -> usize {
        (pixels * self.together() * self.bits).div_ceil(8)
    }

    /// Undoes the predictor: each sample is stored as the difference to the one before it in its row.
    pub(super) fn add_up(&self, bytes: &mut [u8]) -> Result<(), String> {
        let (row, step) = (self.row_bytes(self.piece_width), self.together());
        let width = match self.bits {
            8 => 1,
            16 => 2,
            bits => return Err(format!("differences of {bits} bits are not read")),
        };
        for row in bytes.chunks_exact_mut(row) {
            for at in (step * width..row.len()).step_by(width) {
                let before = at - step * width;
                match (width, self.big_endian) {
                    (1, _) => row[at] = row[at].wrapping_add(row[before]),
                    (_, big) => {
                        let word = |at: usize| {
                            let two = [row[at], row[at + 1]];
                            if big {
                                u16::from_be_bytes(two)
                            } else {
                                u16::from_le_bytes(two)
                            }
                        };
                        let sum = word(at).wrapping_add(word(before));
                        let two = if big {
                            sum.to_be_bytes()
                        } else {
                            sum.to_le_bytes()
                        };
                        row[at..at + 2].copy_from_slice(&two);
                    }
                }
            }
        }
        Ok(())
    }
}
