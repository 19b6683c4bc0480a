//! Promises 7 and 8 of the design: so many are taken and the next is refused, what is refused is counted, and a refused
//! request changes nothing.

use crate::client::{Client, served_with};
use crate::events::{LISTEN, delivery, listening, stream};
use crate::fixture::{Fixture, Setup, enrolment, eventually, list, request};
use crate::recorder;
use crate::sessions::caller;
use crate::suppress::fill_marks;
use serde_json::{Value, json};
use tripline_actors::access::Principal;
use tripline_actors::store::{Batch, Table};
use tripline_actors::{Core, Refusal};
use tripline_protocol::api::{Role, SubmitJob};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::session::OpenSession;
use tripline_protocol::step::{ArtifactRef, Step};
use tripline_protocol::verb::Verb;
use tripline_protocol::{EventKey, HostId, Org};

fn admin() -> Principal {
    Principal {
        role: Role::Admin,
        ..caller("admin")
    }
}

fn hosts_max(max: u32) -> Setup {
    let mut setup = Setup::default();
    setup.config.hosts_max = max;
    setup
}

#[actix::test]
async fn so_many_hosts_are_known_and_another_only_when_one_is_forgotten() {
    recorder::install();
    let fixture = served_with(hosts_max(3));
    let first = fixture.enrol("amelie").await;
    fixture.enrol("bert").await;
    Client::new("carla").say(&fixture.core, vec![]).await;
    let thread = fixture.thread().await;
    let token = fixture.token(None, Some(1)).await;
    let before = fixture.all_rows();
    let refused = fixture
        .core
        .enrol(token.clone(), enrolment("dora"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "busy");
    let refused = Client::new("emil").ask(&fixture.core, vec![]).await.unwrap_err();
    assert_eq!(refused.code(), "busy");
    assert_eq!(
        fixture.all_rows(),
        before,
        "nothing was changed, no use of the token taken"
    );
    assert_eq!(
        recorder::counter(thread, "tripline_admission_refused_total hosts"),
        2
    );
    assert_eq!(
        recorder::gauge(thread, "tripline_directory_hosts_known"),
        Some(3.0)
    );
    // Those that are known come as ever.
    Client::new("carla").say(&fixture.core, vec![]).await;
    fixture
        .core
        .forget_host(None, first.host_id.to_string(), false)
        .await
        .unwrap();
    fixture.core.enrol(token, enrolment("dora")).await.unwrap();
}

#[actix::test]
async fn hosts_are_counted_again_after_a_restart() {
    let fixture = Fixture::start_with(hosts_max(2));
    for name in ["amelie", "bert"] {
        fixture.enrol(name).await;
    }
    let fixture = fixture.restart().await;
    let token = fixture.token(None, None).await;
    let refused = fixture.core.enrol(token, enrolment("carla")).await.unwrap_err();
    assert_eq!(refused.code(), "busy");
}

#[actix::test]
async fn events_that_became_dead_letters_are_remembered_up_to_a_bound() {
    const DEAD_MAX: u64 = 200_000;
    const KILL: &str =
        "name: kill\non: [acme.alert]\njob: { steps: [ kill_process: { pid: \"{{ event.data.pid }}\" } ] }\n";
    recorder::install();
    let (fixture, host_id) = listening(vec![KILL]).await;
    let offer = async |fixture: &Fixture, sequence, id: &str| {
        let event = delivery(fixture, sequence, id, json!({ "host_id": host_id }));
        fixture.core.ingest(vec![event]).await.unwrap();
    };
    offer(&fixture, 1, "e1").await;
    fixture.published(".dead.default.missing_field", 1).await;
    offer(&fixture, 2, "e1").await;
    fill_marks(&fixture, Table::DeadByTime, DEAD_MAX);
    let fixture = fixture.restart().await;
    let first = EventKey::derive(&Org::default_org(), "test", "e1");
    let is_marked = || {
        let mark = fixture.store.get(Table::HandledEvent, first.as_bytes());
        mark.unwrap().is_some()
    };
    assert!(is_marked(), "as many as there may be");
    offer(&fixture, 3, "e2").await;
    let letters = fixture.published(".dead.default.missing_field", 2).await;
    assert_eq!(letters.len(), 2, "the one that came again was none");
    assert_eq!(fixture.store.count(Table::DeadByTime).unwrap(), DEAD_MAX);
    assert!(!is_marked(), "the one that would be forgotten first");
    let thread = fixture.thread().await;
    assert_eq!(recorder::counter(thread, "tripline_router_marks_cut_total"), 1);
    // It is decided anew when it comes again.
    offer(&fixture, 4, "e1").await;
    fixture.published(".dead.default.missing_field", 3).await;
}

/// Makes jobs end whose results the broker refuses for good.
async fn refused_results(fixture: &Fixture, host_id: HostId, count: usize) {
    *fixture.publisher.refuses.lock().unwrap() = Some(".results.");
    for refused in 1..=count {
        let job = fixture.submit(host_id, vec![list()]).await;
        fixture.core.cancel_job(None, job.job_id).await.unwrap();
        // The next one is taken only when nothing else is on its way out.
        eventually("all are in quarantine", || async {
            let page = fixture.core.quarantine(&admin(), None, 1000).await.unwrap();
            (page.items.len() == refused).then_some(())
        })
        .await;
    }
}

#[actix::test]
async fn what_the_broker_refuses_takes_place_in_the_outbox_until_it_is_dropped_or_published() {
    recorder::install();
    let mut setup = Setup::default();
    setup.config.outbox_max = 10;
    let fixture = Fixture::start_with(setup);
    let host = fixture.enrol("amelie").await;
    fixture.published("new_sensor", 1).await;
    let thread = fixture.thread().await;
    refused_results(&fixture, host.host_id, 8).await;
    let before = fixture.all_rows();
    let submit = || fixture.core.submit_job(request(host.host_id, vec![list()]));
    assert_eq!(submit().await.unwrap_err().code(), "busy");
    assert_eq!(fixture.all_rows(), before);
    assert_eq!(
        recorder::counter(thread, "tripline_admission_refused_total outbox"),
        1
    );
    assert!(!fixture.core.readiness().outbox);
    // Over a restart as well: what is there is counted again.
    let fixture = fixture.restart().await;
    let submit = || fixture.core.submit_job(request(host.host_id, vec![list()]));
    assert_eq!(submit().await.unwrap_err().code(), "busy");
    let page = fixture.core.quarantine(&admin(), None, 1000).await.unwrap();
    fixture
        .core
        .drop_quarantined(&admin(), page.items[0].sequence)
        .await
        .unwrap();
    submit().await.unwrap();
    assert_eq!(
        submit().await.unwrap_err().code(),
        "busy",
        "one has gone, and one is to come"
    );
    // A full outbox does not keep anybody from putting back what fills it.
    let sequences = page.items[1..].iter().map(|entry| entry.sequence).collect();
    assert_eq!(
        fixture
            .core
            .retry_quarantined(&admin(), sequences)
            .await
            .unwrap()
            .retried,
        7
    );
    fixture.published(".results.", 7).await;
    eventually("there is room", || async { submit().await.ok() }).await;
}

const QUEUE_FULL: &str = "tripline_scheduler_queue_full_total";

#[actix::test]
async fn so_many_jobs_wait_for_a_host_a_pipeline_and_in_all_and_the_next_is_counted() {
    recorder::install();
    let mut setup = Setup {
        pipelines: vec![LISTEN],
        ..Setup::default()
    };
    let config = &mut setup.config;
    (
        config.jobs_per_host_max,
        config.jobs_per_pipeline_max,
        config.jobs_max,
    ) = (3, 2, 6);
    let fixture = Fixture::start_with(setup);
    stream(&fixture).await;
    let hosts = [
        fixture.enrol("amelie").await,
        fixture.enrol("bert").await,
        fixture.enrol("carla").await,
    ];
    let thread = fixture.thread().await;
    let counts = || {
        ["host", "pipeline", "total"].map(|limit| recorder::counter(thread, &format!("{QUEUE_FULL} {limit}")))
    };
    let submit = async |index: usize| fixture.submit(hosts[index].host_id, vec![list()]).await;
    let full = JobState::Ended(Outcome::Failed);
    for _ in 0..3 {
        assert_eq!(submit(0).await.state, JobState::Queued);
    }
    let next = submit(0).await;
    assert_eq!(
        (next.state, next.reason.unwrap().code.as_str()),
        (full, "queue_full")
    );
    assert_eq!(counts(), [1, 0, 0]);
    for sequence in 1..=3 {
        let event = delivery(
            &fixture,
            sequence,
            &sequence.to_string(),
            json!({"host_id": hosts[1].host_id}),
        );
        fixture.core.ingest(vec![event]).await.unwrap();
    }
    assert_eq!(counts(), [1, 1, 0], "two of the three wait");
    assert_eq!(submit(2).await.state, JobState::Queued, "the sixth in all");
    assert_eq!(submit(2).await.state, full);
    assert_eq!(counts(), [1, 1, 1]);
    // All three refused ones are published with their reason.
    let results = fixture.published(".results.", 3).await;
    for result in results {
        let result: Value = serde_json::from_slice(&result.payload).unwrap();
        assert_eq!(result["data"]["reason"]["code"], "queue_full");
    }
}

/// Changes a row as if many requests had been there before.
async fn with_row(fixture: &Fixture, table: Table, key: &[u8], change: impl FnOnce(&mut Value)) {
    let row = fixture.store.get(table, key).unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&row).unwrap();
    change(&mut record);
    let mut batch = Batch::new();
    batch.put(table, key.to_vec(), record.to_string().into_bytes());
    let (done, wait) = tokio::sync::oneshot::channel();
    fixture.store.commit(batch, move || done.send(()).unwrap());
    wait.await.unwrap();
}

