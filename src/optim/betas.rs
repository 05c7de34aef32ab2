//! `--adam-betas`: the factors of AdamW's moments.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// β₁ and β₂, each in [0, 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "[f64; 2]")]
pub struct Betas(pub [f64; 2]);

impl Default for Betas {
    fn default() -> Self {
        Betas([0.9, 0.999])
    }
}

impl TryFrom<&[f64]> for Betas {
    type Error = String;

    fn try_from(values: &[f64]) -> Result<Self, String> {
        match *values {
            [first, second] if values.iter().all(|beta| (0.0..1.0).contains(beta)) => {
                Ok(Betas([first, second]))
            }
            _ => Err("give two numbers of at least 0 and below 1, such as 0.9,0.98".to_owned()),
        }
    }
}

impl FromStr for Betas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let values: Vec<f64> = text.split(',').map(|beta| beta.trim().parse().unwrap_or(f64::NAN)).collect();
        values.as_slice().try_into()
    }
}

impl fmt::Display for Betas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Betas([first, second]) = self;
        write!(f, "{first},{second}")
    }
}

/// As a configuration may have them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected two numbers, as [0.9, 0.98] or \"0.9,0.98\"")]
enum Written {
    Numbers(Vec<f64>),
    Text(String),
}

impl TryFrom<Written> for Betas {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Numbers(values) => values.as_slice().try_into(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Betas> for [f64; 2] {
    fn from(betas: Betas) -> Self {
        betas.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn betas_are_read_or_refused() {
        assert_eq!("0.9, 0.98".parse(), Ok(Betas([0.9, 0.98])));
        assert_eq!(Betas::default().to_string().parse(), Ok(Betas::default()));
        for text in ["", "0.9", "0.9,1", "-0.1,0.9", "0.9,0.9,0.9", "a,b", "nan,0.9"] {
            assert!(text.parse::<Betas>().unwrap_err().contains("two numbers"), "{text}");
        }
    }
}
