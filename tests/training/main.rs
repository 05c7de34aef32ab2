//! The training step on tiny models: gradients, what every registered regularizer does, a second oracle.

mod gradients;
mod regularizers;
mod second_oracle;
