//! `/api/v1/cblr/session/{session}/file` and `…/archive`: what goes to a host, and what came from it.
//!
//! A file's number counts over all sessions: it can be put on a host in another session than the one it was
//! uploaded to, which is what the client does when a session ended under its hands.

use super::super::alive::SignsOfLife;
use super::super::body::Body;
use super::super::bounds::Bounds;
use super::super::content::Fetch;
use super::super::problem::ApiError;
use super::super::sessions::files::{all_files, note_archive};
use super::super::{HttpState, archive, content, upload};
use super::auth::{Operator, Viewer};
use super::error::DialectError;
use super::session::own;
use actix_multipart::{Field, Multipart};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use tripline_actors::access::Principal;
use tripline_actors::{Core, FetchedFrom};
use tripline_protocol::session::{FILE_NAME_BYTES_MAX, SessionFile};
use tripline_protocol::step::ArtifactRef;

/// Bytes of other parts than the file.
const OTHER_BYTES_MAX: usize = 64 * 1024;

/// `multipart/form-data` with a part `file`.
pub(super) async fn add(
    caller: Operator,
    request: HttpRequest,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    parts: Result<Multipart, actix_web::Error>,
) -> Result<web::Json<Value>, DialectError> {
    let own = own(&state.core, &caller, &session)?;
    let mut parts = parts.map_err(|error| broken(&error))?;
    let (mut uploaded, mut other_bytes) = (None, 0);
    let patience = Bounds::of(&request).body_timeout;
    while let Some(part) = upload::within(patience, parts.next()).await? {
        let part = part.map_err(|error| broken(&error))?;
        if uploaded.is_some() || part.name() != Some("file") {
            upload::within(patience, skip(part, &mut other_bytes)).await??;
            continue;
        }
        let name = name_of(&part);
        let pieces = part.map(|piece| piece.map_err(|error| ApiError::Parameter(error.to_string())));
        let (sha256, bytes) = upload::receive((&request, &state), &caller, own.session_id, pieces).await?;
        uploaded = Some(ArtifactRef { sha256, bytes, name });
    }
    let uploaded = uploaded.ok_or_else(|| DialectError::bad("a part with the name file is needed"))?;
    let file = state.core.add_file(&caller, own.session_id, uploaded).await?;
    Ok(web::Json(object(&file)))
}

fn broken(error: &dyn std::error::Error) -> DialectError {
    DialectError::bad(format!("expected multipart/form-data with a part file: {error}"))
}

async fn skip(mut part: Field, bytes: &mut usize) -> Result<(), DialectError> {
    while let Some(piece) = part.next().await {
        *bytes += piece.map_err(|error| broken(&error))?.len();
        if *bytes > OTHER_BYTES_MAX {
            return Err(DialectError::bad("more than one file is not taken at a time"));
        }
    }
    Ok(())
}

/// Without the folders of the machine it came from.
fn name_of(part: &Field) -> String {
    let name = part
        .content_disposition()
        .and_then(|header| header.get_filename());
    let name = name.unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let end = name.floor_char_boundary(FILE_NAME_BYTES_MAX.min(name.len()));
    match name.get(..end).unwrap_or_default() {
        "" => "file".to_owned(),
        name => name.to_owned(),
    }
}

fn object(file: &SessionFile) -> Value {
    json!({
        "id": file.number,
        "file_name": file.name,
        "size": file.bytes,
        "size_uploaded": file.bytes,
        "status": 0,
        "delete": file.deleted_at.is_some(),
    })
}

pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<web::Json<Vec<Value>>, DialectError> {
    let own = own(&state.core, &caller, &session)?;
    let files = all_files(&state.core, &caller, own.session_id).await?;
    Ok(web::Json(files.iter().map(object).collect()))
}

async fn found(
    core: &Core,
    caller: &Principal,
    path: &(String, String),
) -> Result<SessionFile, DialectError> {
    own(core, caller, &path.0)?;
    let missing = || DialectError::not_found(format!("File {} not found", path.1));
    let number = path.1.parse().map_err(|_| missing())?;
    Ok(core.own_file(caller, number).await?)
}

pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<web::Json<Value>, DialectError> {
    Ok(web::Json(object(&found(&state.core, &caller, &path).await?)))
}

/// It is gone for every caller of this dialect. The session's record, which `/v1` shows, keeps that it was there.
pub(super) async fn remove(
    caller: Operator,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, DialectError> {
    let file = found(&state.core, &caller, &path).await?;
    state.core.delete_file(&caller, file.number).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The object put back with `delete` set is another way to delete it; nothing else of it can be changed.
pub(super) async fn change(
    caller: Operator,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
    body: Result<Body<Map<String, Value>>, ApiError>,
) -> Result<web::Json<Value>, DialectError> {
    let Body(body) = body?;
    let file = found(&state.core, &caller, &path).await?;
    if body.get("delete") != Some(&Value::Bool(true)) {
        return Err(DialectError::bad("delete: a file can only be put to true"));
    }
    Ok(web::Json(object(
        &state.core.delete_file(&caller, file.number).await?,
    )))
}

pub(super) async fn fetch(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, DialectError> {
    let own = own(&state.core, &caller, &path.0)?;
    let file = found(&state.core, &caller, &path).await?;
    let alive = SignsOfLife::new(&state.core, &caller, own.session_id);
    let fetch = Fetch {
        caller: &caller,
        from: FetchedFrom::Session(own.session_id),
    };
    let named = (file.sha256, file.name.as_str());
    Ok(content::serve(&state, &request, fetch, named, Some(alive)).await?)
}

/// Everything the session transferred, as a zip.
pub(super) async fn archive(
    caller: Viewer,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<HttpResponse, DialectError> {
    let own = own(&state.core, &caller, &session)?;
    let files = all_files(&state.core, &caller, own.session_id).await?;
    note_archive(&state.core, &caller, own.session_id, &files).await?;
    let name = format!("session-{}.zip", own.number);
    let alive = SignsOfLife::new(&state.core, &caller, own.session_id);
    Ok(archive::answer(
        state.artifacts.as_ref().clone(),
        files,
        &name,
        Some(alive),
    )?)
}
