//! The processes of a server, and what memory they have. Linux only: it reads `/proc`.

use std::collections::HashMap;
use std::fs;

use crate::sh::{Failed, Result};

/// Memory in megabytes of 1,000,000 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// What is resident, counted in each process that has it.
    pub(crate) resident: f64,
    /// The same, where a page that several processes have is divided among them.
    pub(crate) proportional: f64,
}

impl Memory {
    /// The memory of the process `root` and of all that descend from it.
    pub(crate) fn of_family(root: u32) -> Result<Self> {
        let mut sum = Self {
            resident: 0.0,
            proportional: 0.0,
        };
        for pid in family(root)? {
            sum.resident += resident(pid)?;
            sum.proportional += megabytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")?;
        }
        Ok(sum)
    }
}

/// The resident memory of one process, in megabytes of 1,000,000 bytes.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    megabytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// The process `root` and all that descend from it, parents first.
pub(crate) fn family(root: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else {
            continue;
        };
        // One that has ended meanwhile is nobody's child any more.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Ok(all)
}

/// The parent that a line of `/proc/PID/stat` names: the name before it may hold anything, also spaces and brackets.
fn parent(stat: &str) -> Option<u32> {
    let (_, after_the_name) = stat.rsplit_once(')')?;
    after_the_name.split_whitespace().nth(1)?.parse().ok()
}

/// The number of kibibytes that `file` has after `name`.
fn megabytes(file: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failed(format!("{file}: {error}; memory is read on Linux only")))?;
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
        .and_then(|number| number.parse::<f64>().ok())
        .ok_or_else(|| Failed(format!("{file} tells no `{name}`")))?;
    Ok(kibibytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_stands_after_any_name() {
        assert_eq!(parent("7 (a) b) (c) S 42 7 7 0"), Some(42));
        assert_eq!(parent(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_is_of_the_family_and_has_memory() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let (family, memory) = (family(std::process::id()), Memory::of_family(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.unwrap().contains(&child.id()));
        let Memory {
            resident,
            proportional,
        } = memory.unwrap();
        assert!(resident > 0.0 && proportional > 0.0 && proportional <= resident * 1.01);
    }
}
