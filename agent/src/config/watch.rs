//! The part of the configuration that is about watching processes.

use super::{Error, given, value};
use crate::platform::own;
use crate::server_url::ServerUrl;
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tripline_protocol::Span;
use tripline_protocol::limit::HOST_NAME_BYTES_MAX;
use tripline_protocol::littlebrother::DEFAULT_GROUP;

/// Longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 4096;
/// Shortest time between two scans or messages: a mistake must not become a flood.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Longest time between two scans or messages, and longest time to end.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// What the command line, the environment or the file give.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Watching processes")]
pub struct WatchOptions {
    /// Watch processes for this LittleBrother server, http://HOST:5555, and not for Tripline's
    #[arg(long, env = "TRIPLINE_AGENT_LITTLEBROTHER", value_name = "URL")]
    pub littlebrother: Option<String>,
    /// The LittleBrother server's secret (access_token), a file that not everybody may read
    #[arg(long, env = "TRIPLINE_AGENT_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// What this host is called by LittleBrother [default: its full name]
    #[arg(long, env = "TRIPLINE_AGENT_LITTLEBROTHER_HOSTNAME", value_name = "NAME")]
    pub littlebrother_hostname: Option<String>,
    /// Whose login mappings count here [default: default-group]
    #[arg(long, env = "TRIPLINE_AGENT_SERVER_GROUP", value_name = "GROUP")]
    pub server_group: Option<String>,
    /// How often a message is sent [default: 5s]
    #[arg(long, env = "TRIPLINE_AGENT_CHECK_INTERVAL", value_name = "SPAN")]
    pub check_interval: Option<Span>,
    /// How often processes are looked at [default: 10s]
    #[arg(long, env = "TRIPLINE_AGENT_SCAN_INTERVAL", value_name = "SPAN")]
    pub scan_interval: Option<Span>,
    /// Match the whole command line instead of the name [default: false]
    #[arg(long, env = "TRIPLINE_AGENT_SCAN_COMMAND_LINE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub scan_command_line: Option<bool>,
    /// How long a process may take to end before it is killed [default: 5s]
    #[arg(long, env = "TRIPLINE_AGENT_KILL_DELAY", value_name = "SPAN")]
    pub kill_delay: Option<Span>,
    /// Never watch processes, whatever a server wants [default: false]
    #[arg(long, env = "TRIPLINE_AGENT_NO_WATCH", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub no_watch: Option<bool>,
}

/// Watching processes.
#[derive(Clone, PartialEq, Eq)]
pub struct Watch {
    /// Whether it is done at all.
    pub enabled: bool,
    /// The LittleBrother server to report to; `None`: the agent's own server, when it asks for it.
    pub direct: Option<Direct>,
    /// What this host is called; `None`: its full name.
    pub hostname: Option<String>,
    /// Whose login mappings count.
    pub server_group: String,
    /// Between two messages.
    pub check_interval: Duration,
    /// Between two scans.
    pub scan_interval: Duration,
    /// Match the whole command line instead of the name.
    pub scan_command_line: bool,
    /// How long a process may take to end before it is killed.
    pub kill_delay: Duration,
}

/// A LittleBrother server.
#[derive(Clone, PartialEq, Eq)]
pub struct Direct {
    /// Where it is.
    pub server: ServerUrl,
    /// Its access token. A secret.
    pub secret: String,
}

impl WatchOptions {
    /// These, and where they say nothing, `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            littlebrother: given(self.littlebrother).or(other.littlebrother),
            secret_file: path(self.secret_file).or(other.secret_file),
            littlebrother_hostname: given(self.littlebrother_hostname).or(other.littlebrother_hostname),
            server_group: given(self.server_group).or(other.server_group),
            check_interval: self.check_interval.or(other.check_interval),
            scan_interval: self.scan_interval.or(other.scan_interval),
            scan_command_line: self.scan_command_line.or(other.scan_command_line),
            kill_delay: self.kill_delay.or(other.kill_delay),
            no_watch: self.no_watch.or(other.no_watch),
        }
    }

    pub(super) fn check(self) -> Result<Watch, Error> {
        let enabled = !self.no_watch.unwrap_or(false);
        let direct = match enabled {
            true => direct(self.littlebrother, self.secret_file)?,
            false => None,
        };
        let group = self.server_group.unwrap_or_else(|| DEFAULT_GROUP.to_owned());
        Ok(Watch {
            enabled,
            direct,
            hostname: self.littlebrother_hostname.map(hostname).transpose()?,
            server_group: group,
            check_interval: interval("check_interval", self.check_interval, 5)?,
            scan_interval: interval("scan_interval", self.scan_interval, 10)?,
            scan_command_line: self.scan_command_line.unwrap_or(false),
            kill_delay: kill_delay(self.kill_delay)?,
        })
    }
}

