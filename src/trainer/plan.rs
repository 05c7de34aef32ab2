//! A run as it will be made: what is trained on, what is held out, what is scored, from which model. Found out before
//! anything is written and before weights are read.

use std::path::{Path, PathBuf};

use sts_eval::{SentEval, Task};
use thiserror::Error;

use super::TrainOptions;
use super::prefixes::Prefixes;
use super::projection::Projection;
use crate::builtin;
use crate::corpus::{
    Batching, Corpus, CorpusError, CorpusOptions, Entry, EpochBatches, Format, check_lasting, list, settled,
};
use crate::encoder::EncoderConfig;
use crate::hub::{self, ModelSource};
use crate::model_folder::{ConfigError, SentenceFolder, SentenceFolderError};
use crate::objective::registry::BuildContext;
use crate::quote::quoted;
use crate::regularization::{InvalidRegularization, Resolved};

/// Where STS data is looked for when --data does not say.
pub const DEFAULT_DATA: &str = "data/sts";

/// Without STS data one line in so many is held out, up to so many lines.
const HOLDOUT_SHARE: u64 = 20;
const MOST_HELD_OUT: u64 = 500;

/// Why no run can be made of some settings.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum PlanError {
    #[error(transparent)]
    Options(#[from] InvalidRegularization),
    #[error("--pairs needs --corpus FILE with two columns")]
    PairsWithoutCorpus,
    #[error(
        "--column, --field, --split-sentences, --min-chars and --dedup say how --corpus is read; give it too"
    )]
    ReadingWithoutCorpus,
    #[error("--corpus FILE is needed: sentences to train on, one a line")]
    NoCorpus,
    #[error(
        "{flag} {}: this path is not UTF-8, and train.toml, where it is saved, can hold no other; rename it",
        path.display()
    )]
    NotUtf8 { flag: &'static str, path: PathBuf },
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Scores(#[from] sts_eval::Error),
    #[error(transparent)]
    Folder(#[from] SentenceFolderError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "--matryoshka lists {asked}, but embeddings of {} have {width} values; list widths up to that",
        quoted(model)
    )]
    PrefixTooWide { asked: usize, width: usize, model: String },
    #[error("--keep-head keeps the head of --head mlp; give that too, or leave --keep-head out")]
    NoHead,
    #[error(
        "--early-stop has nothing to go by: there are no STS data and no held-out lines; give --data DIR or --holdout N"
    )]
    NothingToStopBy,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl PlanError {
    /// Whether the settings themselves ask for what cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            PlanError::Corpus(error) => error.is_usage(),
            PlanError::Scores(_) | PlanError::Folder(_) | PlanError::Config(_) | PlanError::Io(_) => false,
            _ => true,
        }
    }
}

/// Everything that a run is made of, but for the weights. [`Run::open`](super::run::Run::open) makes it.
pub struct Plan {
    pub(super) options: TrainOptions,
    pub(super) regularization: Resolved,
    /// What is trained on: the corpus without what is held out.
    pub(super) corpus: Corpus,
    /// Lines that are kept out of training, to measure on.
    pub(super) held_out: Vec<Entry>,
    /// The first epoch, which shows that the corpus has a full batch. Its second views are not masked yet.
    pub(super) first_epoch: EpochBatches,
    /// The set that is scored before, during and after.
    pub(super) scored_on: Option<Task>,
    pub(super) model_folder: PathBuf,
    /// Where in the model's folder the transformer's files are.
    pub(super) transformer: PathBuf,
}

/// Plans a new run. `locate` brings the folder of the model of that name; it is asked once all else is known to be
/// sound, since it may have to download.
///
/// # Errors
/// Settings that cannot be, inputs that cannot be read or do not make a batch, what `locate` says.
pub fn plan<E: From<PlanError>>(
    options: TrainOptions,
    locate: impl FnOnce(&str) -> Result<PathBuf, E>,
) -> Result<Plan, E> {
    Plan::find(options.settled()?, locate)
}

/// Plans the rest of a run from the settings that it saved.
///
/// # Errors
/// As [`plan`].
pub fn plan_resumed<E: From<PlanError>>(
    mut options: TrainOptions,
    locate: impl FnOnce(&str) -> Result<PathBuf, E>,
) -> Result<Plan, E> {
    options.check().map_err(PlanError::from)?;
    // A run of a version that held nothing out.
    options.holdout.get_or_insert(0);
    Plan::find(options, locate)
}

