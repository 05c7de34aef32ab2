//! mirror turns a pretrained masked language model into a sentence encoder.

pub mod corpus;
pub mod encoder;
pub mod random;
