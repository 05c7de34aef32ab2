//! The cells of a sweep, one after another or side by side: each is a process of its own, which takes its memory with it
//! when it ends and takes no other cell with it when it fails.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::super::progress::say;
use super::super::{Done, Ending};
use super::{State, Sweep, run_folder};
use crate::interrupt::{Interrupt, Signal};
use crate::output::OutputError;
use crate::quote::counted;
use crate::sweep::Clock;
use crate::trainer::memory::free_memory;

/// A cell's log, in its folder.
const LOG: &str = "log.txt";

/// How often running cells are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a second cell waits for, where nothing is known of the first one's memory.
const SETTLES: Duration = Duration::from_secs(20);

/// A cell is started so often before it counts as failed though it reports none.
const MOST_STARTS: u32 = 4;

struct Running {
    name: String,
    process: Child,
    began: Instant,
}

struct Schedule<'a> {
    sweep: &'a Sweep,
    state: &'a mut State,
    running: Vec<Running>,
    /// Cells that were started, and how often.
    started: BTreeMap<String, u32>,
    /// Free memory before the first cell.
    free: Option<u64>,
}

/// Runs whatever is left, and says what comes of it.
pub fn run(sweep: &Sweep, state: &mut State) -> Done {
    let interrupt = Interrupt::listen()?;
    let mut schedule =
        Schedule { sweep, state, running: Vec::new(), started: BTreeMap::new(), free: free_memory() };
    let mut changed = true;
    let mut ready = Vec::new();
    loop {
        if let Some(signal) = interrupt.received() {
            return Err(schedule.stop(signal));
        }
        changed |= schedule.reap()?;
        if std::mem::take(&mut changed) {
            ready = schedule.state.ready();
        }
        let running: HashSet<&str> = schedule.running.iter().map(|cell| cell.name.as_str()).collect();
        let next = ready.iter().find(|name| !running.contains(name.as_str())).cloned();
        match next {
            Some(name) if schedule.has_room_for(&name) => schedule.start(name)?,
            None if schedule.running.is_empty() => return Ok(()),
            _ => std::thread::sleep(LOOK),
        }
    }
}

