//! Memory as an image: of one process (`process`, an ELF core) or of the whole host (`physical`, LiME).
//!
//! Nothing is stopped while it is read: what changes meanwhile is in the image as it was at its moment.

mod blocks;
mod elf_core;
mod kcore;
mod maps;
mod physical;
mod process;

use crate::platform::MemoryImage;
use tripline_protocol::Fault;
use tripline_protocol::verb::Memdump;

/// Opens what is asked for.
pub(super) fn open(args: &Memdump) -> Result<Box<dyn MemoryImage>, Fault> {
    Ok(match args.pid {
        Some(pid) => Box::new(process::Image::open(pid, args.start_time)?),
        None => Box::new(physical::Image::open()?),
    })
}

/// Begin and end of each readable mapping of a `/proc/<pid>/maps`.
pub(super) fn mappings(maps: &str) -> Vec<(u64, u64)> {
    let mappings = maps::parse(maps).into_iter();
    mappings.map(|mapping| (mapping.start, mapping.end)).collect()
}

/// The head of an image of the process `name` with these mappings, of which nothing else is known.
pub(super) fn image_head(name: &str, maps: &str) -> Vec<u8> {
    let about = elf_core::About {
        name: name.to_owned(),
        command_line: name.to_owned(),
        ..elf_core::About::default()
    };
    elf_core::head(&about, &maps::parse(maps), rustix::param::page_size())
}

/// Physical address, length and place in a `/proc/kcore` of what is memory.
pub(super) fn physical_memory(kcore: &[u8]) -> Vec<(u64, u64, u64)> {
    let segments = kcore::segments(kcore).into_iter();
    segments
        .map(|segment| (segment.physical, segment.bytes, segment.at))
        .collect()
}
