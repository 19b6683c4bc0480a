//! A [`Runtime`] behind an HTTP server: POST (and PUT, as the reference implementation takes it) on every path.
//!
//! A call that was taken runs to its end, whether its caller waits for it or not, and a stop in order waits for it. Deliberately not
//! here: TLS, which is for what stands in front, such as a load balancer or a serverless host.

use crate::{Response, Runtime, Service};
use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::rt::time::timeout;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tripline_protocol::limacharlie::CALL_BYTES_MAX;

/// The port where nobody says another.
const PORT_DEFAULT: u16 = 8080;
/// Connections at once of each worker; there is one for each processor core.
const CONNECTIONS_MAX: usize = 1_000;
/// How much of a body is held before it counts as a large one.
const SMALL_BODY_BYTES_MAX: usize = 256 * 1024;
/// Large bodies at once: nothing is known of who sends them until they are there whole.
const LARGE_BODIES_MAX: usize = 4;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A cloud keeps its connections between calls.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long calls that run at a stop are waited for, as the reference implementation does.
const STOP_SECONDS: u64 = 30;

/// Where to listen: the port of the variable `PORT` on all addresses, as serverless hosts have it; without it port 8080 for this
/// machine only.
///
/// # Errors
/// `PORT` is no port.
pub fn address() -> io::Result<SocketAddr> {
    match std::env::var("PORT") {
        Ok(text) => at_port(&text),
        Err(_) => Ok((Ipv4Addr::LOCALHOST, PORT_DEFAULT).into()),
    }
}

fn at_port(text: &str) -> io::Result<SocketAddr> {
    let port: u16 = text
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("PORT: {text:?} is no port")))?;
    Ok((Ipv4Addr::UNSPECIFIED, port).into())
}

/// Serves until SIGTERM or SIGINT; then calls that run have half a minute for their end.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve<S: Service>(runtime: Arc<Runtime<S>>, listener: TcpListener) -> io::Result<()> {
    let served = web::Data::new(Served {
        runtime,
        large: AtomicUsize::new(0),
    });
    HttpServer::new(move || {
        App::new()
            .app_data(served.clone())
            .default_service(web::to(answer::<S>))
    })
    .max_connections(CONNECTIONS_MAX)
    .client_request_timeout(HEAD_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .tcp_nodelay(true)
    .shutdown_timeout(STOP_SECONDS)
    .listen(listener)?
    .run()
    .await
}

struct Served<S> {
    runtime: Arc<Runtime<S>>,
    /// How many large bodies are being read.
    large: AtomicUsize,
}

async fn answer<S: Service>(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(served) = request.app_data::<web::Data<Served<S>>>() else {
        return HttpResponse::InternalServerError().finish();
    };
    if *request.method() != Method::POST && *request.method() != Method::PUT {
        return HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, "POST, PUT"))
            .finish();
    }
    let body = timeout(BODY_TIMEOUT, read(&request, payload.into_inner(), &served.large)).await;
    let body = match body.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT)) {
        Ok(body) => body,
        // What is left of the body would be taken for the next request.
        Err(status) => return HttpResponse::build(status).force_close().finish(),
    };
    handle(served.runtime.clone(), &request, body).await
}

/// On a task of its own: a handler is dropped with its connection, and a call that was begun is to be finished.
async fn handle<S: Service>(runtime: Arc<Runtime<S>>, request: &HttpRequest, body: Vec<u8>) -> HttpResponse {
    let owned = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.to_string(), value.as_bytes().to_vec())
    };
    let headers: Vec<(String, Vec<u8>)> = request.headers().iter().map(owned).collect();
    let handled = actix_web::rt::spawn(async move {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        runtime.handle(headers, &body, SystemTime::now().into()).await
    });
    match handled.await {
        Ok(response) => written(response),
        Err(error) => {
            tracing::error!(%error, "a call was not handled to its end");
            HttpResponse::InternalServerError().finish()
        }
    }
}

fn written(response: Response) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    match response.body.is_empty() {
        true => builder.finish(),
        false => builder.content_type("application/json").body(response.body),
    }
}

/// The whole body; else what to answer instead.
async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    large: &AtomicUsize,
) -> Result<Vec<u8>, StatusCode> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced: Option<usize> = announced.and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes| bytes > CALL_BYTES_MAX) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut body = Vec::new();
    let mut place = None;
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| StatusCode::BAD_REQUEST)?;
        if body.len() + piece.len() > CALL_BYTES_MAX {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        body.extend_from_slice(&piece);
        if body.len() > SMALL_BODY_BYTES_MAX && place.is_none() {
            // A cloud delivers it again.
            place = Some(Place::take(large).ok_or(StatusCode::SERVICE_UNAVAILABLE)?);
        }
    }
    Ok(body)
}

/// The right to hold a large body while it is read.
struct Place<'l>(&'l AtomicUsize);

