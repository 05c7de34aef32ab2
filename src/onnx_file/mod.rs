//! What a graph's file is.

pub mod header;
pub mod proto;
