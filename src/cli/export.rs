//! `mirror export`

use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;
use sts_eval::{Encode, SentEval, Task, evaluate_task};

use super::backend::without_telemetry;
use super::export_place::Place;
use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::say;
use super::{Done, Ending, files, usage};
use crate::classifier::Classifier;
use crate::export::card::card;
use crate::export::classifier;
use crate::export::folder::{Export as Folder, pooling_warnings, write_folder};
use crate::export::verify::{self, Distance, Verification};
use crate::export::{DEFAULT_OPSET, LARGEST_FILE, OPSETS, Precision};
use crate::interrupt::Interrupt;
use crate::model::PoolingChoice;
use crate::model_folder::SentenceFolder;
use crate::model_folder::head::has_head;
use crate::onnx::{OnnxError, Runtime};
use crate::output::{Inputs, StagedFolder, write_whole};
use crate::ownership::CARD;
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::trainer::plan::DEFAULT_DATA;

/// Export a sentence encoder, or a model with a head, as ONNX for third-party tools.
///
/// Writes a folder that sentence-transformers (backend="onnx"), fastembed, transformers.js,
/// text-embeddings-inference and ONNX Runtime load: onnx/model.onnx (f32), onnx/model_fp16.onnx,
/// onnx/model_int8.onnx, the tokenizer and the configuration. The graph takes input_ids, attention_mask and,
/// where the model has token types, token_type_ids, and gives last_hidden_state and sentence_embedding,
/// pooled and normalised as the model specifies.
///
/// A model with a head (mirror finetune) gives logits instead, unless --pooling asks for a sentence encoder.
///
/// Each graph is run by ONNX Runtime beside the model on sentences of all kinds: embeddings of length 1 may
/// differ by 1e-4 (f32) or 2e-3 (f16), and the mean cosine may not be below 0.98 (int8). Where they do, the
/// export fails and leaves nothing. scripts/fetch-onnxruntime fetches ONNX Runtime.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Export {
    /// Model: a folder, builtin, or a Hugging Face id
    #[arg(long, default_value = "builtin", value_name = "MODEL")]
    model: String,
    /// The folder to write; it appears whole or not at all. With --overwrite it may be the model's own: graphs are
    /// added to it, and nothing else changes
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Write into a folder that is not empty, replacing an earlier export; what mirror did not write stays
    #[arg(long)]
    overwrite: bool,
    /// f32, f16 or int8; several with commas, or given again, beside each other [default: f32]
    #[arg(long = "precision", value_name = "PRECISION", value_delimiter = ',')]
    precisions: Vec<Precision>,
    /// ONNX operator set of the graph, 13 to 23
    #[arg(long, default_value_t = DEFAULT_OPSET, value_name = "N")]
    opset: u32,
    #[command(flatten)]
    overrides: Overrides,
    /// Scale sentence_embedding to length 1, regardless of the folder's modules
    #[arg(long, conflicts_with = "no_normalize")]
    normalize: bool,
    /// Leave sentence_embedding as it is, regardless of the folder's modules
    #[arg(long)]
    no_normalize: bool,
    /// Do not run the graphs beside the model; needs no ONNX Runtime
    #[arg(long, help_heading = "Verification")]
    no_verify: bool,
    /// ONNX Runtime's library [default: ORT_DYLIB_PATH, beside the program, or where
    /// scripts/fetch-onnxruntime put it]
    #[arg(long, value_name = "FILE", help_heading = "Verification")]
    onnxruntime: Option<PathBuf>,
    /// STS data in SentEval's layout, on whose STS-B dev each graph is scored [default: data/sts,
    /// where it exists]
    #[arg(long, value_name = "DIR", help_heading = "Verification")]
    data: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror export --model mirror-out --output mirror-onnx
  mirror export --model mirror-out --output mirror-onnx --precision f32,f16,int8 --data data/sts
  mirror encode --model mirror-onnx --backend onnx --input sentences.txt --output embeddings.npy";

/// Ends the export where a signal asked for it, so that what was begun is removed.
fn stop_if_interrupted(interrupt: &Interrupt) -> Done {
    match interrupt.received() {
        Some(signal) => {
            let message = format!("stopped by {signal}; nothing is written");
            Err(Ending::Stopped { message, signal })
        }
        None => Ok(()),
    }
}

