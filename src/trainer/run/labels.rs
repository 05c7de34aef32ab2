//! The job of fine-tuning on labelled text: examples in a new order each epoch, scored on sets of their kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use sha2::{Digest, Sha256};

use super::examples::{Order, Preparation, class, texts, value};
use super::job::{Batches, Job, LoopSettings, Measured, Measurements};
use super::taking_up::Parts;
use super::{Observer, Run};
use crate::checkpoint::configuration::write_configuration;
use crate::checkpoint::{Origin, TaskScore};
use crate::classifier::{Classifier, Texts, largest};
use crate::interrupt::Interrupt;
use crate::labelled::{Dataset, Kind, Label, Metric, Outcomes};
use crate::model_folder::SaveError;
use crate::model_folder::head::Outputs;
use crate::optim::AdamW;
use crate::output::OutputFolder;
use crate::output::sums::hex;
use crate::quote::counted;
use crate::trainer::labels::plan::Examples;
use crate::trainer::labels::{FinetuneOptions, FinetunePlan};
use crate::trainer::task_card::{Tuned, task_card};
use crate::trainer::{Hyperparameters, TrainError, Trainer};
use crate::weights::Parameters;

/// What a classifier is trained on and scored on.
struct Labels {
    options: FinetuneOptions,
    /// Shared with the thread that prepares batches.
    train: Arc<Dataset>,
    dev: Vec<(String, Dataset)>,
    metrics: Vec<Metric>,
    keeps_best: Metric,
    /// With the weights that are trained.
    model: Classifier,
    /// Tensors of the head that the model's folder had.
    taken: Vec<String>,
}

impl FinetunePlan {
    /// Writes train.toml, from when on the run can be resumed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, output: &OutputFolder) -> Result<(), TrainError> {
        Ok(write_configuration(&self.options, output.work()).map_err(SaveError::from)?)
    }

    fn loop_settings(&self) -> LoopSettings {
        let options = &self.options;
        let batches = self.examples.train.examples.len().div_ceil(options.batch_size) as u64;
        LoopSettings {
            batch_size: options.batch_size,
            parts: options.accumulate,
            epochs: options.epochs,
            max_steps: options.max_steps,
            eval_every: options.eval_every.unwrap_or(batches),
            keep_best: options.keep_best,
            early_stop: options.early_stop,
        }
    }
}

impl Run {
    /// As [`Run::open`], for fine-tuning on labelled text.
    ///
    /// # Errors
    /// As there, and a head in the model's folder that does not fit the labels.
    pub fn open_labelled(
        plan: FinetunePlan,
        output: &OutputFolder,
        device: &Device,
        interrupt: Interrupt,
        observer: &mut dyn Observer,
    ) -> Result<Run, TrainError> {
        let settings = plan.loop_settings();
        let FinetunePlan { options, regularization, examples, model_folder } = plan;
        let outputs = match &examples.train.kind {
            Kind::Classification { classes } => Outputs::Classes(classes.clone()),
            Kind::Regression => Outputs::Value,
        };
        let precision = options.precision.precision();
        let new = (options.seed, options.new_head);
        let (mut model, taken) =
            Classifier::load_for(&model_folder, outputs, new, options.max_length, device)?;
        let encoder = model.encoder.clone().training_in(precision);
        let origin = Origin::of(&sum(&examples), &model.source, device, precision)?;
        model.encoder = encoder.clone();

        let steps = settings.steps(examples.train.examples.len().div_ceil(options.batch_size) as u64);
        let mut optimizer = AdamW::new(options.optimizer(), &model.parameters)?;
        optimizer.schedule = options.learning_rates(steps);
        let trainer = Trainer {
            encoder: encoder.in_parts(options.accumulate),
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
        let Examples { train, dev, metrics, keeps_best } = examples;
        let job =
            Box::new(Labels { options, train: Arc::new(train), dev, metrics, keeps_best, model, taken });
        let (memory, log_dir) = (None, log_dir.as_deref());
        let parts = Parts { job, settings, trainer, origin, memory, save_every, keep_last, log_dir };
        Run::take_up(parts, output, interrupt, observer)
    }
}

/// One sum over what is learned from and what is scored on.
fn sum(examples: &Examples) -> String {
    let mut sum = Sha256::new();
    let all = std::iter::once(&examples.train).chain(examples.dev.iter().map(|(_, dataset)| dataset));
    all.for_each(|dataset| sum.update(format!("{}\n", dataset.sha256())));
    hex(&sum.finalize())
}

impl Labels {
    /// Which layers of the head are the model's folder's.
    fn of_the_head(&self) -> String {
        let of_folder: Vec<&str> =
            self.taken.iter().filter_map(|name| name.strip_suffix(".weight")).collect();
        match of_folder.len() {
            0 => "the head is new".to_owned(),
            all if all == self.model.head.layers.len() => "the head is that of the model's folder".to_owned(),
            _ => format!(
                "of the head, {} is that of the model's folder, and all else is new",
                of_folder.join(", ")
            ),
        }
    }

