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
/// How many bytes are written between two looks at the room left, while there is enough.
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
        unlooked: 0,
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
    /// Bytes that may be written before the room is looked at again.
    unlooked: u64,
    shown: String,
}

impl Guarded<'_> {
    /// Takes so many bytes of the room that may be filled.
    fn look(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.unlooked {
            let room = self.file.room()?.saturating_sub(ROOM_BYTES_MIN);
            if bytes > room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.unlooked = room.min(bytes.max(ROOM_LOOK_BYTES));
        }
        self.unlooked -= bytes;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A file on a file system with so much room.
    struct Disk {
        room: u64,
        looks: Cell<u64>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.room -= bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl StagedFile for Disk {
        fn skip(&mut self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn room(&self) -> io::Result<u64> {
            self.looks.set(self.looks.get() + 1);
            Ok(self.room)
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn keep(self: Box<Self>) {}

        fn commit(self: Box<Self>, _: Option<u32>, _: bool) -> Result<(), Fault> {
            Ok(())
        }
    }

    /// Writes so many bytes in pieces to a disk with so much room above the bound, and says what is left above it.
    fn write(spare: u64, bytes: usize, piece: usize) -> (Result<(), Fault>, u64, u64) {
        let mut disk = Disk {
            room: ROOM_BYTES_MIN + spare,
            looks: Cell::default(),
        };
        let mut file = Guarded {
            file: &mut disk,
            unlooked: 0,
            shown: "/image".to_owned(),
        };
        let content = vec![1; bytes];
        let written = content
            .chunks(piece)
            .try_for_each(|piece| Plain(&mut file).write(piece));
        (written, disk.room - ROOM_BYTES_MIN, disk.looks.get())
    }

    #[test]
    fn an_image_leaves_so_much_room_and_not_a_byte_less() {
        assert_eq!(write(3, 3, 1).0, Ok(()));
        for (spare, bytes, piece) in [(0, 1, 1), (3, 4, 1), (3, 4, 4)] {
            let (written, left, _) = write(spare, bytes, piece);
            assert_eq!(written.unwrap_err().code, "ENOSPC");
            assert!(left < piece as u64 || left == spare, "{left}");
        }
    }

    #[test]
    fn the_room_is_not_looked_at_for_every_piece_and_all_the_same_never_filled() {
        let (look, piece) = (ROOM_LOOK_BYTES as usize, 1 << 20);
        let (written, left, looks) = write(2 * ROOM_LOOK_BYTES, 2 * look, piece);
        assert_eq!((written, left, looks), (Ok(()), 0, 2));
        let (written, left, _) = write(ROOM_LOOK_BYTES + 5, 2 * look, piece);
        assert_eq!((written.unwrap_err().code.as_str(), left), ("ENOSPC", 5));
    }
}
