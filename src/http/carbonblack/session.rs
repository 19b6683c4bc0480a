//! `/api/v1/cblr/session`: opening, polling, keeping alive and closing.
//!
//! A full house and an offline host make a session `pending`, never an error: the client has no notion of a
//! server without room.

use super::super::HttpState;
use super::super::body::Body;
use super::super::held::held;
use super::super::problem::ApiError;
use super::auth::{Operator, Viewer};
use super::error::DialectError;
use super::outcome::seconds;
use super::{sensor, verbs};
use actix_web::{HttpRequest, web};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use tripline_actors::access::Principal;
use tripline_actors::{Core, OwnSession, SessionFilter};
use tripline_protocol::Span;
use tripline_protocol::api::HostView;
use tripline_protocol::session::{OpenSession, SessionState, SessionView};

/// A poll is answered when there is something to say, and not later than the client would ask again.
pub(super) const HOLD: Span = Span::from_secs(1);
/// Sessions in a list, newest first.
const SESSIONS_MAX: usize = 1000;

/// The caller's own session of this number.
pub(super) fn own(core: &Core, caller: &Principal, number: &str) -> Result<OwnSession, DialectError> {
    let missing = || DialectError::no_session(number, "not found");
    let number = number.parse().map_err(|_| missing())?;
    Ok(core.own_session(caller, number)?)
}

pub(super) async fn open(
    caller: Operator,
    state: web::Data<HttpState>,
    body: Result<Body<Map<String, Value>>, ApiError>,
) -> Result<web::Json<Value>, DialectError> {
    let Body(body) = body?;
    let sensor_id = body.get("sensor_id").and_then(verbs::number);
    let sensor_id =
        sensor_id.ok_or_else(|| DialectError::bad("sensor_id: expected the number of a sensor"))?;
    let host = sensor::by_id(&state.core, &caller, &sensor_id.to_string()).await?;
    let request = OpenSession {
        org: Some(host.org.clone()),
        host: host.host_id.to_string(),
        idle_timeout: None,
    };
    let session = state.core.open_session(&caller, request).await?;
    Ok(web::Json(object(&session, Some(&host))))
}

/// With `active_only=true` there is nothing to share: the client would take a session that another script
/// uses, and close it under its hands.
pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<HashMap<String, String>>,
) -> Result<web::Json<Vec<Value>>, DialectError> {
    if query
        .get("active_only")
        .is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
    {
        return Ok(web::Json(Vec::new()));
    }
    let filter = SessionFilter {
        owner: Some(caller.token_id.clone()),
        limit: SESSIONS_MAX,
        ..SessionFilter::default()
    };
    let page = state.core.list_sessions(&caller, filter).await?;
    Ok(web::Json(
        page.items.iter().map(|session| object(session, None)).collect(),
    ))
}

