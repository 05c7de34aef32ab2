//! SIGINT and SIGTERM: the first one asks for a stop, the second one does not ask.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

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
    pub fn listen() -> io::Result<Self> {
        let received = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(AtomicBool::new(false));
        for signal in Signal::ALL {
            // Actions run in the order of their registration: the first signal must find `seen` unset.
            flag::register_conditional_shutdown(
                signal.number(),
                signal.exit_code().into(),
                Arc::clone(&seen),
            )?;
            flag::register_usize(signal.number(), Arc::clone(&received), signal.number() as usize)?;
            flag::register(signal.number(), Arc::clone(&seen))?;
        }
        Ok(Interrupt { received })
    }

    /// The signal that came, if one did.
    pub fn received(&self) -> Option<Signal> {
        let number = self.received.load(Ordering::SeqCst);
        Signal::ALL.into_iter().find(|signal| signal.number() as usize == number)
    }
}
