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
