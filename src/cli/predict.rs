//! `mirror predict`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::machine::Machine;
use super::model::ModelFiles;
use super::{Done, files, text, usage};
use crate::classifier::{Classifier, Texts, largest, probabilities};
use crate::model_folder::head::Outputs;
use crate::output::Inputs;

/// Classify texts or pairs with a model that mirror finetune or transformers trained: label and probability, or the
/// value, of each line.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Predict {
    /// Model with a head: a folder or a Hugging Face id
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Text with one a line [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Lines are pairs of texts, with a tab between them
    #[arg(long)]
    pairs: bool,
    /// Print a JSON object a line: label or value, probabilities of all classes, logits
    #[arg(long)]
    json: bool,
    /// Truncate a text or a pair to this many tokens [default: the folder's own limit]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    #[command(flatten)]
    machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror predict --model sst-2 --input reviews.txt
  printf 'A man sleeps.\\tA man is awake.\\n' | mirror predict --model rte --pairs --json";

impl Predict {
    pub fn run(self) -> Done {
        let mut inputs = Inputs::default();
        files::add_text(&mut inputs, "--input", self.input.as_deref());
        files::add_model(&mut inputs, &self.model);
        inputs.refuse_streams()?;
        if self.max_length == Some(0) {
            return Err(usage("--max-length is 0; it must be a number above 0"));
        }
        let device = self.machine.set_up()?;
        let files = ModelFiles::locate(&self.model)?;
        let model = Classifier::load(files.folder(), self.max_length, &device)?;
        let mut lines = text::lines(self.input.as_deref(), "--input")?;
        let mut out = io::stdout().lock();
        let mut number = 0;
        text::in_blocks(lines.by_ref(), String::len, |block| {
            let texts = block.iter().map(|line| {
                number += 1;
                self.texts(line, number)
            });
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            for logits in model.logits(&texts)? {
                self.write(&model.outputs, &logits, &mut out)?;
            }
            Ok(())
        })?;
        Ok(out.flush()?)
    }

    fn texts<'a>(&self, line: &'a str, number: u64) -> anyhow::Result<Texts<'a>> {
        if !self.pairs {
            return Ok((line, None));
        }
        let name = self
            .input
            .as_deref()
            .map_or("standard input".to_owned(), |path: &Path| path.display().to_string());
        match line.split_once('\t') {
            Some((first, second)) => Ok((first, Some(second))),
            None => anyhow::bail!(
                "{name}, line {number}: there is no tab in it, and --pairs takes two texts with a tab between them"
            ),
        }
    }

    fn write(&self, outputs: &Outputs, logits: &[f64], out: &mut impl Write) -> io::Result<()> {
        match outputs {
            Outputs::Value if self.json => {
                writeln!(out, "{}", json!({"value": logits[0], "logits": logits}))?
            }
            Outputs::Value => writeln!(out, "{}", logits[0])?,
            Outputs::Classes(classes) => {
                let probabilities = probabilities(logits);
                let place = largest(logits);
                if self.json {
                    let of_classes: serde_json::Map<String, Value> = classes
                        .iter()
                        .zip(&probabilities)
                        .map(|(class, p)| (class.clone(), json!(p)))
                        .collect();
                    let row = json!({"label": classes[place], "probabilities": of_classes, "logits": logits});
                    writeln!(out, "{row}")?;
                } else {
                    writeln!(out, "{}\t{:.4}", classes[place], probabilities[place])?;
                }
            }
        }
        Ok(())
    }
}
