//! `--backend`: what computes embeddings, and from which files.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ndarray::Array2;

use super::machine::Machine;
use super::progress::say;
use super::prompt::PromptFlags;
use super::{Ending, usage};
use crate::export::Precision;
use crate::model_folder::Settings;
use crate::onnx::encoder::Asked;
use crate::onnx::{OnnxEncoder, OnnxError, Runtime};
use crate::sentence_encoder::{ModelError, Overrides, SentenceEncoder, TooManyDimensions};

/// Flags of commands that encode with a trained model or an exported one.
#[derive(Args, Clone, Debug)]
pub struct Backend {
    /// What computes: candle, from a model's weights; onnx, ONNX Runtime from a folder of mirror export
    #[arg(long, default_value = "candle", value_name = "BACKEND", help_heading = "Backend")]
    pub backend: BackendName,
    /// Which of an exported folder's graphs: f32, f16 or int8 [default: the first of these that it has]
    #[arg(long, value_name = "PRECISION", help_heading = "Backend")]
    pub precision: Option<Precision>,
    /// ONNX Runtime's library [default: ORT_DYLIB_PATH, beside the program, or where
    /// scripts/fetch-onnxruntime put it]
    #[arg(long, value_name = "FILE", help_heading = "Backend")]
    pub onnxruntime: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    Candle,
    Onnx,
}

/// A loaded model of either kind.
pub enum Loaded {
    Candle(Box<SentenceEncoder>),
    Onnx(Box<OnnxEncoder>),
}

/// From 1.29 on, ONNX Runtime keeps files of telemetry unless this is set before it is loaded.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Starts the program again with telemetry switched off, before it has done anything: setting a variable of
/// the environment is only safe for a process that is still to come. Where that fails it carries on, and
/// [`Runtime`] sets what can still be set later.
pub fn without_telemetry() {
    #[cfg(unix)]
    if std::env::var_os(NO_TELEMETRY).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let mut arguments = std::env::args_os();
        let mut again = std::process::Command::new(program);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        let _ = again.args(arguments).env(NO_TELEMETRY, "1").exec();
    }
}

impl Backend {
    /// To be called first of all.
    pub fn prepare(&self) {
        if self.backend == BackendName::Onnx {
            without_telemetry();
        }
    }

    /// Checks flags that contradict each other, and loads ONNX Runtime where it is asked for.
    pub fn set_up(&self, overrides: Overrides, models: &[String]) -> Result<Option<Runtime>, Ending> {
        match self.backend {
            BackendName::Candle if self.precision.is_some() => {
                Err(usage("--precision is for --backend onnx; candle computes in f32"))
            }
            BackendName::Candle => Ok(None),
            BackendName::Onnx if models.iter().any(|model| model == crate::hub::BUILTIN) => {
                Err(usage("--backend onnx needs a folder that mirror export wrote, named by --model"))
            }
            BackendName::Onnx if overrides.pooling.is_some() => Err(usage(
                "--pooling cannot be changed with --backend onnx: it is in the graph; export again",
            )),
            BackendName::Onnx => Ok(Some(Runtime::load(self.onnxruntime.as_deref())?)),
        }
    }
}

impl Loaded {
    /// Loads a folder: with `runtime` its graph, else its weights.
    pub fn load(
        folder: &Path,
        overrides: Overrides,
        backend: &Backend,
        runtime: Option<&Runtime>,
        machine: &Machine,
        device: &candle_core::Device,
    ) -> Result<Self, Ending> {
        match runtime {
            None => Ok(Loaded::Candle(Box::new(SentenceEncoder::load(folder, overrides, device)?))),
            Some(runtime) => {
                let asked = Asked { precision: backend.precision, max_length: overrides.max_length };
                let encoder = OnnxEncoder::load(runtime, folder, asked, machine.threads())?;
                encoder.warning.iter().for_each(|warning| say(warning));
                Ok(Loaded::Onnx(Box::new(encoder)))
            }
        }
    }

    /// Puts the prompt that was asked for before each sentence, if one was.
    pub fn set_prompt(&mut self, flags: &PromptFlags) -> Result<(), Ending> {
        let Some(text) = flags.text(self.settings())?.map(str::to_owned) else { return Ok(()) };
        match self {
            Loaded::Candle(model) => model.prompt.text = text,
            Loaded::Onnx(model) => model.prompt.text = text,
        }
        Ok(())
    }

    /// Keeps the first values of embeddings alone.
    pub fn set_dimensions(&mut self, dimensions: usize) -> Result<(), TooManyDimensions> {
        match self {
            Loaded::Candle(model) => model.set_dimensions(dimensions),
            Loaded::Onnx(model) => model.set_dimensions(dimensions),
        }
    }

    /// The folder's settings for embeddings as a whole.
    pub fn settings(&self) -> &Settings {
        match self {
            Loaded::Candle(model) => &model.settings,
            Loaded::Onnx(model) => model.settings(),
        }
    }

    /// Scales embeddings to length 1, or does not, regardless of the folder's modules.
    pub fn set_normalize(&mut self, always: bool, never: bool) -> Result<(), Ending> {
        match self {
            Loaded::Candle(model) => model.set_normalize(always, never),
            Loaded::Onnx(model) if never && model.is_normalized() => {
                return Err(usage(
                    "--no-normalize is not possible: this graph gives embeddings of length 1; export again with --no-normalize",
                ));
            }
            Loaded::Onnx(model) => model.normalize |= always,
        }
        Ok(())
    }

    /// Tokens of a sentence beyond which it is cut.
    pub fn max_length(&self) -> usize {
        match self {
            Loaded::Candle(model) => model.max_length,
            Loaded::Onnx(model) => model.max_length(),
        }
    }

    pub fn width(&self) -> usize {
        match self {
            Loaded::Candle(model) => model.width(),
            Loaded::Onnx(model) => model.width(),
        }
    }
}

/// Why a loaded model of either kind failed to encode.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error(transparent)]
    Candle(#[from] ModelError),
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

impl sts_eval::Encode for Loaded {
    type Error = EncodeError;

    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, EncodeError> {
        Ok(match self {
            Loaded::Candle(model) => model.encode(sentences)?,
            Loaded::Onnx(model) => model.encode(sentences)?,
        })
    }
}
