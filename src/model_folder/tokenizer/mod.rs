//! The tokenizer's files.

pub(crate) mod build;
mod check;
pub(crate) mod class;
pub(crate) mod config;
pub(crate) mod source;
mod switches;
pub(crate) mod write;
