//! Files with labels, and scores of predictions.

mod glue;
mod own;
mod scores;

use super::*;
