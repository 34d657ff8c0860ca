//! What processes have used: processor time by the kernel's own clocks, which `/proc` rounds to hundredths, and memory.

use std::fs;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Processor time, user and system, that a process and its ended threads have used so far.
///
/// # Panics
///
/// When there is no such process.
pub(super) fn cpu_s(process: u32) -> f64 {
    let id = i32::try_from(process).expect("process ids fit");
    let used = clock_getcpuclockid(Pid::from_raw(id)).and_then(clock_gettime);
    let used = used.unwrap_or_else(|e| panic!("the clock of process {process}: {e}"));
    Duration::from(used).as_secs_f64()
}

/// The same of several together.
pub(super) fn cpu_of(processes: &[u32]) -> f64 {
    processes.iter().copied().map(cpu_s).sum()
}

/// Memory of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// `VmRSS`: what is resident now.
    pub(super) resident_mib: f64,
    /// `VmHWM`: the most that ever was.
    pub(super) peak_mib: f64,
}

impl Memory {
    /// That of a process now.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    pub(super) fn of(process: u32) -> Self {
        let file = format!("/proc/{process}/status");
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let mib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib: Option<f64> = line
                .and_then(|rest| rest.split_whitespace().nth(1))
                .and_then(|word| word.parse().ok());
            kib.unwrap_or_else(|| panic!("{file} has no {name}:\n{text}")) / 1024.0
        };
        Self {
            resident_mib: mib("VmRSS"),
            peak_mib: mib("VmHWM"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_this_process_are_seen() {
        let own = std::process::id();
        let before = cpu_s(own);
        let held: Vec<u8> = (0..8 << 20).map(|i: u32| i.to_le_bytes()[0] | 1).collect();
        let memory = Memory::of(own);
        assert!(cpu_s(own) > before);
        assert!(memory.resident_mib > 8.0 && memory.peak_mib >= memory.resident_mib);
        assert!(held.iter().all(|byte| *byte > 0));
    }
}
