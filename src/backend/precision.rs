//! In what numbers a layer's matrix products are computed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cpu;

/// What the operands of a layer's matrix products are rounded to. All else is f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Nothing is rounded.
    #[default]
    F32,
    /// Eight bits of mantissa, sums in f32.
    Bf16,
    /// Integers of eight bits with a scale for each row, exact sums: to encode with.
    Int8,
}

impl Precision {
    /// All, the most exact first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// The fastest to train in on this machine's CPU.
    pub fn fastest_to_train() -> Self {
        if cpu::bf16_outruns_f32() { Precision::Bf16 } else { Precision::F32 }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Precision::ALL.into_iter().find(|precision| precision.name() == name);
        known.ok_or_else(|| format!("precision {name:?} is not known; f32, bf16 and int8 are"))
    }
}
