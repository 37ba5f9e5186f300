//! From the bytes of a stored tensor to `f32` values.

use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;

use crate::error::{FormatError, Result};

/// The values of a safetensors tensor of that name.
///
/// # Errors
/// [`FormatError::Dtype`].
pub(crate) fn values(dtype: Dtype, bytes: &[u8], tensor: &str, path: &Path) -> Result<Vec<f32>> {
    to_f32(dtype, bytes).ok_or_else(|| FormatError::Dtype {
        path: path.to_path_buf(),
        tensor: tensor.to_owned(),
        dtype: dtype.to_string(),
    })
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
}
