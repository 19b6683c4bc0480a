//! A host's connections, one after the other: frames in, frames out, and back again when one is lost.

use super::Error;
use super::connection::{Account, Connection, Socket};
use super::host::{Admission, Host};
use super::line::{Line, Outgoing};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tripline_protocol::frame::{AgentFrame, Chunk, ServerFrame};

/// Pause before a connection that failed is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Opens a connection and introduces the host.
pub(super) async fn attach(host: &Host, account: &Account) -> Result<Connection, Error> {
    let mut connection = account.open().await?;
    connection.introduce(host.hello()).await?;
    Ok(connection)
}

/// Lives until it is dropped.
pub(super) async fn live(host: Arc<Host>, account: Account, first: Connection) {
    let mut commands = JoinSet::new();
    serve(&host, first, &mut commands).await;
    loop {
        let mut present = host.present.subscribe();
        if present.wait_for(|present| *present).await.is_err() {
            return;
        }
        match attach(&host, &account).await {
            Ok(connection) => serve(&host, connection, &mut commands).await,
            // The server is perhaps being started again: nothing tells when it is back.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

async fn serve(host: &Arc<Host>, connection: Connection, commands: &mut JoinSet<()>) {
    let (sink, stream) = connection.socket.split();
    let (line, outgoing) = Line::new();
    let mut present = host.present.subscribe();
    host.attach(&line);
    tokio::select! {
        () = read(host, stream, &line, commands) => {}
        () = write(sink, outgoing) => {}
        _ = present.wait_for(|present| !present) => {}
    }
    host.detach();
}

async fn read(host: &Arc<Host>, mut stream: SplitStream<Socket>, line: &Line, commands: &mut JoinSet<()>) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Text(text) => {
                let Ok(frame) = serde_json::from_str(&text) else {
                    return;
                };
                if take(host, frame, line, commands).is_none() {
                    return;
                }
            }
            Message::Binary(bytes) => {
                let Ok(chunk) = Chunk::decode(&bytes) else { return };
                host.chunk(&chunk);
            }
            _ => {}
        }
    }
}

/// None when the connection is to end.
fn take(host: &Arc<Host>, frame: ServerFrame, line: &Line, commands: &mut JoinSet<()>) -> Option<()> {
    match frame {
        ServerFrame::Command(command) => match host.admit(*command, line) {
            Admission::Run(task) => {
                while commands.try_join_next().is_some() {}
                commands.spawn(task.run());
            }
            Admission::Missed => return None,
            Admission::Known => {}
        },
        ServerFrame::Cancel { command_id } => host.cancel(command_id),
        ServerFrame::Ack { command_ids } => host.acked(&command_ids),
        ServerFrame::Credit { command_id, bytes } => host.credit(command_id, bytes),
        ServerFrame::Ping => line.frame(&AgentFrame::Pong),
        ServerFrame::Bye { reason } => host.seen.send_modify(|seen| seen.farewells.push(reason)),
        ServerFrame::Welcome { .. }
        | ServerFrame::EventAck { .. }
        | ServerFrame::Littlebrother { .. }
        | ServerFrame::RotateKey
        | ServerFrame::KeyTaken { .. }
        | ServerFrame::Pong
        | ServerFrame::Unknown => {}
    }
    Some(())
}

async fn write(mut sink: SplitSink<Socket, Message>, mut outgoing: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some(Outgoing::Send(message)) = outgoing.recv().await {
        if sink.feed(message).await.is_err() {
            return;
        }
        while let Ok(next) = outgoing.try_recv() {
            let Outgoing::Send(message) = next else {
                // What was said before the cut has to arrive; whether it did, the other side knows.
                let _ = sink.flush().await;
                return;
            };
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}
