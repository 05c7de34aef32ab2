//! What an encoder is, as data: sizes and choices of its configuration, and where its weights lie. What tells one
//! architecture from another is [`architecture`]'s to say.

mod activation;
pub mod architecture;
mod encoder_config;
mod head;
pub mod layout;
mod part;
mod pooling;
mod relative;

pub use activation::{Activation, QUICK_SLOPE};
pub use architecture::Architecture;
pub use encoder_config::{EncoderConfig, Positions};
pub use head::{Head, HeadLayer, HeadRule, WordHead};
pub use layout::Layout;
pub use part::{Kind, Part};
pub use pooling::{Pooling, PoolingChoice};
pub use relative::RelativeBias;
