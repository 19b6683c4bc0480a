//! One agent's connection from welcome to its end: a loop in one task.
//!
//! It never stops reading because the agent does not, only while the actors have no room for what it says: what it must
//! answer is bounded by what the protocol lets the agent ask, and the link is drained only when the last batch went out, so that a deaf agent
//! fills the link, which the actors notice.

use super::closing::{End, Violation};
use super::disk::Done;
use super::misdeeds::Conduct;
use super::transfers::{Told, Transfers};
use super::wire;
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseReason, Message, ProtocolError, Session};
use futures_util::{Sink, SinkExt};
use metrics::Counter;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::{Attached, LinkMessage};
use tripline_protocol::frame::{
    AgentFrame, CHUNK_HEADER_BYTES, Chunk, CommandResult, InvalidChunk, ServerFrame,
};
use tripline_protocol::limit::{CHANNEL_DEAD_SECONDS, PING_INTERVAL_SECONDS};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{CommandId, Fault};

/// Messages taken from the link at once.
const LINK_BATCH: usize = 64;
/// Answers that may wait for an agent that does not read.
pub(super) const WAITING_MAX: usize = 1024;
/// How long a farewell may take to reach the socket.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Who hears what the agent says.
pub(super) trait Hears {
    /// A command ended; `artifact` is the verified file it left.
    fn result(&self, result: CommandResult, artifact: Option<ArtifactRef>);
    /// Any other frame that is not the connection's own, of so many bytes.
    fn frame(&self, frame: AgentFrame, bytes: usize);
    /// Returns when the agent may say something more.
    fn room(&self) -> impl Future<Output = ()>;
    /// A command cannot succeed any more.
    fn transfer_failed(&self, command_id: CommandId, fault: Fault);
}

impl Hears for Attached {
    fn result(&self, result: CommandResult, artifact: Option<ArtifactRef>) {
        Attached::result(self, result, artifact);
    }

    fn frame(&self, frame: AgentFrame, bytes: usize) {
        Attached::frame(self, frame, bytes);
    }

    fn room(&self) -> impl Future<Output = ()> {
        Attached::room(self)
    }

    fn transfer_failed(&self, command_id: CommandId, fault: Fault) {
        Attached::transfer_failed(self, command_id, fault);
    }
}

/// What waits to be sent: control first, then one chunk of each transfer in turn.
struct Outbound {
    control: VecDeque<Message>,
    transfers: Transfers,
    sent: Counter,
    sent_bytes: Counter,
}

impl Outbound {
    fn is_empty(&self) -> bool {
        self.control.is_empty() && !self.transfers.has_chunk()
    }

    fn next(&mut self) -> Option<Message> {
        self.control.pop_front().or_else(|| self.next_chunk())
    }

    fn next_chunk(&mut self) -> Option<Message> {
        let chunk = self.transfers.next_chunk()?;
        self.sent_bytes
            .increment(chunk.len().saturating_sub(CHUNK_HEADER_BYTES) as u64);
        Some(Message::Binary(chunk))
    }

