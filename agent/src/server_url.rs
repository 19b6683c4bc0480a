//! Where the server is, and the rule that plain HTTP stays on this machine.

use reqwest::Url;
use std::str::FromStr;

/// A server's base URL: `https://HOST[:PORT]`, or `http://` to loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Why a text is no server URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServer {
    /// Not a URL, or without a host.
    #[error("{0:?} is no URL such as https://tripline.example:7443")]
    NoUrl(String),
    /// Neither https nor http.
    #[error("{0:?} must begin with https:// (or http:// for a server on loopback)")]
    Scheme(String),
    /// Plain HTTP to another machine.
    #[error("{0:?} would send the agent's key unencrypted: http:// is only for loopback, use https://")]
    Plaintext(String),
    /// With user, query or fragment.
    #[error("{0:?} must not have a user, query or fragment")]
    Extras(String),
}

impl FromStr for ServerUrl {
    type Err = InvalidServer;
    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let url = Self::with_plaintext(text)?;
        if !url.is_tls() && !url.is_loopback() {
            return Err(InvalidServer::Plaintext(text.to_owned()));
        }
        Ok(url)
    }
}

impl ServerUrl {
    /// Reads one that may be `http://` to anywhere: a LittleBrother server speaks nothing else.
    ///
    /// # Errors
    /// It is no URL of a server.
    pub fn with_plaintext(text: &str) -> Result<Self, InvalidServer> {
        let owned = || text.to_owned();
        let mut url = Url::parse(text).map_err(|_| InvalidServer::NoUrl(owned()))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(InvalidServer::Scheme(owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // Not shown: it may hold a password.
            return Err(InvalidServer::Extras(
                url.host_str().unwrap_or_default().to_owned(),
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidServer::Extras(owned()));
        }
        // One with slashes at its end is the same server as one without.
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.parse::<std::net::IpAddr>();
        address.map_or(host == "localhost", |address| address.is_loopback())
    }

    /// Its host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        let host = self.0.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        // Both schemes there can be have one.
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Whether TLS is used.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of `path` (without a leading slash) on the server.
    pub fn http(&self, path: &str) -> String {
        format!("{}/{path}", self.0.as_str().trim_end_matches('/'))
    }

    /// The same as a WebSocket URL.
    pub fn web_socket(&self, path: &str) -> String {
        // http becomes ws, https becomes wss.
        self.http(path).replacen("http", "ws", 1)
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerUrl, InvalidServer> {
        text.parse()
    }

    #[test]
    fn plain_http_is_only_for_loopback() {
        for text in [
            "http://127.0.0.1:7400",
            "http://localhost:7400",
            "http://[::1]:7400",
            "http://127.9.9.9",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://10.0.0.1",
            "http://example.org:7400",
            "http://localhost.example.org",
        ] {
            assert!(matches!(parse(text), Err(InvalidServer::Plaintext(_))), "{text}");
        }
        assert!(parse("https://10.0.0.1:7443").is_ok());
    }

    #[test]
    fn what_is_no_server_is_refused_without_showing_a_password() {
        assert!(matches!(parse("tripline.example"), Err(InvalidServer::NoUrl(_))));
        assert!(matches!(
            parse("ftp://example.org"),
            Err(InvalidServer::Scheme(_))
        ));
        let error = parse("https://me:hunter2@example.org").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn where_it_is_can_be_asked() {
        for (text, host, port) in [
            ("https://example.org", "example.org", 443),
            ("https://10.0.0.1:7443/", "10.0.0.1", 7443),
            ("http://[::1]", "::1", 80),
        ] {
            let url = parse(text).unwrap();
            assert_eq!((url.host(), url.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn slashes_at_its_end_make_no_other_server() {
        let url = parse("https://example.org/tripline").unwrap();
        assert_eq!(parse("https://example.org/tripline//").unwrap(), url);
        assert_eq!(url.to_string(), "https://example.org/tripline");
        assert_eq!(
            parse("https://example.org").unwrap(),
            parse("https://example.org/").unwrap()
        );
    }

    #[test]
    fn paths_are_put_together() {
        let url = parse("https://example.org:7443/").unwrap();
        assert_eq!(
            url.http("v1/agent/enrol"),
            "https://example.org:7443/v1/agent/enrol"
        );
        assert_eq!(url.web_socket("v1/agent"), "wss://example.org:7443/v1/agent");
        assert_eq!(
            parse("http://localhost:1").unwrap().web_socket("v1/agent"),
            "ws://localhost:1/v1/agent"
        );
    }
}
