//! Pages of a column, held to what the file says of them. The `parquet` crate makes room for as many values as a page claims
//! to have; running out of memory is no panic and could not be caught.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

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
