//! What is given on the command line, and what is to be sent for it.

use super::play::{Play, Sent};
use super::probe;
use crate::cli::Failure;
use crate::config::Secret;
use clap::Args;
use reqwest::Url;
use serde_json::Value;
use std::convert::Infallible;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tripline_protocol::Span;
use tripline_protocol::limacharlie::{Mtd, ServiceEtype};
use uuid::Uuid;

/// Where the secret is looked for when it is not given.
const SECRET_VARIABLE: &str = "TRIPLINE_SERVICE_SECRET";
/// Longest secret that is read from a file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// The shortest and the longest `--deadline`.
const DEADLINE_MIN: Span = Span::from_secs(1);
const DEADLINE_MAX: Span = Span::from_secs(3_600);
/// The org that calls are about.
const OID_DEFAULT: &str = "7b1e0c52-0000-4000-8000-000000000000";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The service's URL
    #[arg(value_parser = url)]
    pub(super) url: Url,
    /// The secret shared with it
    #[arg(long, value_name = "TEXT", value_parser = secret, conflicts_with = "secret_file")]
    secret: Option<Secret>,
    /// File with the secret [default: TRIPLINE_SERVICE_SECRET, which holds the secret itself]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Send only this etype, beside health, and no bad input; can be repeated
    #[arg(long, value_name = "ETYPE", value_parser = etype, conflicts_with = "all")]
    etype: Vec<ServiceEtype>,
    /// Send also etypes that the service does not handle
    #[arg(long)]
    all: bool,
    /// Data of the one --etype, in JSON
    #[arg(long, value_name = "JSON", value_parser = json, requires = "etype")]
    data: Option<Value>,
    /// The org that calls are about
    #[arg(long, value_name = "UUID", default_value = OID_DEFAULT)]
    oid: Uuid,
    /// How long the service may take for an answer; it is told so, and given up on afterwards
    #[arg(long, value_name = "SPAN", value_parser = deadline, default_value = "60s")]
    deadline: Span,
}

fn url(text: &str) -> Result<Url, String> {
    let expected = "expected a URL such as https://service.example/";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(expected.to_owned()),
    }
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

fn etype(text: &str) -> Result<ServiceEtype, String> {
    ServiceEtype::from_str(text).map_err(|()| {
        let known: Vec<&str> = ServiceEtype::all().map(ServiceEtype::as_str).collect();
        format!("there is no such etype; there are {}", known.join(", "))
    })
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn deadline(text: &str) -> Result<Span, String> {
    let span = Span::from_str(text).map_err(|error| error.to_string())?;
    match (DEADLINE_MIN..=DEADLINE_MAX).contains(&span) {
        true => Ok(span),
        false => Err(format!("must be from {DEADLINE_MIN} to {DEADLINE_MAX}")),
    }
}

impl Arguments {
    pub(super) fn deadline(&self) -> Duration {
        self.deadline.to_duration()
    }

    /// Who calls, about what.
    pub(super) fn play(&self) -> Result<Play, Failure> {
        if self.data.is_some() && self.etype.len() > 1 {
            return Err(Failure::Input(
                "--data is for one --etype, and there are more".to_owned(),
            ));
        }
        Ok(Play {
            secret: self.find_secret()?,
            oid: self.oid.to_string(),
            deadline: self.deadline,
        })
    }

    fn find_secret(&self) -> Result<Secret, Failure> {
        if let Some(secret) = &self.secret {
            return Ok(secret.clone());
        }
        if let Some(path) = &self.secret_file {
            return read_secret(path).map_err(|error| {
                Failure::Input(format!("cannot read the secret {}: {error}", path.display()))
            });
        }
        match std::env::var(SECRET_VARIABLE) {
            Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
            _ => Err(Failure::Input(format!(
                "no secret: give one with --secret-file or {SECRET_VARIABLE}"
            ))),
        }
    }

    /// What is sent after health, in this order. Bad input comes before the etypes, so that the org that they install is gone at
    /// the end.
    pub(super) fn calls(&self, play: &Play, mtd: &Mtd) -> Vec<Sent> {
        if !self.etype.is_empty() {
            let call = |etype: &ServiceEtype| play.call(*etype, mtd, self.data.clone());
            return self.etype.iter().map(call).collect();
        }
        let mut calls = probe::all(play, mtd);
        calls.extend(play.calls(mtd, self.all));
        calls
    }
}

fn read_secret(path: &PathBuf) -> std::io::Result<Secret> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "it has more than {SECRET_BYTES_MAX} bytes"
        )));
    }
    // What an editor puts at its end is not of the secret.
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(std::io::Error::other("the file is empty")),
        secret => Ok(Secret::new(secret)),
    }
}
