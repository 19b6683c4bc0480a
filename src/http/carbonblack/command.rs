//! `/api/v1/cblr/session/{session}/command`: running, polling and cancelling.

use super::super::HttpState;
use super::super::body::Body;
use super::super::held::held;
use super::super::problem::ApiError;
use super::auth::{Operator, Viewer};
use super::error::DialectError;
use super::outcome::{brief, object};
use super::session::{HOLD, own};
use super::verbs::Request;
use actix_web::{HttpRequest, web};
use serde_json::{Map, Value};
use tripline_actors::access::Principal;
use tripline_actors::{Core, OwnSession, Refusal};
use tripline_protocol::Span;
use tripline_protocol::session::{CommandView, RunCommand};
use tripline_protocol::verb::Verb;

/// How long a command waits for its session: after a restart of the server the host has to come back first.
const SESSION_WAIT: Span = Span::from_secs(30);
/// Commands in a list, oldest first.
const COMMANDS_MAX: usize = 1000;

/// The answer comes at once, but for `delete file`: after a program's end the client deletes its output without
/// asking what became of that, and may close the session right after, which cancels what has not ended.
pub(super) async fn run(
    caller: Operator,
    request: HttpRequest,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    body: Result<Body<Map<String, Value>>, ApiError>,
) -> Result<web::Json<Value>, DialectError> {
    let Body(body) = body?;
    let own = own(&state.core, &caller, &session)?;
    let wanted = Request::read(body)?;
    let file = match wanted.file_id()? {
        Some(number) => Some(state.core.own_file(&caller, number).await?),
        None => None,
    };
    let command = wanted.command(file.as_ref())?;
    let mut command = when_active(&request, &state.core, &caller, &own, command).await?;
    if command.verb == Verb::DeleteFile {
        let ask = |wait| {
            state
                .core
                .get_command(&caller, own.session_id, command.number, wait)
        };
        command = held(&request, Some(HOLD), ask).await?;
    }
    Ok(web::Json(object(&state, &own, command).await?))
}

async fn when_active(
    request: &HttpRequest,
    core: &Core,
    caller: &Principal,
    own: &OwnSession,
    command: RunCommand,
) -> Result<CommandView, Refusal> {
    let first = core.run_command(caller, own.session_id, command.clone()).await;
    match first {
        Err(Refusal::Conflict {
            code: "session_pending",
            ..
        }) => {
            let ask = |wait| core.get_session(caller, own.session_id, wait);
            held(request, Some(SESSION_WAIT), ask).await?;
            core.run_command(caller, own.session_id, command).await
        }
        decided => decided,
    }
}

pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<web::Json<Vec<Value>>, DialectError> {
    let own = own(&state.core, &caller, &session)?;
    let page = state
        .core
        .list_commands(&caller, own.session_id, None, COMMANDS_MAX)
        .await?;
    Ok(web::Json(
        page.items.iter().map(|command| brief(&own, command)).collect(),
    ))
}

/// Held until it has ended, but not longer than the client would wait before it asks again.
pub(super) async fn show(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<web::Json<Value>, DialectError> {
    let own = own(&state.core, &caller, &path.0)?;
    let number = numbered(&path.1)?;
    let ask = |wait| state.core.get_command(&caller, own.session_id, number, wait);
    let command = held(&request, Some(HOLD), ask).await?;
    Ok(web::Json(object(&state, &own, command).await?))
}

/// A command can be put to `cancel`; one that has ended stays as it is.
pub(super) async fn change(
    caller: Operator,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
    body: Result<Body<Map<String, Value>>, ApiError>,
) -> Result<web::Json<Value>, DialectError> {
    let Body(body) = body?;
    let own = own(&state.core, &caller, &path.0)?;
    let number = numbered(&path.1)?;
    if body.get("status").and_then(Value::as_str) != Some("cancel") {
        return Err(DialectError::bad("status: a command can only be put to cancel"));
    }
    let command = match state.core.cancel_command(&caller, own.session_id, number).await {
        Err(Refusal::Conflict {
            code: "command_ended",
            ..
        }) => {
            state
                .core
                .get_command(&caller, own.session_id, number, None)
                .await?
        }
        decided => decided?,
    };
    Ok(web::Json(object(&state, &own, command).await?))
}

fn numbered(text: &str) -> Result<u32, DialectError> {
    text.parse()
        .map_err(|_| DialectError::not_found(format!("Command {text} not found")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::House;
    use actix_web::test::{TestRequest, read_body_json};
    use futures_util::future::join_all;
    use serde_json::json;
    use tokio::time::Instant;
    use tripline_protocol::SessionId;
    use tripline_protocol::session::{COMMANDS_WAITING_MAX, SessionState, SessionView};

    impl House {
        async fn active_session(&self) -> SessionView {
            self.agent_comes().await;
            let (core, caller) = (&self.state.core, &self.caller);
            let opened = core.open_session(caller, self.session()).await;
            let mut session = opened.expect("a session");
            while session.state == SessionState::Pending {
                let looked = core.get_session(caller, session.session_id, Some(SESSION_WAIT));
                session = looked.await.expect("a session");
            }
            session
        }

        /// Runs so many commands to their ends.
        async fn run_commands(&self, session_id: SessionId, count: usize) {
            let (core, caller) = (&self.state.core, &self.caller);
            let one = async || {
                let command = RunCommand::new(Verb::ListProcesses, json!({}));
                let run = core.run_command(caller, session_id, command).await;
                let mut command = run.expect("a command");
                while command.finished_at.is_none() {
                    let looked = core.get_command(caller, session_id, command.number, Some(SESSION_WAIT));
                    command = looked.await.expect("a command");
                }
            };
            join_all((0..count).map(|_| one())).await;
        }
    }

    #[actix_web::test]
    async fn the_list_has_so_many_commands_the_oldest() {
        let house = House::new().await;
        let session = house.active_session().await;
        for _ in 0..COMMANDS_MAX / COMMANDS_WAITING_MAX {
            house.run_commands(session.session_id, COMMANDS_WAITING_MAX).await;
        }
        let path = format!("/api/v1/cblr/session/{}/command", session.number);
        let all: Vec<usize> = (1..=COMMANDS_MAX).collect();
        for more in [0, 1] {
            house.run_commands(session.session_id, more).await;
            let answer = house.answer(TestRequest::get().uri(&path)).await;
            let list: Vec<Value> = read_body_json(answer).await;
            let ids = list.iter().map(|command| command["id"].as_u64());
            let ids: Vec<usize> = ids.map(|id| id.expect("a number") as usize).collect();
            assert_eq!(ids, all, "{more} more");
        }
        house.over().await;
    }

    #[actix_web::test]
    async fn a_command_waits_for_its_session_so_long_and_is_refused_then() {
        let house = House::new().await;
        // Time of this thread; the actors have their own.
        tokio::time::pause();
        let (core, caller) = (&house.state.core, &house.caller);
        let opened = core.open_session(caller, house.session()).await;
        let number = opened.expect("a session").number;
        let own = core.own_session(caller, number).expect("its own");
        let command = RunCommand::new(Verb::ListProcesses, json!({}));
        let (request, begun) = (TestRequest::default().to_http_request(), Instant::now());
        let refused = when_active(&request, core, caller, &own, command).await;
        assert_eq!(
            refused.expect_err("it waits for its host").code(),
            "session_pending"
        );
        // A timer rounds up to its next millisecond.
        assert_eq!(begun.elapsed().as_secs(), SESSION_WAIT.to_duration().as_secs());
        house.over().await;
    }
}
