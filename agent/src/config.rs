//! The agent's configuration: command line over environment (`TRIPLINE_AGENT_*`) over the TOML file.

mod watch;

pub use watch::{Direct, Watch, WatchOptions};

use crate::isolation;
use crate::policy::{Policy, is_plain_absolute};
use crate::server_url::{InvalidServer, ServerUrl};
use clap::Args;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tripline_protocol::isolation::allow_fault;
use tripline_protocol::limit::{LABELS_MAX, OUTPUT_BYTES_MAX};
use tripline_protocol::verb::Verb;
use tripline_protocol::{Label, Network, Span};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("failed to read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// The file is not understood; names the key where there is one.
    #[error("{}:{line}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value that must be given is missing.
    #[error("{key} is missing: give --{flag}, {variable}, or {key} in the file named by --config")]
    Missing {
        /// In the file.
        key: &'static str,
        /// On the command line.
        flag: &'static str,
        /// In the environment.
        variable: &'static str,
    },
    /// The server's URL.
    #[error("server: {0}")]
    Server(#[from] InvalidServer),
    /// The LittleBrother server's URL.
    #[error("littlebrother: {0}")]
    LittleBrother(#[source] InvalidServer),
    /// The file with the secret could not be read.
    #[error("failed to read the secret in {}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// A value that is not legal.
    #[error("{key}: {message}")]
    Value {
        /// The key in the file.
        key: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
}

/// `text` for people, `json` for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text per entry.
    #[default]
    Text,
    /// One JSON object per entry.
    Json,
}

/// What the command line and the environment give.
#[derive(Clone, Default, Args)]
pub struct Options {
    /// The server, https://HOST:7443 (plain http:// only to loopback)
    #[arg(long, env = "TRIPLINE_AGENT_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Certificates to trust, a PEM file [default: the system's]
    #[arg(long, env = "TRIPLINE_AGENT_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Allows the first start to enrol; not needed after it
    #[arg(
        long,
        env = "TRIPLINE_AGENT_ENROL_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub enrol_token: Option<String>,
    /// Where the agent keeps its identity and its journal
    #[arg(long, env = "TRIPLINE_AGENT_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// A TOML file with any of these options, `-` written as `_`, and [log] level and format
    #[arg(long, env = "TRIPLINE_AGENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The only verbs offered [default: all]
    #[arg(
        long,
        env = "TRIPLINE_AGENT_VERBS_ALLOWED",
        value_name = "VERB,…",
        value_delimiter = ','
    )]
    pub verbs_allowed: Option<Vec<String>>,
    /// Absolute paths at and below which nothing is read, written or listed
    #[arg(
        long,
        env = "TRIPLINE_AGENT_PATHS_DENIED",
        value_name = "PATH,…",
        value_delimiter = ','
    )]
    pub paths_denied: Option<Vec<PathBuf>>,
    /// Refuse every verb that changes the host [default: false]
    #[arg(long, env = "TRIPLINE_AGENT_READ_ONLY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub read_only: Option<bool>,
    /// Most bytes captured of stdout and of stderr [default and most: 65536]
    #[arg(long, env = "TRIPLINE_AGENT_OUTPUT_BYTES_MAX", value_name = "BYTES")]
    pub output_bytes_max: Option<u64>,
    /// Largest file fetched or written [default: no limit]
    #[arg(long, env = "TRIPLINE_AGENT_FILE_BYTES_MAX", value_name = "BYTES")]
    pub file_bytes_max: Option<u64>,
    /// Labels of this host, beside those that administrators give it at the server
    #[arg(
        long,
        env = "TRIPLINE_AGENT_LABELS",
        value_name = "LABEL,…",
        value_delimiter = ','
    )]
    pub labels: Option<Vec<String>>,
    /// Addresses and ranges (192.0.2.7, 10.0.0.0/8) that stay reachable when this host is isolated
    #[arg(
        long,
        env = "TRIPLINE_AGENT_ISOLATION_ALLOW",
        value_name = "CIDR,…",
        value_delimiter = ','
    )]
    pub isolation_allow: Option<Vec<String>>,
    /// The program nft, which isolates this host [default: looked for in the usual places]
    #[arg(long, env = "TRIPLINE_AGENT_ISOLATION_NFT", value_name = "FILE")]
    pub isolation_nft: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a tracing filter [default: info]
    #[arg(long, env = "TRIPLINE_AGENT_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How log lines look on stderr [default: text]
    #[arg(long, env = "TRIPLINE_AGENT_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Watching processes.
    #[command(flatten)]
    pub watch: WatchOptions,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOptions {
    server: Option<String>,
    ca: Option<PathBuf>,
    enrol_token: Option<String>,
    state_dir: Option<PathBuf>,
    verbs_allowed: Option<Vec<String>>,
    paths_denied: Option<Vec<PathBuf>>,
    read_only: Option<bool>,
    output_bytes_max: Option<u64>,
    file_bytes_max: Option<u64>,
    labels: Option<Vec<String>>,
    isolation_allow: Option<Vec<String>>,
    isolation_nft: Option<PathBuf>,
    littlebrother: Option<String>,
    secret_file: Option<PathBuf>,
    littlebrother_hostname: Option<String>,
    server_group: Option<String>,
    check_interval: Option<Span>,
    scan_interval: Option<Span>,
    scan_command_line: Option<bool>,
    kill_delay: Option<Span>,
    no_watch: Option<bool>,
    #[serde(default)]
    log: FileLog,
}

