//! The configuration as each part of the server wants it.

use crate::config::{Config, Redact};
use crate::http::{Bounds, HttpOptions, LimitOptions, TlsOptions};
use crate::nats::{ConnectionInfo, NatsOptions, streams};
use crate::traces;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tripline_actors::audit::Redactor;
use tripline_actors::{CoreConfig, store};

/// Open files that are asked for: no system of today refuses so many, where its own limit is not lower.
const OPEN_FILES_WANTED: u64 = 1 << 20;

/// `data_dir`, `disk.free_min`.
pub(super) fn store(config: &Config) -> store::Options {
    store::Options {
        disk_free_min: config.disk.free_min.0,
        ..store::Options::new(config.data_dir())
    }
}

/// Everything of the actors.
pub(super) fn core(config: &Config) -> CoreConfig {
    CoreConfig {
        subjects: config.nats.subject_prefix.clone(),
        slots_total: config.slots.total,
        slots_interactive_reserved: config.slots.interactive_reserved,
        slots_jobs_reserved: config.slots.jobs_reserved,
        events_max_age: config.events.max_age,
        session_idle_timeout: config.slots.idle_timeout,
        reconnect_grace: config.session.reconnect_grace,
        session_wait_timeout: config.session.wait_timeout,
        jobs_per_host_max: config.jobs.queued_per_host_max,
        jobs_per_pipeline_max: config.jobs.queued_per_pipeline_max,
        jobs_max: config.jobs.queued_max,
        jobs_retain: config.jobs.retain,
        jobs_retain_max: config.jobs.retain_max,
        sessions_retain_max: config.session.retain_max,
        outbox_max: config.outbox.messages_max,
        outbox_resend_window: config.outbox.resend_window,
        disk_free_min: config.disk.free_min.0,
        host_idle: config.hosts.idle_timeout,
        hosts_max: config.hosts.known_max,
        hosts_protected: config.hosts.protected.clone(),
        audit_retain: config.audit.retain,
        audit_retain_max: config.audit.retain_max,
        audit_redact: config
            .audit
            .redact
            .as_ref()
            .map_or_else(Redactor::default, Redact::to_redactor),
        key_age_max: config.hosts.key_age_max,
    }
}

/// `tracing.*`, if traces are wanted.
pub(super) fn traces(config: &Config) -> Option<traces::Options> {
    let tracing = &config.tracing;
    let headers = tracing.otlp_headers.as_ref();
    Some(traces::Options {
        url: tracing.otlp_endpoint.as_ref()?.traces_url(),
        headers: headers
            .map(|headers| headers.expose().clone())
            .unwrap_or_default(),
        ca: tracing.otlp_ca.clone(),
        service_name: tracing.service_name.clone(),
        queue_max: usize::try_from(tracing.queue_max).unwrap_or(usize::MAX),
    })
}

/// `limits.*`
pub(super) fn limits(config: &Config) -> LimitOptions {
    let limits = &config.limits;
    LimitOptions {
        requests_per_second: limits.requests_per_second,
        requests_burst: limits.requests_burst,
        failed_logins_max: limits.failed_logins_max,
    }
}

/// `http.*`
pub(super) fn http(config: &Config) -> HttpOptions {
    let http = &config.http;
    HttpOptions {
        listen: http.listen,
        tls_listen: Some(http.tls_listen),
        allow_plaintext: http.allow_plaintext,
        tls: TlsOptions {
            cert: http.tls_cert.clone(),
            key: http.tls_key.clone(),
            names: http.tls_names.clone(),
            dir: config.data_dir().join("tls"),
        },
        workers: 0,
        littlebrother_listen: config.littlebrother.listen,
        bounds: bounds(config),
    }
}

/// `limits.*`, as far as the limit of open files reaches.
fn bounds(config: &Config) -> Bounds {
    let limits = &config.limits;
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let bounds = Bounds {
        connections_max: count(limits.connections_max),
        strangers_max: count(limits.strangers_max),
        head_timeout: limits.head_timeout.to_duration(),
        body_timeout: limits.body_timeout.to_duration(),
        send_timeout: limits.send_timeout.to_duration(),
        hello_timeout: limits.hello_timeout.to_duration(),
    };
    bounds.within_files(open_files(), config.littlebrother.listen.is_some())
}

/// How many files may be open. A shell gives 1,024, which is a few hundred agents, and allows many more to a program that
/// asks for them.
fn open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(OPEN_FILES_WANTED, |most| most.min(OPEN_FILES_WANTED));
    if limit.current.is_none_or(|current| current >= wanted) {
        return limit.current;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => Some(wanted),
        Err(error) => {
            tracing::warn!(%error, wanted, "the limit of open files cannot be raised");
            limit.current
        }
    }
}

/// `nats.*`, or the embedded broker's own.
pub(super) fn nats(config: &Config, embedded: Option<&ConnectionInfo>) -> NatsOptions {
    let nats = &config.nats;
    let subjects = nats.subject_prefix.clone();
    if let Some(info) = embedded {
        return NatsOptions::embedded(info, subjects);
    }
    NatsOptions {
        url: nats
            .url
            .as_ref()
            .map(|url| url.as_str().to_owned())
            .unwrap_or_default(),
        user: nats.user.clone(),
        password: nats
            .password
            .as_ref()
            .map(|password| password.expose().to_owned()),
        credentials: nats.credentials.clone(),
        ca: nats.ca.clone(),
        subjects,
        stream_bytes_max: streams::STREAM_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        let limit = getrlimit(Resource::Nofile);
        let low = Rlimit {
            current: Some(256),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, low).unwrap();
        let most = limit.maximum.unwrap_or(u64::MAX).min(OPEN_FILES_WANTED);
        assert_eq!(open_files(), Some(most));
        assert_eq!(getrlimit(Resource::Nofile).current, Some(most));
    }

    /// The documentation gives one default for each key, so the actors' own must be the same.
    #[test]
    fn the_actors_defaults_are_those_of_the_configuration() {
        assert_eq!(
            format!("{:?}", core(&Config::default())),
            format!("{:?}", CoreConfig::default())
        );
    }
}
