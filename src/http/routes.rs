//! The table of routes: path, methods, handler. What is not in it is a 404, another method a 405.

use super::body::BodyLimit;
use super::problem::ApiError;
use super::{
    agent_channel, artifacts, audit, carbonblack, control, dead, detections, enrol, event_stream, events,
    explain, fanouts, fleet, health, hosts, jobs, littlebrother_view, metrics, openapi, outbox, overview,
    pipelines, service_requests, services, sessions, store, streams, tokens,
};
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use std::error::Error;
use tripline_protocol::limit::EVENT_BYTES_MAX;

/// Characters of an unknown path that its refusal repeats.
const PATH_CHARS_MAX: usize = 200;

/// Adds all routes.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(web::QueryConfig::default().error_handler(|error, _| bad_parameter("query", &error).into()))
        .app_data(web::PathConfig::default().error_handler(|error, _| bad_parameter("path", &error).into()))
        .service(resource("/healthz", "GET").route(web::get().to(health::live)))
        .service(resource("/readyz", "GET").route(web::get().to(health::ready)))
        .service(resource("/metrics", "GET").route(web::get().to(metrics::show)))
        .service(resource("/v1/openapi.json", "GET").route(web::get().to(openapi::show)))
        .service(resource("/v1/hosts", "GET").route(web::get().to(hosts::list)))
        .service(
            resource("/v1/hosts/{host}", "GET, DELETE")
                .route(web::get().to(hosts::show))
                .route(web::delete().to(fleet::forget)),
        )
        .service(resource("/v1/hosts/{host}/key", "DELETE").route(web::delete().to(fleet::revoke_key)))
        .service(resource("/v1/hosts/{host}/key/rotate", "POST").route(web::post().to(fleet::rotate_key)))
        .service(resource("/v1/keys", "GET").route(web::get().to(fleet::list_keys)))
        .service(
            resource("/v1/hosts/{host}/labels", "PUT, PATCH")
                .route(web::put().to(hosts::set_labels))
                .route(web::patch().to(hosts::change_labels)),
        )
        .service(
            resource("/v1/hosts/{host}/link", "POST, DELETE")
                .route(web::post().to(hosts::link))
                .route(web::delete().to(hosts::unlink)),
        )
        .service(resource("/v1/littlebrother", "GET").route(web::get().to(littlebrother_view::show)))
        .service(
            resource("/v1/jobs", "GET, POST")
                .route(web::get().to(jobs::list))
                .route(web::post().to(jobs::submit)),
        )
        .service(resource("/v1/jobs/{job_id}", "GET").route(web::get().to(jobs::show)))
        .service(resource("/v1/jobs/{job_id}/cancel", "POST").route(web::post().to(jobs::cancel)))
        .service(
            resource("/v1/jobs/{job_id}/artifacts/{sha256}", "GET").route(web::get().to(artifacts::fetch)),
        )
        .configure(fanouts)
        .configure(services)
        .service(resource("/v1/pipelines", "GET").route(web::get().to(pipelines::list)))
        .service(
            resource("/v1/pipelines/{pipeline}/pause", "PUT, DELETE")
                .route(web::put().to(pipelines::pause))
                .route(web::delete().to(pipelines::resume)),
        )
        .service(resource("/v1/status", "GET").route(web::get().to(overview::status)))
        .service(resource("/v1/slots", "GET").route(web::get().to(overview::slots)))
        .service(
            resource("/v1/pause", "GET, PUT, DELETE")
                .route(web::get().to(control::show_pause))
                .route(web::put().to(control::pause))
                .route(web::delete().to(control::resume)),
        )
        .service(
            resource("/v1/drain", "GET, POST")
                .route(web::get().to(control::show_drain))
                .route(web::post().to(control::drain)),
        )
        .service(resource("/v1/dead", "GET").route(web::get().to(dead::list)))
        .service(
            resource("/v1/dead/{sequence}", "GET, DELETE")
                .route(web::get().to(dead::show))
                .route(web::delete().to(dead::drop_letter)),
        )
        .service(resource("/v1/dead/{sequence}/replay", "POST").route(web::post().to(dead::replay)))
        .configure(outbox)
        .service(
            resource("/v1/events", "GET, POST")
                .app_data(BodyLimit(EVENT_BYTES_MAX))
                .route(web::get().to(event_stream::watch))
                .route(web::post().to(events::publish)),
        )
        .service(
            resource("/v1/detections", "POST")
                .app_data(BodyLimit(EVENT_BYTES_MAX))
                .route(web::post().to(detections::report)),
        )
        .service(resource("/v1/events/{event_key}/decisions", "GET").route(web::get().to(events::decisions)))
        .service(resource("/v1/events/{event_key}/explain", "GET").route(web::get().to(explain::explain)))
        .service(resource("/v1/streams/jobs", "GET").route(web::get().to(streams::jobs)))
        .service(resource("/v1/streams/hosts", "GET").route(web::get().to(streams::hosts)))
        .service(
            resource("/v1/tokens", "GET, POST")
                .route(web::get().to(tokens::list))
                .route(web::post().to(tokens::create)),
        )
        .service(resource("/v1/tokens/{id}", "DELETE").route(web::delete().to(tokens::revoke)))
        .service(resource("/v1/store", "GET").route(web::get().to(store::show)))
        .service(resource("/v1/store/export", "GET").route(web::get().to(store::export)))
        .configure(sessions)
        .configure(on_record)
        .service(resource("/v1/agent", "GET").route(web::get().to(agent_channel::open)))
        .service(resource("/v1/agent/enrol", "POST").route(web::post().to(enrol::enrol)))
        .configure(carbonblack::configure)
        .default_service(web::to(no_such_path));
}

