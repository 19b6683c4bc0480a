//! `POST /api/events`: a client's message, and what waits for the client as the answer.

use super::super::auth::log_in;
use super::super::body::bytes;
use super::super::place::unknown;
use super::super::strangers;
use super::answer::response;
use super::error::Error;
use super::{Clients, Served};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use tripline_protocol::audit::Dialect as Door;
use tripline_protocol::littlebrother::{Ignored, MESSAGE_BYTES_MAX, ReadMessage};

pub(super) async fn take<C: Clients>(
    request: HttpRequest,
    payload: web::Payload,
    served: web::Data<Served<C>>,
) -> Result<HttpResponse, Error> {
    if !request.content_type().eq_ignore_ascii_case("application/json") {
        return Err(Error::ContentType);
    }
    let body = bytes(&request, payload.into_inner(), MESSAGE_BYTES_MAX).await?;
    let address = request.peer_addr().map(|address| address.ip());
    let read = read(&served, address, &body).inspect_err(|error| {
        if matches!(error, Error::WrongSecret) {
            let denied = unknown(&request, Door::Littlebrother, "wrong_secret");
            served.clients.denied(denied);
        }
    })?;
    strangers::prove(&request);
    note_ignored(&read);
    Ok(response(served.clients.message(read.message).await?))
}

/// The message, if its secret is right.
fn read<C: Clients>(served: &Served<C>, address: Option<IpAddr>, body: &[u8]) -> Result<ReadMessage, Error> {
    turn_away(served, address, body)?;
    let now = served.settings()?.zone.to_local(served.clock.now());
    let read = ReadMessage::read(body, now)?;
    // What has no secret, or one that is no text, tries none.
    match &read.secret {
        Some(secret) if served.dialect.admits(secret) => Ok(read),
        _ => Err(Error::WrongSecret),
    }
}

/// Nothing else of a message is looked at when its secret is a text and wrong, and not even that when too many wrong ones
/// came from its address.
fn turn_away<C: Clients>(served: &Served<C>, address: Option<IpAddr>, body: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Presented {
        secret: serde_json::Value,
    }
    // What cannot be read, reading the whole will name.
    let Ok(Presented { secret }) = serde_json::from_slice(body) else {
        return Ok(());
    };
    let Some(secret) = secret.as_str() else {
        return Ok(());
    };
    let look = |secret: &str| Ok::<_, Error>(served.dialect.admits(secret).then_some(()));
    log_in(address, &served.limits, secret, look)?.ok_or(Error::WrongSecret)
}

/// What was left out is counted; what no client of the real program sends is worth a warning.
fn note_ignored(read: &ReadMessage) {
    let mut counts: BTreeMap<Ignored, u64> = BTreeMap::new();
    for why in &read.ignored {
        *counts.entry(*why).or_default() += 1;
    }
    for (why, count) in counts {
        let (hostname, reason) = (&read.message.hostname, why.as_str());
        metrics::counter!("tripline_littlebrother_events_ignored_total", "reason" => reason).increment(count);
        match why {
            Ignored::ServerType | Ignored::ForeignHost => {
                tracing::warn!(hostname, count, reason, "left out of a message");
            }
            Ignored::UnknownType | Ignored::UnknownAttribute | Ignored::Payload => {
                tracing::debug!(hostname, count, reason, "left out of a message");
            }
        }
    }
}
