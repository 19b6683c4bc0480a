//! An orderly end: who asked for it, what it still waits for, and the waiting.
//!
//! Deliberately not here: the order in which the parts of the server end, which is for whoever composed it.

use super::Core;
use crate::access::Principal;
use crate::directory::CloseAll;
use crate::refusal::Refusal;
use crate::scheduler::Drain;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tripline_protocol::api::{Asker, DrainView, SlotHolder};
use tripline_protocol::audit::Action;
use tripline_protocol::{Span, Timestamp};

/// How often it is looked whether the outbox is empty.
const LOOK: Duration = Duration::from_millis(20);
/// How long a broker may be away before nobody waits for it: what waits for it is on disk, and is published by the
/// next start with the same `Nats-Msg-Id`.
const BROKER_AWAY_MAX: Duration = Duration::from_secs(2);

/// An end that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    by: Option<Asker>,
    since: Timestamp,
    until: Timestamp,
    /// Nobody waits for the broker any more: it was away for too long.
    gave_up: Arc<AtomicBool>,
}

impl Core {
    /// Asks for an orderly end, on behalf of an administrator. [`Core::drain_asked`] hears it.
    pub fn ask_drain(&self, caller: &Principal) -> Result<(), Refusal> {
        caller.require_all_orgs("draining")?;
        let by = caller.to_asker();
        tracing::warn!(by = by.name, token = by.token_id, "drain asked for");
        self.by(caller).note(Action::ServerDrain, None, |entry| entry);
        self.ground.drain_asked.send_replace(Some(by));
        Ok(())
    }

    /// Waits until an administrator asks for an orderly end.
    pub async fn drain_asked(&self) -> Asker {
        let mut asked = self.ground.drain_asked.subscribe();
        match asked.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(by)) => by.clone(),
            // The sender is in the ground, which this core keeps.
            _ => std::future::pending().await,
        }
    }

    /// From now on no new work is taken; edges say so. `by`: who asked, if it was no signal.
    pub fn begin_drain(&self, by: Option<Asker>, within: Span) {
        let since = self.ground.now();
        let until = since.after(within);
        let ending = Ending {
            by,
            since,
            until,
            gave_up: Arc::default(),
        };
        self.ground.ending.store(Some(Arc::new(ending)));
    }

    /// How far an orderly end has come.
    pub async fn drain_view(&self) -> Result<DrainView, Refusal> {
        let slots = self.slots().await?.slots.into_iter();
        let sessions = slots.filter_map(|slot| slot.session);
        let jobs = sessions.filter(|session| matches!(session.holder, SlotHolder::Job { .. }));
        let ending = self.ground.ending.load_full();
        let asked = self.ground.drain_asked.borrow().clone();
        Ok(DrainView {
            draining: ending.is_some() || asked.is_some(),
            by: ending.as_ref().map_or(asked, |ending| ending.by.clone()),
            since: ending.as_ref().map(|ending| ending.since),
            until: ending.as_ref().map(|ending| ending.until),
            jobs_running: u32::try_from(jobs.count()).unwrap_or(u32::MAX),
            messages_waiting: self.ground.load.waiting(),
            broker: self.ground.publisher.is_reachable(),
        })
    }

    /// Whether an orderly end has begun.
    pub fn is_draining(&self) -> bool {
        self.ground.ending.load().is_some()
    }

    /// Starts no more jobs, and waits until those that run have ended and what can be published is, at most until
    /// `within` is over. The actors go on.
    pub async fn finish(&self, within: Span) {
        let deadline = Instant::now() + within.to_duration();
        if !self.is_draining() {
            self.begin_drain(None, within);
        }
        if let (Ok(peers), Ok((reply, answer))) = (self.peers(), self.doors.query.enter()) {
            peers.scheduler.do_send(Drain { reply });
            if tokio::time::timeout_at(deadline, answer.wait()).await.is_err() {
                tracing::warn!("jobs still run; they go on at their hosts and are adopted at the next start");
            }
        }
        self.empty_outbox(deadline).await;
    }

    /// Waits until nothing waits for the broker, the broker is away, or it is too late. Of a broker that is away that is
    /// found out once.
    async fn empty_outbox(&self, deadline: Instant) {
        let ending = self.ground.ending.load_full();
        if ending
            .as_ref()
            .is_some_and(|ending| ending.gave_up.load(Ordering::Relaxed))
        {
            return;
        }
        let mut look = tokio::time::interval(LOOK);
        let mut reached = Instant::now();
        while self.ground.load.waiting() > 0 && Instant::now() < deadline {
            if self.ground.publisher.is_reachable() {
                reached = Instant::now();
            } else if reached.elapsed() >= BROKER_AWAY_MAX {
                let waiting = self.ground.load.waiting();
                tracing::warn!(
                    waiting,
                    "the broker is away; what waits for it is published after the next start"
                );
                if let Some(ending) = &ending {
                    ending.gave_up.store(true, Ordering::Relaxed);
                }
                return;
            }
            look.tick().await;
        }
    }

    /// Finishes what can be finished ([`Core::finish`]), then stops the actors and closes the store.
    pub async fn drain(&self, within: Span) {
        self.finish(within).await;
        if let Ok(peers) = self.peers() {
            peers.directory.do_send(CloseAll("shutdown"));
        }
        self.generations.stop().await;
        let store = self.ground.store.clone();
        if tokio::task::spawn_blocking(move || store.flush_and_close())
            .await
            .is_err()
        {
            tracing::error!("the store could not be closed in order");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[actix::test]
    async fn an_end_waits_so_long_for_a_broker_that_is_away_and_once() {
        let fixture = Fixture::start();
        fixture.publisher.set_away(true);
        fixture.enrol("amelie").await;
        assert!(fixture.core.ground.load.waiting() > 0, "its event waits");
        let within = Span::from_secs(60);
        fixture.core.begin_drain(None, within);
        tokio::time::pause();
        let began = Instant::now();
        let deadline = began + within.to_duration();
        fixture.core.empty_outbox(deadline).await;
        let waited = began.elapsed();
        assert!(
            (BROKER_AWAY_MAX..BROKER_AWAY_MAX + 2 * LOOK).contains(&waited),
            "{waited:?}"
        );
        fixture.core.empty_outbox(deadline).await;
        assert_eq!(began.elapsed(), waited, "it is known by now");
    }
}
