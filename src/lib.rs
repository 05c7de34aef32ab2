//! mirror turns a pretrained masked language model into a sentence encoder.

pub mod encoder;
pub mod ops;
pub mod random;
