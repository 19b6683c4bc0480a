//! Rules between keys, and bounds that a type cannot say.

use super::{Config, Origin, Problem};
use std::borrow::Cow;
use std::collections::HashMap;
use tripline_actors::pipeline::AGE_MAX;
use tripline_protocol::Span;

mod littlebrother;
mod services;

/// Most slots there can be: each is an actor.
const SLOTS_MAX: u32 = 10_000;

/// Characters of a configured administrator's token.
const ADMIN_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 16..=512;

/// Adds what is wrong with values that are each legal by themselves.
pub(super) fn check(config: &Config, origins: &HashMap<String, Origin>, problems: &mut Vec<Problem>) {
    let mut found = Vec::new();
    http(config, &mut found);
    nats(config, &mut found);
    auth(config, &mut found);
    slots(config, &mut found);
    limits(config, &mut found);
    littlebrother::check(config, &mut found);
    services::check(config, &mut found);
    tracing(config, &mut found);
    problems.extend(found.into_iter().map(|found| problem(found, origins)));
}

/// What is legal and probably not meant.
pub(super) fn warnings(config: &Config, origins: &HashMap<String, Origin>) -> Vec<Problem> {
    let mut found = Vec::new();
    littlebrother::warn(config, &mut found);
    services::warn(config, &mut found);
    found.into_iter().map(|found| problem(found, origins)).collect()
}

