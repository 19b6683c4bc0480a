//! Simulated agents: enrolled over the real API, each with a real WebSocket, answering every command at once or after
//! a time that they are told.

use super::Outcome;
use super::door::{Door, Socket};
use super::stage::Stage;
use super::stats::Samples;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::Message;
use tripline_protocol::api::Enrolled;

/// What a small directory looks like; as long as the outputs of most commands that only look.
pub(crate) const OUTPUT: &str = r#"{"files":[{"filename":"report.txt","attributes":["ARCHIVE"],"size":4242,"create_time":1790000000,"last_access_time":1790000000,"last_write_time":1790000000,"mode":420,"owner":"amelie"},{"filename":"work","attributes":["DIRECTORY"],"size":4096,"create_time":1790000000,"last_access_time":1790000000,"last_write_time":1790000000,"mode":493,"owner":"amelie"}],"omitted":0}"#;

/// What agents are to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Their hosts' names begin with it.
    pub(crate) name: &'static str,
    pub(crate) count: u32,
    /// How long each command takes.
    pub(crate) delay: Duration,
}

/// Agents at work. They end when this is dropped.
pub(crate) struct Agents {
    pub(crate) hosts: Vec<Enrolled>,
    took: Took,
    _tasks: JoinSet<()>,
}

/// How long the commands really took.
type Took = Arc<Mutex<Samples>>;

impl Agents {
    /// How long the commands really took, from the frame's arrival to the answer, since this was asked last.
    pub(crate) fn took(&self) -> Samples {
        std::mem::take(&mut *self.took.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Enrols and attaches agents.
pub(crate) async fn start(stage: &Stage, plan: Plan) -> Outcome<Agents> {
    let door = Door::open(stage).await?;
    let (mut hosts, mut tasks) = (Vec::new(), JoinSet::new());
    let took = Took::default();
    for number in 0..plan.count {
        let (host, socket) = door.enter(&format!("{}-{number}", plan.name)).await?;
        hosts.push(host);
        tasks.spawn(serve(socket, plan.delay, took.clone()));
    }
    Ok(Agents {
        hosts,
        took,
        _tasks: tasks,
    })
}

/// As much of a server's frame as is needed to answer it.
#[derive(Deserialize)]
struct Frame<'a> {
    r#type: &'a str,
    command_id: Option<&'a str>,
}

/// What a frame asks of an agent here.
enum Asked {
    Command { answer: String },
    Pong,
}

/// What the frame asks, if anything.
fn asked(text: &str) -> Option<Asked> {
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    match (frame.r#type, frame.command_id) {
        ("command", Some(id)) => Some(Asked::Command {
            answer: format!(r#"{{"type":"result","command_id":"{id}","output":{OUTPUT}}}"#),
        }),
        ("ping", _) => Some(Asked::Pong),
        _ => None,
    }
}

/// Answers until the connection ends, one frame after the other.
async fn serve(mut socket: Socket, delay: Duration, took: Took) {
    while let Some(Ok(message)) = socket.next().await {
        let arrived = Instant::now();
        let Message::Text(text) = message else { continue };
        let answer = match asked(&text) {
            None => continue,
            Some(Asked::Pong) => r#"{"type":"pong"}"#.to_owned(),
            Some(Asked::Command { answer }) => {
                pause(delay).await;
                let mut took = took.lock().unwrap_or_else(PoisonError::into_inner);
                took.add(arrived.elapsed());
                answer
            }
        };
        if socket.send(Message::Text(answer.into())).await.is_err() {
            return;
        }
    }
}

/// On a thread of its own: the runtime's timer counts whole milliseconds, and would be a part of what is measured.
pub(crate) async fn pause(delay: Duration) {
    if delay.is_zero() {
        return;
    }
    // The time that a command takes on a host; it ends early only when the program does.
    let _ = tokio::task::spawn_blocking(move || std::thread::sleep(delay)).await;
}

/// A connection that only measures round trips.
pub(crate) struct Prober(Socket);

impl Prober {
    pub(crate) async fn start(stage: &Stage) -> Outcome<Self> {
        let (_, socket) = Door::open(stage).await?.enter("prober").await?;
        Ok(Self(socket))
    }

    /// A frame to the server and its answer, through the agent channel.
    pub(crate) async fn round_trip(&mut self) -> Outcome {
        self.0.send(Message::Text(r#"{"type":"ping"}"#.into())).await?;
        loop {
            match self.0.next().await.ok_or("the connection ended")?? {
                Message::Text(text) if text.contains("pong") => return Ok(()),
                _ => {}
            }
        }
    }
}
