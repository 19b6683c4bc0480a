//! Taking events: batches are offered to the actors one after another, and acked when what they cause is
//! durable.
//!
//! One batch at a time: a batch that the actors cannot take now is offered again before anything later, so
//! nothing later may be under way. Batches grow by themselves while one is being written, so this costs no
//! throughput. Everything that was delivered is read and held here, within limits, and the broker is told
//! about it, so that it is not delivered again while it waits.
//!
//! Deliberately not here: understanding an event.

use super::held::{self, Held, Waiting};
use super::link::Link;
use super::missed::{self, Missed, Origin};
use super::pull::{self, Puller};
use async_nats::jetstream::AckKind;
use async_nats::{Client, Message, Subject};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tripline_actors::{Delivery, IngestPosition, Refusal};

/// After how long the broker is told that a message is still being worked on; a third of the ack wait.
const PROGRESS_AFTER: Duration = Duration::from_secs(20);
/// How often that and the broker's silence are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long the broker waits before it delivers again what the actors failed on.
const NAK_DELAY: Duration = Duration::from_millis(250);
/// How often to look whether actors that were unavailable are back.
const RETURN_LOOK: Duration = Duration::from_millis(50);
/// Shortest pause before a refused batch is offered again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(5);
/// How long a batch under way may take to finish when the connection is lost or everything stops.
const OFFER_WAIT: Duration = Duration::from_secs(10);
/// How long sending the last acks may take.
const FLUSH_WAIT: Duration = Duration::from_secs(3);

/// What taking events needs of the actors.
pub trait Intake: 'static {
    /// How far the events stream was handled; `None` before the first stream was seen.
    fn position(&self) -> impl Future<Output = Result<Option<IngestPosition>, Refusal>>;

    /// Another stream, or one that has lost its beginning: go on after `position`. Durable when it returns.
    fn set_position(&self, position: IngestPosition) -> impl Future<Output = Result<(), Refusal>>;

    /// Makes the position durable, which otherwise lags behind.
    fn keep_position(&self) -> impl Future<Output = Result<(), Refusal>>;

    /// Handles deliveries in order. `Ok`: everything they cause is durable. `Busy`: nothing was changed.
    fn ingest(&self, batch: Vec<Delivery>) -> impl Future<Output = Result<(), Refusal>>;

    /// Whether the actors run and the store takes writes.
    fn available(&self) -> bool;

    /// The broker came back.
    fn broker_returned(&self);
}

impl Intake for tripline_actors::Core {
    async fn position(&self) -> Result<Option<IngestPosition>, Refusal> {
        self.ingest_position().await
    }

    async fn set_position(&self, position: IngestPosition) -> Result<(), Refusal> {
        self.set_ingest_position(position).await
    }

    async fn keep_position(&self) -> Result<(), Refusal> {
        self.keep_ingest_position().await
    }

    async fn ingest(&self, batch: Vec<Delivery>) -> Result<(), Refusal> {
        tripline_actors::Core::ingest(self, batch).await
    }

    fn available(&self) -> bool {
        let readiness = self.readiness();
        readiness.actors && readiness.store
    }

    fn broker_returned(&self) {
        tripline_actors::Core::broker_returned(self);
    }
}

/// Takes events. What it holds, it holds across connections: acks stay valid as long as the consumer lives.
pub(crate) struct Taker<I> {
    intake: Rc<I>,
    client: Client,
    held: Held,
    offer: Option<Offer>,
    acks: VecDeque<(Subject, AckKind)>,
    refused: Option<Vec<Waiting>>,
    not_before: Instant,
    unavailable: bool,
    missed: Missed,
    /// Whether events were handled since the position was made durable.
    moved: bool,
}

/// A batch the actors have been given; an empty one, when they are only to keep the position.
struct Offer {
    batch: Vec<Waiting>,
    answer: LocalBoxFuture<'static, Result<(), Refusal>>,
}

impl<I: Intake> Taker<I> {
    pub(crate) fn new(intake: I, client: Client) -> Self {
        Self {
            intake: Rc::new(intake),
            client,
            held: Held::default(),
            offer: None,
            acks: VecDeque::new(),
            refused: None,
            not_before: Instant::now(),
            unavailable: false,
            missed: Missed::default(),
            moved: false,
        }
    }