fn fanouts(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/v1/fanouts", "GET, POST")
                .route(web::get().to(fanouts::list))
                .route(web::post().to(fanouts::submit)),
        )
        .service(resource("/v1/fanouts/{fanout_id}", "GET").route(web::get().to(fanouts::show)))
        .service(resource("/v1/fanouts/{fanout_id}/hosts", "GET").route(web::get().to(fanouts::hosts)))
        .service(
            resource("/v1/fanouts/{fanout_id}/pause", "PUT, DELETE")
                .route(web::put().to(fanouts::pause))
                .route(web::delete().to(fanouts::resume)),
        )
        .service(resource("/v1/fanouts/{fanout_id}/cancel", "POST").route(web::post().to(fanouts::cancel)))
        .service(resource("/v1/fanouts/{fanout_id}/retry", "POST").route(web::post().to(fanouts::retry)));
}

fn services(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/v1/services", "GET, POST")
                .route(web::get().to(services::list))
                .route(web::post().to(services::register)),
        )
        .service(
            resource("/v1/services/{service}", "GET, PUT, DELETE")
                .route(web::get().to(services::show))
                .route(web::put().to(services::change))
                .route(web::delete().to(services::remove)),
        )
        .service(resource("/v1/services/{service}/retry", "POST").route(web::post().to(services::retry)))
        .service(resource("/v1/services/{service}/jobs", "GET").route(web::get().to(services::jobs)))
        .service(resource("/v1/services/{service}/jobs/{id}", "GET").route(web::get().to(services::job)))
        .service(
            resource("/v1/services/{service}/requests", "GET, POST")
                .route(web::get().to(service_requests::list))
                .route(web::post().to(service_requests::ask)),
        )
        .service(
            resource("/v1/services/{service}/requests/{id}", "GET")
                .route(web::get().to(service_requests::show)),
        )
        .service(
            resource("/v1/services/{service}/resources/{resource}", "GET")
                .route(web::get().to(services::resource)),
        );
}

fn outbox(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/outbox", "GET").route(web::get().to(outbox::show)))
        .service(resource("/v1/outbox/quarantine", "GET").route(web::get().to(outbox::quarantine)))
        .service(resource("/v1/outbox/quarantine/retry", "POST").route(web::post().to(outbox::retry)))
        .service(
            resource("/v1/outbox/quarantine/{sequence}", "DELETE")
                .route(web::delete().to(outbox::drop_entry)),
        );
}

fn sessions(config: &mut web::ServiceConfig) {
    use sessions::{commands, files};
    config
        .service(
            resource("/v1/sessions", "GET, POST")
                .route(web::get().to(sessions::list))
                .route(web::post().to(sessions::open)),
        )
        .service(
            resource("/v1/sessions/{session}", "GET, DELETE")
                .route(web::get().to(sessions::show))
                .route(web::delete().to(sessions::close)),
        )
        .service(
            resource("/v1/sessions/{session}/keepalive", "POST").route(web::post().to(sessions::keep_alive)),
        )
        .service(
            resource("/v1/sessions/{session}/commands", "GET, POST")
                .route(web::get().to(commands::list))
                .route(web::post().to(commands::run)),
        )
        .service(
            resource("/v1/sessions/{session}/commands/{number}", "GET, DELETE")
                .route(web::get().to(commands::show))
                .route(web::delete().to(commands::cancel)),
        )
        .service(
            resource("/v1/sessions/{session}/commands/{number}/output", "GET")
                .route(web::get().to(commands::output)),
        )
        .service(
            resource("/v1/sessions/{session}/files", "GET, POST")
                .route(web::get().to(files::list))
                .route(web::post().to(files::add)),
        )
        .service(
            resource("/v1/sessions/{session}/files/{number}", "DELETE")
                .route(web::delete().to(files::remove)),
        )
        .service(
            resource("/v1/sessions/{session}/files/{number}/content", "GET")
                .route(web::get().to(files::fetch)),
        )
        .service(resource("/v1/sessions/{session}/archive", "GET").route(web::get().to(files::all)));
}

