//! `--precision` of `mirror train`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::encoder::Precision;

/// In what a run multiplies, or who chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainingPrecision {
    /// As scores are compared in.
    #[default]
    F32,
    /// Operands rounded to bf16, sums in f32: on the CPU.
    Bf16,
    /// bf16 where the CPU computes and multiplies it faster than f32, else f32.
    Auto,
}

impl TrainingPrecision {
    /// The same with the choice made; `on_cpu` is whether the CPU will compute.
    pub fn settled(self, on_cpu: bool) -> Self {
        match self {
            TrainingPrecision::Auto if on_cpu && Precision::fastest_to_train() == Precision::Bf16 => {
                TrainingPrecision::Bf16
            }
            TrainingPrecision::Auto => TrainingPrecision::F32,
            chosen => chosen,
        }
    }

    /// What it comes to where the choice is made.
    pub fn precision(self) -> Precision {
        match self {
            TrainingPrecision::Bf16 => Precision::Bf16,
            TrainingPrecision::F32 | TrainingPrecision::Auto => Precision::F32,
        }
    }
}
