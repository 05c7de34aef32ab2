//! `mirror train`

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::unlabeled::{UnlabeledForm, UnlabeledReport, Views};
use sts_eval::{SentEval, Task};

use super::files::{self, add_model_folder};
use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{TrainingProgress, say};
use super::{Done, Ending, new_graphs, resume, text, usage};
use crate::builtin;
use crate::checkpoint::HeldOutScore;
use crate::checkpoint::configuration::write_configuration;
use crate::corpus::{Batching, Corpus, CorpusError, Entry, Format};
use crate::encoder::EncoderConfig;
use crate::hub::{self, ModelSource};
use crate::interrupt::Interrupt;
use crate::model_folder::SentenceFolder;
use crate::objective::registry::BuildContext;
use crate::output::{Inputs, OutputError, OutputFolder};
use crate::ownership;
use crate::quote::counted;
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::trainer::TrainOptions;
use crate::trainer::memory::{self, Estimate};
use crate::trainer::run::{Ended, FIRST_FILES, Ingredients, Outcome, check_fit, train};
use crate::unlabeled::{DEFAULT_MASK_SPAN, collapse, views};

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
    /// TOML file of settings; its keys are these flags, and flags on the command line win: what the file switches on,
    /// --no-pairs, --no-keep-best and --eval switch off
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Resume the run that was stopped or killed in this folder, exactly where it was, with its own settings; no
    /// other flag is needed
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

/// Without STS data one line in so many is held out, up to so many lines.
const HOLDOUT_SHARE: u64 = 20;
const MOST_HELD_OUT: u64 = 500;

impl Train {
    pub fn run(self) -> Done {
        let mut options = self.options;
        options.check().map_err(usage)?;
        let resumed = match &self.resume {
            Some(folder) => {
                let output = OutputFolder::reopen(folder);
                if resume::is_finished(folder) {
                    return resume::say_finished(folder);
                }
                options.output = Some(folder.clone());
                Some(output?)
            }
            None => {
                settle_places(&mut options)?;
                None
            }
        };
        let mut inputs = inputs(&options);
        inputs.refuse_streams()?;
        if let Some(folder) = &options.output {
            inputs.refuse("--output", folder)?;
            new_graphs::prepare(folder);
        }
        let machine = Machine { threads: options.threads, device: options.device.clone() };
        let device = machine.set_up()?;
        if self.resume.is_some() {
            // A run of a version that held nothing out.
            options.holdout.get_or_insert(0);
        }
        let corpus = open_corpus(&options)?;
        let (corpus, held_out) = hold_out(&mut options, corpus)?;
        let scored_on = scoring_task(&options)?;
        let files = ModelFiles::locate(&options.model)?;
        add_model_folder(&mut inputs, files.folder());
        // Old folders of sentence-transformers keep the transformer in a folder of its own.
        let transformer = SentenceFolder::read(files.folder())?.transformer_in(files.folder());
        let architecture = EncoderConfig::from_folder(&transformer)?.architecture;
        options.regularization.resolve(&BuildContext { architecture }).map_err(usage)?;
        let mut output = match resumed {
            Some(output) => output,
            None => OutputFolder::claim(options.output.as_deref(), options.overwrite, &FIRST_FILES)?,
        };
        refuse_others_files(&output, &inputs)?;
        options.output = Some(std::path::absolute(output.path())?);
        if self.resume.is_none() {
            // Before the model is loaded, so that a run killed while it loads can be resumed too.
            write_configuration(&options, output.work())?;
        }

        let overrides = Overrides { pooling: options.pooling.0, max_length: None };
        let model = SentenceEncoder::load(files.folder(), overrides, &device)?;
        check_fit(&options, &corpus, &model)?;
        let held_out = held_out_views(&options, &held_out, &corpus, &model)?;
        say(&Estimate::of(&options, &model, &corpus)?.sentence(memory::free_memory()));
        let mut progress = TrainingProgress::default();
        let interrupt = Interrupt::listen()?;
        let ingredients =
            Ingredients { options, corpus, model, model_folder: transformer, scored_on, held_out, interrupt };
        let ended = train(ingredients, &mut output, &mut progress);
        progress.clear();
        match ended.inspect_err(|error| resume::hint(error, &output))? {
            Ended::Finished(outcome) => {
                output.keep();
                if output.is_replacing() {
                    new_graphs::add(&output, &device)?;
                    output.complete(&owned(&output)?)?;
                }
                print_summary(&outcome, output.path())?;
                warn_of_collapse(&outcome);
                Ok(())
            }
            Ended::Stopped { signal, step } => Err(resume::stopped(signal, step, &output)),
        }
    }
}

/// What is read, as far as it is known before a model of the hub is located. A --config file is read before anything
/// else, and may be that of the run that is replaced.
fn inputs(options: &TrainOptions) -> Inputs {
    let mut inputs = Inputs::default();
    options.corpus.iter().for_each(|corpus| inputs.add("--corpus", corpus));
    options.data.iter().for_each(|folder| files::add_data(&mut inputs, folder));
    files::add_model(&mut inputs, &options.model);
    inputs
}

/// What of the output folder is an earlier run's or export's, and may be replaced.
fn owned(output: &OutputFolder) -> Result<BTreeSet<PathBuf>, OutputError> {
    let failed = |source| OutputError::Write { path: output.path().to_owned(), source };
    ownership::owned(output.path()).map_err(failed)
}

