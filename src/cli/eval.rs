//! `mirror eval`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::format::{Format, Json, Latex, Markdown, Table};
use sts_eval::{Benchmark, Convention, DEFAULT_BLOCK_SIZE, Report, SentEval, Task, UserSet, evaluate};

use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::train::DEFAULT_DATA;
use super::unlabeled::{self, UnlabeledFlags};
use super::{Done, Ending, usage};
use crate::builtin;
use crate::output::write_whole;
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::trainer::options::PoolingChoice;

/// Score sentence encoders on STS12-16, STS-B and SICK-R, or on pairs of your own.
///
/// Scores are Spearman's rank correlation × 100 between people's scores and cosines; a year's subsets are
/// scored together. Without STS data and --set, the small built-in pairs are scored. With --corpus no labels are
/// needed: how embeddings of your own sentences behave is measured.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Eval {
    /// Model: a folder, builtin, or a Hugging Face id; give it again to compare several
    #[arg(long = "model", default_value = "builtin", value_name = "MODEL")]
    pub(super) models: Vec<String>,
    /// STS data in SentEval's layout [default: data/sts, where it exists]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Your own pairs: score, sentence, sentence, as .tsv, .csv or .jsonl; may be given again
    #[arg(long = "set", value_name = "NAME=FILE")]
    sets: Vec<UserSet>,
    /// SICK-R's pairs: mirror-bert takes the test split (4,927), simcse all (9,927)
    #[arg(long, default_value_t = Convention::default(), value_name = "NAME")]
    convention: Convention,
    /// Write scores as JSON (- for standard output)
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write a markdown table (- for standard output)
    #[arg(long, value_name = "FILE")]
    pub(super) markdown: Option<PathBuf>,
    /// Write a LaTeX table (- for standard output)
    #[arg(long, value_name = "FILE")]
    latex: Option<PathBuf>,
    /// auto, mean, cls, mean-padded or first-last-avg
    #[arg(long, default_value = "auto", value_name = "HOW")]
    pub(super) pooling: PoolingChoice,
    /// Tokens of a sentence beyond which it is cut [default: what the folder says]
    #[arg(long, value_name = "N")]
    pub(super) max_length: Option<usize>,
    #[command(flatten)]
    pub(super) unlabeled: UnlabeledFlags,
    #[command(flatten)]
    pub(super) machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror eval --model mirror-out --data data/sts
  mirror eval --model before --model after --data data/sts --markdown scores.md
  mirror eval --model mirror-out --set mine=pairs.tsv --json -
  mirror eval --model before --model after --corpus sentences.txt";

impl Eval {
    pub fn run(self) -> Done {
        if let Some(corpus) = self.unlabeled.corpus() {
            return unlabeled::run(&self, corpus);
        }
        let forms = self.forms()?;
        // Before the sets are read, which takes threads.
        let device = self.machine.set_up()?;
        let (tasks, missing) = self.tasks()?;
        let mut notes = notes(&tasks, &missing);
        let mut reports = Vec::new();
        for name in &self.models {
            let files = ModelFiles::locate(name)?;
            let overrides = Overrides { pooling: self.pooling.0, max_length: self.max_length };
            let model = SentenceEncoder::load(files.folder(), overrides, &device)?;
            // Said once the model is there: a refusal stands alone on stderr.
            notes.drain(..).for_each(|note| say(&note));
            let bar = encoding_bar(Some(0));
            let scored = evaluate(&tasks, &model, DEFAULT_BLOCK_SIZE * 8, |progress| {
                bar.set_length(progress.total as u64);
                bar.set_position(progress.encoded as u64);
            })?;
            bar.finish_and_clear();
            reports.push(Report::new(name, self.convention, &scored, &missing));
        }
        for (form, target) in forms {
            write_form(form, target, &reports)?;
        }
        Ok(())
    }

    /// What is written where: the table goes to standard output unless another form does.
    fn forms(&self) -> Result<Vec<(&'static dyn Format, &Path)>, Ending> {
        let asked: [(&'static dyn Format, &Option<PathBuf>); 3] =
            [(&Json, &self.json), (&Markdown, &self.markdown), (&Latex, &self.latex)];
        let mut forms: Vec<(&'static dyn Format, &Path)> =
            asked.into_iter().filter_map(|(form, target)| Some((form, target.as_deref()?))).collect();
        match forms.iter().filter(|(_, target)| *target == Path::new("-")).count() {
            0 => forms.insert(0, (&Table, Path::new("-"))),
            1 => {}
            _ => return Err(usage("only one of --json, --markdown and --latex can go to standard output")),
        }
        Ok(forms)
    }

    /// The sets to score, and which of the seven are not there.
    fn tasks(&self) -> Result<(Vec<Task>, Vec<Benchmark>), Ending> {
        let found = Path::new(DEFAULT_DATA).is_dir() && self.sets.is_empty();
        let folder = self.data.clone().or_else(|| found.then(|| PathBuf::from(DEFAULT_DATA)));
        let mut tasks = Vec::new();
        let mut missing = Vec::new();
        if let Some(folder) = folder {
            let data = SentEval::open(&folder)?;
            tasks = data.tasks(self.convention)?;
            missing = data.missing();
        }
        for set in &self.sets {
            tasks.push(set.read()?);
        }
        if tasks.is_empty() {
            tasks.push(builtin::pairs()?);
        }
        Ok((tasks, missing))
    }
}

/// What a reader of the scores should know of the sets.
fn notes(tasks: &[Task], missing: &[Benchmark]) -> Vec<String> {
    let mut notes = Vec::new();
    if tasks.iter().any(|task| task.name == builtin::PAIRS_NAME) {
        notes.push(
            "no STS data (fetch it with mirror data fetch, or give --data DIR or --set NAME=FILE): scoring the built-in pairs, which are no benchmark".into(),
        );
    }
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|b| b.key()).collect();
        notes.push(format!("not there, and left out of the average: {}", names.join(", ")));
    }
    notes
}

fn write_form(form: &dyn Format, target: &Path, reports: &[Report]) -> Done {
    if target == Path::new("-") {
        let mut out = io::stdout().lock();
        form.write(reports, &mut out)?;
        return Ok(out.flush()?);
    }
    let mut bytes = Vec::new();
    form.write(reports, &mut bytes)?;
    Ok(write_whole(target, &bytes)?)
}
