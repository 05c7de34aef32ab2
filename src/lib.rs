//! mirror turns a pretrained masked language model into a sentence encoder without labels.
//!
//! The pipeline, in the order in which a sentence walks it:
//!
//! 1. [`corpus`] deals a file's sentences into batches, each sentence in two views, one masked.
//! 2. [`tokenize`] turns text into token ids as transformers would. [`hub`] and [`builtin`] find a model's folder, and
//!    [`model_folder`] reads it: configuration, tokenizer, pooling, prompts, weights.
//! 3. [`encoder`] turns packed tokens into embeddings and a gradient of embeddings into one of weights; [`backend`]
//!    computes both. [`random`] gives every dropout mask as a function of where it is used.
//! 4. [`objective`] gives each instance's loss: NT-Xent, or what a head predicts of labels, and the loss terms added to it.
//! 5. [`perturb`] chooses where the gradient is taken: at the weights, or sharpness-aware.
//!    [`regularization`] composes 4 and 5 from `--reg`.
//! 6. [`optim`] applies it, and [`trainer`] walks 1 to 6 until the corpus is through; [`checkpoint`] is what a run is
//!    resumed from.
//! 7. [`model_folder`] writes the folder, and [`sentence_encoder`] is that folder in use; [`search`] finds sentences
//!    with it.
//! 8. [`export`] writes it as an ONNX graph for third-party tools, and [`onnx`] is that graph in use.
//!
//! `quantization` stores embeddings in fewer bits. [`sharpness`] measures what 5 is about, at any weights, and
//! [`unlabeled`] how an encoder does on sentences without labels. [`sweep`] compares ways of training over seeds. The evaluator is a crate of its own, `sts-eval`, and
//! [`datasets`] brings the public data that it reads; [`cli`] is what a person types.

#![warn(missing_docs)]

mod backend;
pub mod batch;
pub mod builtin;
pub mod checkpoint;
pub mod classifier;
pub mod cli;
pub mod corpus;
pub mod datasets;
pub mod device;
pub mod encoder;
pub mod export;
pub mod hub;
mod interrupt;
mod json;
pub mod labelled;
pub mod model;
pub mod model_folder;
pub mod modules;
pub mod objective;
pub mod onnx;
pub mod onnx_file;
pub mod optim;
mod output;
mod ownership;
pub mod perturb;
mod prompt;
mod quantization;
mod quote;
pub mod random;
pub mod regularization;
pub mod search;
pub mod sentence_encoder;
pub mod sharpness;
mod suggest;
pub mod sweep;
pub mod tokenize;
pub mod trainer;
pub mod unlabeled;
pub mod weights;

/// What clap gives a group of flags when none of them is on the command line, so that a default
/// is written once.
pub(crate) fn cli_defaults<A: clap::Args>() -> A {
    let command = A::augment_args(clap::Command::new("defaults"));
    let matches = command.get_matches_from(["defaults"]);
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
