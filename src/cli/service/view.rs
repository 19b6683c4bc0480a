//! Services, their jobs and what they offer, as tables.

use super::super::output::{fields, or_dash, table};
use serde::Serialize;
use tripline_protocol::Timestamp;
use tripline_protocol::api::{ServiceJobView, ServiceRequestView, ServiceResource, ServiceView};
use tripline_protocol::limacharlie::{HistoryEntry, Parameter};

/// The word of a value that is one in JSON.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("–").replace('_', " ")
}

fn joined(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.is_empty() {
        true => "–".to_owned(),
        false => items.join(" "),
    }
}

pub(super) fn list(services: &[ServiceView]) -> String {
    let rows = services.iter().map(|service| {
        [
            service.spec.name.to_string(),
            word(service.state),
            word(service.breaker),
            service.waiting.to_string(),
            service.delivered.to_string(),
            service.given_up.to_string(),
            or_dash(service.healthy_at),
            joined(&service.spec.orgs),
            service.spec.url.clone(),
        ]
    });
    table(
        [
            "NAME",
            "STATE",
            "BREAKER",
            "WAITING",
            "DELIVERED",
            "GIVEN UP",
            "HEALTHY",
            "ORGS",
            "URL",
        ],
        rows,
    )
}

pub(super) fn one(service: &ServiceView) -> String {
    let spec = &service.spec;
    let wants = service.wants.as_ref();
    let failure = service.last_failure.as_ref();
    let origin = if service.configured {
        "configuration"
    } else {
        "API"
    };
    // One that is leaving is among the installations alone; one that is new is told once its health was answered.
    let waiting = spec.orgs.iter();
    let waiting = waiting.filter(|org| !service.installations.contains_key(*org));
    let waiting = waiting.map(|org| format!("{org} (not told yet)"));
    let known = service.installations.iter();
    let known = known.map(|(org, how)| format!("{org} ({})", word(how)));
    fields([
        ("name", spec.name.to_string()),
        ("url", spec.url.clone()),
        ("registered by", origin.to_owned()),
        (
            "state",
            format!("{} since {}", word(service.state), service.since),
        ),
        ("breaker", word(service.breaker)),
        ("healthy at", or_dash(service.healthy_at)),
        (
            "last failure",
            or_dash(failure.map(|failure| format!("{} {}: {}", failure.at, failure.etype, failure.text))),
        ),
        ("waiting", service.waiting.to_string()),
        ("delivered", service.delivered.to_string()),
        ("given up", service.given_up.to_string()),
        ("orgs", joined(known.chain(waiting))),
        ("handles", joined(wants.iter().flat_map(|wants| &wants.callbacks))),
        (
            "detections",
            joined(wants.iter().flat_map(|wants| &wants.detect_subscriptions)),
        ),
        (
            "requests",
            joined(
                wants
                    .iter()
                    .flat_map(|wants| &wants.request_params)
                    .map(parameter),
            ),
        ),
        ("rights", spec.rights.to_string()),
        ("deadline", spec.deadline.to_string()),
        (
            "attempts",
            format!("{} within {}", spec.attempts, spec.give_up_after),
        ),
        ("in flight", format!("at most {}", spec.in_flight)),
        ("queue", format!("at most {}", spec.queue_max)),
        (
            "private addresses",
            if spec.allow_private { "allowed" } else { "refused" }.to_owned(),
        ),
    ])
}

/// `name:type`, with `!` where it is needed, and what it may be.
fn parameter((name, definition): (&String, &Parameter)) -> String {
    let needed = if definition.is_required { "!" } else { "" };
    let values = match definition.values.is_empty() {
        true => String::new(),
        false => format!("({})", definition.values.join("|")),
    };
    format!("{name}:{}{values}{needed}", word(definition.kind))
}

pub(super) fn requests(requests: &[ServiceRequestView]) -> String {
    let rows = requests.iter().map(|request| {
        [
            request.id.to_string(),
            request.org.to_string(),
            word(request.state),
            request.asked_at.to_string(),
            or_dash(request.ended_at),
            or_dash(request.error.as_ref()),
        ]
    });
    table(["ID", "ORG", "STATE", "ASKED", "ENDED", "ERROR"], rows)
}

