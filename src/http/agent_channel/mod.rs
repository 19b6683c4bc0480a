//! The agent channel: `GET /v1/agent`, WebSocket subprotocol `tripline.agent.v1`.
//!
//! An agent proves itself with its key before the upgrade, says hello, is attached, and from then on its
//! connection is one task. Files travel in chunks, straight between socket and disk. Deliberately not
//! here: what frames mean for hosts and jobs; the actors decide that.

mod closing;
mod connection;
mod disk;
mod hellos;
mod incoming;
mod misdeeds;
mod outgoing;
mod transfers;
mod wire;

use super::HttpState;
use super::auth;
use super::bounds::Bounds;
use super::place::note_unknown;
use super::problem::ApiError;
use super::server::Stopping;
use super::strangers;
use actix_web::http::header::{HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, MessageStream, Session};
use closing::{End, Violation};
use connection::{Connection, turn_away};
use hellos::Hellos;
use misdeeds::{Conduct, Misdeeds};
use sha2::Digest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::Instrument;
use tripline_actors::clock::Clock;
use tripline_actors::{AttachAgent, Attached, LinkMessage, Presented, Refusal};
use tripline_protocol::audit::Dialect;
use tripline_protocol::frame::{AgentFrame, Hello, SUBPROTOCOL, ServerFrame};
use tripline_protocol::limit::FRAME_BYTES_MAX;
use tripline_protocol::{HostId, Sha256};

/// Messages the actors may have waiting for one agent.
const LINK_CAPACITY: usize = 256;

/// `GET /v1/agent`.
pub(super) async fn open(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, ApiError> {
    let key = auth::bearer(request.headers()).ok_or(ApiError::Unauthenticated { presented: false })?;
    let address = request.peer_addr().map(|address| address.ip());
    let known = |key: &str| Ok::<_, ApiError>(state.core.host_of_key(&key_hash(key))?);
    let host_id = auth::log_in(address, &state.limits, key, known)?.ok_or_else(|| {
        note_unknown(&state, &request, Dialect::Agent, "unknown_agent_key");
        ApiError::UnknownAgentKey
    })?;
    strangers::prove(&request);
    let key = key_hash(key);
    require_subprotocol(request.headers())?;
    let known = request.app_data::<Known>().cloned();
    let known = known.unwrap_or_else(|| Known::new(Arc::clone(&state.clock)));
    let door = Door {
        stopping: request.app_data::<Stopping>().cloned(),
        hello_timeout: Bounds::of(&request).hello_timeout,
        conduct: known.misdeeds.of(host_id),
        hellos: known.hellos,
    };
    let (response, session, stream) = actix_ws::handle_with_protocols(&request, body, &[SUBPROTOCOL])
        .map_err(|error| ApiError::Handshake(format!("this is the agent channel, a WebSocket: {error}")))?;
    let stream = bounded(stream);
    let span = tracing::info_span!("agent_channel.serve", %host_id);
    let presented = Presented {
        key_sha256: Some(key),
        address,
    };
    let agent = (host_id, presented);
    actix_web::rt::spawn(serve(state, door, agent, session, stream).instrument(span));
    Ok(response)
}

/// What is known of all agents' connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Known {
    misdeeds: Misdeeds,
    hellos: Hellos,
}

impl Known {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            misdeeds: Misdeeds::new(clock),
            hellos: Hellos::default(),
        }
    }
}

/// What a connection came through.
struct Door {
    stopping: Option<Stopping>,
    hello_timeout: Duration,
    conduct: Conduct,
    hellos: Hellos,
}

/// With our limits for frames, whole or in parts.
fn bounded(stream: MessageStream) -> AggregatedMessageStream {
    stream
        .max_frame_size(FRAME_BYTES_MAX)
        .aggregate_continuations()
        .max_continuation_size(FRAME_BYTES_MAX)
}

fn key_hash(key: &str) -> Sha256 {
    Sha256::from_digest(&sha2::Sha256::digest(key).into())
}

fn require_subprotocol(headers: &HeaderMap) -> Result<(), ApiError> {
    let offered = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|name| name.trim() == SUBPROTOCOL);
    match offered {
        true => Ok(()),
        false => Err(ApiError::Handshake(format!(
            "the WebSocket subprotocol {SUBPROTOCOL} is needed"
        ))),
    }
}

