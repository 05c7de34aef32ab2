//! Where `mirror export` writes: a folder of its own, or the model's, which gets graphs and is not changed otherwise.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Done, Ending, failure, usage};
use crate::checkpoint::configuration::CONFIGURATION;
use crate::checkpoint::run_checkpoints::CHECKPOINTS;
use crate::hub::{self, ModelSource};
use crate::model_folder::SentenceFolder;
use crate::model_folder::weights::files::weights_in;
use crate::output::written::{LIST, Written, files_below};
use crate::output::{Identity, Inputs, OutputError, StagedFolder};
use crate::ownership::{self, CARD};
use crate::trainer::metrics::METRICS;

pub enum Place {
    /// Absent, empty, or with an earlier export in it; these are its files.
    Own { replaces: BTreeSet<PathBuf> },
    /// The model's own folder, and what in it is this program's.
    Model { owned: BTreeSet<PathBuf> },
}

impl Place {
    /// Refuses a folder in which something would be lost. With `changes_model` the graphs will not be those of the
    /// model as its folder has it.
    pub fn of(output: &Path, model: &str, inputs: &Inputs, changes_model: bool) -> Result<Self, Ending> {
        let of_model = match hub::resolve(model) {
            Ok(ModelSource::Folder(folder)) => {
                (Identity::of(&folder) == Identity::of(output)).then_some(folder)
            }
            _ => None,
        };
        let Some(folder) = of_model else {
            inputs.refuse("--output", output)?;
            return Place::Own { replaces: BTreeSet::new() }.under_lock(output);
        };
        let shown = output.display();
        if changes_model {
            return Err(usage(format!(
                "--output {shown} is the model's own folder, whose graphs must match its weights: leave out --pooling, \
                 --max-length, --normalize and --no-normalize, or choose another --output"
            )));
        }
        if !SentenceFolder::read(&folder)?.transformer.as_os_str().is_empty() {
            return Err(usage(format!(
                "--output {shown} is the model's own folder, and keeps its transformer in a folder below; choose another \
                 --output"
            )));
        }
        Place::Model { owned: BTreeSet::new() }.under_lock(output)
    }

    /// The same, of what is in the folder now.
    pub fn under_lock(self, output: &Path) -> Result<Self, Ending> {
        let failed = |source| OutputError::Write { path: output.to_owned(), source };
        if !output.is_dir() {
            return Ok(self);
        }
        let mut owned = ownership::owned(output).map_err(failed)?;
        if let Place::Model { .. } = self {
            return Ok(Place::Model { owned });
        }
        if let Some(weights) = weights_in(output) {
            let weights = weights.display();
            return Err(failure(format!(
                "{weights} belongs to a model that this export is not of; choose another --output"
            )));
        }
        // Of a run of training that is not finished.
        owned.retain(|file| {
            !file.starts_with(CHECKPOINTS)
                && ![CONFIGURATION, METRICS].iter().any(|name| file == Path::new(name))
        });
        Ok(Place::Own { replaces: owned })
    }

    /// Whether a model card is to be written: one that the user wrote knows more.
    pub fn takes_card(&self, output: &Path) -> bool {
        match self {
            Place::Own { replaces } => {
                replaces.contains(Path::new(CARD)) || output.join(CARD).symlink_metadata().is_err()
            }
            Place::Model { .. } => false,
        }
    }

    /// Puts what is staged into its place, with a list of it.
    pub fn publish(self, staged: StagedFolder, output: &Path) -> Done {
        let failed = |source| OutputError::Write { path: output.to_owned(), source };
        let files = files_below(staged.path()).map_err(failed)?;
        match self {
            Place::Own { replaces } => {
                Written::of(staged.path(), files).map_err(failed)?.save(staged.path())?;
                staged.publish(&replaces)?;
            }
            Place::Model { owned } => {
                // The rest was there for the graphs to be tried with.
                let (graphs, rest): (Vec<_>, Vec<_>) =
                    files.into_iter().partition(|file| file.starts_with("onnx"));
                rest.iter()
                    .try_for_each(|file| std::fs::remove_file(staged.path().join(file)))
                    .map_err(failed)?;
                let mut replaces = ownership::owned_graphs(output).map_err(failed)?;
                let stays =
                    owned.into_iter().filter(|file| !replaces.contains(file) && file != Path::new(LIST));
                let mut list = Written::of(output, stays).map_err(failed)?;
                list.add(Written::of(staged.path(), graphs).map_err(failed)?);
                list.save(staged.path())?;
                replaces.insert(PathBuf::from(LIST));
                staged.publish_into(&replaces)?;
            }
        }
        Ok(())
    }
}
