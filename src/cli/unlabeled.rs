//! `mirror eval --corpus FILE`: models side by side on sentences without labels.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use sts_eval::DEFAULT_BLOCK_SIZE;
use sts_eval::unlabeled::{UnlabeledForm, UnlabeledReport, Views, evaluate_views};

use super::files;
use super::forms::{Forms, Targets, print, rendered};
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::prompt::PromptFlags;
use super::vectors::{Compared, SmallerVectors};
use super::{Done, usage};
use crate::corpus::{Corpus, CorpusError, CorpusOptions, Format, list, shortest_masked};
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::unlabeled::{DEFAULT_MASK_SPAN, views};

/// More sentences than this would take long: the time grows with their square.
const MOST_SENTENCES: usize = 20_000;

pub const READING_WITHOUT_CORPUS: &str =
    "--column, --field, --split-sentences, --min-chars and --dedup say how --corpus is read; give it too";

/// Flags of `mirror eval` for sentences without labels.
#[derive(Args)]
pub struct UnlabeledFlags {
    /// Sentences without labels: measure how often a masked view finds its own sentence among others, and how
    /// embeddings are spread. A file (.txt with one sentence a line, .csv, .tsv, .jsonl, .parquet, each also .gz or
    /// .zst), a folder of them, a pattern in quotes, or - for standard input; may be given again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "words", "sets", "latex", "html", "mteb", "backend"], help_heading = "Without labels")]
    corpus: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) reading: CorpusOptions,
    /// Different sentences of the corpus to draw
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "N",
        requires = "corpus",
        help_heading = "Without labels"
    )]
    sentences: usize,
    /// Characters that a view's mask covers
    #[arg(long, default_value_t = DEFAULT_MASK_SPAN, value_name = "N", requires = "corpus", help_heading = "Without labels")]
    mask_span: usize,
    /// Seed of the draw and of the masks
    #[arg(
        long,
        default_value_t = 42,
        value_name = "N",
        requires = "corpus",
        help_heading = "Without labels"
    )]
    seed: u64,
}

impl UnlabeledFlags {
    /// The corpus to measure on, if that is what is asked for.
    pub fn corpus(&self) -> Option<&[PathBuf]> {
        (!self.corpus.is_empty()).then_some(&self.corpus)
    }

    /// Refuses flags about a corpus where there is none.
    pub fn check_reading(&self) -> Done {
        if self.corpus.is_empty() && self.reading != CorpusOptions::default() {
            return Err(usage(READING_WITHOUT_CORPUS));
        }
        Ok(())
    }

    pub fn check(&self) -> Done {
        if !(2..=MOST_SENTENCES).contains(&self.sentences) {
            let found = self.sentences;
            return Err(usage(format!("--sentences is {found}; it must be from 2 to {MOST_SENTENCES}")));
        }
        if self.mask_span == 0 {
            return Err(usage(
                "--mask-span is 0; a view that is its sentence would always find it, so mask 1 or more",
            ));
        }
        Ok(())
    }
}

/// What is measured, and where to.
pub struct Request<'a> {
    pub models: &'a [String],
    pub overrides: Overrides,
    pub prompt: &'a PromptFlags,
    pub vectors: &'a SmallerVectors,
    pub forms: &'a Forms,
    pub targets: &'a Targets,
    pub device: &'a Device,
}

/// Measures each model on the same sentences with the same masks.
pub fn run(flags: &UnlabeledFlags, corpus: &[PathBuf], request: &Request) -> Done {
    let Request { models, overrides, prompt, vectors, targets, .. } = *request;
    let forms = forms(request.forms);
    let listed = list("--corpus", corpus, &flags.reading)?;
    let corpus = Corpus::read(listed, &flags.reading, Format::Sentences)?;
    let entries = corpus.draw(flags.sentences, flags.seed)?;
    if entries.len() < 2 {
        return Err(CorpusError::OneSentence { name: corpus.name(), sentences: corpus.len() }.into());
    }
    let mut reports = Vec::new();
    for name in models {
        let files = ModelFiles::locate_apart(name, targets.files())?;
        let mut model = SentenceEncoder::load(files.folder(), overrides, request.device)?;
        vectors.dimensions.apply(|dimensions| model.set_dimensions(dimensions))?;
        if let Some(prompt) = prompt.text(&model.settings)? {
            model = model.with_prompt(prompt);
        }
        let views =
            views(&entries, Format::Sentences, flags.mask_span, model.tokenizer.mask_token()?, flags.seed);
        if reports.is_empty() {
            remark(&corpus, &views, flags.mask_span);
        }
        let compared = Compared::new(&model, &vectors.embedding_type)?;
        let bar = encoding_bar(Some((views.sentences.len() + views.views.len()) as u64));
        let unlabeled = evaluate_views(&views, &compared, DEFAULT_BLOCK_SIZE * 8, |progress| {
            bar.set_position(progress.encoded as u64);
        })?;
        bar.finish_and_clear();
        reports.push(UnlabeledReport { model: name.clone(), unlabeled });
    }
    if !targets.iter().any(|target| target.is_none()) {
        print(&rendered("", |bytes| UnlabeledForm::Table.write(&reports, bytes))?)?;
    }
    for ((form, mark), target) in forms.iter().zip(targets.iter()) {
        let bytes = rendered(mark, |bytes| form.write(&reports, bytes))?;
        target.map_or_else(|| print(&bytes), |file| Ok(file.write(&bytes)?))?;
    }
    Ok(())
}

/// Notes on the corpus, printed once its models can be loaded.
fn remark(corpus: &Corpus, views: &Views, span: usize) {
    corpus.remarks().iter().for_each(|remark| say(remark));
    let (all, short) = (views.sentences.len(), views.sentences.len() - views.views.len());
    let which = match short {
        0 => return,
        _ if short == all => format!("all {all} sentences drawn"),
        _ => format!("{short} of the {all} sentences drawn"),
    };
    say(&format!(
        "{}: {which} are too short for a mask (fewer than {} characters), so their views are not searched for",
        corpus.name(),
        shortest_masked(span)
    ));
}

/// The forms that are asked for beside the table, in the order of their flags, with what each begins with.
fn forms(forms: &Forms) -> Vec<(UnlabeledForm, &'static str)> {
    let (json, markdown) = forms.json_and_markdown();
    let all = [(json, UnlabeledForm::Json, ""), (markdown, UnlabeledForm::Markdown, files::MARKDOWN_MARK)];
    all.into_iter().filter(|(asked, ..)| *asked).map(|(_, form, mark)| (form, mark)).collect()
}
