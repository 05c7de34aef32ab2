//! `--model`: a folder, builtin, or a Hugging Face id.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Ending, files, usage};
use crate::builtin;
use crate::hub::{self, DownloadBar, HubError, ModelSource};
use crate::output::{Inputs, OutputFile};
use crate::sentence_encoder::Loadable;

/// A model's files on disk.
pub struct ModelFiles {
    folder: PathBuf,
    /// Holds the unpacked built-in model as long as it is in use.
    _unpacked: Option<TempDir>,
}

impl ModelFiles {
    /// Finds the model, downloading it or unpacking the built-in one where needed.
    pub fn locate(model: &str) -> Result<Self, Ending> {
        let source = hub::resolve(model).map_err(|e| match e {
            HubError::NotAModel { .. } => usage(e),
            other => other.into(),
        })?;
        match source {
            ModelSource::Folder(folder) => Ok(ModelFiles { folder, _unpacked: None }),
            ModelSource::Builtin => {
                let unpacked = tempfile::Builder::new().prefix("mirror-builtin-").tempdir()?;
                builtin::unpack(unpacked.path())?;
                Ok(ModelFiles { folder: unpacked.path().to_owned(), _unpacked: Some(unpacked) })
            }
            ModelSource::Hub(id) => {
                let snapshot = hub::locate(&id, &Loadable, &mut DownloadBar::default())?;
                if let Some(warning) = &snapshot.note {
                    eprintln!("warning: {warning}");
                }
                Ok(ModelFiles { folder: snapshot.folder, _unpacked: None })
            }
        }
    }

    /// As [`ModelFiles::locate`], of a model that has none of `outputs` in its folder, which one of the hub has only now.
    pub fn locate_apart<'a>(
        model: &str,
        outputs: impl IntoIterator<Item = &'a OutputFile>,
    ) -> Result<Self, Ending> {
        let (files, mut inputs) = (Self::locate(model)?, Inputs::default());
        files::add_model_folder(&mut inputs, files.folder());
        outputs.into_iter().try_for_each(|file| file.check(&inputs))?;
        Ok(files)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