fn on_record(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/audit", "GET").route(web::get().to(audit::list)))
        .service(resource("/v1/audit/chains", "GET").route(web::get().to(audit::chains)))
        .service(resource("/v1/audit/{org}/records", "GET").route(web::get().to(audit::records)))
        .service(resource("/v1/audit/{org}/records/{number}", "GET").route(web::get().to(audit::show)))
        .service(resource("/v1/audit/{org}/verified", "POST").route(web::post().to(audit::verified)));
}

/// A path that takes `allow`.
fn resource(path: &str, allow: &'static str) -> Resource {
    let refuse = move || async move { Err::<HttpResponse, _>(ApiError::MethodNotAllowed { allow }) };
    web::resource(path).default_service(web::to(refuse))
}

fn bad_parameter(place: &str, error: &dyn Error) -> ApiError {
    ApiError::Parameter(format!("{place}: {error}"))
}

/// The path, as a refusal names it.
pub(super) fn brief_path(request: &HttpRequest) -> String {
    request.path().chars().take(PATH_CHARS_MAX).collect()
}

async fn no_such_path(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::NoSuchPath(brief_path(&request)))
}

#[cfg(test)]
mod tests {
    use super::super::observe::observe;
    use super::*;
    use actix_web::http::Method;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body, read_body_json};
    use actix_web::{App, dev::ServiceResponse};
    use tripline_protocol::api::Problem;

    async fn call(request: TestRequest) -> ServiceResponse {
        let app = init_service(App::new().configure(configure).wrap(from_fn(observe))).await;
        call_service(&app, request.to_request())
            .await
            .map_into_boxed_body()
    }

    #[actix_web::test]
    async fn an_unknown_path_is_a_problem() {
        let response = call(TestRequest::get().uri("/v1/nothing?token=secret")).await;
        assert_eq!(response.status(), 404);
        assert!(response.headers().contains_key("x-request-id"));
        let problem: Problem = read_body_json(response).await;
        assert_eq!(problem.code, "no_such_path");
        assert!(!problem.detail.contains("secret"), "{}", problem.detail);
    }

    #[actix_web::test]
    async fn an_unknown_path_is_named_in_so_many_characters_in_both_dialects() {
        for begin in ["/v1/", "/api/v1/"] {
            let longest = format!("{begin}{}", "x".repeat(PATH_CHARS_MAX - begin.len()));
            for path in [longest.clone(), format!("{longest}yy")] {
                let response = call(TestRequest::get().uri(&path)).await;
                assert_eq!(response.status(), 404, "{path}");
                let body = read_body(response).await;
                let text = std::str::from_utf8(&body).expect("text");
                assert!(text.contains(&longest) && !text.contains("xy"), "{text}");
            }
        }
    }

    #[actix_web::test]
    async fn without_its_secret_the_littlebrother_dialect_is_not_there() {
        for path in ["/api/events", "//api/events", "/api/status?username=a", "/health"] {
            for method in [Method::GET, Method::POST] {
                let response = call(TestRequest::default().method(method).uri(path)).await;
                assert_eq!(response.status(), 404, "{path}");
            }
        }
    }

    #[actix_web::test]
    async fn a_method_that_a_path_does_not_take_is_told_which_it_takes() {
        for (path, allow) in [
            ("/v1/jobs", "GET, POST"),
            ("/v1/tokens/x", "DELETE"),
            ("/v1/hosts/x/link", "POST, DELETE"),
            ("/healthz", "GET"),
        ] {
            let response = call(TestRequest::default().method(Method::PUT).uri(path)).await;
            assert_eq!(response.status(), 405, "{path}");
            assert_eq!(response.headers().get("allow").expect("allow"), allow);
            let problem: Problem = read_body_json(response).await;
            assert_eq!(problem.code, "method_not_allowed");
        }
    }

    #[actix_web::test]
    async fn the_process_is_alive_without_a_token() {
        assert_eq!(call(TestRequest::get().uri("/healthz")).await.status(), 200);
    }
}
