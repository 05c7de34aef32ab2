//! Writes the inputs that the targets start from: fuzz/corpus/TARGET/0, 1, …

#[path = "../tests/untrusted/surfaces.rs"]
mod surfaces;

fn main() -> std::io::Result<()> {
    for surface in &surfaces::SURFACES {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(surface.name);
        std::fs::create_dir_all(&folder)?;
        for (i, seed) in (surface.seeds)().iter().enumerate() {
            std::fs::write(folder.join(i.to_string()), seed)?;
        }
    }
    Ok(())
}