#[actix::test]
async fn a_session_takes_so_many_files() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let open = OpenSession {
        org: None,
        host: host.host_id.to_string(),
        idle_timeout: None,
    };
    let session = fixture
        .core
        .open_session(&admin(), open)
        .await
        .unwrap()
        .session_id;
    let files = |record: &mut Value| record["files"] = json!(tripline_protocol::session::FILES_MAX - 1);
    with_row(&fixture, Table::Session, session.0.as_bytes(), files).await;
    let fixture = fixture.restart().await;
    let (sha256, _) = fixture.artifacts.put_bytes(b"hello").unwrap();
    let file = || ArtifactRef {
        sha256: sha256.clone(),
        bytes: 5,
        name: "hello".into(),
    };
    fixture.core.add_file(&admin(), session, file()).await.unwrap();
    let before = fixture.all_rows();
    let refused = fixture
        .core
        .add_file(&admin(), session, file())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "too_many_files");
    assert_eq!(fixture.all_rows(), before);
}

/// Each request at its bound, and the same just over it.
#[actix::test]
async fn what_is_said_is_taken_up_to_its_bound_and_what_is_longer_changes_nothing() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let keyed = |bytes: usize| SubmitJob {
        idempotency_key: Some("x".repeat(bytes)),
        ..request(host.host_id, vec![list()])
    };
    fixture.core.submit_job(keyed(200)).await.unwrap();
    fixture.core.pause(&admin(), Some("é".repeat(500))).await.unwrap();
    assert_eq!(
        fixture
            .core
            .retry_quarantined(&admin(), (1..=1000).collect())
            .await
            .unwrap()
            .retried,
        0
    );
    let before = fixture.all_rows();
    let refused = [
        fixture.core.submit_job(keyed(201)).await.map(drop),
        fixture
            .core
            .pause(&admin(), Some("é".repeat(501)))
            .await
            .map(drop),
        fixture
            .core
            .retry_quarantined(&admin(), (0..=1000).collect())
            .await
            .map(drop),
    ];
    let codes = refused.map(|refused| refused.unwrap_err().code());
    assert_eq!(codes, ["bad_idempotency_key", "bad_reason", "bad_sequences"]);
    assert_eq!(fixture.all_rows(), before);
}

