//! `mirror sweep`

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sts_eval::Bootstrap;
use sts_eval::not_text::shell_word;

use super::configuration::{ConfigurationError, Settings};
use super::progress::say;
use super::{Done, Ending, failure, files, usage};
use crate::output::{FolderLock, Inputs, OutputError, remove_temporaries};
use crate::quote::counted;
use crate::sweep::{CELLS, Choice, Clock, Config, PLAN, Plan, Setting, State};

mod cell;
mod run_folder;
mod schedule;
mod tables;

/// Compare ways of training, each run with several seeds.
///
/// The configuration is a TOML file of rows, each with settings (any flags of mirror train) and values to choose from. Values
/// are chosen by the dev set alone, and the test sets are scored for the chosen ones. Each run is a cell, a folder of its own in
/// the output folder; a sweep that was stopped or killed goes on where it was, and after a change of the configuration runs what
/// changed. At the end there is a table of means and standard deviations, with differences from the row that each is measured
/// against, as table.md, table.tex, table.json and table.html too.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Sweep {
    /// TOML file of rows (docs/sweeps.md)
    #[arg(value_name = "CONFIG", required_unless_present_any = ["cell", "collect"])]
    config: Option<PathBuf>,
    /// Folder of cells and tables
    #[arg(long, value_name = "DIR", default_value = "mirror-sweep")]
    output: PathBuf,
    /// Cells that run side by side, as far as memory allows
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Threads of each cell, where its settings name none [default: all cores, shared by the jobs]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Keep the models of cells that are scored
    #[arg(long)]
    keep_models: bool,
    /// List the cells and the time that they will take, and end
    #[arg(long)]
    dry_run: bool,
    /// Print the cells that can run now, each a line of JSON with its command, and end; once these have run there may be
    /// more, until none is left
    #[arg(long, conflicts_with = "dry_run")]
    cells: bool,
    /// Run one cell of the sweep in --output
    #[arg(long, value_name = "NAME", conflicts_with_all = ["config", "dry_run", "cells", "collect"])]
    cell: Option<String>,
    /// Make the tables of whatever is finished in this sweep's folder, and end
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "dry_run", "cells", "output"])]
    collect: Option<PathBuf>,
    /// Resamples of seeds and pairs that intervals and p-values come from
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().resamples)]
    resamples: usize,
    /// Stop when standard input ends: the sweep that started this cell is gone
    #[arg(long, hide = true, requires = "cell")]
    supervised: bool,
}

const EXAMPLES: &str = "Examples:
  mirror sweep sweep.toml --dry-run
  mirror sweep sweep.toml --output out
  mirror sweep sweep.toml --output out --jobs 4 --threads 2
  mirror sweep sweep.toml --output out --cells
  mirror sweep --collect out";

impl Sweep {
    pub fn run(self) -> Done {
        if self.jobs == 0 || self.threads == Some(0) {
            return Err(usage("--jobs and --threads are numbers above 0"));
        }
        self.bootstrap().check().map_err(usage)?;
        match (&self.cell, &self.collect, &self.config) {
            (Some(name), ..) => cell::run(&self, name),
            (None, Some(folder), _) => tables::collect(folder, &self.bootstrap()),
            (None, None, Some(config)) => self.of_config(config),
            (None, None, None) => Err(usage("a configuration is needed: mirror sweep CONFIG")),
        }
    }

    fn of_config(&self, path: &Path) -> Done {
        let plan = plan(&Config::read(path)?)?;
        self.inputs(path, &plan).refuse("--output", &self.output)?;
        if self.dry_run {
            return list(&State::read(&self.output, plan)?, self.jobs);
        }
        let _lock = claim(&self.output)?;
        plan.write(&self.output)?;
        let mut state = State::read(&self.output, plan)?;
        if self.cells {
            return print_cells(&state, &self.output);
        }
        schedule::run(self, &mut state)?;
        run_folder::tidy(&self.output, &state, self.keep_models)?;
        let tables = tables::write(&self.output, &state, &self.bootstrap());
        match state.failed.len() as u64 {
            0 => tables,
            failed => Err(failure(format!(
                "{} failed, as said above; run the sweep again to try {} again",
                counted(failed, "cell"),
                if failed == 1 { "it" } else { "them" }
            ))),
        }
    }

