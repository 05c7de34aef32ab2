//! Model folders, data files, checkpoints and servers are untrusted: whatever they hold, reading gives a result or
//! one sentence, never a panic, and takes no more memory than a small file warrants.
//!
//! The same surfaces are fuzzed with coverage by the targets in fuzz/; what those found lies in found/.

mod models;
mod mutation;
mod surfaces;

use std::alloc::System;
use std::fs;
use std::path::Path;

use cap::Cap;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use surfaces::{SURFACES, surface};

/// Inputs here have a few kilobytes. A reader that believes a size in one of them asks for more than this, and ends the
/// test with "memory allocation failed".
const MOST_MEMORY: usize = 256 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MOST_MEMORY);

/// Any bytes, and damaged forms of what is right.
fn holds(name: &str, cases: u32) {
    let surface = surface(name);
    let seeds = (surface.seeds)();
    // What is right is read in full, else damage to it would say nothing.
    seeds.iter().for_each(|seed| (surface.read)(seed));
    let any = prop::collection::vec(any::<u8>(), 0..300);
    let inputs = prop_oneof![1 => any, 4 => mutation::of(seeds)];
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let held = TestRunner::new(config).run(&inputs, |bytes| {
        (surface.read)(&bytes);
        Ok(())
    });
    held.unwrap_or_else(|error| panic!("{name}: {error}"));
}

macro_rules! surfaces_hold {
    ($($test:ident: $name:literal, $cases:literal;)+) => {
        $(#[test] fn $test() { holds($name, $cases); })+

        #[test]
        fn every_surface_has_its_test_and_its_fuzz_target() {
            let tested = [$($name),+];
            let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            for surface in &SURFACES {
                assert!(tested.contains(&surface.name), "{}", surface.name);
                assert!(targets.join(format!("{}.rs", surface.name)).is_file(), "{}", surface.name);
            }
        }
    };
}

surfaces_hold! {
    sts_readers: "sts", 300;
    pair_files: "pairs", 600;
    word_pairs: "words", 300;
    corpora: "corpus", 300;
    corpora_of_any_form: "forms", 600;
    texts_with_labels: "labels", 300;
    configurations_of_models: "config", 600;
    weights: "weights", 600;
    tokenizers: "tokenizer", 300;
    configurations_of_runs: "toml", 300;
    checkpoints: "checkpoint", 200;
    answers_of_a_hub: "hub", 24;
}

/// Inputs that once broke a reader.
#[test]
fn what_fuzzing_found_stays_mended() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/untrusted/found");
    for surface in &SURFACES {
        for entry in fs::read_dir(found.join(surface.name)).into_iter().flatten() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            (surface.read)(&fs::read(path).unwrap());
        }
    }
}
