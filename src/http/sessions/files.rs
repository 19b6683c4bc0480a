//! `/v1/sessions/{session}/files` and `…/archive`: what a session carries to its host, and from it.

use super::super::alive::SignsOfLife;
use super::super::auth::{Operator, Viewer};
use super::super::body::{cursor, page_limit, parameter, path_part};
use super::super::content::Fetch;
use super::super::problem::ApiError;
use super::super::{HttpState, archive, content, upload};
use super::named;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde::Deserialize;
use tripline_actors::access::Principal;
use tripline_actors::{Core, FetchedFrom, FilePages, Refusal};
use tripline_protocol::SessionId;
use tripline_protocol::api::Page;
use tripline_protocol::session::{FILE_NAME_BYTES_MAX, SessionFile};
use tripline_protocol::step::ArtifactRef;
use utoipa::IntoParams;

/// Files read at once for an archive.
const ROWS: usize = 1000;

/// Query of an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct AddFile {
    name: Option<String>,
}

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListFiles {
    after: Option<String>,
    limit: Option<String>,
    deleted: Option<String>,
}

/// The body is the content, as it is.
pub(in super::super) async fn add(
    caller: Operator,
    request: HttpRequest,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    query: web::Query<AddFile>,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    let name = query.into_inner().name.unwrap_or_else(|| "file".to_owned());
    if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX {
        let why = format!("query parameter name: expected 1 to {FILE_NAME_BYTES_MAX} bytes");
        return Err(ApiError::Parameter(why));
    }
    let pieces = body.map(|piece| piece.map_err(ApiError::BodyBroken));
    let (sha256, bytes) = upload::receive((&request, &state), &caller, session_id, pieces).await?;
    let file = ArtifactRef { sha256, bytes, name };
    let file = state.core.add_file(&caller, session_id, file).await?;
    let location = format!("/v1/sessions/{session_id}/files/{}/content", file.number);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(file))
}

pub(in super::super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    query: web::Query<ListFiles>,
) -> Result<web::Json<Page<SessionFile>>, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    let pages = FilePages {
        after: cursor(query.after.as_deref())?,
        limit: page_limit(query.limit.as_deref())?,
        deleted: parameter("deleted", query.deleted.as_deref())?.unwrap_or(false),
    };
    Ok(web::Json(
        state.core.list_files(&caller, session_id, pages).await?,
    ))
}

/// What was deleted is not listed any more, unless that is asked for: that it was there is a part of the record.
pub(in super::super) async fn remove(
    caller: Operator,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<web::Json<SessionFile>, ApiError> {
    let file = found(&state.core, &caller, &path).await?;
    Ok(web::Json(state.core.delete_file(&caller, file.number).await?))
}

/// The file of this number, if it is one of the session's.
async fn found(core: &Core, caller: &Principal, path: &(String, String)) -> Result<SessionFile, ApiError> {
    let session_id = named(core, caller, &path.0)?;
    let number: u32 = path_part(&path.1)?;
    core.sign_of_life(caller, session_id);
    let file = core.get_file(caller, number).await?;
    match file.session_id == session_id {
        true => Ok(file),
        false => {
            let id = number.to_string();
            Err(Refusal::NotFound { what: "file", id }.into())
        }
    }
}

pub(in super::super) async fn fetch(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let file = found(&state.core, &caller, &path).await?;
    let alive = SignsOfLife::new(&state.core, &caller, file.session_id);
    let fetch = Fetch {
        caller: &caller,
        from: FetchedFrom::Session(file.session_id),
    };
    content::serve(&state, &request, fetch, (file.sha256, &file.name), Some(alive)).await
}

/// Everything the session transferred, as a zip.
pub(in super::super) async fn all(
    caller: Viewer,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    let session = state.core.get_session(&caller, session_id, None).await?;
    let files = all_files(&state.core, &caller, session_id).await?;
    note_archive(&state.core, &caller, session_id, &files).await?;
    let name = format!("session-{}.zip", session.number);
    let alive = SignsOfLife::new(&state.core, &caller, session_id);
    archive::answer(state.artifacts.as_ref().clone(), files, &name, Some(alive))
}

/// Puts on record that all files of a session are about to be handed out.
pub(in super::super) async fn note_archive(
    core: &Core,
    caller: &Principal,
    session_id: SessionId,
    files: &[SessionFile],
) -> Result<(), Refusal> {
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let numbers: Vec<u32> = files.iter().map(|file| file.number).collect();
    let core = core.by(caller);
    let noted = core.note_fetch(FetchedFrom::Session(session_id), |entry| {
        entry.detail("files", numbers).detail("bytes", bytes)
    });
    noted.await
}

/// Every file of a session that was not deleted.
pub(in super::super) async fn all_files(
    core: &Core,
    caller: &Principal,
    session_id: SessionId,
) -> Result<Vec<SessionFile>, Refusal> {
    let mut files = Vec::new();
    let mut pages = FilePages {
        limit: ROWS,
        ..FilePages::default()
    };
    loop {
        let page = core.list_files(caller, session_id, pages).await?;
        files.extend(page.items);
        pages.after = page.next.and_then(|next| next.parse().ok());
        if pages.after.is_none() {
            return Ok(files);
        }
    }
}
