//! `mirror sharpness`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use sts_eval::Interval;

use super::machine::Machine;
use super::model::ModelFiles;
use super::progress::{measuring_bar, say, significant};
use super::unlabeled::READING_WITHOUT_CORPUS;
use super::{Done, Ending, failure, files, usage};
use crate::builtin;
use crate::corpus::{Batching, Corpus, CorpusOptions, Format, list};
use crate::encoder::{Architecture, PackedBatch};
use crate::model::PoolingChoice;
use crate::objective::registry::{InvalidOption, at_least_zero, positive, probability};
use crate::output::{Inputs, OutputFile, OutputFiles, json};
use crate::quote::counted;
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::sharpness::curve::CURVE_PARTS;
use crate::sharpness::{Curve, Measured, Settings, Sharpness as Found, plot};
use crate::trainer::run::Preparation;

/// Measure how sharp the loss is around a model's weights.
///
/// Reports by how much the loss rises at distance ρ from the weights: along its gradient (R_batch, what SAM
/// sees), along δ-SAM's ascent (R_s), along random directions, and exactly, for a sample of instances each
/// along its own gradient (R_inst); and how well |a_j|, by which δ-SAM weighs instances, ranks them by their own
/// sharpness. Intervals are bootstrapped over instances.
#[derive(Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Sharpness {
    /// Model: a folder, builtin, or a Hugging Face id
    #[arg(long, default_value = "builtin", value_name = "MODEL")]
    model: String,
    /// Sentences to measure on: a file (.txt with one a line, .csv, .tsv, .jsonl, .parquet, each also .gz or .zst), a
    /// folder of them, a pattern in quotes, or - for standard input; may be given again [default with --model builtin:
    /// the built-in corpus]
    #[arg(long, value_name = "FILE")]
    corpus: Vec<PathBuf>,
    #[command(flatten)]
    reading: CorpusOptions,
    /// Distance ρ from the weights
    #[arg(long, default_value_t = 0.05, value_name = "ρ")]
    rho: f64,
    /// δ-SAM's β [default: as in training]
    #[arg(long, value_name = "β")]
    beta: Option<f64>,
    /// Sentences in a batch, each seen in two views
    #[arg(long, default_value_t = 200, value_name = "N")]
    batch_size: usize,
    /// Batches to measure on
    #[arg(long, default_value_t = 2, value_name = "N")]
    batches: usize,
    /// Random directions for each batch
    #[arg(long, default_value_t = 4, value_name = "N")]
    directions: usize,
    /// Instances whose own sharpness is measured exactly, a backward and a forward pass each
    #[arg(long, default_value_t = 24, value_name = "N")]
    instances: usize,
    /// Dropout, the same in all passes over a batch; training has 0.1
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    dropout: f64,
    /// Temperature τ of NT-Xent
    #[arg(long, visible_alias = "tau", default_value_t = 0.04, value_name = "τ")]
    temperature: f64,
    /// Truncate sentences to this many tokens, special ones included
    #[arg(long, default_value_t = 50, value_name = "N")]
    max_length: usize,
    /// Characters that the second view's mask covers; 0 for no mask
    #[arg(long, default_value_t = 5, value_name = "N")]
    mask_span: usize,
    /// auto, mean, cls, mean-padded or first-last-avg
    #[arg(long, default_value = "auto", value_name = "HOW")]
    pooling: PoolingChoice,
    /// Seed of batches, directions, the sample and the intervals
    #[arg(long, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// Draw the loss along the directions, from −2ρ to 2ρ, as an SVG
    #[arg(long, value_name = "FILE.svg")]
    output: Option<PathBuf>,
    /// Write the numbers as JSON (- for standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Replace files that mirror sharpness did not write; never one that is read
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    machine: Machine,
}

const EXAMPLES: &str = "Examples:
  mirror sharpness --output sharpness.svg
  mirror sharpness --model mirror-out --corpus sentences.txt --rho 0.05 --batches 2 --instances 64
  mirror sharpness --model mirror-out --corpus sentences.txt --json -";

/// Batches are kept in memory.
const MOST_BATCHES: usize = 1000;

/// What the JSON holds.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    corpus: String,
    corpus_sha256: &'a str,
    batch_size: usize,
    #[serde(flatten)]
    settings: Settings,
    #[serde(flatten)]
    found: Found,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<Curve>,
}

