//! Fan-outs of pipelines whose target is a set of hosts.

use super::{attached, ended, hosts, is_paused, summary, until};
use crate::audit::ana;
use crate::events::{delivery, stream};
use crate::fixture::{Fixture, Setup, eventually, rules};
use serde_json::json;
use tripline_actors::FanoutFilter;
use tripline_actors::store::{Batch, Table};
use tripline_protocol::fanout::{FanoutOutcome, FanoutState, FanoutView, Target};
use tripline_protocol::{EventKey, FanoutId, Org};

const SWEEP: &str = "name: sweep\non: [acme.>]\ntarget: all\nfanout: { in_flight: 1 }\n\
    job: { steps: [ delete_file: { path: \"/tmp/{{ event.data.file }}-{{ host.hostname }}\" } ] }\n";

async fn start(text: &'static str) -> Fixture {
    let fixture = Fixture::start_with(Setup {
        pipelines: vec![text],
        ..Setup::default()
    });
    stream(&fixture).await;
    fixture
}

async fn offer(fixture: &Fixture, number: u64) {
    let event = delivery(fixture, number, &format!("e{number}"), json!({ "file": "x" }));
    fixture.core.ingest(vec![event]).await.unwrap();
}

async fn only(fixture: &Fixture) -> FanoutView {
    let filter = FanoutFilter {
        limit: 10,
        ..FanoutFilter::default()
    };
    let page = fixture.core.list_fanouts(filter).await.unwrap();
    let [view]: [_; 1] = page.items.try_into().unwrap();
    view
}

#[actix::test]
async fn an_event_begins_one_fan_out_however_often_it_comes_and_a_reload_changes_nothing() {
    let fixture = start(SWEEP).await;
    let mut agents = attached(&fixture, 2).await;
    agents.sort_by_key(|(id, _)| *id);
    offer(&fixture, 1).await;
    offer(&fixture, 1).await;
    let view = only(&fixture).await;
    let event = view.event.clone().unwrap();
    let key = EventKey::derive(&Org::default_org(), &event.source, &event.id);
    assert_eq!(
        view.fanout_id,
        FanoutId::derive(key, &"sweep".parse().unwrap(), 0)
    );
    assert_eq!(view.pipeline.unwrap().name.as_str(), "sweep");
    let shown = fixture.core.pipelines().await.unwrap().pipelines;
    assert_eq!(shown[0].target, Some(Target::All));
    let first = agents[0].1.obey().await;
    fixture.core.set_rules(rules(&[]));
    let second = agents[1].1.obey().await;
    let mut paths: Vec<String> = [first, second]
        .iter()
        .map(|command| command.call.to_args()["path"].to_string())
        .collect();
    paths.sort();
    assert_eq!(paths, ["\"/tmp/x-host0\"", "\"/tmp/x-host1\""]);
    let (outcome, view) = ended(&fixture, view.fanout_id).await;
    assert_eq!((outcome, view.counts.succeeded), (FanoutOutcome::Succeeded, 2));
}

