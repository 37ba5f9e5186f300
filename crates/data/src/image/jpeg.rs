//! The parts of a JPEG file, by its markers (ITU-T T.81, annex B).

/// What the markers of a file say.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    /// The length of the image: it ends with its own end marker, and what stands behind that is no part of it (the films
    /// and further pictures of phones). Nothing where that marker is missing.
    pub end: Option<usize>,
    /// Whether the image is a progressive one, all of whose coefficients are in memory at once.
    pub progressive: bool,
    /// The contents of the first Exif segment.
    pub exif: Option<&'a [u8]>,
    /// The contents of the first XMP segment.
    pub xmp: Option<&'a [u8]>,
}

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

impl<'a> Parts<'a> {
    /// Goes from marker to marker up to the end of the image.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut parts = Self::default();
        let mut at = 2;
        while let Some((marker, place)) = marker(bytes, at) {
            at = place;
            match marker {
                0xd9 => {
                    parts.end = Some(at);
                    break;
                }
                // These have no contents.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let Some(length) = bytes.get(at..at + 2) else {
                break;
            };
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let Some(contents) = bytes.get(at + 2..at + length) else {
                break;
            };
            at += length;
            match marker {
                0xe1 if contents.starts_with(EXIF) => {
                    parts.exif.get_or_insert(&contents[EXIF.len()..]);
                }
                0xe1 if contents.starts_with(XMP) => {
                    parts.xmp.get_or_insert(&contents[XMP.len()..]);
                }
                0xc2 | 0xc6 | 0xca | 0xce => parts.progressive = true,
                0xda => at = scan(bytes, at),
                _ => {}
            }
        }
        parts
    }
}

/// The next marker from `at` on, and where what follows it begins. Bytes that are none are passed over, as by libjpeg.
fn marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        match bytes.get(at + 1)? {
            0 => at += 2,
            0xff => at += 1,
            marker => return Some((*marker, at + 2)),
        }
    }
}

/// Where the coded values from `at` on end: FF in them is followed by 00 or by the number of a restart.
fn scan(bytes: &[u8], mut at: usize) -> usize {
    while let Some(next) = bytes
        .get(at..)
        .and_then(|b| b.iter().position(|b| *b == 0xff))
    {
        at += next;
        match bytes.get(at + 1) {
            Some(0 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            _ => return at,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_ends_with_its_own_end_marker() {
        let thumbnail = [0xff, 0xd8, 0xff, 0xd9];
        let mut whole = vec![0xff, 0xd8, 0xff, 0xe1, 0, 12];
        whole.extend(EXIF);
        whole.extend(thumbnail);
        whole.extend([
            0xff, 0xda, 0, 2, 1, 0xff, 0, 0xff, 0xd3, 9, 0xff, 0xff, 0xd9,
        ]);
        let length = whole.len();
        let parts = Parts::of(&whole);
        assert_eq!(
            (parts.end, parts.exif),
            (Some(length), Some(&thumbnail[..]))
        );
        let film = [whole.clone(), vec![1, 0xff, 0xda, 0xff, 0xd9, 0xff, 0xda]].concat();
        assert_eq!(Parts::of(&film).end, Some(length));
        for cut in 0..length {
            assert_eq!(Parts::of(&whole[..cut]).end, None, "cut to {cut}");
        }
    }
}
