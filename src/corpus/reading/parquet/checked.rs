//! A file and its pages, whose sizes are held against what there is before the crate believes them.

use std::fs::File;
use std::io::{BufReader, Read};

use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::Result as ParquetResult;
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;

use super::general;

/// A page may be as large as this, and larger only where what it was compressed to is large too: no codec but for a
/// run of one letter makes a thousandth of a text.
const ANY_PAGE: i64 = 16 << 20;
const MOST_COMPRESSED: i64 = 1000;

/// A file of which no more is read than it has, whatever it claims.
pub struct Checked(pub File);

impl Length for Checked {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Checked {
    type T = BufReader<File>;

    /// The crate asks for this where a page begins, of which the sizes are looked at.
    fn get_read(&self, start: u64) -> ParquetResult<BufReader<File>> {
        let mut beginning = Vec::new();
        self.0.get_read(start)?.take(64).read_to_end(&mut beginning)?;
        if let Some((uncompressed, compressed)) = page_sizes(&beginning) {
            let left = i64::try_from(self.len().saturating_sub(start)).unwrap_or(i64::MAX);
            let most = ANY_PAGE.max(compressed.saturating_mul(MOST_COMPRESSED));
            if compressed < 0 || compressed > left || uncompressed < 0 || uncompressed > most {
                return Err(general("a page claims more bytes than it can have"));
            }
        }
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(general("it ends too early"));
        }
        self.0.get_bytes(start, length)
    }
}

/// The sizes that a page's header begins with (Thrift's compact protocol): uncompressed, and in the file.
fn page_sizes(header: &[u8]) -> Option<(i64, i64)> {
    let mut bytes = header.iter().copied();
    let mut field = || {
        // The next field of the structure, a 32-bit number.
        if bytes.next()? != 0x15 {
            return None;
        }
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = bytes.next()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let magnitude = i64::try_from(value >> 1).ok()?;
                return Some(if value & 1 == 1 { -magnitude - 1 } else { magnitude });
            }
        }
        None
    };
    let _kind = field()?;
    Some((field()?, field()?))
}

/// Pages whose numbers of values fit into their bytes.
pub struct Pages(pub Box<dyn PageReader>);

impl Iterator for Pages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.0.get_next_page()?;
        // Each value of a dictionary of texts has a length of four bytes.
        if let Some(Page::DictionaryPage { buf, num_values, .. }) = &page
            && *num_values as usize > buf.len() / 4
        {
            return Err(general("a dictionary claims more values than it has"));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.0.skip_next_page()
    }
}
