//! Pictures to files: the format is what the file's name ends in.

use std::path::Path;

use super::codec::encode_png;
use super::{Image, MAX_SIDE};
use crate::error::{Error, Result};

/// Quality of JPEG files, of 100; higher ones grow faster than they improve.
const JPEG_QUALITY: u8 = 95;
/// Bytes of a PNG file up to the end of its header chunk, behind which texts may stand.
const PNG_HEADER: usize = 33;

/// The formats in which pictures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Lossless.
    Png,
    /// With losses, at quality 95 of 100.
    Jpeg,
    /// Lossless.
    WebP,
}

impl PictureFormat {
    /// The endings that are taken, in lower or upper case.
    pub const ENDINGS: &str = ".png, .jpg, .jpeg or .webp";

    /// The format that the name of a file asks for.
    ///
    /// # Errors
    /// [`Error::PictureEnding`] if it ends in anything else.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("png") => Ok(Self::Png),
            Some("jpg" | "jpeg") => Ok(Self::Jpeg),
            Some("webp") => Ok(Self::WebP),
            _ => Err(Error::PictureEnding {
                path: path.to_owned(),
            }),
        }
    }

    /// The bytes of a file with an image of 1 or 3 channels.
    ///
    /// # Errors
    /// [`Error::Encode`] for other channels, pixels that do not fill the image, or a side above [`MAX_SIDE`].
    pub fn encode(self, image: &Image) -> Result<Vec<u8>> {
        let colour = colour(image)?;
        let (pixels, width, height) = (&image.pixels, image.width, image.height);
        if self != Self::Png && width.max(height) > MAX_SIDE {
            return Err(Error::Encode(format!(
                "{width}x{height} pixels are more than {MAX_SIDE} a side"
            )));
        }
        let mut bytes = Vec::new();
        let written = match self {
            Self::Png => return encode_png(image),
            Self::Jpeg => {
                image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
                    .encode(pixels, width, height, colour)
            }
            Self::WebP => image::codecs::webp::WebPEncoder::new_lossless(&mut bytes)
                .encode(pixels, width, height, colour),
        };
        written.map_err(|error| Error::Encode(error.to_string()))?;
        Ok(bytes)
    }
}

/// What a pixel holds, if the pixels fill the image.
pub(super) fn colour(image: &Image) -> Result<image::ExtendedColorType> {
    let colour = match image.channels {
        1 => image::ExtendedColorType::L8,
        3 => image::ExtendedColorType::Rgb8,
        other => {
            return Err(Error::Encode(format!(
                "expected 1 or 3 channels, found {other}"
            )));
        }
    };
    if image.pixels.len() != image.byte_count() || image.pixels.is_empty() {
        return Err(Error::Encode(format!(
            "expected {}x{}x{} bytes, found {}",
            image.height,
            image.width,
            image.channels,
            image.pixels.len()
        )));
    }
    Ok(colour)
}

