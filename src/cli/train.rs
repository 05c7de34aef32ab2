//! `mirror train`

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;
use sts_eval::unlabeled::{UnlabeledForm, UnlabeledReport};

use super::files::{self, add_model_folder};
use super::machine::Machine;
use super::model::ModelFiles;
use super::presets::{self, Preset};
use super::progress::{TrainingProgress, say};
use super::{Done, Ending, new_graphs, resume, usage};
use crate::checkpoint::HeldOutScore;
use crate::corpus;
use crate::interrupt::Interrupt;
use crate::output::{Inputs, OutputError, OutputFolder};
use crate::ownership;
use crate::quote::counted;
use crate::trainer::plan::{Plan, plan, plan_resumed};
use crate::trainer::run::{Ended, FIRST_FILES, Outcome, Run};
use crate::trainer::{TrainOptions, event_log};
use crate::unlabeled::collapse;

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
    #[arg(long, visible_alias = "recipe", value_name = "NAME", help = presets::help())]
    pub preset: Option<Preset>,
    /// Print the settings that the run would have, as a file that --config takes, and end
    #[arg(long)]
    pub show: bool,
    /// Resume the run that was stopped or killed in this folder, exactly where it was, with its own settings; no
    /// other flag is needed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "preset", "show", "overwrite"])]
    pub resume: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  mirror train
  mirror train --model bert-base-uncased --corpus sentences.txt --output out
  mirror train --model bert-base-uncased --corpus 'data/*.jsonl.gz' --field text --min-chars 20 --dedup near
  mirror train --model ./my-roberta --corpus sentences.txt --reg delta-sam,r3f --epochs 2
  mirror train --preset word --corpus words.txt --model bert-base-uncased --output out
  mirror train --preset word --show
  mirror train --config out/train.toml --seed 43 --output out-43
  mirror train --resume out";

impl Train {
    pub fn run(self) -> Done {
        match self.resume.clone() {
            Some(folder) => self.resume(&folder),
            None => self.start(),
        }
    }

    fn start(self) -> Done {
        let options = self.options.settled()?;
        let mut inputs = inputs(&options)?;
        if let Some(folder) = &options.log_dir {
            event_log::check(folder, options.overwrite)?;
        }
        if let Some(folder) = &options.output {
            new_graphs::prepare(folder);
        }
        let device = machine(&options).set_up_for(options.precision.precision())?;
        let mut files = None;
        let plan = plan(options, |model| locate(model, &mut files, &mut inputs))?;
        let options = plan.options();
        refuse_logging_into(&inputs, options)?;
        let output = OutputFolder::claim(options.output.as_deref(), options.overwrite, &FIRST_FILES)?;
        refuse_others_files(&output, &inputs)?;
        let plan = plan.into_folder(output.path())?;
        // Before the model is loaded, so that a run killed while it loads can be resumed too.
        plan.begin(&output)?;
        make(plan, output, &device)
    }

    fn resume(self, folder: &Path) -> Done {
        let output = OutputFolder::reopen(folder);
        if resume::is_finished(folder) {
            return resume::say_finished(folder);
        }
        let output = output?;
        let options = TrainOptions { output: Some(folder.to_owned()), ..self.options };
        if options.corpus.iter().any(|path| corpus::is_stdin(path)) && std::io::stdin().is_terminal() {
            return Err(usage(format!(
                "the corpus of the run in {0} came from standard input; give it again: mirror train --resume {0} < FILE",
                folder.display()
            )));
        }
        let mut inputs = inputs(&options)?;
        new_graphs::prepare(folder);
        let device = machine(&options).set_up_for(options.precision.precision())?;
        let mut files = None;
        let plan = plan_resumed(options, |model| locate(model, &mut files, &mut inputs))?;
        refuse_logging_into(&inputs, plan.options())?;
        refuse_others_files(&output, &inputs)?;
        make(plan.into_folder(output.path())?, output, &device)
    }
}

fn machine(options: &TrainOptions) -> Machine {
    Machine { threads: options.threads, device: options.device.clone() }
}

/// Finds a model, whose `files` are to be kept as long as the run goes on.
pub(super) fn locate(
    model: &str,
    files: &mut Option<ModelFiles>,
    inputs: &mut Inputs,
) -> Result<PathBuf, Ending> {
    let folder = files.insert(ModelFiles::locate(model)?).folder();
    add_model_folder(inputs, folder);
    Ok(folder.to_owned())
}

/// Makes the run and reports what came of it.
fn make(plan: Plan, mut output: OutputFolder, device: &Device) -> Done {
    let mut progress = TrainingProgress::default();
    let interrupt = Interrupt::listen()?;
    let ended = Run::open(plan, &output, device, interrupt, &mut progress)
        .and_then(|run| run.train(&mut output, &mut progress));
    progress.clear();
    match ended.inspect_err(|error| resume::hint(error, &output, "train"))? {
        Ended::Finished(outcome) => {
            output.keep();
            if output.is_replacing() {
                new_graphs::add(&output, device)?;
                output.complete(&owned(&output)?)?;
            }
            print_summary(&outcome, output.path())?;
            warn_of_collapse(&outcome);
            Ok(())
        }
        Ended::Stopped { signal, step } => Err(resume::stopped(signal, step, &output, "train")),
    }
}

/// What is read, as far as it is known before a model of the hub is located. A --config file is read before anything
/// else, and may be that of the run that is replaced.
fn inputs(options: &TrainOptions) -> Result<Inputs, OutputError> {
    let mut inputs = Inputs::default();
    files::add_texts(&mut inputs, "--corpus", &options.corpus, &options.reading);
    options.data.iter().for_each(|folder| files::add_data(&mut inputs, "--data", folder));
    files::add_model(&mut inputs, &options.model);
    inputs.refuse_streams()?;
    if let Some(folder) = &options.output {
        inputs.refuse("--output", folder)?;
    }
    refuse_logging_into(&inputs, options)?;
    Ok(inputs)
}

/// Refuses a log in a folder that is read: a model's, a corpus's, one of STS data.
fn refuse_logging_into(inputs: &Inputs, options: &TrainOptions) -> Result<(), OutputError> {
    options.log_dir.as_deref().map_or(Ok(()), |folder| inputs.refuse_within("--log-dir", folder))
}

/// What of the output folder is an earlier run's or export's, and may be replaced.
pub(super) fn owned(output: &OutputFolder) -> Result<BTreeSet<PathBuf>, OutputError> {
    let failed = |source| OutputError::Write { path: output.path().to_owned(), source };
    ownership::owned(output.path()).map_err(failed)
}

/// Refuses a folder in which a run would replace what is read, or what this program did not write.
pub(super) fn refuse_others_files(output: &OutputFolder, inputs: &Inputs) -> Result<(), OutputError> {
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

fn print_summary(outcome: &Outcome, output: &Path) -> Done {
    let mut out = std::io::stdout().lock();
    writeln!(out, "trained {} in {:.1} s", counted(outcome.steps, "step"), outcome.seconds)?;
    if let (Some(before), Some(after)) = (
        outcome.measured.scores.first(),
        outcome.measured.scores.iter().find(|s| s.step == outcome.saved_step),
    ) {
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
    let after = outcome.measured.held_out.iter().find(|score| score.step == outcome.saved_step)?;
    Some((outcome.measured.held_out.first()?, after))
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
