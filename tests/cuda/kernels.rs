//! The program's kernels and the samples' against plain functions in f64, whose masks are those of `mirror::random`.

mod activation;
mod attention;
mod embedding;
mod flat;
mod launch;
mod layer_norm;
mod pooling;
mod rows;
mod samples;
