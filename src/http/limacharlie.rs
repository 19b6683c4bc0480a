//! `POST /lc`: calls of LimaCharlie. The signature is looked at first, over the bytes as they came.
//!
//! Deliberately not here: the answers of the protocol (crate `tripline-service`), and what a call causes (`crate::limacharlie`).

use super::auth::log_in;
use super::body::announced_length;
use super::bounds::Bounds;
use super::delivery::Delivery;
use super::place::unknown;
use super::strangers;
use crate::limacharlie::Role;
use crate::limits::{Limits, TooEarly};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::StreamExt;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tripline_actors::Core;
use tripline_actors::clock::Clock;
use tripline_actors::littlebrother::Receipt;
use tripline_protocol::audit::Dialect as Door;
use tripline_protocol::limacharlie::{Answer, CALL_BYTES_MAX, Call, SIGNATURE_HEADER, ServiceEtype};
use tripline_service::{Response, Runtime};

/// A body is a large one from here on.
pub(super) const LARGE_CALL_BYTES: usize = 1024 * 1024;
/// Large bodies at once; one more is to come again.
pub(super) const LARGE_CALLS_MAX: usize = 4;
/// Answers with contents of resources that are made and written at once; one more is to come again.
pub(super) const CONTENTS_MAX: usize = 4;
/// What stands for any signature where log-ins are counted: each body has its own.
const SIGNED: &str = "lc-svc-sig";
/// When a refused call may come again, in seconds.
const AGAIN_AFTER: &str = "5";

/// What the handler asks.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) runtime: Arc<Runtime<Role>>,
    pub(super) core: Core,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) places: Places,
}

/// Places of what is large; the workers share them.
#[derive(Clone)]
pub(super) struct Places {
    bodies: Arc<Semaphore>,
    contents: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            bodies: Arc::new(Semaphore::new(LARGE_CALLS_MAX)),
            contents: Arc::new(Semaphore::new(CONTENTS_MAX)),
        }
    }
}

/// Why there is no call.
enum Refused {
    /// Too many wrong signatures came from the address: this one was not looked at.
    TooEarly,
    /// As the protocol says it.
    Protocol(Response),
}

impl From<TooEarly> for Refused {
    fn from(_: TooEarly) -> Self {
        Self::TooEarly
    }
}

/// Adds the route; it finds [`Served`] in the application's data.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let others = || async {
        HttpResponse::MethodNotAllowed()
            .insert_header((ALLOW, "POST, PUT"))
            .finish()
    };
    let resource = web::resource("/lc")
        .route(web::post().to(take))
        .route(web::put().to(take));
    config.service(resource.default_service(web::to(others)));
}

async fn take(request: HttpRequest, payload: web::Payload, served: web::Data<Served>) -> HttpResponse {
    let patience = Bounds::of(&request).body_timeout;
    let body = match tokio::time::timeout(patience, read(&request, payload, &served)).await {
        Ok(Ok(body)) => body,
        Ok(Err(status)) => return bare(status),
        Err(_) => return bare(StatusCode::REQUEST_TIMEOUT),
    };
    let _call = served.runtime.enter();
    let address = request.peer_addr().map(|address| address.ip());
    let signatures: Vec<Vec<u8>> = request
        .headers()
        .get_all(SIGNATURE_HEADER)
        .map(|value| value.as_bytes().to_vec())
        .collect();
    match open_apart(&served, address, signatures, body).await {
        Ok(call) => {
            strangers::prove(&request);
            answered(&served, call).await
        }
        Err(Refused::TooEarly) => bare(StatusCode::SERVICE_UNAVAILABLE),
        Err(Refused::Protocol(response)) => {
            if response.status == 401 {
                let denied = unknown(&request, Door::Limacharlie, "wrong_signature");
                served.core.note_denied(denied);
            }
            written(response, None, None)
        }
    }
}

/// The whole body, and its place if it is a large one.
struct Body {
    bytes: Bytes,
    place: Option<OwnedSemaphorePermit>,
}