/// What verification needs, found before any work is done.
struct Verifier {
    runtime: Runtime,
    task: Option<Task>,
    threads: usize,
}

impl Export {
    pub fn run(self) -> Done {
        if !self.no_verify {
            without_telemetry();
        }
        if !OPSETS.contains(&self.opset) {
            let (least, most) = (OPSETS.start(), OPSETS.end());
            return Err(usage(format!("--opset is {}; it must be {least} to {most}", self.opset)));
        }
        let mut precisions = self.precisions.clone();
        precisions.sort();
        precisions.dedup();
        if precisions.is_empty() {
            precisions.push(Precision::F32);
        }
        let place = self.place()?;
        let interrupt = Interrupt::listen()?;
        let device = self.machine.set_up()?;
        let verifier = if self.no_verify { None } else { Some(self.verifier()?) };
        let staged = StagedFolder::beside(&self.output, self.overwrite)?;
        let place = place.under_lock(&self.output)?;
        let files = ModelFiles::locate(&self.model)?;
        if self.overrides.pooling == PoolingChoice::default() && has_head(files.folder()) {
            let staged = self.with_head(files.folder(), &precisions, verifier, (staged, &device))?;
            stop_if_interrupted(&interrupt)?;
            place.publish(staged, &self.output)?;
            return self.print(&[], &[]);
        }
        let mut model = SentenceEncoder::load(files.folder(), self.overrides, &device)?;
        if self.normalize && model.settings.truncate_dim.is_some() {
            return Err(usage(
                "--normalize is not possible: the model's folder cuts embeddings (truncate_dim), and its clients would do so \
                 after scaling them",
            ));
        }
        model.set_normalize(self.normalize, self.no_normalize);
        let export = Folder {
            model: &model,
            source: &SentenceFolder::read(files.folder())?.transformer_in(files.folder()),
            precisions: &precisions,
            opset: self.opset,
            largest_file: LARGEST_FILE,
        };
        let graphs = write_folder(&export, staged.path())?;
        // A model card that is there knows more than a generated one.
        if place.takes_card(&self.output) {
            write_whole(&staged.path().join("README.md"), card(&model, &precisions).as_bytes())?;
        }
        stop_if_interrupted(&interrupt)?;
        let verified = match verifier {
            Some(verifier) => verifier.verify(&model, &precisions, staged.path(), &interrupt)?,
            None => Vec::new(),
        };
        let sizes =
            graphs.iter().map(|path| Ok(path.metadata()?.len())).collect::<std::io::Result<Vec<_>>>()?;
        let names = graphs.iter().map(|path| path.strip_prefix(staged.path()).unwrap_or(path));
        let written: Vec<(PathBuf, u64)> = names.map(Path::to_owned).zip(sizes).collect();
        place.publish(staged, &self.output)?;
        for warning in pooling_warnings(&model) {
            say(&format!("warning: {warning}"));
        }
        self.print(&verified, &written)
    }

    /// Writes the graphs of a model with a head into a staged folder, and runs them beside it.
    fn with_head(
        &self,
        folder: &Path,
        precisions: &[Precision],
        verifier: Option<Verifier>,
        (staged, device): (StagedFolder, &Device),
    ) -> Result<StagedFolder, Ending> {
        if self.normalize || self.no_normalize || precisions.contains(&Precision::Int8) {
            return Err(usage(
                "the model has a head, whose graph gives logits: --normalize and --no-normalize are for embeddings, and \
                 --precision is f32 or f16; --pooling exports it as a sentence encoder",
            ));
        }
        let model = Classifier::load(folder, self.overrides.max_length, device)?;
        classifier::write_folder(&model, precisions, self.opset, staged.path())?;
        write_whole(&staged.path().join(CARD), classifier::card(&model, precisions).as_bytes())?;
        for &precision in precisions {
            let Some(Verifier { runtime, threads, .. }) = &verifier else { break };
            let graph = staged.path().join(precision.file());
            let distance = classifier::distance(&model, runtime, &graph, *threads)?;
            let tolerance = classifier::tolerance(precision);
            if distance.is_nan() || distance > tolerance {
                return Err(anyhow::anyhow!(
                    "the {precision} graph's logits differ from the model's by {distance:.1e}, and {tolerance:.0e} is \
                     allowed; nothing is written (please report this model)"
                )
                .into());
            }
            say(&format!("{precision}: logits differ from the model's by {distance:.1e} at most"));
        }
        Ok(staged)
    }