impl FileOptions {
    fn watch(&self) -> WatchOptions {
        WatchOptions {
            littlebrother: self.littlebrother.clone(),
            secret_file: self.secret_file.clone(),
            littlebrother_hostname: self.littlebrother_hostname.clone(),
            server_group: self.server_group.clone(),
            check_interval: self.check_interval,
            scan_interval: self.scan_interval,
            scan_command_line: self.scan_command_line,
            kill_delay: self.kill_delay,
            no_watch: self.no_watch,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLog {
    level: Option<String>,
    format: Option<LogFormat>,
}

/// How the agent logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A tracing filter; checked.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// The configuration in force.
#[derive(Clone)]
pub struct Config {
    /// Where the server is; `None` only if processes are watched for a LittleBrother server.
    pub server: Option<ServerUrl>,
    /// Certificates to trust; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Needed until the agent is enrolled. A secret.
    pub enrol_token: Option<String>,
    /// Where identity and journal are.
    pub state_dir: PathBuf,
    /// What the agent is allowed to do.
    pub policy: Policy,
    /// Labels that it gives its host.
    pub labels: Vec<Label>,
    /// How its host is isolated.
    pub isolation: isolation::Options,
    /// How it watches processes.
    pub watch: Watch,
    /// How it logs.
    pub log: Log,
}

impl Config {
    /// Puts command line, environment and file together and checks the whole.
    pub fn load(options: Options) -> Result<Self, Error> {
        let file = options
            .config
            .as_deref()
            .map(read_file)
            .transpose()?
            .unwrap_or_default();
        let watch = options.watch.or(file.watch()).check()?;
        let server = given(options.server).or(file.server);
        if server.is_none() && watch.direct.is_none() {
            return Err(Error::Missing {
                key: "server",
                flag: "server",
                variable: "TRIPLINE_AGENT_SERVER",
            });
        }
        let state_dir = options
            .state_dir
            .or(file.state_dir)
            .filter(|path| !path.as_os_str().is_empty());
        let limits = Limits {
            verbs_allowed: options.verbs_allowed.or(file.verbs_allowed),
            paths_denied: options.paths_denied.or(file.paths_denied),
            read_only: options.read_only.or(file.read_only),
            output_bytes_max: options.output_bytes_max.or(file.output_bytes_max),
            file_bytes_max: options.file_bytes_max.or(file.file_bytes_max),
        };
        Ok(Self {
            server: server.map(|server| server.parse()).transpose()?,
            ca: options.ca.or(file.ca).filter(|path| !path.as_os_str().is_empty()),
            enrol_token: given(options.enrol_token).or(file.enrol_token),
            state_dir: state_dir.ok_or(Error::Missing {
                key: "state_dir",
                flag: "state-dir",
                variable: "TRIPLINE_AGENT_STATE_DIR",
            })?,
            policy: limits.check()?,
            labels: labels(&options.labels.or(file.labels).unwrap_or_default())?,
            isolation: isolation(
                &options
                    .isolation_allow
                    .or(file.isolation_allow)
                    .unwrap_or_default(),
                options.isolation_nft.or(file.isolation_nft),
            )?,
            watch,
            log: log(
                given(options.log_level).or(file.log.level),
                options.log_format.or(file.log.format),
            )?,
        })
    }
}

/// An empty value in the environment is as good as none.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

fn read_file(path: &Path) -> Result<FileOptions, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| Error::File {
        path: path.to_path_buf(),
        line: line_of(&text, error.span()),
        // Without the line's text, which may hold the enrolment token.
        message: named(&text, &error),
    })
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    before.matches('\n').count() + 1
}

/// The message, with the key it is about if it does not name it itself.
fn named(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text
        .get(..start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    let key = text
        .get(line..)
        .and_then(|rest| rest.split_once('='))
        .map(|(key, _)| key.trim());
    let message = error.message().trim();
    match key.filter(|key| !key.contains('\n') && !message.contains(&format!("`{key}`"))) {
        Some(key) => format!("{key}: {message}"),
        None => message.to_owned(),
    }
}

struct Limits {
    verbs_allowed: Option<Vec<String>>,
    paths_denied: Option<Vec<PathBuf>>,
    read_only: Option<bool>,
    output_bytes_max: Option<u64>,
    file_bytes_max: Option<u64>,
}

impl Limits {
    fn check(self) -> Result<Policy, Error> {
        let default = Policy::default();
        let paths_denied = self.paths_denied.unwrap_or_default();
        if let Some(path) = paths_denied.iter().find(|path| !is_plain_absolute(path)) {
            return Err(value(
                "paths_denied",
                format!("{} must be absolute and without ..", path.display()),
            ));
        }
        let output_bytes_max = self.output_bytes_max.unwrap_or(default.output_bytes_max);
        if output_bytes_max > OUTPUT_BYTES_MAX as u64 {
            return Err(value(
                "output_bytes_max",
                format!("at most {OUTPUT_BYTES_MAX} are possible"),
            ));
        }
        Ok(Policy {
            verbs_allowed: self.verbs_allowed.map(|names| verbs(&names)).transpose()?,
            paths_denied,
            read_only: self.read_only.unwrap_or(default.read_only),
            output_bytes_max,
            file_bytes_max: self.file_bytes_max.unwrap_or(default.file_bytes_max),
        })
    }
}

fn verbs(names: &[String]) -> Result<Vec<Verb>, Error> {
    let verb = |name: &String| {
        Verb::from_str(name.trim()).map_err(|error| value("verbs_allowed", error.to_string()))
    };
    names
        .iter()
        .filter(|name| !name.trim().is_empty())
        .map(verb)
        .collect()
}

fn labels(words: &[String]) -> Result<Vec<Label>, Error> {
    let words = words.iter().map(|word| word.trim());
    let labels: BTreeSet<Label> = words
        .filter(|word| !word.is_empty())
        .map(|word| Label::from_str(word).map_err(|error| value("labels", error.to_string())))
        .collect::<Result<_, _>>()?;
    if labels.len() > LABELS_MAX {
        return Err(value("labels", format!("at most {LABELS_MAX} are possible")));
    }
    Ok(labels.into_iter().collect())
}

fn isolation(allow: &[String], program: Option<PathBuf>) -> Result<isolation::Options, Error> {
    let words = allow.iter().map(|word| word.trim());
    let allow: Vec<Network> = words
        .filter(|word| !word.is_empty())
        .map(|word| Network::from_str(word).map_err(|error| value("isolation_allow", error.to_string())))
        .collect::<Result<_, _>>()?;
    if let Some(fault) = allow_fault(&allow) {
        return Err(value("isolation_allow", fault));
    }
    let program = program.filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = program.as_ref().filter(|path| !is_plain_absolute(path)) {
        let message = format!("{} must be absolute and without ..", path.display());
        return Err(value("isolation_nft", message));
    }
    Ok(isolation::Options { allow, program })
}

fn log(level: Option<String>, format: Option<LogFormat>) -> Result<Log, Error> {
    let level = level.unwrap_or_else(|| "info".to_owned());
    tracing_subscriber::EnvFilter::try_new(&level)
        .map_err(|error| value("log.level", format!("{level:?} is no level: {error}")))?;
    Ok(Log {
        level,
        format: format.unwrap_or_default(),
    })
}

fn value(key: &'static str, message: String) -> Error {
    Error::Value { key, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, options: Options) -> Result<Config, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, toml).unwrap();
        Config::load(Options {
            config: Some(path),
            ..options
        })
    }

