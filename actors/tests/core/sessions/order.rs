//! Who gets a slot, and when.

use super::*;
use crate::fixture::list;
use std::collections::HashMap;
use tripline_actors::SessionFilter;
use tripline_protocol::api::SlotHolder;
use tripline_protocol::job::{JobState, Outcome};

#[actix::test]
async fn a_session_is_pending_until_its_host_attaches_and_says_why() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let opened = fixture.open(&amelie(), host.host_id).await;
    assert_eq!(
        (opened.state, opened.number, opened.sensor_id),
        (SessionState::Pending, 1, host.sensor_id)
    );
    let waiting = opened.waiting.unwrap();
    assert_eq!(
        (waiting.position, waiting.reason.code.as_str()),
        (1, "host_offline")
    );
    assert!(waiting.reason.text.starts_with("host offline since 20"));
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let active = fixture.session(&amelie(), opened.session_id).await;
    assert_eq!((active.state, active.waiting), (SessionState::Active, None));
    assert!(active.active_since.is_some() && active.verbs.contains(&Verb::DeleteFile));
}

#[actix::test]
async fn a_host_that_does_not_come_ends_the_session_as_a_timeout() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let opened = fixture.open(&amelie(), host.host_id).await;
    fixture.advance(119);
    let later = fixture.open(&amelie(), host.host_id).await;
    assert_eq!(later.waiting.unwrap().position, 2);
    fixture.advance(1);
    let failed = fixture.session(&amelie(), opened.session_id).await;
    assert_eq!(failed.state, SessionState::Failed);
    let error = failed.error.unwrap();
    assert_eq!(
        (error.class, error.code.as_str()),
        (tripline_protocol::FaultClass::Timeout, "host_offline")
    );
    assert_eq!(failed.reason.unwrap().text, "its host was offline for 2m");
    let waiting = fixture.seen(later.session_id).await;
    assert_eq!(waiting.state, SessionState::Pending, "it has waited for a second");
}

#[actix::test]
async fn owners_take_turns_and_the_oldest_of_an_owner_is_first() {
    let fixture = Fixture::start_with(slots(1));
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let mut held = fixture.active(&caller("first"), host.host_id).await;
    let mut names = HashMap::new();
    for name in ["a", "a", "a", "b", "c", "b"] {
        let view = fixture.open(&caller(name), host.host_id).await;
        names.insert(view.session_id, (name, view.number));
    }
    // a: 2, 3, 4; b: 5, 7; c: 6.
    for (number, position) in [(2, 1), (5, 2), (6, 3), (3, 4), (7, 5), (4, 6)] {
        let (id, _) = names.iter().find(|(_, (_, n))| *n == number).unwrap();
        let waiting = fixture.seen(*id).await.waiting.unwrap();
        assert_eq!(
            (waiting.position, waiting.reason.code.as_str()),
            (position, "no_free_slot")
        );
    }
    let mut order = Vec::new();
    let mut owner = caller("first");
    for _ in 0..names.len() {
        fixture.core.close_session(&owner, held.session_id).await.unwrap();
        let open = SessionFilter {
            state: Some(SessionState::Active),
            limit: 10,
            ..SessionFilter::default()
        };
        let viewer = with_role("auditor", Role::Viewer);
        held = eventually("the next is active", || async {
            let page = fixture.core.list_sessions(&viewer, open.clone()).await.unwrap();
            page.items.into_iter().next()
        })
        .await;
        let (name, number) = names[&held.session_id];
        owner = caller(name);
        order.push(number);
    }
    assert_eq!(order, [2, 5, 6, 3, 7, 4]);
}

#[actix::test]
async fn jobs_and_sessions_leave_each_other_their_reserves() {
    let mut setup = slots(4);
    setup.config.slots_interactive_reserved = 1;
    setup.config.slots_jobs_reserved = 2;
    let fixture = Fixture::start_with(setup);
    let mut agents = Vec::new();
    for n in 0..5 {
        let host = fixture.enrol(&format!("host-{n}")).await;
        agents.push((
            host.host_id,
            fixture.attach(host.host_id, &format!("host-{n}")).await,
        ));
    }
    let scripts = agents[0].0;
    for _ in 0..5 {
        fixture.open(&amelie(), scripts).await;
    }
    assert_eq!(fixture.slots_held().await, 2, "two are the jobs'");
    let mut jobs = Vec::new();
    for (host_id, _) in &agents {
        jobs.push(fixture.submit(*host_id, vec![list()]).await.job_id);
    }
    assert_eq!(fixture.slots_held().await, 4);
    let view = fixture.core.slots().await.unwrap();
    assert_eq!((view.waiting, view.sessions_waiting), (3, 3));
    for (_, agent) in &mut agents {
        agent.obey().await;
    }
    for job in jobs {
        assert_eq!(
            fixture.ended(job).await.state,
            JobState::Ended(Outcome::Succeeded)
        );
    }
    assert_eq!(
        fixture.slots_held().await,
        2,
        "no session was starved of its slot, none has more"
    );
}

