//! A run of pretraining as it will be made: its text, the lines held out, the model. Found out before anything is written
//! and before weights are read.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::PretrainOptions;
use crate::builtin;
use crate::corpus::{
    Batching, Corpus, CorpusError, CorpusOptions, Entry, EpochBatches, Format, check_lasting, is_stdin, list,
    settled,
};
use crate::encoder::EncoderConfig;
use crate::hub::{self, ModelSource};
use crate::model_folder::{ConfigError, SentenceFolder, SentenceFolderError};
use crate::objective::registry::BuildContext;
use crate::regularization::{InvalidRegularization, Resolved};

/// One line in so many is held out, up to so many lines.
const HOLDOUT_SHARE: u64 = 20;
const MOST_HELD_OUT: u64 = 500;

/// Why no run can be made of some settings.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum PretrainError {
    #[error(transparent)]
    Options(#[from] InvalidRegularization),
    #[error("mirror pretrain needs --corpus FILE: sentences to learn from, one a line")]
    NoCorpus,
    #[error(
        "--column, --field, --split-sentences, --min-chars and --dedup say how --corpus is read; give it too"
    )]
    ReadingWithoutCorpus,
    #[error(
        "mirror pretrain takes its text from files, so that a run can be resumed; write standard input to a file"
    )]
    Stdin,
    #[error("--early-stop and --keep-best go by held-out lines, and there are none; give --holdout N")]
    NothingHeldOut,
    #[error(
        "{flag} {}: this path is not UTF-8, and train.toml, where it is saved, can hold no other; rename it",
        path.display()
    )]
    NotUtf8 { flag: &'static str, path: PathBuf },
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Folder(#[from] SentenceFolderError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl PretrainError {
    /// Whether the settings themselves ask for what cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            PretrainError::Corpus(error) => error.is_usage(),
            PretrainError::Folder(_) | PretrainError::Config(_) | PretrainError::Io(_) => false,
            _ => true,
        }
    }
}

/// Everything that a run is made of, but for the weights.
pub struct PretrainPlan {
    pub(in crate::trainer) options: PretrainOptions,
    pub(in crate::trainer) regularization: Resolved,
    /// What is trained on: the corpus without what is held out.
    pub(in crate::trainer) corpus: Corpus,
    /// Lines that are kept out of training, to measure on.
    pub(in crate::trainer) held_out: Vec<Entry>,
    /// The first epoch, which shows that the corpus has a full batch.
    pub(in crate::trainer) first_epoch: EpochBatches,
    pub(in crate::trainer) model_folder: PathBuf,
}

impl PretrainPlan {
    /// Plans a run, new or resumed. `locate` brings the folder of the model of that name; it is asked once all else is
    /// known to be sound, since it may have to download.
    ///
    /// # Errors
    /// Settings that cannot be, files that cannot be read or do not make a batch, what `locate` says.
    pub fn find<E: From<PretrainError>>(
        options: PretrainOptions,
        locate: impl FnOnce(&str) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        let mut options = options.settled()?;
        let (corpus, held_out, first_epoch) = options.split()?;
        options.holdout = Some(held_out.len() as u64);
        if held_out.is_empty() && (options.early_stop.is_some() || options.keep_best) {
            return Err(PretrainError::NothingHeldOut.into());
        }
        let model_folder = locate(&options.model)?;
        let regularization = fit(&options, &model_folder)?;
        options.regularization = regularization.options();
        Ok(PretrainPlan { options, regularization, corpus, held_out, first_epoch, model_folder })
    }

    /// The run's settings, every default named: what train.toml holds.
    pub fn options(&self) -> &PretrainOptions {
        &self.options
    }

    /// The same run into another folder, which train.toml names.
    ///
    /// # Errors
    /// The folder has no absolute path.
    pub fn into_folder(self, output: &Path) -> Result<Self, PretrainError> {
        let output = Some(std::path::absolute(output)?);
        Ok(PretrainPlan { options: PretrainOptions { output, ..self.options }, ..self })
    }
}