    /// Refuses an output that would take the place of something, before any work.
    fn place(&self) -> Result<Place, Ending> {
        let mut inputs = Inputs::default();
        files::add_model(&mut inputs, &self.model);
        self.data.iter().for_each(|folder| files::add_data(&mut inputs, "--data", folder));
        inputs.refuse_streams()?;
        let changes_model = self.overrides != Overrides::default() || self.normalize || self.no_normalize;
        Place::of(&self.output, &self.model, &inputs, changes_model)
    }

    fn verifier(&self) -> Result<Verifier, Ending> {
        let runtime = Runtime::load(self.onnxruntime.as_deref()).map_err(|error| match error {
            OnnxError::NoLibrary => {
                anyhow::anyhow!("{error}; to export without trying the graphs, give --no-verify")
            }
            error => error.into(),
        })?;
        let found = Path::new(DEFAULT_DATA).is_dir().then(|| PathBuf::from(DEFAULT_DATA));
        let task = match self.data.clone().or(found) {
            Some(folder) => Some(SentEval::open(&folder)?.sts_b_dev()?),
            None => None,
        };
        Ok(Verifier { runtime, task, threads: self.machine.threads() })
    }

    fn print(&self, verified: &[Row], written: &[(PathBuf, u64)]) -> Done {
        let mut out = std::io::stdout().lock();
        if !verified.is_empty() {
            print_table(verified, &mut out)?;
        }
        for (name, bytes) in written {
            writeln!(out, "{}: {:.1} MB", name.display(), *bytes as f64 / 1e6)?;
        }
        writeln!(out, "written to {}", self.output.display())?;
        Ok(out.flush()?)
    }
}

/// What verification found of the model itself, or of one of its graphs.
struct Row {
    name: String,
    distance: Option<Distance>,
    /// Spearman × 100 on STS-B dev; None without data, or where it is undefined.
    score: Option<f64>,
}

impl Verifier {
    fn verify(
        &self,
        model: &SentenceEncoder,
        precisions: &[Precision],
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<Vec<Row>, Ending> {
        if self.task.is_none() {
            say("no STS data (give --data DIR): the graphs are compared with the model, but not scored");
        }
        let verification = Verification::of(model)?;
        let mut rows = vec![Row { name: "model".into(), distance: None, score: self.score(model)? }];
        for &precision in precisions {
            let mut graph = verify::load(&self.runtime, folder, precision, self.threads)?;
            let distance = verification.measure(&graph)?;
            distance.check(precision)?;
            graph.prompt = model.prompt.clone();
            let score = self.score(&graph)?;
            stop_if_interrupted(interrupt)?;
            rows.push(Row { name: precision.to_string(), distance: Some(distance), score });
        }
        Ok(rows)
    }

    fn score<E: Encode>(&self, encoder: &E) -> Result<Option<f64>, Ending> {
        let Some(task) = &self.task else { return Ok(None) };
        Ok(evaluate_task(task, encoder)?.score().spearman)
    }
}

fn print_table(rows: &[Row], out: &mut impl Write) -> std::io::Result<()> {
    let scored = rows.iter().any(|row| row.score.is_some());
    write!(out, "{:<6}  {:>18}  {:>11}", "", "largest difference", "mean cosine")?;
    writeln!(out, "{}", if scored { "  STS-B dev" } else { "" })?;
    for row in rows {
        let (largest, cosine) = row.distance.map_or(Default::default(), |distance| {
            (format!("{:.1e}", distance.largest), format!("{:.6}", distance.mean_cosine))
        });
        write!(out, "{:<6}  {largest:>18}  {cosine:>11}", row.name)?;
        match row.score {
            Some(score) => writeln!(out, "  {score:>9.2}")?,
            None if scored => writeln!(out, "  undefined")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}