/// An empty value in the environment is as good as none.
fn path(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

fn direct(server: Option<String>, secret_file: Option<PathBuf>) -> Result<Option<Direct>, Error> {
    let Some(server) = server else {
        return Ok(None);
    };
    let server = ServerUrl::with_plaintext(&server).map_err(Error::LittleBrother)?;
    let file = secret_file.ok_or(Error::Missing {
        key: "secret_file",
        flag: "secret-file",
        variable: "TRIPLINE_AGENT_SECRET_FILE",
    })?;
    let secret = read_secret(&file)?;
    Ok(Some(Direct { server, secret }))
}

fn read_secret(path: &Path) -> Result<String, Error> {
    let read = || -> io::Result<(String, bool)> {
        let file = std::fs::File::open(path)?;
        let is_open = own::is_open_to_everybody(&file)?;
        Ok((io::read_to_string(file)?, is_open))
    };
    let (text, is_open) = read().map_err(|source| Error::Secret {
        path: path.to_path_buf(),
        source,
    })?;
    let wrong = |problem: &str| value("secret_file", format!("{} {problem}", path.display()));
    if is_open {
        return Err(wrong("may be read or written by everybody: chmod o= it"));
    }
    let secret = text.trim();
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || secret.contains('\n') {
        return Err(wrong("must hold one line, the secret"));
    }
    Ok(secret.to_owned())
}

fn hostname(name: String) -> Result<String, Error> {
    if name.len() > HOST_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let expected = format!("at most {HOST_NAME_BYTES_MAX} bytes without control characters");
        return Err(value("littlebrother_hostname", expected));
    }
    Ok(name)
}

fn interval(key: &'static str, given: Option<Span>, default_s: u64) -> Result<Duration, Error> {
    let span = given.map_or(Duration::from_secs(default_s), Span::to_duration);
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&span) {
        return Err(value(key, "must be from 10ms to 1h".to_owned()));
    }
    Ok(span)
}

fn kill_delay(given: Option<Span>) -> Result<Duration, Error> {
    let span = given.map_or(Duration::from_secs(5), Span::to_duration);
    if span > INTERVAL_MAX {
        return Err(value("kill_delay", "must be at most 1h".to_owned()));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn secret_file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn options(secret: &Path) -> WatchOptions {
        WatchOptions {
            littlebrother: Some("http://master.example:5555/".to_owned()),
            secret_file: Some(secret.to_path_buf()),
            ..WatchOptions::default()
        }
    }

    fn error(options: WatchOptions) -> String {
        options.check().err().expect("refused").to_string()
    }

    #[test]
    fn the_defaults_are_those_of_the_real_client() {
        let watch = WatchOptions::default().check().unwrap();
        assert!(watch.enabled && watch.direct.is_none() && !watch.scan_command_line);
        assert_eq!(watch.server_group, "default-group");
        let s = Duration::from_secs;
        let spans = (watch.check_interval, watch.scan_interval, watch.kill_delay);
        assert_eq!(spans, (s(5), s(10), s(5)));
    }

    #[test]
    fn a_littlebrother_server_needs_its_secret() {
        let (_dir, path) = secret_file("abcdef\n", 0o640);
        let direct = options(&path).check().unwrap().direct.unwrap();
        assert_eq!(direct.secret, "abcdef");
        assert_eq!(
            direct.server.http("api/events"),
            "http://master.example:5555/api/events"
        );
        let without = WatchOptions {
            secret_file: None,
            ..options(&path)
        };
        assert!(error(without).starts_with("secret_file is missing"));
        let away = path.with_file_name("nowhere");
        assert!(error(options(&away)).contains("nowhere"));
        for url in ["master:5555", "ftp://master", "http://me:hunter2@master"] {
            let wrong = WatchOptions {
                littlebrother: Some(url.to_owned()),
                ..options(&path)
            };
            let text = error(wrong);
            assert!(
                text.starts_with("littlebrother: ") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_secret_that_everybody_may_read_is_refused_and_not_shown() {
        for (content, mode) in [
            ("hunter2", 0o644),
            ("hunter2", 0o602),
            ("", 0o600),
            ("hunter2\nb", 0o600),
        ] {
            let (_dir, path) = secret_file(content, mode);
            let text = error(options(&path));
            assert!(
                text.starts_with("secret_file: ") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }

    #[test]
    fn who_never_watches_needs_no_secret() {
        let watch = WatchOptions {
            no_watch: Some(true),
            ..options(Path::new("/no/such"))
        };
        let watch = watch.check().unwrap();
        assert!(!watch.enabled && watch.direct.is_none());
    }

    #[test]
    fn intervals_have_limits() {
        let spans = [Span::ZERO, Span::from_millis(9), Span::from_secs(3601)];
        for span in spans {
            let wrong = WatchOptions {
                scan_interval: Some(span),
                ..WatchOptions::default()
            };
            assert!(error(wrong).starts_with("scan_interval: "));
        }
        let at_once = WatchOptions {
            kill_delay: Some(Span::ZERO),
            ..WatchOptions::default()
        };
        assert_eq!(at_once.check().unwrap().kill_delay, Duration::ZERO);
    }

    #[test]
    fn a_secret_is_taken_up_to_its_bound() {
        let read = |bytes: usize| {
            let (_dir, path) = secret_file(&format!("{}\n", "x".repeat(bytes)), 0o600);
            options(&path).check().is_ok()
        };
        assert!(read(SECRET_BYTES_MAX) && !read(SECRET_BYTES_MAX + 1));
    }
}
