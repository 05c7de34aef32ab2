//! Texts as people have them: files, folders and globs; plain, CSV, TSV, JSON lines and Parquet; compressed or piped.
//!
//! [`list()`] says which files a command line names. [`open`](opened::open) finds a file's form (its compression by its
//! first bytes, its form by its name) and gives its records, a row or line each, whichever form it is; a reader of a
//! form is a file here and an arm there. [`Stream`] cuts records into sentences, leaves out what is not wanted and
//! counts it. [`Corpus::read`](super::Corpus::read) writes that to a [`Spool`] once, and looks at it by offset.

mod compression;
mod csv;
mod error;
mod form;
mod json_lines;
mod json_row;
mod list;
mod named;
mod opened;
mod options;
mod parquet;
mod plain;
mod quiet;
mod record;
mod split;
mod spool;
mod stream;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod tsv;

pub use error::ReadingError;
pub(super) use form::Form;
pub use list::{Input, Listed, list, settled};
pub use named::{NamedRows, Place, Values, Wanted, Widths};
pub(super) use opened::is_plain_file;
pub use opened::open_named;
pub use options::{CorpusOptions, Dedup, one_or_many};
pub(super) use spool::{Spool, folder as spool_folder};
pub(super) use stream::{Blanks, Stream, is_long};
pub(super) use tally::Tally;
