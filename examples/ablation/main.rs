//! What δ-SAM's parts do, in numbers: scripts/ablation runs these and writes eval/benchmarks/ablation.md.

mod cheaper;
mod dropout;
mod setting;
mod training;
mod weights;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    question: Question,
    #[command(flatten)]
    setting: setting::Setting,
}

#[derive(Subcommand)]
enum Question {
    /// Do cheaper estimates of unguardedness rank instances as the exact one does?
    Cheaper,
    /// What share of a_j is dropout noise, with shared and with redrawn masks?
    Dropout,
    /// What do β, and clamping negative weights, do to the ascent?
    Weights,
    /// What do short training runs score?
    Training(training::Runs),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.question {
        Question::Cheaper => cheaper::run(&cli.setting),
        Question::Dropout => dropout::run(&cli.setting),
        Question::Weights => weights::run(&cli.setting),
        Question::Training(runs) => training::run(&cli.setting, &runs),
    }
}