    /// Hands over to the socket what it takes now; ready when it took something.
    fn poll_send(
        &mut self,
        session: &mut Session,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), actix_ws::Closed>> {
        let mut any = false;
        while !self.is_empty() {
            match Pin::new(&mut *session).poll_ready(context) {
                Poll::Pending if any => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ready) => ready?,
            }
            let Some(message) = self.next() else { break };
            Pin::new(&mut *session).start_send(message)?;
            self.sent.increment(1);
            any = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection after its hello.
pub(super) struct Connection<H> {
    session: Session,
    stream: AggregatedMessageStream,
    link: mpsc::Receiver<LinkMessage>,
    hears: H,
    conduct: Conduct,
    outbound: Outbound,
    disk: mpsc::UnboundedReceiver<Box<Done>>,
    told: Vec<Told>,
    heard_at: Instant,
    heard: Counter,
    heard_bytes: Counter,
}

impl<H: Hears> Connection<H> {
    /// `welcome` goes out before anything from `link`.
    pub(super) fn new(
        (session, stream): (Session, AggregatedMessageStream),
        link: mpsc::Receiver<LinkMessage>,
        (hears, conduct): (H, Conduct),
        store: Arc<ArtifactStore>,
        welcome: &ServerFrame,
    ) -> Self {
        let (transfers, disk) = Transfers::new(store);
        let frames = |direction: &'static str| metrics::counter!("tripline_agent_channel_frames_total", "direction" => direction);
        let content = |direction: &'static str| metrics::counter!("tripline_agent_channel_content_bytes_total", "direction" => direction);
        let outbound = Outbound {
            control: VecDeque::new(),
            transfers,
            sent: frames("out"),
            sent_bytes: content("out"),
        };
        let (told, heard_at, heard) = (Vec::new(), Instant::now(), frames("in"));
        let mut connection = Self {
            session,
            stream,
            link,
            hears,
            conduct,
            outbound,
            disk,
            told,
            heard_at,
            heard,
            heard_bytes: content("in"),
        };
        connection.send(welcome);
        connection
    }

    /// Serves it until it ends, and says farewell.
    pub(super) async fn run(mut self, stopping: impl Future<Output = ()>) -> End {
        let end = self.serve(stopping).await;
        let Self {
            session,
            outbound,
            hears,
            link,
            ..
        } = self;
        let Outbound {
            control, transfers, ..
        } = outbound;
        // Detached first, with what the next connection goes on with: a farewell may take its time.
        drop((hears, link, transfers));
        say_farewell(session, control, &end).await;
        end
    }

    async fn serve(&mut self, stopping: impl Future<Output = ()>) -> End {
        tokio::pin!(stopping);
        // Without room: the link of most agents never has a message.
        let mut batch = Vec::new();
        let mut ping = tokio::time::interval(Duration::from_secs(PING_INTERVAL_SECONDS));
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        loop {
            let (outbound, session) = (&mut self.outbound, &mut self.session);
            let (has_output, is_drained) = (!outbound.is_empty(), outbound.control.is_empty());
            let step = tokio::select! {
                message = hear_with_room(&self.hears, &mut self.stream) => self.hear(message),
                sent = poll_fn(|context| outbound.poll_send(session, context)), if has_output => {
                    sent.map_err(|_| End::Gone)
                }
                _ = self.link.recv_many(&mut batch, LINK_BATCH), if is_drained => self.pass_down(&mut batch),
                Some(done) = self.disk.recv() => {
                    self.outbound.transfers.after_disk(*done, &mut self.told);
                    Ok(())
                }
                _ = ping.tick() => self.ping(),
                () = &mut stopping => Err(End::Told("shutdown")),
            };
            if let Err(end) = step.and_then(|()| self.pass_on()) {
                return end;
            }
        }
    }

    /// Something came from the agent.
    fn hear(&mut self, message: Option<Result<AggregatedMessage, ProtocolError>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        self.heard.increment(1);
        match message.ok_or(End::Gone)?? {
            AggregatedMessage::Text(text) => self.hear_frame(wire::read(&text)?, text.len())?,
            AggregatedMessage::Binary(bytes) => {
                let chunk = Chunk::decode(&bytes).map_err(|invalid| match invalid {
                    InvalidChunk::Long(_) => Violation::TooLarge,
                    other => Violation::NotAChunk(other),
                })?;
                self.heard_bytes.increment(chunk.bytes.len() as u64);
                self.outbound.transfers.chunk(&chunk, &mut self.told);
            }
            AggregatedMessage::Ping(payload) => self.outbound.control.push_back(Message::Pong(payload)),
            AggregatedMessage::Pong(_) => {}
            AggregatedMessage::Close(_) => return Err(End::Gone),
        }
        Ok(())
    }

    fn hear_frame(&mut self, frame: AgentFrame, bytes: usize) -> Result<(), Violation> {
        match frame {
            AgentFrame::Result(result) => self.outbound.transfers.result(result, &mut self.told),
            AgentFrame::Credit { command_id, bytes } => self.outbound.transfers.credit(command_id, bytes),
            AgentFrame::Resume { command_id, offset } => {
                self.outbound
                    .transfers
                    .resumed(command_id, offset, &mut self.told);
            }
            AgentFrame::Ping => self.send(&ServerFrame::Pong),
            AgentFrame::Pong | AgentFrame::Unknown => {}
            AgentFrame::Hello(_) => return Err(Violation::HelloAgain),
            frame @ (AgentFrame::Accepted { .. }
            | AgentFrame::Progress { .. }
            | AgentFrame::NewKey { .. }
            | AgentFrame::Littlebrother { .. }
            | AgentFrame::Isolation { .. }
            | AgentFrame::Event(_)) => {
                self.hears.frame(frame, bytes);
            }
        }
        Ok(())
    }

    /// What came of it goes to the agent and to the actors.
    fn pass_on(&mut self) -> Result<(), End> {
        let mut told = std::mem::take(&mut self.told);
        for one in told.drain(..) {
            match one {
                Told::Frame(frame) => self.send(&frame),
                Told::Command(command) => self.pass_down_frame(&ServerFrame::Command(command)),
                Told::Result(result, artifact) => self.hears.result(*result, artifact),
                Told::NotKept(fault) => self.conduct.fails(&fault),
                Told::Failed(command_id, fault) => {
                    self.conduct.fails(&fault);
                    self.hears.transfer_failed(command_id, fault);
                }
            }
        }
        self.told = told;
        if self.outbound.control.len() > WAITING_MAX {
            return Err(Violation::Deaf.into());
        }
        Ok(())
    }

    /// The actors have something for the agent; nothing at all means that they let go of it.
    fn pass_down(&mut self, batch: &mut Vec<LinkMessage>) -> Result<(), End> {
        if batch.is_empty() {
            return Err(End::Unlinked);
        }
        for message in batch.drain(..) {
            match message {
                LinkMessage::Frame(frame) => self.pass_down_frame(&frame),
                LinkMessage::Close(reason) => return Err(End::Told(reason)),
            }
        }
        Ok(())
    }

    fn pass_down_frame(&mut self, frame: &ServerFrame) {
        match (frame, wire::write(frame)) {
            (ServerFrame::Command(command), None) => {
                let text = "the command is longer than a frame may be";
                let fault = Fault::server("frame_too_large", text);
                self.told.push(Told::Failed(command.command_id, fault));
            }
            (ServerFrame::Command(command), _) if self.outbound.transfers.hold(command) => {}
            (ServerFrame::Command(command), Some(text)) => {
                self.outbound.control.push_back(Message::Text(text.into()));
                self.outbound.transfers.command_sent(command);
            }
            (ServerFrame::Cancel { command_id }, _) => {
                if self.outbound.transfers.command_cancelled(*command_id) {
                    self.send(frame);
                }
            }
            _ => self.send(frame),
        }
    }

    fn ping(&mut self) -> Result<(), End> {
        if self.heard_at.elapsed() >= Duration::from_secs(CHANNEL_DEAD_SECONDS) {
            return Err(End::Dead);
        }
        self.send(&ServerFrame::Ping);
        Ok(())
    }

    fn send(&mut self, frame: &ServerFrame) {
        match wire::write(frame) {
            Some(text) => self.outbound.control.push_back(Message::Text(text.into())),
            None => tracing::error!("frame is longer than an agent takes, not sent"),
        }
    }
}

/// The next message, once there is room for what it may say. Until then the agent waits, as all that it sends does.
async fn hear_with_room<H: Hears>(
    hears: &H,
    stream: &mut AggregatedMessageStream,
) -> Option<Result<AggregatedMessage, ProtocolError>> {
    hears.room().await;
    stream.recv().await
}

/// Sends what control waits, the reason, and the close frame, as far as the agent still reads.
async fn say_farewell(mut session: Session, mut control: VecDeque<Message>, end: &End) {
    let farewell = end.farewell();
    if let Some((reason, _)) = farewell {
        control.extend(bye(reason));
    }
    let close = farewell.map(|(reason, code)| CloseReason {
        code,
        description: Some(reason.to_owned()),
    });
    let sent = async {
        while let Some(message) = control.pop_front() {
            session.send(message).await?;
        }
        session.close(close).await
    };
    // Whether it is heard changes nothing: the connection ends.
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, sent).await;
}

fn bye(reason: &str) -> Option<Message> {
    wire::write(&ServerFrame::Bye {
        reason: reason.to_owned(),
    })
    .map(|text| Message::Text(text.into()))
}

/// Ends a connection that never became one.
pub(super) async fn turn_away(session: Session, end: &End) {
    say_farewell(session, VecDeque::new(), end).await;
}