/// A key, and what is wrong with it.
type Found = Vec<(Cow<'static, str>, String)>;

/// The origin of a place that was not written is that of what is around it.
fn problem((key, text): (Cow<'static, str>, String), origins: &HashMap<String, Origin>) -> Problem {
    let mut around = &*key;
    let origin = loop {
        match (origins.get(around), around.rfind(['.', '['])) {
            (Some(origin), _) => break origin.clone(),
            (None, Some(end)) => around = around.get(..end).unwrap_or_default(),
            (None, None) => break Origin::Default,
        }
    };
    Problem {
        key: key.into_owned(),
        origin,
        text,
    }
}

fn http(config: &Config, found: &mut Found) {
    let http = &config.http;
    if !http.listen.ip().to_canonical().is_loopback() && !http.allow_plaintext {
        let text = format!(
            "{} is not a loopback address; tokens would travel in plain text \
             (use http.tls_listen, or set http.allow_plaintext = true)",
            http.listen
        );
        found.push(("http.listen".into(), text));
    }
    if http.listen == http.tls_listen && http.listen.port() != 0 {
        found.push((
            "http.tls_listen".into(),
            "must differ from http.listen".to_owned(),
        ));
    }
    match (&http.tls_cert, &http.tls_key) {
        (Some(_), None) => found.push(("http.tls_cert".into(), "needs http.tls_key as well".to_owned())),
        (None, Some(_)) => found.push(("http.tls_key".into(), "needs http.tls_cert as well".to_owned())),
        _ => {}
    }
    if http.tls_names.is_empty() || http.tls_names.iter().any(|name| name.trim().is_empty()) {
        found.push((
            "http.tls_names".into(),
            "needs at least one name, and no empty one".to_owned(),
        ));
    }
}

fn nats(config: &Config, found: &mut Found) {
    let nats = &config.nats;
    let given = [
        ("nats.credentials", nats.credentials.is_some()),
        ("nats.user", nats.user.is_some()),
        ("nats.password", nats.password.is_some()),
        ("nats.ca", nats.ca.is_some()),
    ];
    if nats.url.is_none() {
        for (key, _) in given.iter().filter(|(_, given)| *given) {
            found.push((
                (*key).into(),
                "only together with nats.url; the embedded broker makes its own".to_owned(),
            ));
        }
        return;
    }
    if nats.credentials.is_some() && nats.user.is_some() {
        found.push(("nats.credentials".into(), "either this or nats.user".to_owned()));
    }
    match (&nats.user, &nats.password) {
        (Some(_), None) => found.push(("nats.user".into(), "needs nats.password as well".to_owned())),
        (None, Some(_)) => found.push(("nats.password".into(), "needs nats.user as well".to_owned())),
        _ => {}
    }
}

fn tracing(config: &Config, found: &mut Found) {
    let tracing = &config.tracing;
    let Some(endpoint) = &tracing.otlp_endpoint else {
        let given = [
            ("tracing.otlp_headers", tracing.otlp_headers.is_some()),
            ("tracing.otlp_ca", tracing.otlp_ca.is_some()),
        ];
        for (key, _) in given.iter().filter(|(_, given)| *given) {
            found.push((
                (*key).into(),
                "only together with tracing.otlp_endpoint".to_owned(),
            ));
        }
        return;
    };
    if tracing.otlp_headers.is_some() && endpoint.is_readable_on_the_way() {
        let text = "would travel in plain text to another machine; use https in tracing.otlp_endpoint";
        found.push(("tracing.otlp_headers".into(), text.to_owned()));
    }
    if tracing.otlp_ca.is_some() && !endpoint.is_https() {
        let text = "is of use only with https in tracing.otlp_endpoint";
        found.push(("tracing.otlp_ca".into(), text.to_owned()));
    }
}

fn auth(config: &Config, found: &mut Found) {
    let legal = |token: &str| {
        ADMIN_TOKEN_CHARS.contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if config
        .auth
        .admin_token
        .as_ref()
        .is_some_and(|token| !legal(token.expose()))
    {
        let (least, most) = (ADMIN_TOKEN_CHARS.start(), ADMIN_TOKEN_CHARS.end());
        found.push((
            "auth.admin_token".into(),
            format!("must have {least} to {most} visible ASCII characters"),
        ));
    }
}

fn slots(config: &Config, found: &mut Found) {
    let slots = &config.slots;
    if !(1..=SLOTS_MAX).contains(&slots.total) {
        found.push((
            "slots.total".into(),
            format!("{} is not from 1 to {SLOTS_MAX}", slots.total),
        ));
        return;
    }
    let reserved = u64::from(slots.interactive_reserved) + u64::from(slots.jobs_reserved);
    if reserved > u64::from(slots.total) {
        let text = format!(
            "with slots.jobs_reserved = {} it reserves {reserved} slots, but slots.total is {}",
            slots.jobs_reserved, slots.total
        );
        found.push(("slots.interactive_reserved".into(), text));
    }
}

fn limits(config: &Config, found: &mut Found) {
    let jobs = &config.jobs;
    let counts = [
        ("jobs.retain_max", jobs.retain_max),
        ("jobs.queued_per_host_max", jobs.queued_per_host_max.into()),
        (
            "jobs.queued_per_pipeline_max",
            jobs.queued_per_pipeline_max.into(),
        ),
        ("jobs.queued_max", jobs.queued_max.into()),
        ("session.retain_max", config.session.retain_max),
        ("outbox.messages_max", config.outbox.messages_max.into()),
        ("artifacts.bytes_max", config.artifacts.bytes_max.0),
        ("store.exports_kept", config.store.exports_kept),
        ("hosts.known_max", config.hosts.known_max.into()),
        ("limits.requests_burst", config.limits.requests_burst.into()),
        ("limits.connections_max", config.limits.connections_max.into()),
        ("limits.strangers_max", config.limits.strangers_max.into()),
        ("tracing.queue_max", config.tracing.queue_max.into()),
    ];
    for (key, _) in counts.iter().filter(|(_, count)| *count == 0) {
        found.push(((*key).into(), "must be at least 1".to_owned()));
    }
    let spans = [
        ("slots.idle_timeout", config.slots.idle_timeout),
        ("session.wait_timeout", config.session.wait_timeout),
        ("events.max_age", config.events.max_age),
        ("jobs.retain", jobs.retain),
        ("hosts.idle_timeout", config.hosts.idle_timeout),
        ("store.export_every", config.store.export_every),
        ("limits.head_timeout", config.limits.head_timeout),
        ("limits.body_timeout", config.limits.body_timeout),
        ("limits.send_timeout", config.limits.send_timeout),
        ("limits.hello_timeout", config.limits.hello_timeout),
        (
            "hosts.key_age_max",
            config.hosts.key_age_max.unwrap_or(Span::from_secs(1)),
        ),
    ];
    for (key, _) in spans.iter().filter(|(_, span)| *span == Span::ZERO) {
        found.push(((*key).into(), "must be longer than 0s".to_owned()));
    }
    if config.events.max_age > AGE_MAX {
        let text = format!("must be at most {AGE_MAX}: handled events are not remembered for longer");
        found.push(("events.max_age".into(), text));
    }
}
