//! A server that speaks as much of the dialect as the jobs need, and has hosts only in name: each command is complete
//! after the time that an agent would take.
//!
//! With [`Polls::Plain`] it answers every poll at once, as a server does that nobody made quick for this client: what
//! Tripline is measured against. With [`Polls::Held`] it answers when the command is complete, and costs next to
//! nothing besides: what the client itself allows.

use super::Outcome;
use super::agents::{OUTPUT, pause};
use super::tls::server_config;
use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, Json, Path};
use actix_web::{App, HttpServer};
use rustls::ServerConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path as FilePath;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How polls of a command are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polls {
    /// At once.
    Plain,
    /// When the command is complete.
    Held,
}

/// What was asked of a server, and how long it took to answer all of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) time: Duration,
}

/// A server at work.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    hosts: Data<Hosts>,
    handle: ServerHandle,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

struct Hosts {
    polls: Polls,
    delay: Duration,
    told: Mutex<Told>,
}

/// What clients have told it.
#[derive(Default)]
struct Told {
    /// The sensor of each session; the first one's number is 1.
    sessions: Vec<u32>,
    /// When each command is complete.
    commands: HashMap<u32, Instant>,
    answered: Answered,
}

impl Hosts {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandIn {
    /// Starts one with the certificate in `tls`.
    pub(crate) fn start(tls: &FilePath, polls: Polls, delay: Duration) -> Outcome<Self> {
        let hosts = Data::new(Hosts {
            polls,
            delay,
            told: Mutex::default(),
        });
        let (shared, config) = (hosts.clone(), ServerConfig::clone(&*server_config(tls)?));
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || app!(shared.clone()))
                    .workers(1)
                    .tcp_nodelay(true)
                    .disable_signals()
                    .bind_rustls_0_23((Ipv4Addr::LOCALHOST, 0), config)?;
                let addresses = server.addrs();
                let server = server.run();
                // Nobody listens only when the program gave up.
                let _ = tell.send((addresses, server.handle()));
                server.await
            })
        });
        let (addresses, handle) = told.recv()?;
        let address = *addresses.first().ok_or("the stand-in has no address")?;
        Ok(Self {
            address,
            hosts,
            handle,
            thread,
        })
    }

    pub(crate) fn answered(&self) -> Answered {
        self.hosts.told().answered
    }

    pub(crate) async fn stop(self) -> Outcome {
        self.handle.stop(false).await;
        Ok(self.thread.join().map_err(|_| "the stand-in panicked")??)
    }
}

/// The type of an application has no name.
macro_rules! app {
    ($hosts:expr) => {
        App::new()
            .app_data($hosts)
            .wrap(from_fn(count))
            .route("/api/info", web::get().to(info))
            .route("/api/v1/storage/events/partition", web::get().to(partitions))
            .route("/api/v1/sensor/{sensor}", web::get().to(sensor))
            .service(
                web::scope("/api/v1/cblr/session")
                    .route("", web::get().to(sessions))
                    .route("", web::post().to(open))
                    .route("/{session}", web::get().to(session))
                    .route("/{session}", web::put().to(close))
                    .route("/{session}/command", web::post().to(run))
                    .route("/{session}/command/{command}", web::get().to(poll)),
            )
    };
}
use app;

async fn count<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let (begun, hosts) = (Instant::now(), request.app_data::<Data<Hosts>>().cloned());
    let response = next.call(request).await;
    if let Some(hosts) = hosts {
        let answered = &mut hosts.told().answered;
        answered.requests += 1;
        answered.time += begun.elapsed();
    }
    response
}

async fn info() -> Json<Value> {
    Json(json!({"version": "7.5.0", "cblrEnabled": true}))
}

async fn partitions() -> Json<Value> {
    Json(json!({}))
}

async fn sensor(sensor: Path<u32>) -> Json<Value> {
    Json(json!({
        "id": *sensor,
        "computer_name": format!("host-{sensor}"),
        "status": "Online",
        "supports_cblr": true,
        "os_type": 3,
        "num_storefiles_bytes": "0",
        "num_eventlog_bytes": "0",
        "next_checkin_time": "2026-01-01T00:00:00+00:00",
    }))
}

fn shown(session: u32, sensor: u32, status: &str) -> Json<Value> {
    Json(json!({
        "id": session,
        "sensor_id": sensor,
        "status": status,
        "supported_commands": ["directory list"],
    }))
}

async fn sessions() -> Json<Value> {
    Json(json!([]))
}

#[derive(Deserialize)]
struct Open {
    sensor_id: u32,
}

async fn open(hosts: Data<Hosts>, asked: Json<Open>) -> Json<Value> {
    let sessions = &mut hosts.told().sessions;
    sessions.push(asked.sensor_id);
    shown(sessions.len() as u32, asked.sensor_id, "active")
}

async fn session(hosts: Data<Hosts>, session: Path<u32>) -> Json<Value> {
    let sensor = hosts.told().sessions.get(*session as usize - 1).copied();
    shown(*session, sensor.unwrap_or_default(), "active")
}

// A body that nobody reads would cost its connection.
async fn close(session: Path<u32>, _body: web::Bytes) -> Json<Value> {
    shown(*session, 0, "close")
}

async fn run(hosts: Data<Hosts>, session: Path<u32>, _body: web::Bytes) -> Json<Value> {
    let complete_at = Instant::now() + hosts.delay;
    let mut told = hosts.told();
    let command = told.commands.len() as u32 + 1;
    told.commands.insert(command, complete_at);
    Json(json!({"id": command, "session_id": *session, "status": "pending"}))
}

async fn poll(hosts: Data<Hosts>, path: Path<(u32, u32)>) -> actix_web::Result<Json<Value>> {
    let (session, command) = path.into_inner();
    let complete_at = hosts.told().commands.get(&command).copied();
    let complete_at = complete_at.ok_or_else(|| actix_web::error::ErrorNotFound("no such command"))?;
    let left = complete_at.saturating_duration_since(Instant::now());
    if hosts.polls == Polls::Plain && !left.is_zero() {
        return Ok(Json(
            json!({"id": command, "session_id": session, "status": "pending"}),
        ));
    }
    pause(left).await;
    let mut object: Value = serde_json::from_str(OUTPUT)?;
    if let Some(fields) = object.as_object_mut() {
        fields.insert("id".to_owned(), json!(command));
        fields.insert("session_id".to_owned(), json!(session));
        fields.insert("status".to_owned(), json!("complete"));
    }
    Ok(Json(object))
}
