//! PNG bytes on their way into a page.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::error::EvalError;

/// Bytes that start like a PNG file with a sensible size. In JSON they are a base64 text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Png {
    bytes: Vec<u8>,
    width: u32,
    height: u32,
}

impl Png {
    /// Takes over the bytes of a PNG file; only the first 24 of them are looked at.
    ///
    /// # Errors
    /// [`EvalError::NotPng`] if they are no PNG signature with an image header of at least one pixel.
    pub fn new(bytes: Vec<u8>) -> Result<Self, EvalError> {
        const START: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        let size = |at: usize| {
            let field = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(field)).filter(|size| (1..=1 << 20).contains(size))
        };
        match (bytes.starts_with(START), size(16), size(20)) {
            (true, Some(width), Some(height)) => Ok(Self {
                width,
                height,
                bytes,
            }),
            _ => Err(EvalError::NotPng {
                length: bytes.len(),
            }),
        }
    }

    /// Columns and rows of pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An address that holds the picture itself.
    pub(super) fn data_url(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(&self.bytes))
    }
}

impl From<Png> for String {
    fn from(png: Png) -> Self {
        STANDARD.encode(&png.bytes)
    }
}

impl TryFrom<String> for Png {
    type Error = EvalError;

    fn try_from(text: String) -> Result<Self, EvalError> {
        let bytes = STANDARD
            .decode(&text)
            .map_err(|_| EvalError::NotPng { length: text.len() })?;
        Self::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_png_passes() {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x03\0\0\0\x02".to_vec();
        assert_eq!(Png::new(bytes.clone()).unwrap().size(), (3, 2));
        assert!(Png::new(bytes[..23].to_vec()).is_err());
        bytes[16] = 0xff;
        assert!(Png::new(bytes).is_err());
        assert!(Png::new(b"<svg onload=alert(1)>".to_vec()).is_err());
    }

    #[test]
    fn json_is_base64_and_is_checked_again() {
        let bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01".to_vec();
        let json = serde_json::to_string(&Png::new(bytes.clone()).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Png>(&json).unwrap().bytes(), bytes);
        assert!(serde_json::from_str::<Png>("\"AAAA\"").is_err());
        assert!(serde_json::from_str::<Png>("\"no base64\"").is_err());
    }
}
