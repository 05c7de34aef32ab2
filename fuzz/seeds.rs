//! The inputs that a target starts from, written before its corpus is read.

use std::fs;
use std::path::Path;

use crate::surfaces::Surface;

/// Writes fuzz/corpus/TARGET/seed-0, seed-1, …
pub fn write(surface: &Surface) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(surface.name);
    fs::create_dir_all(&folder).expect("fuzz/corpus can be written");
    for (i, seed) in (surface.seeds)().iter().enumerate() {
        fs::write(folder.join(format!("seed-{i}")), seed).expect("fuzz/corpus can be written");
    }
}
