//! `mirror encode`

use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::Encode as _;

use super::backend::{Backend, BackendName, Loaded};
use super::embeddings::{Rows, Sink};
use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::prompt::PromptFlags;
use super::vectors::{SmallerVectors, say_of_few};
use super::{Done, Ending, files, text, usage};
use crate::corpus::{CorpusOptions, Sentence, Texts};
use crate::output::{Inputs, OutputFile, OutputFiles};
use crate::quantization::Stream;
use crate::sentence_encoder::Overrides;

/// Encode sentences: one embedding for each line, row or record.
///
/// Those without text are encoded too, so that embeddings and lines stay aligned; with --split-sentences, --min-chars or
/// --dedup there is one for each sentence instead. Memory does not grow with the input.
/// The model's folder is followed (a prompt before each sentence, pooling, modules after it,
/// length, normalisation); flags override it.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Encode {
    /// Model: a folder, builtin, or a Hugging Face id
    #[arg(long, default_value = "builtin", value_name = "MODEL")]
    model: String,
    /// Text: a file (.txt with one sentence a line, .csv, .tsv, .jsonl, .parquet, each also .gz or .zst), a folder of
    /// them, a pattern in quotes, or - for standard input; may be given again [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Vec<PathBuf>,
    #[command(flatten)]
    reading: CorpusOptions,
    /// Where embeddings go: a .npy array [lines, width], or .jsonl with an array a line
    /// [default: .jsonl on standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that mirror encode did not write; never one that is read
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    overrides: Overrides,
    /// Scale embeddings to length 1, regardless of the folder's modules
    #[arg(long, conflicts_with = "no_normalize")]
    normalize: bool,
    /// Leave embeddings as they are, regardless of the folder's modules
    #[arg(long)]
    no_normalize: bool,
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
  mirror encode --model mirror-out --input sentences.txt --output embeddings.npy
  mirror encode --model e5-small --prompt-name query --input questions.txt --output questions.npy
  echo 'a sentence' | mirror encode --model mirror-out
  mirror encode --model mirror-out --dimensions 64 --embedding-type int8 --input sentences.txt --output small.npy
  mirror encode --model mirror-onnx --backend onnx --input sentences.txt --output embeddings.npy";

impl Encode {
    pub fn run(self) -> Done {
        self.backend.prepare();
        self.vectors.check()?;
        let output = self.output()?;
        let mut sink = Sink::open(output.as_ref())?;
        let (texts, name) = text::texts(&self.input, "--input", &self.reading)?;
        let device = self.machine.set_up_for(self.backend.precision()?)?;
        let models = std::slice::from_ref(&self.model);
        let loader = self.backend.loader(self.overrides, models, &self.machine, &device)?;
        let model_files = ModelFiles::locate_apart(&self.model, output.iter().map(|(output, _)| output))?;
        let mut model = loader.load(model_files.folder())?;
        model.set_prompt(&self.prompt)?;
        self.vectors.dimensions.apply(|dimensions| model.set_dimensions(dimensions))?;
        model.set_normalize(self.normalize, self.no_normalize)?;
        let form = self.vectors.embedding_type.embedding_type;
        let stream = Stream::new(form, self.vectors.embedding_type.ranges(&model)?.as_ref());
        encode_texts(&model, texts, &name, stream, &mut sink)?;
        sink.finish(form, model.width())
    }

    /// The file that embeddings go to, if it is one, and its form by its name.
    fn output(&self) -> Result<Option<(OutputFile, Rows)>, Ending> {
        let mut inputs = Inputs::default();
        files::add_texts(&mut inputs, "--input", &self.input, &self.reading);
        if self.input.is_empty() {
            inputs.add_stdin();
        }
        self.vectors.embedding_type.add_inputs(&mut inputs);
        files::add_model(&mut inputs, &self.model);
        if self.backend.backend == BackendName::Onnx {
            files::add_runtime(&mut inputs, self.backend.onnxruntime.as_deref());
        }
        inputs.refuse_streams()?;
        let Some(target) = self.output.as_deref().filter(|path| *path != Path::new("-")) else {
            return Ok(None);
        };
        let rows = Rows::by_name(target)?;
        let output = OutputFiles::new(&inputs, self.overwrite).claim("--output", target, rows.form())?;
        if rows == Rows::Npy && !output.is_seekable() {
            let shown = target.display();
            return Err(usage(format!(
                "--output {shown} is a pipe, which takes .jsonl; a .npy array needs a file"
            )));
        }
        Ok(Some((output, rows)))
    }
}

fn encode_texts(model: &Loaded, mut texts: Texts, name: &str, mut stream: Stream, sink: &mut Sink) -> Done {
    let bar = encoding_bar(None);
    let bytes_of = |sentence: &Sentence| sentence.text.len();
    text::in_blocks(texts.by_ref(), bytes_of, |block| {
        let sentences: Vec<&str> = block.iter().map(|sentence| sentence.text.as_str()).collect();
        stream.push(model.encode(&sentences)?)?.iter().try_for_each(|stored| sink.write(stored))?;
        bar.inc(block.len() as u64);
        Ok(())
    })?;
    let (rest, sampled) = stream.finish()?;
    rest.iter().try_for_each(|stored| sink.write(stored))?;
    bar.finish_and_clear();
    if let Some(rows) = sampled {
        say_of_few(rows);
    }
    texts.remarks(name).iter().for_each(|remark| say(remark));
    Ok(())
}
