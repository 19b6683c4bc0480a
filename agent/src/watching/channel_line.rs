//! The way over the agent's own channel: frames of type `littlebrother`, each answered by one. A message of the watcher
//! always fits a frame.

use super::line::{Delivery, Line, Status, Undelivered};
use crate::link::Link;
use crate::stop::parking::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tripline_protocol::frame::AgentFrame;
use tripline_protocol::littlebrother::{ClientMessage, WireEvent};

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);
/// Most events kept that came too late for the message they answered.
const LATE_MAX: usize = 4_000;

/// The channel as the watcher sees it; cheap to clone, all clones are one.
#[derive(Clone)]
pub struct ChannelLine(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    status: watch::Sender<Status>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    /// Counts connections.
    connection: u64,
    /// Of the last message on this connection.
    seq: u64,
    waiting: Option<(u64, oneshot::Sender<Vec<WireEvent>>)>,
    /// A server that answered takes its events for heard: they go with the next answer.
    late: Vec<WireEvent>,
}

impl ChannelLine {
    /// Not connected yet. `wanted`: whether the server wanted processes watched when it was last heard of.
    pub(crate) fn new(wanted: bool) -> Self {
        let status = if wanted { Status::Away } else { Status::Unwanted };
        Self(Arc::new(Shared {
            state: Mutex::default(),
            status: watch::Sender::new(status),
        }))
    }

    /// The server welcomed the agent, and said whether it wants processes watched.
    pub(crate) fn attach(&self, link: &Arc<Link>, wanted: bool) {
        let mut state = self.0.state.lock();
        state.link = wanted.then(|| link.clone());
        state.connection += 1;
        state.seq = 0;
        state.waiting = None;
        let status = if wanted {
            Status::Up(state.connection)
        } else {
            Status::Unwanted
        };
        self.0.status.send_replace(status);
    }

    /// The connection is gone, and with it an answer that has not come.
    pub(crate) fn detach(&self, link: &Arc<Link>) {
        let mut state = self.0.state.lock();
        if state.link.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, link)) {
            state.link = None;
            state.waiting = None;
            self.0.status.send_replace(Status::Away);
        }
    }

    /// The server answered a message.
    pub(crate) fn answered(&self, seq: u64, events: Vec<WireEvent>) {
        let mut state = self.0.state.lock();
        let waiting = state.waiting.take_if(|(waiting, _)| *waiting == seq);
        let heard = match waiting {
            Some((_, sender)) => sender.send(events),
            None => Err(events),
        };
        if let Err(events) = heard {
            self.0.keep(&mut state, events);
        }
    }
}

impl Shared {
    fn keep(&self, state: &mut State, events: Vec<WireEvent>) {
        let room = LATE_MAX.saturating_sub(state.late.len());
        if events.len() > room {
            tracing::warn!(lost = events.len() - room, "an answer came too late");
        }
        state.late.extend(events.into_iter().take(room));
    }

    async fn deliver(&self, message: ClientMessage) -> Result<Vec<WireEvent>, Undelivered> {
        let answer = self.exchange(message).await?;
        let mut events = std::mem::take(&mut self.state.lock().late);
        events.extend(answer);
        Ok(events)
    }

    async fn exchange(&self, message: ClientMessage) -> Result<Vec<WireEvent>, Undelivered> {
        match timeout(ANSWER, self.send(message)?).await {
            Ok(Ok(events)) => Ok(events),
            Ok(Err(_)) => Err(Undelivered::unreachable("the connection was lost")),
            Err(_) => {
                let why = format!("no answer within {} s", ANSWER.as_secs());
                Err(Undelivered::unreachable(why))
            }
        }
    }

    fn send(&self, message: ClientMessage) -> Result<oneshot::Receiver<Vec<WireEvent>>, Undelivered> {
        let mut state = self.state.lock();
        let link = state.link.clone();
        let link = link.ok_or_else(|| Undelivered::unreachable("not connected"))?;
        let (sender, receiver) = oneshot::channel();
        state.seq += 1;
        state.waiting = Some((state.seq, sender));
        link.frame(AgentFrame::Littlebrother {
            seq: state.seq,
            message: Box::new(message),
        });
        Ok(receiver)
    }
}

