//! What the environment says.

use crate::config::{Config, Secret};
use crate::nats::NatsOptions;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::str::FromStr;
use tripline_protocol::limacharlie::ServiceEtype;

const SECRET: &str = "TRIPLINE_SERVICE_SECRET";
const SECRET_FILE: &str = "TRIPLINE_SERVICE_SECRET_FILE";
const DETECTIONS: &str = "TRIPLINE_FUNCTION_DETECTIONS";
const ETYPES: &str = "TRIPLINE_FUNCTION_ETYPES";
/// What the names of all of them begin with.
const OWN: &str = "TRIPLINE_";
/// Keys of the server's configuration that count here, too.
const NATS: &str = "TRIPLINE__NATS__";
const ETYPES_DEFAULT: &str = "detection,new_sensor,deployment_event,log_event,service_error";

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) secret: Secret,
    pub(super) detections: Vec<String>,
    pub(super) etypes: Vec<ServiceEtype>,
    pub(super) nats: NatsOptions,
}

/// Why the environment will not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{SECRET} or {SECRET_FILE} must be set, and not be empty")]
    NoSecret,
    #[error("{SECRET_FILE}: {path}")]
    SecretFile {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{ETYPES}: {0:?} is no etype that is an event")]
    Etype(String),
    #[error("TRIPLINE__NATS__URL must be set")]
    NoBroker,
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    #[error("TRIPLINE__NATS__…")]
    Nats(#[source] crate::config::Error),
}

impl Settings {
    pub(super) fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Error> {
        let variables = own(variables)?;
        let listed = |name: &str, default: &'static str| -> Vec<String> {
            let text = variables.get(name).map_or(default, String::as_str);
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        let etypes = listed(ETYPES, ETYPES_DEFAULT)
            .into_iter()
            .map(|word| match ServiceEtype::from_str(&word) {
                Ok(etype) if is_event(etype) => Ok(etype),
                _ => Err(Error::Etype(word)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            secret: secret(&variables)?,
            detections: listed(DETECTIONS, ""),
            etypes,
            nats: nats(&variables)?,
        })
    }
}

/// The variables that may count here; whatever others there are, in whatever bytes, is nobody's concern.
fn own(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<BTreeMap<String, String>, Error> {
    let mut own = BTreeMap::new();
    for (name, value) in variables {
        let shown = name.to_string_lossy().into_owned();
        if shown.starts_with(OWN) {
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else {
                return Err(Error::NotUtf8(shown));
            };
            own.insert(name, value);
        }
    }
    Ok(own)
}

/// Whether publishing it is all there is to it.
fn is_event(etype: ServiceEtype) -> bool {
    matches!(
        etype,
        ServiceEtype::Detection
            | ServiceEtype::NewSensor
            | ServiceEtype::DeploymentEvent
            | ServiceEtype::LogEvent
            | ServiceEtype::ServiceError
            | ServiceEtype::Tick(..)
    )
}

fn secret(variables: &BTreeMap<String, String>) -> Result<Secret, Error> {
    let text = match (variables.get(SECRET), variables.get(SECRET_FILE)) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|source| Error::SecretFile {
            path: path.clone(),
            source,
        })?,
        (None, None) => return Err(Error::NoSecret),
    };
    // What an editor puts at the end of a file is not of the secret.
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Error::NoSecret),
        secret => Ok(Secret::new(secret)),
    }
}

fn nats(variables: &BTreeMap<String, String>) -> Result<NatsOptions, Error> {
    let of_nats = variables.iter().filter(|(name, _)| name.starts_with(NATS));
    let config = Config::load(None, of_nats.map(|(name, value)| (name.clone(), value.clone())));
    let nats = config.map_err(Error::Nats)?.nats;
    Ok(NatsOptions {
        url: nats.url.ok_or(Error::NoBroker)?.as_str().to_owned(),
        user: nats.user,
        password: nats.password.map(|password| password.expose().to_owned()),
        credentials: nats.credentials,
        ca: nats.ca,
        subjects: nats.subject_prefix,
        // The server makes the streams.
        stream_bytes_max: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let owned = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        Settings::read(variables.iter().map(owned))
    }

    const BROKER: (&str, &str) = ("TRIPLINE__NATS__URL", "nats://broker:4222");

    #[test]
    fn what_is_set_counts_and_the_rest_has_its_default() {
        let settings = read(&[
            BROKER,
            (SECRET, "s"),
            (DETECTIONS, "a, b,"),
            ("TRIPLINE__NATS__SUBJECT_PREFIX", "x"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.detections, ["a", "b"]);
        assert_eq!(settings.etypes.len(), 5);
        assert_eq!(settings.nats.subjects.prefix(), "x");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from a file\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = read(&[BROKER, (SECRET_FILE, path), (ETYPES, "org_per_1h")]).unwrap();
        assert_eq!(settings.secret.expose(), "from a file");
        assert_eq!(settings.etypes.len(), 1);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let said = |variables: &[(&str, &str)]| crate::cli::chain(&read(variables).unwrap_err());
        assert!(said(&[BROKER]).contains(SECRET));
        assert!(said(&[BROKER, (SECRET, "\n")]).contains(SECRET));
        assert!(said(&[BROKER, (SECRET_FILE, "/nowhere")]).contains("/nowhere"));
        assert!(said(&[(SECRET, "s")]).contains("TRIPLINE__NATS__URL"));
        assert!(said(&[BROKER, (SECRET, "s"), ("TRIPLINE__NATS__URLS", "x")]).contains("urls"));
        for etype in ["Detection", "health", "request", "org_uninstall"] {
            assert!(said(&[BROKER, (SECRET, "s"), (ETYPES, etype)]).contains(etype));
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_an_error_where_they_count_and_nothing_elsewhere() {
        use std::os::unix::ffi::OsStringExt;
        let read = |name: &str| {
            let no_text: OsString = OsString::from_vec(vec![b's', 0xff]);
            let all = [
                (BROKER.0.into(), BROKER.1.into()),
                (SECRET.into(), "s".into()),
                (name.into(), no_text),
            ];
            Settings::read(all)
        };
        assert!(read("PS1").is_ok());
        let error = read(DETECTIONS).unwrap_err();
        assert!(
            matches!(&error, Error::NotUtf8(name) if name == DETECTIONS),
            "{error}"
        );
    }

    #[test]
    fn nothing_shows_the_secret() {
        let settings = read(&[
            BROKER,
            (SECRET, "sesame"),
            ("TRIPLINE__NATS__USER", "u"),
            ("TRIPLINE__NATS__PASSWORD", "open"),
        ]);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("sesame") && !shown.contains("open"), "{shown}");
    }
}
