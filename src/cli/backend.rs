//! `--backend`: what computes embeddings, and from which files.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::Device;
use clap::{Args, ValueEnum};
use ndarray::Array2;

use super::machine::Machine;
use super::progress::say;
use super::prompt::PromptFlags;
use super::{Ending, usage};
use crate::encoder::Precision;
use crate::export as graph;
use crate::model::PoolingChoice;
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
    /// In what layers multiply: by candle on the CPU f32, bf16 or int8 [default: f32]; by onnx which of an exported
    /// folder's graphs, f32, f16 or int8 [default: the first of these that it has]
    #[arg(long, value_name = "PRECISION", help_heading = "Backend")]
    precision: Option<AnyPrecision>,
    /// ONNX Runtime's library [default: ORT_DYLIB_PATH, beside the program, or where
    /// scripts/fetch-onnxruntime put it]
    #[arg(long, value_name = "FILE", help_heading = "Backend")]
    pub onnxruntime: Option<PathBuf>,
}

/// A precision of either backend.
#[derive(Clone, Copy, Debug)]
enum AnyPrecision {
    /// That both have, or candle alone.
    Ours(Precision),
    /// That graphs alone have.
    Graphs(graph::Precision),
}

impl FromStr for AnyPrecision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let ours = name.parse().map(AnyPrecision::Ours);
        ours.or_else(|_| name.parse().map(AnyPrecision::Graphs)).map_err(|_: String| {
            format!("precision {name:?} is not known; f32, bf16 and int8 are, and with --backend onnx f32, f16 and int8")
        })
    }
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

    /// In what candle computes.
    pub fn precision(&self) -> Result<Precision, Ending> {
        match (self.backend, self.precision) {
            (BackendName::Candle, Some(AnyPrecision::Graphs(precision))) => Err(usage(format!(
                "--precision {precision} is for --backend onnx; candle computes in f32, bf16 or int8"
            ))),
            (BackendName::Candle, Some(AnyPrecision::Ours(precision))) => Ok(precision),
            (BackendName::Candle, None) | (BackendName::Onnx, _) => Ok(Precision::F32),
        }
    }

    /// Which graph ONNX Runtime runs, if one is asked for.
    fn graphs_precision(&self) -> Result<Option<graph::Precision>, Ending> {
        match self.precision {
            None => Ok(None),
            Some(AnyPrecision::Graphs(precision)) => Ok(Some(precision)),
            Some(AnyPrecision::Ours(Precision::F32)) => Ok(Some(graph::Precision::F32)),
            Some(AnyPrecision::Ours(Precision::Int8)) => Ok(Some(graph::Precision::Int8)),
            Some(AnyPrecision::Ours(Precision::Bf16)) => {
                Err(usage("--precision bf16 is for --backend candle; graphs are in f32, f16 or int8"))
            }
        }
    }

    /// What loads models; an error where the flags, or `models`, do not fit the backend.
    pub fn loader(
        &self,
        overrides: Overrides,
        models: &[String],
        machine: &Machine,
        device: &Device,
    ) -> Result<Loader, Ending> {
        if self.backend == BackendName::Candle {
            return Ok(Loader::Candle { overrides, precision: self.precision()?, device: device.clone() });
        }
        if models.iter().any(|model| model == crate::hub::BUILTIN) {
            return Err(usage("--backend onnx needs a folder that mirror export wrote, named by --model"));
        }
        if overrides.pooling != PoolingChoice::default() {
            return Err(usage(
                "--pooling cannot be changed with --backend onnx: it is in the graph; export again",
            ));
        }
        let asked = Asked { precision: self.graphs_precision()?, max_length: overrides.max_length };
        let runtime = Runtime::load(self.onnxruntime.as_deref())?;
        Ok(Loader::Onnx { runtime, asked, threads: machine.threads() })
    }
}

/// What models are loaded with.
pub enum Loader {
    /// By this program's own encoder.
    Candle { overrides: Overrides, precision: Precision, device: Device },
    /// By ONNX Runtime.
    Onnx { runtime: Runtime, asked: Asked, threads: usize },
}

impl Loader {
    /// The model in `folder`.
    pub fn load(&self, folder: &Path) -> Result<Loaded, Ending> {
        match self {
            Loader::Candle { overrides, precision, device } => {
                let model = SentenceEncoder::load(folder, *overrides, device)?.in_precision(*precision)?;
                Ok(Loaded::Candle(Box::new(model)))
            }
            Loader::Onnx { runtime, asked, threads } => {
                let encoder = OnnxEncoder::load(runtime, folder, *asked, *threads)?;
                encoder.warning.iter().for_each(|warning| say(warning));
                Ok(Loaded::Onnx(Box::new(encoder)))
            }
        }
    }
}

impl Loaded {
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
