//! `mirror pretrain`

use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::{ArgMatches, Args};
use toml::Table;

use super::machine::Machine;
use super::progress::TrainingProgress;
use super::settings::{self, Sources};
use super::{Done, configuration, files, finetune, resume, train, usage};
use crate::interrupt::Interrupt;
use crate::output::{Inputs, OutputError, OutputFolder};
use crate::quote::counted;
use crate::trainer::event_log;
use crate::trainer::pretrain::{PretrainOptions, PretrainPlan};
use crate::trainer::run::{Ended, FIRST_FILES, Outcome, Run};

/// The command's name, for messages.
const COMMAND: &str = "pretrain";

/// Train a masked language model on with your own text, before mirror train or mirror finetune.
///
/// Some tokens of each sentence are masked, and the model learns to predict them. Every regularizer of mirror train works
/// here too. The output folder holds the model, as mirror train, mirror finetune and transformers' AutoModelForMaskedLM
/// load it, metrics.jsonl with every step and the perplexity on held-out lines, and train.toml with all settings.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Pretrain {
    #[command(flatten)]
    options: PretrainOptions,
    /// Print the settings that the run would have, with where each comes from, and end
    #[arg(long)]
    show: bool,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
    /// Resume the run that was stopped or killed in this folder, exactly where it was, with its own settings
    #[arg(long, value_name = "DIR", conflicts_with_all = ["show"])]
    resume: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  mirror pretrain --model bert-base-uncased --corpus sentences.txt --output domain
  mirror train --model domain --corpus sentences.txt --output encoder
  mirror pretrain --model roberta-base --corpus 'data/*.jsonl.gz' --field text --whole-words --epochs 3 --output domain
  mirror pretrain --model bert-base-uncased --corpus sentences.txt --reg delta-sam --eval-every 500 --keep-best
  mirror pretrain --resume domain";

impl Pretrain {
    pub fn run(self, matches: &ArgMatches) -> Done {
        match (self.resume.clone(), self.show) {
            (Some(folder), _) => self.resume(&folder, matches),
            (None, true) => self.show(matches),
            (None, false) => self.start(),
        }
    }

    /// What depends on the model and the corpus is not known yet.
    fn show(self, matches: &ArgMatches) -> Done {
        self.options.check().map_err(usage)?;
        let table = Table::try_from(self.options)?;
        let mut sources = Sources::new();
        if let Some(matches) = matches.subcommand_matches(COMMAND) {
            let given = configuration::given(matches);
            let on_command_line = table.keys().filter(|key| given(key));
            sources.extend(on_command_line.map(|key| (key.clone(), "command line".to_owned())));
        }
        settings::print(&table, &sources)
    }

    fn start(self) -> Done {
        let options = self.options.settled()?;
        let mut inputs = inputs(&options)?;
        if let Some(folder) = &options.log_dir {
            event_log::check(folder, options.overwrite)?;
        }
        let device = machine(&options).set_up_for(options.precision.precision())?;
        let mut files = None;
        let plan = PretrainPlan::find(options, |model| train::locate(model, &mut files, &mut inputs))?;
        let options = plan.options();
        let output = OutputFolder::claim(options.output.as_deref(), options.overwrite, &FIRST_FILES)?;
        train::refuse_others_files(&output, &inputs)?;
        let plan = plan.into_folder(output.path())?;
        // Before the model is loaded, so that a run killed while it loads can be resumed too.
        plan.begin(&output)?;
        make(plan, output, &device, self.json)
    }

    fn resume(self, folder: &Path, matches: &ArgMatches) -> Done {
        finetune::refuse_other_flags(matches, COMMAND)?;
        let output = OutputFolder::reopen(folder);
        if resume::is_finished(folder) {
            return resume::say_finished(folder);
        }
        let output = output?;
        let saved: PretrainOptions = finetune::saved(folder, COMMAND)?;
        let options = PretrainOptions { output: Some(folder.to_owned()), ..saved };
        let mut inputs = inputs(&options)?;
        let device = machine(&options).set_up_for(options.precision.precision())?;
        let mut files = None;
        let plan = PretrainPlan::find(options, |model| train::locate(model, &mut files, &mut inputs))?;
        train::refuse_others_files(&output, &inputs)?;
        make(plan.into_folder(output.path())?, output, &device, self.json)
    }
}

fn machine(options: &PretrainOptions) -> Machine {
    Machine { threads: options.threads, device: options.device.clone() }
}

/// What is read, as far as it is known before a model of the hub is located.
fn inputs(options: &PretrainOptions) -> Result<Inputs, OutputError> {
    let mut inputs = Inputs::default();
    files::add_texts(&mut inputs, "--corpus", &options.corpus, &options.reading);
    files::add_model(&mut inputs, &options.model);
    if let Some(folder) = &options.output {
        inputs.refuse("--output", folder)?;
    }
    options.log_dir.as_deref().map_or(Ok(()), |folder| inputs.refuse_within("--log-dir", folder))?;
    Ok(inputs)
}

/// Makes the run and reports what came of it.
fn make(plan: PretrainPlan, mut output: OutputFolder, device: &Device, as_json: bool) -> Done {
    let mut progress = TrainingProgress::default();
    let interrupt = Interrupt::listen()?;
    let ended = Run::open_masked(plan, &output, device, interrupt, &mut progress)
        .and_then(|run| run.train(&mut output, &mut progress));
    progress.clear();
    match ended.inspect_err(|error| resume::hint(error, &output, COMMAND))? {
        Ended::Finished(outcome) => {
            output.keep();
            if output.is_replacing() {
                output.complete(&train::owned(&output)?)?;
            }
            if as_json { print_json(&outcome, output.path()) } else { print_summary(&outcome, output.path()) }
        }
        Ended::Stopped { signal, step } => Err(resume::stopped(signal, step, &output, COMMAND)),
    }
}

fn print_json(outcome: &Outcome, output: &Path) -> Done {
    let report = serde_json::json!({
        "steps": outcome.steps,
        "saved_step": outcome.saved_step,
        "seconds": outcome.seconds,
        "output": output.display().to_string(),
        "evaluations": outcome.measured.perplexities,
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{report:#}")?;
    Ok(out.flush()?)
}

fn print_summary(outcome: &Outcome, output: &Path) -> Done {
    let mut out = std::io::stdout().lock();
    writeln!(out, "pretrained in {} and {:.1} s", counted(outcome.steps, "step"), outcome.seconds)?;
    if outcome.saved_step != outcome.steps {
        writeln!(out, "kept the weights of step {}, which scored best", outcome.saved_step)?;
    }
    let scores = &outcome.measured.perplexities;
    let after = scores.iter().find(|score| score.step == outcome.saved_step);
    if let (Some(before), Some(after)) = (scores.first(), after) {
        writeln!(out, "{:<24}{:>12}{:>12}", "held-out lines", "before", "after")?;
        writeln!(out, "  {:<22}{:>12.2}{:>12.2}", "perplexity", before.perplexity, after.perplexity)?;
        writeln!(out, "  {:<22}{:>12.4}{:>12.4}", "loss", before.masked_loss, after.masked_loss)?;
    }
    writeln!(out, "written to {}", output.display())?;
    Ok(())
}
