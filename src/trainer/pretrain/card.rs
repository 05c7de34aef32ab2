//! The README.md of a pretrained folder: what it is, how it was trained, how well it predicts, how to go on with it.

use std::fmt::Write;

use super::PretrainOptions;
use crate::checkpoint::PerplexityScore;
use crate::quote::counted;
use crate::trainer::model_card::source_name;

/// What the card tells of.
pub struct Pretrained<'a> {
    pub options: &'a PretrainOptions,
    /// Lines that were trained on.
    pub lines: u64,
    pub measured: &'a [PerplexityScore],
    /// Steps that made these weights.
    pub steps: u64,
}

/// By which a card is known as one of `mirror pretrain`.
pub const MARK: &str = "Pretrained by `mirror pretrain`";

/// The text of README.md.
pub fn pretraining_card(pretrained: &Pretrained) -> String {
    let Pretrained { options, lines, measured, steps } = pretrained;
    let mut card = String::new();
    // Writing to memory cannot fail.
    let _ = writeln!(card, "---\nlibrary_name: transformers\npipeline_tag: fill-mask\n---\n");
    let _ = writeln!(card, "# {} by masked language modelling\n", source_name(&options.model));
    let words = if options.whole_words { "words" } else { "tokens" };
    let _ = writeln!(
        card,
        "{MARK} in {} on {}, with `--reg {}`: {:.0} % of {words} are masked.\n",
        counted(*steps, "step"),
        counted(*lines, "line"),
        options.regularization.reg,
        100.0 * options.mask_share
    );
    let _ = writeln!(
        card,
        "```python\nfrom transformers import pipeline\n\nfill = pipeline(\"fill-mask\", \"path/to/this/folder\")\n```\n\n\
         ```\nmirror train --model path/to/this/folder --corpus sentences.txt\n```\n"
    );
    if !measured.is_empty() {
        card.push_str("| step | loss on held-out lines | perplexity |\n|---|---|---|\n");
    }
    for score in *measured {
        let _ = writeln!(card, "| {} | {:.4} | {:.2} |", score.step, score.masked_loss, score.perplexity);
    }
    let _ = writeln!(card, "\nAll settings are in train.toml, and every step is in metrics.jsonl.");
    card
}
