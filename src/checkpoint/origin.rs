//! What a run started from and what it runs on, so that it is not resumed with something else.

use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::CheckpointError;
use super::manifest::{hex, sha256_of};
use crate::backend::{Precision, instructions};
use crate::device;
use crate::model_folder::WeightsError;
use crate::model_folder::weights::files::weight_files;
use crate::modules::Module;
use crate::sentence_encoder::SentenceEncoder;

/// The files beside the weights that decide what a model computes.
const MODEL_FILES: [&str; 12] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
];

/// Inputs by their SHA-256, in lower-case hexadecimal digits, and the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Of the corpus's bytes.
    pub corpus_sha256: String,
    /// Of the model's files: those that decide what it computes.
    pub model_sha256: String,
    /// In what layers multiply.
    #[serde(default)]
    pub precision: Precision,
    /// Where the run computes.
    pub machine: Machine,
}

/// What the last bits of a result depend on besides the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The program's version.
    pub version: String,
    /// SHA-256 of the program's file.
    pub build: String,
    /// What the CPU's fused operations are compiled for.
    pub instruction_set: String,
    /// cpu, or a CUDA card by its name and compute capability. What was written before cards had names says gpu.
    pub device: String,
}

impl Origin {
    /// Of a run on this machine, on text of that sum. The model's files are read whole.
    pub fn of(
        corpus_sha256: &str,
        model_folder: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        Ok(Origin {
            corpus_sha256: corpus_sha256.to_owned(),
            model_sha256: model_sha256(model_folder)?,
            precision,
            machine: Machine::this(device, precision),
        })
    }

    /// Includes what a model's folder has beside the transformer: a prompt, and modules after pooling. A model
    /// without these keeps its sum.
    pub fn include(&mut self, model: &SentenceEncoder) -> Result<(), CheckpointError> {
        let (prompt, modules) = (&model.prompt, &model.encoder.modules);
        if prompt.text.is_empty() && modules.is_empty() {
            return Ok(());
        }
        let mut sum = Sha256::new();
        sum.update(format!("{} {prompt:?} {modules}\n", self.model_sha256));
        for tensor in modules.steps().iter().flat_map(Module::tensors) {
            let values: Vec<f64> =
                tensor.flatten_all().and_then(|flat| flat.to_vec1()).map_err(WeightsError::from)?;
            values.iter().for_each(|value| sum.update(value.to_le_bytes()));
        }
        self.model_sha256 = hex(&sum.finalize());
        Ok(())
    }

    /// Refuses inputs and a precision that are not those of `earlier`. Returns a warning where the machine differs: the run's last bits
    /// may differ then.
    pub fn check_against(&self, earlier: &Origin) -> Result<Option<String>, CheckpointError> {
        for (what, flag, now, then) in [
            ("corpus", "--corpus", &self.corpus_sha256, &earlier.corpus_sha256),
            ("model", "--model", &self.model_sha256, &earlier.model_sha256),
        ] {
            if now != then {
                return Err(CheckpointError::Changed { what, flag });
            }
        }
        if self.precision != earlier.precision {
            return Err(CheckpointError::Precision { now: self.precision, then: earlier.precision });
        }
        Ok(self.machine.difference(&earlier.machine))
    }
}

impl Machine {
    fn this(device: &Device, precision: Precision) -> Self {
        let build = std::env::current_exe().and_then(|program| sha256_of(&program));
        Machine {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: build.unwrap_or_else(|_| "unknown".to_owned()),
            instruction_set: instructions(precision),
            device: device::name(device),
        }
    }

    fn difference(&self, earlier: &Machine) -> Option<String> {
        let mut parts = Vec::new();
        for (what, now, then) in [
            ("version", &self.version, &earlier.version),
            ("instruction set", &self.instruction_set, &earlier.instruction_set),
            ("device", &self.device, &earlier.device),
        ] {
            if now != then {
                parts.push(format!("the {what} is {now} and was {then}"));
            }
        }
        if parts.is_empty() && self.build != earlier.build {
            parts.push("this is another build of the program".to_owned());
        }
        (!parts.is_empty()).then(|| {
            let what = parts.join(", ");
            format!("warning: {what}; the run is resumed, but its last bits may differ from those of a run that was never stopped")
        })
    }
}

/// One sum over the sums of all files that decide what the model computes.
pub(crate) fn model_sha256(folder: &Path) -> Result<String, CheckpointError> {
    let mut files = weight_files(folder)?;
    files.extend(MODEL_FILES.iter().map(|name| folder.join(name)).filter(|path| path.is_file()));
    let mut sum = Sha256::new();
    for path in files {
        let file = sha256_of(&path).map_err(|source| CheckpointError::Read { path: path.clone(), source })?;
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        sum.update(format!("{name} {file}\n"));
    }
    Ok(hex(&sum.finalize()))
}