/// An image of 1 or 3 channels as PNG with texts under keywords, each in an iTXt chunk (PNG 3, 11.3.3.4), uncompressed
/// UTF-8. A keyword has 1 to 79 printable ASCII characters.
///
/// # Errors
/// As [`encode_png`]; [`Error::Encode`] for a keyword that cannot be one or a text with a zero character.
pub fn encode_png_with_texts(image: &Image, texts: &[(&str, &str)]) -> Result<Vec<u8>> {
    let plain = encode_png(image)?;
    let (header, rest) = plain.split_at(PNG_HEADER);
    let mut bytes = header.to_vec();
    for (keyword, text) in texts {
        let printable = keyword.bytes().all(|byte| (32..127).contains(&byte));
        let fits = (1..=79).contains(&keyword.len()) && keyword.trim() == *keyword;
        if !(printable && fits) || text.contains('\0') {
            return Err(Error::Encode(format!(
                "expected a keyword of 1 to 79 printable characters and a text without zeros, found {keyword:?}"
            )));
        }
        // Not compressed, no language, no translated keyword.
        let content = [keyword.as_bytes(), &[0; 5], text.as_bytes()].concat();
        bytes.extend(chunk(b"iTXt", &content)?);
    }
    bytes.extend(rest);
    Ok(bytes)
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Result<Vec<u8>> {
    let length = i32::try_from(content.len());
    let length = length.map_err(|_| Error::Encode("a text of more than 2 GiB".to_owned()))?;
    let checked = [kind, content].concat();
    let mut checksum = flate2::Crc::new();
    checksum.update(&checked);
    let ends = [length.to_be_bytes(), checksum.sum().to_be_bytes()];
    Ok([&ends[0], &checked[..], &ends[1]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode;

    fn ramp(channels: u32) -> Image {
        Image {
            width: 16,
            height: 16,
            channels,
            pixels: (0..256 * channels).map(|i| (i / channels) as u8).collect(),
        }
    }

    #[test]
    fn a_picture_is_what_its_name_says() {
        for (name, start) in [
            ("a.png", &b"\x89PNG"[..]),
            ("b.jpg", b"\xff\xd8\xff"),
            ("c.JPEG", b"\xff\xd8\xff"),
            ("d.webp", b"RIFF"),
        ] {
            for channels in [1, 3] {
                let format = PictureFormat::of(Path::new(name)).unwrap();
                let bytes = format.encode(&ramp(channels)).unwrap();
                assert!(bytes.starts_with(start), "{name}");
                let back = decode(&bytes, Path::new(name)).unwrap().with_channels(1);
                let image = ramp(1);
                match format {
                    PictureFormat::Jpeg => {
                        let pairs = back.pixels.iter().zip(&image.pixels);
                        let off = pairs.map(|(a, b)| a.abs_diff(*b)).max();
                        assert!(off <= Some(8), "{name}: {off:?}");
                    }
                    _ => assert_eq!(back, image, "{name}"),
                }
            }
        }
    }

    #[test]
    fn other_names_are_refused_with_what_is_taken() {
        for name in ["a.gif", "a.tiff", "a", "png", "a.png.bak", "a."] {
            let error = PictureFormat::of(Path::new(name)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{name}`")) && error.contains(PictureFormat::ENDINGS),
                "{error}"
            );
        }
    }

    #[test]
    fn pixels_that_do_not_fill_a_picture_are_an_error_in_every_format() {
        let mut image = ramp(3);
        image.pixels.pop();
        let wide = Image::filled(MAX_SIDE + 1, 1, &[0]);
        for format in [PictureFormat::Jpeg, PictureFormat::WebP, PictureFormat::Png] {
            assert!(matches!(format.encode(&image), Err(Error::Encode(_))));
            let refused = matches!(format.encode(&wide), Err(Error::Encode(_)));
            assert_eq!(refused, format != PictureFormat::Png);
        }
    }

    /// `python3 -c "import zlib; print(zlib.crc32(b'iTXtk\0\0\0\0\0' + 'é'.encode()))"` gives the checksum; that Pillow
    /// reads the texts is tested with the program, in `cli`.
    #[test]
    fn texts_stand_behind_the_header_and_change_no_pixel() {
        let image = ramp(3);
        let bytes = encode_png_with_texts(&image, &[("k", "é"), ("two", "")]).unwrap();
        assert_eq!(decode(&bytes, Path::new("a.png")).unwrap(), image);
        let first = &bytes[PNG_HEADER..];
        assert!(first.starts_with(b"\0\0\0\x08iTXtk\0\0\0\0\0\xc3\xa9"));
        assert_eq!(first[16..20], 3_281_602_841_u32.to_be_bytes());
        assert_eq!(
            encode_png_with_texts(&image, &[]).unwrap(),
            encode_png(&image).unwrap()
        );
        for (keyword, text) in [("", "a"), ("é", "a"), (" a", "a"), ("a", "\0")] {
            let refused = encode_png_with_texts(&image, &[(keyword, text)]);
            assert!(matches!(refused, Err(Error::Encode(_))), "{keyword:?}");
        }
    }
}
