//! `mirror encode`

use std::io::{self, BufRead, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::Array2;
use sts_eval::Encode as _;

use super::backend::{Backend, Loaded};
use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{encoding_bar, say};
use super::{Done, Ending, text, usage};
use crate::corpus::Lines;
use crate::output::WholeFile;
use crate::sentence_encoder::Overrides;
use crate::trainer::options::PoolingChoice;

/// Encode sentences: one embedding for each line.
///
/// Blank lines are encoded too, so that rows and lines stay aligned. Memory does not grow with the input.
/// What the model's folder says of itself is followed (pooling, length, normalisation); flags override it.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Encode {
    /// Model: a folder, builtin, or a Hugging Face id
    #[arg(long, default_value = "builtin", value_name = "MODEL")]
    model: String,
    /// Text, one sentence a line [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where embeddings go: a .npy array [lines, hidden] of f32, or .jsonl with an array a line
    /// [default: .jsonl on standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    backend: Backend,
    #[command(flatten)]
    machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror encode --model mirror-out --input sentences.txt --output embeddings.npy
  echo 'a sentence' | mirror encode --model mirror-out
  mirror encode --model mirror-onnx --backend onnx --input sentences.txt --output embeddings.npy";

impl Encode {
    pub fn run(self) -> Done {
        self.backend.prepare();
        let mut sink = Sink::open(self.output.as_deref())?;
        let lines = text::lines(self.input.as_deref(), "--input")?;
        let device = self.machine.set_up()?;
        let overrides = Overrides { pooling: self.pooling.0, max_length: self.max_length };
        let runtime = self.backend.set_up(overrides, std::slice::from_ref(&self.model))?;
        let files = ModelFiles::locate(&self.model)?;
        let folder = files.folder();
        let mut model =
            Loaded::load(folder, overrides, &self.backend, runtime.as_ref(), &self.machine, &device)?;
        model.set_normalize(self.normalize, self.no_normalize)?;
        encode_lines(&model, lines, &mut sink)?;
        sink.finish(model.hidden_size())
    }
}

fn encode_lines(model: &Loaded, mut lines: Lines<Box<dyn BufRead>>, sink: &mut Sink) -> Done {
    let bar = encoding_bar(None);
    text::in_blocks(lines.by_ref(), String::len, |block| {
        let sentences: Vec<&str> = block.iter().map(String::as_str).collect();
        sink.write(&model.encode(&sentences)?)?;
        bar.inc(block.len() as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    lines.remark().iter().for_each(|remark| say(remark));
    Ok(())
}

/// Where embeddings go. A file appears whole or not at all.
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    JsonLines(BufWriter<WholeFile>),
    Npy { out: BufWriter<WholeFile>, rows: usize },
}

/// Room for the array's header, whose row count is only known at the end.
const NPY_HEADER: usize = 128;

impl Sink {
    fn open(output: Option<&Path>) -> Result<Self, Ending> {
        let Some(target) = output.filter(|path| *path != Path::new("-")) else {
            return Ok(Sink::Stdout(BufWriter::new(io::stdout())));
        };
        let extension = target.extension().and_then(|e| e.to_str());
        if !matches!(extension, Some("npy" | "jsonl")) {
            return Err(usage(format!("--output {}: the name must end in .npy or .jsonl", target.display())));
        }
        let mut out = BufWriter::new(WholeFile::beside(target)?);
        if extension == Some("jsonl") {
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
            Sink::JsonLines(out) => whole(out)?.persist()?,
            Sink::Npy { out, rows } => {
                let mut file = whole(out)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&npy_header(rows, hidden))?;
                file.persist()?;
            }
        }
        Ok(())
    }
}

fn whole(out: BufWriter<WholeFile>) -> io::Result<WholeFile> {
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
