//! What can go wrong on the way to the data sets, each in one sentence with what to do.

use std::io;
use std::path::PathBuf;

use crate::hub::HubError;
use crate::labelled::LabelledError;
use crate::output::OutputError;

#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum DatasetsError {
    #[error(transparent)]
    Hub(#[from] HubError),

    #[error(transparent)]
    Output(#[from] OutputError),

    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("{} is a folder; --from takes the archive senteval.tar", .0.display())]
    ArchiveIsFolder(PathBuf),

    #[error(
        "{archive} is not a tar archive (it begins with {start:?}): check that it is the right file, or HF_ENDPOINT where \
         it was downloaded"
    )]
    NotAnArchive { archive: String, start: String },

    #[error("{archive} is truncated or damaged after {after} ({source}): get it again")]
    Damaged { archive: String, after: String, source: io::Error },

    #[error(
        "{archive} has an entry {entry:?} that {why}: nothing was unpacked, since no data set has such an entry"
    )]
    Entry { archive: String, entry: String, why: &'static str },

    #[error(
        "{archive} holds an unexpected {file} (SHA-256 {got} instead of {expected}): it is damaged or of another \
         release, and nothing was unpacked"
    )]
    Checksum { archive: String, file: String, expected: String, got: String },

    #[error(
        "{archive} holds an unexpected {file} ({got} bytes instead of {expected}): it is damaged or of another \
         release, and nothing was unpacked"
    )]
    Length { archive: String, file: String, expected: u64, got: u64 },

    #[error(
        "{archive} lacks {count} of the {total} files of the data sets, among them {first}: it is truncated or another \
         archive, and nothing was unpacked"
    )]
    Lacks { archive: String, count: usize, total: usize, first: String },

    #[error(
        "{} is not empty and holds no file of the data sets, so it is left alone: choose another --output",
        .0.display()
    )]
    Foreign(PathBuf),

    #[error(
        "{} is not a folder; for GLUE --from takes a folder with the hub's Parquet files (mrpc/train-00000-of-00001.parquet \
         and so on)", .0.display()
    )]
    FromIsNoFolder(PathBuf),

    #[error(transparent)]
    Labelled(Box<LabelledError>),

    #[error(
        "{} has {found} examples, and GLUE's has {expected}: it is damaged or of another release, and nothing was written \
         of it", path.display()
    )]
    Examples { path: PathBuf, found: u64, expected: u64 },

    #[error("{} does not exist: fetch the data sets with mirror data fetch --output {}", .0.display(), .0.display())]
    NoFolder(PathBuf),
}

impl DatasetsError {
    /// Whether the archive is to blame, so that another copy of it may do.
    pub fn is_of_the_archive(&self) -> bool {
        use DatasetsError::{Checksum, Damaged, Entry, Lacks, Length, NotAnArchive};
        matches!(
            self,
            NotAnArchive { .. }
                | Damaged { .. }
                | Entry { .. }
                | Checksum { .. }
                | Length { .. }
                | Lacks { .. }
        )
    }
}
