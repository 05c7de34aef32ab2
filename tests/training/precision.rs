//! What of a training step bf16 must not change: the order in which δ-SAM ranks the instances of a batch.

use std::path::Path;

use candle_core::Device;
use mirror::builtin;
use mirror::corpus::{Batching, Corpus, Format};
use mirror::encoder::{Encoder, PackedBatch, Pass, Precision};
use mirror::objective::{Contrastive, Draws, HashedDraws, Loss, Step};
use mirror::optim::{AdamW, AdamWConfig};
use mirror::perturb::delta_sam::DeltaSam;
use mirror::perturb::{Problem, Restriction, WeightPerturbation};
use mirror::sentence_encoder::{Overrides, SentenceEncoder};
use mirror::trainer::run::Preparation;

/// A model with batches of its corpus: those of ../shared where they are, else the built-in ones.
fn model_and_batches(size: usize, count: usize) -> (SentenceEncoder, Vec<PackedBatch>) {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let (folder, corpus) = (shared.join("models/minilm-mlm"), shared.join("data/corpus/mirror-10k.txt"));
    let unpacked = tempfile::tempdir().unwrap();
    let is_shared = folder.join("model.safetensors").exists() && corpus.exists();
    let folder = if is_shared {
        folder.as_path()
    } else {
        builtin::unpack(unpacked.path()).unwrap();
        unpacked.path()
    };
    let model = SentenceEncoder::load(folder, Overrides::default(), &Device::Cpu).unwrap();
    let corpus = if is_shared {
        Corpus::open(&corpus, Format::Sentences).unwrap()
    } else {
        Corpus::from_text(builtin::CORPUS).unwrap()
    };
    let mask_token = model.tokenizer.mask_token().unwrap().to_owned();
    let batching = Batching { batch_size: size, seed: 42, mask_span: 5, mask_token };
    let preparation = Preparation {
        encoder: model.encoder.clone(),
        tokenizer: model.tokenizer.clone(),
        prompt: Default::default(),
        max_length: 50,
    };
    let epoch = corpus.epoch(&batching, 0).unwrap().take(count);
    let batches = epoch.map(|batch| preparation.pack(&batch.unwrap()).unwrap()).collect();
    (model, batches)
}

/// The place of each value among all, the least first.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    order.iter().enumerate().for_each(|(rank, &i)| ranks[i] = rank as f64);
    ranks
}

fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[test]
fn delta_sam_ranks_instances_in_bf16_as_in_f32() {
    let (model, batches) = model_and_batches(64, 2);
    let mut weights = model.parameters.copy().unwrap();
    let mut optimizer = AdamW::new(AdamWConfig::default(), &weights).unwrap();
    let delta_sam = DeltaSam { rho: 0.05, beta: 3.0, restriction: Restriction::All };
    for (number, batch) in batches.iter().enumerate() {
        let draws = HashedDraws::new(42, number as u64 + 1);
        let pass = Pass { key: draws.pass_key(), hidden_dropout: 0.1, attention_dropout: 0.1, drophead: 0.0 };
        let (loss, objective) = (Loss::default(), Contrastive::new(0.04));
        let changes = |encoder: &Encoder| -> Vec<f64> {
            let step = Step { encoder, batch, pass, draws: &draws as &dyn Draws, objective: &objective };
            let problem = Problem { loss: &loss, step: &step };
            let clean = problem.evaluate(&weights).unwrap().instance_losses;
            let a = delta_sam.loss_changes(&problem, &weights, &clean).unwrap();
            a.into_iter().map(f64::abs).collect()
        };
        let exact = changes(&model.encoder);
        let bf16 = model.encoder.clone().training_in(Precision::Bf16);
        let rank = spearman(&exact, &changes(&bf16));
        assert!(rank >= 0.95, "step {}: {rank}", number + 1);

        // What differences of losses in bf16 would give, for the record.
        let step = Step { encoder: &bf16, batch, pass, draws: &draws, objective: &objective };
        let problem = Problem { loss: &loss, step: &step };
        let direction = problem.direction(&weights).unwrap();
        let there = weights.plus(&direction, 0.05 / direction.norm().unwrap()).unwrap();
        let [here, there] = [&weights, &there].map(|weights| problem.instance_losses(weights).unwrap());
        let rounded: Vec<f64> = here.iter().zip(&there).map(|(here, there)| (there - here).abs()).collect();
        println!(
            "step {}: Spearman of |a_j| with f32's {rank:.4}; of differences in bf16 {:.4}",
            number + 1,
            spearman(&exact, &rounded)
        );
        let step = Step { encoder: &bf16, batch, pass, draws: &draws, objective: &objective };
        let descent = delta_sam.descend(&Problem { loss: &loss, step: &step }, &weights).unwrap();
        optimizer.update(&mut weights, &descent.gradient).unwrap();
    }
}
