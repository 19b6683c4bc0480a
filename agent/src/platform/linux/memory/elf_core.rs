//! The head of an ELF core file (elf(5), core(5)): header, segments, notes. No I/O.
//!
//! One `PT_LOAD` per mapping, and the notes that a debugger needs to make sense of them: `NT_PRSTATUS` (whose
//! registers are zero, since nothing was stopped), `NT_PRPSINFO`, `NT_AUXV`, `NT_FILE`.

use super::maps::Mapping;

const EHDR_BYTES: usize = 64;
const PHDR_BYTES: usize = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_FILE: u32 = 0x4649_4c45;
/// Segments an ELF header can count.
pub(super) const MAPPINGS_MAX: usize = 0xfff0;

#[cfg(target_arch = "aarch64")]
mod machine {
    /// `EM_AARCH64`
    pub(super) const NUMBER: u16 = 183;
    /// `struct elf_prstatus` with 34 registers.
    pub(super) const PRSTATUS_BYTES: usize = 392;
}

#[cfg(not(target_arch = "aarch64"))]
mod machine {
    /// `EM_X86_64`
    pub(super) const NUMBER: u16 = 62;
    /// `struct elf_prstatus` with 27 registers.
    pub(super) const PRSTATUS_BYTES: usize = 336;
}

/// `struct elf_prpsinfo` of a 64-bit Linux.
const PRPSINFO_BYTES: usize = 136;
const PRPSINFO_ARGS_BYTES: usize = 79;

/// What the notes say of the process.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) user: u32,
    pub(super) name: String,
    pub(super) command_line: String,
    pub(super) auxv: Vec<u8>,
}

/// Everything before the memory itself, padded to a page; the mappings follow one after the other.
pub(super) fn head(about: &About, mappings: &[Mapping], page_bytes: usize) -> Vec<u8> {
    let notes = notes(about, mappings, page_bytes);
    let notes_at = EHDR_BYTES + PHDR_BYTES * (mappings.len() + 1);
    let memory_at = (notes_at + notes.len()).next_multiple_of(page_bytes);
    let mut head = header(mappings.len() + 1);
    segment(
        &mut head,
        [PT_NOTE, 0],
        notes_at as u64,
        [0, notes.len() as u64, 0],
        4,
    );
    let mut at = memory_at as u64;
    for mapping in mappings {
        let flags = 4 | (u32::from(mapping.writable) << 1) | u32::from(mapping.executable);
        let bytes = mapping.bytes();
        segment(
            &mut head,
            [PT_LOAD, flags],
            at,
            [mapping.start, bytes, bytes],
            page_bytes as u64,
        );
        at += bytes;
    }
    head.extend_from_slice(&notes);
    head.resize(memory_at, 0);
    head
}

fn header(segments: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(EHDR_BYTES + PHDR_BYTES * segments);
    // 64 bits, byte order of this machine, version 1, System V.
    let order = if cfg!(target_endian = "big") { 2 } else { 1 };
    out.extend_from_slice(&[0x7f, b'E', b'L', b'F', 2, order, 1, 0]);
    out.resize(16, 0);
    // ET_CORE
    put16(&mut out, 4);
    put16(&mut out, machine::NUMBER);
    put32(&mut out, 1);
    // No entry point; segments follow the header; no sections.
    [0, EHDR_BYTES as u64, 0]
        .iter()
        .for_each(|word| put64(&mut out, *word));
    put32(&mut out, 0);
    put16(&mut out, EHDR_BYTES as u16);
    put16(&mut out, PHDR_BYTES as u16);
    put16(&mut out, u16::try_from(segments).unwrap_or(u16::MAX));
    [0, 0, 0].iter().for_each(|word| put16(&mut out, *word));
    out
}

fn segment(
    out: &mut Vec<u8>,
    [kind, flags]: [u32; 2],
    at: u64,
    [address, in_file, in_memory]: [u64; 3],
    align: u64,
) {
    put32(out, kind);
    put32(out, flags);
    [at, address, 0, in_file, in_memory, align]
        .iter()
        .for_each(|word| put64(out, *word));
}

fn notes(about: &About, mappings: &[Mapping], page_bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    note(&mut out, NT_PRSTATUS, &status(about));
    note(&mut out, NT_PRPSINFO, &info(about));
    note(&mut out, NT_AUXV, &about.auxv);
    note(&mut out, NT_FILE, &files(mappings, page_bytes));
    out
}

fn note(out: &mut Vec<u8>, kind: u32, content: &[u8]) {
    put32(out, 5);
    put32(out, u32::try_from(content.len()).unwrap_or(u32::MAX));
    put32(out, kind);
    out.extend_from_slice(b"CORE\0\0\0\0");
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The process ids, at their places in `struct elf_prstatus`.
fn status(about: &About) -> Vec<u8> {
    let mut out = vec![0; 32];
    for id in [about.pid, about.parent, about.group, about.group] {
        put32(&mut out, id);
    }
    out.resize(machine::PRSTATUS_BYTES, 0);
    out
}

fn info(about: &About) -> Vec<u8> {
    let mut out = vec![0; 16];
    // The user stands for the group of users, which nobody asks an image for.
    for id in [
        about.user,
        about.user,
        about.pid,
        about.parent,
        about.group,
        about.group,
    ] {
        put32(&mut out, id);
    }
    text(&mut out, &about.name, 15);
    text(&mut out, &about.command_line, PRPSINFO_ARGS_BYTES);
    out.resize(PRPSINFO_BYTES, 0);
    out
}

/// A text of at most so many bytes, and NULs up to one more than that.
fn text(out: &mut Vec<u8>, text: &str, bytes_max: usize) {
    let end = out.len() + bytes_max + 1;
    out.extend(text.bytes().take(bytes_max));
    out.resize(end, 0);
}

/// Which file is mapped where.
fn files(mappings: &[Mapping], page_bytes: usize) -> Vec<u8> {
    let of_files: Vec<(&Mapping, &String)> = mappings
        .iter()
        .filter_map(|mapping| Some((mapping, mapping.file.as_ref()?)))
        .collect();
    let mut out = Vec::new();
    put64(&mut out, of_files.len() as u64);
    put64(&mut out, page_bytes as u64);
    for (mapping, _) in &of_files {
        put64(&mut out, mapping.start);
        put64(&mut out, mapping.end);
        put64(&mut out, mapping.offset / page_bytes as u64);
    }
    for (_, name) in &of_files {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
    }
    out
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_ne_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_ne_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_on_a_page_and_counts_its_segments() {
        let mapping = Mapping {
            start: 0x1000,
            end: 0x3000,
            writable: true,
            executable: false,
            offset: 0x4000,
            file: Some("/bin/x".to_owned()),
        };
        let head = head(&About::default(), &[mapping], 4096);
        assert_eq!(head.len() % 4096, 0);
        assert_eq!(&head[..4], b"\x7fELF");
        assert_eq!(u16::from_ne_bytes([head[56], head[57]]), 2);
        let load = &head[EHDR_BYTES + PHDR_BYTES..][..PHDR_BYTES];
        let word = |at: usize| u64::from_ne_bytes(load[at..at + 8].try_into().unwrap());
        assert_eq!(load[4], 6);
        assert_eq!((word(8), word(16), word(32)), (head.len() as u64, 0x1000, 0x2000));
    }
}
