//! `mirror finetune`

use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use serde::de::DeserializeOwned;
use toml::Table;

use super::files;
use super::machine::Machine;
use super::progress::TrainingProgress;
use super::settings::{self, Sources};
use super::task_presets::{self, TaskPreset};
use super::{Done, Ending, configuration, resume, train, usage};
use crate::checkpoint::TaskScore;
use crate::checkpoint::configuration::CONFIGURATION;
use crate::interrupt::Interrupt;
use crate::output::{Inputs, OutputError, OutputFolder, run_folder};
use crate::quote::{counted, reason};
use crate::trainer::event_log;
use crate::trainer::labels::{FinetuneOptions, FinetunePlan};
use crate::trainer::run::{Ended, FIRST_FILES, Outcome, Run};

/// The command's name, for messages.
const COMMAND: &str = "finetune";

/// Train a model with a head on labelled texts or pairs: to classify them, or to give each a value.
///
/// Every regularizer of mirror train works here too. The output folder holds the model, as transformers'
/// AutoModelForSequenceClassification loads it, metrics.jsonl with every step and score, and train.toml with all
/// settings.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Finetune {
    #[command(flatten)]
    options: FinetuneOptions,
    #[arg(long, visible_alias = "recipe", value_name = "NAME", requires = "task", help = task_presets::help())]
    preset: Option<TaskPreset>,
    /// Print the settings that the run would have, with where each comes from, and end
    #[arg(long)]
    show: bool,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
    /// Resume the run that was stopped or killed in this folder, exactly where it was, with its own settings
    #[arg(long, value_name = "DIR", conflicts_with_all = ["preset", "show"])]
    resume: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  mirror finetune --task RTE --data data/glue --model bert-base-uncased --output rte
  mirror finetune --task MRPC --data data/glue --model roberta-base --reg delta-sam --rho 0.02 --output mrpc
  mirror finetune --task RTE --preset paper --reg delta-sam --model bert-base-uncased --keep-best --output rte
  mirror finetune --task RTE --preset paper --show
  mirror finetune --train train.csv --dev dev.csv --model bert-base-uncased --epochs 5 --keep-best --output mine
  mirror finetune --resume rte";

impl Finetune {
    pub fn run(self, matches: &ArgMatches) -> Done {
        match self.resume.clone() {
            Some(folder) => self.resume(&folder, matches),
            None => {
                let (finetune, sources) = self.with_preset(matches)?;
                match finetune.show {
                    true => finetune.show(&sources),
                    false => finetune.start(),
                }
            }
        }
    }

    /// Adds the settings of a preset, which flags override, and says which are from where.
    fn with_preset(self, matches: &ArgMatches) -> Result<(Self, Sources), Ending> {
        let Some(matches) = matches.subcommand_matches(COMMAND) else { return Ok((self, Sources::new())) };
        let given = configuration::given(matches);
        let (options, mut sources) = match self.preset {
            Some(preset) => preset.apply(self.options, &given)?,
            None => (self.options, Sources::new()),
        };
        let all = Table::try_from(&options)?;
        let on_command_line = all.keys().filter(|key| given(key));
        sources.extend(on_command_line.map(|key| (key.clone(), "command line".to_owned())));
        Ok((Finetune { options, ..self }, sources))
    }

    /// What depends on the model is not known yet.
    fn show(self, sources: &Sources) -> Done {
        self.options.check().map_err(usage)?;
        settings::print(&Table::try_from(self.options)?, sources)
    }

    fn start(self) -> Done {
        let options = self.options.settled()?;
        let mut inputs = inputs(&options)?;
        if let Some(folder) = &options.log_dir {
            event_log::check(folder, options.overwrite)?;
        }
        let device = machine(&options).set_up_for(options.precision.precision())?;
        let mut files = None;
        let plan = FinetunePlan::find(options, |model| train::locate(model, &mut files, &mut inputs))?;
        let options = plan.options();
        let output = OutputFolder::claim(options.output.as_deref(), options.overwrite, &FIRST_FILES)?;
        train::refuse_others_files(&output, &inputs)?;
        let plan = plan.into_folder(output.path())?;
        // Before the model is loaded, so that a run killed while it loads can be resumed too.
        plan.begin(&output)?;
        make(plan, output, &device, self.json)
    }

    fn resume(self, folder: &Path, matches: &ArgMatches) -> Done {
        refuse_other_flags(matches, COMMAND)?;
        let output = OutputFolder::reopen(folder);
        if resume::is_finished(folder) {
            return resume::say_finished(folder);
        }
        let output = output?;
        let options = FinetuneOptions { output: Some(folder.to_owned()), ..saved(folder, COMMAND)? };
        let mut inputs = inputs(&options)?;
        let device = machine(&options).set_up_for(options.precision.precision())?;
        let mut files = None;
        let plan = FinetunePlan::find(options, |model| train::locate(model, &mut files, &mut inputs))?;
        train::refuse_others_files(&output, &inputs)?;
        make(plan.into_folder(output.path())?, output, &device, self.json)
    }
}

