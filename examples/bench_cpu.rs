//! Our side of `scripts/bench-cpu`: reads one request a line (JSON) on standard input, answers with one line.
//!
//! The process lives as long as the benchmark, so that its turns can alternate with its peer's without
//! loading anything anew; while it waits for a request it computes nothing.

use std::collections::HashSet;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor};
use mirror::corpus::{Batching, Corpus, Format};
use mirror::encoder::{Encoder, PackedBatch, Parameters, Pass, Precision, SequenceId, product_seconds};
use mirror::objective::{Contrastive, Loss};
use mirror::optim::{AdamW, AdamWConfig};
use mirror::perturb::plain::Plain;
use mirror::random::Key;
use mirror::regularization::Regularization;
use mirror::sentence_encoder::{Overrides, SentenceEncoder};
use mirror::trainer::run::Preparation;
use mirror::trainer::{Hyperparameters, Trainer};
use serde::Deserialize;
use serde_json::{Value, json};
use sts_eval::{Convention, SentEval};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SEED: u64 = 42;
const MAX_LENGTH: usize = 50;

#[derive(Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
enum Request {
    /// Writes the inputs of both sides: token ids of the first batches of an epoch, and sentences.
    Prepare {
        corpus: PathBuf,
        senteval: Option<PathBuf>,
        batch_size: usize,
        batches: usize,
        sentences: usize,
        folder: PathBuf,
    },
    /// FLOP/s of the matrix product of a feed-forward block, `[rows, 384] · [384, 1536]`.
    GemmRate { rows: usize },
    /// The same as our layers compute it, in `precision`.
    ProductRate { rows: usize, precision: Precision },
    /// Forward and backward of `sequences` of `length` random tokens, dropout 0.1, mean pooling.
    EncoderPass {
        sequences: usize,
        length: usize,
        #[serde(default)]
        precision: Precision,
    },
    /// A whole training step on prepared batch `batch`.
    Step {
        folder: PathBuf,
        batch: usize,
        #[serde(default)]
        precision: Precision,
    },
    /// A whole training step on `sequences` of `length` random tokens.
    StepOfShape { sequences: usize, length: usize },
    /// Prepared sentences `from .. to`, text to embeddings; `save` keeps these.
    Encode {
        folder: PathBuf,
        from: usize,
        to: usize,
        save: Option<PathBuf>,
        #[serde(default)]
        precision: Precision,
    },
    /// Of this process so far, in KiB.
    Memory,
}

fn main() -> Result<()> {
    let model = std::env::args().nth(1).ok_or("bench_cpu MODEL: the model's folder is missing")?;
    let mut bench = Bench::load(Path::new(&model))?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", bench.answer(serde_json::from_str(&line?)?)?)?;
        out.flush()?;
    }
    Ok(())
}

struct Bench {
    model: SentenceEncoder,
    /// The model by precision, made when it is first asked for.
    models: [Option<SentenceEncoder>; 3],
    /// By precision, each with the weights that it trains; made at the first step, so that encoding alone does not pay
    /// for it.
    trainers: [Option<(Trainer, Parameters)>; 3],
    batches: Vec<PackedBatch>,
    sentences: Vec<String>,
}

impl Bench {
    fn load(folder: &Path) -> Result<Self> {
        let model = SentenceEncoder::load(folder, Overrides::default(), &Device::Cpu)?;
        let (models, trainers) = Default::default();
        Ok(Bench { model, models, trainers, batches: Vec::new(), sentences: Vec::new() })
    }

