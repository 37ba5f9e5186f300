//! As much of ZIP as NumPy and PyTorch use: members stored or deflated, with ZIP64 records (PKWARE APPNOTE 4.3 and 4.5.3), so that an
//! archive may be larger than 4 GiB.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::CrcReader;
use flate2::read::DeflateDecoder;

/// A fault of the file's.
pub(crate) fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

/// ZIP version that knows ZIP64.
const VERSION: u16 = 45;
/// 1 January 1980: the same images give the same bytes.
const DATE: u16 = 0x21;
/// Says that the true size or offset stands in the ZIP64 record.
const IN_RECORD: u32 = u32::MAX;
/// Length of the record at the end, without its comment.
const END: u64 = 22;
/// Length of the record that points to the ZIP64 one at the end.
const LOCATOR: u64 = 20;
/// Largest directory that is read; NumPy's have 60 bytes an array.
const MAX_DIRECTORY: u64 = 1 << 20;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Bytes that one byte of a deflate stream can become.
const MAX_RATIO: u64 = 1032;
/// What deflated members may unpack to together in any case, and otherwise no more than so many times the archive's
/// length: weights and pixels hardly shrink.
const SMALL_UNPACKED: u64 = 256 << 20;
const MOST_TIMES: u64 = 64;

/// One file in the archive.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Bytes of the file itself.
    pub(crate) size: u64,
    method: u16,
    crc: u32,
    /// Bytes in the archive.
    pub(crate) packed: u64,
    /// Where its local header begins.
    offset: u64,
}

/// A member that is being read.
pub(crate) type Data<'a> = CrcReader<Box<dyn Read + 'a>>;

impl Member {
    /// One that is not compressed.
    pub(crate) fn stored(name: &str, crc: u32, size: u64, offset: u64) -> Self {
        Self {
            name: name.to_owned(),
            size,
            method: STORED,
            crc,
            packed: size,
            offset,
        }
    }

    /// Whether its bytes are those in the archive.
    pub(crate) fn is_stored(&self) -> bool {
        self.method == STORED
    }

    /// What comes before its bytes.
    pub(crate) fn local_header(&self) -> Vec<u8> {
        let mut out = b"PK\x03\x04".to_vec();
        out.extend(self.common());
        out.extend(20u16.to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(zip64_record(&[self.size, self.packed]));
        out
    }

    /// What stands in both headers: version, flags, method, time, date, checksum, sizes, length of the name.
    fn common(&self) -> Vec<u8> {
        let mut out = Vec::new();
        [VERSION, 0, self.method, 0, DATE]
            .iter()
            .for_each(|v| out.extend(v.to_le_bytes()));
        [self.crc, IN_RECORD, IN_RECORD]
            .iter()
            .for_each(|v| out.extend(v.to_le_bytes()));
        out.extend((self.name.len() as u16).to_le_bytes());
        out
    }

    /// Its bytes from the first; `length` is that of the archive.
    pub(crate) fn open<'a>(
        &self,
        file: &'a mut (impl Read + Seek),
        length: u64,
    ) -> io::Result<Data<'a>> {
        let name = &self.name;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut header = [0; 30];
        file.read_exact(&mut header)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(invalid(format!("`{name}` is not where the directory says")));
        }
        let skipped = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let start = self.offset + header.len() as u64 + skipped;
        let room = length.checked_sub(start);
        if room.is_none_or(|room| room < self.packed) {
            return Err(invalid(format!("`{name}` is cut short")));
        }
        let possible = match self.method {
            STORED => self.size == self.packed,
            DEFLATED => self.size / MAX_RATIO <= self.packed,
            other => return Err(invalid(format!("`{name}` is compressed by method {other}"))),
        };
        if !possible {
            return Err(invalid(format!(
                "`{name}` is said to be {} bytes in {}",
                self.size, self.packed
            )));
        }
        file.seek(SeekFrom::Start(start))?;
        let packed = file.take(self.packed);
        Ok(CrcReader::new(match self.method {
            STORED => Box::new(packed) as Box<dyn Read>,
            _ => Box::new(DeflateDecoder::new(packed)),
        }))
    }

    /// The last `count` bytes, after which the member must end with its checksum right.
    pub(crate) fn rest(&self, mut data: Data<'_>, count: usize) -> io::Result<Vec<u8>> {
        // A stored member is no longer than the file; a deflated one may yet turn out to be short.
        let room = if self.method == STORED { count } else { 0 };
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(room)?;
        (&mut data).take(count as u64).read_to_end(&mut bytes)?;
        let more = data.read(&mut [0])?;
        if bytes.len() != count || more > 0 {
            return Err(invalid(format!(
                "`{}` is not of its stated size",
                self.name
            )));
        }
        if data.crc().sum() != self.crc {
            return Err(invalid(format!("the checksum of `{}` is wrong", self.name)));
        }
        Ok(bytes)
    }
}

