//! What processes used: processor time and memory, from /proc.

use super::Outcome;
use std::fmt;
use std::fs::read_to_string;
use std::ops::Sub;

/// Ticks of the kernel's accounting per second; fixed on Linux for every program that asks.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cpu {
    pub(crate) server: f64,
    pub(crate) broker: f64,
    pub(crate) load: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.server + self.broker + self.load
    }

    /// What one of so many took: three cells of a table.
    pub(crate) fn cells(self, count: f64) -> String {
        let each = |seconds: f64| seconds * 1e6 / count;
        let Self { server, broker, load } = self;
        format!(
            "{:.0} µs | {:.0} µs | {:.0} µs",
            each(server),
            each(broker),
            each(load)
        )
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, broker, load } = self;
        write!(
            f,
            "server {server:.1}, broker {broker:.1}, load program {load:.1}"
        )
    }
}

impl Sub for Cpu {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            server: self.server - before.server,
            broker: self.broker - before.broker,
            load: self.load - before.load,
        }
    }
}

/// User and system time of a process with all its threads.
pub(crate) fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything, so fields are counted after it: 14 and 15 of proc(5).
    let (_, fields) = stat.rsplit_once(") ").ok_or("no stat")?;
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Resident memory in MiB.
pub(crate) fn resident_mib(pid: u32) -> Outcome<f64> {
    memory_mib(pid, "VmRSS:")
}

/// The most resident memory in MiB since [`forget_peak`], or since the start.
pub(crate) fn peak_mib(pid: u32) -> Outcome<f64> {
    memory_mib(pid, "VmHWM:")
}

/// Makes the present memory the most there was.
pub(crate) fn forget_peak(pid: u32) -> Outcome {
    // What proc(5) has for it.
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn memory_mib(pid: u32, what: &str) -> Outcome<f64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib: f64 = line
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("no such memory in the status")?
        .parse()?;
    Ok(kib / 1024.0)
}
