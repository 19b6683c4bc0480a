//! `/v1/sessions/{session}/commands`: what a session does, and its transcript.

use super::super::auth::{Operator, Viewer};
use super::super::body::{Body, cursor, page_limit, path_part};
use super::super::content::Fetch;
use super::super::held::{held, wait};
use super::super::idempotency::IdempotencyKey;
use super::super::problem::ApiError;
use super::super::{HttpState, content};
use super::{Wait, named};
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use tripline_actors::{FetchedFrom, Refusal};
use tripline_protocol::api::Page;
use tripline_protocol::session::{CommandView, RunCommand};
use utoipa::IntoParams;

pub(in super::super) async fn run(
    caller: Operator,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    key: IdempotencyKey,
    Body(command): Body<RunCommand>,
) -> Result<HttpResponse, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    let once = key.once(&caller, &format!("sessions/{session_id}/commands"), &command)?;
    let run = state.core.run_command_once(&caller, session_id, command, once);
    let command = run.await?;
    let location = format!("/v1/sessions/{session_id}/commands/{}", command.number);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(command))
}

/// Query of a list in the order of numbers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListByNumber {
    pub(super) after: Option<String>,
    pub(super) limit: Option<String>,
}

pub(in super::super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    query: web::Query<ListByNumber>,
) -> Result<web::Json<Page<CommandView>>, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    let after = cursor(query.after.as_deref())?;
    let limit = page_limit(query.limit.as_deref())?;
    Ok(web::Json(
        state
            .core
            .list_commands(&caller, session_id, after, limit)
            .await?,
    ))
}

/// `wait`: until it has ended.
pub(in super::super) async fn show(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
    query: web::Query<Wait>,
) -> Result<web::Json<CommandView>, ApiError> {
    let session_id = named(&state.core, &caller, &path.0)?;
    let number = path_part(&path.1)?;
    let ask = |wait| state.core.get_command(&caller, session_id, number, wait);
    Ok(web::Json(
        held(&request, wait(query.wait.as_deref())?, ask).await?,
    ))
}

/// What the verb returned, as JSON, also when it was too large to be kept with the command.
pub(in super::super) async fn output(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let session_id = named(&state.core, &caller, &path.0)?;
    let number = path_part(&path.1)?;
    let command = state.core.get_command(&caller, session_id, number, None).await?;
    match (command.output, command.artifact, command.file) {
        (Some(output), _, _) => Ok(HttpResponse::Ok().json(output)),
        // With a file, the artifact is that file's content: it is among the session's files.
        (None, Some(kept), None) => {
            let from = FetchedFrom::Session(session_id);
            let fetch = Fetch {
                caller: &caller,
                from,
            };
            content::serve(&state, &request, fetch, (kept.sha256, &kept.name), None).await
        }
        _ => {
            let id = format!("of command {number}");
            Err(Refusal::NotFound { what: "output", id }.into())
        }
    }
}

/// `wait`: until the host has confirmed it.
pub(in super::super) async fn cancel(
    caller: Operator,
    request: HttpRequest,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
    query: web::Query<Wait>,
) -> Result<web::Json<CommandView>, ApiError> {
    let session_id = named(&state.core, &caller, &path.0)?;
    let number = path_part(&path.1)?;
    let span = wait(query.wait.as_deref())?;
    let cancelled = state.core.cancel_command(&caller, session_id, number).await?;
    if span.is_none() {
        return Ok(web::Json(cancelled));
    }
    let ask = |wait| state.core.get_command(&caller, session_id, number, wait);
    Ok(web::Json(held(&request, span, ask).await?))
}