/// What every edge may ask and nobody may have, whoever reads it first.
async fn bad_requests(core: &Core, host_id: HostId, token: &str) -> Vec<(&'static str, Result<(), Refusal>)> {
    let submit = async |change: &dyn Fn(&mut SubmitJob)| {
        let mut job = request(host_id, vec![list()]);
        change(&mut job);
        core.submit_job(job).await.map(drop)
    };
    let enrol = async |change: &dyn Fn(&mut tripline_protocol::api::Enrol)| {
        let mut request = enrolment("new");
        change(&mut request);
        core.enrol(token.to_owned(), request).await.map(drop)
    };
    let who = admin();
    let nobody = OpenSession {
        org: None,
        host: "nobody".into(),
        idle_timeout: None,
    };
    let deep = (0..70).fold(json!({}), |inner, _| json!({ "a": inner }));
    vec![
        ("not_found", submit(&|job| job.host = "nobody".into()).await),
        ("bad_job", submit(&|job| job.job = None).await),
        (
            "bad_params",
            submit(&|job| drop(job.params.insert("a".into(), json!(1)))).await,
        ),
        (
            "bad_idempotency_key",
            submit(&|job| job.idempotency_key = Some(String::new())).await,
        ),
        (
            "bad_argument",
            submit(&|job| {
                job.job.as_mut().unwrap().steps = vec![Step::new(Verb::KillProcess, json!({"pid": "x"}))]
            })
            .await,
        ),
        (
            "bad_argument",
            submit(&|job| job.job.as_mut().unwrap().steps = vec![Step::new(Verb::KillProcess, deep.clone())])
                .await,
        ),
        (
            "bad_enrolment",
            enrol(&|request| request.hostname = "x".repeat(256)).await,
        ),
        (
            "bad_enrolment",
            enrol(&|request| request.hostname = "a\nb".into()).await,
        ),
        (
            "bad_enrolment",
            enrol(&|request| request.addresses = vec!["10.0.0.1".into(); 65]).await,
        ),
        (
            "bad_enrolment",
            enrol(&|request| request.addresses = vec!["1".repeat(65)]).await,
        ),
        (
            "bad_enrolment",
            enrol(&|request| request.platform = "x".repeat(33)).await,
        ),
        ("not_found", core.open_session(&who, nobody).await.map(drop)),
        (
            "not_found",
            core.cancel_job(None, tripline_protocol::JobId(uuid::Uuid::nil()))
                .await
                .map(drop),
        ),
        (
            "bad_sequences",
            core.retry_quarantined(&who, vec![]).await.map(drop),
        ),
        ("not_found", core.drop_quarantined(&who, 4711).await.map(drop)),
        (
            "bad_reason",
            core.pause(&who, Some("a\nb".into())).await.map(drop),
        ),
        (
            "not_found",
            core.forget_host(None, "nobody".into(), true).await.map(drop),
        ),
    ]
}

#[actix::test]
async fn a_bad_request_says_what_is_wrong_and_changes_no_row() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    fixture.published("new_sensor", 1).await;
    let token = fixture.token(None, None).await;
    eventually("the ack is written down", || async {
        (fixture.rows(Table::Sent) == 1).then_some(())
    })
    .await;
    let before = fixture.all_rows();
    for (code, answer) in bad_requests(&fixture.core, host.host_id, &token).await {
        let refusal = answer.expect_err(code);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(refusal.to_string().len() > 10, "says what is wrong: {refusal}");
    }
    assert_eq!(fixture.all_rows(), before);
}
