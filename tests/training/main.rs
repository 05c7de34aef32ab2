//! The training step on tiny models: gradients, what every registered regularizer does, a second oracle.

mod gradients;
mod precision;
mod regularizers;
mod second_oracle;
