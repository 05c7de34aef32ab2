//! What δ-SAM's parts do, in numbers: scripts/ablation runs these and writes eval/benchmarks/ablation.md.

mod cheaper;
mod setting;

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
    /// Do cheaper estimates of guardedness rank instances as the exact one does?
    Cheaper,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.question {
        Question::Cheaper => cheaper::run(&cli.setting),
    }
}