#[actix::test]
async fn after_a_restart_it_does_what_its_pipeline_said_when_it_began() {
    let fixture = start(SWEEP).await;
    let away = fixture.enrol("away").await.host_id;
    offer(&fixture, 1).await;
    let id = only(&fixture).await.fanout_id;
    until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
    let fixture = fixture.restart_with(|setup| setup.pipelines.clear()).await;
    let mut agent = fixture.attach(away, "away").await;
    let command = agent.obey().await;
    assert_eq!(command.call.to_args()["path"], "/tmp/x-away");
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn a_paused_pipeline_holds_its_fan_outs_back_also_after_a_restart() {
    let fixture = start(SWEEP).await;
    let away = fixture.enrol("away").await.host_id;
    offer(&fixture, 1).await;
    let id = only(&fixture).await.fanout_id;
    let sweep = "sweep".parse().unwrap();
    fixture.core.pause_pipeline(&ana(), sweep, None).await.unwrap();
    until(&fixture, id, "it is held back", is_paused("pipeline_paused")).await;
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(away, "away").await;
    let refused = fixture.core.resume_fanout(None, id).await.unwrap_err();
    assert_eq!(refused.code(), "pipeline_paused");
    assert_eq!(fixture.rows(Table::Job), 0);
    fixture
        .core
        .resume_pipeline(&ana(), "sweep".parse().unwrap())
        .await
        .unwrap();
    agent.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn its_fan_outs_go_on_only_when_it_is_durable_that_the_pipeline_is_resumed() {
    let fixture = start(SWEEP).await;
    let away = fixture.enrol("away").await.host_id;
    offer(&fixture, 1).await;
    let id = only(&fixture).await.fanout_id;
    let sweep = || "sweep".parse().unwrap();
    fixture.core.pause_pipeline(&ana(), sweep(), None).await.unwrap();
    until(&fixture, id, "it is held back", is_paused("pipeline_paused")).await;
    let mut agent = fixture.attach(away, "away").await;
    until(&fixture, id, "its host is there", |view| view.counts.offline == 0).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    // Holds the writer of the store. An error says that the sender is gone.
    let mut batch = Batch::new();
    batch.put(Table::HandledEvent, vec![7; 16], Vec::new());
    fixture.store.commit(batch, move || {
        let _ = held.recv();
    });
    let by = ana();
    let mut resumed = Box::pin(fixture.core.resume_pipeline(&by, sweep()));
    // Who is told too early has made the job before so many others were answered.
    for _ in 0..100 {
        tokio::select! {
            biased;
            _ = &mut resumed => panic!("it is not durable yet"),
            slots = fixture.core.slots() => drop(slots.unwrap()),
        }
    }
    assert_eq!(fixture.rows(Table::Job), 0);
    drop(release);
    resumed.await.unwrap();
    agent.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn its_open_jobs_are_counted_as_the_pipelines() {
    let fixture = start(SWEEP).await;
    let mut agents = attached(&fixture, 1).await;
    offer(&fixture, 1).await;
    let open = |wanted| {
        let fixture = &fixture;
        eventually("as many jobs are open", move || async move {
            let pipelines = fixture.core.pipelines().await.unwrap().pipelines;
            (pipelines[0].in_flight == wanted).then_some(())
        })
    };
    open(1).await;
    agents[0].1.obey().await;
    open(0).await;
}

#[actix::test]
async fn a_host_whose_job_cannot_be_rendered_fails_without_one() {
    const TEXT: &str = "name: sweep\non: [acme.>]\ntarget: all\n\
        job: { steps: [ delete_file: { path: \"{{ event.data.nothing }}\" } ] }\n";
    let fixture = start(TEXT).await;
    let _agents = attached(&fixture, 1).await;
    offer(&fixture, 1).await;
    let id = only(&fixture).await.fanout_id;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.failed), (FanoutOutcome::Failed, 1));
    assert_eq!(view.state, FanoutState::Ended(FanoutOutcome::Failed));
    assert_eq!(fixture.rows(Table::Job), 0);
    let hosts = hosts(&fixture, id).await;
    assert_eq!(hosts[0].reason.as_ref().unwrap().code, "missing_field");
    let summary = summary(&fixture, 1).await;
    assert_eq!(summary["not_succeeded"][0]["reason"]["code"], "missing_field");
}

#[actix::test]
async fn a_pipelines_fan_out_beyond_those_that_may_be_open_fails_at_once_and_is_told() {
    const OPEN_MAX: u64 = 100;
    const TEXT: &str = "name: sweep\non: [acme.>]\ntarget: all\nfanout: { standing: true }\n\
        job: { steps: [ delete_file: { path: /tmp/x } ] }\n";
    let fixture = start(TEXT).await;
    for number in 1..=OPEN_MAX + 1 {
        offer(&fixture, number).await;
    }
    let all = FanoutFilter {
        limit: 1_000,
        ..FanoutFilter::default()
    };
    let views = fixture.core.list_fanouts(all.clone()).await.unwrap().items;
    let of = |views: &[FanoutView], number: u64| {
        let id = format!("e{number}");
        let mut own = views.iter().filter(|view| view.event.as_ref().unwrap().id == id);
        own.next().unwrap().clone()
    };
    let over = of(&views, OPEN_MAX + 1);
    let (open, ended_ones): (Vec<_>, Vec<_>) = views.iter().partition(|view| view.state.outcome().is_none());
    assert_eq!((open.len() as u64, ended_ones), (OPEN_MAX, vec![&over]));
    assert_eq!(over.state, FanoutState::Ended(FanoutOutcome::Failed));
    assert_eq!(over.reason.unwrap().code, "too_many_fanouts");
    let told = fixture.published(".fanouts.", 1).await;
    assert_eq!(told[0].message_id, format!("{}/1", over.fanout_id));
    // The next one is open when one ended.
    let first = of(&views, 1).fanout_id;
    fixture.core.cancel_fanout(None, first).await.unwrap();
    ended(&fixture, first).await;
    offer(&fixture, OPEN_MAX + 2).await;
    let views = fixture.core.list_fanouts(all).await.unwrap().items;
    assert_eq!(of(&views, OPEN_MAX + 2).state.outcome(), None);
}
