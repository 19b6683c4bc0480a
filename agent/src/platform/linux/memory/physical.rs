//! The memory of the whole host, in the LiME format: ranges of `System RAM`, each behind a header with its addresses.
//!
//! It is read from the first of `/dev/crash`, `/proc/kcore` and `/dev/mem` that gives it. Many kernels have none of
//! them, or lock them; then the fault says of each why not.

use super::super::errno::io_fault;
use super::blocks::{Copier, Memory};
use super::kcore::{self, HEAD_BYTES, Segment};
use crate::platform::{Gaps, ImageSink, MemoryImage};
use crate::stop::Stop;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use tripline_protocol::Fault;

const LIME_MAGIC: u32 = 0x4c69_4d45;
const LIME_HEADER_BYTES: u64 = 32;

/// Addresses `[start, end)` of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
}

/// The ranges that `/proc/iomem` calls memory, in order.
fn ranges(iomem: &str) -> Vec<Range> {
    let range = |line: &str| {
        let (addresses, name) = line.split_once(" : ")?;
        let (start, end) = addresses.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        // What is indented is part of what is above it.
        let (start, end) = (hex(start)?, hex(end)?.checked_add(1)?);
        (name == "System RAM" && start < end).then_some(Range { start, end })
    };
    iomem.lines().filter_map(range).collect()
}

/// Where memory is read.
struct Source {
    file: File,
    /// `None`: the file is memory from its first address on.
    segments: Option<Vec<Segment>>,
}

impl Source {
    fn flat(path: &str) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file, segments: None })
    }

    fn kcore() -> io::Result<Self> {
        let file = File::open("/proc/kcore")?;
        let mut head = vec![0; HEAD_BYTES];
        let length = file.read_at(&mut head, 0)?;
        head.truncate(length);
        let segments = kcore::segments(&head);
        if segments.is_empty() {
            return Err(io::Error::other("it says nothing of physical memory"));
        }
        let segments = Some(segments);
        Ok(Self { file, segments })
    }

    /// Reads one page of the last range: some sources open and give nothing.
    fn tried(self, ranges: &[Range]) -> io::Result<Self> {
        let mut page = vec![0; rustix::param::page_size()];
        let at = ranges.last().map_or(0, |range| range.start);
        match self.read_some(at, &mut page)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(self),
        }
    }

    /// Reads from `address` as far as one segment goes.
    fn read_some(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(segments) = &self.segments else {
            return self.file.read_at(buffer, address);
        };
        let inside = |segment: &&Segment| {
            (segment.physical..segment.physical.saturating_add(segment.bytes)).contains(&address)
        };
        let Some(segment) = segments.iter().find(inside) else {
            return Ok(0);
        };
        let skipped = address - segment.physical;
        let most = usize::try_from(segment.bytes - skipped).unwrap_or(usize::MAX);
        let length = buffer.len().min(most);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        self.file.read_at(buffer, segment.at.saturating_add(skipped))
    }
}

impl Memory for Source {
    fn read(&self, mut address: u64, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let Ok(length @ 1..) = self.read_some(address, buffer) else {
                return false;
            };
            address += length as u64;
            buffer = buffer.get_mut(length..).unwrap_or_default();
        }
        true
    }

    fn is_zero(&self, _: u64, _: usize) -> bool {
        false
    }
}

/// The host's memory, opened.
pub(super) struct Image {
    source: Source,
    ranges: Vec<Range>,
}

impl Image {
    pub(super) fn open() -> Result<Self, Fault> {
        let iomem = fs::read_to_string("/proc/iomem").map_err(|error| io_fault(&error, "/proc/iomem"))?;
        let ranges = ranges(&iomem);
        if ranges.is_empty() {
            return Err(unreadable(
                "/proc/iomem does not tell this agent where memory is: it needs root",
            ));
        }
        let sources = [
            ("/dev/crash", Source::flat("/dev/crash")),
            ("/proc/kcore", Source::kcore()),
            ("/dev/mem", Source::flat("/dev/mem")),
        ];
        let mut why = Vec::new();
        for (name, source) in sources {
            match source.and_then(|source| source.tried(&ranges)) {
                Ok(source) => return Ok(Self { source, ranges }),
                Err(error) => why.push(format!("{name}: {error}")),
            }
        }
        Err(unreadable(&why.join("; ")))
    }
}