    fn bootstrap(&self) -> Bootstrap {
        Bootstrap { resamples: self.resamples, ..Bootstrap::default() }
    }

    /// Everything that cells read.
    fn inputs(&self, config: &Path, plan: &Plan) -> Inputs {
        let mut inputs = Inputs::default();
        inputs.add("CONFIG", config);
        let mut seen = BTreeSet::new();
        for cell in plan.cells.values() {
            let options = &cell.options;
            if seen.insert((&options.model, &options.corpus)) {
                files::add_texts(&mut inputs, "--corpus", &options.corpus, &options.reading);
                files::add_model(&mut inputs, &options.model);
            }
        }
        plan.data.iter().for_each(|folder| files::add_data(&mut inputs, "--data", folder));
        inputs
    }
}

/// Works out a configuration by the flags of `mirror train`.
fn plan(config: &Config) -> Result<Plan, Ending> {
    Plan::new(config, |settings: &[Setting]| {
        let settings = settings.iter().map(|own| (own.line, own.key.clone(), own.value.clone()));
        Settings::of(config.shown.clone(), settings)
            .and_then(|settings| settings.apply(crate::cli_defaults(), |_| false))
            .map_err(ConfigurationError::ending)
    })
}

/// Makes a sweep's folder, or takes up the one that is there, and keeps other sweeps out of it.
fn claim(folder: &Path) -> Result<FolderLock, Ending> {
    if folder.exists() && !folder.is_dir() {
        return Err(OutputError::NotAFolder(folder.to_owned()).into());
    }
    let failed = |source| OutputError::Write { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let lock = FolderLock::take(folder)?;
    let is_ours = [PLAN, CELLS].iter().any(|name| folder.join(name).exists());
    if !is_ours && !crate::output::is_empty(folder).map_err(failed)? {
        return Err(failure(format!(
            "{} is not empty and has no {PLAN}; choose another --output",
            folder.display()
        )));
    }
    remove_temporaries(folder).map_err(failed)?;
    Ok(lock)
}

/// `--cells`: what can run now.
fn print_cells(state: &State, folder: &Path) -> Done {
    let program = std::env::current_exe()?;
    let folder = std::path::absolute(folder)?;
    let clock = Clock::of(state);
    let mut out = std::io::stdout().lock();
    for name in state.ready() {
        let command = [
            program.display().to_string(),
            "sweep".to_owned(),
            "--output".to_owned(),
            folder.display().to_string(),
            "--cell".to_owned(),
            name.clone(),
        ];
        let shell: Vec<String> = command.iter().map(|word| shell_word(word)).collect();
        let line = json!({
            "cell": name,
            "about": state.shown(&name),
            "seconds": state.plan.cells.get(&name).and_then(|cell| clock.seconds(cell)),
            "command": command,
            "shell": shell.join(" "),
        });
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// `--dry-run`: every cell that is left, and how long all will take.
fn list(state: &State, jobs: usize) -> Done {
    let clock = Clock::of(state);
    let mut out = std::io::stdout().lock();
    let (mut seconds, mut relative) = (Some(0.0), 0.0);
    let left = state.left();
    for name in &left {
        let Some(cell) = state.plan.cells.get(name) else { continue };
        let own = clock.seconds(cell);
        seconds = seconds.zip(own).map(|(sum, own)| sum + own);
        relative += Clock::relative(cell);
        let time = match own {
            Some(seconds) => schedule::time(seconds),
            None => format!("{:.1} × plain", Clock::relative(cell)),
        };
        writeln!(out, "{}  {time}", state.shown(name))?;
    }
    let time = match seconds {
        Some(seconds) => format!("about {}", schedule::time(seconds / jobs as f64)),
        None => format!(
            "as long as {relative:.1} runs of plain training; how long that is will be known once a cell has run"
        ),
    };
    let done = state.plan.cells.keys().filter(|name| state.results.contains_key(*name)).count();
    writeln!(out, "{} left, {done} finished: {time}", counted(left.len() as u64, "cell"))?;
    if state.plan.rows.iter().any(|row| state.choice(row) == Choice::Open) {
        say("where values are still to be chosen, the first of them stands for the others");
    }
    Ok(out.flush()?)
}
