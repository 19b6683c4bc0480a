//! What the requests of the micro service mean: who may ask, the body's type, the actors' answer.
//!
//! Bodies are those of `/v1`; where HTTP has a path and a query, the body is an object with the same names.

use super::service::{Api, Endpoint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tripline_actors::access::{Access, Principal};
use tripline_actors::audit::{By, Denied};
use tripline_actors::{Core, HostFilter, JobFilter, Refusal};
use tripline_protocol::api::{Problem, Role, SubmitJob};
use tripline_protocol::audit::{Dialect, Place};
use tripline_protocol::job::JobState;
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{HostId, JobId, Name, Org};

/// How many items a list has when the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most items of a list.
const LIMIT_MAX: usize = 1_000;

/// Where requests come from, as far as NATS tells.
const PLACE: Place = Place {
    dialect: Dialect::Nats,
    address: None,
    request: None,
};

/// Answers requests by asking the actors.
pub struct CoreApi {
    /// The actors.
    pub core: Core,
    /// Who may.
    pub access: Access,
}

/// `jobs.get` and `jobs.cancel`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneJob {
    job_id: JobId,
    #[serde(default)]
    org: Option<Org>,
}

/// `jobs.list`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListJobs {
    org: Option<Org>,
    state: Option<JobState>,
    host: Option<HostId>,
    name: Option<Name>,
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

impl ListHosts {
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

impl Api for CoreApi {
    async fn call(&self, endpoint: Endpoint, token: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let caller = admit(&self.access, token, role_for(endpoint)).inspect_err(|problem| {
            if let (Some(_), Some(code)) = (token, denied_code(problem)) {
                self.note_denied(token, code);
            }
        })?;
        match endpoint {
            Endpoint::SubmitJob => {
                let mut request: SubmitJob = required(body)?;
                request.org = org_of(&caller, request.org)?;
                json(self.core.by(&caller).submit_job(request).await)
            }
            Endpoint::GetJob => {
                let request: OneJob = required(body)?;
                json(
                    self.core
                        .get_job(org_of(&caller, request.org)?, request.job_id)
                        .await,
                )
            }
            Endpoint::CancelJob => {
                let request: OneJob = required(body)?;
                json(
                    self.core
                        .by(&caller)
                        .cancel_job(org_of(&caller, request.org)?, request.job_id)
                        .await,
                )
            }
            Endpoint::ListJobs => json(self.core.list_jobs(filter(&caller, optional(body)?)?).await),
            Endpoint::ListHosts => {
                let request: ListHosts = optional(body)?;
                let filter = HostFilter {
                    selector: request.selector()?,
                    org: org_of(&caller, request.org)?,
                    after: request.after,
                    limit: limit(request.limit)?,
                };
                json(self.core.list_hosts(filter).await)
            }
            Endpoint::ListSlots => {
                let Nothing {} = optional(body)?;
                json(self.core.slots().await)
            }
        }
    }
}

/// Why a problem is one of who asks, if it is.
fn denied_code(problem: &Problem) -> Option<&'static str> {
    match problem.status {
        401 => Some("unauthenticated"),
        403 => Some("forbidden"),
        _ => None,
    }
}

impl CoreApi {
    fn note_denied(&self, token: Option<&str>, code: &'static str) {
        let caller = token.and_then(|token| self.access.authenticate(token));
        let by = caller.as_ref().map_or_else(
            || By::unknown(PLACE),
            |caller| By {
                from: Some(PLACE),
                ..By::from(caller)
            },
        );
        let org = caller.and_then(|caller| caller.org);
        self.core.note_denied(Denied { by, org, code });
    }
}

fn filter(caller: &Principal, request: ListJobs) -> Result<JobFilter, Problem> {
    Ok(JobFilter {
        org: org_of(caller, request.org)?,
        state: request.state,
        host: request.host,
        name: request.name,
        after: request.after,
        limit: limit(request.limit)?,
    })
}

const fn role_for(endpoint: Endpoint) -> Role {
    match endpoint {
        Endpoint::SubmitJob | Endpoint::CancelJob => Role::Operator,
        Endpoint::GetJob | Endpoint::ListJobs | Endpoint::ListHosts | Endpoint::ListSlots => Role::Viewer,
    }
}

