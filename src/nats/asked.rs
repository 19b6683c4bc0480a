//! The bodies of the micro service's requests: their types, and reading them.
//!
//! Bodies are those of `/v1`; where HTTP has a path and a query, the body is an object with the same names.

use super::api::problem;
use super::fanouts::AskedFanout;
use super::service::Endpoint;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tripline_actors::{HostFilter, JobFilter};
use tripline_protocol::api::{Problem, ReportDetection, SubmitJob};
use tripline_protocol::job::JobState;
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{FanoutId, HostId, JobId, Name, Org};

/// How many items a list has when the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most items of a list.
const LIMIT_MAX: usize = 1_000;

/// `jobs.get` and `jobs.cancel`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneJob {
    pub(super) job_id: JobId,
    #[serde(default)]
    pub(super) org: Option<Org>,
}

/// `jobs.list`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListJobs {
    org: Option<Org>,
    state: Option<JobState>,
    host: Option<HostId>,
    name: Option<Name>,
    fanout: Option<FanoutId>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `hosts.list`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListHosts {
    org: Option<Org>,
    label: Option<String>,
    platform: Option<String>,
    hostname: Option<String>,
    attached: Option<String>,
    seen_within: Option<String>,
    unseen_for: Option<String>,
    agent_version: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

impl ListJobs {
    fn filter(self) -> Result<JobFilter, Problem> {
        Ok(JobFilter {
            org: self.org,
            state: self.state,
            host: self.host,
            name: self.name,
            fanout: self.fanout,
            after: self.after,
            limit: limit(self.limit)?,
        })
    }
}

impl ListHosts {
    fn filter(self) -> Result<HostFilter, Problem> {
        Ok(HostFilter {
            selector: self.selector()?,
            org: self.org,
            after: self.after,
            limit: limit(self.limit)?,
        })
    }

    fn selector(&self) -> Result<HostSelector, Problem> {
        let mut selector = HostSelector::default();
        for (name, value) in [
            ("label", &self.label),
            ("platform", &self.platform),
            ("hostname", &self.hostname),
            ("attached", &self.attached),
            ("seen_within", &self.seen_within),
            ("unseen_for", &self.unseen_for),
            ("agent_version", &self.agent_version),
        ] {
            let value = value.as_deref().unwrap_or_default();
            selector
                .set(name, value)
                .map_err(|why| problem(400, "bad_parameter", format!("{name}: {why}")))?;
        }
        Ok(selector)
    }
}

/// `slots.list`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What a body asks for, before it is known what the caller may.
#[derive(Debug)]
pub(super) enum Asked {
    SubmitJob(SubmitJob),
    GetJob(OneJob),
    CancelJob(OneJob),
    ListJobs(JobFilter),
    ReportDetection(ReportDetection),
    ListHosts(HostFilter),
    ListSlots,
    Fanout(AskedFanout),
}

impl Asked {
    pub(super) fn read(endpoint: Endpoint, body: &[u8]) -> Result<Self, Problem> {
        Ok(match endpoint {
            Endpoint::SubmitJob => Self::SubmitJob(required(body)?),
            Endpoint::GetJob => Self::GetJob(required(body)?),
            Endpoint::CancelJob => Self::CancelJob(required(body)?),
            Endpoint::ListJobs => Self::ListJobs(optional::<ListJobs>(body)?.filter()?),
            Endpoint::ReportDetection => Self::ReportDetection(required(body)?),
            Endpoint::ListHosts => Self::ListHosts(optional::<ListHosts>(body)?.filter()?),
            Endpoint::ListSlots => {
                let Nothing {} = optional(body)?;
                Self::ListSlots
            }
            Endpoint::Fanout(verb) => Self::Fanout(AskedFanout::read(verb, body)?),
        })
    }
}

/// Reads a body as the micro service does, and asks for nothing.
///
/// # Errors
/// What the requester would be told.
pub fn check(endpoint: Endpoint, body: &[u8]) -> Result<(), Problem> {
    Asked::read(endpoint, body).map(drop)
}

pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(problem(
            400,
            "bad_parameter",
            format!("limit is {other}, expected 1 to {LIMIT_MAX}"),
        )),
    }
}

pub(super) fn required<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| problem(400, "bad_json", format!("the body is not as expected: {error}")))
}

/// An empty body is an empty object.
pub(super) fn optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() {
        Ok(T::default())
    } else {
        required(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_selected_by_the_words_of_the_list_over_http() {
        let read = |body: &str| optional::<ListHosts>(body.as_bytes()).unwrap().selector();
        let body = r#"{"label": "dmz,hot", "platform": "linux", "hostname": "web-*", "attached": "agent",
            "seen_within": "1h", "unseen_for": "1m", "agent_version": "0.1.0"}"#;
        let mut expected = HostSelector::default();
        let words: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body).unwrap();
        for (name, value) in words {
            assert_eq!(expected.set(&name, value.as_str().unwrap()), Ok(true));
        }
        assert_eq!(read(body).unwrap(), expected);
        assert_eq!(read("{}").unwrap(), HostSelector::default());
        let wrong = read(r#"{"attached": "maybe"}"#).unwrap_err();
        assert_eq!((wrong.status, wrong.code.as_str()), (400, "bad_parameter"));
        assert!(wrong.detail.contains("attached"), "{}", wrong.detail);
    }

    #[test]
    fn a_misspelt_field_and_a_limit_out_of_range_are_refused() {
        assert!(
            optional::<ListJobs>(br#"{"stat":"queued"}"#)
                .unwrap_err()
                .detail
                .contains("stat")
        );
        assert!(optional::<ListJobs>(b"").is_ok());
        assert_eq!(limit(Some(0)).unwrap_err().status, 400);
        assert_eq!(limit(None).unwrap(), LIMIT_DEFAULT);
    }
}
