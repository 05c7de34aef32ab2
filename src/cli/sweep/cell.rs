//! `mirror sweep --cell NAME`: one run, scored.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::Device;
use ndarray::Array2;
use sts_eval::{DEFAULT_BLOCK_SIZE, Encode, ScoredTask, Task, evaluate};

use super::super::machine;
use super::super::progress::say;
use super::super::{Done, Ending, resume, usage};
use super::run_folder::{self, Log};
use super::{Plan, State, Sweep};
use crate::backend::instructions;
use crate::device;
use crate::interrupt::{Interrupt, Signal};
use crate::output::{FolderLock, OutputError};
use crate::sentence_encoder::{ModelError, Overrides, SentenceEncoder};
use crate::sweep::{Cell, CellResult, Machine, RUN};

/// How long to wait for a process that is at the same cell: one that a killed sweep left behind ends with its step.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn run(sweep: &Sweep, name: &str) -> Done {
    if sweep.supervised {
        end_with_standard_input()?;
    }
    let folder = &sweep.output;
    let plan = Plan::read(folder)?;
    let Some(cell) = plan.cells.get(name).cloned() else {
        return Err(usage(format!(
            "the sweep in {} has no cell {name}; mirror sweep CONFIG --cells lists them",
            folder.display()
        )));
    };
    let own = run_folder::of_cell(folder, name);
    fs::create_dir_all(&own).map_err(|source| OutputError::Write { path: own.clone(), source })?;
    let lock = wait_for_lock(&own)?;
    let mut state = State::read(folder, plan)?;
    if state.is_done(name) {
        say(&format!("{} is finished; there is nothing left to do", state.shown(name)));
        return Ok(());
    }
    let run = own.join(RUN);
    let (began, to_train) = (Instant::now(), !resume::is_finished(&run));
    if to_train {
        run_folder::make(&cell, &run, sweep.threads)?;
    }
    let took = began.elapsed();
    // Training has set the threads, which can be done once.
    let threads = if to_train { None } else { cell.options.threads.or(sweep.threads) };
    let device = machine::Machine { threads, device: cell.options.device.clone() }.set_up()?;
    // A finished run without a result was killed between its last step and its scores.
    let mut result = match state.results.get(name).filter(|_| !to_train) {
        Some(result) => result.clone(),
        None => trained(&cell, &run, &device, took)?,
    };
    score(&mut result, &mut state, folder, name, &device)?;
    drop(lock);
    run_folder::tidy(folder, &state, sweep.keep_models)?;
    Ok(())
}

/// The result of a run, without scores.
fn trained(cell: &Cell, run: &Path, device: &Device, took: Duration) -> Result<CellResult, Ending> {
    let machine = Machine {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instruction_set: instructions(cell.options.precision.precision()),
        threads: rayon::current_num_threads(),
        device: device::name(device),
    };
    let mut result = CellResult::new(cell, Log::read(run)?.steps, machine);
    result.seconds.training = took.as_secs_f64();
    Ok(result)
}

/// Scores what is wanted: the dev set, and once the row's values are chosen the test sets.
fn score(result: &mut CellResult, state: &mut State, folder: &Path, name: &str, device: &Device) -> Done {
    let run = run_folder::of_cell(folder, name).join(RUN);
    let interrupt = Interrupt::listen()?;
    let model = SentenceEncoder::load(&run, Overrides::default(), device)?;
    let began = Instant::now();
    let scorer = Scorer { model: &model, interrupt: &interrupt };
    let dev = state.plan.dev.name();
    if !result.dev.contains_key(&dev) {
        let score = match state.plan.dev_task()? {
            Some(task) => scorer.score(&[task])?.first().and_then(|task| task.score().spearman),
            None => Log::read(&run)?.held_out,
        };
        result.dev.insert(dev, score);
        result.seconds.scoring += began.elapsed().as_secs_f64();
        result.peak_memory = peak_memory();
        result.write(folder, name)?;
    }
    // The others may have been finished meanwhile, and this may be the last one of the choice.
    let names: Vec<String> = state.plan.cells.keys().cloned().collect();
    names.iter().try_for_each(|name| state.look_at(folder, name))?;
    if state.wanted(name).test && !state.is_done(name) {
        let began = Instant::now();
        let scored = scorer.score(&state.plan.test_tasks()?)?;
        result.scored(folder, name, &scored)?;
        result.seconds.scoring += began.elapsed().as_secs_f64();
        result.peak_memory = peak_memory();
        result.write(folder, name)?;
        state.look_at(folder, name)?;
    }
    Ok(())
}

/// A model that stops between blocks of sentences where a signal asks for it.
struct Scorer<'a> {
    model: &'a SentenceEncoder,
    interrupt: &'a Interrupt,
}

#[derive(Debug, thiserror::Error)]
enum ScoringError {
    #[error("stopped by a signal")]
    Stopped,
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Encode for Scorer<'_> {
    type Error = ScoringError;

    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, ScoringError> {
        match self.interrupt.received() {
            Some(_) => Err(ScoringError::Stopped),
            None => Ok(self.model.encode(sentences)?),
        }
    }
}

impl Scorer<'_> {
    fn score(&self, tasks: &[Task]) -> Result<Vec<ScoredTask>, Ending> {
        evaluate(tasks, self, DEFAULT_BLOCK_SIZE * 8, |_| ()).map_err(|error| {
            match self.interrupt.received() {
                Some(signal) => stopped(signal),
                None => error.into(),
            }
        })
    }
}

fn stopped(signal: Signal) -> Ending {
    Ending::Stopped {
        message: format!(
            "stopped by {signal}; the run is complete and will be scored when the cell is run again"
        ),
        signal,
    }
}

fn wait_for_lock(folder: &Path) -> Result<FolderLock, Ending> {
    let began = Instant::now();
    loop {
        match FolderLock::take(folder) {
            Err(OutputError::InUse(_)) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(100));
            }
            done => return Ok(done?),
        }
    }
}

/// From now on the end of standard input is as SIGTERM: whoever holds its other end has stopped this cell, or is gone.
fn end_with_standard_input() -> Done {
    let wait = || {
        let mut input = std::io::stdin().lock();
        let mut buffer = [0; 64];
        while matches!(input.read(&mut buffer), Ok(read) if read > 0) {}
        #[cfg(unix)]
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
        #[cfg(not(unix))]
        std::process::exit(1);
    };
    std::thread::Builder::new().name("supervision".to_owned()).spawn(wait)?;
    Ok(())
}

/// The most memory that this process had, in bytes, where the system says.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}
