//! How to reach a server, and as whom.

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{Http, Timing};
use crate::secret::Secret;
use crate::tls;
use reqwest::Url;
use reqwest::redirect::Policy;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tripline_protocol::Org;

/// Where a text comes from.
#[derive(Debug, Clone)]
enum Given<T> {
    Itself(T),
    InFile(PathBuf),
}

/// Makes a [`Client`]. Made by [`Client::builder`].
///
/// ```no_run
/// # async fn example() -> tripline_client::Result<()> {
/// let client = tripline_client::Client::builder("https://tripline.example:7443")
///     .token_file("/etc/tripline/script.token")
///     .ca_file("/etc/tripline/ca.pem")
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing before connect or build"]
pub struct Builder {
    url: String,
    token: Option<Given<Secret>>,
    ca: Option<Given<Vec<u8>>>,
    org: Option<String>,
    allow_plaintext: bool,
    connect_timeout: Duration,
    timing: Timing,
}

impl Builder {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            ca: None,
            org: None,
            allow_plaintext: false,
            connect_timeout: Duration::from_secs(5),
            timing: Timing::default(),
        }
    }

    /// The token to show, as `tripline token create` prints it. Blanks around it do not count.
    pub fn token(mut self, token: impl AsRef<str>) -> Self {
        self.token = Some(Given::Itself(Secret::new(token.as_ref().trim())));
        self
    }

    /// A file with the token, read when the client is made.
    pub fn token_file(mut self, path: impl AsRef<Path>) -> Self {
        self.token = Some(Given::InFile(path.as_ref().to_owned()));
        self
    }

    /// A file with the certificate of the authority that signed the server's, in PEM form. It alone is trusted
    /// then. Without one the system's authorities are.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.ca = Some(Given::InFile(path.as_ref().to_owned()));
        self
    }

    /// The same, given as it is.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Given::Itself(pem.into()));
        self
    }

    /// The org in which to look for hosts and to work. Default: the token's own, else `default`.
    pub fn org(mut self, org: impl Into<String>) -> Self {
        self.org = Some(org.into());
        self
    }

    /// Whether plain `http://` is used to another machine, too. The token and all contents can be read on the
    /// way then. To this machine it is always allowed. Default: false.
    pub fn allow_plaintext(mut self, allow: bool) -> Self {
        self.allow_plaintext = allow;
        self
    }

    /// How long a connection may take to be made. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the answer to a request may take, beyond the time the server is asked to hold it. A transfer of
    /// a file may take as long as it goes on; it is given up when nothing moved for that long. Default: 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.timing.request = timeout;
        self
    }

    /// How long something that may be asked again is asked again, with growing pauses, when the connection breaks
    /// or the server is busy or restarts. Zero: never. Default: 60 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.timing.patience = patience;
        self
    }

    /// Makes the client and checks that the server answers and that the token is in force, once and without
    /// patience.
    ///
    /// Fails as [`Builder::build`] does, and with [`Error::Server`]: `unreachable`, `no_answer`,
    /// `untrusted_certificate`, `unauthenticated` (no such token), `forbidden` (one that may not even read).
    pub async fn connect(self) -> Result<Client> {
        let client = self.build()?;
        client.check().await?;
        Ok(client)
    }

    /// Makes the client and asks nobody.
    ///
    /// Fails with [`Error::Unsupported`]: `bad_url`, `plaintext`, `no_token`, `bad_token`, `bad_ca`, `bad_org`; and
    /// with [`Error::Server`] `local_io` for a file that cannot be read.
    pub fn build(self) -> Result<Client> {
        let url = self.server()?;
        let token = self.secret()?;
        let org = self.tenant()?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(&url)?)
            .redirect(Policy::none())
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .user_agent(concat!("tripline-client/", env!("CARGO_PKG_VERSION")));
        // A proxy would see the token in plain text, and has no business on the way to this machine.
        let http = match url.scheme() {
            "https" => http,
            _ => http.no_proxy(),
        };
        let http = http.build().map_err(|error| {
            Error::server("tls", format!("the connection cannot be set up: {error}")).because(error)
        })?;
        Ok(Client::new(Http::new(http, url, token, self.timing), org))
    }

    fn server(&self) -> Result<Url> {
        let bad =
            |why: &dyn std::fmt::Display| Error::unsupported("bad_url", format!("{:?}: {why}", self.url));
        let url = Url::parse(&self.url).map_err(|error| bad(&error).because(error))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                Error::unsupported("bad_url", "a URL with a user or password in it")
                    .advise("give the token with Builder::token"),
            );
        }
        match url.scheme() {
            "https" if url.has_host() => Ok(url),
            "http" if url.has_host() && (self.allow_plaintext || is_loopback(&url)) => Ok(url),
            "http" if url.has_host() => {
                let text = format!("{} is plain http to another machine", self.url);
                Err(Error::unsupported("plaintext", text))
            }
            _ => Err(bad(&"neither https nor http")),
        }
    }

    fn secret(&self) -> Result<Secret> {
        let token = match &self.token {
            None => return Err(Error::unsupported("no_token", "no token was given")),
            Some(Given::Itself(token)) => token.clone(),
            Some(Given::InFile(path)) => Secret::new(read(path, "token")?.trim_ascii_text()?),
        };
        match token.expose() {
            "" => Err(Error::unsupported("no_token", "the token is empty")),
            text if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token),
            _ => Err(
                Error::unsupported("bad_token", "the token has characters that no token has")
                    .advise("give it as tripline token create printed it"),
            ),
        }
    }

    fn tenant(&self) -> Result<Option<Org>> {
        let org = self.org.as_deref().map(str::parse::<Org>).transpose();
        org.map_err(|error| {
            Error::unsupported("bad_org", error.to_string())
                .because(error)
                .advise("give the org as the server knows it")
        })
    }

    fn tls(&self, url: &Url) -> Result<rustls::ClientConfig> {
        match &self.ca {
            Some(Given::Itself(pem)) => tls::trusting(pem),
            Some(Given::InFile(path)) => tls::trusting(&read(path, "CA")?.0),
            None if url.scheme() == "http" => tls::trusting_nobody(),
            None => tls::trusting_the_system(),
        }
    }
}

