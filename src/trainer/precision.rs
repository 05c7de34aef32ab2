//! `--precision` of `mirror train`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::device;
use crate::encoder::Precision;

/// In what a run multiplies, or who chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainingPrecision {
    /// f32 on the CPU, bf16 on a GPU.
    #[default]
    Default,
    /// As scores are compared in.
    F32,
    /// Operands rounded to bf16, sums in f32.
    Bf16,
    /// bf16 on a GPU, and where the CPU multiplies it faster than f32; else f32.
    Auto,
}

impl TrainingPrecision {
    /// The same with the choice made, for what `--device` says.
    pub fn settled(self, device: &str) -> Self {
        let bf16 = match self {
            TrainingPrecision::F32 | TrainingPrecision::Bf16 => return self,
            _ if device::means_gpu(device) => true,
            TrainingPrecision::Default => false,
            TrainingPrecision::Auto => Precision::fastest_to_train() == Precision::Bf16,
        };
        if bf16 { TrainingPrecision::Bf16 } else { TrainingPrecision::F32 }
    }

    /// What it comes to where the choice is made.
    pub fn precision(self) -> Precision {
        match self {
            TrainingPrecision::Bf16 => Precision::Bf16,
            TrainingPrecision::Default | TrainingPrecision::F32 | TrainingPrecision::Auto => Precision::F32,
        }
    }
}
