//! A run of fine-tuning as it will be made: examples, sets to be scored on, the model. Found out before anything is
//! written and before weights are read.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::FinetuneOptions;
use crate::encoder::EncoderConfig;
use crate::hub::{self, ModelSource};
use crate::labelled::{Dataset, LabelledError, Metric, Task};
use crate::model_folder::{ConfigError, SentenceFolder, SentenceFolderError};
use crate::objective::registry::BuildContext;
use crate::regularization::{InvalidRegularization, Resolved};

/// Where GLUE's tasks are looked for when --data does not say.
pub const DEFAULT_DATA: &str = "data/glue";

/// Why no run can be made of some settings.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum FinetuneError {
    #[error(transparent)]
    Options(#[from] InvalidRegularization),
    #[error(
        "mirror finetune needs --task TASK (with --data DIR), or --train FILE and --dev FILE with your own examples"
    )]
    NoExamples,
    #[error("--task {task} needs --data DIR, a folder of GLUE's tasks; there is no {DEFAULT_DATA} here")]
    NoData { task: String },
    #[error(
        "{flag} {}: this path is not UTF-8, and train.toml, where it is saved, can hold no other; rename it",
        path.display()
    )]
    NotUtf8 { flag: &'static str, path: PathBuf },
    #[error(transparent)]
    Labelled(#[from] LabelledError),
    #[error(transparent)]
    Folder(#[from] SentenceFolderError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl FinetuneError {
    /// Whether the settings themselves ask for what cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            FinetuneError::Options(_) | FinetuneError::NoExamples | FinetuneError::NoData { .. } => true,
            FinetuneError::NotUtf8 { .. } => true,
            FinetuneError::Labelled(error) => error.is_usage(),
            _ => false,
        }
    }
}

/// Everything that a run is made of, but for the weights.
pub struct FinetunePlan {
    pub(in crate::trainer) options: FinetuneOptions,
    pub(in crate::trainer) regularization: Resolved,
    pub(in crate::trainer) examples: Examples,
    pub(in crate::trainer) model_folder: PathBuf,
}

/// What is learned from, and what is scored on.
pub(in crate::trainer) struct Examples {
    pub train: Dataset,
    /// With the names that tables have for them; the first keeps the best weights.
    pub dev: Vec<(String, Dataset)>,
    /// What sets are scored by.
    pub metrics: Vec<Metric>,
    /// That by which weights are kept.
    pub keeps_best: Metric,
}

impl FinetunePlan {
    /// Plans a run, new or resumed. `locate` brings the folder of the model of that name; it is asked once all else is
    /// known to be sound, since it may have to download.
    ///
    /// # Errors
    /// Settings that cannot be, files that cannot be read, what `locate` says.
    pub fn find<E: From<FinetuneError>>(
        options: FinetuneOptions,
        locate: impl FnOnce(&str) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        let mut options = options.settled()?;
        let examples = Examples::read(&options)?;
        let model_folder = locate(&options.model)?;
        let regularization = fit(&options, &model_folder)?;
        options.regularization = regularization.options();
        Ok(FinetunePlan { options, regularization, examples, model_folder })
    }

    /// The run's settings, every default named: what train.toml holds.
    pub fn options(&self) -> &FinetuneOptions {
        &self.options
    }

    /// The same run into another folder, which train.toml names.
    ///
    /// # Errors
    /// The folder has no absolute path.
    pub fn into_folder(self, output: &Path) -> Result<Self, FinetuneError> {
        let output = Some(std::path::absolute(output)?);
        Ok(FinetunePlan { options: FinetuneOptions { output, ..self.options }, ..self })
    }
}

impl FinetuneOptions {
    /// Checks the settings, makes paths absolute, and names the data that is found where --data does not say, so that
    /// saved settings mean the same from any folder.
    ///
    /// # Errors
    /// Values that make no sense; paths that cannot be saved.
    pub fn settled(mut self) -> Result<Self, FinetuneError> {
        self.check()?;
        match (&self.task, &self.train) {
            (None, None) => return Err(FinetuneError::NoExamples),
            (Some(task), _) if self.data.is_none() => {
                if !Path::new(DEFAULT_DATA).is_dir() {
                    return Err(FinetuneError::NoData { task: task.clone() });
                }
                self.data = Some(DEFAULT_DATA.into());
            }
            _ => {}
        }
        self.precision = self.precision.settled(&self.device);
        let paths = [
            ("--data", &mut self.data),
            ("--train", &mut self.train),
            ("--dev", &mut self.dev),
            ("--log-dir", &mut self.log_dir),
            ("--output", &mut self.output),
        ];
        for (flag, path) in paths {
            let Some(path) = path else { continue };
            *path = std::path::absolute(&path)?;
            if path.to_str().is_none() {
                return Err(FinetuneError::NotUtf8 { flag, path: path.clone() });
            }
        }
        if let Ok(ModelSource::Folder(folder)) = hub::resolve(&self.model)
            && let Some(folder) = std::path::absolute(folder)?.to_str()
        {
            self.model = folder.to_owned();
        }
        Ok(self)
    }
}

impl Examples {
    fn read(options: &FinetuneOptions) -> Result<Self, FinetuneError> {
        match (&options.task, &options.data, &options.train, &options.dev) {
            (Some(task), Some(data), ..) => {
                let task = Task::named(task)?;
                let dev = task.dev(data)?.into_iter();
                let named = |set: &str| match task.dev_sets.len() {
                    1 => format!("{} {set}", task.name),
                    _ => format!("{} {}", task.name, set.replace('_', " ")),
                };
                Ok(Examples {
                    train: task.train(data)?,
                    dev: dev.map(|(set, dataset)| (named(set), dataset)).collect(),
                    metrics: task.metrics.to_vec(),
                    keeps_best: task.keeps_best,
                })
            }
            (None, None, Some(train), Some(dev)) => {
                let train = options.reading.read_train(train)?;
                let dev = options.reading.read_dev(dev, &train)?;
                let metrics = train.kind.metrics().to_vec();
                Ok(Examples { keeps_best: metrics[0], metrics, dev: vec![("dev".to_owned(), dev)], train })
            }
            _ => Err(FinetuneError::NoExamples),
        }
    }
}

/// What the regularizers come to with this model.
fn fit(options: &FinetuneOptions, model_folder: &Path) -> Result<Resolved, FinetuneError> {
    let transformer = SentenceFolder::read(model_folder)?.transformer_in(model_folder);
    let config = EncoderConfig::from_folder(&transformer)?;
    let context = BuildContext { architecture: config.architecture };
    Ok(options.regularization.clone().resolve(&context)?)
}
