//! `mirror eval`

use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::format::mteb::ModelMeta;
use sts_eval::{
    Benchmark, Convention, DEFAULT_BLOCK_SIZE, Progress, Report, ScoredTask, SentEval, Task, UserSet,
    WordFolder, WordSet, compare, evaluate, examine,
};

use super::backend::{Backend, BackendName};
use super::files;
use super::forms::Forms;
use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::prompt::{PromptFlags, other_similarity};
use super::unlabeled::{self, UnlabeledFlags};
use super::vectors::{Compared, SmallerVectors};
use super::{Done, Ending, mistakes, usage};
use crate::builtin;
use crate::output::Inputs;
use crate::quote::counted;
use crate::sentence_encoder::Overrides;
use crate::trainer::curves;
use crate::trainer::plan::DEFAULT_DATA;

/// Sentences that are tokenised together.
const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE * 8;

/// Score sentence encoders on STS12-16, STS-B and SICK-R, on word pairs, or on pairs of your own.
///
/// Scores are Spearman's rank correlation × 100 between people's scores and cosines; a year's subsets are
/// scored together. Without STS data, --words and --set, the small built-in pairs are scored. With --corpus no labels are
/// needed: how embeddings of your own sentences behave is measured.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Eval {
    /// Model: a folder, builtin, or a Hugging Face id; give it again to compare several
    #[arg(long = "model", default_value = "builtin", value_name = "MODEL")]
    models: Vec<String>,
    /// STS data in SentEval's layout [default: data/sts, where it exists]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder with sets of word pairs: Multi-SimLex (English), SimLex-999 and SimVerb-3500 in their published forms,
    /// whichever are there
    #[arg(long, value_name = "DIR")]
    words: Option<PathBuf>,
    /// Your own pairs: score, sentence, sentence, as .tsv, .csv or .jsonl; may be given again
    #[arg(long = "set", value_name = "NAME=FILE")]
    sets: Vec<UserSet>,
    /// SICK-R's pairs: mirror-bert takes the test split (4,927), simcse all (9,927)
    #[arg(long, default_value_t = Convention::default(), value_name = "NAME")]
    convention: Convention,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    forms: Forms,
    #[command(flatten)]
    unlabeled: UnlabeledFlags,
    #[command(flatten)]
    vectors: SmallerVectors,
    #[command(flatten)]
    prompt: PromptFlags,
    #[command(flatten)]
    backend: Backend,
    #[command(flatten)]
    machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror eval --model mirror-out --data data/sts
  mirror eval --model before --model after --data data/sts --html report.html
  mirror eval --model before --model after --words words
  mirror eval --model mirror-out --set mine=pairs.tsv --json -
  mirror eval --model before --model after --corpus sentences.txt
  mirror eval --model mirror-onnx --backend onnx --precision int8 --data data/sts";

impl Eval {
    pub fn run(self) -> Done {
        self.backend.prepare();
        self.vectors.check()?;
        mistakes::check_models(&self.models)?;
        self.unlabeled.check_reading()?;
        match self.unlabeled.corpus() {
            Some(_) => self.unlabeled.check()?,
            None => self.check_sets()?,
        }
        let targets = self.forms.claim(&self.inputs(), &self.models)?;
        // Before the sets are read, which takes threads.
        let device = self.machine.set_up_for(self.backend.precision()?)?;
        if let Some(corpus) = self.unlabeled.corpus() {
            let (models, prompt, vectors) = (&self.models, &self.prompt, &self.vectors);
            let (forms, targets, device) = (&self.forms, &targets, &device);
            let overrides = self.overrides;
            let request = unlabeled::Request { models, overrides, prompt, vectors, forms, targets, device };
            return unlabeled::run(&self.unlabeled, corpus, &request);
        }
        let Sets { tasks, missing, mut notes } = self.sets()?;
        let loader = self.backend.loader(self.overrides, &self.models, &self.machine, &device)?;
        let mut findings = Findings::default();
        for name in &self.models {
            let files = ModelFiles::locate_apart(name, targets.files())?;
            let mut model = loader.load(files.folder())?;
            model.set_prompt(&self.prompt)?;
            self.vectors.dimensions.apply(|dimensions| model.set_dimensions(dimensions))?;
            notes.extend(other_similarity(name, model.settings(), "sentences are compared by cosine here"));
            // Said once the model is there: a refusal stands alone on stderr.
            notes.drain(..).for_each(|note| say(&note));
            let model = Compared::new(&model, &self.vectors.embedding_type)?;
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
                let (embed_dim, max_tokens) = (Some(examined.width), Some(model.encoder.max_length()));
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
        let found = Path::new(DEFAULT_DATA).is_dir() && self.sets.is_empty() && self.words.is_none();
        self.data.clone().or_else(|| found.then(|| PathBuf::from(DEFAULT_DATA)))
    }

    /// All files that are read.
    fn inputs(&self) -> Inputs {
        let mut inputs = Inputs::default();
        match self.unlabeled.corpus() {
            Some(corpus) => files::add_texts(&mut inputs, "--corpus", corpus, &self.unlabeled.reading),
            None => {
                self.sets.iter().for_each(|set| inputs.add("--set", &set.path));
                self.data().iter().for_each(|folder| files::add_data(&mut inputs, "--data", folder));
                self.words.iter().for_each(|folder| files::add_data(&mut inputs, "--words", folder));
            }
        }
        self.vectors.embedding_type.add_inputs(&mut inputs);
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

    /// The sets to score.
    fn sets(&self) -> Result<Sets, Ending> {
        let mut sets = Sets::default();
        if let Some(folder) = self.data() {
            let data = SentEval::open(&folder)?;
            sets.tasks = data.tasks(self.convention)?;
            sets.missing = data.missing();
        }
        if let Some(folder) = &self.words {
            let words = WordFolder::open(folder)?;
            for task in words.tasks()? {
                sets.notes.extend(incomplete(&task));
                sets.tasks.push(task);
            }
            sets.notes.extend(words.unknown().iter().map(|path| {
                format!("{}: left out, since no published set that is known is called so", path.display())
            }));
        }
        for set in &self.sets {
            let task = set.read()?;
            sets.notes.extend(remarks(&task));
            sets.tasks.push(task);
        }
        if sets.tasks.is_empty() {
            sets.tasks.push(builtin::pairs()?);
            sets.notes.push(
                "no STS data (fetch it with mirror data fetch, or give --data DIR, --words DIR or --set NAME=FILE): scoring the built-in pairs, which are no benchmark".into(),
            );
        }
        if !sets.missing.is_empty() {
            let names: Vec<&str> = sets.missing.iter().map(|b| b.key()).collect();
            sets.notes.push(format!("not there, and left out of the average: {}", names.join(", ")));
        }
        Ok(sets)
    }
}

/// What is scored.
#[derive(Default)]
struct Sets {
    tasks: Vec<Task>,
    /// Those of the seven that are not there.
    missing: Vec<Benchmark>,
    /// What a reader of the scores should know of the sets.
    notes: Vec<String>,
}

/// That a set of word pairs is not the published one.
fn incomplete(task: &Task) -> Option<String> {
    let published = WordSet::from_key(&task.name)?.pairs();
    (task.pair_count() != published).then(|| {
        let (name, pairs) = (&task.name, counted(task.pair_count() as u64, "pair"));
        format!("warning: {name}: {pairs}, where the published set has {published}; its score compares with no published one")
    })
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
