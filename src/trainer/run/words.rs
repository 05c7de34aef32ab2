//! The job of pretraining: sentences with masked tokens, and perplexity on lines held out.

use std::path::Path;

use candle_core::Device;

use super::job::{Batches, Job, LoopSettings, Measured, Measurements, Prepared};
use super::sentences::SentenceBatches;
use super::taking_up::Parts;
use super::{Observer, Run};
use crate::checkpoint::configuration::write_configuration;
use crate::checkpoint::{Origin, PerplexityScore};
use crate::corpus::{Batch, Corpus, EpochBatches, Prefetch};
use crate::interrupt::Interrupt;
use crate::model_folder::SaveError;
use crate::optim::AdamW;
use crate::output::OutputFolder;
use crate::quote::counted;
use crate::trainer::pretrain::card::{Pretrained, pretraining_card};
use crate::trainer::pretrain::masking::Masking;
use crate::trainer::pretrain::model::{MaskedBatch, MaskedModel};
use crate::trainer::pretrain::{PretrainOptions, PretrainPlan};
use crate::trainer::{Hyperparameters, TrainError, Trainer};
use crate::weights::Parameters;

/// What a model for masked words is trained on and measured on.
struct Words {
    options: PretrainOptions,
    corpus: Corpus,
    /// The batches of the first epoch, dealt when the run was planned.
    first_epoch: Option<EpochBatches>,
    /// With the weights that are trained.
    model: MaskedModel,
    /// Lines that are kept out of training; none, or no batch without a token to be masked.
    held_out: Vec<MaskedBatch>,
    /// How many lines those are.
    lines_held_out: usize,
}

impl PretrainPlan {
    /// Writes train.toml, from when on the run can be resumed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, output: &OutputFolder) -> Result<(), TrainError> {
        Ok(write_configuration(&self.options, output.work()).map_err(SaveError::from)?)
    }

    fn loop_settings(&self) -> LoopSettings {
        let options = &self.options;
        LoopSettings {
            batch_size: options.batch_size,
            parts: options.accumulate,
            epochs: options.epochs,
            max_steps: options.max_steps,
            eval_every: options.eval_every.unwrap_or(self.corpus.steps_per_epoch(options.batch_size)),
            keep_best: options.keep_best,
            early_stop: options.early_stop,
        }
    }
}

impl PretrainOptions {
    fn masking(&self, model: &MaskedModel) -> Result<Masking, TrainError> {
        Ok(Masking::new(&model.tokenizer, self.mask_share, self.whole_words, self.seed)?)
    }
}

impl Run {
    /// As [`Run::open`], for masked language modelling.
    ///
    /// # Errors
    /// As there, and a tokenizer without a mask token.
    pub fn open_masked(
        plan: PretrainPlan,
        output: &OutputFolder,
        device: &Device,
        interrupt: Interrupt,
        observer: &mut dyn Observer,
    ) -> Result<Run, TrainError> {
        let settings = plan.loop_settings();
        let PretrainPlan { options, regularization, corpus, held_out, first_epoch, model_folder } = plan;
        let precision = options.precision.precision();
        let mut model = MaskedModel::load(&model_folder, (options.seed, options.new_head), device)?;
        let most = model.encoder.config.max_sequence_length();
        if options.max_length > most {
            return Err(TrainError::TooLong { asked: options.max_length, most });
        }
        model.encoder = model.encoder.clone().training_in(precision);
        let masking = options.masking(&model)?;
        let lines: Vec<(u64, &str)> =
            held_out.iter().map(|entry| (entry.line, entry.texts[0].as_str())).collect();
        let held_out = model.batches(&masking, &lines, options.max_length)?;
        let lines_held_out = lines.len();
        let origin = Origin::of(corpus.sha256(), &model.source, device, precision)?;

        let mut optimizer = AdamW::new(options.optimizer(), &model.parameters)?;
        optimizer.schedule =
            options.learning_rates(settings.steps(corpus.steps_per_epoch(options.batch_size)));
        let trainer = Trainer {
            encoder: model.encoder.clone().in_parts(options.accumulate),
            optimizer,
            regularization: regularization.build(),
            hyperparameters: Hyperparameters {
                seed: options.seed,
                dropout: options.dropout,
                drophead: options.drophead,
                clip_norm: options.clip_norm,
            },
        };
        let (save_every, keep_last, log_dir) =
            (options.save_every, options.keep_last, options.log_dir.clone());
        let first_epoch = Some(first_epoch);
        let job = Box::new(Words { options, corpus, first_epoch, model, held_out, lines_held_out });
        let (memory, log_dir) = (None, log_dir.as_deref());
        let parts = Parts { job, settings, trainer, origin, memory, save_every, keep_last, log_dir };
        Run::take_up(parts, output, interrupt, observer)
    }
}

