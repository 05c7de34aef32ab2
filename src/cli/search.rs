//! `mirror search`

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::prompt::{PromptFlags, other_similarity};
use super::vectors::Dimensions;
use super::{Done, Ending, failure, files, mistakes, text, usage};
use crate::corpus::{self, CorpusError, CorpusOptions, Texts, is_blank};
use crate::encoder::Precision;
use crate::output::Inputs;
use crate::search::table::Table;
use crate::search::{Found, ModelHits, Search as Searching, Sentence};
use crate::sentence_encoder::{Overrides, SentenceEncoder};

/// Find the sentences of a text that are nearest to a query, by cosine.
///
/// Queries get the folder's prompt called "query" before them and sentences the one called "document", as in
/// sentence-transformers' encode_query and encode_document: nothing where there is no such prompt, and never the
/// folder's default. With --prompt or --prompt-name both get that one, and with --text-prompt or --text-prompt-name
/// the sentences another.
///
/// Every sentence is compared (no index, no approximation). With several models their findings stand side by side,
/// and each says how it ranks a sentence against the first model: see on your own text what training changed. Memory
/// does not grow with the text.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Search {
    /// What to look for; quote it [default: lines of standard input]
    #[arg(value_name = "QUERY", conflicts_with = "queries")]
    query: Vec<String>,
    /// Model: a folder, builtin, or a Hugging Face id; give it again to compare several
    #[arg(long = "model", default_value = "builtin", value_name = "MODEL")]
    models: Vec<String>,
    /// Text to search: a file (.txt with one sentence a line, .csv, .tsv, .jsonl, .parquet, each also .gz or .zst), a
    /// folder of them, a pattern in quotes, or - for standard input; may be given again
    #[arg(long, value_name = "FILE", required = true)]
    input: Vec<PathBuf>,
    #[command(flatten)]
    reading: CorpusOptions,
    /// Queries, one a line (- for standard input)
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Sentences to find for each query
    #[arg(long, default_value_t = 10, value_name = "K")]
    top: usize,
    /// Print JSON, with the whole sentences
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
    /// In what layers multiply on the CPU: f32, bf16 or int8
    #[arg(long, default_value = "f32", value_name = "PRECISION")]
    precision: Precision,
    #[command(flatten)]
    dimensions: Dimensions,
    #[command(flatten)]
    prompt: PromptFlags,
    /// Put the folder's prompt of this name before the sentences of the text, but not before queries
    #[arg(long, value_name = "NAME", conflicts_with = "text_prompt", help_heading = "Prompt")]
    text_prompt_name: Option<String>,
    /// Put this text before the sentences of the text, but not before queries; "" for none
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Prompt")]
    text_prompt: Option<String>,
    #[command(flatten)]
    machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror search --model mirror-out --input sentences.txt \"how do I reset my password\"
  mirror search --model bert-base-uncased --model mirror-out --input sentences.txt --top 5 \"late delivery\"
  mirror search --model e5-small --text-prompt-name passage --input passages.txt \"what is a prompt\"
  mirror search --model mirror-out --input sentences.txt --queries questions.txt --json";

/// The findings of all queries are held in memory.
const MOST_QUERIES: usize = 10_000;