    fn score(&self, step: u64, set: &str, dataset: &Dataset) -> Result<TaskScore, TrainError> {
        let pairs: Vec<Texts> = dataset.examples.iter().map(texts).collect();
        let logits = self.model.logits(&pairs)?;
        let losses =
            dataset.examples.iter().zip(&logits).map(|(example, logits)| loss(example.label, logits));
        let dev_loss = losses.sum::<f64>() / dataset.examples.len() as f64;
        let scored = |outcomes: Outcomes| -> BTreeMap<String, Option<f64>> {
            self.metrics.iter().map(|metric| (metric.name().to_owned(), metric.score(outcomes))).collect()
        };
        let metrics = match &dataset.kind {
            Kind::Classification { classes } => {
                let gold: Vec<usize> = dataset.examples.iter().filter_map(class).collect();
                let predicted: Vec<usize> = logits.iter().map(|logits| largest(logits)).collect();
                let classes = classes.len();
                scored(Outcomes::Classes { gold: &gold, predicted: &predicted, classes })
            }
            Kind::Regression => {
                let gold: Vec<f64> = dataset.examples.iter().filter_map(value).collect();
                let predicted: Vec<f64> = logits.iter().map(|logits| logits[0]).collect();
                scored(Outcomes::Values { gold: &gold, predicted: &predicted })
            }
        };
        Ok(TaskScore { step, set: set.to_owned(), dev_loss, metrics })
    }
}

/// Cross entropy with a class, or the squared distance to a value.
fn loss(label: Label, logits: &[f64]) -> f64 {
    match label {
        Label::Class(class) => {
            let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
            sum.ln() + most - logits[class]
        }
        Label::Value(value) => (logits[0] - value).powi(2),
    }
}

impl Job for Labels {
    fn name(&self) -> String {
        format!("the examples of {}", self.train.name)
    }

    fn weights(&self) -> &Parameters {
        &self.model.parameters
    }

    fn weights_mut(&mut self) -> &mut Parameters {
        &mut self.model.parameters
    }

    fn remarks(&self) -> Result<Vec<String>, TrainError> {
        let mut remarks = self.train.remarks.clone();
        remarks.extend(self.dev.iter().flat_map(|(_, dataset)| dataset.remarks.clone()));
        let dev = self.dev.iter().map(|(set, dataset)| format!("{} of {set}", dataset.examples.len()));
        let dev = dev.collect::<Vec<_>>().join(", ");
        remarks.push(format!(
            "{} to learn from; scored on {dev}",
            counted(self.train.examples.len() as u64, "example")
        ));
        remarks.push(self.of_the_head());
        Ok(remarks)
    }

    fn steps_per_epoch(&self) -> u64 {
        self.train.examples.len().div_ceil(self.options.batch_size) as u64
    }

    fn epoch(&mut self, epoch: u64, position: u64) -> Result<Box<dyn Batches>, TrainError> {
        let order = Order { seed: self.options.seed, epoch, batch_size: self.options.batch_size };
        let preparation = Preparation {
            train: self.train.clone(),
            encoder: self.model.encoder.clone(),
            head: self.model.head.clone(),
            tokenizer: self.model.tokenizer.clone(),
            max_length: self.options.max_length,
            cut: Arc::default(),
        };
        Ok(Box::new(preparation.batches(order, position..self.steps_per_epoch())?))
    }

    fn measure(
        &self,
        step: u64,
        found: &mut dyn FnMut(Measured) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        self.dev.iter().try_for_each(|(set, dataset)| found(Measured::Task(self.score(step, set, dataset)?)))
    }

    /// The metric that keeps the best weights, on the first set.
    fn evaluations(&self, measured: &Measurements) -> Vec<(u64, f64)> {
        let of_first =
            measured.tasks.iter().filter(|score| self.dev.first().is_some_and(|(set, _)| score.set == *set));
        let value = |score: &TaskScore| score.metrics.get(self.keeps_best.name()).copied().flatten();
        of_first.map(|score| (score.step, value(score).unwrap_or(f64::NEG_INFINITY))).collect()
    }

    fn save(&self, measured: &Measurements, steps: u64, folder: &Path) -> Result<(), SaveError> {
        let card =
            task_card(&Tuned { options: &self.options, train: &self.train, scores: &measured.tasks, steps });
        write_configuration(&self.options, folder)?;
        self.model.contents().save(&self.model.parameters, &card, folder)
    }
}
