//! Finding a nats-server that is new enough.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest version that can do what is needed of it: major and minor.
pub const VERSION_MIN: (u32, u32) = (2, 11);
/// Names the binary; it and no other is used then.
pub const VARIABLE: &str = "TRIPLINE_NATS_SERVER";
const BINARY: &str = "nats-server";

/// Why there is none to use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None is installed.
    #[error(
        "find nats-server 2.11 or newer in {VARIABLE}, PATH or .nats/bin; \
         `make .nats/bin/nats-server` fetches one, or set nats.url to use a broker that runs already"
    )]
    NotFound,
    /// Only older ones are installed.
    #[error(
        "find nats-server 2.11 or newer: {path} is {version}; \
         `make .nats/bin/nats-server` fetches one, or name another in {VARIABLE}"
    )]
    TooOld {
        /// Where.
        path: PathBuf,
        /// As it says itself.
        version: String,
    },
    /// The one that was named does not run.
    #[error("run {path} --version: {reason}")]
    NoServer {
        /// Where.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The value of [`VARIABLE`]: this one and no other.
    pub named: Option<PathBuf>,
    /// Folders to look in, in this order.
    pub folders: Vec<PathBuf>,
}

impl Search {
    /// As this process would find it: the variable, `PATH`, then `.nats/bin` below the working directory and
    /// below every folder above this executable.
    pub fn from_environment() -> Self {
        let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).collect())
            .unwrap_or_default();
        let working = std::env::current_dir().ok();
        let executable = std::env::current_exe().ok();
        let above = executable
            .iter()
            .flat_map(|path| path.ancestors().skip(1))
            .map(Path::to_owned);
        folders.extend(
            working
                .into_iter()
                .chain(above)
                .map(|folder| folder.join(".nats/bin")),
        );
        Self {
            named: std::env::var_os(VARIABLE).map(PathBuf::from),
            folders,
        }
    }

    /// The first that is new enough.
    pub fn find(&self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.named {
            return check(path).map(|()| path.clone());
        }
        let mut refused = None;
        for path in self
            .folders
            .iter()
            .map(|folder| folder.join(BINARY))
            .filter(|path| path.is_file())
        {
            match check(&path) {
                Ok(()) => return Ok(path),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(Error::NotFound))
    }
}

fn check(path: &Path) -> Result<(), Error> {
    let no_server = |reason: String| Error::NoServer {
        path: path.to_owned(),
        reason,
    };
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| no_server(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = parse(&text).ok_or_else(|| no_server("it does not tell a version".into()))?;
    if version >= VERSION_MIN {
        Ok(())
    } else {
        let version = text
            .split_once('v')
            .map_or("", |(_, version)| version)
            .trim()
            .to_owned();
        Err(Error::TooOld {
            path: path.to_owned(),
            version,
        })
    }
}

/// `nats-server: v2.15.1`
fn parse(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.trim().strip_prefix(BINARY)?.split_once('v')?;
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_server_prints_them() {
        assert_eq!(parse("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(parse("redis-server v7"), None);
    }

    #[test]
    fn nothing_installed_says_how_to_get_one() {
        let error = Search::default().find().unwrap_err();
        assert!(error.to_string().contains("make .nats/bin/nats-server"));
    }

    #[test]
    fn a_named_program_that_is_no_server_is_refused_by_name() {
        let named = Search {
            named: Some("/bin/true".into()),
            folders: Vec::new(),
        };
        assert!(named.find().unwrap_err().to_string().contains("/bin/true"));
    }
}
