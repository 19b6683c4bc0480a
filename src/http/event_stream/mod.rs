//! `GET /v1/events`: follows the events as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! What to follow is here, how many may is in `places`, what is sent is in `body`, how it is written in `wire`.

mod body;
mod places;
mod wire;

pub use places::Places;

use super::HttpState;
use super::auth::{Viewer, bearer};
use super::body::parameter;
use super::problem::ApiError;
use super::server::Stopping;
use crate::feed::{Follow, Piece};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use body::Following;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tripline_actors::Refusal;
use tripline_protocol::Org;
use tripline_protocol::subject::EtypePattern;

/// Where a client that lost its connection goes on, as its browser or library says it.
const LAST_EVENT_ID: &str = "last-event-id";
/// Most patterns of one stream.
pub(super) const PATTERNS_MAX: usize = 64;
/// How long the broker may take until the stream has begun.
const BEGIN_WAIT: Duration = Duration::from_secs(5);

/// The query.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    etypes: Vec<EtypePattern>,
    org: Option<Org>,
    host: Option<String>,
    after: Option<u64>,
}

impl Wanted {
    /// Of pairs of names and values; `etype` may be there more than once.
    fn read(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "etype" => wanted.add_patterns(&value)?,
                "org" => wanted.org = parameter("org", Some(&value))?,
                "host" => wanted.host = Some(value).filter(|host| !host.is_empty()),
                "after" => wanted.after = parameter("after", Some(&value))?,
                other => {
                    let what = format!("query parameter {other}: expected etype, org, host or after");
                    return Err(ApiError::Parameter(what.chars().take(200).collect()));
                }
            }
        }
        Ok(wanted)
    }

    fn add_patterns(&mut self, list: &str) -> Result<(), ApiError> {
        for pattern in list.split(',').filter(|pattern| !pattern.is_empty()) {
            self.etypes.extend(parameter("etype", Some(pattern))?);
        }
        match self.etypes.len() {
            0..=PATTERNS_MAX => Ok(()),
            _ => Err(ApiError::Parameter(format!(
                "query parameter etype: at most {PATTERNS_MAX} patterns"
            ))),
        }
    }
}

pub(super) async fn watch(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let wanted = Wanted::read(query.into_inner())?;
    let org = caller.org_for(wanted.org.as_ref())?;
    let host = match wanted.host {
        Some(host) => Some(state.core.get_host(org.clone(), host).await?.host_id),
        None => None,
    };
    let follow = Follow {
        org: org.clone(),
        etypes: wanted.etypes.clone(),
        after: last_event_id(&request)?.or(wanted.after),
    };
    let place = state.places.take(&caller.token_id)?;
    let (first, pieces) = begin(state.feed.follow(follow)).await?;
    let following = Following {
        core: state.core.clone(),
        access: state.access.clone(),
        token: bearer(request.headers()).unwrap_or_default().to_owned(),
        etypes: wanted.etypes,
        org,
        host,
        _place: place,
    };
    let stopping = request.app_data::<Stopping>().cloned();
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(following.stream(first, pieces, stopping)))
}

/// The header of a client that goes on comes before what its address once said.
fn last_event_id(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let wrong =
        || ApiError::Parameter("header Last-Event-ID: expected the id of an event of this stream".into());
    match value.to_str().map_err(|_| wrong())? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    }
}

/// Waits until the stream has begun: what is published after the answer's head is on it.
async fn begin(mut pieces: mpsc::Receiver<Piece>) -> Result<(Piece, mpsc::Receiver<Piece>), ApiError> {
    match timeout(BEGIN_WAIT, pieces.recv()).await {
        Ok(Some(first)) => Ok((first, pieces)),
        Ok(None) | Err(_) => Err(Refusal::Unavailable {
            detail: "the broker is away",
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn read(query: &str) -> Result<Wanted, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query).expect("pairs");
        Wanted::read(pairs.into_inner())
    }

    fn patterns(list: &[&str]) -> Vec<EtypePattern> {
        list.iter().map(|text| text.parse().expect("a pattern")).collect()
    }

    #[test]
    fn patterns_come_one_by_one_or_in_a_list() {
        let wanted = read("etype=A,acme.*&org=acme&etype=b.%3E&host=pc&after=7").expect("understood");
        assert_eq!(
            wanted,
            Wanted {
                etypes: patterns(&["A", "acme.*", "b.>"]),
                org: Some("acme".parse().expect("an org")),
                host: Some("pc".into()),
                after: Some(7),
            }
        );
        assert_eq!(
            read("etype=&org=&host=&after=").expect("nothing"),
            Wanted::default()
        );
    }

    #[test]
    fn what_is_wrong_in_the_query_is_named() {
        for (query, named) in [
            ("etypes=A", "etypes"),
            ("etype=a%20b", "etype"),
            ("etype=a.>.b", "etype"),
            ("after=-1", "after"),
            ("org=a.b", "org"),
        ] {
            let error = read(query).expect_err(query).to_string();
            assert!(error.contains(named), "{query}: {error}");
        }
        let many = "A,".repeat(PATTERNS_MAX + 1);
        assert!(read(&format!("etype={many}")).is_err());
    }

    #[test]
    fn the_header_of_who_goes_on_is_a_sequence() {
        let id = |value: &str| {
            last_event_id(
                &TestRequest::get()
                    .insert_header((LAST_EVENT_ID, value))
                    .to_http_request(),
            )
        };
        assert_eq!(id("41").expect("a sequence"), Some(41));
        assert_eq!(id("").expect("none"), None);
        for wrong in ["x", "-1", "1.5", "99999999999999999999"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }

    #[actix_web::test]
    async fn without_the_broker_the_stream_does_not_begin() {
        let (_, none) = mpsc::channel(1);
        let error = begin(none).await.expect_err("no stream").to_problem();
        assert_eq!((error.status, error.code.as_str()), (503, "unavailable"));
    }
}