impl Sharpness {
    pub fn run(self) -> Done {
        self.check().map_err(usage)?;
        self.check_output()?;
        let targets = self.targets()?;
        let device = self.machine.set_up()?;
        let corpus = match &self.corpus[..] {
            [] if self.reading != CorpusOptions::default() => return Err(usage(READING_WITHOUT_CORPUS)),
            [] if self.model == crate::hub::BUILTIN => Corpus::from_text(builtin::CORPUS)?,
            paths if !paths.is_empty() => {
                let listed = list("--corpus", paths, &self.reading)?;
                Corpus::read(listed, &self.reading, Format::Sentences)?
            }
            _ => return Err(usage("--corpus FILE is needed: sentences to measure on, one a line")),
        };
        let outputs = targets.drawing.iter().chain(&targets.numbers);
        let files = ModelFiles::locate_apart(&self.model, outputs)?;
        let overrides = Overrides { pooling: self.pooling, max_length: Some(self.max_length) };
        let model = SentenceEncoder::load(files.folder(), overrides, &device)?;
        corpus.remarks().iter().for_each(|remark| say(remark));
        let batches = self.deal(&corpus, &model)?;

        let settings = self.settings(model.encoder.config.architecture);
        let measured = Measured { encoder: &model.encoder, weights: &model.parameters, settings };
        let sampled = self.instances.min(self.batches * self.batch_size);
        let drawn = if self.output.is_some() { CURVE_PARTS } else { 0 };
        let bar = measuring_bar((self.batches + sampled + drawn) as u64);
        let found = measured.sharpness(&batches, || bar.inc(1))?;
        check_finite(&found, self.rho)?;
        let curve = match &self.output {
            Some(_) => Some(measured.curve(&batches[0], || bar.inc(1))?),
            None => None,
        };
        bar.finish_and_clear();
        self.write(&targets, &corpus, settings, found, curve)
    }

    fn check(&self) -> Result<(), InvalidOption> {
        let whole = |flag, value: usize, least: usize, expected| {
            if value < least {
                return Err(InvalidOption { flag, value: value as f64, expected });
            }
            Ok(())
        };
        positive("--rho", self.rho)?;
        at_least_zero("--beta", self.beta.unwrap_or(0.0))?;
        positive("--temperature", self.temperature)?;
        probability("--dropout", self.dropout)?;
        let expected = "NT-Xent needs other sentences in the batch, so at least 2";
        whole("--batch-size", self.batch_size, 2, expected)?;
        whole("--batches", self.batches, 1, "it must be 1 to 1000")?;
        if self.batches > MOST_BATCHES {
            let (value, expected) = (self.batches as f64, "it must be 1 to 1000");
            return Err(InvalidOption { flag: "--batches", value, expected });
        }
        whole("--directions", self.directions, 1, "it must be a number above 0")?;
        whole("--instances", self.instances, 1, "it must be a number above 0")?;
        whole("--max-length", self.max_length, 3, "a sentence has two special tokens, so at least 3")
    }

    /// Finds out now, not after minutes of measuring, what cannot be written.
    fn check_output(&self) -> Done {
        if let Some(path) = self.output.as_deref()
            && path.extension().is_none_or(|extension| extension != "svg")
        {
            return Err(usage(format!("--output {}: the name must end in .svg", path.display())));
        }
        for (flag, path) in [("--output", &self.output), ("--json", &self.json)] {
            let folder = path.as_deref().and_then(Path::parent).filter(|p| !p.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                return Err(usage(format!("{flag}: there is no folder {}", folder.display())));
            }
        }
        Ok(())
    }

    /// Where the drawing and the numbers go.
    fn targets(&self) -> Result<Targets, Ending> {
        let mut inputs = Inputs::default();
        files::add_texts(&mut inputs, "--corpus", &self.corpus, &self.reading);
        files::add_model(&mut inputs, &self.model);
        inputs.refuse_streams()?;
        let mut outputs = OutputFiles::new(&inputs, self.overwrite);
        let mut claim = |flag: &str, path: Option<&PathBuf>, form| {
            let path = path.filter(|path| path.as_path() != Path::new("-"));
            path.map(|path| outputs.claim(flag, path, form)).transpose()
        };
        let drawing = claim("--output", self.output.as_ref(), files::DRAWING)?;
        Ok(Targets { drawing, numbers: claim("--json", self.json.as_ref(), files::SHARPNESS)? })
    }

    fn settings(&self, architecture: Architecture) -> Settings {
        let beta = self.beta.unwrap_or(architecture.description().defaults.beta);
        Settings {
            rho: self.rho,
            beta,
            directions: self.directions,
            instances: self.instances,
            seed: self.seed,
            temperature: self.temperature,
            dropout: self.dropout,
        }
    }

