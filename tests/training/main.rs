//! The training step on tiny models: gradients, and what every registered regularizer does.

mod gradients;
mod regularizers;