    pub(crate) fn intake(&self) -> &I {
        &self.intake
    }

    /// The consumer is another one: what is held would ack its messages.
    pub(crate) fn begin(&mut self, origin: Origin) {
        self.held.clear();
        self.refused = None;
        self.acks.clear();
        self.missed = Missed::after(origin);
    }

    /// The consumer is the one before, nothing of it is held, and everything before `origin` is counted.
    pub(crate) fn go_on(&mut self, origin: Origin) {
        self.missed.go_on(origin);
    }

    /// Up to where everything that was missed is counted.
    pub(crate) fn counted_to(&self) -> u64 {
        self.missed.counted_to()
    }

    /// Before the consumer is attached again: what is not offered yet is dropped, so that the broker can be asked
    /// for everything that is not acked. Not while the actors are busy: what they refused is kept, because
    /// asking again and again would make poison of it. Returns whether nothing is held.
    pub(crate) async fn let_go(&mut self) -> bool {
        if self.send_acks().await.is_err() || self.refused.is_some() {
            return false;
        }
        self.held.clear();
        true
    }

    /// Takes events until `until` is over or the consumer is gone. A batch that the actors are writing by then
    /// comes to its end first, so that it is not handled again.
    pub(crate) async fn take<E>(
        &mut self,
        puller: &mut Puller,
        until: impl Future<Output = E>,
    ) -> Result<E, pull::Error> {
        self.held.be_careful();
        let ended = tokio::select! {
            error = self.work(puller) => Err(error),
            ended = until => Ok(ended),
        };
        self.finish_offer().await;
        ended
    }

    /// The end: waits for the batch under way and sends what acks there are, while `link` stands.
    pub(crate) async fn finish(&mut self, link: &Link) {
        self.finish_offer().await;
        if self.moved && !matches!(timeout(FLUSH_WAIT, self.intake.keep_position()).await, Ok(Ok(()))) {
            tracing::debug!("the position of the stream of events was not kept");
        }
        let flushed = async {
            if self.send_acks().await.is_ok()
                && let Err(error) = self.client.flush().await
            {
                tracing::warn!(%error, "flush acks");
            }
            true
        };
        let sent = async {
            tokio::select! {
                sent = flushed => sent,
                () = link.down() => false,
            }
        };
        if !matches!(tokio::time::timeout(FLUSH_WAIT, sent).await, Ok(true)) {
            tracing::warn!("acks could not be sent; their events will be delivered again");
        }
    }

