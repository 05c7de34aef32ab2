//! How much memory this process may still take: what the system has available, or less where a control group
//! (a container, a batch system's job, a systemd slice) limits it.

use std::fs;
use std::path::{Path, PathBuf};

const CGROUPS: &str = "/sys/fs/cgroup";

/// Bytes of memory that a new process can have; `None` where the system does not say.
pub fn free_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = 1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(limit(Path::new(CGROUPS), &membership).map_or(available, |limit| limit.min(available)))
}

/// What is left to the process whose `/proc/self/cgroup` reads `membership`, by its group and by all groups above
/// it, each of which may have a limit of its own. `None` where no group has one.
fn limit(root: &Path, membership: &str) -> Option<u64> {
    membership.lines().filter_map(|line| Hierarchy::of(root, line)).filter_map(|h| h.left()).min()
}

/// The files of one version of control groups, and where this process is.
struct Hierarchy {
    root: PathBuf,
    group: PathBuf,
    most: &'static str,
    used: &'static str,
    /// The line of memory.stat with the file cache that is given back under pressure.
    cache: &'static str,
}

impl Hierarchy {
    /// Of a line `number:controllers:/path`; version 2 has the number 0 and no controllers.
    fn of(root: &Path, line: &str) -> Option<Self> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, [most, used, cache]) = match controllers {
            "" => (root.to_owned(), ["memory.max", "memory.current", "inactive_file"]),
            names if names.split(',').any(|name| name == "memory") => (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            _ => return None,
        };
        let inside = Path::new(path.trim_start_matches('/'));
        // A container may see the path that its group has outside, which is not mounted here: its own is the root.
        let group = root.join(inside);
        let seen = !path.contains("..") && group.is_dir();
        Some(Hierarchy { group: if seen { group } else { root.clone() }, root, most, used, cache })
    }

    fn left(&self) -> Option<u64> {
        let groups = self.group.ancestors().take_while(|group| group.starts_with(&self.root));
        groups.filter_map(|group| self.left_in(group)).min()
    }

    fn left_in(&self, group: &Path) -> Option<u64> {
        let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        // Without a limit, version 2 says max, and version 1 a number near 2⁶³.
        let most = number(self.most).filter(|&most| most < 1 << 60)?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix(self.cache)?.trim().parse().ok());
        let used = number(self.used).unwrap_or(0).saturating_sub(cache.unwrap_or(0));
        Some(most.saturating_sub(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    #[test]
    fn the_tightest_group_from_ones_own_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("job/memory.max", "5000\n"),
            ("job/memory.current", "2500\n"),
            ("job/memory.stat", "anon 500\ninactive_file 2000\n"),
            ("job/step/memory.max", "max\n"),
            ("job/step/memory.current", "700\n"),
            ("other/memory.max", "1\n"),
        ];
        write(root.path(), &files);
        assert_eq!(limit(root.path(), "0::/job/step\n"), Some(4500));
        assert_eq!(limit(root.path(), "0::/\n"), None);
        write(root.path(), &[("job/step/memory.max", "1000\n")]);
        assert_eq!(limit(root.path(), "0::/job/step\n"), Some(300));
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_root() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("memory.max", "9000"), ("memory.current", "1000"), ("memory.stat", "")]);
        for membership in ["0::/", "0::/docker/f00d", "0::/../../job"] {
            assert_eq!(limit(root.path(), membership), Some(8000), "{membership}");
        }
    }

    #[test]
    fn version_1_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        let membership = "12:cpu,cpuacct:/job\n5:memory:/job\n";
        let unlimited = "9223372036854771712\n";
        write(
            root.path(),
            &[("memory/memory.limit_in_bytes", unlimited), ("memory/job/memory.limit_in_bytes", unlimited)],
        );
        assert_eq!(limit(root.path(), membership), None);
        let files = [
            ("memory/job/memory.limit_in_bytes", "6000"),
            ("memory/job/memory.usage_in_bytes", "5000"),
            ("memory/job/memory.stat", "inactive_file 0\ntotal_inactive_file 1500\n"),
        ];
        write(root.path(), &files);
        assert_eq!(limit(root.path(), membership), Some(2500));
    }
}
