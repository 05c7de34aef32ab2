//! The recorded batch of texts and pairs with labels, for a step of a head's objective under dropout.

use candle_core::{DType, Tensor};
use mirror::encoder::{Encoder, PackedBatch, Parameters, Pass, SequenceId};
use mirror::objective::{Classification, Loss, Objective, Regression, Step, head};
use mirror::perturb::Problem;
use mirror::tokenize::Tokens;

use super::folder::relative_error;
use super::recorded::Recorded;
use super::{Folder, Precision};

pub struct Labelled<'a> {
    folder: &'a Folder,
    encoder: Encoder,
    batch: PackedBatch,
    draws: Recorded<'a>,
    objective: Box<dyn Objective>,
    head: mirror::model::Head,
}

impl<'a> Labelled<'a> {
    pub fn new(folder: &'a Folder) -> Self {
        let encoder = folder.encoder("cls");
        let labels = &folder.inputs["labels"];
        let (head, objective): (_, Box<dyn Objective>) = if folder.expected["objective"] == "classification" {
            let head = folder.config.sequence_head(folder.tensors["logits"].dims()[1]);
            let classes = labels.to_vec1::<i64>().unwrap().into_iter().map(|class| class as usize).collect();
            (head.clone(), Box::new(Classification { head, classes }))
        } else {
            let head = folder.config.sequence_head(1);
            (head.clone(), Box::new(Regression { head, values: labels.to_vec1().unwrap() }))
        };
        let batch = batch(folder, &encoder);
        Labelled { folder, encoder, batch, draws: Recorded { folder }, objective, head }
    }

    pub fn step(&self) -> Step<'_> {
        let pass = self.folder.dropout_pass();
        let objective = &*self.objective;
        Step { encoder: &self.encoder, batch: &self.batch, pass, draws: &self.draws, objective }
    }

    pub fn weights(&self, precision: Precision) -> Parameters {
        self.folder.parameters_of(self.folder.config.layout().with_head(&self.head), precision)
    }

    /// What the head gives without dropout, against what was recorded.
    pub fn logits(&self, precision: Precision) -> f64 {
        let weights = self.weights(precision);
        let step = Step { pass: Pass::inference(), ..self.step() };
        let embeddings = step.encoder.embed(&weights, step.batch, None, &step.pass).unwrap();
        let embeddings = embeddings.to_dtype(DType::F64).unwrap();
        let own = mirror::objective::OwnWeights::constants(step.encoder, &weights).unwrap();
        let leaf = mirror::objective::Leaf {
            embeddings: &embeddings,
            own: &own,
            batch: step.batch,
            pass: &step.pass,
        };
        let logits: Tensor = head::forward(&self.head, &leaf).unwrap();
        let error = relative_error(&logits, &self.folder.tensors["logits"]);
        assert!(error <= precision.values(), "{}: logits {error:e}", self.folder.path.display());
        error
    }

    /// How far the mean loss moves where masks are others, which a recorded step has to notice.
    pub fn shift_of_other_masks(&self) -> f64 {
        let weights = self.weights(Precision::Composed64);
        let loss = Loss::default();
        let mean = |step: &Step| Problem { loss: &loss, step }.evaluate(&weights).unwrap().mean_loss();
        let step = self.step();
        (mean(&step) - mean(&Step { pass: step.pass.redrawn(7), ..step })).abs()
    }
}

fn batch(folder: &Folder, encoder: &Encoder) -> PackedBatch {
    let [ids, mask, types]: [Vec<Vec<i64>>; 3] =
        ["input_ids", "attention_mask", "token_type_ids"].map(|name| folder.inputs[name].to_vec2().unwrap());
    let mut batch = PackedBatch::new();
    for (sentence, ((ids, mask), types)) in ids.iter().zip(&mask).zip(&types).enumerate() {
        let real = mask.iter().filter(|&&there| there == 1).count();
        let of = |values: &[i64]| values[..real].iter().map(|&value| value as u32).collect::<Vec<_>>();
        let id = SequenceId { view: 0, sentence: sentence as u32 };
        encoder.push_typed(&mut batch, &Tokens { ids: of(ids), types: of(types), is_cut: false }, id, real);
    }
    batch
}
