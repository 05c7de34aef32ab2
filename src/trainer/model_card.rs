//! The README.md of a trained folder: what it is, how it was trained, how it scored, how to load it.

use std::fmt::Write;
use std::path::Path;

use sts_eval::unlabeled::{UnlabeledForm, UnlabeledReport};

use super::TrainOptions;
use super::prefixes::Prefixes;
use super::projection::Projection;
use crate::checkpoint::{HeldOutScore, Score};
use crate::corpus::Corpus;
use crate::sentence_encoder::SentenceEncoder;

/// What the card tells of.
pub struct Trained<'a> {
    pub encoder: &'a SentenceEncoder,
    pub options: &'a TrainOptions,
    pub corpus: &'a Corpus,
    pub scores: &'a [Score],
    pub held_out: &'a [HeldOutScore],
    /// Steps that made these weights.
    pub steps: u64,
}

/// What the model was made from: an id, or a folder's name without where it lies.
pub(super) fn source_name(model: &str) -> &str {
    let path = Path::new(model);
    let name = path.file_name().and_then(|name| name.to_str());
    name.filter(|_| path.is_absolute()).unwrap_or(model)
}

/// What was measured on held-out lines, a row a time.
fn held_out(scores: &[HeldOutScore]) -> String {
    let reports: Vec<UnlabeledReport> = scores
        .iter()
        .map(|score| UnlabeledReport {
            model: format!("{} steps", score.step),
            unlabeled: score.unlabeled.clone(),
        })
        .collect();
    let mut table = b"On lines of the corpus that were kept out of training:\n\n".to_vec();
    // Writing to memory cannot fail.
    let _ = UnlabeledForm::Markdown.write(&reports, &mut table);
    String::from_utf8_lossy(&table).into_owned()
}

/// What the loss was a mean over.
fn dimensions(prefixes: Option<&Prefixes>, width: usize) -> String {
    let prefixes = prefixes.map_or(&[][..], Prefixes::widths).iter().filter(|&&prefix| prefix < width);
    let widths: Vec<String> = prefixes.chain([&width]).map(usize::to_string).collect();
    if widths.len() == 1 { "none".into() } else { widths.join(", ") }
}

/// What embeddings went through before they were compared.
fn head(options: &TrainOptions) -> &'static str {
    match (options.head, options.keep_head) {
        (Projection::None, _) => "none",
        (Projection::Mlp, false) => "mlp, in training alone",
        (Projection::Mlp, true) => "mlp, kept as the last module",
    }
}

/// How a prefix is used.
fn matryoshka(prefixes: &Prefixes) -> String {
    let narrowest = prefixes.widths()[0];
    format!(
        "It was trained for shorter embeddings, too (Matryoshka): the first {prefixes} values serve as an embedding by \
         themselves. `SentenceTransformer(\"path/to/this/folder\", truncate_dim={narrowest})` gives such ones, as does \
         `mirror encode --dimensions {narrowest}`.\n"
    )
}

/// A model card with the front matter that model hubs read.
pub fn model_card(trained: &Trained) -> String {
    let options = trained.options;
    let mut card = String::from(
        "---\nlibrary_name: sentence-transformers\npipeline_tag: sentence-similarity\ntags:\n- sentence-transformers\n- sentence-similarity\n- feature-extraction\n- mirror-bert\n---\n\n",
    );
    let width = trained.encoder.width();
    // Writing to a String cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(card, "{text}");
    };
    line("# A sentence encoder trained without labels\n".into());
    line(format!(
        "Maps a sentence to {width} numbers whose cosine tells how alike two sentences are. Made from `{}` by Mirror-BERT's contrastive training (two views of each sentence, dropout and span masking, NT-Xent) with `mirror`.\n",
        source_name(&options.model)
    ));
    line("## Use\n".into());
    line("```python\nfrom sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer(\"path/to/this/folder\")\nembeddings = model.encode([\"A man is playing a guitar.\", \"Someone plays music.\"])\n```\n".into());
    let (prompt, modules) = (&trained.encoder.prompt, &trained.encoder.encoder.modules);
    if !prompt.text.is_empty() {
        let pooled = if prompt.left_out { "; its tokens are left out of pooling" } else { "" };
        line(format!(
            "The prompt {:?} was before each sentence in training, and sentence-transformers and `mirror` put it before \
             each sentence that they encode{pooled}.\n",
            prompt.text
        ));
    }
    if !modules.is_empty() {
        line(format!("After pooling come modules that were not trained: {modules}.\n"));
    }
    if !matches!(trained.encoder.encoder.pooling.name(), "mean" | "cls") {
        line(format!(
            "Note: it was trained with the pooling `{}`, which sentence-transformers does not know; there it pools by the plain mean.\n",
            trained.encoder.encoder.pooling
        ));
    }
    if let Some(prefixes) = &options.matryoshka {
        line(matryoshka(prefixes));
    }
    line("## Scores\n".into());
    if trained.scores.is_empty() && trained.held_out.is_empty() {
        line("Not scored in training.\n".into());
    } else if !trained.scores.is_empty() {
        line("| steps | set | Spearman × 100 |\n|---|---|---|".into());
        for score in trained.scores {
            let value = score.spearman.map_or("undefined".into(), |s| format!("{s:.2}"));
            line(format!("| {} | {} | {value} |", score.step, score.set));
        }
        line(String::new());
    }
    if !trained.held_out.is_empty() {
        line(held_out(trained.held_out));
    }
    line("## Training\n".into());
    let settings = [
        ("started from", format!("`{}`", source_name(&options.model))),
        ("corpus", format!("{} sentences, SHA-256 `{}`", trained.corpus.len(), trained.corpus.sha256())),
        ("steps of these weights", trained.steps.to_string()),
        ("batch size", options.batch_size.to_string()),
        ("learning rate", options.learning_rate.to_string()),
        ("weight decay", options.weight_decay.to_string()),
        ("temperature", options.temperature.to_string()),
        ("Matryoshka dimensions", dimensions(options.matryoshka.as_ref(), width)),
        ("head", head(options).to_owned()),
        ("pooling", trained.encoder.encoder.pooling.to_string()),
        ("regularizers", options.regularization.reg.clone()),
        ("dropout, drophead", format!("{}, {}", options.dropout, options.drophead)),
        ("masked characters", options.mask_span.to_string()),
        ("seed", options.seed.to_string()),
    ];
    line("| setting | value |\n|---|---|".into());
    for (name, value) in settings {
        line(format!("| {name} | {value} |"));
    }
    line("\nAll settings are in `train.toml`, which `mirror train --config` takes; every step is in `metrics.jsonl`.".into());
    card
}
