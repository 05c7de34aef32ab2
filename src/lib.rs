//! mirror turns a pretrained masked language model into a sentence encoder.

pub mod encoder;
pub mod random;
pub mod sentence_folder;
pub mod tokenize;
