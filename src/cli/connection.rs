//! Finds the server, its certificate authority and the token: from options, the environment, or what a
//! local server left in its data directory.

use super::Global;
use super::failure::{Failure, chain};
use crate::config::Secret;
use crate::endpoints::Endpoints;
use reqwest::{Certificate, Client, Url};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SERVER_DEFAULT: &str = "https://127.0.0.1:7443";
const PLAIN_DEFAULT: &str = "http://127.0.0.1:7400";
const DATA_DIR_DEFAULT: &str = "./tripline-data";
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Where and as whom to ask.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) http: Client,
    pub(super) server: Url,
    pub(super) token: Secret,
    trust: Trust,
}

/// Whom to trust, with certificates in PEM form.
#[derive(Debug)]
enum Trust {
    System,
    Only(Vec<u8>),
    AlsoOf(Vec<u8>),
}

impl Connection {
    /// Finds everything; asks nobody yet.
    pub(super) fn find(global: &Global) -> Result<Self, Failure> {
        let data_dir = data_dir(global);
        let server = server(global, &data_dir)?;
        let trust = trust(global, &server, &data_dir)?;
        let http = client(&trust)?;
        let token = token(global, &server, &data_dir)?;
        Ok(Self {
            http,
            server,
            token,
            trust,
        })
    }

    /// The server's data directory, when it is the one of this machine that left its addresses there.
    pub(super) fn local_data_dir(&self, global: &Global) -> Option<PathBuf> {
        let data_dir = data_dir(global);
        let endpoints = Endpoints::read(&data_dir)?;
        let ports = [endpoints.http.port(), endpoints.https.port()].map(Some);
        let has_its_port =
            || is_loopback(&self.server) && ports.contains(&self.server.port_or_known_default());
        (global.server.is_none() || has_its_port()).then_some(data_dir)
    }

    /// The same server and caller, for what a [`tripline_client::Client`] does; asks whether they are right.
    pub(super) async fn client(
        &self,
        org: Option<&str>,
    ) -> Result<tripline_client::Client, tripline_client::Error> {
        let builder = || {
            let builder = tripline_client::Client::builder(self.server.as_str())
                .token(self.token.expose())
                // The command line uses plain HTTP where it is told to; its server allows it or does not listen.
                .allow_plaintext(true)
                .connect_timeout(CONNECT_TIMEOUT)
                .request_timeout(REQUEST_TIMEOUT);
            match org {
                Some(org) => builder.org(org),
                None => builder,
            }
        };
        match &self.trust {
            Trust::System => builder().connect().await,
            Trust::Only(pem) => builder().ca_pem(pem.as_slice()).connect().await,
            Trust::AlsoOf(pem) => match builder().connect().await {
                Err(error) if error.code() == "untrusted_certificate" => {
                    builder().ca_pem(pem.as_slice()).connect().await
                }
                outcome => outcome,
            },
        }
    }
}

/// A server that is asked for nothing that needs a token: the one that was named, or the local one, over plain HTTP,
/// which is always there on this machine and needs no CA.
pub(super) fn without_token(global: &Global) -> Result<(Client, Url), Failure> {
    let data_dir = data_dir(global);
    let global = Global {
        server: global.server.clone().or_else(|| {
            let local = Endpoints::read(&data_dir).map(|endpoints| endpoints.url());
            local.or_else(|| Some(PLAIN_DEFAULT.to_owned()))
        }),
        ..global.clone()
    };
    let server = server(&global, &data_dir)?;
    let trust = trust(&global, &server, &data_dir)?;
    Ok((client(&trust)?, server))
}

/// The local server's folder.
pub(super) fn data_dir(global: &Global) -> PathBuf {
    global.data_dir.clone().unwrap_or_else(|| DATA_DIR_DEFAULT.into())
}

