//! What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::checkpoint::{HeldOutScore, PerplexityScore, Score, TaskScore};
use crate::quote::{counted, one_line};
use crate::trainer::StepReport;
use crate::trainer::run::{Measured, Observer};

/// How often plain lines are written.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Writes a line to stderr, which may quote third-party text; where that fails, nobody reads it.
pub fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "{}", one_line(message));
}

/// A training run's progress.
pub struct TrainingProgress {
    bar: Option<ProgressBar>,
    terminal: bool,
    /// Steps made before this part of the run began.
    made: u64,
    steps: u64,
    batch_size: usize,
    began: Instant,
    last: Instant,
}

impl Default for TrainingProgress {
    fn default() -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        TrainingProgress { bar: None, terminal, made: 0, steps: 0, batch_size: 0, began: now, last: now }
    }
}

impl TrainingProgress {
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.println(message),
            None => say(message),
        }
    }
}

impl Observer for TrainingProgress {
    fn started(&mut self, made: u64, steps: u64, batch_size: usize) {
        (self.made, self.steps, self.batch_size) = (made, steps, batch_size);
        self.began = Instant::now();
        if self.terminal {
            let template = "training [{bar:30}] {pos}/{len} steps  {msg}  {eta} left";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(steps).with_style(style.progress_chars("=> ")).with_position(made);
            bar.enable_steady_tick(Duration::from_millis(250));
            self.bar = Some(bar);
        }
    }

    fn stepped(&mut self, report: &StepReport) {
        let elapsed = self.began.elapsed().as_secs_f64();
        let made = report.step - self.made;
        let rate = (made as usize * self.batch_size) as f64 / elapsed.max(1e-9);
        let message = format!("loss {}  {} sentences/s", significant(report.loss), shown_rate(rate));
        match &self.bar {
            Some(bar) => {
                bar.set_position(report.step);
                bar.set_message(message);
            }
            None if made == 1 || report.step == self.steps || self.last.elapsed() >= PLAIN_EVERY => {
                self.last = Instant::now();
                let left = elapsed / made as f64 * self.steps.saturating_sub(report.step) as f64;
                say(&format!("step {}/{}  {message}  {left:.0} s left", report.step, self.steps));
            }
            None => {}
        }
    }

    fn measured(&mut self, measured: &Measured) {
        self.line(&match measured {
            Measured::Pairs(score) => of_pairs(score),
            Measured::HeldOut(score) => of_held_out(score),
            Measured::Task(score) => of_task(score),
            Measured::Perplexity(score) => of_perplexity(score),
        });
    }

    fn note(&mut self, message: &str) {
        self.line(message);
    }
}

fn of_pairs(score: &Score) -> String {
    let value = score.spearman.map_or("undefined".into(), |s| format!("{s:.2}"));
    format!("{} after {}: {value}", score.set, counted(score.step, "step"))
}

fn of_held_out(score: &HeldOutScore) -> String {
    let shown = |value: Option<f64>| value.map_or("undefined".into(), |v| format!("{v:.3}"));
    let of = &score.unlabeled;
    format!(
        "held-out lines after {}: MRR {}, uniformity {}, effective dimension {}",
        counted(score.step, "step"),
        shown(of.mrr),
        shown(of.uniformity),
        shown(of.effective_dimension)
    )
}

/// Metrics × 100, as GLUE's tables have them.
fn of_task(score: &TaskScore) -> String {
    let shown = |value: Option<f64>| value.map_or("undefined".into(), |v| format!("{:.2}", 100.0 * v));
    let metrics = score.metrics.iter().map(|(name, value)| format!("{name} {}", shown(*value)));
    let metrics = metrics.collect::<Vec<_>>().join(", ");
    let loss = significant(score.dev_loss);
    format!("{} after {}: {metrics}, loss {loss}", score.set, counted(score.step, "step"))
}

fn of_perplexity(score: &PerplexityScore) -> String {
    format!(
        "held-out lines after {}: perplexity {}, loss {}",
        counted(score.step, "step"),
        significant(score.perplexity),
        significant(score.masked_loss)
    )
}

/// Four decimals, or three significant digits of what is too small for them.
pub fn significant(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "undefined".to_owned(),
        a if a == 0.0 || (0.01..1e6).contains(&a) => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

/// A rate as a whole number, or with two decimals where it is below 10.
fn shown_rate(rate: f64) -> String {
    if rate < 9.995 { format!("{rate:.2}") } else { format!("{rate:.0}") }
}

/// A bar over sentences that are encoded.
pub fn encoding_bar(total: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "encoding [{bar:30}] {pos}/{len}  {rate} sentences/s  {eta} left")
        }
        None => (ProgressBar::no_length(), "encoding {pos} sentences  {rate} sentences/s"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // indicatif's own {per_sec} has four decimals.
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}", shown_rate(state.per_sec()));
    };
    let style = style.with_key("rate", rate);
    bar.with_style(style.progress_chars("=> "))
}

/// A bar over the parts of a measurement.
pub fn measuring_bar(parts: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("measuring [{bar:30}] {pos}/{len}  {eta} left");
    ProgressBar::new(parts)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
}
