//! ZIP files whose checksums hold, so that what is in their members gets read.

use flate2::Crc;

/// An archive of stored members.
pub fn of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let mut crc = Crc::new();
        crc.update(bytes);
        let offset = archive.len() as u32;
        let mut common = [10u16, 0, 0, 0, 0x21].map(u16::to_le_bytes).concat();
        let lengths = [crc.sum(), bytes.len() as u32, bytes.len() as u32];
        common.extend(lengths.map(u32::to_le_bytes).concat());
        common.extend((name.len() as u16).to_le_bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend([0; 2]);
        archive.extend(name.as_bytes());
        archive.extend(*bytes);
        directory.extend(b"PK\x01\x02\x0a\x00");
        directory.extend(common);
        // Lengths of extra fields and comment, disk, attributes: none.
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, size) = (archive.len() as u32, directory.len() as u32);
    let count = members.len() as u16;
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].map(u16::to_le_bytes).concat());
    archive.extend([size, at].map(u32::to_le_bytes).concat());
    archive.extend([0; 2]);
    archive
}
