//! What the requests of the micro service mean: who may ask, and the actors' answer.
//!
//! Deliberately not here: reading bodies (`asked.rs`).

use super::asked::{Asked, OneJob};
use super::service::{Api, Endpoint};
use crate::detections;
use crate::limits::{Limits, Origin, TooEarly};
use serde::Serialize;
use std::sync::Arc;
use tripline_actors::access::{Access, Principal};
use tripline_actors::audit::{By, Denied};
use tripline_actors::clock::Clock;
use tripline_actors::{Core, Refusal};
use tripline_protocol::Org;
use tripline_protocol::api::{Problem, Role};
use tripline_protocol::audit::{Dialect, Place};

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
    /// When events come in that do not say.
    pub clock: Arc<dyn Clock>,
    /// How often a token may ask, and how often wrong ones may come: those that HTTP has.
    pub limits: Limits,
}

impl Api for CoreApi {
    async fn call(&self, endpoint: Endpoint, token: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let caller = admit(&self.access, &self.limits, token, role_for(endpoint)).inspect_err(|problem| {
            if let (Some(_), Some(code)) = (token, denied_code(problem)) {
                self.note_denied(token, code);
            }
        })?;
        match Asked::read(endpoint, body)? {
            Asked::SubmitJob(mut request) => {
                request.org = org_of(&caller, request.org)?;
                json(self.core.by(&caller).submit_job(request).await)
            }
            Asked::GetJob(OneJob { job_id, org }) => {
                json(self.core.get_job(org_of(&caller, org)?, job_id).await)
            }
            Asked::CancelJob(OneJob { job_id, org }) => {
                let org = org_of(&caller, org)?;
                json(self.core.by(&caller).cancel_job(org, job_id).await)
            }
            Asked::ListJobs(mut filter) => {
                filter.org = org_of(&caller, filter.org)?;
                json(self.core.list_jobs(filter).await)
            }
            Asked::ReportDetection(request) => {
                let org = org_of(&caller, request.org.clone())?.unwrap_or_else(Org::default_org);
                let event = detections::event(request, org, &caller.name, self.clock.now());
                let event = event.map_err(|refusal| refused(&refusal))?;
                json(self.core.by(&caller).publish_event(event).await)
            }
            Asked::ListHosts(mut filter) => {
                filter.org = org_of(&caller, filter.org)?;
                json(self.core.list_hosts(filter).await)
            }
            Asked::ListSlots => json(self.core.slots().await),
            Asked::Fanout(mut asked) => {
                let org = asked.org_mut();
                *org = org_of(&caller, org.take())?;
                let answer = asked.answer(&self.core.by(&caller)).await;
                written(answer.map_err(|refusal| refused(&refusal))?)
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
        let caller = token.and_then(|token| self.access.caller(token));
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

const fn role_for(endpoint: Endpoint) -> Role {
    match endpoint {
        Endpoint::SubmitJob | Endpoint::CancelJob | Endpoint::ReportDetection => Role::Operator,
        Endpoint::Fanout(verb) if verb.changes() => Role::Operator,
        Endpoint::GetJob
        | Endpoint::ListJobs
        | Endpoint::ListHosts
        | Endpoint::ListSlots
        | Endpoint::Fanout(_) => Role::Viewer,
    }
}

impl From<TooEarly> for Problem {
    fn from(early: TooEarly) -> Self {
        let seconds = early.retry_after_seconds;
        let detail = format!("too many requests; come again in {seconds} s");
        problem(429, "too_many_requests", detail)
    }
}

fn admit(access: &Access, limits: &Limits, token: Option<&str>, needed: Role) -> Result<Principal, Problem> {
    let unauthenticated = |detail: &str| problem(401, "unauthenticated", detail.into());
    let token = token.ok_or_else(|| unauthenticated("a token is needed in header Tripline-Token"))?;
    let look = |token: &str| Ok::<_, Problem>(access.caller(token));
    let caller = limits.log_in(Some(Origin::Service), token, look)?;
    let mut caller = caller.ok_or_else(|| unauthenticated("the token is unknown, revoked or expired"))?;
    limits.request(&caller.token_id)?;
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

fn json<T: Serialize>(result: Result<T, Refusal>) -> Result<Vec<u8>, Problem> {
    let value = result.map_err(|refusal| refused(&refusal))?;
    written(serde_json::to_vec(&value))
}

fn written(json: serde_json::Result<Vec<u8>>) -> Result<Vec<u8>, Problem> {
    json.map_err(|error| problem(500, "internal", error.to_string()))
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

pub(super) fn problem(status: u16, code: &str, detail: String) -> Problem {
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
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

    use crate::limits::LimitOptions;
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

    fn limits(requests: u32, logins: u32) -> Limits {
        Limits::new(LimitOptions {
            requests_per_second: requests,
            requests_burst: requests.max(1),
            failed_logins_max: logins,
        })
    }

    #[tokio::test]
    async fn wrong_tokens_are_looked_at_up_to_a_number_and_those_that_were_right_before_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let viewer = token(&access, Role::Viewer, None).await;
        let other = token(&access, Role::Viewer, None).await;
        let limits = limits(0, 2);
        let ask = |token: &str| match admit(&access, &limits, Some(token), Role::Viewer) {
            Ok(_) => (200, "".to_owned()),
            Err(problem) => (problem.status, problem.detail),
        };
        assert_eq!(ask(&viewer).0, 200);
        for wrong in ["a", "b", "c"] {
            assert_eq!(ask(wrong).0, 401);
        }
        let (status, detail) = ask("d");
        assert_eq!(status, 429);
        assert!(detail.contains("come again in "), "{detail}");
        assert_eq!(ask(&viewer).0, 200);
        assert_eq!(ask(&other).0, 429, "it was not seen before");
    }

    #[tokio::test]
    async fn a_token_that_asks_too_often_has_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let viewer = token(&access, Role::Viewer, None).await;
        let other = token(&access, Role::Viewer, None).await;
        let limits = limits(1, 0);
        let ask = |token: &str| admit(&access, &limits, Some(token), Role::Viewer);
        // However slow this machine is, one of a thousand comes within a second of the one before.
        let refused = (0..1_000).find_map(|_| ask(&viewer).err()).expect("a limit");
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (429, "too_many_requests")
        );
        assert!(ask(&other).is_ok());
    }

    #[tokio::test]
    async fn a_request_needs_a_known_token_with_the_right_role() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let viewer = token(&access, Role::Viewer, None).await;
        let enrol = token(&access, Role::Enrol, None).await;
        let limits = limits(0, 0);
        let status = |token, role| {
            admit(&access, &limits, token, role)
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
        let acme = admit(&access, &limits(0, 0), Some(&acme), Role::Viewer).unwrap();
        assert_eq!(org_of(&acme, None).unwrap(), Some("acme".parse().unwrap()));
        assert_eq!(
            org_of(&acme, Some("other".parse().unwrap())).unwrap_err().status,
            403
        );
    }
}
