//! From the bytes of a stored tensor to `f32` values.

use safetensors::Dtype;

/// Decodes little-endian `bytes` of type `dtype`; `None` for a type that is not one of the four floats.
/// F16 and BF16 are exact in `f32`; F64 is rounded to the nearest.
pub(crate) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => map_chunks(bytes, f32::from_le_bytes),
        Dtype::F64 => map_chunks(bytes, |value| f64::from_le_bytes(value) as f32),
        Dtype::F16 => map_chunks(bytes, |bits| half_to_f32(u16::from_le_bytes(bits))),
        // The upper half of an f32.
        Dtype::BF16 => map_chunks(bytes, |[low, high]| f32::from_le_bytes([0, 0, low, high])),
        _ => return None,
    })
}

fn map_chunks<const WIDTH: usize>(bytes: &[u8], decode: impl Fn([u8; WIDTH]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<WIDTH>();
    chunks.iter().map(|&chunk| decode(chunk)).collect()
}

/// IEEE 754 binary16 to binary32, exact: 1 sign, 5 exponent (bias 15) and 10 fraction bits.
fn half_to_f32(bits: u16) -> f32 {
    let fraction = u32::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 0x1f {
        // Subnormal: fraction * 2^-24.
        0 => fraction as f32 * f32::from_bits((127 - 24) << 23),
        0x1f => f32::from_bits(0x7f80_0000 | fraction << 13),
        exponent => f32::from_bits((u32::from(exponent) + 127 - 15) << 23 | fraction << 13),
    };
    if bits >> 15 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_landmarks() {
        // IEEE 754-2008, binary16: smallest subnormal, largest subnormal, smallest normal, one third, one, largest.
        for (bits, value) in [
            (0x0001, 2f32.powi(-24)),
            (0x03ff, 1023.0 * 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(half_to_f32(bits), value, "{bits:#06x}");
            assert_eq!(half_to_f32(bits | 0x8000), -value, "{bits:#06x}");
        }
        assert!(half_to_f32(0x7e00).is_nan());
        assert!(half_to_f32(0x8000).is_sign_negative());
    }

    #[test]
    fn every_half_precision_number_matches_numpy() {
        // python3 -c "import numpy as n, zlib; a=n.arange(65536,dtype='<u2'); a=a[(a&0x7fff)<=0x7c00];
        //             print(zlib.crc32(a.view('<f2').astype('<f4').tobytes()), len(a))"
        let decoded: Vec<u8> = (0..=u16::MAX)
            .filter(|bits| bits & 0x7fff <= 0x7c00)
            .flat_map(|bits| half_to_f32(bits).to_le_bytes())
            .collect();
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
