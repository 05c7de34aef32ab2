//! `mirror train`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::{SentEval, Task};

use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{TrainingProgress, say};
use super::{Done, Ending, resume, usage};
use crate::builtin;
use crate::checkpoint::run_checkpoints::CHECKPOINTS;
use crate::checkpoint::write::{WEIGHTS, write_configuration};
use crate::corpus::{Corpus, Format};
use crate::encoder::EncoderConfig;
use crate::hub::{self, ModelSource};
use crate::interrupt::Interrupt;
use crate::objective::registry::BuildContext;
use crate::output::OutputFolder;
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::sentence_folder::SentenceFolder;
use crate::trainer::TrainOptions;
use crate::trainer::memory::{self, Estimate};
use crate::trainer::metrics::METRICS;
use crate::trainer::run::{Ended, Ingredients, Outcome, check_fit, train};

/// Train a sentence encoder from a masked language model and unlabeled sentences.
///
/// Without arguments, trains the small built-in model on the built-in sentences and shows what that
/// does to its scores, in under a minute. The output folder holds the encoder (as sentence-transformers
/// and transformers load it), metrics.jsonl with every step, and train.toml with all settings.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Train {
    #[command(flatten)]
    pub options: TrainOptions,
    /// TOML file of settings; its keys are these flags, and flags on the command line win
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on with the run that was stopped or killed in this folder, exactly where it was, with its own
    /// settings; no other flag is needed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "overwrite"])]
    pub resume: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  mirror train
  mirror train --model bert-base-uncased --corpus sentences.txt --output out
  mirror train --model ./my-roberta --corpus sentences.txt --reg delta-sam,r3f --epochs 2
  mirror train --config out/train.toml --seed 43 --output out-43
  mirror train --resume out";

/// Where STS data is looked for when --data does not say.
pub const DEFAULT_DATA: &str = "data/sts";

impl Train {
    pub fn run(self) -> Done {
        let mut options = self.options;
        options.check().map_err(usage)?;
        match &self.resume {
            Some(folder) if resume::is_finished(folder) => return resume::say_finished(folder),
            Some(folder) => options.output = Some(folder.clone()),
            None => settle_places(&mut options)?,
        }
        let machine = Machine { threads: options.threads, device: options.device.clone() };
        let device = machine.set_up()?;
        let corpus = open_corpus(&options)?;
        let scored_on = scoring_task(&options)?;
        let files = ModelFiles::locate(&options.model)?;
        // Old folders of sentence-transformers keep the transformer in a folder of its own.
        let transformer = SentenceFolder::read(files.folder())?.transformer_in(files.folder());
        let architecture = EncoderConfig::from_folder(&transformer)?.architecture;
        options.regularization.resolve(&BuildContext { architecture }).map_err(usage)?;
        let mut output = match &self.resume {
            Some(folder) => OutputFolder::reopen(folder)?,
            None => OutputFolder::claim(options.output.as_deref(), options.overwrite)?,
        };
        options.output = Some(std::path::absolute(output.path())?);
        if !output.is_filled() {
            // Before the model is loaded, so that a run killed while it loads can be resumed too.
            write_configuration(&options, output.path())?;
        }

        let overrides = Overrides { pooling: options.pooling.0, max_length: None };
        let model = SentenceEncoder::load(files.folder(), overrides, &device)?;
        check_fit(&options, &corpus, &model)?;
        if output.is_filled() && self.resume.is_none() {
            output.remove(&[WEIGHTS, CHECKPOINTS, METRICS])?;
            write_configuration(&options, output.path())?;
        }
        say(&Estimate::of(&options, &model, &corpus)?.sentence(memory::free()));
        let mut progress = TrainingProgress::default();
        let interrupt = Interrupt::listen()?;
        let ingredients =
            Ingredients { options, corpus, model, model_folder: transformer, scored_on, interrupt };
        let ended = train(ingredients, &mut output, &mut progress);
        progress.clear();
        match ended.inspect_err(|error| resume::hint(error, output.path()))? {
            Ended::Finished(outcome) => {
                output.keep();
                print_summary(&outcome, output.path())
            }
            Ended::Stopped { signal, step } => Err(resume::stopped(signal, step, output.path())),
        }
    }
}

/// Makes paths absolute and names the data that is found where --data does not say, so that the saved
/// configuration means the same from any folder.
fn settle_places(options: &mut TrainOptions) -> Result<(), Ending> {
    if options.data.is_none() && !options.no_eval && Path::new(DEFAULT_DATA).is_dir() {
        options.data = Some(DEFAULT_DATA.into());
    }
    for path in [&mut options.corpus, &mut options.data].into_iter().flatten() {
        *path = std::path::absolute(&path)?;
    }
    if let Ok(ModelSource::Folder(folder)) = hub::resolve(&options.model)
        && let Some(folder) = std::path::absolute(folder)?.to_str()
    {
        options.model = folder.to_owned();
    }
    Ok(())
}

fn open_corpus(options: &TrainOptions) -> Result<Corpus, Ending> {
    let format = if options.pairs { Format::Pairs } else { Format::Sentences };
    match &options.corpus {
        Some(path) => Ok(Corpus::open(path, format)?),
        None if options.pairs => Err(usage("--pairs needs --corpus FILE with two columns")),
        None if options.model == crate::hub::BUILTIN => Ok(Corpus::from_text(builtin::CORPUS)?),
        None => Err(usage("--corpus FILE is needed: sentences to train on, one a line")),
    }
}

/// STS-B dev where the data is, else the built-in pairs with the built-in model, else nothing.
fn scoring_task(options: &TrainOptions) -> Result<Option<Task>, Ending> {
    if options.no_eval {
        return Ok(None);
    }
    match &options.data {
        Some(folder) => Ok(Some(SentEval::open(folder)?.sts_b_dev()?)),
        None if options.model == crate::hub::BUILTIN => Ok(Some(builtin::pairs()?)),
        None => Ok(None),
    }
}

fn print_summary(outcome: &Outcome, output: &Path) -> Done {
    let mut out = std::io::stdout().lock();
    writeln!(out, "trained {} steps in {:.1} s", outcome.steps, outcome.seconds)?;
    if let (Some(before), Some(after)) =
        (outcome.scores.first(), outcome.scores.iter().find(|s| s.step == outcome.saved_step))
    {
        let shown = |s: Option<f64>| s.map_or("undefined".into(), |s| format!("{s:.2}"));
        writeln!(
            out,
            "{}: {} before, {} after (Spearman × 100)",
            before.set,
            shown(before.spearman),
            shown(after.spearman)
        )?;
    }
    if outcome.saved_step != outcome.steps {
        writeln!(out, "kept the weights of step {}, which scored best", outcome.saved_step)?;
    }
    writeln!(out, "written to {}", output.display())?;
    Ok(())
}
