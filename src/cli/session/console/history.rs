//! Lines of earlier consoles, in a file that only its owner reads.
//!
//! A line is added when it is typed, so that a console that is killed leaves its lines, and several consoles share the
//! file. Lines that seem to hold a secret, and those that begin with a blank, are not kept.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Lines that are kept; the file may have twice as many before it is shortened.
pub(super) const LINES_MAX: usize = 1000;
/// Longer lines are not kept.
const LINE_BYTES_MAX: usize = 4096;
/// Words in front of `=`, `:` or a value, that announce a secret.
const SECRET_WORDS: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
];

/// The file.
#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
}

impl History {
    /// That of the user; `None` without a home.
    pub(super) fn of_user() -> Option<Self> {
        let state = std::env::var_os("XDG_STATE_HOME");
        let path = file(state, std::env::home_dir())?;
        Some(Self { path })
    }

    /// The lines of earlier consoles, oldest first. A file that has grown too long is shortened.
    pub(super) fn load(&self) -> io::Result<Vec<String>> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| may_keep(line)).collect();
        let kept = lines
            .get(lines.len().saturating_sub(LINES_MAX)..)
            .unwrap_or_default();
        if lines.len() > 2 * LINES_MAX || bytes.len() > 2 * LINES_MAX * LINE_BYTES_MAX {
            self.replace(kept)?;
        }
        Ok(kept.iter().map(|line| (*line).to_owned()).collect())
    }

    /// Whole or not at all: another console may read it at the same time.
    fn replace(&self, lines: &[&str]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // Made with 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.persist(&self.path).map(drop).map_err(|error| error.error)
    }

    /// Adds a line, if it may be kept; says whether it was.
    pub(super) fn add(&self, line: &str) -> io::Result<bool> {
        if !may_keep(line) {
            return Ok(false);
        }
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&self.path)?;
        // It may have been made by something else.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(format!("{line}\n").as_bytes())?;
        Ok(true)
    }
}

/// `$XDG_STATE_HOME/tripline/console-history`, by default below `~/.local/state`.
fn file(state: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || {
        home.filter(|home| home.is_absolute())
            .map(|home| home.join(".local/state"))
    };
    Some(state.or_else(home)?.join("tripline").join("console-history"))
}

/// Whether a line is one to remember.
pub(super) fn may_keep(line: &str) -> bool {
    let fits = !line.trim().is_empty() && line.len() <= LINE_BYTES_MAX && !line.contains(['\n', '\r', '\0']);
    fits && !line.starts_with(char::is_whitespace) && !has_secret(line)
}

/// `--password x`, `TOKEN=x`, `secret: x`, `Authorization: …`, `https://user:pass@host`.
fn has_secret(line: &str) -> bool {
    let lower = line.to_lowercase();
    let word = SECRET_WORDS.iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            let (before, after) = lower.split_at(at);
            let after = after.strip_prefix(word).unwrap_or_default();
            let option = before
                .rsplit(|c: char| c.is_whitespace() || c == '\'' || c == '"')
                .next()
                .is_some_and(|start| start.starts_with('-'));
            option || after.starts_with(['=', ':'])
        })
    });
    let header = ["authorization:", "bearer ", "private key"]
        .iter()
        .any(|header| lower.contains(header));
    word || header || has_userinfo(&lower)
}

/// A URL with a password in it.
fn has_userinfo(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', ' ', '\'', '"']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/tripline/console-history");
        (folder, History { path })
    }

    #[test]
    fn lines_are_there_for_the_next_console_and_only_for_their_owner() {
        let (_folder, history) = history();
        assert_eq!(history.load().unwrap(), Vec::<String>::new());
        assert!(history.add("ls /tmp").unwrap());
        assert!(history.add("ps").unwrap());
        assert_eq!(history.load().unwrap(), ["ls /tmp", "ps"]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&history.path), 0o600);
        assert_eq!(mode(history.path.parent().unwrap()), 0o700);
        std::fs::set_permissions(&history.path, Permissions::from_mode(0o644)).unwrap();
        history.add("pwd").unwrap();
        assert_eq!(mode(&history.path), 0o600);
    }

    #[test]
    fn the_file_is_bounded() {
        let (_folder, history) = history();
        for number in 0..=2 * LINES_MAX {
            history.add(&format!("kill {number}")).unwrap();
        }
        let lines = history.load().unwrap();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines.last().unwrap(), &format!("kill {}", 2 * LINES_MAX));
        let text = std::fs::read_to_string(&history.path).unwrap();
        assert_eq!(text.lines().count(), LINES_MAX, "shortened");
        assert_eq!(
            std::fs::metadata(&history.path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn secrets_are_not_kept() {
        for line in [
            " exec anything",
            "exec mysql --password hunter2",
            "exec mysql --password=hunter2",
            "exec env DB_PASSWORD=hunter2 x",
            "exec curl -H 'Authorization: Basic abc'",
            "exec curl -H 'X-Auth: Bearer abc'",
            "exec curl https://me:hunter2@example.org/",
            "exec x --api-key abc",
            "exec sh -c 'TOKEN=abc x'",
            "",
            "  ",
        ] {
            assert!(!may_keep(line), "{line}");
        }
        for line in [
            "cat /etc/passwd",
            "get /opt/tokens/list",
            "exec curl https://example.org/a:b@c",
            "ls '/home/x/secret files'",
        ] {
            assert!(may_keep(line), "{line}");
        }
        assert!(!may_keep(&"x".repeat(LINE_BYTES_MAX + 1)));
    }

    #[test]
    fn the_file_is_in_the_users_state_directory() {
        let path =
            |state: Option<&str>, home: Option<&str>| file(state.map(Into::into), home.map(Into::into));
        assert_eq!(
            path(Some("/s"), Some("/h")),
            Some("/s/tripline/console-history".into())
        );
        assert_eq!(
            path(Some("relative"), Some("/h")),
            Some("/h/.local/state/tripline/console-history".into())
        );
        assert_eq!(path(None, None), None);
        assert_eq!(path(Some(""), Some("")), None);
    }
}
