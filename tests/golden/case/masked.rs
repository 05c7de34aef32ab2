//! The recorded batch of masked sentences, for a step of masked language modelling under dropout.

use candle_core::{DType, Device};
use mirror::encoder::{Encoder, PackedBatch, Parameters, Pass, SequenceId};
use mirror::objective::{Leaf, Loss, MaskedWords, Objective, OwnWeights, Step};
use mirror::perturb::Problem;

use super::recorded::Recorded;
use super::{Folder, Precision};

pub struct Masked<'a> {
    folder: &'a Folder,
    encoder: Encoder,
    batch: PackedBatch,
    draws: Recorded<'a>,
    objective: MaskedWords,
}

impl<'a> Masked<'a> {
    pub fn new(folder: &'a Folder) -> Self {
        let encoder = folder.encoder("mean");
        let [ids, mask, labels]: [Vec<Vec<i64>>; 3] =
            ["input_ids", "attention_mask", "labels"].map(|name| folder.inputs[name].to_vec2().unwrap());
        let (mut batch, mut chosen, mut targets) = (PackedBatch::new(), Vec::new(), Vec::new());
        for (sentence, ((ids, mask), labels)) in ids.iter().zip(&mask).zip(&labels).enumerate() {
            let real = mask.iter().filter(|&&there| there == 1).count();
            let ids: Vec<u32> = ids[..real].iter().map(|&id| id as u32).collect();
            let first = batch.total_tokens();
            encoder.push(&mut batch, &ids, SequenceId { view: 0, sentence: sentence as u32 }, real);
            for (place, &label) in labels.iter().enumerate().filter(|&(_, &label)| label >= 0) {
                chosen.push(first + place);
                targets.push(label as u32);
            }
        }
        batch.chosen = Some(chosen);
        let objective = MaskedWords { head: folder.config.word_head(), targets };
        Masked { folder, encoder, batch, draws: Recorded { folder }, objective }
    }

    pub fn step(&self) -> Step<'_> {
        let (pass, objective) = (self.folder.dropout_pass(), &self.objective);
        Step { encoder: &self.encoder, batch: &self.batch, pass, draws: &self.draws, objective }
    }

    /// The same with a batch that goes through the encoder in parts.
    pub fn in_parts(self, parts: usize) -> Self {
        Masked { encoder: self.encoder.in_parts(parts), ..self }
    }

    pub fn weights(&self, precision: Precision) -> Parameters {
        self.folder.parameters_of(self.folder.config.layout().with_word_head(&self.objective.head), precision)
    }

    /// The loss of masked tokens without dropout, by the logits that were recorded of transformers' model: the mean of ours
    /// and of theirs.
    pub fn losses_without_dropout(&self, precision: Precision) -> [f64; 2] {
        let (weights, pass) = (self.weights(precision), Pass::inference());
        let states = self.encoder.embed(&weights, &self.batch, None, &pass).unwrap();
        let embeddings = &states.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        let own = OwnWeights::constants_sharing(&self.encoder, &weights, self.objective.shared()).unwrap();
        let words = self.objective.words(&Leaf { embeddings, own: &own, batch: &self.batch, pass: &pass });
        let ours: Vec<f64> = words.unwrap().losses_of_rows().unwrap().to_vec1().unwrap();
        let logits: Vec<Vec<f64>> =
            self.folder.tensors["logits"].to_dtype(DType::F64).unwrap().to_vec2().unwrap();
        let theirs = logits.iter().zip(&self.objective.targets).map(|(logits, &target)| {
            logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[target as usize]
        });
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        [mean(ours), mean(theirs.collect())]
    }

    /// How far the mean loss moves where dropout masks are others, which a recorded step has to notice.
    pub fn shift_of_other_masks(&self) -> f64 {
        let (weights, loss) = (self.weights(Precision::Composed64), Loss::default());
        let mean = |step: &Step| Problem { loss: &loss, step }.evaluate(&weights).unwrap().mean_loss();
        let step = self.step();
        (mean(&step) - mean(&Step { pass: step.pass.redrawn(7), ..step })).abs()
    }
}
