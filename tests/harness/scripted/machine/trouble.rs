//! What can go wrong on a host, in the words of its operating system.

use tripline_protocol::Fault;

/// An error of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    NoFile,
    NoDirectory,
    Denied,
    IsADirectory,
    InUse,
    Invalid,
    Exists,
    NotEmpty,
    NotADirectory,
    NoProcess,
    Protected,
}

impl Trouble {
    /// Its name on Unix, its number on Windows, and its text.
    const fn words(self) -> (&'static str, u32, &'static str) {
        match self {
            Self::NoFile => ("ENOENT", 2, "no such file"),
            Self::NoDirectory => ("ENOENT", 3, "no such directory"),
            Self::Denied => ("EACCES", 5, "access is denied"),
            Self::IsADirectory => ("EISDIR", 5, "it is a directory"),
            Self::InUse => ("ETXTBSY", 32, "another process uses it"),
            Self::Invalid => ("EINVAL", 87, "invalid argument"),
            Self::Exists => ("EEXIST", 183, "it exists already"),
            Self::NotEmpty => ("ENOTEMPTY", 145, "it is not empty"),
            Self::NotADirectory => ("ENOTDIR", 267, "not a directory"),
            Self::NoProcess => ("ESRCH", 87, "no such process"),
            Self::Protected => ("protected_process", 5, "it is protected"),
        }
    }

    /// As the agent of such a host reports it.
    pub(super) fn fault(self, is_windows: bool, about: &str) -> Fault {
        let (name, number, text) = self.words();
        let text = format!("{text}: {about}");
        match self {
            _ if is_windows => Fault::live_response(format!("0x8007{number:04x}"), text),
            // No error of the host: its agent does not do that.
            Self::Protected => Fault::unsupported(name, text),
            _ => Fault::live_response(name, text),
        }
    }
}