    fn answer(&mut self, request: Request) -> Result<Value> {
        match request {
            Request::Prepare { corpus, senteval, batch_size, batches, sentences, folder } => {
                let batches = self.tokens_of_epoch(&corpus, batch_size, batches)?;
                let sentences = sample(sentences_of(senteval.as_deref(), &corpus)?, sentences);
                std::fs::write(folder.join("batches.json"), serde_json::to_vec(&batches)?)?;
                std::fs::write(folder.join("sentences.json"), serde_json::to_vec(&sentences)?)?;
                let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
                let tokens = self.model.tokenizer.encode_batch(&texts, self.model.max_length)?;
                let tokens: usize = tokens.iter().map(Vec::len).sum();
                Ok(json!({ "sentences": sentences.len(), "sentence_tokens": tokens }))
            }
            Request::GemmRate { rows } => gemm_rate(rows),
            Request::ProductRate { rows, precision } => {
                let seconds = product_seconds(precision, [rows, 384, 1536]);
                Ok(json!({ "flops_per_second": (2 * rows * 384 * 1536) as f64 / seconds }))
            }
            Request::EncoderPass { sequences, length, precision } => {
                self.encoder_pass(sequences, length, precision)
            }
            Request::Step { folder, batch, precision } => {
                if self.batches.is_empty() {
                    self.batches = read_batches(&self.model.encoder, &folder)?;
                }
                let batch = self.batches.get(batch).ok_or("no such batch")?.clone();
                self.step(&batch, precision)
            }
            Request::StepOfShape { sequences, length } => {
                self.step(&self.random_batch(sequences, length), Precision::F32)
            }
            Request::Encode { folder, from, to, save, precision } => {
                if self.sentences.is_empty() {
                    self.sentences = serde_json::from_slice(&std::fs::read(folder.join("sentences.json"))?)?;
                }
                let sentences: Vec<&str> = self.sentences[from..to].iter().map(String::as_str).collect();
                if self.models[precision as usize].is_none() {
                    self.models[precision as usize] = Some(self.model.clone().in_precision(precision)?);
                }
                let model = self.models[precision as usize].as_ref().ok_or("no model")?;
                let began = Instant::now();
                let embeddings = model.encode(&sentences)?;
                let seconds = began.elapsed().as_secs_f64();
                if let Some(path) = save {
                    let rows: Vec<_> = embeddings.rows().into_iter().map(|row| row.to_vec()).collect();
                    std::fs::write(path, serde_json::to_vec(&rows)?)?;
                }
                Ok(json!({ "seconds": seconds }))
            }
            Request::Memory => memory(),
        }
    }

    /// Of each batch, the tokens of N first views and then of N second views.
    fn tokens_of_epoch(&self, corpus: &Path, batch_size: usize, count: usize) -> Result<Vec<Vec<Vec<u32>>>> {
        let tokenizer = self.model.tokenizer.clone();
        let batching =
            Batching { batch_size, seed: SEED, mask_span: 5, mask_token: tokenizer.mask_token()?.to_owned() };
        let preparation = Preparation {
            encoder: self.model.encoder.clone(),
            tokenizer,
            prompt: Default::default(),
            max_length: MAX_LENGTH,
        };
        let corpus = Corpus::open(corpus, Format::Sentences)?;
        let mut batches = Vec::new();
        for batch in corpus.epoch(&batching, 0)?.take(count) {
            let packed = preparation.pack(&batch?)?;
            batches.push((0..packed.len()).map(|i| packed.token_ids[packed.rows(i)].to_vec()).collect());
        }
        Ok(batches)
    }

    fn random_batch(&self, sequences: usize, length: usize) -> PackedBatch {
        let vocab_size = self.model.encoder.config.dimensions.vocab_size as u64;
        let tokens = |i: usize| -> Vec<u32> {
            (0..length).map(|t| Key::new(2).at(i as u64).at(t as u64).below(vocab_size) as u32).collect()
        };
        pack(&self.model.encoder, (0..sequences).map(tokens))
    }

    fn encoder_pass(&self, sequences: usize, length: usize, precision: Precision) -> Result<Value> {
        let SentenceEncoder { encoder, parameters, .. } = &self.model;
        let encoder = encoder.clone().training_in(precision);
        let batch = self.random_batch(sequences, length);
        let hidden = encoder.config.dimensions.hidden_size;
        let gradient = Tensor::full(0.01f32, (sequences, hidden), &Device::Cpu)?;
        let pass = Pass { key: Key::new(3), hidden_dropout: 0.1, attention_dropout: 0.1, drophead: 0.0 };
        let began = Instant::now();
        let encoded = encoder.embed_tracked(parameters, &batch, None, &pass)?;
        let mut gradients = parameters.zeros_like()?;
        encoded.tape.backward(parameters, &gradient, &mut gradients)?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(json!({ "seconds": seconds, "gradient_norm": gradients.norm()? }))
    }