/// What was in a file.
struct Content(Vec<u8>);

impl Content {
    fn trim_ascii_text(&self) -> Result<&str> {
        std::str::from_utf8(self.0.trim_ascii())
            .map_err(|error| Error::unsupported("bad_token", "the token file is no text").because(error))
    }
}

fn read(path: &Path, what: &str) -> Result<Content> {
    let content = std::fs::read(path);
    content
        .map(Content)
        .map_err(|error| Error::local(format_args!("read the {what} file {}", path.display()), error))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: Builder) -> String {
        builder.build().unwrap_err().code().to_owned()
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for url in [
            "",
            "tripline",
            "127.0.0.1:7443",
            "ftp://x",
            "https://",
            "file:///etc",
        ] {
            assert_eq!(refused(Client::builder(url).token("t")), "bad_url", "{url:?}");
        }
        let error = Client::builder("https://me:secret@x")
            .token("t")
            .build()
            .unwrap_err();
        assert_eq!(error.code(), "bad_url");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn plain_http_goes_to_this_machine_only_unless_it_is_wanted() {
        for here in [
            "http://127.0.0.1:7400",
            "http://localhost",
            "http://[::1]:1",
            "http://127.8.9.1",
        ] {
            Client::builder(here).token("t").build().unwrap();
        }
        for there in [
            "http://tripline.example",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
        ] {
            let builder = Client::builder(there).token("t");
            assert_eq!(refused(builder.clone()), "plaintext", "{there}");
            builder.allow_plaintext(true).build().unwrap();
        }
    }

    #[test]
    fn a_token_is_needed_and_looks_like_one() {
        let builder = || Client::builder("https://x");
        assert_eq!(refused(builder()), "no_token");
        assert_eq!(refused(builder().token(" \n")), "no_token");
        assert_eq!(refused(builder().token("two words")), "bad_token");
        assert_eq!(refused(builder().token("a\u{0}b")), "bad_token");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert_eq!(refused(builder().token_file(&path)), "local_io");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(refused(builder().token_file(&path)), "bad_token");
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(refused(builder().token_file(&path)), "no_token");
        std::fs::write(&path, "abc.def\n").unwrap();
        builder().token_file(&path).build().unwrap();
    }

    #[test]
    fn a_token_is_never_shown() {
        let builder = Client::builder("https://x").token("hidden");
        let client = builder.clone().build().unwrap();
        for shown in [
            format!("{builder:?}"),
            format!("{client:?}"),
            format!("{:?}", client.http()),
        ] {
            assert!(!shown.contains("hidden"), "{shown}");
        }
    }

    #[test]
    fn an_authority_is_a_certificate_and_an_org_a_name() {
        let builder = || Client::builder("https://x").token("t");
        assert_eq!(refused(builder().ca_pem("no certificate")), "bad_ca");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(refused(builder().ca_pem(broken)), "bad_ca");
        assert_eq!(refused(builder().ca_file("/nowhere/ca.pem")), "local_io");
        assert_eq!(refused(builder().org("a/b")), "bad_org");
    }
}
