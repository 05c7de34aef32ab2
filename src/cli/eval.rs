//! `mirror eval`

use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::format::mteb::ModelMeta;
use sts_eval::{
    Benchmark, Convention, DEFAULT_BLOCK_SIZE, Progress, Report, ScoredTask, SentEval, Task, UserSet,
    compare, evaluate, examine,
};

use super::backend::{Backend, BackendName, Loaded};
use super::files::{self, add_model_folder};
use super::forms::Forms;
use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::prompt::{PromptFlags, other_similarity};
use super::unlabeled::{self, UnlabeledFlags};
use super::{Done, Ending, mistakes, usage};
use crate::builtin;
use crate::output::Inputs;
use crate::quote::counted;
use crate::sentence_encoder::Overrides;
use crate::trainer::curves;
use crate::trainer::options::PoolingChoice;
use crate::trainer::plan::DEFAULT_DATA;

/// Sentences that are tokenised together.
const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE * 8;

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
    /// auto, mean, cls, mean-padded or first-last-avg
    #[arg(long, default_value = "auto", value_name = "HOW")]
    pub(super) pooling: PoolingChoice,
    /// Tokens of a sentence beyond which it is cut [default: what the folder says]
    #[arg(long, value_name = "N")]
    pub(super) max_length: Option<usize>,
    #[command(flatten)]
    pub(super) forms: Forms,
    #[command(flatten)]
    pub(super) unlabeled: UnlabeledFlags,
    #[command(flatten)]
    pub(super) prompt: PromptFlags,
    #[command(flatten)]
    pub(super) backend: Backend,
    #[command(flatten)]
    pub(super) machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror eval --model mirror-out --data data/sts
  mirror eval --model before --model after --data data/sts --html report.html
  mirror eval --model mirror-out --set mine=pairs.tsv --json -
  mirror eval --model before --model after --corpus sentences.txt
  mirror eval --model mirror-onnx --backend onnx --precision int8 --data data/sts";

impl Eval {
    pub fn run(self) -> Done {
        self.backend.prepare();
        mistakes::check_models(&self.models)?;
        self.unlabeled.check_reading()?;
        if let Some(corpus) = self.unlabeled.corpus() {
            return unlabeled::run(&self, corpus);
        }
        self.check_sets()?;
        let targets = self.forms.claim(&self.inputs(), &self.models)?;
        // Before the sets are read, which takes threads.
        let device = self.machine.set_up()?;
        let (tasks, missing) = self.tasks()?;
        let overrides = Overrides { pooling: self.pooling.0, max_length: self.max_length };
        let runtime = self.backend.set_up(overrides, &self.models)?;
        let mut notes = notes(&tasks, &missing);
        notes.extend(
            self.sets
                .iter()
                .zip(tasks.iter().rev().take(self.sets.len()).rev())
                .flat_map(|(_, task)| remarks(task)),
        );
        let mut findings = Findings::default();
        for name in &self.models {
            let files = ModelFiles::locate(name)?;
            // One of the hub has a folder only now.
            let mut inputs = Inputs::default();
            add_model_folder(&mut inputs, files.folder());
            targets.check(&inputs)?;
            let mut model = Loaded::load(
                files.folder(),
                overrides,
                &self.backend,
                runtime.as_ref(),
                &self.machine,
                &device,
            )?;
            model.set_prompt(&self.prompt)?;
            notes.extend(other_similarity(name, model.settings(), "sentences are compared by cosine here"));
            // Said once the model is there: a refusal stands alone on stderr.
            notes.drain(..).for_each(|note| say(&note));
            let bar = encoding_bar(Some(0));
            let progress = |progress: Progress| {
                bar.set_length(progress.total as u64);
                bar.set_position(progress.encoded as u64);
            };
            if self.forms.are_full() {
                let examined = examine(&tasks, &model, BLOCK_SIZE, progress)?;
                let mut report = Report::full(name, self.convention, &examined, &missing);
                // A log that cannot be read is no reason not to score.
                report.training = curves::read(files.folder()).unwrap_or_else(|error| {
                    say(&error.to_string());
                    Vec::new()
                });
                let (embed_dim, max_tokens) = (Some(examined.width), Some(model.max_length()));
                findings.metas.push(ModelMeta { embed_dim, max_tokens });
                findings.push(report, examined.scored);
            } else {
                let scored = evaluate(&tasks, &model, BLOCK_SIZE, progress)?;
                findings.push(Report::new(name, self.convention, &scored, &missing), scored);
            }
            bar.finish_and_clear();
        }
        if let Some(bootstrap) = self.forms.bootstrap() {
            let scored: Vec<&[ScoredTask]> = findings.scored.iter().map(Vec::as_slice).collect();
            compare(&mut findings.reports, &scored, &bootstrap)?;
        }
        self.forms.write(&targets, &findings.reports, &findings.metas)
    }

