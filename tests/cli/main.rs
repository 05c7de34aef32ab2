//! The program as a person runs it: commands, files and folders in, exit codes, files and sentences out.

mod bad_files;
mod bad_usage;
mod bulk;
mod data;
mod encode;
mod eval;
mod export;
mod models;
mod onnx_clients;
mod python;
mod report;
mod reproducible;
mod search;
mod sharpness;
mod text;
mod train;
mod unlabeled;
mod weights;
mod workspace;