/// The directory that stands at `at`, and the records after it.
pub(crate) fn directory_of(members: &[Member], at: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        out.extend(b"PK\x01\x02");
        out.extend(VERSION.to_le_bytes());
        out.extend(member.common());
        out.extend(28u16.to_le_bytes());
        // Comment, disk, attributes: none.
        out.extend([0; 10]);
        out.extend(IN_RECORD.to_le_bytes());
        out.extend(member.name.as_bytes());
        out.extend(zip64_record(&[member.size, member.packed, member.offset]));
    }
    let (count, size) = (members.len() as u64, out.len() as u64);
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
    out.extend((at + size).to_le_bytes());
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

/// Reads the directory of an archive of `length` bytes.
pub(crate) fn directory(file: &mut (impl Read + Seek), length: u64) -> io::Result<Vec<Member>> {
    let (at, size) = find_directory(file, length)?;
    if size > MAX_DIRECTORY || at.checked_add(size).is_none_or(|end| end > length) {
        return Err(invalid("its directory lies outside the file"));
    }
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; size as usize];
    file.read_exact(&mut bytes)?;
    let mut members = Vec::new();
    let mut rest = &bytes[..];
    while rest.starts_with(b"PK\x01\x02") {
        let (member, after) =
            entry(rest).ok_or_else(|| invalid("an entry of its directory is cut short"))?;
        members.push(member?);
        rest = after;
    }
    Ok(members)
}

/// Refuses an archive of `length` bytes that would unpack out of proportion.
pub(crate) fn require_proportion(members: &[Member], length: u64) -> io::Result<()> {
    let deflated = || members.iter().filter(|member| !member.is_stored());
    let unpacked = deflated().fold(0u64, |sum, member| sum.saturating_add(member.size));
    let most = length.saturating_mul(MOST_TIMES).max(SMALL_UNPACKED);
    match deflated().max_by_key(|member| member.size) {
        Some(largest) if unpacked > most => Err(invalid(format!(
            "`{}` is said to be {} bytes when unpacked, and of a file of {length} bytes at most {most} are unpacked in all: \
             write it without compression",
            largest.name, largest.size
        ))),
        _ => Ok(()),
    }
}

/// Position and length of the directory.
fn find_directory(file: &mut (impl Read + Seek), length: u64) -> io::Result<(u64, u64)> {
    let no_zip = || invalid("it is no ZIP file, or it was cut short");
    let tail = length.min(END + u64::from(u16::MAX) + LOCATOR);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut bytes = vec![0; tail as usize];
    file.read_exact(&mut bytes)?;
    let starts = bytes.windows(END as usize);
    let end = starts
        .enumerate()
        .rev()
        .find(|(_, record)| record.starts_with(b"PK\x05\x06"))
        .map(|(at, _)| at)
        .ok_or_else(no_zip)?;
    let record = &bytes[end..];
    let (size, at) = (u32_at(record, 12), u32_at(record, 16));
    let locator = end.checked_sub(LOCATOR as usize).map(|at| &bytes[at..end]);
    let locator = locator.filter(|record| record.starts_with(b"PK\x06\x07"));
    let Some(locator) = locator else {
        return Ok((at.into(), size.into()));
    };
    let mut record = [0; 56];
    let at = u64_at(locator, 8);
    if at > length {
        return Err(no_zip());
    }
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut record)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err(no_zip());
    }
    Ok((u64_at(&record, 48), u64_at(&record, 40)))
}

/// The first entry of a directory, and what follows it; nothing if it is cut short.
fn entry(bytes: &[u8]) -> Option<(io::Result<Member>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(46)?;
    let (name, rest) = rest.split_at_checked(u16_at(head, 28).into())?;
    let (extra, rest) = rest.split_at_checked(u16_at(head, 30).into())?;
    let (_, rest) = rest.split_at_checked(u16_at(head, 32).into())?;
    let name = String::from_utf8_lossy(name).into_owned();
    if u16_at(head, 8) & 1 == 1 {
        return Some((Err(invalid(format!("`{name}` is encrypted"))), rest));
    }
    let mut large = zip64_values(extra);
    let mut value = |at: usize| match u32_at(head, at) {
        IN_RECORD => large.next().unwrap_or(IN_RECORD.into()),
        value => value.into(),
    };
    // In the order of the record.
    let (size, packed, offset) = (value(24), value(20), value(42));
    let member = Member {
        name,
        size,
        method: u16_at(head, 10),
        crc: u32_at(head, 16),
        packed,
        // So that nothing after it can overflow.
        offset: offset.min(1 << 62),
    };
    Some((Ok(member), rest))
}

/// The numbers in the ZIP64 record among the extra fields of an entry.
fn zip64_values(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let length = usize::from(u16_at(head, 2)).min(rest.len());
        if u16_at(head, 0) == 1 {
            found = &rest[..length];
        }
        extra = &rest[length..];
    }
    found.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