    fn step(&mut self, batch: &PackedBatch, precision: Precision) -> Result<Value> {
        let place = &mut self.trainers[precision as usize];
        if place.is_none() {
            *place = Some(trainer(&self.model, precision)?);
        }
        let (trainer, weights) = place.as_mut().ok_or("no trainer")?;
        let began = Instant::now();
        let report = trainer.step(weights, batch, &Contrastive::new(0.04))?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(json!({ "seconds": seconds, "loss": report.loss, "tokens": report.tokens }))
    }
}

/// The defaults of `mirror train`.
fn trainer(model: &SentenceEncoder, precision: Precision) -> Result<(Trainer, Parameters)> {
    let weights = model.parameters.copy()?;
    let trainer = Trainer {
        encoder: model.encoder.clone().training_in(precision),
        optimizer: AdamW::new(AdamWConfig::default(), &weights)?,
        regularization: Regularization {
            loss: Loss::default(),
            perturbation: Box::new(Plain),
            perturb_every: 1,
        },
        hyperparameters: Hyperparameters { seed: SEED, dropout: 0.1, drophead: 0.0, clip_norm: None },
    };
    Ok((trainer, weights))
}

/// The first half of the sequences are first views, the other half second ones.
fn pack(encoder: &Encoder, sequences: impl ExactSizeIterator<Item = Vec<u32>>) -> PackedBatch {
    let sentences = sequences.len() / 2;
    let mut batch = PackedBatch::new();
    for (i, tokens) in sequences.enumerate() {
        let id = SequenceId { view: (i / sentences) as u32, sentence: (i % sentences) as u32 };
        encoder.push(&mut batch, &tokens, id, MAX_LENGTH);
    }
    batch
}

fn read_batches(encoder: &Encoder, folder: &Path) -> Result<Vec<PackedBatch>> {
    let batches: Vec<Vec<Vec<u32>>> = serde_json::from_slice(&std::fs::read(folder.join("batches.json"))?)?;
    Ok(batches.into_iter().map(|sequences| pack(encoder, sequences.into_iter())).collect())
}

/// The distinct sentences of the seven STS sets, or of the corpus where those are not there.
fn sentences_of(senteval: Option<&Path>, corpus: &Path) -> Result<Vec<String>> {
    let mut sentences = Vec::new();
    match senteval {
        Some(folder) => {
            for task in SentEval::open(folder)?.tasks(Convention::MirrorBert)? {
                sentences.extend(task.pairs().flat_map(|pair| [pair.first.clone(), pair.second.clone()]));
            }
        }
        None => sentences.extend(std::fs::read_to_string(corpus)?.lines().map(str::to_owned)),
    }
    let mut seen = HashSet::new();
    sentences.retain(|sentence| seen.insert(sentence.clone()));
    Ok(sentences)
}

/// `count` of the sentences in a random order, so that every part of them has the same mix of lengths.
fn sample(mut sentences: Vec<String>, count: usize) -> Vec<String> {
    let key = Key::new(SEED);
    let mut i = 0;
    sentences.sort_by_cached_key(|_| {
        i += 1;
        key.at(i).below(u64::MAX)
    });
    sentences.truncate(count);
    sentences
}

fn gemm_rate(rows: usize) -> Result<Value> {
    let a = Tensor::randn(0f32, 1.0, (rows, 384), &Device::Cpu)?;
    let b = Tensor::randn(0f32, 1.0, (384, 1536), &Device::Cpu)?;
    let mut seconds = f64::MAX;
    for _ in 0..10 {
        let began = Instant::now();
        a.matmul(&b)?;
        seconds = seconds.min(began.elapsed().as_secs_f64());
    }
    Ok(json!({ "flops_per_second": (2 * rows * 384 * 1536) as f64 / seconds }))
}

fn memory() -> Result<Value> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such field")?;
        Ok(line.trim_matches([' ', '\t', ':', 'k', 'B']).parse()?)
    };
    Ok(json!({ "peak": field("VmHWM")?, "resident": field("VmRSS")? }))
}
