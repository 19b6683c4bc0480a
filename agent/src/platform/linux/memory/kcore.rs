//! `/proc/kcore`: the kernel's own memory as an ELF core, of which the segments with a physical address are the
//! machine's memory. No I/O.

/// Bytes that hold the header and every segment a kernel makes.
pub(super) const HEAD_BYTES: usize = 256 * 1024;

const EHDR_BYTES: usize = 64;
const PHDR_BYTES: usize = 56;

/// A segment of physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its physical address.
    pub(super) physical: u64,
    pub(super) bytes: u64,
    /// Where it is in the file.
    pub(super) at: u64,
}

/// The segments that have a physical address.
pub(super) fn segments(head: &[u8]) -> Vec<Segment> {
    let is_elf = head.get(..6) == Some(&[0x7f, b'E', b'L', b'F', 2, 1]) && cfg!(target_endian = "little");
    let (Some(first), Some(count), true) = (word(head, 32), half(head, 56), is_elf) else {
        return Vec::new();
    };
    let first = usize::try_from(first).unwrap_or(EHDR_BYTES);
    (0..usize::from(count))
        .filter_map(|n| segment(head.get(first.checked_add(n * PHDR_BYTES)?..)?))
        .collect()
}

fn segment(header: &[u8]) -> Option<Segment> {
    let kind = header
        .first_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes))?;
    let segment = Segment {
        at: word(header, 8)?,
        physical: word(header, 24)?,
        bytes: word(header, 40)?,
    };
    let ends = segment.physical.checked_add(segment.bytes).is_some();
    // Without a physical address it says -1, which nothing can lie behind.
    (kind == 1 && segment.bytes > 0 && ends && segment.physical != u64::MAX).then_some(segment)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let (word, _) = bytes.get(at..)?.split_first_chunk::<8>()?;
    Some(u64::from_le_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let (half, _) = bytes.get(at..)?.split_first_chunk::<2>()?;
    Some(u16::from_le_bytes(*half))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The head of a file with segments of `[physical, bytes, at]`.
    pub(in super::super) fn head(segments: &[[u64; 3]]) -> Vec<u8> {
        let mut head = vec![0; EHDR_BYTES];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        head[32..40].copy_from_slice(&(EHDR_BYTES as u64).to_le_bytes());
        head[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for [physical, bytes, at] in segments {
            head.extend_from_slice(&1u32.to_le_bytes());
            head.extend_from_slice(&7u32.to_le_bytes());
            for word in [*at, 0xffff_8880_0000_0000, *physical, *bytes, *bytes, 4096] {
                head.extend_from_slice(&word.to_le_bytes());
            }
        }
        head
    }

    #[test]
    fn only_segments_with_a_physical_address_count() {
        let head = head(&[
            [0x1000, 0x2000, 0x5000],
            [u64::MAX, 0x1000, 0x9000],
            [0x10_0000, 0, 0],
        ]);
        let expected = Segment {
            physical: 0x1000,
            bytes: 0x2000,
            at: 0x5000,
        };
        assert_eq!(segments(&head), [expected]);
        for cut in 0..head.len() {
            assert!(segments(&head[..cut]).len() <= 1);
        }
        assert!(segments(b"no ELF at all").is_empty());
    }
}
