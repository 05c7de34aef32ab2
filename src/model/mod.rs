//! What an encoder is, as data: sizes and choices of its configuration, and where its weights lie.

mod activation;
mod encoder_config;
pub mod layout;
mod pooling;

pub use activation::{Activation, QUICK_SLOPE};
pub use encoder_config::{Architecture, EncoderConfig};
pub use layout::Layout;
pub use pooling::Pooling;