/// Refuses flags on the command line beside --resume and --json.
pub(super) fn refuse_other_flags(matches: &ArgMatches, command: &str) -> Done {
    let Some(given) = matches.subcommand_matches(command) else { return Ok(()) };
    let is_flag = |id: &&str| given.value_source(id) == Some(ValueSource::CommandLine);
    let ids = given.ids().map(clap::Id::as_str).filter(is_flag);
    // Groups of flags have names of types.
    let mut flags = ids.filter(|id| !["resume", "json"].contains(id) && !id.starts_with(char::is_uppercase));
    let Some(flag) = flags.next().map(|id| id.replace('_', "-")) else { return Ok(()) };
    Err(usage(format!(
        "--resume takes up a run with its own settings, which --{flag} could contradict; leave it out"
    )))
}

/// The settings that a run of a command saved.
pub(super) fn saved<T: DeserializeOwned>(folder: &Path, command: &str) -> Result<T, Ending> {
    let (path, shown) = (run_folder(folder).join(CONFIGURATION), folder.display());
    if !path.is_file() {
        return Err(usage(format!(
            "--resume {shown}: it has no {CONFIGURATION}, so no run of mirror {command} began there"
        )));
    }
    let text =
        std::fs::read_to_string(&path).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let why = reason(error.message());
        usage(format!("--resume {shown}: its {CONFIGURATION} holds no settings of mirror {command} ({why})"))
    })
}

fn machine(options: &FinetuneOptions) -> Machine {
    Machine { threads: options.threads, device: options.device.clone() }
}

/// What is read, as far as it is known before a model of the hub is located.
fn inputs(options: &FinetuneOptions) -> Result<Inputs, OutputError> {
    let mut inputs = Inputs::default();
    options.train.iter().for_each(|path| inputs.add("--train", path));
    options.dev.iter().for_each(|path| inputs.add("--dev", path));
    options.data.iter().for_each(|folder| files::add_data(&mut inputs, "--data", folder));
    files::add_model(&mut inputs, &options.model);
    if let Some(folder) = &options.output {
        inputs.refuse("--output", folder)?;
    }
    options.log_dir.as_deref().map_or(Ok(()), |folder| inputs.refuse_within("--log-dir", folder))?;
    Ok(inputs)
}

/// Makes the run and reports what came of it.
fn make(plan: FinetunePlan, mut output: OutputFolder, device: &Device, as_json: bool) -> Done {
    let mut progress = TrainingProgress::default();
    let interrupt = Interrupt::listen()?;
    let ended = Run::open_labelled(plan, &output, device, interrupt, &mut progress)
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

/// Scores of the weights that were saved, one for each set.
fn saved_scores(outcome: &Outcome) -> impl Iterator<Item = &TaskScore> {
    outcome.measured.tasks.iter().filter(|score| score.step == outcome.saved_step)
}

fn print_json(outcome: &Outcome, output: &Path) -> Done {
    let report = serde_json::json!({
        "steps": outcome.steps,
        "saved_step": outcome.saved_step,
        "seconds": outcome.seconds,
        "output": output.display().to_string(),
        "scores": saved_scores(outcome).collect::<Vec<_>>(),
        "evaluations": outcome.measured.tasks,
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{report:#}")?;
    Ok(out.flush()?)
}

fn print_summary(outcome: &Outcome, output: &Path) -> Done {
    let mut out = std::io::stdout().lock();
    writeln!(out, "fine-tuned in {} and {:.1} s", counted(outcome.steps, "step"), outcome.seconds)?;
    if outcome.saved_step != outcome.steps {
        writeln!(out, "kept the weights of step {}, which scored best", outcome.saved_step)?;
    }
    let shown =
        |value: Option<f64>| value.map_or("undefined".to_owned(), |value| format!("{:.2}", 100.0 * value));
    for after in saved_scores(outcome) {
        let before = outcome.measured.tasks.iter().find(|score| score.set == after.set);
        writeln!(out, "{:<24}{:>10}{:>10}", after.set, "before", "after")?;
        for (name, value) in &after.metrics {
            let before = before.and_then(|score| score.metrics.get(name).copied().flatten());
            writeln!(out, "  {name:<22}{:>10}{:>10}", shown(before), shown(*value))?;
        }
        let before = before.map_or(f64::NAN, |score| score.dev_loss);
        writeln!(out, "  {:<22}{before:>10.4}{:>10.4}", "loss", after.dev_loss)?;
    }
    writeln!(out, "written to {}", output.display())?;
    Ok(())
}