fn admit(access: &Access, token: Option<&str>, needed: Role) -> Result<Principal, Problem> {
    let unauthenticated = |detail: &str| problem(401, "unauthenticated", detail.into());
    let token = token.ok_or_else(|| unauthenticated("a token is needed in header Tripline-Token"))?;
    let caller = access.authenticate(token);
    let mut caller = caller.ok_or_else(|| unauthenticated("the token is unknown, revoked or expired"))?;
    caller.place = Some(PLACE);
    if caller.may(needed) {
        Ok(caller)
    } else {
        let detail = format!("role {needed} is needed, the token has {}", caller.role);
        Err(problem(403, "forbidden", detail))
    }
}

/// The org a request acts in: the token's, where it has one, and then no other.
fn org_of(caller: &Principal, asked: Option<Org>) -> Result<Option<Org>, Problem> {
    caller
        .org_for(asked.as_ref())
        .map_err(|refusal| refused(&refusal))
}

fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(problem(
            400,
            "bad_parameter",
            format!("limit is {other}, expected 1 to {LIMIT_MAX}"),
        )),
    }
}

fn required<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| problem(400, "bad_json", format!("the body is not as expected: {error}")))
}

/// An empty body is an empty object.
fn optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() {
        Ok(T::default())
    } else {
        required(body)
    }
}

fn json<T: Serialize>(result: Result<T, Refusal>) -> Result<Vec<u8>, Problem> {
    let value = result.map_err(|refusal| refused(&refusal))?;
    serde_json::to_vec(&value).map_err(|error| problem(500, "internal", error.to_string()))
}

fn refused(refusal: &Refusal) -> Problem {
    let status = match refusal {
        Refusal::NotFound { .. } => 404,
        Refusal::AmbiguousHost { .. } | Refusal::Conflict { .. } => 409,
        Refusal::Invalid { .. } => 422,
        Refusal::Forbidden { .. } => 403,
        Refusal::Busy { .. } | Refusal::Unavailable { .. } => 503,
    };
    problem(status, refusal.code(), refusal.to_string())
}

fn problem(status: u16, code: &str, detail: String) -> Problem {
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        422 => "Unprocessable Entity",
        500 => "Internal Server Error",
        _ => "Service Unavailable",
    };
    let kind = format!("urn:tripline:problem:{code}");
    Problem {
        kind,
        title: title.into(),
        status,
        detail,
        code: code.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;
    use tripline_actors::clock::SystemClock;
    use tripline_actors::store::{Options, Store};
    use tripline_protocol::api::CreateToken;

    fn access(folder: &std::path::Path) -> Access {
        Access::new(
            Store::open(&Options::new(folder)).unwrap(),
            Arc::new(SystemClock::default()),
        )
    }

    async fn token(access: &Access, role: Role, org: Option<&str>) -> String {
        let org = org.map(|org| org.parse().unwrap());
        let request = CreateToken {
            name: "test".into(),
            role,
            org,
            uses: None,
            expires: None,
        };
        access.create(request).await.unwrap().token
    }

    #[tokio::test]
    async fn a_request_needs_a_known_token_with_the_right_role() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let viewer = token(&access, Role::Viewer, None).await;
        let enrol = token(&access, Role::Enrol, None).await;
        let status = |token, role| {
            admit(&access, token, role)
                .map_err(|problem| problem.status)
                .map(drop)
        };
        assert_eq!(status(None, Role::Viewer), Err(401));
        assert_eq!(status(Some("bad"), Role::Viewer), Err(401));
        assert_eq!(status(Some(&viewer), Role::Operator), Err(403));
        assert_eq!(status(Some(&viewer), Role::Viewer), Ok(()));
        assert_eq!(
            status(Some(&enrol), role_for(Endpoint::ListSlots)),
            Err(403),
            "it only enrols"
        );
    }

    #[tokio::test]
    async fn a_token_of_one_org_acts_in_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let acme = token(&access, Role::Operator, Some("acme")).await;
        let acme = admit(&access, Some(&acme), Role::Viewer).unwrap();
        assert_eq!(org_of(&acme, None).unwrap(), Some("acme".parse().unwrap()));
        assert_eq!(
            org_of(&acme, Some("other".parse().unwrap())).unwrap_err().status,
            403
        );
    }

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
