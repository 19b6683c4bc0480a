//! `[tracing]`: types of its keys.

use super::setting::{Raw, Setting, read_text};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// The path of traces at a collector.
const PATH: &str = "/v1/traces";

/// Where a collector listens for OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(Url);

impl OtlpEndpoint {
    /// Where traces are posted: `/v1/traces` below it, unless that is in it already.
    pub fn traces_url(&self) -> Url {
        let mut url = self.0.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with(PATH) {
            url.set_path(&format!("{path}{PATH}"));
        }
        url
    }

    /// Whether anybody on the way can read what is sent there.
    pub fn is_readable_on_the_way(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = bare == "localhost"
            || bare
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        self.0.scheme() == "http" && !is_here
    }

    /// Whether it has a certificate.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl Setting for OtlpEndpoint {
    fn read(raw: &Raw) -> Result<Self, String> {
        // Refused without showing it: what stands before the @ is a password.
        if raw.text().is_some_and(|text| text.contains('@')) {
            return Err("must not contain a user or password; use tracing.otlp_headers".to_owned());
        }
        read_text(raw, "a URL such as \"http://127.0.0.1:4318\"", |text| {
            let url = Url::parse(text).ok()?;
            let legal = matches!(url.scheme(), "http" | "https") && url.has_host();
            (legal && url.query().is_none() && url.fragment().is_none()).then_some(Self(url))
        })
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.0.as_str().into())
    }
}

/// Headers whose values are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpHeaders(HeaderMap);

impl OtlpHeaders {
    /// The headers; do not print them.
    pub fn expose(&self) -> &HeaderMap {
        &self.0
    }
}

impl fmt::Debug for OtlpHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

impl Setting for OtlpHeaders {
    fn read(raw: &Raw) -> Result<Self, String> {
        // Refused without showing it.
        let expected = || "must be a text of name=value, several separated by commas".to_owned();
        let text = raw.text().filter(|text| !text.trim().is_empty());
        let mut headers = HeaderMap::new();
        for header in text.ok_or_else(expected)?.split(',') {
            let (name, value) = header.split_once('=').ok_or_else(expected)?;
            let name: HeaderName = name.trim().parse().map_err(|_| expected())?;
            let mut value: HeaderValue = value.trim().parse().map_err(|_| expected())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(Self(headers))
    }

    fn show(&self) -> Option<toml::Value> {
        Some("********".into())
    }
}

/// A part of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(pub f64);

impl Setting for Ratio {
    fn read(raw: &Raw) -> Result<Self, String> {
        raw.number()
            .filter(|number| (0.0..=1.0).contains(number))
            .map(Self)
            .ok_or_else(|| raw.is_not("a number from 0 to 1, such as 0.05"))
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.0.into())
    }
}