/// One that never came to be is not found any more: for any other answer the client would wait on.
pub(super) async fn show(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<web::Json<Value>, DialectError> {
    let own = own(&state.core, &caller, &session)?;
    let ask = |wait| state.core.get_session(&caller, own.session_id, wait);
    let session = held(&request, Some(HOLD), ask).await?;
    if !session.state.is_open() && session.active_since.is_none() {
        let why = session.reason.as_ref().map_or("", |reason| reason.text.as_str());
        let why = format!("was not established: {why}");
        return Err(DialectError::no_session(session.number, &why));
    }
    Ok(web::Json(whole(&state, &caller, &session).await))
}

/// The client puts the whole object back with another status.
pub(super) async fn change(
    caller: Operator,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    body: Result<Body<Map<String, Value>>, ApiError>,
) -> Result<web::Json<Value>, DialectError> {
    let Body(body) = body?;
    let own = own(&state.core, &caller, &session)?;
    if body.get("status").and_then(Value::as_str) != Some("close") {
        return Err(DialectError::bad("status: a session can only be put to close"));
    }
    let session = state.core.close_session(&caller, own.session_id).await?;
    Ok(web::Json(whole(&state, &caller, &session).await))
}

pub(super) async fn keep_alive(
    caller: Operator,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<web::Json<Value>, DialectError> {
    let own = own(&state.core, &caller, &session)?;
    let session = state.core.keep_alive(&caller, own.session_id).await?;
    Ok(web::Json(object(&session, None)))
}

/// With what is known of its host, if it is still there.
async fn whole(state: &HttpState, caller: &Principal, session: &SessionView) -> Value {
    let host_id = session.host.host_id.to_string();
    let host = match caller.org_for(None) {
        Ok(org) => state.core.get_host(org, host_id).await.ok(),
        Err(_) => None,
    };
    object(session, host.as_ref())
}

fn status(session: &SessionView) -> &'static str {
    match session.state {
        SessionState::Pending => "pending",
        SessionState::Active => "active",
        SessionState::Closed => "close",
        SessionState::Failed => "timeout",
    }
}

fn object(session: &SessionView, host: Option<&HostView>) -> Value {
    let windows = host.is_some_and(|host| host.platform == "windows");
    let (folder, drives) = match windows {
        true => ("C:\\", json!(["C:\\"])),
        false => ("/", json!([])),
    };
    let address = host.and_then(|host| host.addresses.first());
    let mut object = json!({
        "id": session.number,
        "sensor_id": session.sensor_id,
        "status": status(session),
        "hostname": session.host.hostname,
        "address": address.map_or("", String::as_str),
        "os_version": host.map_or("", |host| host.os_version.as_str()),
        "current_working_directory": folder,
        "drives": drives,
        "supported_commands": verbs::supported(&session.verbs),
        "create_time": seconds(session.opened_at),
        "check_in_timeout": 1200,
        "sensor_wait_timeout": 120,
        "session_timeout": session.idle_timeout.as_millis() / 1000,
        "storage_size": 0,
        "storage_ttl": 7,
    });
    if let (Value::Object(object), Some(waiting)) = (&mut object, &session.waiting) {
        object.insert("waiting".into(), json!(waiting));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::super::tests::{host, session};
    use super::*;
    use crate::http::tests::House;
    use actix_web::test::{TestRequest, read_body_json};
    use futures_util::future::join_all;
    use tripline_protocol::verb::Verb;

    #[test]
    fn a_session_has_the_fields_that_clients_read() {
        let mut session = session(SessionState::Active);
        session.verbs = vec![Verb::KillProcess, Verb::ListProcesses];
        let mut host = host(7, "pc");
        host.addresses = vec!["10.0.0.1".into()];
        let shown = object(&session, Some(&host));
        let expected = json!({"id": 5, "sensor_id": 7, "status": "active", "hostname": "pc", "address": "10.0.0.1",
            "os_version": "", "current_working_directory": "/", "drives": [],
            "supported_commands": ["process list", "kill"], "create_time": 1.5, "check_in_timeout": 1200,
            "sensor_wait_timeout": 120, "session_timeout": 300, "storage_size": 0, "storage_ttl": 7});
        assert_eq!(shown, expected);
    }

    #[test]
    fn where_a_session_is_has_the_client_s_word() {
        for (state, word) in [
            (SessionState::Pending, "pending"),
            (SessionState::Active, "active"),
            (SessionState::Closed, "close"),
            (SessionState::Failed, "timeout"),
        ] {
            assert_eq!(object(&session(state), None)["status"], word);
        }
    }

    #[actix_web::test]
    async fn the_list_has_so_many_sessions_the_newest() {
        let house = House::new().await;
        let (core, caller) = (&house.state.core, &house.caller);
        let listed = async || -> Vec<usize> {
            let answer = house.answer(TestRequest::get().uri("/api/v1/cblr/session"));
            let list: Vec<Value> = read_body_json(answer.await).await;
            let ids = list.iter().map(|session| session["id"].as_u64());
            ids.map(|id| id.expect("a number") as usize).collect()
        };
        let first = core
            .open_session(caller, house.session())
            .await
            .expect("a session");
        // It makes room: fewer may wait than are listed.
        core.close_session(caller, first.session_id)
            .await
            .expect("closed");
        let open = || core.open_session(caller, house.session());
        for opened in join_all((2..=SESSIONS_MAX).map(|_| open())).await {
            opened.expect("a session");
        }
        let all: Vec<usize> = (1..=SESSIONS_MAX).rev().collect();
        assert_eq!(listed().await, all);
        open().await.expect("one more");
        let newest: Vec<usize> = (2..=SESSIONS_MAX + 1).rev().collect();
        assert_eq!(listed().await, newest);
        house.over().await;
    }
}
