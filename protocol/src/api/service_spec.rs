//! What a service's registration must be.

use super::ServiceSpec;
use crate::id::Name;
use crate::time::Span;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Services there may be.
pub const SERVICES_MAX: usize = 100;
/// Longest URL of a service, in bytes.
pub const SERVICE_URL_BYTES_MAX: usize = 2048;
/// Orgs of a service.
pub const SERVICE_ORGS_MAX: usize = 1000;
/// How long one call may take, from a second on.
pub const SERVICE_DEADLINE_MAX: Span = Span::from_secs(600);
/// How long a message is delivered again, from a second on.
pub const SERVICE_GIVE_UP_MAX: Span = Span::from_secs(7 * 24 * 3600);
/// The least of both.
const SPAN_MIN: Span = Span::from_secs(1);
/// How often a message is delivered at most.
pub const SERVICE_ATTEMPTS: RangeInclusive<u32> = 1..=1000;
/// Calls under way at once.
pub const SERVICE_IN_FLIGHT: RangeInclusive<u32> = 1..=64;
/// Messages that may wait.
pub const SERVICE_QUEUE: RangeInclusive<u32> = 1..=100_000;
/// Bytes of a secret.
pub const SERVICE_SECRET_BYTES: RangeInclusive<usize> = 1..=1024;

/// What is wrong with a registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct InvalidService {
    /// Its field.
    pub field: &'static str,
    /// What it must be.
    pub text: String,
}

impl ServiceSpec {
    /// With the defaults.
    pub fn new(name: Name, url: String) -> Self {
        Self {
            name,
            url,
            orgs: super::services::default_orgs(),
            deadline: super::services::default_deadline(),
            attempts: super::services::default_attempts(),
            give_up_after: super::services::default_give_up_after(),
            in_flight: super::services::default_in_flight(),
            queue_max: super::services::default_queue_max(),
            allow_private: false,
            rights: super::services::default_rights(),
        }
    }

    /// Everything that is wrong with it, in the order of its fields. What is shown of a URL never has a password.
    pub fn problems(&self) -> Vec<InvalidService> {
        let mut found = Vec::new();
        let mut wrong = |field, text: String| found.push(InvalidService { field, text });
        if let Err(text) = check_url(&self.url) {
            wrong("url", text.to_owned());
        }
        if !(1..=SERVICE_ORGS_MAX).contains(&self.orgs.len()) {
            wrong("orgs", format!("must be 1 to {SERVICE_ORGS_MAX} orgs"));
        } else if self.orgs.iter().collect::<BTreeSet<_>>().len() < self.orgs.len() {
            wrong("orgs", "must not name an org twice".to_owned());
        }
        let spans = [
            ("deadline", self.deadline, SERVICE_DEADLINE_MAX),
            ("give_up_after", self.give_up_after, SERVICE_GIVE_UP_MAX),
        ];
        for (field, span, most) in spans {
            if !(SPAN_MIN..=most).contains(&span) {
                wrong(field, format!("must be {SPAN_MIN} to {most}"));
            }
        }
        let counts = [
            ("attempts", self.attempts, SERVICE_ATTEMPTS),
            ("in_flight", self.in_flight, SERVICE_IN_FLIGHT),
            ("queue_max", self.queue_max, SERVICE_QUEUE),
        ];
        for (field, count, allowed) in counts {
            if !allowed.contains(&count) {
                wrong(field, format!("must be {} to {}", allowed.start(), allowed.end()));
            }
        }
        found
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "must be a URL such as \"https://svc.example:9000/\"";
    if url.len() > SERVICE_URL_BYTES_MAX {
        return Err("must be at most 2048 bytes");
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(EXPECTED);
    }
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or(EXPECTED)?;
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not contain a user or password");
    }
    if url.contains('#') {
        return Err("must not contain a fragment (#…)");
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            port.parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(EXPECTED)?;
            host
        }
        _ => authority,
    };
    match host.trim_matches(['[', ']', '.']).is_empty() {
        true => Err(EXPECTED),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(change: impl FnOnce(&mut Value)) -> ServiceSpec {
        let mut spec = json!({ "name": "yara", "url": "https://svc.example/" });
        change(&mut spec);
        serde_json::from_value(spec).expect("a registration")
    }

    fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
        spec(change)
            .problems()
            .iter()
            .map(InvalidService::to_string)
            .collect()
    }

    #[test]
    fn a_registration_of_name_and_url_is_right() {
        assert_eq!(problems(|_| {}), [""; 0]);
    }

    #[test]
    fn every_bound_is_legal_and_what_is_beyond_is_not() {
        for (field, least, most, below, above) in [
            ("attempts", json!(1), json!(1000), json!(0), json!(1001)),
            ("in_flight", json!(1), json!(64), json!(0), json!(65)),
            ("queue_max", json!(1), json!(100_000), json!(0), json!(100_001)),
            (
                "deadline",
                json!("1s"),
                json!("10m"),
                json!("999ms"),
                json!("601s"),
            ),
            (
                "give_up_after",
                json!("1s"),
                json!("7d"),
                json!("0s"),
                json!("169h"),
            ),
        ] {
            for right in [least, most] {
                assert_eq!(problems(|spec| spec[field] = right), [""; 0], "{field}");
            }
            for wrong in [below, above] {
                let found = problems(|spec| spec[field] = wrong);
                assert!(found.len() == 1 && found[0].starts_with(field), "{found:?}");
            }
        }
    }

    #[test]
    fn orgs_are_some_each_once_and_not_too_many() {
        let orgs = |count: usize| (0..count).map(|n| format!("org{n}")).collect::<Vec<_>>();
        assert_eq!(
            problems(|spec| spec["orgs"] = json!(orgs(SERVICE_ORGS_MAX))),
            [""; 0]
        );
        for wrong in [orgs(0), orgs(SERVICE_ORGS_MAX + 1), vec!["a".into(), "a".into()]] {
            assert_eq!(problems(|spec| spec["orgs"] = json!(wrong)).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_url_is_one_of_http_without_anybodys_password() {
        let url = |text: &str| problems(|spec| spec["url"] = json!(text)).len();
        let long = |bytes: usize| format!("https://svc.example/{}", "x".repeat(bytes - 20));
        for right in [
            "http://svc.example",
            "https://svc.example:9000/lc?x=1",
            "http://127.0.0.1:1/",
            "http://[::1]:8080/",
            "http://[::1]/",
            &long(SERVICE_URL_BYTES_MAX),
        ] {
            assert_eq!(url(right), 0, "{right}");
        }
        for wrong in [
            "",
            "svc.example",
            "ftp://svc.example/",
            "HTTP://svc.example/",
            "http://",
            "http:///lc",
            "http://:80/",
            "http://svc.example:0/",
            "http://svc.example:70000/",
            "http://svc.example:/",
            "http://ana:secret@svc.example/",
            "http://svc.example/ x",
            "http://svc.example/#x",
            &long(SERVICE_URL_BYTES_MAX + 1),
        ] {
            assert_eq!(url(wrong), 1, "{wrong}");
        }
        let found = problems(|spec| spec["url"] = json!("http://ana:secret@svc.example/"));
        assert!(!found[0].contains("secret"), "{found:?}");
    }
}
