//! The Carbon Black dialect: sensors and Live Response over REST, as `cbapi` speaks it.
//!
//! Every session is its caller's own: another's does not exist here. What a call does to a session is the
//! actors' business; this folder knows words, shapes and statuses. Deliberately not here: processes, binaries,
//! alerts and whatever else that product stores.

mod auth;
mod command;
mod error;
mod file;
mod glob;
mod hresult;
mod info;
mod isolation;
mod outcome;
mod sensor;
mod sensor_object;
mod session;
#[cfg(test)]
mod tests;
mod verbs;

use super::routes::brief_path;
use actix_web::http::header::ALLOW;
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use error::DialectError;

/// Adds the dialect's routes.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/api/info", "GET").route(web::get().to(info::show)))
        .service(resource("/api/v1/storage/events/partition", "GET").route(web::get().to(info::partitions)))
        .configure(sensors)
        .configure(sessions)
        .configure(commands_and_files)
        // Whatever else that product has: scripts learn that it is not here.
        .service(web::resource("/api/v{version:[0-9]+}/{rest:.*}").default_service(web::to(not_offered)));
}

fn sensors(config: &mut web::ServiceConfig) {
    for path in ["/api/v3/group", "/api/v1/group", "/api/group"] {
        let one = format!("{path}/{{group}}");
        config
            .service(resource(path, "GET").route(web::get().to(info::groups)))
            .service(resource(&one, "GET").route(web::get().to(info::group)));
    }
    for figures in ["queued", "activity", "resourcestatus"] {
        let path = format!("/api/v1/sensor/{{sensor}}/{figures}");
        config.service(resource(&path, "GET").route(web::get().to(sensor::figures)));
    }
    config
        .service(resource("/api/v2/sensor", "GET").route(web::get().to(sensor::page)))
        .service(resource("/api/v1/sensor", "GET").route(web::get().to(sensor::list)))
        .service(
            resource("/api/v1/sensor/{sensor}", "GET, PUT")
                .route(web::get().to(sensor::show))
                .route(web::put().to(sensor::change)),
        );
}

fn sessions(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/api/v1/cblr/session", "GET, POST")
                .route(web::get().to(session::list))
                .route(web::post().to(session::open)),
        )
        .service(
            resource("/api/v1/cblr/session/{session}", "GET, PUT")
                .route(web::get().to(session::show))
                .route(web::put().to(session::change)),
        )
        .service(
            resource("/api/v1/cblr/session/{session}/keepalive", "GET")
                .route(web::get().to(session::keep_alive)),
        )
        .service(
            resource("/api/v1/cblr/session/{session}/archive", "GET").route(web::get().to(file::archive)),
        );
}

fn commands_and_files(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/api/v1/cblr/session/{session}/command", "GET, POST")
                .route(web::get().to(command::list))
                .route(web::post().to(command::run)),
        )
        .service(
            resource("/api/v1/cblr/session/{session}/command/{command}", "GET, PUT")
                .route(web::get().to(command::show))
                .route(web::put().to(command::change)),
        )
        .service(
            resource("/api/v1/cblr/session/{session}/file", "GET, POST")
                .route(web::get().to(file::list))
                .route(web::post().to(file::add)),
        )
        .service(
            resource("/api/v1/cblr/session/{session}/file/{file}", "GET, PUT, DELETE")
                .route(web::get().to(file::show))
                .route(web::put().to(file::change))
                .route(web::delete().to(file::remove)),
        )
        .service(
            resource("/api/v1/cblr/session/{session}/file/{file}/content", "GET")
                .route(web::get().to(file::fetch)),
        );
}

/// A path that takes `allow`.
fn resource(path: &str, allow: &'static str) -> Resource {
    let refuse = move || async move {
        HttpResponse::MethodNotAllowed()
            .insert_header((ALLOW, allow))
            .body(format!("This path takes {allow}"))
    };
    web::resource(path).default_service(web::to(refuse))
}

async fn not_offered(request: HttpRequest) -> DialectError {
    let path = brief_path(&request);
    DialectError::not_found(format!(
        "Not offered here: {path}. This server has the sensors and Live Response of the Carbon Black API, and no \
         searches for processes, binaries or alerts."
    ))
}
