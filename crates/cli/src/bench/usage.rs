//! What a process uses, as Linux tells in `/proc`: CPU time of all of its threads, and memory.

use core::time::Duration;

use crate::failure::{Failure, io};

/// In a second; it is the same on all machines that this runs on (`USER_HZ`).
const TICKS: u64 = 100;

/// A process to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(Option<u32>);

impl Process {
    /// This one.
    pub(crate) const OWN: Process = Process(None);

    /// Another one, which has to be there.
    pub(crate) fn other(id: u32) -> Result<Process, Failure> {
        let process = Process(Some(id));
        process.cpu().and_then(|_| process.kib())?;
        Ok(process)
    }

    /// CPU time so far, in user space and in the kernel, to a hundredth of a second.
    pub(crate) fn cpu(self) -> Result<Duration, Failure> {
        let ticks = cpu_ticks(&self.read("stat")?).ok_or_else(|| self.unknown())?;
        Ok(Duration::from_millis(ticks.saturating_mul(1000 / TICKS)))
    }

    /// Whether it has ended, though its parent may not have looked yet.
    pub(crate) fn has_ended(self) -> bool {
        self.read("stat").map_or(true, |stat| is_dead(&stat))
    }

    /// Memory that it has now, in KiB.
    pub(crate) fn kib(self) -> Result<u64, Failure> {
        resident(&self.read("status")?).ok_or_else(|| self.unknown())
    }

    fn read(self, file: &str) -> Result<String, Failure> {
        let process = self.0.map_or_else(|| "self".into(), |id| id.to_string());
        let path = format!("/proc/{process}/{file}");
        std::fs::read_to_string(&path).map_err(io(format!("--pid: cannot read {path}")))
    }

    fn unknown(self) -> Failure {
        Failure::new("--pid: what /proc says of the process cannot be read on this system")
    }
}

/// The field behind the name.
fn is_dead(stat: &str) -> bool {
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    matches!(state, Some('Z' | 'X') | None)
}

/// The fields 14 and 15 of `stat`; the second one, a name in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert!(!is_dead(stat) && is_dead(&stat.replace(") S", ") Z")));
        assert_eq!(resident("Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t1\n"), Some(1234));
        assert_eq!((cpu_ticks("17 (a"), resident("VmRSS: much")), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        assert!(Process::OWN.kib().unwrap() > 100);
        let start = Process::OWN.cpu().unwrap();
        while Process::OWN.cpu().unwrap() <= start {}
        assert!(!Process::OWN.has_ended() && Process(Some(u32::MAX)).has_ended());
        assert!(Process::other(u32::MAX).unwrap_err().to_string().contains("--pid"));
    }
}
