//! How sessions begin, stay and end.

use crate::stub::{Reply, SESSION, Stub, of_session, session};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tripline_protocol::FaultClass;

fn waiting(position: u64) -> Value {
    let mut view = session("pending");
    let reason = json!({"code": "no_free_slot", "text": "all slots are taken"});
    view["waiting"] = json!({"position": position, "reason": reason});
    view
}

/// A server whose session is what `looks` say, one look each, and the last ever after.
async fn showing(looks: impl IntoIterator<Item = Value>) -> Stub {
    let mut looks: Vec<Value> = looks.into_iter().collect();
    looks.reverse();
    Stub::with_session(move |asked| {
        let shown = asked.is("POST", "/v1/sessions") || asked.is("GET", &of_session(""));
        shown.then(|| match looks.len() {
            1 => Reply::json(200, &looks[0]),
            _ => Reply::json(200, &looks.pop().unwrap()),
        })
    })
    .await
}

#[tokio::test]
async fn a_session_is_there_once_it_is_active_and_tells_why_it_waits() {
    let stub = showing([waiting(2), waiting(2), waiting(1), session("active")]).await;
    let host = stub.client().host("web01").await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let opening = host.session().idle_timeout(Duration::from_secs(9));
    let session = opening
        .on_waiting(move |waiting| tell.lock().unwrap().push(waiting.position))
        .await
        .unwrap();
    assert_eq!(
        (session.id().to_string().as_str(), session.number()),
        (SESSION, 7)
    );
    assert_eq!(*told.lock().unwrap(), [2, 2, 1]);
    let sent = stub.until("POST", "/v1/sessions").await.json();
    let wanted = json!({
        "host": "00000000-0000-0000-0000-000000000001", "org": "default", "idle_timeout": "9s",
    });
    assert_eq!(sent, wanted);
    session.close().await.unwrap();
    assert_eq!(stub.count("DELETE", &of_session("")), 1);
}

#[tokio::test]
async fn a_session_that_waits_asks_often_enough_not_to_be_idle() {
    let mut impatient = waiting(1);
    impatient["idle_timeout"] = json!("1500ms");
    let stub = showing([impatient, waiting(1), session("active")]).await;
    stub.session().await;
    let asked = stub.asked();
    let looks = asked.iter().filter(|asked| asked.is("GET", &of_session("")));
    let waits: Vec<&str> = looks
        .filter_map(|asked| asked.line.split('=').next_back())
        .collect();
    assert_eq!(waits, ["500ms", "5000ms"]);
}

#[tokio::test]
async fn a_session_that_stays_pending_is_given_back() {
    let stub = showing([waiting(4)]).await;
    let host = stub.client().host("web01").await.unwrap();
    let error = host.session().wait(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::Timeout, "session_wait")
    );
    assert!(error.text().contains("all slots are taken (place 4)"), "{error}");
    assert_eq!(stub.count("DELETE", &of_session("")), 1);
}

#[tokio::test]
async fn a_session_that_is_given_up_is_closed_before_that_is_said() {
    let stub = showing([waiting(4)]).await;
    let host = stub.client().host("web01").await.unwrap();
    let error = host.session().until(std::future::ready(())).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (FaultClass::Timeout, "given_up"));
    assert_eq!(stub.count("DELETE", &of_session("")), 1);
}

#[tokio::test]
async fn a_session_that_fails_has_the_error_of_the_server() {
    let mut failed = session("failed");
    failed["error"] = json!({"class": "timeout", "code": "host_offline", "text": "it never came"});
    let mut closed = session("closed");
    closed["reason"] = json!({"code": "idle", "text": "nobody used it"});
    for (view, class, code) in [
        (failed, FaultClass::Timeout, "host_offline"),
        (closed, FaultClass::Server, "session_ended"),
    ] {
        let stub = showing([waiting(1), view]).await;
        let host = stub.client().host("web01").await.unwrap();
        let error = host.session().await.unwrap_err();
        assert_eq!((error.class(), error.code()), (class, code));
        assert_eq!(stub.count("DELETE", &of_session("")), 0);
    }
}

#[tokio::test]
async fn a_session_whose_answer_was_lost_is_asked_for_again_under_the_same_key() {
    let mut lost = false;
    let stub = Stub::with_session(move |asked| {
        let opens = asked.is("POST", "/v1/sessions") && !std::mem::replace(&mut lost, true);
        opens.then_some(Reply::HangUp)
    })
    .await;
    drop(stub.session().await);
    let asked = stub.asked();
    let keys: Vec<_> = asked
        .iter()
        .filter(|asked| asked.is("POST", "/v1/sessions"))
        .map(|asked| asked.header("idempotency-key"))
        .collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
}

#[tokio::test]
async fn a_session_is_opened_without_a_key_by_a_server_that_keeps_no_more() {
    let stub = Stub::with_session(|asked| {
        let refused = asked.is("POST", "/v1/sessions") && asked.header("idempotency-key").is_some();
        refused.then(|| Reply::problem(503, "busy"))
    })
    .await;
    drop(stub.session().await);
    assert_eq!(stub.count("POST", "/v1/sessions"), 2);
}

#[tokio::test]
async fn a_session_that_is_dropped_is_closed_in_the_background() {
    let stub = showing([session("active")]).await;
    drop(stub.session().await);
    stub.until("DELETE", &of_session("")).await;
}

#[tokio::test]
async fn a_session_that_nobody_waits_for_any_more_is_closed() {
    let stub = showing([waiting(1)]).await;
    let host = stub.client().host("web01").await.unwrap();
    // Just begun: its id is not known yet.
    let mut opening = host.session().into_future();
    assert!(futures_util::poll!(&mut opening).is_pending());
    drop(opening);
    stub.until("DELETE", &of_session("")).await;
    // It waits.
    let stub = showing([waiting(1)]).await;
    let host = stub.client().host("web01").await.unwrap();
    let seen = of_session("");
    tokio::select! {
        opened = host.session().into_future() => panic!("it was opened: {opened:?}"),
        _ = stub.until("GET", &seen) => {}
    }
    stub.until("DELETE", &of_session("")).await;
}

#[tokio::test]
async fn a_session_gives_signs_of_life_until_it_ends() {
    let mut view = session("active");
    view["idle_timeout"] = json!("300ms");
    let stub = showing([view]).await;
    let session = stub.session().await;
    stub.until("POST", &of_session("/keepalive")).await;
    let link = Arc::downgrade(session.link());
    session.close().await.unwrap();
    // The task that gives them holds nothing.
    assert!(link.upgrade().is_none());
}

#[tokio::test]
async fn closing_tells_what_the_server_has_against_it() {
    let stub = Stub::with_session(|asked| {
        asked
            .is("DELETE", &of_session(""))
            .then(|| Reply::problem(403, "forbidden"))
    })
    .await;
    let error = stub.session().await.close().await.unwrap_err();
    assert_eq!(error.code(), "forbidden");
}

#[test]
fn a_session_that_outlives_its_runtime_is_left_to_the_server() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let session = runtime.block_on(async { showing([session("active")]).await.session().await });
    drop(runtime);
    drop(session);
}
