//! `GET /v1/events`: follows the events as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! What to follow is here, what is sent is in `body`, how it is written in `wire`.

mod body;
mod wire;

use super::HttpState;
use super::auth::Viewer;
use super::body::parameter;
use super::problem::ApiError;
use super::sse;
use crate::feed::{Follow, Piece};
use actix_web::{HttpRequest, HttpResponse, web};
use body::Following;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tripline_actors::Refusal;
use tripline_protocol::Org;
use tripline_protocol::subject::EtypePattern;

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
                "etype" => sse::add("etype", &value, PATTERNS_MAX, &mut wanted.etypes)?,
                "org" => wanted.org = parameter("org", Some(&value))?,
                "host" => wanted.host = Some(value).filter(|host| !host.is_empty()),
                "after" => wanted.after = parameter("after", Some(&value))?,
                other => return Err(sse::unknown(other, "etype, org, host or after")),
            }
        }
        Ok(wanted)
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
        after: sse::last_event_id(&request)?.or(wanted.after),
    };
    let place = state.places.take(&caller.token_id, "events")?;
    let (first, pieces) = begin(state.feed.follow(follow)).await?;
    let following = Following {
        core: state.core.clone(),
        etypes: wanted.etypes,
        org,
        host,
        first: Some(first),
        pieces,
        passed: None,
    };
    Ok(sse::answer(&request, &state, place, following))
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

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_says_nothing_is_waited_for_so_long() {
        let (silent, pieces) = mpsc::channel(1);
        let begun = tokio::time::Instant::now();
        let error = begin(pieces).await.expect_err("no stream").to_problem();
        assert_eq!((error.status, begun.elapsed()), (503, BEGIN_WAIT));
        drop(silent);
    }

    #[actix_web::test]
    async fn without_the_broker_the_stream_does_not_begin() {
        let (_, none) = mpsc::channel(1);
        let error = begin(none).await.expect_err("no stream").to_problem();
        assert_eq!((error.status, error.code.as_str()), (503, "unavailable"));
    }
}
