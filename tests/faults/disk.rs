//! Disks that are full, files that may not grow, folders that may not be written to.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::workshop::{Workshop, fail, names_in, succeed};

/// A file system of a few megabytes, as only root can mount one.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
        match mount.status() {
            Ok(status) if status.success() => Some(SmallDisk(at)),
            _ => {
                eprintln!("SKIPPED: a tmpfs cannot be mounted here (it takes root)");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_costs_time_only() {
    let workshop = Workshop::new();
    let place = workshop.path("disk");
    // Room for two checkpoints of 1.5 MB (with best weights 1.9 MB), and not for a third.
    let Some(disk) = SmallDisk::mount(&place, "size=4m") else { return };
    let reference = workshop.reference("reference", &[]);
    let said = fail(&mut workshop.train("disk/out", &[]), 1);
    assert!(said.contains("training continues, and older checkpoints stay"), "{said}");
    assert!(said.contains("error: cannot write"), "{said}");
    assert!(!workshop.checkpoints("disk/out").is_empty());
    assert!(!names_in(&place.join("out/checkpoints")).iter().any(|name| name.starts_with('.')));
    disk.remount("size=64m");
    let said = succeed(&mut workshop.resume("disk/out"));
    assert!(said.contains("resuming after step"), "{said}");
    assert!(!said.contains("broken"), "{said}");
    workshop.ends("disk/out").assert_same(&reference, "disk full");
}

/// The same by a limit on the size of files, which needs no root: not even one checkpoint fits.
#[test]
fn files_that_may_not_grow_cost_time_only() {
    let workshop = Workshop::new();
    let reference = workshop.reference("reference", &[]);
    let trained = workshop.train("out", &[]);
    let mut limited = workshop.mirror(&[]);
    // Ignored, the signal becomes an error of the write. 200 blocks are 100 or 200 kB.
    let mut limited_shell = Command::new("sh");
    limited_shell.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh"]);
    limited_shell.arg(limited.get_program()).args(trained.get_args());
    limited_shell.current_dir(workshop.path(""));
    limited = limited_shell;
    let said = fail(&mut limited, 1);
    assert!(said.contains("cannot write the checkpoint"), "{said}");
    assert!(said.contains("error: cannot write"), "{said}");
    assert!(workshop.checkpoints("out").is_empty());
    assert!(!workshop.path("out/model.safetensors").exists());
    succeed(&mut workshop.resume("out"));
    workshop.ends("out").assert_same(&reference, "files that may not grow");
}

#[test]
fn a_read_only_place_is_refused_before_anything_is_done() {
    let workshop = Workshop::new();
    let place = workshop.path("disk");
    let Some(_disk) = SmallDisk::mount(&place, "ro,size=1m") else { return };
    for output in ["disk", "disk/out"] {
        let said = fail(&mut workshop.train(output, &[]), 1);
        assert!(said.starts_with("error: cannot write to disk"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(names_in(&place).is_empty());
}

/// A mount point cannot change places with another folder: files move in one by one.
#[test]
fn a_mount_point_is_overwritten() {
    let workshop = Workshop::new();
    let place = workshop.path("disk");
    let Some(_disk) = SmallDisk::mount(&place, "size=32m") else { return };
    let reference = workshop.reference("reference", &["--seed", "7"]);
    workshop.killed_in_the_middle("disk", &[]);
    fs::write(place.join("notes.txt"), "mine").unwrap();
    for _ in 0..2 {
        succeed(workshop.train("disk", &["--seed", "7"]).arg("--overwrite"));
        workshop.ends("disk").assert_same(&reference, "a mount point");
    }
    assert_eq!(fs::read(place.join("notes.txt")).unwrap(), b"mine");
    assert!(!names_in(&place).iter().any(|name| name.starts_with(".mirror-run") || name.contains("swap")));
}

/// An output folder that the user may not write to; root may write to any.
#[test]
fn a_forbidden_folder_is_refused_before_anything_is_done() {
    use std::os::unix::fs::PermissionsExt;
    let workshop = Workshop::new();
    let place = workshop.path("forbidden");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(place.join("probe"), "").is_ok() {
        eprintln!("SKIPPED: this user may write to any folder");
        return;
    }
    let said = fail(&mut workshop.train("forbidden", &[]), 1);
    assert!(said.starts_with("error: cannot write to forbidden"), "{said}");
}
