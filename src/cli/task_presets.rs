//! `mirror finetune --preset NAME`: settings of GLUE's tasks that ship with the program.

use std::str::FromStr;

use serde::Deserialize;
use toml::Table;

use super::settings::Sources;
use super::shipped::Shipped;
use super::{Ending, usage};
use crate::labelled::Task;
use crate::quote::reason;
use crate::trainer::labels::FinetuneOptions;

/// The presets: names and files. A file's first line says what it is for; settings before the first table are all
/// tasks', and each table is a task's.
const PRESETS: [(&str, &str); 2] = [
    ("paper", include_str!("../presets/glue/paper.toml")),
    ("paper-roberta", include_str!("../presets/glue/paper-roberta.toml")),
];

/// Settings of several tasks, by a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskPreset {
    name: &'static str,
    text: &'static str,
}

impl Shipped for TaskPreset {
    fn all() -> impl Iterator<Item = Self> {
        PRESETS.into_iter().map(|(name, text)| TaskPreset { name, text })
    }

    fn name(self) -> &'static str {
        self.name
    }

    fn text(self) -> &'static str {
        self.text
    }
}

impl TaskPreset {
    /// The settings for a task.
    ///
    /// # Errors
    /// No task, a task that is not known, and one that the preset has no settings for.
    pub fn settings(self, task: Option<&str>) -> Result<Table, Ending> {
        let Some(task) = task else {
            return Err(usage(format!(
                "{} has settings of GLUE's tasks; name one with --task",
                self.shown()
            )));
        };
        let task = Task::named(task).map_err(usage)?;
        let all: Table = toml::from_str(self.text).map_err(|error| usage(reason(error)))?;
        let (tasks, mut settings): (Table, Table) = all.into_iter().partition(|(_, value)| value.is_table());
        match tasks.get(task.name) {
            Some(toml::Value::Table(own)) => settings.extend(own.clone()),
            _ => {
                let names: Vec<&str> = tasks.keys().map(String::as_str).collect();
                let (shown, names) = (self.shown(), names.join(", "));
                return Err(usage(format!(
                    "{shown} has no settings for {}; it has those of {names}",
                    task.name
                )));
            }
        }
        Ok(settings)
    }

    /// `options` with the settings for their task, but for those that `is_given` names, and which were taken.
    ///
    /// # Errors
    /// As [`TaskPreset::settings`].
    pub fn apply(
        self,
        options: FinetuneOptions,
        is_given: impl Fn(&str) -> bool,
    ) -> Result<(FinetuneOptions, Sources), Ending> {
        let overwrite = options.overwrite;
        let mut settings = self.settings(options.task.as_deref())?;
        settings.retain(|key, _| !is_given(key));
        let sources = settings.keys().map(|key| (key.clone(), self.shown())).collect();
        let mut table = Table::try_from(&options).map_err(|error| usage(reason(error)))?;
        table.extend(settings);
        let options = FinetuneOptions::deserialize(table).map_err(|error| usage(reason(error.message())))?;
        Ok((FinetuneOptions { overwrite, ..options }, sources))
    }
}

impl FromStr for TaskPreset {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        TaskPreset::named(given)
    }
}

/// What `--help` says of `--preset`.
pub fn help() -> String {
    format!(
        "Settings of a task that ship with the program, of which those that a flag gives win: {}",
        TaskPreset::listed()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Betas, Decay};

    fn options(preset: &str, task: &str) -> FinetuneOptions {
        let preset: TaskPreset = preset.parse().unwrap();
        let asked = FinetuneOptions { task: Some(task.to_owned()), ..crate::cli_defaults() };
        preset.apply(asked, |_| false).map_err(|_| "refused").unwrap().0
    }

    /// Batch, updates, warm-up and peak rate, by fairseq's page; then ρ and β of BERT-base and of RoBERTa-large.
    #[test]
    fn the_papers_presets_have_fairseqs_figures_and_table_3s() {
        for (task, batch, updates, warmup, rate, bert, roberta) in [
            ("MNLI", 32, 123_873, 7_432, 1e-5, (0.05, 3.0), (0.02, 3.0)),
            ("QQP", 32, 113_272, 28_318, 1e-5, (0.05, 3.0), (0.02, 3.0)),
            ("RTE", 16, 2_036, 122, 2e-5, (0.05, 70.0), (0.02, 5.0)),
            ("QNLI", 32, 33_112, 1_986, 1e-5, (0.05, 3.0), (0.02, 3.0)),
            ("MRPC", 16, 2_296, 137, 1e-5, (0.05, 10.0), (0.02, 5.0)),
            ("CoLA", 16, 5_336, 320, 1e-5, (0.05, 10.0), (0.02, 20.0)),
            ("SST-2", 32, 20_935, 1_256, 1e-5, (0.05, 3.0), (0.05, 3.0)),
            ("STS-B", 16, 3_598, 214, 2e-5, (0.01, 10.0), (0.01, 10.0)),
        ] {
            for (preset, (rho, beta)) in [("paper", bert), ("paper-roberta", roberta)] {
                let o = options(preset, task);
                o.check().unwrap();
                let perturbation = &o.regularization.perturbation;
                assert_eq!((perturbation.rho, perturbation.beta), (Some(rho), Some(beta)), "{preset} {task}");
                assert_eq!(
                    (o.batch_size, o.max_steps, o.learning_rate),
                    (batch, Some(updates), rate),
                    "{task}"
                );
                assert_eq!((o.adam_betas, o.adam_eps), (Betas([0.9, 0.98]), 1e-6));
                let rates = o.learning_rates(updates);
                assert_eq!(
                    (rates.decay, rates.power, rates.warmup),
                    (Decay::Polynomial, 1.0, warmup),
                    "{task}"
                );
                // The updates end the run, and not the passes over the examples.
                let rows = Task::named(task).unwrap().train_rows;
                assert!(rows / batch as u64 * o.epochs >= updates, "{task}");
            }
        }
    }

    #[test]
    fn what_a_flag_gives_wins_and_what_is_not_there_is_said() {
        let paper: TaskPreset = "paper".parse().unwrap();
        let asked = FinetuneOptions {
            task: Some("rte".to_owned()),
            batch_size: 8,
            overwrite: true,
            ..crate::cli_defaults()
        };
        let (o, sources) = paper.apply(asked, |key| key == "batch-size").map_err(|_| "refused").unwrap();
        assert_eq!((o.batch_size, o.max_steps, o.overwrite), (8, Some(2_036), true));
        assert_eq!((sources.get("batch-size"), sources["beta"].as_str()), (None, "--preset paper"));
        for (task, says) in [
            (None, "--preset paper has settings of GLUE's tasks; name one with --task"),
            (Some("WNLI"), "--preset paper has no settings for WNLI; it has those of CoLA, MNLI"),
            (Some("MRCP"), "there is no task \"MRCP\" (did you mean MRPC?)"),
        ] {
            match paper.settings(task) {
                Err(Ending::Usage(message)) => assert!(message.starts_with(says), "{message}"),
                _ => panic!("{task:?} is not refused"),
            }
        }
        assert!("papers".parse::<TaskPreset>().unwrap_err().contains("(did you mean paper?)"));
        assert!(
            TaskPreset::all().all(|preset| help().contains(preset.about()) && !preset.about().is_empty())
        );
    }
}