#[actix::test]
async fn jobs_do_not_take_the_slots_of_sessions() {
    let mut setup = slots(3);
    setup.config.slots_interactive_reserved = 1;
    let fixture = Fixture::start_with(setup);
    let mut agents = Vec::new();
    for n in 0..4 {
        let host = fixture.enrol(&format!("host-{n}")).await;
        agents.push((
            host.host_id,
            fixture.attach(host.host_id, &format!("host-{n}")).await,
        ));
    }
    for (host_id, _) in &agents {
        fixture.submit(*host_id, vec![list()]).await;
    }
    assert_eq!(fixture.slots_held().await, 2);
    let session = fixture.active(&amelie(), agents[0].0).await;
    let shown = fixture.core.slots().await.unwrap();
    let holders: Vec<_> = shown.slots.into_iter().filter_map(|slot| slot.session).collect();
    let expected = SlotHolder::Interactive {
        session_id: session.session_id,
        owner: "amelie".into(),
        command: None,
    };
    assert_eq!(holders.len(), 3);
    assert_eq!(holders.iter().filter(|held| held.holder == expected).count(), 1);
}

/// Ten slots of which two each are kept for the others, as it is unless it is configured.
#[actix::test]
async fn of_ten_slots_sessions_have_eight_at_most_and_jobs_too() {
    for sessions_first in [true, false] {
        let fixture = Fixture::start_with(Setup {
            config: CoreConfig::default(),
            ..Setup::default()
        });
        let mut agents = Vec::new();
        for n in 0..9 {
            let name = format!("host-{n}");
            let host_id = fixture.enrol(&name).await.host_id;
            agents.push((host_id, fixture.attach(host_id, &name).await));
        }
        let open = async || {
            for _ in 0..9 {
                fixture.open(&amelie(), agents[0].0).await;
            }
        };
        let submit = async || {
            for (host_id, _) in &agents {
                fixture.submit(*host_id, vec![list()]).await;
            }
        };
        let held = async || {
            let view = fixture.core.slots().await.unwrap();
            let used = view.slots.iter().filter(|slot| slot.session.is_some()).count();
            (used, view.waiting, view.sessions_waiting)
        };
        if sessions_first {
            open().await;
            assert_eq!(held().await, (8, 0, 1));
            submit().await;
            assert_eq!(held().await, (10, 7, 1));
        } else {
            submit().await;
            assert_eq!(held().await, (8, 1, 0));
            open().await;
            assert_eq!(held().await, (10, 1, 7));
        }
    }
}

#[actix::test]
async fn several_sessions_and_a_job_run_on_one_host_at_once() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let first = fixture.active(&amelie(), host.host_id).await;
    let second = fixture.active(&caller("bert"), host.host_id).await;
    let one = fixture.run(&amelie(), &first, delete()).await;
    let two = fixture.run(&caller("bert"), &second, processes()).await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(agent.command().await.command_id);
    }
    assert!(sent.contains(&one.command_id) && sent.contains(&two.command_id));
    for id in sent.into_iter().rev() {
        agent.answer(id, json!({}));
        assert_eq!(agent.ack().await, [id]);
    }
    assert_eq!(fixture.done(&amelie(), &one).await.state, CommandState::Succeeded);
    assert_eq!(
        fixture.done(&caller("bert"), &two).await.state,
        CommandState::Succeeded
    );
    fixture.ended(job.job_id).await;
}

#[actix::test]
async fn ten_thousand_sessions_wait_and_no_more() {
    let fixture = Fixture::start_with(slots(1));
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let held = fixture.active(&amelie(), host.host_id).await;
    for owner in 0..10 {
        let owner = caller(&format!("owner-{owner}"));
        let opening = (0..1000).map(|_| {
            let (core, owner) = (fixture.core.clone(), owner.clone());
            actix::spawn(async move { core.open_session(&owner, on(host.host_id)).await.unwrap() })
        });
        for opened in opening.collect::<Vec<_>>() {
            assert_eq!(opened.await.unwrap().state, SessionState::Pending);
        }
        let more = fixture.core.open_session(&owner, on(host.host_id)).await;
        assert_eq!(more.unwrap_err().code(), "busy", "of one owner");
    }
    let more = fixture
        .core
        .open_session(&caller("another"), on(host.host_id))
        .await;
    assert_eq!(more.unwrap_err().code(), "busy", "in all");
    assert_eq!(fixture.slots_held().await, 1);
    let view = fixture.core.slots().await.unwrap();
    assert_eq!(view.sessions_waiting, 10_000);
    fixture
        .core
        .close_session(&amelie(), held.session_id)
        .await
        .unwrap();
    // The next one has its turn when the slot is free, which is after the answer.
    eventually("one waits less", || async {
        let view = fixture.core.slots().await.unwrap();
        (view.sessions_waiting < 10_000).then_some(())
    })
    .await;
    let room = fixture
        .core
        .open_session(&caller("another"), on(host.host_id))
        .await;
    assert_eq!(room.unwrap().state, SessionState::Pending);
    assert_eq!(fixture.core.restarts(), 0);
}