impl Plan {
    fn find<E: From<PlanError>>(
        mut options: TrainOptions,
        locate: impl FnOnce(&str) -> Result<PathBuf, E>,
    ) -> Result<Plan, E> {
        if options.keep_head && options.head == Projection::None {
            return Err(PlanError::NoHead.into());
        }
        let corpus = open_corpus(&options)?;
        let Split { corpus, held_out, first_epoch } = hold_out(&options, corpus).map_err(PlanError::from)?;
        options.holdout = Some(held_out.len() as u64);
        let scored_on = scored_on(&options)?;
        if options.early_stop.is_some() && scored_on.is_none() && held_out.is_empty() {
            return Err(PlanError::NothingToStopBy.into());
        }
        let model_folder = locate(&options.model)?;
        let (transformer, regularization) = fit(&options, &model_folder)?;
        options.regularization = regularization.options();
        Ok(Plan {
            options,
            regularization,
            corpus,
            held_out,
            first_epoch,
            scored_on,
            model_folder,
            transformer,
        })
    }

    /// The run's settings, every default named: what train.toml holds.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The same run into another folder, which train.toml names.
    pub fn into_folder(self, output: &Path) -> Result<Plan, PlanError> {
        let output = Some(std::path::absolute(output)?);
        Ok(Plan { options: TrainOptions { output, ..self.options }, ..self })
    }
}

impl TrainOptions {
    /// Checks the settings, makes paths absolute, and names the data that is found where --data does not say and what
    /// an automatic precision comes to, so that saved settings mean the same from any folder and on any machine. Of
    /// settings that are settled it changes nothing.
    ///
    /// # Errors
    /// Values that make no sense; paths that cannot be saved.
    pub fn settled(mut self) -> Result<TrainOptions, PlanError> {
        self.check()?;
        if self.data.is_none() && !self.no_eval && Path::new(DEFAULT_DATA).is_dir() {
            self.data = Some(DEFAULT_DATA.into());
        }
        self.precision = self.precision.settled(&self.device);
        for corpus in &mut self.corpus {
            check_lasting("--corpus", corpus)?;
            *corpus = settled(corpus)?;
        }
        for path in [&mut self.data, &mut self.log_dir].into_iter().flatten() {
            *path = std::path::absolute(&path)?;
        }
        let output = std::path::absolute(self.output.as_deref().unwrap_or(Path::new(".")))?;
        let corpora = self.corpus.iter().map(|corpus| ("--corpus", corpus));
        let folders = [
            ("--data", self.data.as_ref()),
            ("--log-dir", self.log_dir.as_ref()),
            ("--output", Some(&output)),
        ];
        let folders = folders.into_iter().filter_map(|(flag, path)| Some((flag, path?)));
        if let Some((flag, path)) = corpora.chain(folders).find(|(_, path)| path.to_str().is_none()) {
            return Err(PlanError::NotUtf8 { flag, path: path.clone() });
        }
        if let Ok(ModelSource::Folder(folder)) = hub::resolve(&self.model)
            && let Some(folder) = std::path::absolute(folder)?.to_str()
        {
            self.model = folder.to_owned();
        }
        Ok(self)
    }
}

/// Where the transformer's files are, and what the regularizers come to with this model.
fn fit(options: &TrainOptions, model_folder: &Path) -> Result<(PathBuf, Resolved), PlanError> {
    // Old folders of sentence-transformers keep the transformer in a folder of its own.
    let described = SentenceFolder::read(model_folder)?;
    let transformer = described.transformer_in(model_folder);
    let config = EncoderConfig::from_folder(&transformer)?;
    check_prefixes(options, described.width(config.dimensions.hidden_size))?;
    let context = BuildContext { architecture: config.architecture };
    let regularization = options.regularization.clone().resolve(&context)?;
    Ok((transformer, regularization))
}

/// Refuses prefixes that are longer than embeddings of `width` values.
fn check_prefixes(options: &TrainOptions, width: usize) -> Result<(), PlanError> {
    match options.matryoshka.as_ref().map(Prefixes::widest) {
        Some(asked) if asked > width => {
            Err(PlanError::PrefixTooWide { asked, width, model: options.model.clone() })
        }
        _ => Ok(()),
    }
}

fn open_corpus(options: &TrainOptions) -> Result<Corpus, PlanError> {
    let format = if options.pairs { Format::Pairs } else { Format::Sentences };
    match &options.corpus[..] {
        [] if options.pairs => Err(PlanError::PairsWithoutCorpus),
        [] if options.reading != CorpusOptions::default() => Err(PlanError::ReadingWithoutCorpus),
        [] if options.model == hub::BUILTIN => Ok(Corpus::from_text(builtin::CORPUS)?),
        [] => Err(PlanError::NoCorpus),
        paths => {
            let listed = list("--corpus", paths, &options.reading)?;
            Ok(Corpus::read(listed, &options.reading, format)?)
        }
    }
}

