//! Semantic textual similarity, scored the way papers score it: STS12–STS16, STS-B and SICK-R, or pairs of your own,
//! by Spearman's rank correlation between people's scores and the cosines of sentence embeddings.
//!
//! The story in four steps, each a type that the next one takes:
//!
//! 1. **Read.** [`SentEval::open`] finds the data sets in SentEval's folder layout, [`SentEval::tasks`] reads those
//!    that are there, [`WordFolder`] does so with sets of word pairs, and [`UserSet`] reads a TSV, CSV or JSONL file. All
//!    give [`Task`]s: scored [`Pair`]s in [`Subset`]s, sentences verbatim.
//! 2. **Encode once.** [`Embeddings::encode`] hands each distinct sentence of all tasks to an [`Encode`]r, one time,
//!    sorted by length. An encoder is anything that returns an [`ndarray::Array2<f32>`], a row a sentence; this crate
//!    knows no model and no framework.
//! 3. **Score.** [`score_task`] turns a task into a [`ScoredTask`]: gold scores and cosines side by side.
//!    [`evaluate`] is steps 2 and 3 in one call, the tasks in parallel; [`evaluate_task`] does one task, as between
//!    training steps.
//! 4. **Report.** [`Report`] holds ρ × 100 for each task and subset and the average over the seven; [`mod@format`] writes
//!    it as a table, markdown, LaTeX, JSON, a page to look at, or MTEB's results.
//!
//! For a full report, [`examine`] takes the place of [`evaluate`] and keeps what [`details`] sees of each task
//! (alignment, uniformity, the pairs most wrong), and [`compare()`] adds how far scores, and differences of models, can
//! be trusted, by a paired [`Bootstrap`].
//!
//! Where ways of training are compared rather than models, [`seeds`] makes a table of runs with several seeds each: means,
//! standard deviations, and differences that count seeds and pairs.
//!
//! Without labels, [`unlabeled`] measures what can be: whether a view of a sentence finds it among others, and how
//! embeddings lie on the sphere.
//!
//! ```
//! use ndarray::Array2;
//! use sts_eval::format::{Format, Table};
//! use sts_eval::{Convention, PairFormat, Report, Task, evaluate};
//!
//! let pairs = "5.0\ta cat sleeps\tthe cat sleeps\n\
//!              2.5\ta cat sleeps\ta dog sleeps\n\
//!              0.0\ta cat sleeps\tstocks fell\n";
//! let tasks = [Task::from_text("mine", pairs, PairFormat::Tsv)?];
//!
//! // An encoder by letter counts; yours runs a model.
//! let encoder = |sentences: &[&str]| -> Result<Array2<f32>, std::io::Error> {
//!     let mut counts = Array2::zeros((sentences.len(), 256));
//!     for (row, sentence) in sentences.iter().enumerate() {
//!         sentence.bytes().for_each(|byte| counts[[row, usize::from(byte)]] += 1.0);
//!     }
//!     Ok(counts)
//! };
//! let scored = evaluate(&tasks, &encoder, 64, |progress| {
//!     eprintln!("{} of {} sentences", progress.encoded, progress.total);
//! })?;
//! let report = Report::new("letter counts", Convention::default(), &scored, &[]);
//! assert_eq!(report.tasks.get("mine").unwrap().spearman, Some(100.0));
//! Table.write(&[report], &mut std::io::stdout())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

pub mod axis;
mod benchmark;
mod bootstrap;
mod compare;
pub mod correlation;
mod curve;
pub mod details;
mod encode;
mod error;
pub mod format;
pub mod geometry;
pub mod not_text;
mod report;
mod score;
pub mod seeds;
mod senteval;
mod task;
mod text;
pub mod unlabeled;
mod user_set;
mod words;

pub use benchmark::{Benchmark, Convention, SEVEN};
pub use bootstrap::{Bootstrap, Difference, Interval, Resampled};
pub use compare::compare;
pub use curve::{Curve, CurveBuilder};
pub use details::{Examined, TaskDetails, examine};
pub use encode::{Embeddings, Encode, Progress, cosine};
pub use error::Error;
pub use report::{Comparison, Report, SubsetScore, TaskScore};
pub use score::{DEFAULT_BLOCK_SIZE, ScoredTask, evaluate, evaluate_task, score_task};
pub use senteval::SentEval;
pub use task::{Pair, Subset, Task, check_names};
pub use user_set::{PairFormat, UserSet};
pub use words::{WordFolder, WordSet};

/// The README's code is compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
