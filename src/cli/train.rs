//! `mirror train`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::{SentEval, Task};

use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::TrainingProgress;
use super::{Done, Ending, usage};
use crate::builtin;
use crate::corpus::{Corpus, Format};
use crate::encoder::EncoderConfig;
use crate::objective::registry::BuildContext;
use crate::output::OutputFolder;
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::trainer::TrainOptions;
use crate::trainer::run::{Ingredients, Outcome, train};

/// Train a sentence encoder from a masked language model and unlabeled sentences.
///
/// Without arguments, trains the small built-in model on the built-in sentences and shows what that
/// does to its scores, in under a minute. The output folder holds the encoder (as sentence-transformers
/// and transformers load it), metrics.jsonl with every step, and train.toml with all settings.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Train {
    #[command(flatten)]
    options: TrainOptions,
    /// TOML file of settings; its keys are these flags, and flags on the command line win
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  mirror train
  mirror train --model bert-base-uncased --corpus sentences.txt --output out
  mirror train --model ./my-roberta --corpus sentences.txt --reg delta-sam,r3f --epochs 2
  mirror train --config out/train.toml --seed 43 --output out-43";

/// Where STS data is looked for when --data does not say.
pub const DEFAULT_DATA: &str = "data/sts";

impl Train {
    pub fn run(self) -> Done {
        let mut options = self.options;
        options.check().map_err(usage)?;
        let machine = Machine { threads: options.threads, device: options.device.clone() };
        let device = machine.set_up()?;
        let corpus = open_corpus(&options)?;
        let scored_on = scoring_task(&options)?;
        let files = ModelFiles::locate(&options.model)?;
        let architecture = EncoderConfig::from_folder(files.folder())?.architecture;
        options.regularization.resolve(&BuildContext { architecture }).map_err(usage)?;
        let mut output = OutputFolder::claim(options.output.as_deref(), options.overwrite)?;
        options.output = Some(output.path().to_owned());
        let overrides = Overrides { pooling: options.pooling.0, max_length: None };
        let model = SentenceEncoder::load(files.folder(), overrides, &device)?;
        let mut progress = TrainingProgress::default();
        let model_folder = files.folder().to_owned();
        let ingredients = Ingredients { options, corpus, model, model_folder, scored_on };
        let outcome = train(ingredients, output.path(), &mut progress);
        progress.clear();
        let outcome = outcome?;
        output.keep();
        print_summary(&outcome, output.path())
    }
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
    let folder =
        options.data.clone().or_else(|| Path::new(DEFAULT_DATA).is_dir().then(|| DEFAULT_DATA.into()));
    match folder {
        Some(folder) => Ok(Some(SentEval::open(&folder)?.sts_b_dev()?)),
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