impl PretrainOptions {
    /// Checks the settings and makes paths absolute, so that saved settings mean the same from any folder.
    ///
    /// # Errors
    /// Values that make no sense; paths that cannot be saved.
    pub fn settled(mut self) -> Result<Self, PretrainError> {
        self.check()?;
        if self.corpus.iter().any(|path| is_stdin(path)) {
            return Err(PretrainError::Stdin);
        }
        self.precision = self.precision.settled(&self.device);
        for corpus in &mut self.corpus {
            check_lasting("--corpus", corpus)?;
            *corpus = settled(corpus)?;
        }
        for path in [&mut self.log_dir, &mut self.output].into_iter().flatten() {
            *path = std::path::absolute(&path)?;
        }
        let corpora = self.corpus.iter().map(|path| ("--corpus", path));
        let folders = [("--log-dir", &self.log_dir), ("--output", &self.output)];
        let folders = folders.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
        if let Some((flag, path)) = corpora.chain(folders).find(|(_, path)| path.to_str().is_none()) {
            return Err(PretrainError::NotUtf8 { flag, path: path.clone() });
        }
        if let Ok(ModelSource::Folder(folder)) = hub::resolve(&self.model)
            && let Some(folder) = std::path::absolute(folder)?.to_str()
        {
            self.model = folder.to_owned();
        }
        Ok(self)
    }

    /// How batches of lines are dealt.
    pub(in crate::trainer) fn batching(&self) -> Batching {
        let (batch_size, seed) = (self.batch_size, self.seed);
        Batching { batch_size, seed, mask_span: 0, mask_token: String::new() }
    }

    fn open_corpus(&self) -> Result<Corpus, PretrainError> {
        match &self.corpus[..] {
            [] if self.reading != CorpusOptions::default() => Err(PretrainError::ReadingWithoutCorpus),
            [] if self.model == hub::BUILTIN => Ok(Corpus::from_text(builtin::CORPUS)?),
            [] => Err(PretrainError::NoCorpus),
            paths => {
                let listed = list("--corpus", paths, &self.reading)?;
                Ok(Corpus::read(listed, &self.reading, Format::Sentences)?)
            }
        }
    }

    /// What is trained on, the lines held out, and the first epoch.
    fn split(&self) -> Result<(Corpus, Vec<Entry>, EpochBatches), PretrainError> {
        let corpus = self.open_corpus()?;
        let count = self.holdout.unwrap_or((corpus.len() / HOLDOUT_SHARE).min(MOST_HELD_OUT));
        let whole = |corpus: Corpus| Ok((corpus.epoch(&self.batching(), 0)?, corpus, Vec::new()));
        let split = |corpus: Corpus| -> Result<_, CorpusError> {
            let (rest, held_out) = corpus.split_holdout(count, self.seed)?;
            Ok((rest.epoch(&self.batching(), 0)?, rest, held_out))
        };
        let found = match count {
            0 => whole(corpus),
            _ => match split(corpus.clone()) {
                // Nobody asked for it, and the corpus is too small to spare any.
                Err(CorpusError::Holdout { .. } | CorpusError::BatchTooLarge { .. })
                    if self.holdout.is_none() =>
                {
                    whole(corpus)
                }
                split => split,
            },
        };
        let (first_epoch, corpus, held_out) = found?;
        Ok((corpus, held_out, first_epoch))
    }
}

/// What the regularizers come to with this model.
fn fit(options: &PretrainOptions, model_folder: &Path) -> Result<Resolved, PretrainError> {
    let transformer = SentenceFolder::read(model_folder)?.transformer_in(model_folder);
    let config = EncoderConfig::from_folder(&transformer)?;
    let context = BuildContext { architecture: config.architecture };
    Ok(options.regularization.clone().resolve(&context)?)
}