    /// Where STS data is, if there is some to score on.
    fn data(&self) -> Option<PathBuf> {
        let found = Path::new(DEFAULT_DATA).is_dir() && self.sets.is_empty();
        self.data.clone().or_else(|| found.then(|| PathBuf::from(DEFAULT_DATA)))
    }

    /// All files that are read.
    pub(super) fn inputs(&self) -> Inputs {
        let mut inputs = Inputs::default();
        match self.unlabeled.corpus() {
            Some(corpus) => files::add_texts(&mut inputs, "--corpus", corpus, &self.unlabeled.reading),
            None => {
                self.sets.iter().for_each(|set| inputs.add("--set", &set.path));
                self.data().iter().for_each(|folder| files::add_data(&mut inputs, folder));
            }
        }
        self.models.iter().for_each(|model| files::add_model(&mut inputs, model));
        if self.backend.backend == BackendName::Onnx {
            files::add_runtime(&mut inputs, self.backend.onnxruntime.as_deref());
        }
        inputs
    }

    /// Refuses sets of one name, and a file that two sets name.
    fn check_sets(&self) -> Done {
        for (place, set) in self.sets.iter().enumerate() {
            for other in &self.sets[..place] {
                let [first, second] = [&other.path, &set.path].map(|path| path.display());
                if other.name == set.name {
                    let name = &set.name;
                    return Err(usage(format!(
                        "--set names {name} twice, as {first} and {second}; give each a name of its own"
                    )));
                }
                if matches!((other.path.canonicalize(), set.path.canonicalize()), (Ok(a), Ok(b)) if a == b) {
                    let names = (&other.name, &set.name);
                    return Err(usage(format!(
                        "--set names the file {second} twice, as {} and {}",
                        names.0, names.1
                    )));
                }
            }
        }
        Ok(())
    }

    /// The sets to score, and which of the seven are not there.
    fn tasks(&self) -> Result<(Vec<Task>, Vec<Benchmark>), Ending> {
        let mut tasks = Vec::new();
        let mut missing = Vec::new();
        if let Some(folder) = self.data() {
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

/// What a reader should know of pairs of their own.
fn remarks(task: &Task) -> Vec<String> {
    let (name, pairs) = (&task.name, task.pair_count() as u64);
    let mut remarks = Vec::new();
    if task.without_gold > 0 {
        remarks
            .push(format!("{name}: {} without a score left out", counted(task.without_gold as u64, "pair")));
    }
    let mut gold = task.pairs().map(|pair| pair.gold);
    let first = gold.next();
    if gold.all(|gold| Some(gold) == first) {
        let why = if pairs == 1 {
            "it has one pair".to_owned()
        } else {
            format!("all its {pairs} scores are the same")
        };
        remarks.push(format!("warning: {name}: its rank correlation is undefined, since {why}"));
    }
    remarks
}

/// Of each model.
#[derive(Default)]
struct Findings {
    reports: Vec<Report>,
    scored: Vec<Vec<ScoredTask>>,
    metas: Vec<ModelMeta>,
}

impl Findings {
    fn push(&mut self, report: Report, scored: Vec<ScoredTask>) {
        self.reports.push(report);
        self.scored.push(scored);
    }
}
