//! What an error of candle means for whoever reads it.

use candle_core::Error;

/// A failure of a device, rather than of what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its memory is used up.
    OutOfMemory,
    /// It failed in the middle of the work, and nothing more can be computed on it: in the driver's words.
    Lost(String),
}

impl Failure {
    /// Of an error; `None` where it is about something else.
    pub fn of(error: &Error) -> Option<Self> {
        super::devices::failure(error)
    }
}

/// The error in a sentence, without the backtrace that candle puts behind its own.
pub fn sentence(error: &Error) -> String {
    match Failure::of(error) {
        Some(Failure::OutOfMemory) => {
            "the GPU's memory is used up; use a GPU with more of it, or --device cpu".to_owned()
        }
        Some(Failure::Lost(reason)) => format!("the GPU failed: {reason}"),
        None => cause(error).to_string(),
    }
}

/// What is inside of backtraces and contexts.
pub(super) fn cause(error: &Error) -> &Error {
    match error {
        Error::WithBacktrace { inner, .. } | Error::Context { inner, .. } => cause(inner),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_no_part_of_a_sentence() {
        let plain = Error::Msg("shapes differ".to_owned());
        let traced = Error::WithBacktrace {
            inner: Box::new(Error::Msg("shapes differ".to_owned())),
            backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
        };
        assert!(traced.to_string().lines().count() > 1);
        for error in [plain, traced.context("in a step")] {
            assert_eq!(sentence(&error), "shapes differ");
        }
    }
}
