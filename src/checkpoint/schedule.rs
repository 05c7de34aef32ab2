//! `--save-every`: when a checkpoint is due.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How often checkpoints are written: every so many steps, every so much time, or only when a signal
/// stops the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub enum SaveEvery {
    /// When a signal stops the run, and at no other time.
    Never,
    /// After every so many steps.
    Steps(u64),
    /// After the first step that ends so long after the last one.
    Time(Duration),
}

const UNITS: [(&str, u64); 3] = [("h", 3600), ("m", 60), ("s", 1)];

impl FromStr for SaveEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is neither a number of steps (100), nor a time (90s, 10m, 2h), nor never");
        if text == "never" {
            return Ok(SaveEvery::Never);
        }
        let unit = UNITS.iter().find_map(|&(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        let (number, seconds) = unit.map_or((text, None), |(number, seconds)| (number, Some(seconds)));
        let number: u64 = number.parse().ok().filter(|&n| n > 0).ok_or_else(wrong)?;
        match seconds {
            None => Ok(SaveEvery::Steps(number)),
            Some(seconds) => {
                let seconds = number.checked_mul(seconds).ok_or_else(wrong)?;
                Ok(SaveEvery::Time(Duration::from_secs(seconds)))
            }
        }
    }
}

impl fmt::Display for SaveEvery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaveEvery::Never => f.write_str("never"),
            SaveEvery::Steps(steps) => write!(f, "{steps}"),
            SaveEvery::Time(time) => {
                let seconds = time.as_secs();
                let unit = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
                let (name, unit) = unit.copied().unwrap_or(("s", 1));
                write!(f, "{}{name}", seconds / unit)
            }
        }
    }
}

/// Its form in a configuration: a number of steps needs no quotation marks.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number of steps (100), or a time (\"90s\", \"10m\", \"2h\"), or \"never\""
)]
enum Written {
    Steps(u64),
    Text(String),
}

impl TryFrom<Written> for SaveEvery {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Steps(steps) => steps.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<SaveEvery> for String {
    fn from(every: SaveEvery) -> String {
        every.to_string()
    }
}

/// When the next checkpoint is due. Time is the monotonic clock's: setting the machine's clock moves
/// nothing.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    every: SaveEvery,
    last: Instant,
}

impl Schedule {
    /// The first is due one period after `now`.
    pub fn new(every: SaveEvery, now: Instant) -> Self {
        Schedule { every, last: now }
    }

    /// Whether a checkpoint is due after `step`.
    pub fn is_due(&self, step: u64, now: Instant) -> bool {
        match self.every {
            SaveEvery::Never => false,
            SaveEvery::Steps(every) => step.is_multiple_of(every),
            SaveEvery::Time(every) => now.saturating_duration_since(self.last) >= every,
        }
    }

    /// Records that one was written, or attempted.
    pub fn tried(&mut self, now: Instant) {
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, every) in [
            ("never", SaveEvery::Never),
            ("100", SaveEvery::Steps(100)),
            ("90s", SaveEvery::Time(Duration::from_secs(90))),
            ("10m", SaveEvery::Time(Duration::from_secs(600))),
            ("2h", SaveEvery::Time(Duration::from_secs(7200))),
        ] {
            assert_eq!(text.parse(), Ok(every));
            assert_eq!(every.to_string(), text);
        }
        for text in
            ["", "0", "0m", "-1", "1.5m", "m", "10 m", "10d", "99999999999999999999", "9999999999999999999h"]
        {
            assert!(text.parse::<SaveEvery>().unwrap_err().contains("10m"), "{text}");
        }
    }

    #[test]
    fn steps_and_time() {
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let steps = Schedule::new(SaveEvery::Steps(3), start);
        assert_eq!([1, 2, 3, 4, 6].map(|step| steps.is_due(step, start)), [false, false, true, false, true]);
        let mut time = Schedule::new(SaveEvery::Time(minute), start);
        assert!(!time.is_due(9, start + minute - Duration::from_nanos(1)));
        assert!(time.is_due(9, start + minute));
        time.tried(start + minute);
        assert!(!time.is_due(10, start + minute));
        assert!(time.is_due(11, start + 2 * minute));
    }
}