impl<'l> Place<'l> {
    fn take(large: &'l AtomicUsize) -> Option<Self> {
        let place = Self(large);
        (large.fetch_add(1, Ordering::Relaxed) < LARGE_BODIES_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{On, on, sign};
    use actix_web::body::to_bytes;
    use actix_web::test::{TestRequest, call_service, init_service};
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tripline_protocol::Timestamp;
    use tripline_protocol::limacharlie::{Answer, Call};

    struct Echo;

    impl Service for Echo {
        fn on_detection(&self) -> On<'_> {
            on(async |call: Call| Answer::done_with(call.data))
        }
    }

    fn served() -> web::Data<Served<Echo>> {
        let runtime = Runtime::new(Arc::new(Echo), "shared".to_owned(), Timestamp::from_micros(0));
        web::Data::new(Served {
            runtime: Arc::new(runtime),
            large: AtomicUsize::new(0),
        })
    }

    async fn send(served: &web::Data<Served<Echo>>, request: TestRequest) -> (u16, Vec<u8>) {
        let app = App::new()
            .app_data(served.clone())
            .default_service(web::to(answer::<Echo>));
        let app = init_service(app).await;
        let response = call_service(&app, request.to_request()).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.ok().unwrap_or_default();
        (status, body.to_vec())
    }

    fn signed(body: Vec<u8>) -> TestRequest {
        let signature = sign("shared", &body);
        TestRequest::post()
            .uri("/any/path?and=query")
            .insert_header(("LC-Svc-Sig", signature))
            .set_payload(body)
    }

    #[actix_web::test]
    async fn a_call_is_handled_on_every_path_by_post_and_put() {
        let body = json!({"etype": "detection", "data": {"a": 1}})
            .to_string()
            .into_bytes();
        for method in [Method::POST, Method::PUT] {
            let (status, answer) = send(&served(), signed(body.clone()).method(method)).await;
            assert_eq!(status, 200);
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer, json!({"success": true, "data": {"a": 1}}));
        }
    }

    #[actix_web::test]
    async fn what_is_no_call_is_refused_by_its_status() {
        let get = TestRequest::get().uri("/");
        assert_eq!(send(&served(), get).await, (405, Vec::new()));
        let unsigned = TestRequest::post().set_payload("{}");
        assert_eq!(send(&served(), unsigned).await, (401, Vec::new()));
        let (status, _) = send(&served(), signed(b"[]".to_vec())).await;
        assert_eq!(status, 400);
    }

    #[actix_web::test]
    async fn a_body_is_taken_up_to_the_bound_and_not_one_byte_more() {
        // White space around JSON is a part of the body, and of its signature.
        let mut body = json!({"etype": "detection"}).to_string().into_bytes();
        body.resize(CALL_BYTES_MAX, b' ');
        assert_eq!(send(&served(), signed(body.clone())).await.0, 200);
        body.push(b' ');
        assert_eq!(send(&served(), signed(body)).await, (413, Vec::new()));
    }

    #[actix_web::test]
    async fn so_many_large_bodies_are_read_at_once_and_another_comes_again() {
        let served = served();
        let large = vec![b' '; SMALL_BODY_BYTES_MAX + 1];
        let places: Vec<_> = (0..LARGE_BODIES_MAX)
            .map(|_| Place::take(&served.large).unwrap())
            .collect();
        assert_eq!(send(&served, signed(large.clone())).await, (503, Vec::new()));
        let small = vec![b' '; SMALL_BODY_BYTES_MAX];
        assert_eq!(send(&served, signed(small)).await.0, 400, "it is no JSON");
        drop(places);
        assert_eq!(send(&served, signed(large)).await.0, 400);
        assert_eq!(
            served.large.load(Ordering::Relaxed),
            0,
            "every place is given back"
        );
    }

    /// Says that a call has begun, waits at a gate, and says that it has ended.
    #[derive(Default)]
    struct Gated {
        begun: Notify,
        gate: Notify,
        ended: Notify,
    }

    impl Service for Gated {
        fn on_detection(&self) -> On<'_> {
            on(async move |_: Call| {
                self.begun.notify_one();
                self.gate.notified().await;
                self.ended.notify_one();
                Answer::done()
            })
        }
    }

    #[actix_web::test]
    async fn a_call_runs_to_its_end_although_its_caller_has_gone() {
        let gated = Arc::new(Gated::default());
        let runtime = Runtime::new(gated.clone(), "shared".to_owned(), Timestamp::from_micros(0));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = actix_web::rt::spawn(serve(Arc::new(runtime), listener));
        let mut caller = TcpStream::connect(address).await.unwrap();
        let body = json!({"etype": "detection"}).to_string();
        let signature = sign("shared", body.as_bytes());
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nlc-svc-sig: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        caller.write_all(request.as_bytes()).await.unwrap();
        gated.begun.notified().await;
        drop(caller);
        // Another one is answered meanwhile.
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(" 405 "), "{answer}");
        gated.gate.notify_one();
        gated.ended.notified().await;
        server.abort();
    }

    #[test]
    fn the_port_is_that_of_a_serverless_host() {
        assert_eq!(at_port("9000").unwrap().to_string(), "0.0.0.0:9000");
        for text in ["", "http", "70000"] {
            assert!(at_port(text).is_err(), "{text}");
        }
    }
}
