//! The README.md of a fine-tuned folder: what it is, how it was trained, how it scored, how to load it.

use std::fmt::Write;

use super::labels::FinetuneOptions;
use super::model_card::source_name;
use crate::checkpoint::TaskScore;
use crate::labelled::{Dataset, Kind};
use crate::quote::counted;

/// What the card tells of.
pub struct Tuned<'a> {
    pub options: &'a FinetuneOptions,
    pub train: &'a Dataset,
    pub scores: &'a [TaskScore],
    /// Steps that made these weights.
    pub steps: u64,
}

/// By which a card is known as one of `mirror finetune`.
pub const MARK: &str = "Fine-tuned by `mirror finetune`";

/// The text of README.md.
pub fn task_card(tuned: &Tuned) -> String {
    let Tuned { options, train, scores, steps } = tuned;
    let mut card = String::new();
    let about = match &train.kind {
        Kind::Classification { classes } => format!("It gives texts one of {} classes", classes.len()),
        Kind::Regression => "It gives texts a value".to_owned(),
    };
    let task = options.task.as_deref().unwrap_or("labelled text");
    // Writing to memory cannot fail.
    let _ = writeln!(card, "---\nlibrary_name: transformers\npipeline_tag: text-classification\n---\n");
    let _ = writeln!(card, "# {} on {task}\n", source_name(&options.model));
    let _ = writeln!(
        card,
        "{MARK} in {} on {}, with `--reg {}`. {about}.\n",
        counted(*steps, "step"),
        counted(train.examples.len() as u64, "example"),
        options.regularization.reg
    );
    let _ = writeln!(
        card,
        "```python\nfrom transformers import pipeline\n\nclassify = pipeline(\"text-classification\", \"path/to/this/folder\")\n```\n"
    );
    if !scores.is_empty() {
        card.push_str("| set | step | loss | scores |\n|---|---|---|---|\n");
    }
    for score in *scores {
        let shown =
            |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{:.2}", 100.0 * v));
        let metrics = score.metrics.iter().map(|(name, value)| format!("{name} {}", shown(*value)));
        let metrics = metrics.collect::<Vec<_>>().join(", ");
        let _ = writeln!(card, "| {} | {} | {:.4} | {metrics} |", score.set, score.step, score.dev_loss);
    }
    let _ = writeln!(card, "\nAll settings are in train.toml, and every step is in metrics.jsonl.");
    card
}
