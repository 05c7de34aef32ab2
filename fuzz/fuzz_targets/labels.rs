#![no_main]

#[path = "../seeds.rs"]
mod seeds;
#[path = "../../tests/untrusted/surfaces.rs"]
mod surfaces;

libfuzzer_sys::fuzz_target!(
    init: seeds::write(surfaces::surface("labels")),
    |bytes: &[u8]| (surfaces::surface("labels").read)(bytes)
);
