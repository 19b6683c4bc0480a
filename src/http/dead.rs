//! `/v1/dead`: messages that could not be handled, looked at, replayed and dropped.

use super::HttpState;
use super::auth::{Admin, Operator, Viewer};
use super::body::{Body, cursor, page_limit, parameter, path_part};
use super::moment::moment;
use super::problem::ApiError;
use crate::dead::{Error, REASON_UNKNOWN, REASONS, RawLetter, Section};
use actix_web::{HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tripline_actors::access::Principal;
use tripline_actors::{Letter, Refusal};
use tripline_protocol::api::{DeadLetter, DeadLetterView, Page, ReplayDead, ReplayedEvent};
use tripline_protocol::audit::Action;
use tripline_protocol::subject::{HEADER_DEAD_SUBJECT, HEADER_DEAD_TEXT};
use tripline_protocol::{Org, Span, Timestamp};
use utoipa::IntoParams;

/// Sequences looked at for one page.
const LOOKED_AT_MAX: usize = 1_000;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Away => Refusal::Unavailable {
                detail: "the broker is away, and dead letters are in its streams",
            }
            .into(),
            Error::Busy => Refusal::Busy {
                what: "the queue of requests for dead letters",
                retry_after: Span::from_secs(1),
            }
            .into(),
            Error::Refused { what, why } => ApiError::internal(what, why),
        }
    }
}

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListDead {
    org: Option<String>,
    reason: Option<String>,
    since: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// Which letters are wanted.
struct Wanted {
    org: Option<Org>,
    reason: Option<String>,
    since: Option<Timestamp>,
}

impl Wanted {
    fn covers(&self, letter: &DeadLetter) -> bool {
        self.org
            .as_ref()
            .is_none_or(|org| letter.org.as_ref() == Some(org))
            && self.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
            && self.since.is_none_or(|since| letter.stored_at >= since)
    }

    /// Whether everything before `stored_at` is too old.
    fn ends_at(&self, stored_at: Timestamp) -> bool {
        self.since.is_some_and(|since| stored_at < since)
    }
}

/// `GET /v1/dead`: newest first.
pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<ListDead>,
) -> Result<web::Json<Page<DeadLetter>>, ApiError> {
    let query = query.into_inner();
    let wanted = Wanted {
        org: caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?,
        reason: reason(query.reason)?,
        since: moment("since", query.since.as_deref(), &state)?,
    };
    let before = cursor(query.after.as_deref())?;
    let limit = page_limit(query.limit.as_deref())?;
    Ok(web::Json(page(&state, &wanted, before, limit).await?))
}

/// One that there is: a typo would be an empty list, which reads as good news.
fn reason(given: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    match given == REASON_UNKNOWN || REASONS.contains(&given.as_str()) {
        true => Ok(Some(given)),
        false => Err(ApiError::Parameter(format!(
            "query parameter reason: expected one of {}, {REASON_UNKNOWN}",
            REASONS.join(", ")
        ))),
    }
}

async fn page(
    state: &HttpState,
    wanted: &Wanted,
    mut before: Option<u64>,
    limit: usize,
) -> Result<Page<DeadLetter>, ApiError> {
    let (mut items, mut looked_at) = (Vec::new(), 0);
    while looked_at < LOOKED_AT_MAX {
        let section = limit.min(LOOKED_AT_MAX - looked_at);
        let read = state
            .dead
            .read(Section {
                before,
                limit: section,
            })
            .await?;
        looked_at += section;
        for letter in &read.letters {
            if wanted.ends_at(letter.stored_at) {
                return Ok(Page { items, next: None });
            }
            items.extend(Some(summary(state, letter)?).filter(|letter| wanted.covers(letter)));
            if items.len() >= limit {
                let next = Some(letter.sequence.to_string()).filter(|_| letter.sequence > 1);
                return Ok(Page { items, next });
            }
        }
        match read.next {
            None => return Ok(Page { items, next: None }),
            next => before = next,
        }
    }
    let next = before.map(|before| before.to_string());
    Ok(Page { items, next })
}

fn summary(state: &HttpState, letter: &RawLetter) -> Result<DeadLetter, ApiError> {
    let header = |wanted: &str| {
        let found = letter.headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    // What somebody else put into the stream is shown as it is.
    let (org, reason) = state
        .subjects
        .parse_dead(&letter.subject)
        .unwrap_or_else(|_| (None, REASON_UNKNOWN.to_owned()));
    Ok(DeadLetter {
        sequence: letter.sequence,
        org,
        reason,
        text: header(HEADER_DEAD_TEXT),
        subject: header(HEADER_DEAD_SUBJECT),
        stored_at: letter.stored_at,
        bytes: letter.payload.len() as u64,
        replayed: state.core.replayed(letter.stream_created, letter.sequence)?,
    })
}

/// The letter with its summary, if the caller may see it.
async fn find(
    caller: &Principal,
    state: &HttpState,
    sequence: &str,
) -> Result<(RawLetter, DeadLetter), ApiError> {
    let number: u64 = path_part(sequence)?;
    let not_found = || Refusal::NotFound {
        what: "dead letter",
        id: number.to_string(),
    };
    let letter = match number {
        0 => None,
        number => state.dead.get(number).await?,
    };
    let letter = letter.ok_or_else(not_found)?;
    let summary = summary(state, &letter)?;
    match &caller.org {
        Some(own) if summary.org.as_ref() != Some(own) => Err(not_found().into()),
        _ => Ok((letter, summary)),
    }
}

/// `GET /v1/dead/{sequence}`
pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
    sequence: web::Path<String>,
) -> Result<web::Json<DeadLetterView>, ApiError> {
    let (raw, letter) = find(&caller, &state, &sequence).await?;
    let data: Option<Value> = serde_json::from_slice(&raw.payload).ok();
    let content = match &data {
        Some(_) => None,
        None => std::str::from_utf8(&raw.payload).ok().map(str::to_owned),
    };
    let is_text = data.is_some() || content.is_some();
    Ok(web::Json(DeadLetterView {
        letter,
        headers: raw.headers,
        content_b64: (!is_text).then(|| STANDARD.encode(&raw.payload)),
        data,
        content,
    }))
}