    async fn work(&mut self, puller: &mut Puller) -> pull::Error {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(error) = self.step(puller, &mut tick).await {
                return error;
            }
        }
    }

    /// Does what can be done, then waits for one thing to happen. May be dropped while it waits: nothing is
    /// kept outside `self` across a wait.
    async fn step(&mut self, puller: &mut Puller, tick: &mut Interval) -> Result<(), pull::Error> {
        self.send_acks().await?;
        self.offer_next();
        puller.ask(self.held.room()).await?;
        let waits = self.offer.is_none() && self.has_more();
        tokio::select! {
            answer = answer_of(&mut self.offer) => self.settle(answer),
            message = puller.next() => {
                self.hold(message?);
                while let Some(message) = puller.next().now_or_never() {
                    self.hold(message?);
                }
            }
            () = sleep_until(self.not_before), if waits => {}
            _ = tick.tick() => {
                puller.check_silence()?;
                self.tell_progress();
                self.keep_position();
            }
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.refused.is_some() || !self.held.is_empty()
    }

    fn hold(&mut self, message: Option<Message>) {
        let Some(message) = message else { return };
        let subject = message.subject.clone();
        match Waiting::new(message) {
            Some(waiting) => {
                self.missed.see(waiting.place());
                self.held.push(waiting);
            }
            None => tracing::warn!(%subject, "message without a consumer's reply subject ignored"),
        }
    }

    /// Gives the actors the next batch, unless they have one or must be left alone for a moment.
    fn offer_next(&mut self) {
        if self.offer.is_some() || !self.has_more() || Instant::now() < self.not_before {
            return;
        }
        if self.unavailable && !self.intake.available() {
            self.not_before = Instant::now() + RETURN_LOOK;
            return;
        }
        self.unavailable = false;
        let batch = self.refused.take().unwrap_or_else(|| self.held.cut());
        let deliveries = batch.iter().map(Waiting::delivery).collect();
        let keeps = last(&batch).is_some_and(|last| self.missed.is_due(last));
        let intake = self.intake.clone();
        let answer = async move {
            intake.ingest(deliveries).await?;
            match keeps {
                true => intake.keep_position().await,
                false => Ok(()),
            }
        };
        let answer = answer.boxed_local();
        self.offer = Some(Offer { batch, answer });
    }

    /// While nothing comes, the position does not lag behind: whoever starts next knows what was handled even when the
    /// stream has none of it any more.
    fn keep_position(&mut self) {
        if !self.moved || self.offer.is_some() || self.has_more() {
            return;
        }
        let intake = self.intake.clone();
        let answer = async move { intake.keep_position().await }.boxed_local();
        let batch = Vec::new();
        self.offer = Some(Offer { batch, answer });
    }

    fn settle(&mut self, answer: Result<(), Refusal>) {
        let Some(Offer { batch, .. }) = self.offer.take() else {
            return;
        };
        let Some(last) = last(&batch) else {
            self.moved = answer.is_err();
            return;
        };
        match answer {
            Ok(()) => {
                self.moved = true;
                missed::tell_gone(self.missed.settle(last));
                metrics::counter!("tripline_nats_events_total").increment(batch.len() as u64);
                self.answer_all(&batch, AckKind::Ack);
            }
            Err(Refusal::Busy { what, retry_after }) => {
                metrics::counter!("tripline_nats_events_refused_total").increment(batch.len() as u64);
                tracing::debug!(what, messages = batch.len(), "the actors are busy");
                self.not_before = Instant::now() + retry_after.to_duration().max(RETRY_PAUSE_MIN);
                self.refused = Some(batch);
            }
            Err(error) => {
                tracing::warn!(%error, messages = batch.len(), "the actors did not take a batch");
                self.unavailable = true;
                self.answer_all(&batch, AckKind::Nak(Some(NAK_DELAY)));
            }
        }
    }

    fn answer_all(&mut self, batch: &[Waiting], kind: AckKind) {
        for waiting in batch {
            self.held.release(waiting);
            self.acks.push_back((waiting.reply(), kind));
        }
    }

    /// Tells the broker that old messages are being worked on.
    fn tell_progress(&mut self) {
        let offered = self.offer.iter_mut().flat_map(|offer| offer.batch.iter_mut());
        let refused = self.refused.iter_mut().flatten();
        let mut replies = held::stale(offered.chain(refused), PROGRESS_AFTER);
        replies.extend(self.held.stale(PROGRESS_AFTER));
        self.acks
            .extend(replies.into_iter().map(|reply| (reply, AckKind::Progress)));
    }

    async fn send_acks(&mut self) -> Result<(), pull::Error> {
        while let Some((reply, kind)) = self.acks.front() {
            let sent = self.client.publish(reply.clone(), (*kind).into()).await;
            if let Err(error) = sent {
                tracing::error!(%error, "send an ack");
                return Err(pull::Error::Closed);
            }
            self.acks.pop_front();
        }
        Ok(())
    }

    async fn finish_offer(&mut self) {
        if self.offer.is_none() {
            return;
        }
        match timeout(OFFER_WAIT, answer_of(&mut self.offer)).await {
            Ok(answer) => self.settle(answer),
            Err(_) => {
                tracing::error!(
                    "the actors gave no answer about a batch; its events will be delivered again"
                );
                if let Some(offer) = self.offer.take() {
                    offer.batch.iter().for_each(|waiting| self.held.release(waiting));
                }
            }
        }
    }
}

/// The highest sequence of a batch.
fn last(batch: &[Waiting]) -> Option<u64> {
    batch.iter().map(|waiting| waiting.place().sequence).max()
}

/// The answer to the batch under way; never, when there is none.
async fn answer_of(offer: &mut Option<Offer>) -> Result<(), Refusal> {
    match offer {
        Some(offer) => (&mut offer.answer).await,
        None => std::future::pending().await,
    }
}