async fn read(request: &HttpRequest, mut payload: web::Payload, served: &Served) -> Result<Body, StatusCode> {
    let place = || {
        let place = Arc::clone(&served.places.bodies).try_acquire_owned();
        place.map(Some).map_err(|_| {
            metrics::counter!("tripline_limacharlie_large_refused_total").increment(1);
            StatusCode::SERVICE_UNAVAILABLE
        })
    };
    let announced = announced_length(request).unwrap_or(0);
    if announced > CALL_BYTES_MAX as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut held = match announced > LARGE_CALL_BYTES as u64 {
        true => place()?,
        false => None,
    };
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| StatusCode::BAD_REQUEST)?;
        let length = body.len() + piece.len();
        if length > CALL_BYTES_MAX {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if length > LARGE_CALL_BYTES && held.is_none() {
            held = place()?;
        }
        body.extend_from_slice(&piece);
    }
    Ok(Body {
        bytes: body.freeze(),
        place: held,
    })
}

/// Looks at the signature and reads the call; of a large body on a thread of its own, so that nobody waits for that.
async fn open_apart(
    served: &Served,
    address: Option<IpAddr>,
    signatures: Vec<Vec<u8>>,
    body: Body,
) -> Result<Call, Refused> {
    let (runtime, limits) = (Arc::clone(&served.runtime), served.limits.clone());
    let Body { bytes, place } = body;
    let open = move || {
        let headers = signatures
            .iter()
            .map(|value| (SIGNATURE_HEADER, value.as_slice()));
        let look = |_: &str| match runtime.open(headers, &bytes) {
            Err(response) if response.status == 401 => Ok(None),
            read => Ok(Some(read)),
        };
        let looked = log_in::<_, Refused>(address, &limits, SIGNED, look)?;
        looked
            .unwrap_or_else(|| Err(Response::status(401)))
            .map_err(Refused::Protocol)
    };
    match place {
        None => open(),
        Some(place) => {
            let opened = web::block(open).await;
            drop(place);
            opened.unwrap_or_else(|_| Err(Refused::Protocol(Response::of(&Answer::again("internal error")))))
        }
    }
}

/// The answer to a call, with what there is to tell of jobs.
async fn answered(served: &Served, call: Call) -> HttpResponse {
    let place = match place_of(served, &call) {
        Ok(place) => place,
        Err(answer) => return written(Response::of(&answer), None, None),
    };
    let oid = call.oid.clone();
    let started = std::time::Instant::now();
    let mut answer = served.runtime.answer(call, served.clock.now()).await;
    metrics::histogram!("tripline_limacharlie_call_seconds").record(started.elapsed().as_secs_f64());
    let advice = match (answer.success, answer.retry) {
        (true, _) => "done",
        (false, Some(true)) => "again",
        (false, _) => "refused",
    };
    counted(advice);
    let news = oid.and_then(|oid| served.core.limacharlie_news(&oid));
    let receipt = news.map(|(updates, receipt)| {
        answer.jobs = updates;
        receipt
    });
    written(Response::of(&answer), receipt, place)
}

/// The place of a call that asks for contents, which it has until they are written.
fn place_of(served: &Served, call: &Call) -> Result<Option<OwnedSemaphorePermit>, Answer> {
    let wants_contents = call.kind() == Some(ServiceEtype::GetResource)
        && call.data.get("is_include_data").and_then(Value::as_bool) == Some(true);
    if !wants_contents {
        return Ok(None);
    }
    let place = Arc::clone(&served.places.contents).try_acquire_owned();
    place.map(Some).map_err(|_| {
        metrics::counter!("tripline_limacharlie_resources_refused_total").increment(1);
        counted("again");
        Answer::again("too many contents are asked for at once")
    })
}

fn counted(answer: &'static str) {
    metrics::counter!("tripline_limacharlie_calls_total", "answer" => answer).increment(1);
}

fn written(
    response: Response,
    receipt: Option<Receipt>,
    place: Option<OwnedSemaphorePermit>,
) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder: HttpResponseBuilder = HttpResponse::build(status);
    if response.body.is_empty() {
        return builder.finish();
    }
    builder.content_type("application/json");
    match (&receipt, &place) {
        (None, None) => builder.body(response.body),
        _ => builder.body(Delivery::holding(response.body, receipt, place)),
    }
}

/// An answer without a body.
fn bare(status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, AGAIN_AFTER));
    }
    response.finish()
}
