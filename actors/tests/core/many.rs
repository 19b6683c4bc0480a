//! Many jobs on few slots.

use crate::fixture::{Fixture, eventually, list};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tripline_actors::{JobFilter, LinkMessage};
use tripline_protocol::frame::ServerFrame;
use tripline_protocol::job::{JobState, Outcome};

const HOSTS: usize = 20;
const JOBS: usize = 200;
const SLOTS: usize = 10;

/// Sessions that live now, and the most there ever were.
#[derive(Default)]
struct Sessions {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Sessions {
    fn begin(&self) {
        let now = 1 + self.now.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[actix::test]
async fn two_hundred_jobs_on_ten_slots_never_have_an_eleventh_session() {
    let fixture = Fixture::start();
    let sessions = Arc::new(Sessions::default());
    // Every session is held until all that may live do, so that one too many would be seen.
    let (gate, open) = tokio::sync::watch::channel(false);
    let mut hosts = Vec::new();
    for n in 0..HOSTS {
        let hostname = format!("host-{n}");
        let host = fixture.enrol(&hostname).await;
        let mut agent = fixture.attach(host.host_id, &hostname).await;
        let sessions = Arc::clone(&sessions);
        let mut open = open.clone();
        actix::spawn(async move {
            while let Some(LinkMessage::Frame(frame)) = agent.next().await {
                if let ServerFrame::Command(command) = frame {
                    sessions.begin();
                    open.wait_for(|open| *open).await.unwrap();
                    sessions.end();
                    agent.answer(command.command_id, json!({}));
                }
            }
        });
        hosts.push(host.host_id);
    }
    for n in 0..JOBS {
        fixture.submit(hosts[n % HOSTS], vec![list()]).await;
    }
    eventually("all slots are used", || async {
        (sessions.now.load(Ordering::SeqCst) == SLOTS).then_some(())
    })
    .await;
    gate.send(true).unwrap();
    eventually("all jobs end", || async {
        let slots = fixture.core.slots().await.unwrap();
        let used = slots.slots.iter().filter(|slot| slot.session.is_some()).count();
        assert!(used <= SLOTS, "{used} sessions");
        (fixture.publisher.results().len() == JOBS).then_some(())
    })
    .await;
    let most = sessions.most.load(Ordering::SeqCst);
    assert_eq!(most, SLOTS, "sessions lived at once");
    let succeeded = JobFilter {
        state: Some(JobState::Ended(Outcome::Succeeded)),
        limit: 1000,
        ..JobFilter::default()
    };
    assert_eq!(fixture.core.list_jobs(succeeded).await.unwrap().items.len(), JOBS);
    let slots = fixture.core.slots().await.unwrap();
    assert!(
        slots.slots.iter().all(|slot| slot.session.is_none()),
        "a slot leaked"
    );
    assert_eq!(fixture.core.restarts(), 0);
}