pub(super) fn request(request: &ServiceRequestView) -> String {
    let data = request.data.as_ref().map(ToString::to_string);
    let omitted = request.data_omitted_bytes;
    fields([
        ("id", request.id.to_string()),
        ("service", request.service.to_string()),
        ("org", request.org.to_string()),
        (
            "params",
            serde_json::to_string(&request.params).unwrap_or_default(),
        ),
        ("state", word(request.state)),
        ("asked at", request.asked_at.to_string()),
        ("ended at", or_dash(request.ended_at)),
        ("error", or_dash(request.error.as_ref())),
        (
            "answer",
            or_dash(data.or_else(|| omitted.map(|bytes| format!("{bytes} bytes, too long to be kept")))),
        ),
        ("jobs", joined(&request.jobs)),
    ])
}

pub(super) fn jobs(jobs: &[ServiceJobView]) -> String {
    let rows = jobs.iter().map(|job| {
        [
            job.id.clone(),
            or_dash(job.org.as_ref()),
            job.started_at.to_string(),
            or_dash(job.ended_at),
            job.history.len().to_string(),
            job.cause.clone(),
        ]
    });
    table(["ID", "ORG", "STARTED", "ENDED", "ENTRIES", "CAUSE"], rows)
}

pub(super) fn job(job: &ServiceJobView) -> String {
    let head = fields([
        ("id", job.id.clone()),
        ("service", job.service.to_string()),
        ("org", or_dash(job.org.as_ref())),
        ("cause", job.cause.clone()),
        ("started at", job.started_at.to_string()),
        ("updated at", job.updated_at.to_string()),
        ("ended at", or_dash(job.ended_at)),
        ("sensors", joined(&job.sids)),
        ("entries left out", job.dropped.to_string()),
    ]);
    format!(
        "{head}\n\n{}",
        table(["TIME", "", "TEXT", "ATTACHMENTS"], job.history.iter().map(entry))
    )
}

fn entry(entry: &HistoryEntry) -> [String; 4] {
    let mark = if entry.is_important { "!" } else { "" };
    let attachments = match entry.attachments.len() {
        0 => "–".to_owned(),
        count => format!("{count} (--output json shows them)"),
    };
    [
        Timestamp::from_micros(entry.ts.saturating_mul(1000)).to_string(),
        mark.to_owned(),
        entry.msg.clone(),
        attachments,
    ]
}

pub(super) fn resource(resource: &ServiceResource, bytes: usize) -> String {
    fields([
        ("service", resource.service.to_string()),
        ("resource", resource.resource.clone()),
        ("category", resource.res_cat.clone()),
        ("sha256", resource.hash.to_string()),
        ("bytes", bytes.to_string()),
        ("fetched at", resource.fetched_at.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn orgs_that_a_service_was_not_told_of_yet_are_shown_as_well() {
        let shown: ServiceView = serde_json::from_value(json!({
            "name": "yara", "url": "http://x/", "orgs": ["acme", "new"], "configured": false, "state": "unknown",
            "since": "2026-11-20T14:00:00Z", "breaker": "closed", "installations": { "acme": "installed", "old": "leaving" },
            "waiting": 0, "calls": 0, "delivered": 0, "given_up": 0,
            "wants": { "request_params": { "how": { "type": "enum", "values": ["a", "b"], "is_required": true } } },
        }))
        .expect("a service");
        let text = one(&shown);
        for part in [
            "acme (installed) old (leaving) new (not told yet)",
            "how:enum(a|b)!",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_job_of_a_service_is_shown_with_its_history_and_nothing_reaches_the_terminal_as_it_is() {
        let shown: ServiceJobView = serde_json::from_value(json!({
            "id": "j1", "service": "yara", "org": "acme", "cause": "sweep \u{1b}[2J",
            "started_at": "2026-11-20T14:00:00Z", "updated_at": "2026-11-20T14:01:00Z", "sids": ["s1", "s2"], "dropped": 3,
            "history": [{ "ts": 1_800_000_000_000_i64, "msg": "found", "is_important": true,
                          "attachments": [{ "att_type": "json", "caption": "c", "data": "{}" }] }],
        }))
        .expect("a job");
        let text = job(&shown);
        assert!(
            text.contains("s1 s2") && text.contains("2027-01-15T08:00:00Z"),
            "{text}"
        );
        assert!(text.contains("1 (--output json shows them)"), "{text}");
        assert!(!text.contains('\u{1b}') && !jobs(&[shown]).contains('\u{1b}'));
    }
}