/// A connection from its upgrade to its end.
async fn serve(
    state: web::Data<HttpState>,
    door: Door,
    (host_id, presented): (HostId, Presented),
    session: Session,
    mut stream: AggregatedMessageStream,
) {
    let connections = metrics::gauge!("tripline_agent_channel_connections");
    connections.increment(1.0);
    let met = meet(&state, &door, (host_id, presented), session.clone(), &mut stream);
    let end = match met.await {
        Ok((attached, link)) => {
            tracing::info!(epoch = attached.epoch, "agent connected");
            let welcome = welcome(host_id, attached.epoch, attached.littlebrother);
            let socket = (session, stream);
            let conduct = door.conduct.clone();
            Connection::new(
                socket,
                link,
                (attached, conduct),
                state.artifacts.clone(),
                &welcome,
            )
            .run(stopped(door.stopping))
            .await
        }
        Err(end) => {
            turn_away(session, &end).await;
            end
        }
    };
    connections.decrement(1.0);
    metrics::counter!("tripline_agent_channel_ends_total", "reason" => end.word()).increment(1);
    match end {
        End::Violation(violation) => door.conduct.ends(&violation),
        end => tracing::info!(reason = end.word(), "agent disconnected"),
    }
}

async fn stopped(stopping: Option<Stopping>) {
    match stopping {
        Some(mut stopping) => stopping.stopped().await,
        None => std::future::pending().await,
    }
}

/// `littlebrother`: the agent is to watch processes.
fn welcome(host_id: HostId, epoch: u64, littlebrother: bool) -> ServerFrame {
    ServerFrame::Welcome {
        host_id,
        epoch,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        littlebrother,
    }
}

/// Hears hello and attaches the agent.
async fn meet(
    state: &HttpState,
    door: &Door,
    (host_id, presented): (HostId, Presented),
    session: Session,
    stream: &mut AggregatedMessageStream,
) -> Result<(Attached, mpsc::Receiver<LinkMessage>), End> {
    let waiting = door.hellos.wait(host_id);
    let hello = tokio::select! {
        hello = hear_hello(session, stream, door.hello_timeout) => hello?,
        () = waiting.replaced() => return Err(End::Told("replaced")),
    };
    drop(waiting);
    let (sender, link) = mpsc::channel(LINK_CAPACITY);
    let attached = state
        .core
        .attach_agent(AttachAgent {
            host_id,
            presented,
            hello,
            link: sender,
        })
        .await
        .map_err(refused)?;
    Ok((attached, link))
}

/// The actors do not take the agent: its hello is not legal, its key was revoked or its host forgotten meanwhile, another one has its key, or
/// the server stops or is too busy.
fn refused(refusal: Refusal) -> End {
    if let Refusal::Invalid { detail, .. } = refusal {
        return Violation::BadHello(detail).into();
    }
    tracing::warn!(%refusal, "agent not attached");
    match refusal {
        Refusal::NotFound { .. } => End::Told("forgotten"),
        Refusal::Forbidden { .. } => End::Told("revoked"),
        Refusal::Conflict { .. } => End::Told("replaced"),
        _ => End::Told("shutdown"),
    }
}

async fn hear_hello(
    session: Session,
    stream: &mut AggregatedMessageStream,
    patience: Duration,
) -> Result<Hello, End> {
    tokio::time::timeout(patience, hear_first(session, stream))
        .await
        .map_err(|_| Violation::HelloLate(patience))?
}

async fn hear_first(mut session: Session, stream: &mut AggregatedMessageStream) -> Result<Hello, End> {
    loop {
        match stream.recv().await.ok_or(End::Gone)?? {
            AggregatedMessage::Text(text) => {
                return match wire::read(&text)? {
                    AgentFrame::Hello(hello) => Ok(*hello),
                    _ => Err(Violation::NotHello.into()),
                };
            }
            AggregatedMessage::Binary(_) => return Err(Violation::NotHello.into()),
            AggregatedMessage::Ping(payload) => session.pong(&payload).await.map_err(|_| End::Gone)?,
            AggregatedMessage::Pong(_) => {}
            AggregatedMessage::Close(_) => return Err(End::Gone),
        }
    }
}

#[cfg(test)]
mod tests;
