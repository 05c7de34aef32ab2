//! The program as a person runs it: commands, files and folders in, exit codes, files and sentences out.

mod bad_files;
mod bad_usage;
mod bulk;
mod corpora;
mod data;
mod encode;
mod eval;
mod export;
mod install;
mod models;
mod onnx_clients;
mod outputs;
mod own_folders;
mod python;
mod report;
mod reproducible;
mod search;
mod sentence_folders;
mod sharpness;
mod text;
mod tokenizers;
mod train;
mod unlabeled;
mod weights;
mod workspace;
