//! NumPy archives: a ZIP file of stored NPY arrays, as `numpy.savez` writes and ADM's evaluation reads.
//!
//! Formats: NPY 1.0 (NumPy Enhancement Proposal 1) and ZIP with ZIP64 records throughout (PKWARE APPNOTE 4.3 and 4.5.3),
//! so that an archive may be larger than 4 GiB.

use flate2::Crc;
use learngene_data::Image;

/// Length in bytes to which the head of an array is padded.
const ALIGNMENT: usize = 64;
/// ZIP version that knows ZIP64.
const VERSION: u16 = 45;
/// 1 January 1980: the same images give the same bytes.
const DATE: u16 = 0x21;
/// Says that the true size or offset stands in the ZIP64 record.
const IN_RECORD: u32 = u32::MAX;

/// Images of one size as `arr_0`, uint8 `[n, height, width, channels]`, and their labels as `arr_1`, int64 `[n]`.
pub fn archive(images: &[Image], labels: &[i64]) -> Vec<u8> {
    let [height, width, channels] = images
        .first()
        .map_or([0; 3], |image| [image.height, image.width, image.channels]);
    let shape = format!("({}, {height}, {width}, {channels})", images.len());
    let mut pixels = npy("|u1", &shape);
    images
        .iter()
        .for_each(|image| pixels.extend_from_slice(&image.pixels));
    let mut numbers = npy("<i8", &format!("({},)", labels.len()));
    numbers.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
    zip(&[("arr_0.npy", &pixels), ("arr_1.npy", &numbers)])
}

/// The head of an array in row-major order; its values follow.
fn npy(kind: &str, shape: &str) -> Vec<u8> {
    let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let before = 10;
    let padded = (before + head.len() + 1).next_multiple_of(ALIGNMENT) - before;
    while head.len() + 1 < padded {
        head.push(' ');
    }
    head.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes
}

/// A ZIP file of uncompressed members.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, data) in members {
        let offset = out.len() as u64;
        let size = data.len() as u64;
        let mut crc = Crc::new();
        crc.update(data);
        // Common to both heads: version, flags, method (stored), time, date, checksum, sizes, length of the name.
        let mut common = Vec::new();
        [VERSION, 0, 0, 0, DATE]
            .iter()
            .for_each(|v| common.extend(v.to_le_bytes()));
        [crc.sum(), IN_RECORD, IN_RECORD]
            .iter()
            .for_each(|v| common.extend(v.to_le_bytes()));
        common.extend((name.len() as u16).to_le_bytes());

        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(20u16.to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(zip64_record(&[size, size]));
        out.extend_from_slice(data);

        directory.extend(b"PK\x01\x02");
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&common);
        directory.extend(28u16.to_le_bytes());
        // Comment, disk, attributes: none.
        directory.extend([0; 10]);
        directory.extend(IN_RECORD.to_le_bytes());
        directory.extend(name.as_bytes());
        directory.extend(zip64_record(&[size, size, offset]));
    }
    let at = out.len() as u64;
    let (count, size) = (members.len() as u64, directory.len() as u64);
    out.extend(directory);
    let end = out.len() as u64;
    out.extend(b"PK\x06\x06");
    out.extend(44u64.to_le_bytes());
    [VERSION, VERSION]
        .iter()
        .for_each(|v| out.extend(v.to_le_bytes()));
    out.extend([0; 8]);
    [count, count, size, at]
        .iter()
        .for_each(|v| out.extend(v.to_le_bytes()));
    out.extend(b"PK\x06\x07\0\0\0\0");
    out.extend(end.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(b"PK\x05\x06\0\0\0\0");
    [count as u16; 2]
        .iter()
        .for_each(|v| out.extend(v.to_le_bytes()));
    [size as u32, IN_RECORD]
        .iter()
        .for_each(|v| out.extend(v.to_le_bytes()));
    out.extend([0; 2]);
    out
}

/// The extra field with the values that did not fit their places.
fn zip64_record(values: &[u64]) -> Vec<u8> {
    let mut record = 1u16.to_le_bytes().to_vec();
    record.extend((8 * values.len() as u16).to_le_bytes());
    values.iter().for_each(|v| record.extend(v.to_le_bytes()));
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_has_the_bytes_that_numpy_gives_it() {
        // python3 -c "import io, numpy as n; b = io.BytesIO(); n.save(b, n.zeros((2,), '<i8')); print(b.getvalue()[:128])"
        let expected =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }";
        let head = npy("<i8", "(2,)");
        assert_eq!(&head[..expected.len()], expected);
        assert_eq!((head.len(), head.last()), (128, Some(&b'\n')));
    }

    #[test]
    fn equal_images_give_equal_bytes_and_the_members_hold_the_pixels() {
        let images = [
            Image::filled(2, 3, &[7, 8, 9]),
            Image::filled(2, 3, &[1, 2, 3]),
        ];
        let bytes = archive(&images, &[4, 5]);
        assert_eq!(bytes, archive(&images, &[4, 5]));
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(holds(b"'shape': (2, 3, 2, 3), }"));
        assert!(holds(&[7, 8, 9].repeat(6)) && holds(&[1, 2, 3].repeat(6)));
    }
}
