//! `/proc/<pid>/maps`: what a process has mapped (proc_pid_maps(5)).

/// One mapping that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) writable: bool,
    pub(super) executable: bool,
    /// Where it begins in its file, in bytes.
    pub(super) offset: u64,
    /// The file; `None`: memory of the process alone.
    pub(super) file: Option<String>,
}

impl Mapping {
    pub(super) fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// The readable mappings, in order. Those of the kernel's half of the addresses are left out: no process has them
/// for itself.
pub(super) fn parse(maps: &str) -> Vec<Mapping> {
    maps.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (hex(start)?, hex(end)?);
    let permissions = fields.next()?.as_bytes();
    let offset = hex(fields.next()?)?;
    let inode = fields.nth(1)?;
    let name = fields.next().unwrap_or_default().trim_start();
    let readable = permissions.first() == Some(&b'r');
    if !readable || end <= start || i64::try_from(end).is_err() {
        return None;
    }
    Some(Mapping {
        start,
        end,
        writable: permissions.get(1) == Some(&b'w'),
        executable: permissions.get(2) == Some(&b'x'),
        offset,
        file: (inode != "0").then(|| name.to_owned()),
    })
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_mappings_are_found_with_their_files() {
        let maps = "\
5580-5590 r-xp 00002000 fe:00 247774                     /usr/bin/a b
5590-55a0 ---p 00000000 00:00 0
55a0-55c0 rw-p 00000000 00:00 0                          [heap]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
ffffffffff601000-ffffffffff602000 r-xp 00000000 00:00 0  [vsyscall]
nonsense";
        let found = parse(maps);
        let mapping = |start, end, writable, executable, offset, file: Option<&str>| Mapping {
            start,
            end,
            writable,
            executable,
            offset,
            file: file.map(str::to_owned),
        };
        assert_eq!(
            found,
            [
                mapping(0x5580, 0x5590, false, true, 0x2000, Some("/usr/bin/a b")),
                mapping(0x55a0, 0x55c0, true, false, 0, None),
            ]
        );
        assert_eq!(found[1].bytes(), 0x20);
    }
}
