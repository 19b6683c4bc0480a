//! Who waits can see for what; who runs can be seen in the slots.

use crate::fixture::{Fixture, Setup, eventually, list, page};
use tripline_actors::HostFilter;
use tripline_protocol::JobId;
use tripline_protocol::api::SlotHolder;
use tripline_protocol::job::JobState;

async fn waits(fixture: &Fixture, job_id: JobId) -> (String, u64) {
    let view = fixture.core.get_job(None, job_id).await.unwrap();
    let waiting = view.waiting.expect("it does not wait");
    (waiting.reason.code, waiting.position)
}

#[actix::test]
async fn a_waiting_job_says_for_what_and_its_position() {
    let mut setup = Setup::default();
    setup.config.slots_total = 1;
    let fixture = Fixture::start_with(setup);
    let (amelie, bert, carla) = (
        fixture.enrol("amelie").await,
        fixture.enrol("bert").await,
        fixture.enrol("carla").await,
    );
    let mut agent = fixture.attach(amelie.host_id, "amelie").await;
    let _bert = fixture.attach(bert.host_id, "bert").await;
    let running = fixture.submit(amelie.host_id, vec![list()]).await;
    let command = agent.command().await;
    let behind = fixture.submit(amelie.host_id, vec![list()]).await;
    let slotless = fixture.submit(bert.host_id, vec![list()]).await;
    let offline = fixture.submit(carla.host_id, vec![list()]).await;
    assert_eq!(waits(&fixture, behind.job_id).await, ("behind_job".into(), 1));
    assert_eq!(waits(&fixture, slotless.job_id).await, ("no_free_slot".into(), 1));
    assert_eq!(waits(&fixture, offline.job_id).await, ("host_offline".into(), 1));
    let view = fixture.core.get_job(None, running.job_id).await.unwrap();
    assert_eq!((view.state, view.waiting), (JobState::Running, None));
    agent.answer(command.command_id, serde_json::json!({}));
    fixture.ended(running.job_id).await;
}

#[actix::test]
async fn the_slots_show_what_each_is_used_for() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![list(), list()]).await;
    agent.obey().await;
    agent.command().await;
    let view = fixture.core.slots().await.unwrap();
    assert_eq!((view.total, view.slots.len(), view.waiting), (10, 10, 0));
    let used: Vec<_> = view
        .slots
        .iter()
        .filter_map(|slot| slot.session.as_ref())
        .collect();
    assert_eq!(used.len(), 1);
    let holder = SlotHolder::Job {
        job_id: job.job_id,
        step: 1,
    };
    assert_eq!(used[0].holder, holder);
    assert_eq!(used[0].host.host_id, host.host_id);
}

#[actix::test]
async fn a_host_shows_its_attachment_and_its_open_jobs() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    fixture.submit(host.host_id, vec![list()]).await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.command().await;
    fixture.submit(host.host_id, vec![list()]).await;
    let view = fixture.core.get_host(None, "AMELIE".into()).await.unwrap();
    assert_eq!((view.jobs_open, view.attachments.len()), (2, 1));
    assert_eq!(view.attachments[0].epoch, agent.attached.epoch);
    drop(agent);
    eventually("the host is offline", || async {
        let view = fixture
            .core
            .get_host(None, host.sensor_id.to_string())
            .await
            .unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    let first = fixture.core.list_hosts(page(1)).await.unwrap();
    assert_eq!(first.items.len(), 1);
    let rest = fixture
        .core
        .list_hosts(HostFilter {
            after: first.next,
            ..page(1)
        })
        .await
        .unwrap();
    assert_eq!((rest.items, rest.next), (vec![], None));
}
