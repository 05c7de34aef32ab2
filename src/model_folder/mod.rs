//! A model's folder, read and written.

pub mod config;
pub mod modules;
pub mod sentence;
pub mod tokenizer;
pub mod weights;
pub mod write;

pub use config::ConfigError;
pub use modules::ModulesError;
pub use sentence::{
    DenseActivation, ModuleConfig, ModuleKind, PoolingMode, SETTINGS, SentenceFolder, SentenceFolderError,
    Settings, TRANSFORMER_CONFIGS, UnknownPrompt,
};
pub use weights::{WeightsError, read_parameters};
