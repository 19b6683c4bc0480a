//! The services of the configuration, with what their files hold.

use super::caller::Authorities;
use crate::config::{Service, Tables};
use reqwest::Certificate;
use std::io;
use std::path::{Path, PathBuf};
use tripline_actors::Registration;
use tripline_actors::ports::ServiceSecret;
use tripline_protocol::Name;
use tripline_protocol::api::SERVICE_SECRET_BYTES;

/// Longest file that is read, in bytes: more is neither a secret nor some certificates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Services as they are registered, and the CAs of those that have their own.
#[derive(Debug, Default)]
pub struct Configured {
    /// The services.
    pub services: Vec<Registration>,
    /// CAs by the name of the service.
    pub(crate) authorities: Authorities,
}

/// What is wrong with a file that `[[services]]` names.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("read {key} = {} of the service {service}", path.display())]
    Unreadable {
        /// The key that names it.
        key: &'static str,
        /// Whose.
        service: Name,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has something else.
    #[error("use {key} = {} of the service {service}: {problem}", path.display())]
    Unfit {
        /// The key that names it.
        key: &'static str,
        /// Whose.
        service: Name,
        /// The file.
        path: PathBuf,
        /// What it must be.
        problem: String,
    },
}

/// Reads the files that services name. Blocks.
///
/// # Errors
/// One cannot be read, or has no secret or certificate.
pub fn configured(services: &Tables<Service>) -> Result<Configured, Error> {
    let mut all = Configured::default();
    for service in services.iter() {
        if let Some(path) = &service.ca {
            let own = certificates(service, path)?;
            all.authorities.insert(service.name.clone(), own);
        }
        all.services.push(Registration {
            spec: service.spec(),
            secret: secret(service)?,
        });
    }
    Ok(all)
}

fn secret(service: &Service) -> Result<ServiceSecret, Error> {
    let Some(path) = &service.secret_file else {
        // One of both is there: the configuration was checked.
        let secret = service.secret.as_ref().map_or("", |secret| secret.expose());
        return Ok(ServiceSecret::new(secret));
    };
    let file = File {
        key: "secret_file",
        service,
        path,
    };
    let bytes = file.read()?;
    let text = str::from_utf8(&bytes).map_err(|_| file.unfit("it must be text"))?;
    // An editor ends the last line.
    let text = text.trim_end_matches(['\r', '\n']);
    if !SERVICE_SECRET_BYTES.contains(&text.len()) {
        let (least, most) = (SERVICE_SECRET_BYTES.start(), SERVICE_SECRET_BYTES.end());
        return Err(file.unfit(format!("it must have {least} to {most} bytes")));
    }
    Ok(ServiceSecret::new(text))
}

fn certificates(service: &Service, path: &Path) -> Result<Vec<Certificate>, Error> {
    let file = File {
        key: "ca",
        service,
        path,
    };
    let pem = file.read()?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(own) if !own.is_empty() => Ok(own),
        Ok(_) => Err(file.unfit("there is no certificate (PEM) in it")),
        Err(error) => Err(file.unfit(crate::cli::chain(&error))),
    }
}

/// A file, and who names it.
struct File<'s> {
    key: &'static str,
    service: &'s Service,
    path: &'s Path,
}

impl File<'_> {
    fn read(&self) -> Result<Vec<u8>, Error> {
        use std::io::Read;
        let mut bytes = Vec::new();
        let read = std::fs::File::open(self.path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
                Err(self.unfit(format!("it is longer than {FILE_BYTES_MAX} bytes")))
            }
            Ok(_) => Ok(bytes),
            Err(source) => Err(Error::Unreadable {
                key: self.key,
                service: self.service.name.clone(),
                path: self.path.to_owned(),
                source,
            }),
        }
    }

    fn unfit(&self, problem: impl Into<String>) -> Error {
        Error::Unfit {
            key: self.key,
            service: self.service.name.clone(),
            path: self.path.to_owned(),
            problem: problem.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What comes of one service with these lines, of which the folder is `DIR`.
    fn of(folder: &Path, lines: &str) -> Result<Configured, String> {
        let lines = lines.replace("DIR", &folder.display().to_string());
        let path = folder.join("tripline.toml");
        let text = format!("[[services]]\nname = \"yara\"\nurl = \"https://svc.example/\"\n{lines}\n");
        std::fs::write(&path, text).expect("written");
        let config = Config::load(Some(&path), []).expect("a configuration");
        configured(&config.general.services).map_err(|error| crate::cli::chain(&error))
    }

    #[test]
    fn a_secret_is_in_the_configuration_or_in_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("secret"), " two words \r\n").expect("written");
        for (lines, expected) in [
            ("secret = \"sesame\"", "sesame"),
            ("secret_file = \"DIR/secret\"", " two words "),
        ] {
            let all = of(folder.path(), lines).expect("right");
            assert_eq!(all.services[0].secret.reveal(), expected);
            assert_eq!(all.services[0].spec.name.as_str(), "yara");
        }
    }

    #[test]
    fn a_file_that_is_none_or_has_something_else_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, content: &[u8]| {
            std::fs::write(folder.path().join(name), content).expect("written");
        };
        write("empty", b"\n");
        write("long", &[b'x'; 1025]);
        write("binary", &[0xff]);
        write(
            "huge",
            &vec![b'x'; usize::try_from(FILE_BYTES_MAX).expect("small") + 1],
        );
        write("none.pem", b"hello");
        for (lines, expected) in [
            ("secret_file = \"DIR/nowhere\"", "read secret_file = "),
            ("secret_file = \"DIR/empty\"", "it must have 1 to 1024 bytes"),
            ("secret_file = \"DIR/long\"", "it must have 1 to 1024 bytes"),
            ("secret_file = \"DIR/binary\"", "it must be text"),
            ("secret_file = \"DIR/huge\"", "it is longer than 1048576 bytes"),
            ("secret = \"x\"\nca = \"DIR/nowhere\"", "read ca = "),
            (
                "secret = \"x\"\nca = \"DIR/none.pem\"",
                "there is no certificate (PEM) in it",
            ),
        ] {
            let why = of(folder.path(), lines).expect_err(lines);
            assert!(
                why.contains(expected) && why.contains("of the service yara"),
                "{why}"
            );
        }
    }
}
