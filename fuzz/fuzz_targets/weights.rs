#![no_main]

#[path = "../../tests/untrusted/surfaces.rs"]
mod surfaces;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (surfaces::surface("weights").read)(bytes));
