//! Parses the command line and dispatches.

use std::process::ExitCode;

/// The system allocator gives buffers over 32 MB back at each free, and a batch of 200 × 2
/// sentences has such buffers in every layer: page faults then cost more than the arithmetic.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mirror::cli::main(std::env::args_os().collect())
}
