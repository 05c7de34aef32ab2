//! What a step with each weight perturbation costs, side by side: scripts/bench-reg runs it and writes
//! eval/benchmarks/regularizers.md. Linux, since processor time and peak memory come from /proc.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use clap::Parser;
use mirror::corpus::{Batching, Corpus, Format};
use mirror::encoder::{Encoder, EncoderConfig, PackedBatch, Parameters, Pooling, SequenceId};
use mirror::objective::{Contrastive, Loss};
use mirror::optim::{AdamW, AdamWConfig};
use mirror::perturb::delta_sam::DeltaSam;
use mirror::perturb::plain::Plain;
use mirror::perturb::sam::Sam;
use mirror::perturb::{Restriction, WeightPerturbation};
use mirror::random::Key;
use mirror::regularization::Regularization;
use mirror::sentence_encoder::{Overrides, SentenceEncoder};
use mirror::trainer::run::Preparation;
use mirror::trainer::{Hyperparameters, Trainer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Options {
    /// Model folder [default: random weights in MiniLM's shape, 6 layers of 384]
    #[arg(long, requires = "corpus")]
    model: Option<PathBuf>,
    /// Sentences [default: random tokens, with lengths as in the 10k corpus]
    #[arg(long, requires = "model")]
    corpus: Option<PathBuf>,
    #[arg(long, default_value_t = 200)]
    batch_size: usize,
    /// Steps with each perturbation, after one that does not count
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Make two steps with this one and print the peak of memory, in bytes
    #[arg(long, value_name = "NAME")]
    peak_of: Option<String>,
}

const NAMES: [&str; 3] = ["none", "sam", "delta-sam"];

fn main() -> Result<()> {
    let options = Options::parse();
    let (encoder, weights, batch) = options.load()?;
    if let Some(name) = &options.peak_of {
        let mut weights = weights;
        let mut trainer = trainer(&encoder, &weights, name)?;
        trainer.step(&mut weights, &batch, &Contrastive::new(0.04))?;
        trainer.step(&mut weights, &batch, &Contrastive::new(0.04))?;
        println!("{}", peak_memory()?);
        return Ok(());
    }
    let copy = weights.layout().len() as f64 * 4.0;
    let times = time(&encoder, &weights, &batch, options.rounds)?;
    drop(weights);
    let peaks = NAMES.iter().map(|name| options.peak_in_a_child(name)).collect::<Result<Vec<f64>>>()?;
    print_times(&times, &batch);
    print_memory(&peaks, copy);
    Ok(())
}

impl Options {
    fn load(&self) -> Result<(Encoder, Parameters, PackedBatch)> {
        let (Some(folder), Some(corpus)) = (&self.model, &self.corpus) else {
            return random(self.batch_size);
        };
        let model = SentenceEncoder::load(folder, Overrides::default(), &Device::Cpu)?;
        let mask_token = model.tokenizer.mask_token()?.to_owned();
        let batching = Batching { batch_size: self.batch_size, seed: 42, mask_span: 5, mask_token };
        let corpus = Corpus::open(corpus, Format::Sentences)?;
        let first = corpus.epoch(&batching, 0)?.next().context("the corpus has no full batch")??;
        let preparation = Preparation {
            encoder: model.encoder.clone(),
            tokenizer: model.tokenizer,
            prompt: Default::default(),
            max_length: 50,
        };
        Ok((model.encoder, model.parameters, preparation.pack(&first)?))
    }

    /// Peak memory, in bytes, of a process of its own.
    fn peak_in_a_child(&self, name: &str) -> Result<f64> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--peak-of", name, "--batch-size", &self.batch_size.to_string()]);
        if let (Some(model), Some(corpus)) = (&self.model, &self.corpus) {
            command.arg("--model").arg(model).arg("--corpus").arg(corpus);
        }
        let output = command.output()?;
        let text = String::from_utf8(output.stdout)?;
        text.trim().parse().with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Random weights and a random batch: time does not depend on the values.
fn random(batch_size: usize) -> Result<(Encoder, Parameters, PackedBatch)> {
    let config = serde_json::json!({
        "model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536, "hidden_act": "gelu",
        "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0
    });
    let config = EncoderConfig::from_json(&config.to_string(), "MiniLM's shape".as_ref())?;
    let encoder = Encoder::new(config, Pooling::Mean);
    let key = Key::new(1);
    let weights =
        Parameters::zeros(encoder.layout(), DType::F32, &Device::Cpu)?.normals(key)?.scaled(0.05)?;
    let mut batch = PackedBatch::new();
    for view in 0..2 {
        for sentence in 0..batch_size as u32 {
            let row = key.at(100).at(u64::from(sentence));
            // 4 to 43 tokens, 14.4 on average.
            let length = 4 + (row.unit(0).powf(2.85) * 40.0) as u64;
            let tokens: Vec<u32> = (0..length).map(|t| row.at(t).below(30_522) as u32).collect();
            batch.push(&tokens, 0, SequenceId { view, sentence });
        }
    }
    Ok((encoder, weights, batch))
}

fn trainer(encoder: &Encoder, weights: &Parameters, name: &str) -> Result<Trainer> {
    let restriction = Restriction::All;
    let perturbation: Box<dyn WeightPerturbation> = match name {
        "none" => Box::new(Plain),
        "sam" => Box::new(Sam { rho: 0.05, restriction }),
        "delta-sam" => Box::new(DeltaSam { rho: 0.05, beta: 3.0, restriction }),
        _ => anyhow::bail!("{name} is none of {}", NAMES.join(", ")),
    };
    Ok(Trainer {
        encoder: encoder.clone(),
        optimizer: AdamW::new(AdamWConfig::default(), weights)?,
        regularization: Regularization { loss: Loss::default(), perturbation, perturb_every: 1 },
        hyperparameters: Hyperparameters { seed: 42, dropout: 0.1, drophead: 0.0, clip_norm: None },
    })
}

/// Seconds of a step, by the clock and of the processors.
#[derive(Clone, Copy)]
struct Seconds {
    wall: f64,
    processor: f64,
}

/// A row for each round, in the order of [`NAMES`]. Rounds alternate, so that whatever else the machine
/// does meets all alike.
fn time(
    encoder: &Encoder,
    weights: &Parameters,
    batch: &PackedBatch,
    rounds: usize,
) -> Result<Vec<[Seconds; 3]>> {
    let mut trainers = Vec::new();
    for name in NAMES {
        trainers.push((trainer(encoder, weights, name)?, weights.copy()?));
    }
    let mut times = Vec::new();
    for round in 0..=rounds {
        let mut row = [Seconds { wall: 0.0, processor: 0.0 }; 3];
        for ((trainer, weights), seconds) in trainers.iter_mut().zip(&mut row) {
            let (clock, processor) = (Instant::now(), processor_seconds()?);
            trainer.step(weights, batch, &Contrastive::new(0.04))?;
            *seconds =
                Seconds { wall: clock.elapsed().as_secs_f64(), processor: processor_seconds()? - processor };
        }
        if round > 0 {
            times.push(row);
        }
    }
    Ok(times)
}

/// Of all threads, in user and in kernel mode, from /proc/self/stat in ticks of a hundredth of a second.
fn processor_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses, which may hold blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |place: usize| fields.get(place).and_then(|f| f.parse::<f64>().ok()).context("/proc/self/stat");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// The largest resident set of this process so far, in bytes.
fn peak_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no VmHWM")?.parse()?;
    Ok(kib * 1024.0)
}

fn print_times(times: &[[Seconds; 3]], batch: &PackedBatch) {
    println!(
        "{} sequences, {} tokens; medians of {} steps each, alternating.\n",
        batch.len(),
        batch.total_tokens(),
        times.len()
    );
    println!("| | seconds by the clock | seconds of the processors |");
    println!("|---|---|---|");
    for (i, name) in NAMES.iter().enumerate() {
        let of = |f: fn(&Seconds) -> f64| median(times.iter().map(|row| f(&row[i])).collect());
        println!("| {name} | {:.3} | {:.3} |", of(|s| s.wall), of(|s| s.processor));
    }
    for (name, above, below, limit) in [("SAM / none", 1, 0, 2.05), ("δ-SAM / SAM", 2, 1, 1.17)] {
        let of = |f: fn(&Seconds) -> f64| median(times.iter().map(|r| f(&r[above]) / f(&r[below])).collect());
        let (wall, processor) = (of(|s| s.wall), of(|s| s.processor));
        println!("| **{name}** (to reach: {limit}) | **{wall:.3}** | **{processor:.3}** |");
    }
}

fn print_memory(peaks: &[f64], copy: f64) {
    const MIB: f64 = 1024.0 * 1024.0;
    println!("\nPeak memory of a process that makes two steps; the weights are {:.0} MiB.\n", copy / MIB);
    println!("| | MiB |\n|---|---|");
    for (name, peak) in NAMES.iter().zip(peaks) {
        println!("| {name} | {:.0} |", peak / MIB);
    }
    println!("| **δ-SAM / SAM** (to reach: 1.02) | **{:.3}** |", peaks[2] / peaks[1]);
    let copies = (peaks[1] - peaks[0]) / copy;
    println!("| **SAM − none, in copies of the weights** (to reach: 1) | **{copies:.2}** |");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
