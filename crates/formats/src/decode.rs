//! From the bytes of a stored tensor to `f32` values.

use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;

use crate::error::{FormatError, Result};

/// What a reader does with a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// It is read, and an error unless it is of floats.
    Floats,
    /// It is read, and may be of whole numbers or truth values too.
    Numbers,
    /// It is passed over, whatever its type.
    Nothing,
}

/// The values of a safetensors tensor of that name.
///
/// # Errors
/// [`FormatError::Dtype`].
pub(crate) fn values(dtype: Dtype, bytes: &[u8], tensor: &str, path: &Path) -> Result<Vec<f32>> {
    to_f32(dtype, bytes).ok_or_else(|| refused(dtype, tensor, path))
}

/// The same where whole numbers are as good.
///
/// # Errors
/// [`FormatError::Dtype`].
pub(crate) fn numbers(dtype: Dtype, bytes: &[u8], tensor: &str, path: &Path) -> Result<Vec<f32>> {
    let values = to_f32(dtype, bytes).or_else(|| integers_to_f32(dtype, bytes));
    values.ok_or_else(|| refused(dtype, tensor, path))
}

fn refused(dtype: Dtype, tensor: &str, path: &Path) -> FormatError {
    FormatError::Dtype {
        path: path.to_path_buf(),
        tensor: tensor.to_owned(),
        dtype: dtype.to_string(),
    }
}

/// Decodes little-endian `bytes` of type `dtype`; `None` for a type that is not one of the four floats.
/// F16 and BF16 are exact in `f32`; F64 is rounded to the nearest.
pub(crate) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => map_chunks(bytes, f32::from_le_bytes),
        Dtype::F64 => map_chunks(bytes, |value| f64::from_le_bytes(value) as f32),
        Dtype::F16 => map_chunks(bytes, |bits| f16::from_le_bytes(bits).to_f32()),
        Dtype::BF16 => map_chunks(bytes, |bits| bf16::from_le_bytes(bits).to_f32()),
        _ => return None,
    })
}

/// Decodes little-endian whole numbers and truth values to the nearest `f32`; `None` for any other type.
pub(crate) fn integers_to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::I64 => map_chunks(bytes, |value| i64::from_le_bytes(value) as f32),
        Dtype::I32 => map_chunks(bytes, |value| i32::from_le_bytes(value) as f32),
        Dtype::I16 => map_chunks(bytes, |value| i16::from_le_bytes(value).into()),
        Dtype::I8 => map_chunks(bytes, |value| i8::from_le_bytes(value).into()),
        Dtype::U8 | Dtype::BOOL => map_chunks(bytes, |value| u8::from_le_bytes(value).into()),
        _ => return None,
    })
}

fn map_chunks<const WIDTH: usize>(bytes: &[u8], decode: impl Fn([u8; WIDTH]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<WIDTH>();
    chunks.iter().map(|&chunk| decode(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_number_matches_numpy() {
        // python3 -c "import numpy as n, zlib; a=n.arange(65536,dtype='<u2'); a=a[(a&0x7fff)<=0x7c00];
        //             print(zlib.crc32(a.view('<f2').astype('<f4').tobytes()), len(a))"
        let stored: Vec<u8> = (0..=u16::MAX)
            .filter(|bits| bits & 0x7fff <= 0x7c00)
            .flat_map(u16::to_le_bytes)
            .collect();
        let values = to_f32(Dtype::F16, &stored).unwrap();
        let decoded: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(
            (crc32(&decoded), decoded.len() / 4),
            (1_487_021_387, 63_490)
        );
    }

    /// CRC-32 (ISO-HDLC) bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |mut crc, &byte| {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ ((crc & 1) * 0xedb8_8320);
            }
            crc
        })
    }

    #[test]
    fn the_other_floats_and_a_refusal() {
        // torch.tensor([1.0, -2.5], dtype=torch.bfloat16) is 0x3f80, 0xc020.
        assert_eq!(
            to_f32(Dtype::BF16, &[0x80, 0x3f, 0x20, 0xc0]),
            Some(vec![1.0, -2.5])
        );
        assert_eq!(to_f32(Dtype::F64, &0.1f64.to_le_bytes()), Some(vec![0.1]));
        assert_eq!(
            to_f32(Dtype::F32, &(-0.0f32).to_le_bytes()).unwrap()[0].to_bits(),
            1 << 31
        );
        assert_eq!(to_f32(Dtype::I64, &[0; 8]), None);
    }

    #[test]
    fn whole_numbers_and_truth_values() {
        // torch.tensor(-3, dtype=...).numpy().tobytes(), and torch.tensor([True, False]).
        for (dtype, bytes) in [
            (Dtype::I64, &(-3i64).to_le_bytes()[..]),
            (Dtype::I32, &(-3i32).to_le_bytes()),
            (Dtype::I16, &(-3i16).to_le_bytes()),
            (Dtype::I8, &(-3i8).to_le_bytes()),
        ] {
            assert_eq!(integers_to_f32(dtype, bytes), Some(vec![-3.0]));
        }
        assert_eq!(integers_to_f32(Dtype::BOOL, &[1, 0]), Some(vec![1.0, 0.0]));
        assert_eq!(integers_to_f32(Dtype::U8, &[200]), Some(vec![200.0]));
        assert_eq!(integers_to_f32(Dtype::F32, &[0; 4]), None);
    }
}