fn unreadable(why: &str) -> Fault {
    let text = format!("this host does not let its whole memory be read: {why}");
    Fault::unsupported("memory_not_readable", text)
}

impl MemoryImage for Image {
    fn format(&self) -> &'static str {
        "lime"
    }

    fn bytes(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| LIME_HEADER_BYTES + (range.end - range.start))
            .fold(0, u64::saturating_add)
    }

    fn write(&mut self, sink: &mut dyn ImageSink, stop: &Stop) -> Result<Gaps, Fault> {
        let mut copier = Copier::new(sink, stop);
        for range in &self.ranges {
            copier.header(&lime_header(*range))?;
            copier.copy(&self.source, range.start, range.end)?;
        }
        Ok(copier.gaps())
    }
}

/// Magic, version 1, first and last address, 8 bytes of nothing.
fn lime_header(range: Range) -> Vec<u8> {
    let mut header = Vec::with_capacity(32);
    header.extend_from_slice(&LIME_MAGIC.to_le_bytes());
    header.extend_from_slice(&1u32.to_le_bytes());
    header.extend_from_slice(&range.start.to_le_bytes());
    header.extend_from_slice(&(range.end - 1).to_le_bytes());
    header.extend_from_slice(&[0; 8]);
    header
}

#[cfg(test)]
mod tests {
    use super::super::blocks::tests::Kept;
    use super::super::kcore::tests::head;
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    const IOMEM: &str = "\
00000000-00000fff : Reserved
00001000-00002fff : System RAM
  00001000-00001fff : Kernel code
00003000-00003fff : Reserved
00004000-00005fff : System RAM
00000000-00000000 : System RAM but not quite
";

    fn stop() -> Stop {
        Stop::after(Duration::MAX)
    }

    #[test]
    fn memory_is_what_iomem_says_and_nothing_that_is_hidden() {
        let range = |start, end| Range { start, end };
        assert_eq!(ranges(IOMEM), [range(0x1000, 0x3000), range(0x4000, 0x6000)]);
        assert!(ranges("00000000-00000000 : Reserved\n").is_empty());
    }

    #[test]
    fn an_image_of_kcore_has_each_range_behind_its_header_and_counts_what_no_segment_has() {
        // The second range has its second page in no segment.
        let mut content = head(&[[0x1000, 0x2000, 0x3000], [0x4000, 0x1000, 0x8000]]);
        content.resize(0x3000, 0);
        content.resize(0x5000, 1);
        content.resize(0x8000, 9);
        content.resize(0x9000, 2);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let segments = Some(kcore::segments(&content));
        let source = Source { file, segments };
        let mut image = Image {
            source,
            ranges: ranges(IOMEM),
        };
        let mut kept = Kept::default();
        let gaps = image.write(&mut kept, &stop()).unwrap();
        assert_eq!((gaps.places, gaps.bytes), (1, 0x1000));
        assert_eq!(kept.0.len() as u64, image.bytes());
        let second = 32 + 0x2000;
        assert_eq!(kept.0[..8], *b"EMiL\x01\0\0\0");
        assert_eq!(
            kept.0[8..24],
            [0x1000u64.to_le_bytes(), 0x2fffu64.to_le_bytes()].concat()
        );
        assert!(kept.0[32..second].iter().all(|byte| *byte == 1));
        assert_eq!(kept.0[second + 8..second + 16], 0x4000u64.to_le_bytes());
        assert!(kept.0[second + 32..second + 0x1020].iter().all(|byte| *byte == 2));
        assert!(kept.0[second + 0x1020..].iter().all(|byte| *byte == 0));
    }
}