/// `POST /v1/dead/{sequence}/replay`
pub(super) async fn replay(
    caller: Operator,
    state: web::Data<HttpState>,
    sequence: web::Path<String>,
    Body(ReplayDead { again }): Body<ReplayDead>,
) -> Result<(web::Json<ReplayedEvent>, actix_web::http::StatusCode), ApiError> {
    let (raw, _) = find(&caller, &state, &sequence).await?;
    let letter = Letter {
        stream_created: raw.stream_created,
        stream: state.subjects.dead_stream(),
        sequence: raw.sequence,
        headers: raw.headers,
        payload: raw.payload,
        stored_at: raw.stored_at,
    };
    let replayed = state.core.replay(&caller, letter, again).await?;
    Ok((web::Json(replayed), actix_web::http::StatusCode::ACCEPTED))
}

/// `DELETE /v1/dead/{sequence}`
pub(super) async fn drop_letter(
    caller: Admin,
    state: web::Data<HttpState>,
    sequence: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let (raw, letter) = find(&caller, &state, &sequence).await?;
    let noted = state.core.by(&caller);
    noted
        .put_on_record(Action::DeadDrop, letter.org.as_ref(), |entry| {
            entry.on("letter", raw.sequence).detail("reason", &letter.reason)
        })
        .await?;
    state.dead.remove(raw.sequence).await?;
    tracing::warn!(
        by = caller.name,
        token = caller.token_id,
        letter = raw.sequence,
        reason = letter.reason,
        "dead letter dropped"
    );
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead::{DeadLetters, Letters};
    use crate::http::tests::House;
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, ready};
    use std::sync::Arc;
    use tripline_protocol::Subjects;

    /// More letters than are looked at for two pages.
    const LETTERS: u64 = 3 * LOOKED_AT_MAX as u64;

    /// A stream with one letter of another reason than the others.
    struct Stream {
        odd: u64,
    }

    impl Stream {
        fn letter(&self, sequence: u64) -> RawLetter {
            let reason = if sequence == self.odd { "poison" } else { "stale" };
            RawLetter {
                stream_created: Timestamp::default(),
                sequence,
                subject: Subjects::default().dead(None, reason),
                headers: Vec::new(),
                payload: Default::default(),
                stored_at: Timestamp::default(),
            }
        }
    }

    impl DeadLetters for Stream {
        fn read(&self, section: Section) -> BoxFuture<'static, Result<Letters, Error>> {
            let end = section.before.unwrap_or(LETTERS + 1);
            let begin = end.saturating_sub(section.limit as u64).max(1);
            let letters = (begin..end).rev().map(|sequence| self.letter(sequence));
            let next = (begin > 1).then_some(begin);
            let letters = letters.collect();
            ready(Ok(Letters { letters, next })).boxed()
        }

        fn get(&self, _: u64) -> BoxFuture<'static, Result<Option<RawLetter>, Error>> {
            ready(Err(Error::Away)).boxed()
        }

        fn remove(&self, _: u64) -> BoxFuture<'static, Result<bool, Error>> {
            ready(Err(Error::Away)).boxed()
        }
    }

    #[actix_web::test]
    async fn so_many_letters_are_looked_at_for_a_page_and_the_next_goes_on_behind_them() {
        let house = House::new().await;
        let odd_only = Wanted {
            org: None,
            reason: Some("poison".into()),
            since: None,
        };
        let last_looked_at = LETTERS - LOOKED_AT_MAX as u64 + 1;
        // Also with pages that the bound is no multiple of.
        for limit in [1, 7, 600, LOOKED_AT_MAX] {
            let read = async |odd: u64, before: Option<u64>| {
                let state = HttpState {
                    dead: Arc::new(Stream { odd }),
                    ..house.state.clone()
                };
                let page = page(&state, &odd_only, before, limit).await.expect("a page");
                let found: Vec<u64> = page.items.iter().map(|letter| letter.sequence).collect();
                (found, page.next.map(|next| next.parse().expect("a sequence")))
            };
            assert_eq!(read(last_looked_at, None).await.0, [last_looked_at], "{limit}");
            let beyond = last_looked_at - 1;
            let (found, next) = read(beyond, None).await;
            assert_eq!((&*found, next), (&[][..], Some(last_looked_at)), "{limit}");
            assert_eq!(read(beyond, next).await.0, [beyond], "{limit}");
        }
        house.over().await;
    }
}