impl Search {
    pub fn run(self) -> Done {
        if self.top == 0 {
            return Err(usage("--top is 0; it must be a number above 0"));
        }
        self.dimensions.check()?;
        mistakes::check_models(&self.models)?;
        let mut inputs = Inputs::default();
        files::add_texts(&mut inputs, "--input", &self.input, &self.reading);
        if self.query.is_empty() {
            files::add_text(&mut inputs, "--queries", self.queries.as_deref());
        }
        self.models.iter().for_each(|model| files::add_model(&mut inputs, model));
        inputs.refuse_streams()?;
        let queries = self.queries()?;
        let (texts, name) = text::texts(&self.input, "--input", &self.reading)?;
        let device = self.machine.set_up_for(self.precision)?;
        let mut models = Vec::new();
        for name in &self.models {
            let files = ModelFiles::locate(name)?;
            let mut model = SentenceEncoder::load(files.folder(), self.overrides, &device)?
                .in_precision(self.precision)?;
            self.dimensions.apply(|dimensions| model.set_dimensions(dimensions))?;
            let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
            let (of_queries, of_text) = self.with_prompts(name, &model)?;
            let search = Searching::new(&of_queries, &queries, self.top)?;
            models.push((of_text, search));
        }
        look_through(texts, &name, &mut models)?;
        let hits: Vec<_> = models.into_iter().map(|(_, search)| search.finish()).collect();
        let found = gather(queries, &self.models, hits);
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &found).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            let table = Table { width: width() };
            found.iter().try_for_each(|found| table.write(found, &mut out))?;
        }
        Ok(out.flush()?)
    }

    /// The model with what is put before queries, and with what is put before the text.
    fn with_prompts(
        &self,
        name: &str,
        model: &SentenceEncoder,
    ) -> Result<(SentenceEncoder, SentenceEncoder), Ending> {
        let settings = &model.settings;
        let of_text =
            PromptFlags { prompt: self.text_prompt.clone(), prompt_name: self.text_prompt_name.clone() };
        let (queries, text) =
            (self.prompt.text(settings)?, of_text.text(settings)?.or(self.prompt.text(settings)?));
        if let Some(unused) = settings.unused_document_prompt().filter(|_| text.is_none()) {
            say(&format!(
                "{name}: its folder has the prompt {unused:?}, which encode_document of sentence-transformers does not \
                 take, so nothing is put before the text; --text-prompt-name {unused} takes it"
            ));
        }
        other_similarity(name, settings, "sentences are ranked by cosine here")
            .iter()
            .for_each(|told| say(told));
        let queries = model.with_prompt(queries.unwrap_or(settings.query_prompt()));
        Ok((queries, model.with_prompt(text.unwrap_or(settings.document_prompt()))))
    }

    /// The queries, from wherever they come; blank ones are left out.
    fn queries(&self) -> Result<Vec<String>, Ending> {
        let mut queries = Vec::new();
        if self.query.is_empty() {
            if text::is_stdin(self.queries.as_deref()) {
                if self.input.iter().any(|path| text::is_stdin(Some(path))) {
                    return Err(usage(
                        "--input - reads the text from standard input, so give the query as an argument or with --queries FILE",
                    ));
                }
                if io::stdin().is_terminal() {
                    say("type queries, one a line; Ctrl-D ends them");
                }
            }
            for line in text::lines(self.queries.as_deref(), "--queries")? {
                queries.push(line?);
                if queries.len() > MOST_QUERIES {
                    return Err(failure(format!(
                        "there are more than {MOST_QUERIES} queries; search for them in several runs"
                    )));
                }
            }
        } else {
            // From a glob after --input, say.
            let is_file = |word: &&String| word.contains('.') && Path::new(word).is_file();
            if let Some(file) = self.query.iter().find(is_file) {
                return Err(usage(format!(
                    "the query {file} is a file; did you mean --queries {file}, or --input {file}? (a query is text)"
                )));
            }
            queries.clone_from(&self.query);
        }
        queries.retain(|query| !is_blank(query));
        if queries.is_empty() {
            return Err(usage(
                "there is no query; give one as an argument, with --queries FILE, or on standard input",
            ));
        }
        Ok(queries)
    }
}

/// Shows all lines to all models.
fn look_through(mut texts: Texts, name: &str, models: &mut [(SentenceEncoder, Searching)]) -> Done {
    let bar = encoding_bar(None);
    let (mut sentences, mut blank) = (0u64, 0u64);
    let line = |sentence: Result<corpus::Sentence, CorpusError>| match sentence {
        Ok(sentence) if is_blank(&sentence.text) => {
            blank += 1;
            None
        }
        sentence => Some(
            sentence
                .map(|corpus::Sentence { record, text }| Sentence { number: record, text: Arc::from(text) }),
        ),
    };
    text::in_blocks(
        texts.by_ref().filter_map(line),
        |line| line.text.len(),
        |block| {
            for (model, search) in models.iter_mut() {
                search.look_at(model, block)?;
            }
            sentences += block.len() as u64;
            bar.inc(block.len() as u64);
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    if sentences == 0 {
        return Err(texts.nothing(name, blank).into());
    }
    texts.remarks(name).iter().for_each(|remark| say(remark));
    Ok(())
}

/// From lists by model to lists by query.
fn gather(queries: Vec<String>, models: &[String], hits: Vec<Vec<Vec<crate::search::Hit>>>) -> Vec<Found> {
    let mut of_models: Vec<_> = hits.into_iter().map(Vec::into_iter).collect();
    let mut found = Vec::new();
    for query in queries {
        let hits = of_models.iter_mut().map(|hits| hits.next().unwrap_or_default());
        let models = models.iter().zip(hits).map(|(model, hits)| ModelHits { model: model.clone(), hits });
        found.push(Found { query, models: models.collect() });
    }
    found
}

/// Columns of the terminal; without one those of COLUMNS, else enough for a sentence.
fn width() -> usize {
    const ELSEWHERE: usize = 120;
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let declared = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(declared).filter(|&width| width > 0).unwrap_or(ELSEWHERE)
}
