//! SIGINT and SIGTERM: the first one asks for a stop, the second one does not ask.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

mod half_written;

pub(crate) use half_written::HalfWritten;

/// `timeout`, shells and process managers may deliver one stop twice, to a process and to its group:
/// a signal this soon after the first is the first.
const SAME_STOP: Duration = Duration::from_millis(500);

/// A signal that asks a run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    const ALL: [Signal; 2] = [Signal::Interrupt, Signal::Terminate];

    fn number(self) -> i32 {
        match self {
            Signal::Interrupt => SIGINT,
            Signal::Terminate => SIGTERM,
        }
    }

    /// What a shell reports for a command that this signal ended: 128 + its number.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Signal::Interrupt { "SIGINT" } else { "SIGTERM" })
    }
}

/// Whether a stop was asked for. The default never is.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    /// Number of the first signal that came; 0 for none.
    received: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on a first signal is noted here and a second one ends the process at once, with the
    /// signal's exit code.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        half_written::leave_signals_to_the_run();
        let received = Arc::new(AtomicUsize::new(0));
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let noted = Arc::clone(&received);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut first = None;
            for number in signals.forever() {
                let now = Instant::now();
                let since = now.saturating_duration_since(*first.get_or_insert(now));
                if noted.load(Ordering::SeqCst) == 0 {
                    noted.store(number as usize, Ordering::SeqCst);
                } else if since > SAME_STOP {
                    signal_hook::low_level::exit(128 + number);
                }
            }
        })?;
        Ok(Interrupt { received })
    }

    /// Elsewhere signals end the process as they do by default.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Interrupt::default())
    }

    /// The signal that came, if one did.
    pub fn received(&self) -> Option<Signal> {
        let number = self.received.load(Ordering::SeqCst);
        Signal::ALL.into_iter().find(|signal| signal.number() as usize == number)
    }
}
