//! Labelled text: what fine-tuning learns from and is scored on.
//!
//! A [`Dataset`] holds [`Example`]s, each of one or two texts and a [`Label`]. It comes from one of GLUE's files, as they
//! are published, by its [`Task`]. [`Metric`] scores predictions against the labels.

mod dataset;
mod error;
mod glue;
mod hub;
mod metric;
mod own;
mod task;
#[cfg(test)]
mod tests;

pub use dataset::{Dataset, Example, Kind, Label};
pub use error::LabelledError;
pub use hub::HubRows;
pub use metric::{Metric, Outcomes};
pub use own::LabelledOptions;
pub use task::{Class, DevSet, Task};
