//! Files that are being written when a signal ends the process: they are removed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whether a run notes signals and clears away by itself, as [`Interrupt::listen`](super::Interrupt::listen) does.
static LEFT_TO_THE_RUN: AtomicBool = AtomicBool::new(false);

/// A file that goes if a signal ends the process before this is dropped.
pub(crate) struct HalfWritten {
    path: PathBuf,
}

impl HalfWritten {
    /// Creates a file, whose path `path` returns. No signal gets in between.
    pub fn create<F, E>(
        file: impl FnOnce() -> Result<F, E>,
        path: impl FnOnce(&F) -> &Path,
    ) -> Result<(F, Self), E> {
        listen();
        let mut files = files();
        let file = file()?;
        let path = path(&file).to_owned();
        files.push(path.clone());
        Ok((file, HalfWritten { path }))
    }
}

impl Drop for HalfWritten {
    fn drop(&mut self) {
        files().retain(|path| *path != self.path);
    }
}

fn files() -> MutexGuard<'static, Vec<PathBuf>> {
    FILES.lock().unwrap_or_else(|e| e.into_inner())
}

pub(super) fn leave_signals_to_the_run() {
    LEFT_TO_THE_RUN.store(true, Ordering::SeqCst);
}

/// From the first call on a signal removes what is half-written, and then does what it would have done.
#[cfg(unix)]
fn listen() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    static LISTENING: std::sync::Once = std::sync::Once::new();
    LISTENING.call_once(|| {
        // Where this cannot be had, a temporary file may stay, and nothing worse.
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
        let end = move || {
            for signal in signals.forever().filter(|_| !LEFT_TO_THE_RUN.load(Ordering::SeqCst)) {
                // Held to the end: nothing is created any more.
                let files = files();
                for file in files.iter() {
                    // One that has its own name by now needs nothing.
                    let _ = std::fs::remove_file(file);
                }
                // Shells ask whether it was a signal that ended a command.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        };
        let _ = std::thread::Builder::new().name("half-written".to_owned()).spawn(end);
    });
}

#[cfg(not(unix))]
fn listen() {}
