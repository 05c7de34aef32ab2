//! Public data sets in a folder: those of STS, fetched as one archive, unpacked with care, and checked file by file, and
//! GLUE's tasks.
//!
//! What a complete folder holds stands in a [`Manifest`] (`data/sts.manifest`): the files that the evaluator reads, with
//! their sizes and SHA-256. An archive comes from strangers: [`unpack`] takes the manifest's files out of it and believes
//! nothing else that it holds. [`fetch()`] brings a folder to the manifest's state, [`check()`] reports what is missing.
//! [`fetch_glue`] and [`check_glue`] do so with GLUE's tasks, which are held against GLUE's sizes.

mod archive;
mod check;
mod error;
mod fetch;
mod glue;
mod manifest;

pub use archive::unpack;
pub use check::{Checked, SetState, check};
pub use error::DatasetsError;
pub use fetch::{ARCHIVE, Fetched, REPOSITORY, fetch};
pub use glue::{
    DEFAULT_GLUE, GLUE_REPOSITORY, GlueChecked, GlueFetched, GlueFile, GlueState, check_glue, fetch_glue,
};
pub use manifest::{Manifest, ManifestFile};