impl Job for Words {
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
        let mut remarks = self.corpus.remarks();
        remarks.push(match self.model.head_is_of_folder {
            true => "the head for masked words is that of the model's folder".to_owned(),
            false => "the head for masked words is new: its matrix is drawn from N(0, 0.02)".to_owned(),
        });
        if self.lines_held_out > 0 {
            let (name, count) = (self.corpus.name(), counted(self.lines_held_out as u64, "line"));
            remarks
                .push(format!("{name}: {count} held out, to measure perplexity on (--holdout 0 for none)"));
        }
        Ok(remarks)
    }

    fn steps_per_epoch(&self) -> u64 {
        self.corpus.steps_per_epoch(self.options.batch_size)
    }

    fn epoch(&mut self, epoch: u64, position: u64) -> Result<Box<dyn Batches>, TrainError> {
        let mut batches = match self.first_epoch.take().filter(|_| epoch == 0) {
            Some(first) => first,
            None => self.corpus.epoch(&self.options.batching(), epoch)?,
        };
        batches.skip_to(position)?;
        let masking = self.options.masking(&self.model)?;
        let (encoder, head) = (self.model.encoder.clone(), self.model.head.clone());
        let (tokenizer, max_length) = (self.model.tokenizer.clone(), self.options.max_length);
        let prepare = move |batch: Batch| {
            let lines = batch.view1.iter().zip(&batch.lines);
            let masked = lines.map(|(text, &line)| masking.line(&tokenizer, text, (epoch, line), max_length));
            let masked = masked.collect::<Result<Vec<_>, _>>()?;
            let MaskedBatch { packed, objective } = MaskedBatch::new(&encoder, &head, masked, max_length);
            if packed.total_outputs() == 0 {
                return Err(TrainError::NothingToMask { lines: batch.lines });
            }
            Ok(Prepared { packed, objective: Box::new(objective), lines: batch.lines })
        };
        Ok(Box::new(SentenceBatches { epoch, batches: Prefetch::new(batches, prepare)? }))
    }

    fn measure(
        &self,
        step: u64,
        found: &mut dyn FnMut(Measured) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let (sum, masked_tokens) = self.model.cross_entropy(&self.held_out)?;
        if masked_tokens == 0 {
            return Ok(());
        }
        let masked_loss = sum / masked_tokens as f64;
        let perplexity = masked_loss.exp();
        found(Measured::Perplexity(PerplexityScore { step, masked_loss, perplexity, masked_tokens }))
    }

    /// The loss on held-out lines: the less, the better.
    fn evaluations(&self, measured: &Measurements) -> Vec<(u64, f64)> {
        measured.perplexities.iter().map(|score| (score.step, -score.masked_loss)).collect()
    }

    fn save(&self, measured: &Measurements, steps: u64, folder: &Path) -> Result<(), SaveError> {
        let card = pretraining_card(&Pretrained {
            options: &self.options,
            lines: self.corpus.len(),
            measured: &measured.perplexities,
            steps,
        });
        write_configuration(&self.options, folder)?;
        self.model.contents(self.options.max_length).save(&self.model.parameters, &card, folder)
    }
}
