//! Checkpoints that something damaged.

use std::fs;
use std::path::Path;

use mirror::random::Key;

use crate::workshop::{Workshop, copy, fail, names_in, succeed};

#[derive(Clone, Copy, Debug)]
enum Damage {
    Halved,
    Emptied,
    BitFlipped,
    Removed,
}

const DAMAGES: [Damage; 4] = [Damage::Halved, Damage::Emptied, Damage::BitFlipped, Damage::Removed];

impl Damage {
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Damage::Halved => bytes.truncate(bytes.len() / 2),
            Damage::Emptied => bytes.clear(),
            Damage::BitFlipped => {
                let bit = Key::new(bytes.len() as u64).below(8 * bytes.len() as u64);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            Damage::Removed => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_damaged_checkpoint_is_skipped_for_the_older_one() {
    let workshop = Workshop::new();
    // A term that remembers something, and best weights that are not the latest.
    let more = ["--reg", "smart"];
    let reference = workshop.reference("reference", &more);
    workshop.killed_in_the_middle("killed", &more);
    let [_, newest] = &workshop.checkpoints("killed")[..] else { panic!("two checkpoints are kept") };
    let files = names_in(&workshop.path("killed/checkpoints").join(newest));
    assert!(files.len() >= 4, "{files:?}");
    for (i, file) in files.iter().enumerate() {
        for damage in DAMAGES {
            let output = format!("damaged-{i}-{damage:?}");
            copy(&workshop.path("killed"), &workshop.path(&output));
            damage.apply(&workshop.path(&output).join("checkpoints").join(newest).join(file));
            let said = succeed(&mut workshop.resume(&output));
            assert!(
                said.contains("skipped a broken checkpoint") && said.contains(newest),
                "{output}: {said}"
            );
            workshop.ends(&output).assert_same(&reference, &format!("{file} {damage:?}"));
            fs::remove_dir_all(workshop.path(&output)).unwrap();
        }
    }
}

#[test]
fn a_run_whose_checkpoints_are_all_damaged_is_refused() {
    let workshop = Workshop::new();
    workshop.killed_in_the_middle("out", &[]);
    for checkpoint in workshop.checkpoints("out") {
        Damage::BitFlipped
            .apply(&workshop.path("out/checkpoints").join(checkpoint).join("optimizer.safetensors"));
    }
    let before = workshop.ends_so_far("out");
    let said = fail(&mut workshop.resume("out"), 1);
    assert!(said.contains("error: ") && said.contains("has no whole checkpoint"), "{said}");
    assert!(said.contains("optimizer.safetensors is not what was written"), "{said}");
    assert_eq!(workshop.ends_so_far("out"), before);
    assert_eq!(workshop.checkpoints("out").len(), 2);
}

/// What a kill in the middle of writing leaves is cleared away, and never read.
#[test]
fn half_written_files_are_cleared_away() {
    let workshop = Workshop::new();
    let reference = workshop.reference("reference", &[]);
    workshop.killed_in_the_middle("out", &[]);
    let newest = workshop.checkpoints("out").pop().unwrap();
    let checkpoints = workshop.path("out/checkpoints");
    copy(&checkpoints.join(newest), &checkpoints.join(".writing-a1b2c3"));
    fs::remove_file(checkpoints.join(".writing-a1b2c3/manifest.json")).unwrap();
    fs::write(workshop.path("out/.writing-d4e5f6"), "half").unwrap();
    succeed(&mut workshop.resume("out"));
    let all = [names_in(&workshop.path("out")), names_in(&checkpoints)].concat();
    assert!(!all.iter().any(|name| name.starts_with(".writing") || name.ends_with(".lock")), "{all:?}");
    workshop.ends("out").assert_same(&reference, "half-written files");
}