/// A corpus in two parts.
struct Split {
    corpus: Corpus,
    held_out: Vec<Entry>,
    first_epoch: EpochBatches,
}

/// What is left of the corpus to train on, and the lines held out: as many as asked for, else (where nothing
/// but the corpus says how training went) a few.
fn hold_out(options: &TrainOptions, corpus: Corpus) -> Result<Split, CorpusError> {
    let asked = options.holdout.filter(|_| !options.no_eval);
    let own_corpus_alone = !options.no_eval && options.data.is_none() && !options.corpus.is_empty();
    let count = match asked {
        None if own_corpus_alone => (corpus.len() / HOLDOUT_SHARE).min(MOST_HELD_OUT),
        asked => asked.unwrap_or(0),
    };
    let split = |corpus: Corpus, held_out| {
        // A batch is full or not whatever the mask.
        let (batch_size, seed) = (options.batch_size, options.seed);
        let batching = Batching { batch_size, seed, mask_span: 0, mask_token: String::new() };
        Ok(Split { first_epoch: corpus.epoch(&batching, 0)?, corpus, held_out })
    };
    if count < 2 {
        return split(corpus, Vec::new());
    }
    match corpus.split_holdout(count, options.seed).and_then(|(rest, held_out)| split(rest, held_out)) {
        // Nobody asked for it, and the corpus is too small to spare any.
        Err(
            CorpusError::Holdout { .. } | CorpusError::BatchTooLarge { .. } | CorpusError::OneSentence { .. },
        ) if asked.is_none() => split(corpus, Vec::new()),
        done => done,
    }
}

/// STS-B dev where the data is, else the built-in pairs with the built-in model, else nothing.
fn scored_on(options: &TrainOptions) -> Result<Option<Task>, PlanError> {
    if options.no_eval {
        return Ok(None);
    }
    match &options.data {
        Some(folder) => Ok(Some(SentEval::open(folder)?.sts_b_dev()?)),
        None if options.model == hub::BUILTIN => Ok(Some(builtin::pairs()?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The built-in model's settings, planned as for a run of one's own corpus.
    fn planned(change: impl FnOnce(&mut TrainOptions)) -> Result<Plan, PlanError> {
        let folder = tempfile::tempdir().unwrap();
        let corpus = folder.path().join("corpus.txt");
        let lines: Vec<String> = (0..100).map(|i| format!("sentence number {i} of a hundred")).collect();
        std::fs::write(&corpus, lines.join("\n")).unwrap();
        let mut options: TrainOptions = crate::cli_defaults();
        (options.corpus, options.batch_size) = (vec![corpus], 20);
        change(&mut options);
        let model = tempfile::tempdir().unwrap();
        builtin::unpack(model.path()).unwrap();
        plan(options, |_| Ok(model.path().to_owned()))
    }

    #[test]
    fn every_default_is_named() {
        let plan = planned(|_| {}).unwrap();
        let options = plan.options();
        assert_eq!((options.holdout, plan.held_out.len(), plan.corpus.len()), (Some(5), 5, 95));
        assert_eq!(options.regularization.perturbation.rho, Some(0.05));
        assert_eq!(options.regularization.perturbation.beta, Some(3.0));
        assert_eq!(options.regularization.terms.r3f.r3f_eps, Some(5e-2));
        assert_eq!(plan.scored_on.as_ref().unwrap().name, builtin::PAIRS_NAME);
        // Settings that are settled mean the same when they are planned again.
        assert_eq!(options.clone().settled().unwrap(), *options);
    }

    #[test]
    fn nothing_is_held_out_of_a_corpus_that_cannot_spare_it() {
        let plan = planned(|options| options.batch_size = 98).unwrap();
        assert_eq!((plan.options().holdout, plan.corpus.len()), (Some(0), 100));
        let asked = planned(|options| (options.batch_size, options.holdout) = (98, Some(5)));
        assert!(matches!(asked, Err(PlanError::Corpus(CorpusError::BatchTooLarge { distinct: 95, .. }))));
    }

    #[test]
    fn what_cannot_be_is_refused_before_a_model_is_asked_for() {
        let mut options: TrainOptions = crate::cli_defaults();
        options.pairs = true;
        let refused = plan(options, |_| -> Result<PathBuf, PlanError> { panic!("located") });
        assert!(refused.is_err_and(|error| error.is_usage()));
    }
}
