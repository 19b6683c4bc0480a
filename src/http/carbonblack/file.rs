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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::House;
    use actix_web::test::{TestRequest, read_body, read_body_json};

    /// What a session's files are about.
    struct Scene {
        house: House,
        path: String,
    }

    impl Scene {
        async fn new() -> Self {
            let house = House::new().await;
            let opened = house.state.core.open_session(&house.caller, house.session());
            let number = opened.await.expect("a session").number;
            let path = format!("/api/v1/cblr/session/{number}/file");
            Self { house, path }
        }

        /// An upload of these parts, each a name and a content.
        async fn upload(&self, parts: &[(&str, usize)]) -> (u16, String) {
            let part = |(head, bytes): &(&str, usize)| {
                let head = format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n");
                format!("{head}{}\r\n", "x".repeat(*bytes))
            };
            let body: String = parts.iter().map(part).collect();
            let request = TestRequest::post()
                .uri(&self.path)
                .insert_header(("content-type", "multipart/form-data; boundary=b"))
                .set_payload(format!("{body}--b--\r\n"));
            let answer = self.house.answer(request).await;
            let (status, body) = (answer.status().as_u16(), read_body(answer).await);
            (status, String::from_utf8_lossy(&body).into_owned())
        }

        async fn names(&self) -> Vec<String> {
            let answer = self.house.answer(TestRequest::get().uri(&self.path)).await;
            let list: Vec<Value> = read_body_json(answer).await;
            let names = list.iter().map(|file| file["file_name"].as_str());
            names.map(|name| name.expect("a name").to_owned()).collect()
        }
    }

    const FILE: (&str, usize) = (r#"name="file"; filename="tool""#, 7);

    #[actix_web::test]
    async fn parts_beside_the_file_are_taken_up_to_their_bound_together() {
        let scene = Scene::new().await;
        let other = |bytes: usize| (r#"name="other""#, bytes);
        let (status, said) = scene.upload(&[other(OTHER_BYTES_MAX - 1), FILE, other(1)]).await;
        assert_eq!(status, 200, "{said}");
        for parts in [
            [other(OTHER_BYTES_MAX), FILE, other(1)],
            [other(1), FILE, other(OTHER_BYTES_MAX)],
            [other(OTHER_BYTES_MAX), other(1), FILE],
        ] {
            let (status, said) = scene.upload(&parts).await;
            assert_eq!(
                (status, &*said),
                (400, "more than one file is not taken at a time")
            );
        }
        assert_eq!(scene.names().await, ["tool"]);
        scene.house.over().await;
    }

    #[actix_web::test]
    async fn a_head_of_a_part_that_does_not_end_is_not_gathered_for_ever() {
        let scene = Scene::new().await;
        let endless = format!("name=\"{}\"", "x".repeat(4 * OTHER_BYTES_MAX));
        let (status, said) = scene.upload(&[(&endless, 1), FILE]).await;
        assert_eq!(status, 400, "{said}");
        assert!(scene.names().await.is_empty());
        scene.house.over().await;
    }

    #[actix_web::test]
    async fn the_name_of_an_upload_is_cut_at_the_bound_of_names() {
        let scene = Scene::new().await;
        let longest = "x".repeat(FILE_NAME_BYTES_MAX);
        for name in [longest.clone(), format!("{longest}y"), format!("/tmp/{longest}y")] {
            let head = format!("name=\"file\"; filename=\"{name}\"");
            assert_eq!(scene.upload(&[(&head, 1)]).await.0, 200, "{name}");
        }
        assert_eq!(scene.names().await, [&*longest, &*longest, &*longest]);
        scene.house.over().await;
    }
}
