//! Faults: whatever stops a run, nothing is lost and nothing half-written is read. docs/faults.md lists
//! what is tried here.
//!
//! All runs train a tiny model (a word embedding of 16 numbers, two layers) for 24 steps over two epochs,
//! score every third step, keep the best weights and checkpoint every second step, unless a test says
//! otherwise. A run that met a fault and was resumed must end in the same bytes of model.safetensors and of
//! metrics.jsonl as one that met none.

#![cfg(unix)]

mod clock;
mod damage;
mod disk;
mod folder;
mod kills;
mod log_dir;
mod outputs;
mod overwriting;
mod refusals;
mod signals;
mod workshop;
