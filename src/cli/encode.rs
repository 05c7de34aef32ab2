//! `mirror encode`

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::Array2;
use sts_eval::Encode as _;

use super::backend::{Backend, BackendName, Loaded};
use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::prompt::PromptFlags;
use super::{Done, Ending, files, text, usage};
use crate::corpus::{CorpusOptions, Sentence, Texts};
use crate::output::{Form, Inputs, OutputFile, OutputFiles, OutputWriter};
use crate::sentence_encoder::Overrides;
use crate::trainer::options::PoolingChoice;

/// Encode sentences: one embedding for each line, row or record.
///
/// Those without text are encoded too, so that embeddings and lines stay aligned; with --split-sentences, --min-chars or
/// --dedup there is one for each sentence instead. Memory does not grow with the input.
/// What the model's folder says of itself is followed (a prompt before each sentence, pooling, modules after it,
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
    /// Where embeddings go: a .npy array [lines, hidden] of f32, or .jsonl with an array a line
    /// [default: .jsonl on standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that mirror encode did not write; never one that is read
    #[arg(long)]
    overwrite: bool,
    /// auto, mean, cls, mean-padded or first-last-avg
    #[arg(long, default_value = "auto", value_name = "HOW")]
    pooling: PoolingChoice,
    /// Tokens of a sentence beyond which it is cut [default: what the folder says]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Scale embeddings to length 1, whatever the folder says
    #[arg(long, conflicts_with = "no_normalize")]
    normalize: bool,
    /// Leave embeddings as they are, whatever the folder says
    #[arg(long)]
    no_normalize: bool,
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
  mirror encode --model mirror-onnx --backend onnx --input sentences.txt --output embeddings.npy";

impl Encode {
    pub fn run(self) -> Done {
        self.backend.prepare();
        let output = self.output()?;
        let mut sink = Sink::open(output.as_ref())?;
        let (texts, name) = text::texts(&self.input, "--input", &self.reading)?;
        let device = self.machine.set_up()?;
        let overrides = Overrides { pooling: self.pooling.0, max_length: self.max_length };
        let runtime = self.backend.set_up(overrides, std::slice::from_ref(&self.model))?;
        let model_files = ModelFiles::locate(&self.model)?;
        let folder = model_files.folder();
        // One of the hub has a folder only now.
        let mut inputs = Inputs::default();
        files::add_model_folder(&mut inputs, folder);
        output.as_ref().map_or(Ok(()), |(output, _)| output.check(&inputs))?;
        let mut model =
            Loaded::load(folder, overrides, &self.backend, runtime.as_ref(), &self.machine, &device)?;
        model.set_prompt(&self.prompt)?;
        model.set_normalize(self.normalize, self.no_normalize)?;
        encode_texts(&model, texts, &name, &mut sink)?;
        sink.finish(model.width())
    }

    /// The file that embeddings go to, if it is one, and its form by its name.
    fn output(&self) -> Result<Option<(OutputFile, Rows)>, Ending> {
        let mut inputs = Inputs::default();
        files::add_texts(&mut inputs, "--input", &self.input, &self.reading);
        if self.input.is_empty() {
            inputs.add_stdin();
        }
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

/// How a file holds embeddings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Npy,
    JsonLines,
}

impl Rows {
    fn by_name(path: &Path) -> Result<Self, Ending> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Rows::Npy),
            Some("jsonl") => Ok(Rows::JsonLines),
            _ => Err(usage(format!("--output {}: the name must end in .npy or .jsonl", path.display()))),
        }
    }

    fn form(self) -> Form {
        match self {
            Rows::Npy => files::NPY,
            Rows::JsonLines => files::JSON_LINES,
        }
    }
}

fn encode_texts(model: &Loaded, mut texts: Texts, name: &str, sink: &mut Sink) -> Done {
    let bar = encoding_bar(None);
    let bytes_of = |sentence: &Sentence| sentence.text.len();
    text::in_blocks(texts.by_ref(), bytes_of, |block| {
        let sentences: Vec<&str> = block.iter().map(|sentence| sentence.text.as_str()).collect();
        sink.write(&model.encode(&sentences)?)?;
        bar.inc(block.len() as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    texts.remarks(name).iter().for_each(|remark| say(remark));
    Ok(())
}

/// Where embeddings go. A file appears whole or not at all.
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    JsonLines(BufWriter<OutputWriter>),
    Npy { out: BufWriter<OutputWriter>, rows: usize },
}

/// Room for the array's header, whose row count is only known at the end.
const NPY_HEADER: usize = 128;

impl Sink {
    fn open(output: Option<&(OutputFile, Rows)>) -> Result<Self, Ending> {
        let Some((file, rows)) = output else {
            return Ok(Sink::Stdout(BufWriter::new(io::stdout())));
        };
        let mut out = BufWriter::new(file.open()?);
        if *rows == Rows::JsonLines {
            return Ok(Sink::JsonLines(out));
        }
        out.write_all(&[0; NPY_HEADER])?;
        Ok(Sink::Npy { out, rows: 0 })
    }

    fn write(&mut self, embeddings: &Array2<f32>) -> Done {
        match self {
            Sink::Stdout(out) => write_json_lines(embeddings, out)?,
            Sink::JsonLines(out) => write_json_lines(embeddings, out)?,
            Sink::Npy { out, rows } => {
                for value in embeddings {
                    out.write_all(&value.to_le_bytes())?;
                }
                *rows += embeddings.nrows();
            }
        }
        Ok(())
    }

    fn finish(self, hidden: usize) -> Done {
        match self {
            Sink::Stdout(mut out) => out.flush()?,
            Sink::JsonLines(out) => whole(out)?.finish()?,
            Sink::Npy { out, rows } => {
                let mut file = whole(out)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&npy_header(rows, hidden))?;
                file.finish()?;
            }
        }
        Ok(())
    }
}

fn whole(out: BufWriter<OutputWriter>) -> io::Result<OutputWriter> {
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

fn write_json_lines(embeddings: &Array2<f32>, out: &mut impl Write) -> io::Result<()> {
    for row in embeddings.rows() {
        serde_json::to_writer(&mut *out, &row.to_vec()).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// NumPy's format, version 1.0: magic, header length, a dictionary padded with blanks to 128 bytes.
fn npy_header(rows: usize, hidden: usize) -> [u8; NPY_HEADER] {
    let mut header = [b' '; NPY_HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&((NPY_HEADER - 10) as u16).to_le_bytes());
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {hidden}), }}");
    header[10..10 + dictionary.len()].copy_from_slice(dictionary.as_bytes());
    header[NPY_HEADER - 1] = b'\n';
    header
}