impl Schedule<'_> {
    /// Whether another cell may run beside the others.
    fn has_room_for(&self, name: &str) -> bool {
        if self.running.is_empty() {
            return true;
        }
        if self.running.len() >= self.sweep.jobs {
            return false;
        }
        let (Some(now), Some(before)) = (free_memory(), self.free) else { return true };
        let (results, cells) = (&self.state.results, &self.state.plan.cells);
        let reg = |name: &str| cells.get(name).map(|cell| cell.options.regularization.reg.as_str());
        let peaks = |same: bool| {
            let of = results.iter().filter(|(other, _)| !same || reg(other) == reg(name));
            of.filter_map(|(_, result)| result.peak_memory).max()
        };
        match peaks(true).or_else(|| peaks(false)) {
            Some(peak) => now > peak,
            // As much as each of those that run takes, once they have had time to take it.
            None => {
                let taken = before.saturating_sub(now) / self.running.len() as u64;
                self.running.iter().all(|cell| cell.began.elapsed() > SETTLES) && now > taken + taken / 4
            }
        }
    }

    fn start(&mut self, name: String) -> Done {
        let folder = run_folder::of_cell(&self.sweep.output, &name);
        let failed = |source| OutputError::Write { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let log = File::options().create(true).append(true).open(folder.join(LOG)).map_err(failed)?;
        let mut command = Command::new(program()?);
        command.args(["sweep", "--supervised", "--cell", &name, "--output"]).arg(&self.sweep.output);
        command.arg("--threads").arg(self.threads().to_string());
        if self.sweep.keep_models {
            command.arg("--keep-models");
        }
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        say(&format!("running {}", self.state.shown(&name)));
        let process = command.spawn()?;
        *self.started.entry(name.clone()).or_default() += 1;
        self.running.push(Running { name, process, began: Instant::now() });
        Ok(())
    }

    /// Threads of a cell whose settings name none.
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.sweep.threads.unwrap_or_else(|| (cores / self.sweep.jobs).max(1))
    }

    /// Takes in what has ended. Whether something has.
    fn reap(&mut self) -> Result<bool, Ending> {
        let mut ended = Vec::new();
        for (place, cell) in self.running.iter_mut().enumerate().rev() {
            if let Some(status) = cell.process.try_wait()? {
                ended.push((place, status));
            }
        }
        for &(place, status) in &ended {
            let cell = self.running.remove(place);
            self.take_in(&cell, status)?;
        }
        Ok(!ended.is_empty())
    }

    fn take_in(&mut self, cell: &Running, status: ExitStatus) -> Done {
        let name = &cell.name;
        self.state.look_at(&self.sweep.output, name)?;
        let shown = self.state.shown(name);
        let again = self.started.get(name).is_none_or(|&times| times < MOST_STARTS);
        if !status.success() || !(self.state.is_done(name) || again) {
            let log = run_folder::of_cell(&self.sweep.output, name).join(LOG);
            let what = last_error(&log, status);
            say(&format!("{shown}: failed: {what} (its log is {})", log.display()));
            self.state.failed.insert(name.clone(), what);
        } else if let Some(result) = self.state.results.get(name) {
            let dev = self.state.plan.dev.name();
            let score = result.dev.get(&dev).copied().flatten();
            let score = score.map_or_else(|| "undefined".to_owned(), |score| format!("{score:.2}"));
            say(&format!("{shown}: {dev} {score}, {}", time(cell.began.elapsed().as_secs_f64())));
        }
        self.say_how_far();
        Ok(())
    }

    /// What is done, running and left.
    fn say_how_far(&self) {
        let running: Vec<&String> = self.running.iter().map(|cell| &cell.name).collect();
        let mut left = self.state.left();
        left.retain(|name| !running.contains(&name));
        let done = self.state.results.keys().filter(|name| self.state.is_done(name)).count();
        let clock = Clock::of(self.state);
        let of = |name: &String| self.state.plan.cells.get(name).and_then(|cell| clock.seconds(cell));
        let ahead: Option<f64> = left.iter().map(of).sum();
        let begun: Option<f64> = self
            .running
            .iter()
            .map(|cell| Some((of(&cell.name)? - cell.began.elapsed().as_secs_f64()).max(0.0)))
            .sum();
        let time = match ahead.zip(begun) {
            Some((ahead, begun)) if ahead + begun > 0.0 => {
                format!(", about {} left", time((ahead + begun) / self.sweep.jobs as f64))
            }
            _ => String::new(),
        };
        let failed = match self.state.failed.len() {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        say(&format!(
            "{} done, {} running, {} to come{failed}{time}",
            counted(done as u64, "cell"),
            running.len(),
            left.len()
        ));
    }

    /// Ends the cells that run: each sees its standard input end, and writes a checkpoint.
    fn stop(&mut self, signal: Signal) -> Ending {
        for cell in &mut self.running {
            drop(cell.process.stdin.take());
        }
        for cell in &mut self.running {
            let _ = cell.process.wait();
        }
        let message = format!(
            "stopped by {signal}; what was done is in {}, and the same command goes on from there",
            self.sweep.output.display()
        );
        Ending::Stopped { message, signal }
    }
}

/// This very program, whatever takes its file's place meanwhile.
fn program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// What a cell said last of what went wrong.
fn last_error(log: &Path, status: ExitStatus) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let last = text.lines().rev().take(20).find_map(|line| line.strip_prefix("error: "));
    last.map_or_else(|| format!("it ended with {status}"), str::to_owned)
}

/// A time as people say it.
pub fn time(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        s if s < 9.5 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        _ if minutes < 120 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}
