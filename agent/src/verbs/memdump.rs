//! `memdump`: the memory of a process or of the whole host, written to a file on the host.
//!
//! The file is written beside its place and moved there when it is whole. It never fills its file system: when less
//! than [`ROOM_BYTES_MIN`] would be left, the command fails and what was written is removed.

use super::put_file::temporary;
use super::{Context, Done};
use crate::platform::{ImageSink, StagedFile};
use std::io::{self, Write};
use tripline_protocol::Fault;
use tripline_protocol::verb::{Memdump, MemoryDumped};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Bytes that are left free on the file system.
const ROOM_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// How many bytes are written between two looks at the room left.
const ROOM_LOOK_BYTES: u64 = 16 * 1024 * 1024;
/// Permission bits of an image: it holds whatever the process held.
const MODE: u32 = 0o600;
/// Zeros at once where there can be no hole.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

pub(super) fn run(context: &Context<'_>, args: &Memdump) -> Result<Done, Fault> {
    let mut image = context.platform.open_memory(args)?;
    context.policy.admit_size(image.bytes())?;
    let target = args.target();
    let mut staged = context
        .platform
        .stage_file(&target, &temporary(context.id), context.policy)?;
    let mut file = Guarded {
        file: &mut *staged,
        unlooked: ROOM_LOOK_BYTES,
        shown: target.to_lossy(),
    };
    let gaps = if args.compress {
        let mut packed = Packed::begin(&mut file, image.format())?;
        let gaps = image.write(&mut packed, context.stop)?;
        packed.finish()?;
        gaps
    } else {
        image.write(&mut Plain(&mut file), context.stop)?
    };
    context.stop.check()?;
    staged.commit(Some(MODE), true)?;
    Done::of(&MemoryDumped {
        bytes: image.bytes(),
        format: image.format().to_owned(),
        gaps: gaps.places,
        gap_bytes: gaps.bytes,
    })
}

/// A file that is not written when its file system is nearly full.
struct Guarded<'a> {
    file: &'a mut dyn StagedFile,
    /// Bytes written since the room was looked at.
    unlooked: u64,
    shown: String,
}

impl Guarded<'_> {
    fn look(&mut self, bytes: u64) -> io::Result<()> {
        self.unlooked = self.unlooked.saturating_add(bytes);
        if self.unlooked < ROOM_LOOK_BYTES {
            return Ok(());
        }
        self.unlooked = 0;
        match self.file.room()? {
            room if room < ROOM_BYTES_MIN => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &io::Error) -> Fault {
        if error.kind() == io::ErrorKind::StorageFull {
            let text = format!(
                "an image of memory leaves {ROOM_BYTES_MIN} bytes free on its file system, and there is no more \
                 room: {}",
                self.shown
            );
            return Fault::live_response("ENOSPC", text);
        }
        crate::platform::host_fault(error, &self.shown)
    }
}

impl Write for Guarded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look(bytes.len() as u64)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The image as it is, with holes.
struct Plain<'a, 'b>(&'a mut Guarded<'b>);

impl ImageSink for Plain<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.write_all(bytes).map_err(|error| self.0.failed(&error))
    }

    fn zeros(&mut self, bytes: u64) -> Result<(), Fault> {
        self.0.file.skip(bytes).map_err(|error| self.0.failed(&error))
    }
}

/// The image in a zip that is written from its beginning to its end.
struct Packed<'a, 'b> {
    zip: ZipWriter<zip::write::StreamWriter<&'a mut Guarded<'b>>>,
    shown: String,
}

impl<'a, 'b> Packed<'a, 'b> {
    fn begin(file: &'a mut Guarded<'b>, name: &str) -> Result<Self, Fault> {
        let shown = file.shown.clone();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .large_file(true);
        let mut packed = Self {
            zip: ZipWriter::new_stream(file),
            shown,
        };
        let begun = packed.zip.start_file(name, options);
        begun.map_err(|error| packed.failed(&error.into()))?;
        Ok(packed)
    }

    fn finish(mut self) -> Result<(), Fault> {
        let shown = std::mem::take(&mut self.shown);
        match self.zip.finish() {
            Ok(_) => Ok(()),
            Err(error) => Err(crate::platform::host_fault(&error.into(), &shown)),
        }
    }

    fn failed(&self, error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::StorageFull => {
                let text = format!("there is no more room for an image of memory: {}", self.shown);
                Fault::live_response("ENOSPC", text)
            }
            _ => crate::platform::host_fault(error, &self.shown),
        }
    }
}

impl ImageSink for Packed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.zip.write_all(bytes).map_err(|error| self.failed(&error))
    }

    fn zeros(&mut self, mut bytes: u64) -> Result<(), Fault> {
        while bytes > 0 {
            let now = usize::try_from(bytes).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write(ZEROS.get(..now).unwrap_or(&ZEROS))?;
            bytes -= now as u64;
        }
        Ok(())
    }
}
