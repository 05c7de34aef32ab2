//! What an encoder is, as data: sizes and choices of its configuration, and where its weights lie.

mod activation;
pub mod layout;
mod pooling;

pub use crate::model_folder::config::{Architecture, EncoderConfig};
pub use activation::{Activation, QUICK_SLOPE};
pub use layout::Layout;
pub use pooling::Pooling;