/// Refuses a folder in which a run would replace what is read, or what this program did not write.
fn refuse_others_files(output: &OutputFolder, inputs: &Inputs) -> Result<(), OutputError> {
    inputs.refuse("--output", output.path())?;
    if !output.is_replacing() {
        return Ok(());
    }
    let owned = owned(output)?;
    for file in &owned {
        inputs.refuse("the earlier run's", &output.path().join(file))?;
    }
    match ownership::taken(output.path(), &owned) {
        Some(path) => Err(OutputError::NotOurs(path)),
        None => Ok(()),
    }
}

/// Makes paths absolute and names the data that is found where --data does not say, so that the saved
/// configuration means the same from any folder.
fn settle_places(options: &mut TrainOptions) -> Result<(), Ending> {
    if options.data.is_none() && !options.no_eval && Path::new(DEFAULT_DATA).is_dir() {
        options.data = Some(DEFAULT_DATA.into());
    }
    if let Some(corpus) = options.corpus.as_deref().filter(|path| !text::is_stdin(Some(path))) {
        text::check_lasting("--corpus", corpus)?;
        options.corpus = Some(std::path::absolute(corpus)?);
    }
    if let Some(data) = &options.data {
        options.data = Some(std::path::absolute(data)?);
    }
    let output = std::path::absolute(options.output.as_deref().unwrap_or(Path::new(".")))?;
    for (flag, path) in
        [("--corpus", &options.corpus), ("--data", &options.data), ("--output", &Some(output))]
    {
        if let Some(path) = path.as_deref().filter(|path| path.to_str().is_none()) {
            return Err(usage(format!(
                "{flag} {}: this path is not UTF-8, and train.toml, where it is saved, can hold no other; rename it",
                path.display()
            )));
        }
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
        Some(path) => text::corpus(path, format),
        None if options.pairs => Err(usage("--pairs needs --corpus FILE with two columns")),
        None if options.model == crate::hub::BUILTIN => Ok(Corpus::from_text(builtin::CORPUS)?),
        None => Err(usage("--corpus FILE is needed: sentences to train on, one a line")),
    }
}

/// What is left of the corpus to train on, and the lines held out: as many as asked for, else (where nothing
/// but the corpus says how training went) a few. The number is settled in the options, which are saved.
fn hold_out(options: &mut TrainOptions, corpus: Corpus) -> Result<(Corpus, Vec<Entry>), Ending> {
    let asked = options.holdout.filter(|_| !options.no_eval);
    let own_corpus_alone = !options.no_eval && options.data.is_none() && options.corpus.is_some();
    let count = match asked {
        None if own_corpus_alone => (corpus.len() / HOLDOUT_SHARE).min(MOST_HELD_OUT),
        asked => asked.unwrap_or(0),
    };
    options.holdout = Some(0);
    if count < 2 {
        return Ok((corpus, Vec::new()));
    }
    let split = corpus.split_holdout(count, options.seed).and_then(|(rest, held_out)| {
        // A batch is full or not whatever the mask.
        let (batch_size, seed) = (options.batch_size, options.seed);
        rest.epoch(&Batching { batch_size, seed, mask_span: 0, mask_token: String::new() }, 0)?;
        Ok((rest, held_out))
    });
    match split {
        Ok(split) => {
            options.holdout = Some(count);
            Ok(split)
        }
        // Nobody asked for it, and the corpus is too small to spare any.
        Err(
            CorpusError::Holdout { .. } | CorpusError::BatchTooLarge { .. } | CorpusError::OneSentence { .. },
        ) if asked.is_none() => Ok((corpus, Vec::new())),
        Err(error) => Err(error.into()),
    }
}

/// Held-out lines and their views, if there are any.
fn held_out_views(
    options: &TrainOptions,
    held_out: &[Entry],
    corpus: &Corpus,
    model: &SentenceEncoder,
) -> Result<Option<Views>, Ending> {
    if held_out.is_empty() {
        return Ok(None);
    }
    let span = if options.mask_span == 0 { DEFAULT_MASK_SPAN } else { options.mask_span };
    let mask_token = match model.tokenizer.mask_token() {
        Ok(token) => token,
        Err(_) if options.pairs => "",
        Err(_) if options.mask_span == 0 => {
            say(
                "the model has no mask token, so lines are held out but not measured; --holdout 0 trains on them",
            );
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some(views(held_out, corpus.format(), span, mask_token, options.seed)))
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
    writeln!(out, "trained {} in {:.1} s", counted(outcome.steps, "step"), outcome.seconds)?;
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
    if let Some((before, after)) = before_and_after(outcome) {
        let named = |model: &str, score: &HeldOutScore| UnlabeledReport {
            model: model.to_owned(),
            unlabeled: score.unlabeled.clone(),
        };
        writeln!(out, "held-out lines:")?;
        UnlabeledForm::Table.write(&[named("before", before), named("after", after)], &mut out)?;
    }
    if outcome.saved_step != outcome.steps {
        writeln!(out, "kept the weights of step {}, which scored best", outcome.saved_step)?;
    }
    writeln!(out, "written to {}", output.display())?;
    Ok(())
}

/// What held-out lines said at the start, and of the weights that were saved.
fn before_and_after(outcome: &Outcome) -> Option<(&HeldOutScore, &HeldOutScore)> {
    let after = outcome.held_out.iter().find(|score| score.step == outcome.saved_step)?;
    Some((outcome.held_out.first()?, after))
}

fn warn_of_collapse(outcome: &Outcome) {
    let Some((before, after)) = before_and_after(outcome) else { return };
    if let Some(signs) = collapse(&before.unlabeled, &after.unlabeled) {
        say(&format!(
            "warning: the embeddings have collapsed: on held-out lines {signs}; train again with a lower \
             --learning-rate, or a larger --batch-size"
        ));
    }
}
