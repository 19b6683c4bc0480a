//! Where the console is on its host: paths that people type, made absolute.
//!
//! Paths are bytes. Only [`Place::entered`] takes `..` apart, as `cd` of a shell does; in every other path the host
//! does, which knows its symlinks.

use tripline_protocol::path::RemotePath;

/// How a host writes its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Unix,
    Windows,
}

impl Style {
    /// That of a platform as agents name it.
    pub(super) fn of(platform: &str) -> Self {
        if platform == "windows" {
            Self::Windows
        } else {
            Self::Unix
        }
    }

    pub(super) fn separates(self, byte: u8) -> bool {
        byte == b'/' || (self == Self::Windows && byte == b'\\')
    }

    pub(super) fn separator(self) -> u8 {
        match self {
            Self::Unix => b'/',
            Self::Windows => b'\\',
        }
    }

    fn is_absolute(self, path: &[u8]) -> bool {
        match (self, path) {
            (Self::Unix, [b'/', ..]) | (Self::Windows, [b'\\' | b'/', ..]) => true,
            (Self::Windows, [letter, b':', ..]) => letter.is_ascii_alphabetic(),
            _ => false,
        }
    }

    /// How much of an absolute path is its root, without a separator at its end: nothing, or a drive.
    fn root_length(self, path: &[u8]) -> usize {
        match (self, path) {
            (Self::Windows, [letter, b':', ..]) if letter.is_ascii_alphabetic() => 2,
            _ => 0,
        }
    }

    /// The last part of a path; none of a root, of `.` and of `..`.
    pub(super) fn name(self, path: &[u8]) -> Option<&[u8]> {
        let trimmed = self.trimmed(path);
        let name = trimmed.rsplit(|byte| self.separates(*byte)).next()?;
        let is_drive = self.root_length(name) == name.len() && !name.is_empty();
        (!is_drive && !matches!(name, b"" | b"." | b"..")).then_some(name)
    }

    /// Without separators at its end.
    fn trimmed(self, path: &[u8]) -> &[u8] {
        let end = path.iter().rposition(|byte| !self.separates(*byte));
        path.get(..end.map_or(0, |last| last + 1)).unwrap_or_default()
    }

    /// Whether it says that it is a directory.
    pub(super) fn ends_open(self, path: &[u8]) -> bool {
        path.last().is_some_and(|byte| self.separates(*byte))
    }

    /// A path below a directory.
    pub(super) fn join(self, directory: &[u8], name: &[u8]) -> Vec<u8> {
        let mut path = directory.to_vec();
        if !self.ends_open(&path) {
            path.push(self.separator());
        }
        path.extend_from_slice(name);
        path
    }
}

/// A directory of a host, from which relative paths start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    style: Style,
    directory: Vec<u8>,
}

impl Place {
    /// The root: of the first drive, where there are drives.
    pub(super) fn root(style: Style) -> Self {
        let directory = match style {
            Style::Unix => b"/".to_vec(),
            Style::Windows => b"C:\\".to_vec(),
        };
        Self { style, directory }
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    pub(super) fn directory(&self) -> &[u8] {
        &self.directory
    }

    /// The absolute path that `given` means here.
    pub(super) fn path(&self, given: &[u8]) -> RemotePath {
        RemotePath::from(self.absolute(given))
    }

    fn absolute(&self, given: &[u8]) -> Vec<u8> {
        if self.style.is_absolute(given) {
            return given.to_vec();
        }
        let mut rest = given;
        while let [b'.', separator, more @ ..] = rest
            && self.style.separates(*separator)
        {
            rest = more;
        }
        match rest {
            b"" | b"." => self.directory.clone(),
            rest => self.style.join(&self.directory, rest),
        }
    }

    /// The place after `cd given`: `.` and `..` are gone.
    pub(super) fn entered(&self, given: &[u8]) -> Self {
        let path = self.absolute(given);
        let (root, rest) = path.split_at(self.style.root_length(&path));
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in rest.split(|byte| self.style.separates(*byte)) {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let mut directory = root.to_vec();
        directory.push(self.style.separator());
        directory.extend_from_slice(&parts.join(&self.style.separator()));
        Self {
            style: self.style,
            directory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(directory: &str) -> Place {
        Place::root(Style::Unix).entered(directory.as_bytes())
    }

    #[test]
    fn a_relative_path_starts_where_the_console_is() {
        let place = unix("/var/log");
        for (given, expected) in [
            ("syslog", "/var/log/syslog"),
            ("/etc/hosts", "/etc/hosts"),
            ("./a/../b", "/var/log/a/../b"),
            (".", "/var/log"),
            ("./", "/var/log"),
            ("", "/var/log"),
            ("..", "/var/log/.."),
            (".hidden", "/var/log/.hidden"),
        ] {
            assert_eq!(
                place.path(given.as_bytes()),
                RemotePath::from(expected),
                "{given}"
            );
        }
        assert_eq!(unix("/").path(b"\xff"), RemotePath::from(b"/\xff".to_vec()));
    }

    #[test]
    fn entering_takes_dots_away() {
        for (given, expected) in [
            ("log", "/var/log"),
            ("..", "/"),
            ("../..", "/"),
            ("../etc//ssl/", "/etc/ssl"),
            ("/", "/"),
            (".", "/var"),
        ] {
            let entered = unix("/var").entered(given.as_bytes());
            assert_eq!(entered.directory(), expected.as_bytes(), "{given}");
        }
    }

    #[test]
    fn drives_are_roots() {
        let root = Place::root(Style::Windows);
        let users = root.entered(b"Users/public");
        assert_eq!(users.directory(), br"C:\Users\public");
        assert_eq!(users.path(b"a.txt"), RemotePath::from(r"C:\Users\public\a.txt"));
        assert_eq!(users.entered(br"..\..\..").directory(), br"C:\");
        assert_eq!(users.entered(br"D:\x\..").directory(), br"D:\");
        assert_eq!(users.path(br"d:\x"), RemotePath::from(r"d:\x"));
    }

    #[test]
    fn the_name_of_a_path_is_its_last_part() {
        for (path, expected) in [
            ("/etc/hosts", Some("hosts")),
            ("hosts", Some("hosts")),
            ("/var/log/", Some("log")),
            ("/", None),
            ("", None),
            ("/a/..", None),
            (".", None),
        ] {
            let name = Style::Unix.name(path.as_bytes());
            assert_eq!(name, expected.map(str::as_bytes), "{path}");
        }
        assert_eq!(Style::Windows.name(br"C:\"), None);
        assert_eq!(Style::Windows.name(br"C:\a\b"), Some(&b"b"[..]));
        assert_eq!(Style::Unix.name(br"C:\a"), Some(&br"C:\a"[..]));
    }

    #[test]
    fn a_platform_decides_the_style() {
        assert_eq!(Style::of("windows"), Style::Windows);
        assert_eq!(Style::of("linux"), Style::Unix);
    }
}