    fn error(toml: &str) -> String {
        load(toml, Options::default()).err().expect("refused").to_string()
    }

    const MINIMAL: &str = "server = 'https://a.example:7443'\nstate_dir = '/var/lib/x'\n";

    #[test]
    fn the_command_line_wins_over_the_file() {
        let toml = format!(
            "{MINIMAL}read_only = true\nfile_bytes_max = 5\n[log]\nlevel = 'debug'\nformat = 'json'\n"
        );
        let options = Options {
            file_bytes_max: Some(9),
            ..Options::default()
        };
        let config = load(&toml, options).unwrap();
        assert_eq!(config.server.unwrap().to_string(), "https://a.example:7443");
        assert_eq!((config.policy.read_only, config.policy.file_bytes_max), (true, 9));
        assert_eq!(
            config.log,
            Log {
                level: "debug".into(),
                format: LogFormat::Json
            }
        );
    }

    #[test]
    fn labels_are_there_once_and_in_order() {
        let config = load(
            &format!("{MINIMAL}labels = ['web', ' dmz', '', 'web']\n"),
            Options::default(),
        );
        let labels: Vec<String> = config.unwrap().labels.iter().map(Label::to_string).collect();
        assert_eq!(labels, ["dmz", "web"]);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = error(&format!("{MINIMAL}read_onyl = true\n"));
        assert!(
            text.contains("agent.toml:3: ") && text.contains("read_onyl"),
            "{text}"
        );
        let text = error(&format!("{MINIMAL}[log]\nlevle = 'info'\n"));
        assert!(
            text.contains("agent.toml:4: ") && text.contains("levle"),
            "{text}"
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_line_and_without_the_value() {
        let text = error(&format!("{MINIMAL}\nread_only = 'yes'\n"));
        assert!(text.contains("agent.toml:4: read_only"), "{text}");
        let text = error(&format!("{MINIMAL}enrol_token = ['hunter2']\n"));
        assert!(
            text.contains("enrol_token") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn bad_values_name_their_key() {
        assert!(error("state_dir = '/x'\n").starts_with("server is missing"));
        assert!(error("server = 'https://a'\n").starts_with("state_dir is missing"));
        assert!(error("server = 'http://a'\nstate_dir = '/x'\n").starts_with("server: "));
        assert!(error(&format!("{MINIMAL}verbs_allowed = ['get_fiel']\n")).starts_with("verbs_allowed: "));
        assert!(error(&format!("{MINIMAL}paths_denied = ['etc']\n")).starts_with("paths_denied: "));
        assert!(error(&format!("{MINIMAL}paths_denied = ['/a/../b']\n")).starts_with("paths_denied: "));
        assert!(error(&format!("{MINIMAL}output_bytes_max = 65537\n")).starts_with("output_bytes_max: "));
        assert!(error(&format!("{MINIMAL}log.level = 'a=b=c'\n")).starts_with("log.level: "));
        assert!(error(&format!("{MINIMAL}labels = ['a b']\n")).starts_with("labels: "));
        assert!(error(&format!("{MINIMAL}isolation_allow = ['web01']\n")).starts_with("isolation_allow: "));
        assert!(error(&format!("{MINIMAL}isolation_allow = ['::/0']\n")).contains("every address"));
        assert!(error(&format!("{MINIMAL}isolation_nft = 'nft'\n")).starts_with("isolation_nft: "));
        let many: Vec<String> = (0..65).map(|n| format!("'l{n}'")).collect();
        assert!(
            error(&format!("{MINIMAL}labels = [{}]\n", many.join(","))).starts_with("labels: at most 64")
        );
        let text = error(&format!("{MINIMAL}check_interval = '5'\n"));
        assert!(text.contains("agent.toml:3: check_interval"), "{text}");
    }

    #[test]
    fn processes_can_be_watched_without_a_server_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "abcdef").unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let toml = format!(
            "littlebrother = 'http://master.example:5555'\nsecret_file = '{}'\nstate_dir = '/x'\nscan_interval = '20s'\n",
            secret.display()
        );
        let options = Options {
            watch: WatchOptions {
                scan_interval: Some(Span::from_secs(30)),
                ..WatchOptions::default()
            },
            ..Options::default()
        };
        let config = load(&toml, options).unwrap();
        assert!(config.server.is_none());
        assert_eq!(config.watch.scan_interval.as_secs(), 30);
        assert_eq!(config.watch.direct.unwrap().secret, "abcdef");
        assert!(error(&format!("{toml}no_watch = true\n")).starts_with("server is missing"));
    }
}
