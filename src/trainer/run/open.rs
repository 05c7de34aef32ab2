//! How a run of a sentence encoder is opened: its plan becomes a job, with weights.

use candle_core::Device;
use sts_eval::unlabeled::Views;

use super::job::LoopSettings;
use super::sentences::Sentences;
use super::taking_up::Parts;
use super::{Observer, Run};
use crate::checkpoint::Origin;
use crate::checkpoint::configuration::write_configuration;
use crate::corpus::{Batching, Corpus, Entry};
use crate::encoder::Precision;
use crate::interrupt::Interrupt;
use crate::model_folder::SaveError;
use crate::optim::AdamW;
use crate::output::OutputFolder;
use crate::regularization::Resolved;
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::trainer::memory::Estimate;
use crate::trainer::plan::Plan;
use crate::trainer::{Hyperparameters, TrainError, TrainOptions, Trainer, projection};
use crate::unlabeled::{DEFAULT_MASK_SPAN, views};

impl Plan {
    /// Writes train.toml, from when on the run can be resumed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, output: &OutputFolder) -> Result<(), TrainError> {
        Ok(write_configuration(&self.options, output.work()).map_err(SaveError::from)?)
    }
}

impl Run {
    /// Loads the model and takes up the run from the newest whole checkpoint of its folder; a new folder has none.
    ///
    /// # Errors
    /// A model that cannot be loaded or is too small for the settings, other inputs than those of the checkpoint,
    /// files that cannot be read or written.
    pub fn open(
        plan: Plan,
        output: &OutputFolder,
        device: &Device,
        interrupt: Interrupt,
        observer: &mut dyn Observer,
    ) -> Result<Run, TrainError> {
        let Plan { options, regularization, corpus, held_out, first_epoch, scored_on, .. } = plan;
        let overrides = Overrides { pooling: options.pooling, max_length: None };
        let mut model = SentenceEncoder::load(&plan.model_folder, overrides, device)?;
        let precision = options.precision.precision();
        model.encoder = model.encoder.training_in(precision);
        check_fit(&options, &model)?;
        let batching = batching(&options, &model)?;
        let held_out = held_out_views(&options, &held_out, &corpus, &model, observer)?;
        let memory = Estimate::of(&options, regularization.composition(), &model, &corpus, device)?;
        observer.note(&memory.sentence());
        if !device.is_cpu() && precision == Precision::Bf16 {
            observer.note("layers multiply in bf16 on the GPU; --precision f32 gives f32");
        }

        let head = options.head.head(&model.encoder);
        if let Some(head) = &head {
            model.parameters = projection::add(&model.parameters, head, options.seed)?;
        }
        let settings = options.loop_settings();
        let steps = settings.steps(corpus.steps_per_epoch(options.batch_size));
        let trainer = trainer(&options, &regularization, &model, steps)?;
        let mut origin = Origin::of(corpus.sha256(), &plan.transformer, device, precision)?;
        origin.include(&model)?;
        let (save_every, keep_last, log_dir) =
            (options.save_every, options.keep_last, options.log_dir.clone());
        let job = Box::new(Sentences {
            options,
            corpus,
            batching,
            first_epoch: Some(first_epoch),
            model,
            head,
            transformer: plan.transformer,
            scored_on,
            held_out,
        });
        let (memory, log_dir) = (Some(memory), log_dir.as_deref());
        let parts = Parts { job, settings, trainer, origin, memory, save_every, keep_last, log_dir };
        Run::take_up(parts, output, interrupt, observer)
    }
}

impl TrainOptions {
    fn loop_settings(&self) -> LoopSettings {
        LoopSettings {
            batch_size: self.batch_size,
            parts: self.accumulate,
            epochs: self.epochs,
            max_steps: self.max_steps,
            eval_every: self.eval_every,
            keep_best: self.keep_best,
            early_stop: self.early_stop,
        }
    }
}

/// Refuses lengths that the model has no positions for.
fn check_fit(options: &TrainOptions, model: &SentenceEncoder) -> Result<(), TrainError> {
    let most = model.encoder.config.max_sequence_length();
    if options.max_length > most {
        return Err(TrainError::TooLong { asked: options.max_length, most });
    }
    let prompt = model.prompt.tokens(&model.tokenizer, most)?;
    if prompt > 0 && prompt + 1 >= options.max_length {
        return Err(TrainError::NoRoom { asked: options.max_length, prompt });
    }
    Ok(())
}

fn batching(options: &TrainOptions, model: &SentenceEncoder) -> Result<Batching, TrainError> {
    // A model without a mask token can be trained where nothing is masked.
    let mask_token = match options.mask_span {
        0 => "",
        _ if options.pairs => "",
        _ => model.tokenizer.mask_token()?,
    };
    Ok(Batching {
        batch_size: options.batch_size,
        seed: options.seed,
        mask_span: options.mask_span,
        mask_token: mask_token.to_owned(),
    })
}

/// Held-out lines and their views, if there are any.
fn held_out_views(
    options: &TrainOptions,
    held_out: &[Entry],
    corpus: &Corpus,
    model: &SentenceEncoder,
    observer: &mut dyn Observer,
) -> Result<Option<Views>, TrainError> {
    if held_out.is_empty() {
        return Ok(None);
    }
    let span = if options.mask_span == 0 { DEFAULT_MASK_SPAN } else { options.mask_span };
    let mask_token = match model.tokenizer.mask_token() {
        Ok(token) => token,
        Err(_) if options.pairs => "",
        Err(_) if options.mask_span == 0 => {
            observer.note(
                "the model has no mask token, so lines are held out but not measured; --holdout 0 trains on them",
            );
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some(views(held_out, corpus.format(), span, mask_token, options.seed)))
}

fn trainer(
    options: &TrainOptions,
    regularization: &Resolved,
    model: &SentenceEncoder,
    steps: u64,
) -> Result<Trainer, TrainError> {
    let mut optimizer = AdamW::new(options.optimizer(), &model.parameters)?;
    optimizer.schedule = options.learning_rates(steps);
    Ok(Trainer {
        encoder: model.encoder.clone().in_parts(options.accumulate),
        optimizer,
        regularization: regularization.build(),
        hyperparameters: Hyperparameters {
            seed: options.seed,
            dropout: options.dropout,
            drophead: options.drophead,
            clip_norm: options.clip_norm,
        },
    })
}
