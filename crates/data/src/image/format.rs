//! Which format a picture has: by its first bytes when it is decoded, by its extension when files are listed.

use std::path::Path;

/// The formats that are read, as a person calls them.
pub const READ: &str = "PNG, JPEG, WebP, TIFF, GIF and BMP";

/// Extensions of the formats that are read.
pub(crate) const EXTENSIONS: [&str; 10] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "tif", "tiff", "gif", "bmp",
];

/// Extensions of pictures in formats that are not read, and what those are called.
const UNREAD: [(&str, &str); 29] = [
    ("avif", "AVIF"),
    ("heic", "HEIC"),
    ("heif", "HEIC"),
    ("hif", "HEIC"),
    ("jxl", "JPEG XL"),
    ("jp2", "JPEG 2000"),
    ("j2k", "JPEG 2000"),
    ("ppm", "PPM"),
    ("pgm", "PGM"),
    ("pbm", "PBM"),
    ("pnm", "PNM"),
    ("tga", "TGA"),
    ("ico", "ICO"),
    ("svg", "SVG"),
    ("psd", "PSD"),
    ("xcf", "XCF"),
    ("qoi", "QOI"),
    ("exr", "OpenEXR"),
    ("hdr", "Radiance HDR"),
    ("dds", "DDS"),
    ("dcm", "DICOM"),
    ("dng", "DNG"),
    ("cr2", "CR2"),
    ("cr3", "CR3"),
    ("nef", "NEF"),
    ("arw", "ARW"),
    ("raf", "RAF"),
    ("orf", "ORF"),
    ("rw2", "RW2"),
];

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Jpeg,
    WebP,
    Tiff,
    Gif,
    Bmp,
}

impl Format {
    /// The format that the first bytes of a file say.
    ///
    /// # Errors
    /// Why the file is not read, with the name of its format where that is known.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty".into());
        }
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        let tail = |from: usize, magic: &[u8]| {
            let rest = bytes.get(from..).unwrap_or_default();
            rest.starts_with(magic)
        };
        Ok(match bytes {
            _ if starts(b"\x89PNG\r\n\x1a\n") => Self::Png,
            _ if starts(b"\xff\xd8\xff") => Self::Jpeg,
            _ if starts(b"RIFF") && tail(8, b"WEBP") => Self::WebP,
            _ if starts(b"II*\0") && tail(8, b"CR") => return Err(unread("CR2")),
            _ if starts(b"II*\0") || starts(b"MM\0*") => Self::Tiff,
            _ if starts(b"II+\0") || starts(b"MM\0+") => Self::Tiff,
            _ if starts(b"GIF87a") || starts(b"GIF89a") => Self::Gif,
            _ if starts(b"BM") && bytes.len() > 26 => Self::Bmp,
            _ => {
                return Err(match named(bytes) {
                    Some(name) => unread(name),
                    None => "neither PNG nor JPEG nor WebP, TIFF, GIF or BMP".into(),
                });
            }
        })
    }
}

/// Why a picture of that format is left out.
fn unread(name: &str) -> String {
    format!("it is {name}, a format that is not read ({READ} are): convert it")
}

/// What a picture in a format that is not read is called.
fn named(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        // The brands of the file: what it is, then what it is like.
        let length = bytes.get(..4).map_or(0, |n| n[3]).into();
        let brands = bytes.get(8..bytes.len().min(length)).unwrap_or_default();
        let any = |names: &[&[u8]]| brands.chunks_exact(4).any(|b| names.contains(&b));
        return if any(&[b"avif", b"avis"]) {
            Some("AVIF")
        } else if any(&[
            b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1",
        ]) {
            Some("HEIC")
        } else {
            Some("a film (MP4 or QuickTime)")
        };
    }
    let starts: [(&[u8], &str); 14] = [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"8BPS", "PSD"),
        (b"gimp xcf", "XCF"),
        (b"qoif", "QOI"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"#?RADIANCE", "Radiance HDR"),
        (b"DDS ", "DDS"),
        (b"\0\0\x01\0", "ICO"),
        (b"%PDF", "PDF"),
        (b"<svg", "SVG"),
        (b"FUJIFILMCCD-RAW", "RAF"),
    ];
    if let Some((_, name)) = starts.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(name);
    }
    match bytes {
        [b'P', b'1' | b'4', b' ' | b'\n' | b'\r' | b'\t', ..] => Some("PBM"),
        [b'P', b'2' | b'5', b' ' | b'\n' | b'\r' | b'\t', ..] => Some("PGM"),
        [b'P', b'3' | b'6', b' ' | b'\n' | b'\r' | b'\t', ..] => Some("PPM"),
        _ => None,
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_lowercase())
}

/// Whether a file is called like a picture that is read.
pub(crate) fn is_image(path: &Path) -> bool {
    extension(path).is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// The format of a file that is called like a picture which is not read.
pub(crate) fn unread_format(path: &Path) -> Option<&'static str> {
    let extension = extension(path)?;
    let mut known = UNREAD.iter();
    Some(known.find(|(name, _)| *name == extension)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_are_not_read_are_named() {
        for (bytes, name) in [
            (&b"\0\0\0\x1cftypavif\0\0\0\0avifmif1"[..], "AVIF"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2", "film"),
            (b"\xff\x0a\xfa\x07", "JPEG XL"),
            (b"P6\n2 2\n255\n", "PPM"),
            (b"8BPS\0\x01", "PSD"),
        ] {
            let reason = Format::of(bytes).unwrap_err();
            assert!(
                reason.contains(name) && reason.contains("not read"),
                "{reason}"
            );
        }
        let words = Format::of(b"a text").unwrap_err();
        assert!(words.contains("neither PNG nor JPEG nor WebP"), "{words}");
        assert_eq!(unread_format(Path::new("a/B.HEIC")), Some("HEIC"));
        assert_eq!(unread_format(Path::new("a/b.png")), None);
        assert!(is_image(Path::new("x.JPEG")) && !is_image(Path::new("x.avif")));
    }
}