fn server(global: &Global, data_dir: &Path) -> Result<Url, Failure> {
    let text = match &global.server {
        Some(text) => text.clone(),
        None => Endpoints::read(data_dir)
            .map_or_else(|| SERVER_DEFAULT.to_owned(), |endpoints| endpoints.tls_url()),
    };
    let expected = "expected a URL such as https://tripline.example:7443";
    let url =
        Url::parse(&text).map_err(|error| Failure::Input(format!("--server {text}: {error}; {expected}")))?;
    match url.scheme() {
        "https" | "http" if url.has_host() => Ok(url),
        _ => Err(Failure::Input(format!("--server {text}: {expected}"))),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A CA that was given alone counts; that of a local server is for this machine, and one more for others.
fn trust(global: &Global, server: &Url, data_dir: &Path) -> Result<Trust, Failure> {
    let local_ca = data_dir.join("tls").join("ca.pem");
    match &global.ca {
        Some(path) => read_ca(path).map(Trust::Only),
        None if local_ca.exists() && is_loopback(server) => read_ca(&local_ca).map(Trust::Only),
        None if local_ca.exists() => read_ca(&local_ca).map(Trust::AlsoOf),
        None => Ok(Trust::System),
    }
}

fn read_ca(path: &Path) -> Result<Vec<u8>, Failure> {
    let pem = std::fs::read(path)
        .map_err(|error| Failure::Input(format!("cannot read the CA {}: {error}", path.display())))?;
    match certificates(&pem) {
        Some(_) => Ok(pem),
        None => Err(Failure::Input(format!(
            "the CA {} has no certificate in PEM form",
            path.display()
        ))),
    }
}

/// The certificates of a CA's file.
pub(super) fn certificates_of(path: &Path) -> Result<Vec<Certificate>, Failure> {
    Ok(certificates(&read_ca(path)?).unwrap_or_default())
}

fn certificates(pem: &[u8]) -> Option<Vec<Certificate>> {
    let certificates = Certificate::from_pem_bundle(pem).ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

fn client(trust: &Trust) -> Result<Client, Failure> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT);
    let builder = match trust {
        Trust::System => builder,
        Trust::Only(pem) => builder.tls_certs_only(certificates(pem).unwrap_or_default()),
        Trust::AlsoOf(pem) => builder.tls_certs_merge(certificates(pem).unwrap_or_default()),
    };
    builder
        .build()
        .map_err(|error| Failure::Failed(format!("cannot set up TLS: {}", chain(&error))))
}

/// A token that was given counts; the local administrator's own is sent to nobody but this machine.
fn token(global: &Global, server: &Url, data_dir: &Path) -> Result<Secret, Failure> {
    if let Some(path) = &global.token_file {
        return read_token(path)
            .map_err(|error| Failure::Input(format!("cannot read the token {}: {error}", path.display())));
    }
    if let Ok(text) = std::env::var("TRIPLINE_TOKEN")
        && !text.trim().is_empty()
    {
        return Ok(Secret::new(text.trim()));
    }
    let local = data_dir.join("admin.token");
    let missing = |why: &str| {
        Failure::Unavailable(format!(
            "no token for {server}: {why}; give one with --token-file or TRIPLINE_TOKEN"
        ))
    };
    if !is_loopback(server) {
        return Err(missing(
            "the local administrator's token is only for this machine",
        ));
    }
    read_token(&local).map_err(|error| missing(&format!("{}: {error}", local.display())))
}

fn read_token(path: &Path) -> std::io::Result<Secret> {
    let text = std::fs::read_to_string(path)?;
    match text.trim() {
        "" => Err(std::io::Error::other("the file is empty")),
        token => Ok(Secret::new(token)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(server: &str) -> Global {
        Global {
            server: Some(server.to_owned()),
            ..Global::default()
        }
    }

    #[test]
    fn a_server_that_is_no_url_is_refused() {
        for server in ["", "tripline", "ftp://x", "https://", "127.0.0.1:7443"] {
            let failure = super::server(&global(server), Path::new(".")).unwrap_err();
            assert_eq!(failure.code(), 2, "{server}: {failure:?}");
        }
    }

    #[test]
    fn a_running_local_server_is_found_by_the_file_it_left() {
        let folder = tempfile::tempdir().unwrap();
        let none = Global::default();
        assert_eq!(
            server(&none, folder.path()).unwrap().as_str(),
            "https://127.0.0.1:7443/"
        );
        let endpoints = Endpoints {
            pid: 1,
            http: ([127, 0, 0, 1], 80).into(),
            https: ([127, 0, 0, 1], 4433).into(),
            littlebrother: None,
        };
        endpoints.write(folder.path()).unwrap();
        assert_eq!(
            server(&none, folder.path()).unwrap().as_str(),
            "https://127.0.0.1:4433/"
        );
    }

    #[test]
    fn a_server_is_that_of_the_data_directory_if_it_has_its_address_on_this_machine() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let is_local = |server: Option<&str>| {
            let connection = Connection {
                http: client(&Trust::System).unwrap(),
                server: Url::parse(server.unwrap_or(SERVER_DEFAULT)).unwrap(),
                token: Secret::new("x"),
                trust: Trust::System,
            };
            let global = Global {
                server: server.map(str::to_owned),
                data_dir: Some(dir.to_owned()),
                ..Global::default()
            };
            connection.local_data_dir(&global).is_some()
        };
        assert!(!is_local(None), "nothing says that one runs there");
        let endpoints = Endpoints {
            pid: 1,
            http: ([127, 0, 0, 1], 7400).into(),
            https: ([192, 0, 2, 1], 443).into(),
            littlebrother: None,
        };
        endpoints.write(dir).unwrap();
        for (server, expected) in [
            (None, true),
            (Some("http://localhost:7400"), true),
            (Some("https://[::1]"), true),
            (Some("http://127.0.0.1:7401"), false),
            (Some("https://tripline.example"), false),
        ] {
            assert_eq!(is_local(server), expected, "{server:?}");
        }
    }

    #[test]
    fn the_local_administrators_token_is_not_sent_to_another_machine() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("admin.token"), "secret\n").unwrap();
        let here = Url::parse("https://localhost:7443").unwrap();
        let there = Url::parse("https://tripline.example:7443").unwrap();
        assert_eq!(
            token(&Global::default(), &here, folder.path()).unwrap().expose(),
            "secret"
        );
        assert_eq!(
            token(&Global::default(), &there, folder.path())
                .unwrap_err()
                .code(),
            3
        );
    }

    #[test]
    fn a_token_file_that_cannot_be_read_or_is_empty_is_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        let server = Url::parse("https://localhost").unwrap();
        let path = folder.path().join("token");
        let given = Global {
            token_file: Some(path.clone()),
            ..Global::default()
        };
        assert_eq!(token(&given, &server, folder.path()).unwrap_err().code(), 2);
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(token(&given, &server, folder.path()).unwrap_err().code(), 2);
    }
}
