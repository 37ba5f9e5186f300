//! Pages of a column, held to what the file says of them. The `parquet` crate makes room for as many bytes and values as a
//! page claims to have; running out of memory is no panic and could not be caught.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A file, of which no more is read than it has, and no page that claims to unpack to more than `most` bytes.
pub(super) struct Bounded {
    pub file: File,
    pub length: u64,
    pub most: usize,
}

impl Length for Bounded {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Bounded {
    type T = Header;

    fn get_read(&self, start: u64) -> Result<Header> {
        Ok(Header {
            bytes: self.file.get_read(start)?,
            most: Some(self.most),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.length) {
            let whole = self.length;
            return damaged(format!(
                "a page of {length} bytes from byte {start}, of {whole}"
            ));
        }
        self.file.get_bytes(start, length)
    }
}

/// The file from the header of a page on.
pub(super) struct Header {
    bytes: BufReader<File>,
    /// What the page may unpack to, until that was looked at.
    most: Option<usize>,
}

impl Read for Header {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(most) = self.most.take() {
            let unpacked = unpacked(self.bytes.fill_buf()?);
            if unpacked.is_none_or(|bytes| bytes > most as u64) {
                let found = format!("a page that is not known to unpack to at most {most} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, found));
            }
        }
        match self.bytes.read(out)? {
            // The end is no place for a header to go on; a list in it may claim two thousand million parts of no length.
            0 if !out.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// Bytes that a page unpacks to by its header: the second field of a struct in Thrift's compact protocol, after the kind of
/// the page. Every writer puts them there, since fields are written by their numbers.
fn unpacked(header: &[u8]) -> Option<u64> {
    /// The next field, which is a whole number of 32 bits.
    const NEXT: u8 = 0x15;
    let mut bytes = header.iter().copied();
    let mut field = || {
        let mut number = 0;
        (bytes.next()? == NEXT).then_some(())?;
        for shift in (0..35).step_by(7) {
            let byte = bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // Signs are folded in; a negative size is no size.
                return (number % 2 == 0).then_some(number / 2);
            }
        }
        None
    };
    field()?;
    field()
}

/// The pages of a column, none of which is larger than it may be.
pub(super) struct Checked {
    pages: Box<dyn PageReader>,
    /// The least bytes that a value in plain encoding takes.
    width: usize,
    /// Bytes that the pages to come may have.
    left: usize,
    claimed: usize,
}

impl Checked {
    /// Pages that together have at most `claimed` bytes, of values of at least `width`.
    pub(super) fn new(pages: Box<dyn PageReader>, claimed: usize, width: usize) -> Self {
        Self {
            pages,
            width,
            left: claimed,
            claimed,
        }
    }

    fn check(&mut self, page: &Page) -> Result<()> {
        let size = page.buffer().len();
        let Some(left) = self.left.checked_sub(size) else {
            let claimed = self.claimed;
            return damaged(format!("pages of more than the {claimed} bytes claimed"));
        };
        self.left = left;
        let values = page.num_values() as usize;
        if matches!(page, Page::DictionaryPage { .. }) && values > size / self.width {
            return damaged(format!("a dictionary of {values} values in {size} bytes"));
        }
        // Of the others some claim a number of values of their own, or make much of few bytes.
        match page.encoding() {
            Encoding::PLAIN
            | Encoding::PLAIN_DICTIONARY
            | Encoding::RLE_DICTIONARY
            | Encoding::DELTA_BINARY_PACKED => Ok(()),
            other => damaged(format!(
                "values in encoding {other}, of which PLAIN, RLE_DICTIONARY and DELTA_BINARY_PACKED are read"
            )),
        }
    }
}

fn damaged<T>(found: String) -> Result<T> {
    Err(ParquetError::General(found))
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.as_ref().map_or(Ok(()), |page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
