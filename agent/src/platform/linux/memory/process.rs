//! The memory of one process, as an ELF core: every mapping that it may read itself.

use super::super::errno::{fault, io_fault};
use super::super::kill::check_start;
use super::super::proc::{self, Stat};
use super::blocks::{Copier, Memory};
use super::elf_core::{self, About, MAPPINGS_MAX};
use super::maps::{self, Mapping};
use crate::platform::{Gaps, ImageSink, MemoryImage};
use crate::stop::Stop;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use tripline_protocol::Fault;

/// What a page's entry in `pagemap` says when it is in memory or in swap.
const PRESENT_OR_SWAPPED: u64 = 3 << 62;

/// An open process.
pub(super) struct Image {
    what: String,
    memory: File,
    /// `None`: it may not be looked at, and every page is read.
    pagemap: Option<File>,
    mappings: Vec<Mapping>,
    head: Vec<u8>,
    page_bytes: usize,
}

impl Image {
    pub(super) fn open(pid: u32, start_time: Option<i64>) -> Result<Self, Fault> {
        let what = format!("process {pid}");
        if pid == std::process::id() {
            let text = format!("{what} is this agent itself, which holds its key");
            return Err(Fault::unsupported("protected_process", text));
        }
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or_else(|| fault(Errno::SRCH, &what))?;
        // Held while it is looked at: as long as the process is not reaped its id means no other.
        let _pidfd = pidfd_open(raw, PidfdFlags::empty()).map_err(|errno| fault(errno, &what))?;
        let memory = File::open(format!("/proc/{pid}/mem")).map_err(|error| refused(&error, &what))?;
        if let Some(expected) = start_time {
            check_start(pid, expected, &what)?;
        }
        let maps = fs::read(format!("/proc/{pid}/maps")).map_err(|error| refused(&error, &what))?;
        let mappings = maps::parse(&String::from_utf8_lossy(&maps));
        if mappings.is_empty() {
            let text = format!("{what} has no memory of its own: it has ended, or is a thread of the kernel");
            return Err(Fault::live_response("ESRCH", text));
        }
        check_count(&mappings, &what)?;
        let about = about(pid).ok_or_else(|| fault(Errno::SRCH, &what))?;
        let page_bytes = rustix::param::page_size();
        Ok(Self {
            what,
            memory,
            pagemap: File::open(format!("/proc/{pid}/pagemap")).ok(),
            head: elf_core::head(&about, &mappings, page_bytes),
            mappings,
            page_bytes,
        })
    }

    /// An address space that is gone reads as empty, and so would the rest of the image.
    fn check_alive(&self) -> Result<(), Fault> {
        let mut byte = [0];
        let ended = |mapping: &Mapping| matches!(self.memory.read_at(&mut byte, mapping.start), Ok(0));
        if self.mappings.first().is_some_and(ended) {
            let text = format!("{} ended, or began another program, while it was read", self.what);
            return Err(Fault::live_response("ESRCH", text));
        }
        Ok(())
    }
}

/// An image counts its mappings in 16 bits.
fn check_count(mappings: &[Mapping], what: &str) -> Result<(), Fault> {
    match mappings.len() {
        0..=MAPPINGS_MAX => Ok(()),
        count => {
            let text = format!("{what} has {count} mappings, an image has at most {MAPPINGS_MAX}");
            Err(Fault::unsupported("too_many_mappings", text))
        }
    }
}

fn refused(error: &std::io::Error, what: &str) -> Fault {
    match error.kind() {
        std::io::ErrorKind::NotFound => fault(Errno::SRCH, what),
        _ => io_fault(error, format!("memory of {what}")),
    }
}

fn about(pid: u32) -> Option<About> {
    let stat = Stat::read(pid)?;
    let command_line = proc::command_line(pid);
    Some(About {
        pid,
        parent: stat.parent,
        group: stat.group,
        user: proc::user(pid)?,
        name: stat.name,
        command_line: String::from_utf8_lossy(&command_line).replace('\0', " "),
        auxv: fs::read(format!("/proc/{pid}/auxv")).unwrap_or_default(),
    })
}

/// One mapping of an open process.
struct Mapped<'a> {
    image: &'a Image,
    mapping: &'a Mapping,
}

impl Memory for Mapped<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        self.image.memory.read_exact_at(buffer, address).is_ok()
    }

    /// Memory of the process alone that was never written has no pages, and is not to get them by being read.
    fn is_zero(&self, address: u64, bytes: usize) -> bool {
        let Some(pagemap) = self
            .image
            .pagemap
            .as_ref()
            .filter(|_| self.mapping.file.is_none())
        else {
            return false;
        };
        let page_bytes = self.image.page_bytes;
        let mut entries = vec![0; bytes.div_ceil(page_bytes) * 8];
        let at = address / page_bytes as u64 * 8;
        if pagemap.read_exact_at(&mut entries, at).is_err() {
            return false;
        }
        let (words, _) = entries.as_chunks::<8>();
        words
            .iter()
            .all(|word| u64::from_ne_bytes(*word) & PRESENT_OR_SWAPPED == 0)
    }
}

impl MemoryImage for Image {
    fn format(&self) -> &'static str {
        "elf_core"
    }

    fn bytes(&self) -> u64 {
        self.mappings.iter().fold(self.head.len() as u64, |sum, mapping| {
            sum.saturating_add(mapping.bytes())
        })
    }

    fn write(&mut self, sink: &mut dyn ImageSink, stop: &Stop) -> Result<Gaps, Fault> {
        let image = &*self;
        let mut copier = Copier::new(sink, stop);
        copier.header(&image.head)?;
        for mapping in &image.mappings {
            copier.copy(&Mapped { image, mapping }, mapping.start, mapping.end)?;
        }
        let gaps = copier.gaps();
        self.check_alive()?;
        Ok(gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_so_many_mappings_and_a_process_with_more_is_refused() {
        let mapping = |n: usize| {
            let start = n as u64 * 0x2000;
            format!("{start:x}-{:x} rw-p 00000000 00:00 0\n", start + 0x1000)
        };
        let maps: String = (1..=MAPPINGS_MAX + 1).map(mapping).collect();
        let mut mappings = maps::parse(&maps);
        let fault = check_count(&mappings, "process 7").unwrap_err();
        assert_eq!(
            (mappings.len(), fault.code.as_str()),
            (MAPPINGS_MAX + 1, "too_many_mappings")
        );
        mappings.pop();
        assert_eq!(check_count(&mappings, "process 7"), Ok(()));
        // The count in its header (elf(5), e_phnum), the segment of notes among them, means what it says.
        let head = elf_core::head(&About::default(), &mappings, 4096);
        let counted = u16::from_ne_bytes([head[56], head[57]]);
        assert_eq!(usize::from(counted), MAPPINGS_MAX + 1);
        assert!(counted < u16::MAX, "that would mean that it is counted elsewhere");
    }
}
