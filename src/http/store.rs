//! `/v1/store`: how the store's automatic exports are, and an export, streamed.

use super::HttpState;
use super::auth::{Admin, Viewer};
use super::content;
use super::problem::ApiError;
use actix_web::body::SizedStream;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use tripline_actors::Refusal;
use tripline_actors::export::{Error, Export};
use tripline_actors::store::SnapshotError;
use tripline_protocol::Span;
use tripline_protocol::api::StoreView;
use tripline_protocol::audit::Action;
use utoipa::IntoParams;

pub(super) async fn show(_caller: Viewer, state: web::Data<HttpState>) -> web::Json<StoreView> {
    web::Json(StoreView {
        exports: state.exports.view(),
    })
}

/// What an export is to hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    artifacts: bool,
}

/// Everything is written to a file first, and sent from there: who takes it slowly keeps nothing open but that file.
pub(super) async fn export(
    caller: Admin,
    state: web::Data<HttpState>,
    query: web::Query<Wanted>,
) -> Result<HttpResponse, ApiError> {
    if caller.org.is_some() {
        return Err(Refusal::Forbidden {
            detail: "an export has the rows of all orgs; this needs a token without an org".to_owned(),
        }
        .into());
    }
    let exporter = state.exporter.clone();
    let artifacts = query.artifacts;
    let made = tokio::task::spawn_blocking(move || exporter.spool(artifacts)).await;
    let made = made.map_err(|error| ApiError::internal("export the store", error))?;
    let Export { file, made, made_at } = made.map_err(refused)?;
    let (bytes, rows) = (made.bytes, made.totals.rows());
    let core = state.core.by(&caller);
    let noted = core.put_on_record(Action::StoreExport, None, |entry| {
        entry
            .detail("bytes", bytes)
            .detail("rows", rows)
            .detail("artifacts", artifacts)
    });
    noted.await?;
    tracing::info!(bytes, rows, artifacts, by = caller.name, "store exported");
    let name = format!("tripline-{made_at}.export");
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_DISPOSITION, content::disposition(&name)))
        .content_type("application/octet-stream")
        .body(SizedStream::new(bytes, content::content(file, 0, bytes, None))))
}

fn refused(error: Error) -> ApiError {
    let busy = |what, seconds| {
        let retry_after = Span::from_secs(seconds);
        ApiError::from(Refusal::Busy { what, retry_after })
    };
    match error {
        Error::Snapshot(SnapshotError::Busy) => busy("the place for exports", 10),
        Error::Snapshot(SnapshotError::Overtaken) => busy("the room for what changes during an export", 60),
        Error::Snapshot(SnapshotError::Closed) => Refusal::Unavailable {
            detail: "it is stopping",
        }
        .into(),
        Error::Room { .. } => busy("disk", 60),
        error => ApiError::internal("export the store", error),
    }
}
