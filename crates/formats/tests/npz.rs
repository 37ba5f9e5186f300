//! Image archives: NumPy's are read (`reference/archives.py`), ours come back, and damaged or hostile ones are refused.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests do"
)]

use std::fs;
use std::io::Write;
use std::path::Path;

use learngene_formats::{FormatError, ImageArchive};

const STORED: &[u8] = include_bytes!("reference/stored.npz");
const COMPRESSED: &[u8] = include_bytes!("reference/compressed.npz");
const OTHER: &[u8] = include_bytes!("reference/other.npz");

fn expected() -> ImageArchive {
    let sides = [3, 4, 5, 3];
    let value = |i: usize| {
        let [n, y, x, c] = [i / 60, i / 15 % 4, i / 3 % 5, i % 3];
        n * 60 + y * 15 + x * 3 + c
    };
    ImageArchive {
        height: 4,
        width: 5,
        channels: 3,
        pixels: (0..sides.iter().product())
            .map(|i| value(i) as u8)
            .collect(),
        labels: Some(vec![7, 0, 12]),
    }
}

fn read(bytes: &[u8]) -> Result<ImageArchive, FormatError> {
    ImageArchive::from_bytes(bytes, "a.npz")
}

/// The text of the [`FormatError::Archive`] that the bytes must give.
fn refused(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(error @ FormatError::Archive { .. }) => error.to_string(),
        other => panic!("expected a bad archive, found {other:?}"),
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut copy = bytes.to_vec();
    let places = bytes.windows(from.len()).enumerate();
    for (at, _) in places.filter(|(_, window)| *window == from) {
        copy[at..at + to.len()].copy_from_slice(to);
    }
    assert!(copy != bytes);
    copy
}

#[test]
fn archives_of_numpy_are_read() {
    assert_eq!(read(STORED).unwrap(), expected());
    assert_eq!(read(COMPRESSED).unwrap(), expected());
}

#[test]
fn what_is_written_comes_back_and_is_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.npz", "b.npz"].map(|name| folder.path().join(name));
    let without = ImageArchive {
        labels: None,
        ..expected()
    };
    for archive in [expected(), without] {
        archive.write(&a).unwrap();
        archive.write(&b).unwrap();
        assert_eq!(ImageArchive::read(&a).unwrap(), archive);
        assert!(fs::read(&a).unwrap() == fs::read(&b).unwrap());
    }
}

#[test]
fn images_and_labels_that_do_not_fit_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let mut short = expected();
    short.pixels.pop();
    let mut unlabelled = expected();
    unlabelled.labels = Some(vec![1]);
    for archive in [short, unlabelled] {
        assert!(matches!(
            archive.write(&path),
            Err(FormatError::Archive { .. })
        ));
        assert!(!path.exists());
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    for bytes in [STORED, COMPRESSED] {
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
    }
}

/// Every byte of the headers and of the deflate streams, changed: an error or the same images, never a panic, never other
/// images.
#[test]
fn no_changed_byte_gives_other_images() {
    for bytes in [STORED, COMPRESSED] {
        for at in 0..bytes.len() {
            let mut copy = bytes.to_vec();
            for change in [0xff, 0x01, 0x80] {
                copy[at] = bytes[at] ^ change;
                if let Ok(found) = read(&copy) {
                    // A label array whose name was changed is another array.
                    assert_eq!(found.pixels, expected().pixels, "byte {at}");
                }
            }
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let said = |bytes: &[u8], part: &str| {
        let text = refused(bytes);
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    };
    said(b"", "no ZIP file");
    said(b"a text, and no archive of any kind", "no ZIP file");
    said(OTHER, "no array `arr_0` (but: mu.npy, sigma.npy)");
    said(&replaced(STORED, b"arr_1", b"arr_0"), "twice");
    said(&replaced(STORED, b"(3, 4, 5, 3)", b"(3, 4, 5, 4)"), "fill");
    said(
        &replaced(STORED, b"(3, 4, 5, 3)", b"(3, 4,15, 1)"),
        "checksum",
    );
    said(
        &replaced(STORED, b"(3, 4, 5, 3)", b"(9, 4, 5, 1)"),
        "checksum",
    );
    said(
        &replaced(STORED, b"(3, 4, 5, 3)", b"(  3, 4,15 )"),
        "checksum",
    );
    said(
        &replaced(STORED, b"'|u1'", b"'<f4'"),
        "type other, expected uint8",
    );
    said(
        &replaced(STORED, b"order': False, 's", b"order': True , 's"),
        "head",
    );
    // A shape that claims all memory.
    let huge = replaced(STORED, b"(3, 4, 5, 3), }    ", b"(9999999999, 99999)");
    said(&huge, "fill");
    let mut pixels = STORED.to_vec();
    let at = pixels.windows(2).position(|w| w == [60, 61]).unwrap();
    pixels[at] ^= 1;
    said(&pixels, "checksum of `arr_0.npy`");
    assert!(matches!(
        ImageArchive::read(Path::new("/dev/null")),
        Err(FormatError::NotAFile { .. })
    ));
}

/// A directory that promises far more than a stream of that length can hold is refused before anything is read, and one
/// that promises what it can hold stops at the promise.
#[test]
fn a_bomb_does_not_go_off() {
    // The uncompressed size of the first member, in the directory, set to 4 GB.
    let entry = COMPRESSED
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    let mut promised = COMPRESSED.to_vec();
    promised[entry + 24..entry + 28].copy_from_slice(&0xf000_0000_u32.to_le_bytes());
    let text = refused(&promised);
    assert!(text.contains("said to be 4026531840 bytes"), "{text}");
    // What a stream of that length can hold, but out of all proportion: 512 MiB in less than one.
    let bomb = bomb(512 << 20);
    assert!(bomb.len() < 1 << 20);
    assert!(refused(&bomb).contains("at most 268435456 are unpacked"));
    let mut short = COMPRESSED.to_vec();
    let size = u32::from_le_bytes(short[entry + 24..entry + 28].try_into().unwrap());
    short[entry + 24..entry + 28].copy_from_slice(&(size - 60).to_le_bytes());
    assert!(refused(&short).contains("fill"), "{short:?}");
}

/// An archive of one image of so many zeros, deflated.
fn bomb(bytes: usize) -> Vec<u8> {
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, {bytes}, 1), }}");
    let head = format!("{text:<117}\n");
    let mut array = b"\x93NUMPY\x01\0".to_vec();
    array.extend((head.len() as u16).to_le_bytes());
    array.extend(head.as_bytes());
    let size = array.len() + bytes;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&array).unwrap();
    (0..bytes >> 20).for_each(|_| encoder.write_all(&[0; 1 << 20]).unwrap());
    let packed = encoder.finish().unwrap();
    let name = b"arr_0.npy";
    let common = |crc: u32| {
        let mut out = [20u16, 0, 8, 0, 0x21].map(u16::to_le_bytes).concat();
        out.extend(crc.to_le_bytes());
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend((size as u32).to_le_bytes());
        out.extend((name.len() as u16).to_le_bytes());
        out
    };
    let local = [b"PK\x03\x04", &common(0)[..], &[0, 0], name].concat();
    let directory = [&b"PK\x01\x02\x14\0"[..], &common(0), &[0; 16], name].concat();
    let at = (local.len() + packed.len()) as u32;
    let end = [
        &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
        &(directory.len() as u32).to_le_bytes(),
        &at.to_le_bytes(),
        &[0, 0],
    ]
    .concat();
    [local, packed, directory, end].concat()
}
