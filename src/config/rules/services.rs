//! Rules of `[[services]]`: bounds, a secret, and names that are there once.

use super::Found;
use crate::config::{Config, Service};
use reqwest::Url;
use std::collections::HashMap;
use std::net::IpAddr;
use tripline_protocol::api::{SERVICE_SECRET_BYTES, SERVICES_MAX};

/// Adds what is wrong.
pub(super) fn check(config: &Config, found: &mut Found) {
    let services = &config.general.services;
    if services.len() > SERVICES_MAX {
        found.push(("services".into(), format!("must be at most {SERVICES_MAX}")));
    }
    let mut seen = HashMap::new();
    for (index, service) in services.iter().enumerate() {
        let mut wrong = |field: &str, text: String| {
            found.push((format!("services[{index}].{field}").into(), text));
        };
        if let Some(first) = seen.insert(&service.name, index) {
            wrong("name", format!("{} is services[{first}] already", service.name));
        }
        for problem in service.spec().problems() {
            wrong(problem.field, problem.text);
        }
        secret(service, &mut wrong);
        authority(service, &mut wrong);
    }
}

fn secret(service: &Service, wrong: &mut impl FnMut(&str, String)) {
    match (&service.secret, &service.secret_file) {
        (None, None) => wrong("secret", "is missing; this or secret_file is needed".to_owned()),
        (Some(_), Some(_)) => wrong("secret_file", "either this or secret".to_owned()),
        (Some(secret), None) if !SERVICE_SECRET_BYTES.contains(&secret.expose().len()) => {
            wrong(
                "secret",
                format!("must be at most {} bytes", SERVICE_SECRET_BYTES.end()),
            );
        }
        _ => {}
    }
}

fn authority(service: &Service, wrong: &mut impl FnMut(&str, String)) {
    match Url::parse(&service.url.0) {
        // What else is wrong with it was named already.
        Err(error) if service.spec().problems().is_empty() => wrong("url", error.to_string()),
        Ok(url) if service.ca.is_some() && url.scheme() != "https" => {
            wrong("ca", "is of use only with https in url".to_owned());
        }
        _ => {}
    }
}

/// Adds what is legal and probably not meant.
pub(super) fn warn(config: &Config, found: &mut Found) {
    for (index, service) in config.general.services.iter().enumerate() {
        if is_readable_on_the_way(&service.url.0) {
            let text = "tokens travel in plain text to another machine; use https".to_owned();
            found.push((format!("services[{index}].url").into(), text));
        }
    }
}

fn is_readable_on_the_way(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "http" && !is_here
}