    /// The first batches that training would see, of as many epochs as it takes.
    fn deal(&self, corpus: &Corpus, model: &SentenceEncoder) -> Result<Vec<PackedBatch>, Ending> {
        let batching = Batching {
            batch_size: self.batch_size,
            seed: self.seed,
            mask_span: self.mask_span,
            mask_token: match self.mask_span {
                0 => String::new(),
                _ => model.tokenizer.mask_token()?.to_owned(),
            },
        };
        let preparation = Preparation {
            encoder: model.encoder.clone(),
            tokenizer: model.tokenizer.clone(),
            prompt: model.prompt.clone(),
            max_length: self.max_length,
        };
        let mut batches = Vec::with_capacity(self.batches);
        for epoch in 0.. {
            for batch in corpus.epoch(&batching, epoch)?.take(self.batches - batches.len()) {
                batches.push(preparation.pack(&batch?)?);
            }
            if batches.len() == self.batches {
                break;
            }
        }
        Ok(batches)
    }

    fn write(
        &self,
        targets: &Targets,
        corpus: &Corpus,
        settings: Settings,
        found: Found,
        curve: Option<Curve>,
    ) -> Done {
        if let (Some(file), Some(curve)) = (&targets.drawing, &curve) {
            file.write(plot::svg(curve, self.rho, &self.model).as_bytes())?;
        }
        let report = Report {
            model: &self.model,
            corpus: corpus.name(),
            corpus_sha256: corpus.sha256(),
            batch_size: self.batch_size,
            settings,
            found,
            curve,
        };
        let mut out = io::stdout().lock();
        match &targets.numbers {
            Some(file) => file.write(&json(&report)?)?,
            None if self.json.is_some() => return Ok(out.write_all(&json(&report)?)?),
            None => {}
        }
        print_table(&report, &mut out)?;
        if let Some(path) = &self.output {
            writeln!(out, "\ndrawn in {}", path.display())?;
        }
        Ok(out.flush()?)
    }
}

/// The files that are written.
struct Targets {
    drawing: Option<OutputFile>,
    /// None also where they go to standard output.
    numbers: Option<OutputFile>,
}

fn check_finite(found: &Found, rho: f64) -> Done {
    if !found.loss.estimate.is_finite() {
        return Err(failure(format!("the loss at the model's own weights is {}", found.loss.estimate)));
    }
    for (what, rise) in
        [("R_batch", found.batch), ("R_s", found.weighted), ("a", found.random), ("R_inst", found.instance)]
    {
        if !rise.estimate.is_finite() {
            return Err(failure(format!("{what} is {} at ρ = {rho}; lower --rho", rise.estimate)));
        }
    }
    Ok(())
}

fn print_table(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let found = &report.found;
    let mut row = |name: &str, interval: Interval| {
        let Interval { estimate, low, high, .. } = interval;
        let [estimate, low, high] = [estimate, low, high].map(significant);
        writeln!(out, "{name:<46} {estimate:>10}   {low:>10} to {high}")
    };
    let Settings { rho, beta, directions, .. } = report.settings;
    row("loss at the weights", found.loss)?;
    row(&format!("R_batch: rise along SAM's ascent, ρ = {rho}"), found.batch)?;
    row(&format!("R_s: rise along δ-SAM's ascent, β = {beta}"), found.weighted)?;
    row(&format!("a: rise along a random direction ({directions})"), found.random)?;
    row("|a|, mean", found.random_absolute)?;
    row(&format!("R_inst: rise along own ascent ({} sampled)", found.sampled), found.instance)?;
    for (name, ranking) in [
        ("rank by |a| along one direction, Spearman", found.ranking),
        ("rank by mean |a| of all directions, Spearman", found.ranking_by_mean),
        ("rank by the loss itself, Spearman", found.ranking_by_loss),
    ] {
        let undefined = Interval { estimate: f64::NAN, low: f64::NAN, high: f64::NAN, resamples: 0 };
        row(name, ranking.unwrap_or(undefined))?;
    }
    writeln!(
        out,
        "\n{} in {} of {}; 95 % intervals over instances. Ranks are against own sharpness.",
        counted(found.instances as u64, "instance"),
        if found.batches == 1 { "1 batch".to_owned() } else { format!("{} batches", found.batches) },
        report.batch_size
    )
}
