//! Reading memory in blocks, and around what cannot be read.

use crate::platform::{Gaps, ImageSink};
use crate::stop::Stop;
use tripline_protocol::Fault;

/// Bytes read at once.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

/// Memory that is read by address.
pub(super) trait Memory {
    /// Fills `buffer` from `address`; `false`: not all of it can be read.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;

    /// Whether all of it is known to be zero without reading it.
    fn is_zero(&self, address: u64, bytes: usize) -> bool;
}

/// Copies memory into an image.
pub(super) struct Copier<'a> {
    sink: &'a mut dyn ImageSink,
    stop: &'a Stop,
    page_bytes: usize,
    buffer: Vec<u8>,
    gaps: Gaps,
    /// Where the last gap ended: one that goes on there is the same.
    gap_end: Option<u64>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(sink: &'a mut dyn ImageSink, stop: &'a Stop) -> Self {
        Self {
            sink,
            stop,
            page_bytes: rustix::param::page_size(),
            buffer: vec![0; BLOCK_BYTES],
            gaps: Gaps::default(),
            gap_end: None,
        }
    }

    /// What is not from memory.
    pub(super) fn header(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.sink.write(bytes)
    }

    pub(super) fn gaps(&self) -> Gaps {
        self.gaps
    }

    /// Copies `[start, end)`.
    pub(super) fn copy(&mut self, memory: &dyn Memory, start: u64, end: u64) -> Result<(), Fault> {
        let mut address = start;
        while address < end {
            self.stop.check()?;
            let bytes = usize::try_from(end - address)
                .unwrap_or(BLOCK_BYTES)
                .min(BLOCK_BYTES);
            self.block(memory, address, bytes)?;
            address += bytes as u64;
        }
        Ok(())
    }

    fn block(&mut self, memory: &dyn Memory, address: u64, bytes: usize) -> Result<(), Fault> {
        if memory.is_zero(address, bytes) {
            return self.sink.zeros(bytes as u64);
        }
        if self.piece(memory, address, bytes)? {
            return Ok(());
        }
        // Some of it cannot be read: page by page it turns out what.
        let mut done = 0;
        while done < bytes {
            let (at, page) = (address + done as u64, self.page_bytes.min(bytes - done));
            if !self.piece(memory, at, page)? {
                self.gap(at, page as u64)?;
            }
            done += page;
        }
        Ok(())
    }

    /// Reads and writes it; `false`: it cannot be read, and nothing was written.
    fn piece(&mut self, memory: &dyn Memory, address: u64, bytes: usize) -> Result<bool, Fault> {
        let Some(buffer) = self.buffer.get_mut(..bytes) else {
            return Ok(false);
        };
        if !memory.read(address, buffer) {
            return Ok(false);
        }
        if buffer.iter().all(|byte| *byte == 0) {
            self.sink.zeros(bytes as u64)?;
        } else {
            self.sink.write(buffer)?;
        }
        Ok(true)
    }

    /// Leaves so much out that cannot be read.
    pub(super) fn gap(&mut self, address: u64, bytes: u64) -> Result<(), Fault> {
        self.gaps.places += u64::from(self.gap_end != Some(address));
        self.gaps.bytes += bytes;
        self.gap_end = Some(address.saturating_add(bytes));
        self.sink.zeros(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::Duration;

    /// Keeps an image in memory.
    #[derive(Default)]
    pub(in super::super) struct Kept(pub(in super::super) Vec<u8>);

    impl ImageSink for Kept {
        fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn zeros(&mut self, bytes: u64) -> Result<(), Fault> {
            self.0.resize(self.0.len() + usize::try_from(bytes).unwrap(), 0);
            Ok(())
        }
    }

    /// Has the page number in each byte, and cannot be read at some pages.
    pub(in super::super) struct Holey(pub(in super::super) Vec<u64>);

    impl Memory for Holey {
        fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
            let page = rustix::param::page_size() as u64;
            for (n, byte) in buffer.iter_mut().enumerate() {
                let at = (address + n as u64) / page;
                if self.0.contains(&at) {
                    return false;
                }
                *byte = at as u8;
            }
            true
        }

        fn is_zero(&self, _: u64, _: usize) -> bool {
            false
        }
    }

    #[test]
    fn what_cannot_be_read_is_zero_and_counted_by_place() {
        let page = rustix::param::page_size();
        let (mut kept, stop) = (Kept::default(), Stop::after(Duration::MAX));
        let mut copier = Copier::new(&mut kept, &stop);
        copier.copy(&Holey(vec![3, 4, 70]), 0, 100 * page as u64).unwrap();
        let gaps = copier.gaps();
        assert_eq!((gaps.places, gaps.bytes), (2, 3 * page as u64));
        assert_eq!(kept.0.len(), 100 * page);
        for n in 0..100 {
            let expected = if [3, 4, 70].contains(&n) { 0 } else { n as u8 };
            assert!(
                kept.0[n * page..(n + 1) * page]
                    .iter()
                    .all(|byte| *byte == expected),
                "{n}"
            );
        }
    }

    #[test]
    fn a_command_that_has_to_end_ends_between_two_blocks() {
        let (mut kept, stop) = (Kept::default(), Stop::after(Duration::ZERO));
        let fault = Copier::new(&mut kept, &stop).copy(&Holey(Vec::new()), 0, 1 << 20);
        assert_eq!(fault.unwrap_err().code, "command_timeout");
        assert!(kept.0.is_empty());
    }
}
