//! What the requests of the micro service mean: who may ask, the body's type, the actors' answer.
//!
//! Bodies are those of `/v1`; where HTTP has a path and a query, the body is an object with the same names.

use super::service::{Api, Endpoint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::Future;
use tripline_actors::{Core, JobFilter, Refusal};
use tripline_protocol::api::{Problem, Role, SubmitJob};
use tripline_protocol::job::JobState;
use tripline_protocol::{HostId, JobId, Name, Org};

/// How many items a list has when the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most items of a list.
const LIMIT_MAX: usize = 1_000;

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What it may do.
    pub role: Role,
    /// The only org it may act in; `None`: all.
    pub org: Option<Org>,
}

/// Knows tokens.
pub trait Gate: 'static {
    /// Whose token it is; `None` when it is unknown, revoked or expired.
    fn admit(&self, token: &str) -> impl Future<Output = Result<Option<Caller>, Refusal>>;
}

/// Answers requests by asking the actors.
pub struct CoreApi<G> {
    /// The actors.
    pub core: Core,
    /// Who may.
    pub gate: G,
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
    after: Option<String>,
    limit: Option<usize>,
}

/// `slots.list`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<G: Gate> Api for CoreApi<G> {
    async fn call(&self, endpoint: Endpoint, token: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let caller = admit(&self.gate, token, role_for(endpoint)).await?;
        match endpoint {
            Endpoint::SubmitJob => {
                let mut request: SubmitJob = required(body)?;
                request.org = org_of(&caller, request.org)?;
                json(self.core.submit_job(request).await)
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
                        .cancel_job(org_of(&caller, request.org)?, request.job_id)
                        .await,
                )
            }
            Endpoint::ListJobs => json(self.core.list_jobs(filter(&caller, optional(body)?)?).await),
            Endpoint::ListHosts => {
                let request: ListHosts = optional(body)?;
                let org = org_of(&caller, request.org)?;
                json(
                    self.core
                        .list_hosts(org, request.after, limit(request.limit)?)
                        .await,
                )
            }
            Endpoint::ListSlots => {
                let Nothing {} = optional(body)?;
                json(self.core.slots().await)
            }
        }
    }
}

fn filter(caller: &Caller, request: ListJobs) -> Result<JobFilter, Problem> {
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

async fn admit<G: Gate>(gate: &G, token: Option<&str>, needed: Role) -> Result<Caller, Problem> {
    let unauthenticated = |detail: &str| problem(401, "unauthenticated", detail.into());
    let token = token.ok_or_else(|| unauthenticated("a token is needed in header Tripline-Token"))?;
    let caller = gate.admit(token).await.map_err(|refusal| refused(&refusal))?;
    let caller = caller.ok_or_else(|| unauthenticated("the token is unknown, revoked or expired"))?;
    if caller.role < needed {
        let detail = format!("role {needed} is needed, the token has {}", caller.role);
        return Err(problem(403, "forbidden", detail));
    }
    Ok(caller)
}

/// The org a request acts in: the token's, where it has one, and then no other.
fn org_of(caller: &Caller, asked: Option<Org>) -> Result<Option<Org>, Problem> {
    match (&caller.org, asked) {
        (Some(own), Some(asked)) if *own != asked => Err(problem(
            403,
            "forbidden",
            format!("the token is for org {own} only"),
        )),
        (Some(own), _) => Ok(Some(own.clone())),
        (None, asked) => Ok(asked),
    }
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

    struct OneToken(Caller);

    impl Gate for OneToken {
        async fn admit(&self, token: &str) -> Result<Option<Caller>, Refusal> {
            Ok((token == "good").then(|| self.0.clone()))
        }
    }

    fn caller(role: Role, org: Option<&str>) -> Caller {
        Caller {
            role,
            org: org.map(|org| org.parse().unwrap()),
        }
    }

    #[tokio::test]
    async fn a_request_needs_a_known_token_with_the_right_role() {
        let gate = OneToken(caller(Role::Viewer, None));
        let status = |result: Result<Caller, Problem>| result.map_err(|problem| problem.status).map(drop);
        assert_eq!(status(admit(&gate, None, Role::Viewer).await), Err(401));
        assert_eq!(status(admit(&gate, Some("bad"), Role::Viewer).await), Err(401));
        assert_eq!(status(admit(&gate, Some("good"), Role::Operator).await), Err(403));
        assert_eq!(status(admit(&gate, Some("good"), Role::Viewer).await), Ok(()));
    }

    #[tokio::test]
    async fn an_enrolment_token_reads_nothing() {
        let gate = OneToken(caller(Role::Enrol, None));
        let refused = admit(&gate, Some("good"), role_for(Endpoint::ListSlots)).await;
        assert_eq!(refused.unwrap_err().status, 403);
    }

    #[test]
    fn a_token_of_one_org_acts_in_no_other() {
        let acme = caller(Role::Admin, Some("acme"));
        assert_eq!(org_of(&acme, None).unwrap(), Some("acme".parse().unwrap()));
        assert_eq!(
            org_of(&acme, Some("other".parse().unwrap())).unwrap_err().status,
            403
        );
        assert_eq!(org_of(&caller(Role::Admin, None), None).unwrap(), None);
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
