//! The fused CPU path.

pub use super::composed::{embed, embed_tracked};
