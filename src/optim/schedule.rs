//! How the learning rate goes from step to step: up in a warm-up, then down, as transformers' schedulers of the same
//! names compute it. A step's rate depends on its number alone, so that a resumed run takes it up exactly.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The way down after the warm-up, to 0 at the end of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// None: the peak rate to the end
    #[default]
    Constant,
    /// In a straight line
    Linear,
    /// Along half a cosine
    Cosine,
    /// By the power --decay-power of what is left of the run
    Polynomial,
}

/// A run's learning rates as factors of the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// After the warm-up.
    pub decay: Decay,
    /// Of [`Decay::Polynomial`]; 1 is [`Decay::Linear`].
    pub power: f64,
    /// Steps of the warm-up: the rate rises in a straight line from 0 in the first step.
    pub warmup: u64,
    /// Steps of the whole run.
    pub steps: u64,
}

impl Default for Schedule {
    /// The peak rate in every step.
    fn default() -> Self {
        Schedule { decay: Decay::Constant, power: 1.0, warmup: 0, steps: 0 }
    }
}

impl Schedule {
    /// Whether every step has the peak rate.
    pub fn is_constant(&self) -> bool {
        self.decay == Decay::Constant && self.warmup == 0
    }

    /// What the peak rate is multiplied by in a step, counted from 1; in [0, 1].
    pub fn factor(&self, step: u64) -> f64 {
        let made = step.saturating_sub(1);
        if made < self.warmup {
            return made as f64 / self.warmup as f64;
        }
        let (since, of) = (made - self.warmup, self.steps.saturating_sub(self.warmup).max(1));
        let progress = (since as f64 / of as f64).min(1.0);
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Decay::Polynomial => (1.0 - progress).powf(self.power),
        }
    }
}

/// `--warmup`: so many steps, or a share of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub enum Warmup {
    /// So many steps.
    Steps(u64),
    /// In [0, 1); rounded up to whole steps, as transformers does.
    Share(f64),
}

impl Warmup {
    /// Steps of the warm-up in a run of `steps`.
    pub fn steps(self, steps: u64) -> u64 {
        match self {
            Warmup::Steps(steps) => steps,
            Warmup::Share(share) => (share * steps as f64).ceil() as u64,
        }
    }
}

impl FromStr for Warmup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').map(|percent| percent.trim().parse().map(|p: f64| p / 100.0));
        let share = match percent {
            Some(share) => share,
            None => match text.parse() {
                Ok(steps) => return Ok(Warmup::Steps(steps)),
                Err(_) => text.parse(),
            },
        };
        share.ok().filter(|share| (0.0..1.0).contains(share)).map(Warmup::Share).ok_or_else(|| {
            format!("{text:?} is neither a number of steps (100) nor a share of all below 1 (0.06, 6%)")
        })
    }
}

impl fmt::Display for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warmup::Steps(steps) => write!(f, "{steps}"),
            // With its point, which tells it from steps.
            Warmup::Share(share) => write!(f, "{share:?}"),
        }
    }
}

/// Its form in a configuration: numbers need no quotation marks.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of steps (100) or a share of all (0.06)")]
enum Written {
    Steps(u64),
    Share(f64),
    Text(String),
}

impl TryFrom<Written> for Warmup {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Steps(steps) => Ok(Warmup::Steps(steps)),
            Written::Share(share) => format!("{share:?}").parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Warmup> for String {
    fn from(warmup: Warmup) -> String {
        warmup.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of transformers 5's get_*_schedule_with_warmup (torch's LambdaLR) for 10 steps, 3 of them warm-up.
    #[test]
    fn rates_are_those_of_transformers() {
        let rates = |decay, power| -> Vec<f64> {
            let schedule = Schedule { decay, power, warmup: 3, steps: 10 };
            (1..=11).map(|step| schedule.factor(step)).collect()
        };
        let up = [0.0, 1.0 / 3.0, 2.0 / 3.0];
        let sevenths = |f: fn(f64) -> f64| (0..=7).map(move |i| f(1.0 - f64::from(i) / 7.0));
        let expected = |down: Vec<f64>| [&up[..], &down].concat();
        let close = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-15);
        assert!(close(rates(Decay::Constant, 1.0), expected(vec![1.0; 8])));
        assert!(close(rates(Decay::Linear, 1.0), expected(sevenths(|left| left).collect())));
        assert!(close(rates(Decay::Polynomial, 2.0), expected(sevenths(|left| left * left).collect())));
        let cosine =
            vec![1.0, 0.9504844339512095, 0.8117449009293668, 0.6112604669781572, 0.38873953302184283];
        assert!(close(rates(Decay::Cosine, 1.0)[..8].to_vec(), expected(cosine)));
    }

    #[test]
    fn warmups_are_read_or_refused_in_a_sentence() {
        for (text, expected, of_50) in [
            ("100", Warmup::Steps(100), 100),
            ("0", Warmup::Steps(0), 0),
            ("0.06", Warmup::Share(0.06), 3),
            ("6%", Warmup::Share(0.06), 3),
            ("0.0", Warmup::Share(0.0), 0),
        ] {
            let read: Warmup = text.parse().unwrap();
            assert_eq!((read, read.steps(50)), (expected, of_50), "{text}");
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for text in ["", "-1", "1.5", "1.0", "100%", "nan", "ten"] {
            assert!(text.parse::<Warmup>().unwrap_err().contains("neither a number of steps"), "{text}");
        }
    }

    proptest! {
        /// Up to the peak, then never up again; 0 only where a warm-up begins or the run has ended.
        #[test]
        fn rates_rise_to_the_peak_and_fall(
            decay in prop::sample::select(Decay::value_variants()),
            warmup in 0u64..30,
            steps in 1u64..60,
            power in 0.5f64..3.0,
        ) {
            let schedule = Schedule { decay, power, warmup, steps };
            let rates: Vec<f64> = (1..=steps).map(|step| schedule.factor(step)).collect();
            for (i, pair) in rates.windows(2).enumerate() {
                let rises = (i as u64) < warmup;
                prop_assert!(if rises { pair[0] < pair[1] } else { pair[0] >= pair[1] }, "{rates:?}");
            }
            prop_assert!(rates.iter().skip(usize::from(warmup > 0)).all(|&rate| rate > 0.0 && rate <= 1.0));
        }
    }
}
