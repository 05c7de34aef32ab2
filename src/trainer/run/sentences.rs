//! The job of training a sentence encoder: a corpus of sentences in two views, scored on pairs and on held-out lines.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use sts_eval::unlabeled::{Views, evaluate_views};
use sts_eval::{DEFAULT_BLOCK_SIZE, Task};

use super::job::{Batches, Job, Measured, Measurements, Prepared};
use super::preparation::Preparation;
use crate::checkpoint::configuration::write_configuration;
use crate::checkpoint::{HeldOutScore, Score};
use crate::corpus::{Batch, Batching, Corpus, EpochBatches, Prefetch};
use crate::model::Head;
use crate::model_folder::{SaveError, WeightsError};
use crate::quote::counted;
use crate::sentence_encoder::SentenceEncoder;
use crate::trainer::model_card::{Trained, model_card};
use crate::trainer::{TrainError, TrainOptions, equal_views, projection};
use crate::weights::Parameters;

/// What a sentence encoder is trained on and measured on.
pub(super) struct Sentences {
    pub options: TrainOptions,
    pub corpus: Corpus,
    pub batching: Batching,
    /// The batches of the first epoch, dealt when the run was planned.
    pub first_epoch: Option<EpochBatches>,
    /// With the weights that are trained, a head's among them.
    pub model: SentenceEncoder,
    /// What embeddings go through in training before they are compared.
    pub head: Option<Head>,
    /// Where the model's files are: config.json and the pooler are passed on from there.
    pub transformer: PathBuf,
    /// The set to score on, before, during and after.
    pub scored_on: Option<Task>,
    /// Lines that are kept out of training, to measure on at the same times.
    pub held_out: Option<Views>,
}

impl Sentences {
    /// What of the model's folder is in force in training, and not trained.
    fn inherited(&self) -> Vec<String> {
        let (prompt, modules) = (&self.model.prompt.text, &self.model.encoder.modules);
        let mut remarks = Vec::new();
        if !prompt.is_empty() {
            let pooled = if self.model.prompt.left_out { ", left out of pooling" } else { "" };
            remarks.push(format!("prompt {prompt:?} before each sentence (default_prompt_name{pooled})"));
        }
        if !modules.is_empty() {
            remarks.push(format!("after pooling, and not trained: {modules}"));
        }
        remarks
    }

    /// The sentence encoder as it would be saved.
    fn encoder(&self) -> candle_core::Result<Cow<'_, SentenceEncoder>> {
        Ok(match &self.head {
            Some(head) => Cow::Owned(projection::taken_off(&self.model, head, self.options.keep_head)?),
            None => Cow::Borrowed(&self.model),
        })
    }

    fn score_pairs(&self, step: u64) -> Result<Option<Score>, TrainError> {
        let Some(task) = &self.scored_on else { return Ok(None) };
        let spearman = sts_eval::evaluate_task(task, self.encoder()?.as_ref())?.score().spearman;
        Ok(Some(Score { step, set: task.name.clone(), spearman }))
    }

    fn measure_held_out(&self, step: u64) -> Result<Option<HeldOutScore>, TrainError> {
        let Some(views) = &self.held_out else { return Ok(None) };
        let unlabeled = evaluate_views(views, self.encoder()?.as_ref(), DEFAULT_BLOCK_SIZE * 8, |_| {})?;
        Ok(Some(HeldOutScore { step, unlabeled }))
    }
}

impl Job for Sentences {
    fn name(&self) -> String {
        self.corpus.name()
    }

    fn weights(&self) -> &Parameters {
        &self.model.parameters
    }

    fn weights_mut(&mut self) -> &mut Parameters {
        &mut self.model.parameters
    }

    fn remarks(&self) -> Result<Vec<String>, TrainError> {
        let mut remarks = self.inherited();
        remarks.extend(self.corpus.remarks());
        remarks.extend(equal_views::remark(&self.corpus, &self.options)?);
        if self.scored_on.is_none() && !self.options.no_eval {
            remarks.push(
                "no STS data: training runs without scores (fetch it with mirror data fetch, give --data DIR, or \
                 --no-eval to silence this)"
                    .to_owned(),
            );
        }
        if let Some(views) = &self.held_out {
            let (name, count) = (self.corpus.name(), views.sentences.len());
            remarks.push(format!("{name}: {count} lines are held out, to measure on (--holdout 0 for none)"));
        }
        Ok(remarks)
    }

    fn steps_per_epoch(&self) -> u64 {
        self.corpus.steps_per_epoch(self.options.batch_size)
    }

    fn epoch(&mut self, epoch: u64, position: u64) -> Result<Box<dyn Batches>, TrainError> {
        let mut batches = match self.first_epoch.take().filter(|_| epoch == 0) {
            Some(first) => first.masked(self.batching.mask_span, &self.batching.mask_token),
            None => self.corpus.epoch(&self.batching, epoch)?,
        };
        batches.skip_to(position)?;
        let preparation = Preparation {
            encoder: self.model.encoder.clone(),
            tokenizer: self.model.tokenizer.clone(),
            prompt: self.model.prompt.clone(),
            max_length: self.options.max_length,
        };
        let objective = self.options.objective(self.head.clone());
        let prepare = move |batch: Batch| {
            let packed = preparation.pack(&batch)?;
            Ok(Prepared { packed, objective: Box::new(objective.clone()), lines: batch.lines })
        };
        Ok(Box::new(SentenceBatches { epoch, batches: Prefetch::new(batches, prepare)? }))
    }

    fn measure(
        &self,
        step: u64,
        found: &mut dyn FnMut(Measured) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        if let Some(score) = self.score_pairs(step)? {
            found(Measured::Pairs(score))?;
        }
        if let Some(score) = self.measure_held_out(step)? {
            found(Measured::HeldOut(score))?;
        }
        Ok(())
    }

    /// Spearman's ρ on the scored set where there is one, else the mean reciprocal rank of held-out lines.
    fn evaluations(&self, measured: &Measurements) -> Vec<(u64, f64)> {
        let value = |score: Option<f64>| score.unwrap_or(f64::NEG_INFINITY);
        if self.scored_on.is_some() {
            return measured.scores.iter().map(|score| (score.step, value(score.spearman))).collect();
        }
        measured.held_out.iter().map(|score| (score.step, value(score.unlabeled.mrr))).collect()
    }

    fn save(&self, measured: &Measurements, steps: u64, folder: &Path) -> Result<(), SaveError> {
        let model = self.encoder().map_err(WeightsError::from)?;
        let card = model_card(&Trained {
            encoder: &model,
            options: &self.options,
            corpus: &self.corpus,
            scores: &measured.scores,
            held_out: &measured.held_out,
            steps,
        });
        write_configuration(&self.options, folder)?;
        model.contents(&self.transformer).save(&model.parameters, &card, folder)
    }
}

/// An epoch's batches, which know how many repeated lines were left out at its end.
pub(super) struct SentenceBatches {
    pub epoch: u64,
    pub batches: Prefetch<EpochBatches, Prepared, TrainError>,
}

impl Iterator for SentenceBatches {
    type Item = Result<Prepared, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

impl Batches for SentenceBatches {
    fn finish(self: Box<Self>) -> Result<Option<String>, TrainError> {
        let summary = self.batches.finish()?.summary().filter(|summary| summary.surplus > 0);
        Ok(summary.map(|summary| {
            format!(
                "epoch {}: {} left out, since a batch holds no sentence twice",
                self.epoch + 1,
                counted(summary.surplus, "repeated line")
            )
        }))
    }
}