impl Line for ChannelLine {
    fn deliver(&self, message: ClientMessage) -> Delivery {
        let shared = self.0.clone();
        Box::pin(async move { shared.deliver(message).await })
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.0.status.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{LinkEnd, Outgoing};
    use tripline_protocol::littlebrother::{EventType, LocalTime};

    fn attached(line: &ChannelLine) -> (Arc<Link>, LinkEnd) {
        let (link, end) = Link::new();
        let link = Arc::new(link);
        line.attach(&link, true);
        (link, end)
    }

    fn message() -> ClientMessage {
        ClientMessage {
            hostname: "beethoven".to_owned(),
            events: Vec::new(),
            client_stats: None,
        }
    }

    fn event(kind: EventType) -> WireEvent {
        WireEvent::new(kind, "beethoven", LocalTime::epoch())
    }

    fn sent(end: &mut LinkEnd) -> Option<u64> {
        match end.try_next() {
            Some(Outgoing::Frame(AgentFrame::Littlebrother { seq, .. })) => Some(seq),
            _ => None,
        }
    }

    #[tokio::test]
    async fn an_answer_is_that_of_its_message() {
        let line = ChannelLine::new(false);
        let (_link, mut end) = attached(&line);
        for seq in 1..3 {
            let delivery = tokio::spawn(line.deliver(message()));
            let number = loop {
                if let Some(number) = sent(&mut end) {
                    break number;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(number, seq);
            line.answered(seq, vec![event(EventType::StartMaster)]);
            assert_eq!(delivery.await.unwrap(), Ok(vec![event(EventType::StartMaster)]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_too_late_is_heard_with_the_next() {
        let line = ChannelLine::new(false);
        let (_link, mut end) = attached(&line);
        let failed = line.deliver(message()).await.unwrap_err();
        assert!(failed.why.contains("no answer"), "{failed:?}");
        assert_eq!(sent(&mut end), Some(1));
        line.answered(1, vec![event(EventType::UpdateConfig)]);
        let delivery = tokio::spawn(line.deliver(message()));
        while sent(&mut end) != Some(2) {
            tokio::task::yield_now().await;
        }
        line.answered(2, vec![event(EventType::StartMaster)]);
        let events = delivery.await.unwrap().unwrap();
        let kinds: Vec<EventType> = events.iter().map(|event| event.event_type).collect();
        assert_eq!(kinds, [EventType::UpdateConfig, EventType::StartMaster]);
    }

    #[tokio::test]
    async fn a_message_goes_nowhere_without_a_connection() {
        let line = ChannelLine::new(true);
        assert_eq!(*line.status().borrow(), Status::Away);
        assert!(line.deliver(message()).await.is_err());
        let (link, mut end) = attached(&line);
        let status = *line.status().borrow();
        assert!(matches!(status, Status::Up(_)));
        let delivery = tokio::spawn(line.deliver(message()));
        while sent(&mut end).is_none() {
            tokio::task::yield_now().await;
        }
        line.detach(&link);
        assert!(delivery.await.unwrap().is_err());
        let (_link, _end) = attached(&line);
        assert_ne!(*line.status().borrow(), status);
        // A connection that ends after the next one began is not the one in use.
        line.detach(&link);
        assert_ne!(*line.status().borrow(), Status::Away);
    }

    #[test]
    fn so_many_late_events_are_kept_and_no_more() {
        let line = ChannelLine::new(true);
        let mut state = line.0.state.lock();
        line.0
            .keep(&mut state, vec![event(EventType::StartMaster); LATE_MAX - 1]);
        line.0.keep(&mut state, vec![event(EventType::KillProcess); 2]);
        assert_eq!(state.late.len(), LATE_MAX);
        assert_eq!(state.late.last().unwrap().event_type, EventType::KillProcess);
    }
}
